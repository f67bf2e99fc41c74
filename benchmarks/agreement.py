"""How far a generator of ours agrees with the original implementation, run beside it.

An oracle alone: no line of an original is here. `benchmarks.generators` has the command.
"""

from __future__ import annotations

import contextlib
import importlib.util
import re
import subprocess
import sys
import types
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

__all__ = [
    "Comparison",
    "Section",
    "commit_of",
    "difference",
    "gradient_difference",
    "original",
    "randomised",
]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One configuration, in the original and in ours.

    Args:
        case: what is particular about it, in words.
        config: the arguments that the original was made with, as JSON values.
        seed: of weights and latents.
        differences: what was compared -> the largest absolute difference, for values around 1.
    """

    case: str
    config: Mapping[str, object]
    seed: int
    differences: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Section:
    """A family, and what its files and images are compared with.

    Args:
        repository: owner and name of the original, whose checkout is the folder `name`.
        compare: makes generators with the original in a checkout, has it write files into a folder,
            reads them with ours, and yields what came of it; the last argument: a few cases alone.
        package: the original as an installed package, in place of a checkout.
    """

    repository: str
    compare: Callable[[Path, Path, bool], Iterator[Comparison]]
    package: str = ""


@contextlib.contextmanager
def original(checkout: Path) -> Iterator[None]:
    """Import from a checkout within the block; what was imported is forgotten afterwards."""
    before = dict(sys.modules)
    _stand_in_for_absent_modules()
    sys.path.insert(0, str(checkout))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it announces that it is older than this torch
            yield
    finally:
        sys.path.remove(str(checkout))
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None) or ""
            if name not in before and (file.startswith(str(checkout)) or not file):
                del sys.modules[name]


def _stand_in_for_absent_modules() -> None:
    """Give download and build helpers, which are not used here, the modules that they import."""
    stand_ins: dict[str, dict[str, Any]] = {
        "requests": {},
        "distutils": {},
        "distutils.util": {"strtobool": bool},
        "pkg_resources": {"parse_version": _as_version},
        "click": {},
    }
    for name, content in stand_ins.items():
        if name not in sys.modules and importlib.util.find_spec(name) is None:
            module = types.ModuleType(name)
            vars(module).update(content)
            sys.modules[name] = module


def _as_version(text: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", text.partition("+")[0])))


def commit_of(checkout: Path) -> str:
    """The commit of a checkout, or "unknown"."""
    command = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def randomised(network: nn.Module, seed: int) -> nn.Module:
    """The network with every weight and bias random, in eval mode and frozen.

    Biases, strengths and averages, which start at 0, would hide a term that is left out.
    """
    draw = torch.Generator().manual_seed(seed)
    named = [*network.named_parameters(), *network.named_buffers()]
    for name, value in named:
        if name.rpartition(".")[2] in ("bias", "noise_strength", "w_avg"):
            value.data += torch.randn(value.shape, generator=draw) * 0.3
    return network.eval().requires_grad_(False)


def difference(ours: Tensor, theirs: Tensor) -> float:
    """The largest absolute difference, over the larger of 1 and the largest of theirs."""
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    return float((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1))


def gradient_difference(
    ours: Callable[[Tensor], Tensor], theirs: Callable[[Tensor], Tensor], latents: Tensor
) -> float:
    """Norm of the difference of the gradients of a sum of squares, over the norm of theirs."""
    found = []
    with torch.enable_grad():
        for render in (ours, theirs):
            given = latents.detach().clone().requires_grad_()
            found.append(torch.autograd.grad(render(given).square().sum(), given)[0])
    return float((found[0] - found[1]).norm() / found[1].norm())
