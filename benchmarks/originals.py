"""The original networks of others, imported from checkouts on this machine: oracles alone.

No line of them is here. Their compiled operators are left out, and their own fallbacks for the CPU
run in their place; what downloads weights gives random ones.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock, patch

import torch
import torchvision
from torch import Tensor, nn

from genviews.checks import fail

__all__ = ["apart", "imported", "settled"]


@contextmanager
def imported(checkout: Path, *names: str, absent: tuple[str, ...] = ()) -> Iterator[list[Any]]:
    """Import modules of a checkout; they are forgotten afterwards, as others have their names.

    Args:
        checkout: folder of the repository.
        names: of the modules.
        absent: packages that they import and do not need here.
    """
    files = [checkout / f"{name.replace('.', '/')}" for name in names]
    if not all(file.with_suffix(".py").is_file() or file.is_dir() for file in files):
        fail(
            f"checkout {checkout}",
            expected=f"a folder with {', '.join(names)}",
            got="none there",
            remedy="clone the repository, and name its folder",
        )
    before = set(sys.modules)
    plain = torchvision.models.resnet34
    stand_ins = {name: MagicMock() for name in absent}
    with (
        patch.object(sys, "path", [str(checkout), *sys.path]),
        patch.dict(sys.modules, stand_ins),
        patch("torch.utils.cpp_extension.load", MagicMock()),
        patch.object(torchvision.models.resnet, "resnet34", lambda pretrained=False: plain()),
        patch.object(torchvision.models, "resnet34", lambda pretrained=False: plain()),
        patch.object(torchvision.models.resnet, "model_urls", {}, create=True),
        patch.object(sys.modules["torchvision.models.alexnet"], "model_urls", {}, create=True),
    ):
        yield [importlib.import_module(name) for name in names]
        new = set(sys.modules) - before
        for name in [name for name in new if _is_of(sys.modules[name], checkout)]:
            del sys.modules[name]


def _is_of(module: types.ModuleType, checkout: Path) -> bool:
    """Whether a module is a file of the checkout, or a folder of it without `__init__.py`."""
    places = [vars(module).get("__file__") or "", *vars(module).get("__path__", ())]
    return any(str(place).startswith(str(checkout)) for place in places)


def settled(network: nn.Module, *inputs: Any, seed: int = 0) -> nn.Module:  # noqa: ANN401
    """Give a network random weights whose activations keep their size, and put it into eval mode.

    Batch norms take the statistics of the inputs, so that nothing explodes or dies on the way.
    """
    noise = torch.Generator().manual_seed(seed)
    for name, tensor in network.named_parameters():
        if tensor.ndim < 2:
            tensor.data += 0.1 * torch.randn(tensor.shape, generator=noise)
        assert tensor.isfinite().all(), name
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.momentum = None
        norm.reset_running_stats()
    if norms:
        with torch.no_grad():
            network.train()(*inputs)
    return network.eval().requires_grad_(False)


def apart(ours: Tensor, theirs: Tensor) -> dict[str, float]:
    """The largest difference of two results, and the largest value."""
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    return {
        "largest_difference": float((ours - theirs).abs().max()),
        "largest_value": float(theirs.abs().max()),
    }
