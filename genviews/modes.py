"""Modes that are set for a while and put back: of networks, autograd and global random numbers."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TypeVar

import numpy as np
import torch
from torch import nn, overrides
from torch.utils import _python_dispatch as dispatch

from genviews.checks import check_type
from genviews.rng import Rng

Parts = TypeVar("Parts")
Module = TypeVar("Module", bound=nn.Module)
__all__ = ["evaluated", "evaluating", "frozen", "gradients"]
__all__ += ["ordinary", "own_dropout", "place_of", "surroundings", "undisturbed"]


def place_of(module: nn.Module, what: str = "classifier") -> tuple[torch.device, torch.dtype]:
    """Return device and floating dtype of a module; CPU and float32 for one without weights."""
    check_type(module, nn.Module, what, "a torch module", "give it as an nn.Module")
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point():
            return tensor.device, tensor.dtype
    return torch.device("cpu"), torch.float32


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
    check_type(module, nn.Module, "network", "a torch module", "give it as an nn.Module")
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


def surroundings() -> Callable[[], AbstractContextManager[None]]:
    """Return what is to be entered in another thread, for torch to compute there as it does here.

    That is the default device, mixed precision, whether gradients are recorded, and further modes
    of torch, which a thread of its own does not have. Inference mode is left out: its tensors could
    not be learnt from after it.
    """
    graded, kinds = torch.is_grad_enabled(), ("cpu", "cuda")
    casts = [(k, torch.get_autocast_dtype(k)) for k in kinds if torch.is_autocast_enabled(k)]
    calls = overrides._get_current_function_mode_stack()
    operators = dispatch._get_current_dispatch_mode_stack()

    @contextmanager
    def there() -> Iterator[None]:
        with ExitStack() as stack:
            stack.enter_context(torch.set_grad_enabled(graded))
            for kind, dtype in casts:
                stack.enter_context(torch.autocast(kind, dtype=dtype))
            # Pushed, not entered: some modes do more when they are entered, such as to count anew.
            for operator in operators:
                dispatch._push_mode(operator)
                stack.callback(dispatch._pop_mode)
            for call in calls:
                overrides._push_mode(call)
                stack.callback(overrides._pop_mode)
            yield

    return there


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
