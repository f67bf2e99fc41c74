"""What a file says of itself, before it is believed: JSON, and networks that are built from it.

    header, card or config -> JSON of the right kind -> a network no larger than its file -> weights

A file may be damaged, of another kind, or made to do harm. Whatever is wrong with what it says is a
sentence that names the file, and is found before memory or time is spent on it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from genviews.checks import fail

__all__ = ["at_most", "described_by", "parse_json", "parse_object"]

REMEDY = "it is damaged or of another kind: write or fetch it again"

# A network under construction may hold so much more than its file: buffers that are no weights, and
# values that first weights are drawn from. Chosen by us; ours need a quarter of it.
_SPARE_TENSORS, _SPARE_NUMBERS = 2000, 2**22
_FACTOR = 8

# First weights are not drawn where a file replaces them: much of the time of loading went there.
_DRAWS = (torch.ops.aten.normal_.default, torch.ops.aten.uniform_.default)


def parse_json(text: str | bytes, what: str, expected: str = "JSON") -> Any:  # noqa: ANN401 (JSON)
    """Return the value of a JSON text.

    Raises:
        ValueError: no JSON, or such as is too deep; starts with `what`.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        deep = isinstance(error, RecursionError)
        got = "brackets in each other without end" if deep else f"no JSON ({error})"
        fail(what, expected=expected, got=got, remedy=REMEDY)


def parse_object(text: str | bytes, what: str) -> dict[str, Any]:
    """Return a JSON object; else as `parse_json`."""
    value = parse_json(text, what, "a JSON object")
    if not isinstance(value, dict):
        got = f"a {type(value).__name__}"
        fail(what, expected="a JSON object", got=got, remedy=REMEDY)
    return value


@contextmanager
def described_by(what: str, expected: str, remedy: str = REMEDY) -> Iterator[None]:
    """Turn whatever a `with` block raises over what a file says into a sentence that names it.

    Args:
        what: holds the description, with the name of its file.
        expected: of it, in words.
        remedy: see `fail`.

    Raises:
        ValueError: what the file says cannot be used; the block's own message is part of this one.
        ImportError: a package that it needs is not installed.

    Example:
        >>> with described_by("config in a.json", "a size"):
        ...     int("large")
        Traceback (most recent call last):
        ValueError: config in a.json: expected a size, got another one (invalid literal for int()
        with base 10: 'large'); it is damaged or of another kind: write or fetch it again.
    """
    try:
        yield
    except OSError:
        raise
    except Exception as error:  # a file may say anything, so anything may be raised
        if isinstance(error, ValueError) and str(error).startswith(f"{what}: expected "):
            raise  # it is such a sentence already
        lines = str(error).strip().splitlines() or ["no message"]
        told = lines[0].rstrip(".") if isinstance(error, ValueError | ImportError) else ""
        told = told or f"{type(error).__name__}: {lines[0]}"
        kind = ImportError if isinstance(error, ImportError) else ValueError
        fail(what, expected=expected, got=f"another one ({told})", remedy=remedy, error=kind)


@contextmanager
def at_most(weights: Mapping[str, Tensor]) -> Iterator[None]:
    """Refuse to build a network that is far larger than the weights that it is built for.

    Raises:
        ValueError: a tensor of it was about to be made that would be beyond that.
    """
    with _Bound(len(weights), sum(one.numel() for one in weights.values())):
        yield


class _Bound(TorchDispatchMode):
    """Counts the tensors that are made while it is on, and their numbers, before they are."""

    def __init__(self, tensors: int, numbers: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's own
        self._tensors = _FACTOR * tensors + _SPARE_TENSORS
        self._numbers = _FACTOR * numbers + _SPARE_NUMBERS
        self._file = f"{tensors} tensors of {numbers:,} numbers"

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 (whatever the operation gives)
        size = _made_by(func, args)
        if size is not None:
            self._tensors, self._numbers = self._tensors - 1, self._numbers - size
        if self._tensors < 0 or self._numbers < 0:
            got = "the description of a far larger one"
            fail("network", expected=f"one of {self._file}", got=got, remedy=REMEDY)
        if func in _DRAWS and isinstance(args[0], nn.Parameter):
            return args[0]
        return func(*args, **(kwargs or {}))


def _made_by(func: Callable[..., Any], args: tuple[Any, ...]) -> int | None:
    """How many numbers an operation makes that makes a tensor anew; None for others."""
    name = str(func).removeprefix("aten.").partition(".")[0]
    if name in ("empty_like", "zeros_like", "ones_like", "rand_like", "randn_like", "full_like"):
        return int(args[0].numel())
    if name in ("empty", "zeros", "ones", "rand", "randn", "full", "empty_strided"):
        return math.prod(int(side) for side in args[0])
    return None
