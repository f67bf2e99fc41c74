"""Modes that are set for a while and put back: of networks, autograd and global random numbers."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from genviews.rng import Rng

Parts = TypeVar("Parts")
Module = TypeVar("Module", bound=nn.Module)
__all__ = ["evaluated", "evaluating", "frozen", "gradients"]
__all__ += ["ordinary", "own_dropout", "undisturbed"]


def evaluated(module: Module) -> Module:
    """Return a module of the user's in eval mode; parts may be exported programs, without modes."""
    try:
        return module.eval()
    except NotImplementedError:
        for part in module.modules():
            part.training = False
        return module


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module and all its parts in eval mode, and each back as it was afterwards."""
    modes = [(part, part.training) for part in module.modules()]
    # Set by hand: `eval()` is refused by exported modules, and merges weights in some others.
    try:
        for part, _ in modes:
            part.training = False
        yield
    finally:
        for part, training in modes:
            part.training = training


@contextmanager
def gradients() -> Iterator[None]:
    """Let autograd work in a block, or in a function that this decorates, whatever the caller set.

    Whatever needs gradients (inversion, every training) runs in it, since users call us under
    `torch.no_grad()` and `torch.inference_mode()`.
    """
    with torch.inference_mode(False), torch.enable_grad():
        yield


def ordinary(parts: Parts, networks: Iterable[nn.Module]) -> Parts:
    """Return the parts, or a copy of them where weights of their networks forbid gradients.

    Weights that were made under `torch.inference_mode()` do so for ever.
    """
    weights = (t for network in networks for t in (*network.parameters(), *network.buffers()))
    return copy.deepcopy(parts) if any(t.is_inference() for t in weights) else parts


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Let no gradient reach the weights of a module for a while, and afterwards those it did."""
    trained = [weight for weight in module.parameters() if weight.requires_grad]
    try:
        for weight in trained:
            weight.requires_grad_(False)
        yield
    finally:
        for weight in trained:
            weight.requires_grad_(True)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Give back the states of the global random generators as they were before the block."""
    # NPY002: numpy's old global generator is what user code may draw from.
    plain, numpy_state, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    try:
        yield
    finally:
        random.setstate(plain)
        np.random.set_state(numpy_state)  # noqa: NPY002
        torch.set_rng_state(cpu)
        if cuda:
            torch.cuda.set_rng_state_all(cuda)


@contextmanager
def own_dropout(rng: Rng, device: torch.device) -> Iterator[None]:
    """Give torch's global random numbers a seed of ours for a while, and theirs back afterwards."""
    on_gpu = device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if on_gpu else []):
        seed = rng.torch().initial_seed()
        torch.default_generator.manual_seed(seed)
        if on_gpu:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
