"""What the contract suites share: how a law is checked, and how a breach of it is told.

A law is a function of the thing under test. It returns when the law holds, and raises
AssertionError, with what it saw, when not.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from inspect import isfunction
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from genviews.identity import key

__all__ = [
    "ROUND_OFF",
    "described_apart",
    "expect",
    "laws_of",
    "leaves_no_trace",
    "refuses",
    "run_laws",
    "same",
    "with_another_weight",
]

T = TypeVar("T")

ROUND_OFF = 1e-5
"""Differences that float32 arithmetic may make, in units of an image's range [-1, 1]."""


def laws_of(suite: Mapping[str, Any]) -> tuple[Callable[..., None], ...]:
    """Return the laws that a module states: its public functions that it does not export.

    Args:
        suite: the module's `globals()`, after the last law.
    """
    here, exported = suite["__name__"], suite["__all__"]
    stated = {name: f for name, f in suite.items() if name[0] != "_" and name not in exported}
    return tuple(f for f in stated.values() if isfunction(f) and f.__module__ == here)


def run_laws(laws: Sequence[Callable[..., None]], *subject: Any) -> None:  # noqa: ANN401  (any protocol)
    """Check every law on one subject.

    Raises:
        AssertionError: a law is broken, or could not be checked because of another error; the
            message begins with the law.
    """
    for law in laws:
        try:
            law(*subject)
        except Exception as error:  # whatever the implementation raises
            kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
            raise AssertionError(f"{law.__name__.replace('_', ' ')}: {kind}{error}") from error


def expect(holds: bool, otherwise: str) -> None:
    """Raise AssertionError with what was seen unless something holds."""
    if not holds:
        raise AssertionError(otherwise)


def same(got: Tensor, wanted: Tensor, what: str, tolerance: float = ROUND_OFF) -> None:
    """Raise AssertionError unless two tensors are equal up to round-off.

    Args:
        got: what the thing under test gave.
        wanted: of the same shape; where it is not finite, `got` must be so too.
        what: named in the message.
        tolerance: allowed difference, or that fraction of the largest value where it is above 1.
    """
    expect(got.shape == wanted.shape, f"{what}: {tuple(got.shape)}, not {tuple(wanted.shape)}")
    if got.numel() == 0:
        return
    got, wanted = got.detach().double(), wanted.detach().double()
    finite = wanted.isfinite()
    expect(bool((got.isfinite() == finite).all()), f"{what}: finite in other places")
    difference = float(torch.where(finite, got - wanted, 0.0).abs().max())
    allowed = tolerance * max(1.0, float(torch.where(finite, wanted, 0.0).abs().max()))
    expect(difference <= allowed, f"{what}: differ by {difference:.3g}, allowed is {allowed:.3g}")


def refuses(
    call: Callable[[], object],
    what: str,
    error: type[Exception] | tuple[type[Exception], ...] = ValueError,
) -> None:
    """Raise AssertionError unless a call is refused with this kind of error."""
    try:
        call()
    except error:
        return
    raise AssertionError(f"{what} was taken")


def described_apart(thing: object, **others: object) -> None:
    """Raise AssertionError unless a copy has the thing's key, and none of the others has it.

    Stored results are found by `genviews.identity.key`: they are used again for a copy, and never
    for something else.
    """
    own = key(thing)
    expect(key(copy.deepcopy(thing)) == own, "a copy is described differently")
    for name, other in others.items():
        expect(key(other) != own, f"another {name} is described alike")


def with_another_weight(thing: T, modules: Callable[[T], Sequence[nn.Module]]) -> T | None:
    """Return a copy with one tensor of its networks changed; None where they have none."""
    other = copy.deepcopy(thing)
    for module in modules(other):
        for weight in module.state_dict().values():
            if weight.is_floating_point() and weight.numel():
                weight.detach().add_(1.0)
                return other
    return None


@contextmanager
def leaves_no_trace() -> Iterator[None]:
    """Raise AssertionError if the block draws a global random number or changes the grad mode."""
    state, enabled = torch.get_rng_state(), torch.is_grad_enabled()
    yield
    expect(torch.equal(torch.get_rng_state(), state), "a global random number was drawn")
    expect(torch.is_grad_enabled() == enabled, "the grad mode was changed")
