"""The weights of a network as a file, and a network from such a file: header, shapes, then weights.

file -> kind and config -> a network no larger than the file -> shapes compared -> weights read
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from genviews.checks import fail
from genviews.described import at_most, described_by, parse_object
from genviews.files import load_header, load_tensors, save_tensors

__all__ = [
    "bare_names",
    "check_filled",
    "check_weights",
    "load_network",
    "load_strictly",
    "save_network",
    "without_filters",
]

Network = TypeVar("Network", bound=nn.Module)
Stored = TypeVar("Stored")

_WRAPPED = re.compile(r"^(?:(?:module|_orig_mod)\.)+")  # DataParallel and torch.compile


def bare_names(table: Mapping[Any, object]) -> dict[str, Any]:
    """The entries of a table that have text as names, without DataParallel's and compile's part."""
    return {_WRAPPED.sub("", k): v for k, v in table.items() if isinstance(k, str)}


def save_network(
    path: str | Path,
    network: nn.Module,
    kind: str,
    config: Mapping[str, object],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a network's weights, kind and sizes to one safetensors file, for `load_network`.

    Args:
        path: of the file, replaced as a whole.
        network: whose weights are written.
        kind: name of its class.
        config: what it is made from, as JSON values.
        metadata: further text of the header, such as the data and the licence.
    """
    header = {"network": kind, "config": json.dumps(config), **(metadata or {})}
    save_tensors(path, network.state_dict(), header)


def load_network(path: str | Path, kind: str, make: Callable[[dict[str, Any]], Network]) -> Network:
    """Return the network of a file, in eval mode; no code of the file is run.

    Args:
        path: of the file.
        kind: name of its class.
        make: builds it from its config, in which JSON's lists are tuples.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not such a file, or missing, unused or misshapen weights, which are named.
    """
    weights, header = load_header(path, f"{kind} in")
    what, remedy = f"{kind} in {Path(path).name}", f"name a file that `{kind}.save` wrote"
    name = header.get("network")
    if name not in (None, kind) or "config" not in header:
        got = "a file that names no network" if name is None else f"a file of {name!r}"
        got += " without its config" * (name == kind)
        fail(what, expected=f"a file of {kind!r}", got=got, remedy=remedy)
    stated = parse_object(header["config"], f"config of the {what}")
    config = {k: tuple(v) if isinstance(v, list) else v for k, v in stated.items()}
    with described_by(what, f"the config of a {kind}", remedy), at_most(weights):
        network = make(config)
    check_weights(network, weights, what)  # by their shapes, before they are read
    load_strictly(network, load_tensors(path, what=f"{kind} in")[0], what)
    return network.eval()


def check_filled(module: nn.Module, what: str) -> None:
    """Raise ValueError for a module whose weights are not there: those on the meta device."""
    if any(tensor.is_meta for tensor in (*module.parameters(), *module.buffers())):
        remedy = "load its weights, with `load_state_dict(..., assign=True)`"
        fail(what, expected="weights", got="empty ones (meta)", remedy=remedy)


def load_strictly(
    module: nn.Module,
    weights: Mapping[str, Tensor],
    what: str,
    remedy: str = "take the file of this network, or rename its keys",
    *,
    assign: bool = False,
) -> None:
    """Copy weights into a module, all or none; ValueError names those that do not fit.

    Args:
        module: has exactly these weights.
        weights: by their names in the module, also as DataParallel and torch.compile save them.
        what: they are, for the message.
        remedy: see `fail`.
        assign: put them into the module as they are, which may be on the meta device.
    """
    bare: dict[str, Tensor] = bare_names(weights)
    if bare.keys() == module.state_dict().keys():
        weights = bare
    check_weights(module, weights, what, remedy)
    module.load_state_dict(weights, assign=assign)


def check_weights(
    module: nn.Module,
    weights: Mapping[str, Tensor],
    what: str,
    remedy: str = "take the file of this network, or rename its keys",
) -> None:
    """Raise as `load_strictly` does, which this does not; those on the meta device are shapes."""
    own = module.state_dict()
    shaped = {k: v for k, v in own.items() if not is_lazy(v)}  # others take what they are given
    missing = [f"missing {k}" for k in own if k not in weights]
    unused = [f"unused {k}" for k in weights if k not in own]
    misshapen = [
        f"{k} has shape {tuple(weights[k].shape)}, not {tuple(v.shape)}"
        for k, v in shaped.items()
        if k in weights and weights[k].shape != v.shape
    ]
    misshapen += [
        f"{k} has numbers of {str(weights[k].dtype).removeprefix('torch.')}, not of "
        f"{str(v.dtype).removeprefix('torch.')}"
        for k, v in own.items()
        if k in weights and not _same_kind(weights[k].dtype, v.dtype)
    ]
    misshapen += [
        f"{k} has numbers that are not finite"
        for k, v in weights.items()
        if v.is_floating_point() and not v.is_meta and not v.isfinite().all()
    ]
    if missing or unused or misshapen:
        each = (kind[:4] + ["..."] * (len(kind) > 4) for kind in (missing, unused, misshapen))
        got = "; ".join(one for kind in each for one in kind)
        fail(what, expected=f"exactly the {len(own)} tensors of it", got=got, remedy=remedy)


def without_filters(state: Mapping[str, Stored]) -> dict[str, Stored]:
    """Weights without the constant filters that NVIDIA's networks keep, which the config holds."""
    return {name: kept for name, kept in state.items() if not name.endswith("resample_filter")}


def _same_kind(given: torch.dtype, own: torch.dtype) -> bool:
    """Whether numbers keep what they mean when they are copied: floats to floats, of any width."""
    if torch.bool in (given, own):
        return given == own
    return (given.is_floating_point, given.is_complex) == (own.is_floating_point, own.is_complex)
