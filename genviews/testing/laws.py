"""What the contract suites share: how a law is said and checked, and the laws of many protocols.

A suite is a class, each law a public method of it whose docstring says the law. It returns when
the law holds, and raises AssertionError, with what it saw, when not.
"""

from __future__ import annotations

import copy
import math
import pickle
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from inspect import isfunction
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from genviews.identity import key

__all__ = [
    "Batched",
    "Described",
    "Laws",
    "close",
    "equal",
    "expect",
    "leaves_no_trace",
    "refuses",
    "sound",
]

T = TypeVar("T")

Check = Callable[..., None]
"""A law as a function of the thing under test, and of what it is tested with."""

Values = Tensor | Mapping[str, Tensor]
"""A tensor, or several by their names."""

ROUND_OFF = 1e-5
"""Differences that float32 arithmetic may make, in units of an image's range [-1, 1]."""


class Laws(Generic[T]):
    """The laws of a protocol; each is asked of an instance of its own, with fresh inputs.

    Args:
        subject: the thing under test.
    """

    def __init__(self, subject: T) -> None:
        self.subject = subject

    @classmethod
    def checks(cls) -> tuple[Check, ...]:
        """Return the laws as functions of the suite's arguments; those that it shares come last."""
        kinds = (kind for kind in cls.__mro__ if issubclass(kind, Laws))
        found = (law for kind in kinds for law in vars(kind).values() if isfunction(law))
        names = dict.fromkeys(law.__name__ for law in found if not law.__name__.startswith("_"))
        return tuple(_of_its_own(cls, getattr(cls, name)) for name in names)

    @classmethod
    def check(cls, *given: Any) -> None:  # noqa: ANN401  (what the suite is made from)
        """Check every law.

        Raises:
            AssertionError: a law is broken, or could not be checked because of another error; the
                message begins with the law.
        """
        for law in cls.checks():
            try:
                law(*given)
            except Exception as error:  # whatever the implementation raises
                kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
                said = law.__name__.replace("_", " ")
                raise AssertionError(f"{said}: {kind}{error}") from error


def _of_its_own(suite: type[Laws[Any]], law: Check) -> Check:
    @wraps(law)
    def check(*given: Any) -> None:  # noqa: ANN401  (what the suite is made from)
        law(suite(*given))

    return check


class Described(Laws[T]):
    """The law of all that stored results depend on."""

    def _others(self) -> dict[str, object]:
        """Things that differ from the subject, by what they differ in."""
        return {}

    def _networks(self, subject: T) -> Sequence[nn.Module]:
        return [subject] if isinstance(subject, nn.Module) else []

    def it_is_described(self) -> None:
        """A copy has the same key for stored results, other settings or tensors have another.

        Results are found by `genviews.identity.key`: they are used again for a copy, and never
        for something else.
        """
        own, other = key(self.subject), copy.deepcopy(self.subject)
        expect(key(other) == own, "a copy is described differently")
        states = (module.state_dict().values() for module in self._networks(other))
        known = (value for state in states for value in state)
        weights = [value for value in known if value.is_floating_point() and value.numel()]
        for weight in weights[:1]:
            weight.detach().add_(1.0)
        for name, thing in (self._others() | ({"tensor": other} if weights else {})).items():
            expect(key(thing) != own, f"another {name} is described alike")


class Batched(Described[T], ABC):
    """The first law of the package: what a sample gets never depends on its neighbours."""

    count: ClassVar[int] = 4
    groups: ClassVar[tuple[list[int], ...]] = ([0], [1], [3, 0, 2], [2, 2])
    tolerance: ClassVar[float] = ROUND_OFF
    labels: Tensor | None = None

    def _labels(self, rows: list[int] | slice) -> Tensor | None:
        return None if self.labels is None else self.labels[rows]

    @abstractmethod
    def _of(self, rows: list[int]) -> dict[str, Tensor]:
        """What the subject gives, in rows and by name, for some of `count` samples together."""

    def neighbours_do_not_matter(self) -> None:
        """A sample alone, in a smaller batch, in another order or twice in it gets the same."""
        whole = self._of(list(range(self.count)))
        for rows in self.groups:
            wanted = {name: value[rows] for name, value in whole.items()}
            close(self._of(rows), wanted, f"the samples {rows}", self.tolerance)


def expect(holds: bool | Tensor, otherwise: str) -> None:
    """Raise AssertionError with what was seen unless something holds, everywhere in a tensor."""
    if not (holds.all() if isinstance(holds, Tensor) else holds):
        raise AssertionError(otherwise)


def equal(got: Values, wanted: Values, what: str) -> None:
    """Raise AssertionError unless tensors are equal, bit for bit."""
    for one, other, name in _pairs(got, wanted, what):
        expect(torch.equal(one, other), f"{name}: another shape or value")


def close(got: Values, wanted: Values, what: str, tolerance: float = ROUND_OFF) -> None:
    """Raise AssertionError unless tensors are equal up to round-off.

    Args:
        got: what the thing under test gave.
        wanted: of the same names and shapes; where it is not finite, `got` must be so too.
        what: named in the message.
        tolerance: allowed difference, or that fraction of the largest value where it is above 1.
    """
    for one, other, name in _pairs(got, wanted, what):
        expect(one.shape == other.shape, f"{name}: {tuple(one.shape)}, not {tuple(other.shape)}")
        one, other = one.detach().double(), other.detach().double()
        finite = other.isfinite()
        expect(one.isfinite() == finite, f"{name}: finite in other places")
        if finite.any():
            off = float((one - other)[finite].abs().max())
            allowed = tolerance * max(1.0, float(other[finite].abs().max()))
            expect(off <= allowed, f"{name}: differ by {off:.3g}, allowed is {allowed:.3g}")


def _pairs(got: Values, wanted: Values, what: str) -> Iterator[tuple[Tensor, Tensor, str]]:
    """Tensors of one name, with what is told of them."""
    if isinstance(got, Tensor) and isinstance(wanted, Tensor):
        yield got, wanted, what
    if isinstance(got, Mapping) and isinstance(wanted, Mapping):
        expect(got.keys() == wanted.keys(), f"{what}: {sorted(got)}, not {sorted(wanted)}")
        yield from ((got[name], wanted[name], f"{name} of {what}") for name in wanted)


def sound(
    value: Tensor,
    what: str,
    shape: Sequence[int],
    *,
    device: torch.device | None = None,
    dtype: torch.dtype | None = None,
    most: float = math.inf,
) -> None:
    """Raise AssertionError unless a tensor is what was declared.

    Args:
        value: must be finite.
        what: named in the message.
        shape: that it must have.
        device: of the kind that it must be on; None for any, likewise below.
        dtype: that it must have.
        most: largest magnitude.
    """
    expect(value.shape == tuple(shape), f"{what} {tuple(value.shape)}, not {tuple(shape)}")
    expect(device is None or value.device.type == device.type, f"{what} are on {value.device}")
    expect(dtype is None or value.dtype == dtype, f"{what} are {value.dtype}, not {dtype}")
    value, finite = value.detach(), value.isfinite()
    expect(finite, f"{what} are not finite: {value[~finite][:3].tolist()} among them")
    largest = float(value.abs().max()) if value.numel() else 0.0
    expect(largest <= most, f"{what} have values up to {largest:.5g}, allowed is {most:.5g}")


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


@contextmanager
def leaves_no_trace(*things: nn.Module | Tensor) -> Iterator[None]:
    """Raise AssertionError if the block changes what is not its own.

    That is the global random state of torch and NumPy, the grad mode, tensors, and of each module
    the tensors, the mode, and which parameters are trained.
    """
    random, enabled = _random_state(), torch.is_grad_enabled()
    before = [_state(thing) for thing in things]
    yield
    expect(_random_state() == random, "a global random number was drawn")
    expect(torch.is_grad_enabled() == enabled, "the grad mode was changed")
    for thing, state in zip(things, before, strict=True):
        equal(_state(thing), state, f"{type(thing).__name__}, which was changed")


def _random_state() -> tuple[bytes, bytes]:
    numpy = np.random.get_state()  # noqa: NPY002  (read)
    return torch.get_rng_state().numpy().tobytes(), pickle.dumps(numpy)


def _state(thing: nn.Module | Tensor) -> dict[str, Tensor]:
    """Copies of the tensors by name; of a module also its mode and which parameters are trained."""
    if isinstance(thing, Tensor):
        return {"values": thing.detach().clone()}
    settings = [thing.training, *(parameter.requires_grad for parameter in thing.parameters())]
    tensors = {name: value.clone() for name, value in thing.state_dict().items()}
    return {"mode or freezing": torch.tensor(settings), **tensors}
