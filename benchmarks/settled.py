"""Networks of others without their compiled operators and downloads, with weights that settle.

Their own fallbacks for the CPU run in the operators' place. See `benchmarks.generators`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock, patch

import torch
import torchvision
from torch import nn

from benchmarks.agreement import original

__all__ = ["imported", "settled"]

_CLOUD = ("boto3", "botocore", "botocore.exceptions")  # imported at once, used by a download alone


@contextmanager
def imported(checkout: Path, *names: str) -> Iterator[list[Any]]:
    """Import modules of a checkout; they are forgotten afterwards, as others have their names."""
    plain = torchvision.models.resnet34
    alexnet = sys.modules["torchvision.models.alexnet"]
    with (
        original(checkout),
        patch.dict(sys.modules, {name: MagicMock() for name in _CLOUD}),
        patch("torch.utils.cpp_extension.load", MagicMock()),
        patch.object(torchvision.models.resnet, "resnet34", lambda pretrained=False: plain()),
        patch.object(torchvision.models, "resnet34", lambda pretrained=False: plain()),
        patch.object(torchvision.models.resnet, "model_urls", {}, create=True),
        patch.object(alexnet, "model_urls", {}, create=True),
    ):
        yield [importlib.import_module(name) for name in names]


def settled(network: nn.Module, *inputs: Any, seed: int = 0) -> Any:  # noqa: ANN401 (of others)
    """Give a network random weights whose activations keep their size, in eval mode and frozen.

    Biases, which start at 0, would hide a term that is left out. Batch norms take the statistics of
    the inputs, so that nothing explodes or dies on the way.
    """
    noise = torch.Generator().manual_seed(seed)
    for name, tensor in network.named_parameters():
        if name.endswith(("noise.weight", "apply_noise.weight")):
            tensor.data.normal_(std=0.2, generator=noise)
        elif tensor.ndim < 2:
            tensor.data += 0.1 * torch.randn(tensor.shape, generator=noise)
        elif name.startswith("mapping.dense"):
            tensor.data.normal_(std=100.0, generator=noise)  # as trained: a rate of 0.01 is undone
        elif name.startswith("styles") and tensor.ndim == 4:
            tensor.data *= 6**0.5  # torch's first weights would make a row's answer next to nothing
    for name, tensor in network.named_buffers():
        if name.endswith(("running_means", "running_vars", "stored_mean", "stored_var")):
            tensor.normal_(std=0.2, generator=noise)
            if "var" in name:
                tensor.abs_().add_(0.7)
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.momentum = None
        norm.reset_running_stats()
    if norms:
        with torch.no_grad():
            network.train()(*inputs)
    return network.eval().requires_grad_(False)
