"""Style rows of a latent: by name, as a range, by number; as they are said, kept and printed.

A latent (L, D) has L style rows, counted from 0; the first draw the layout, the last the colours.
`LatentSpec.layers` resolves what is said against the rows that a generator has.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, SupportsIndex

import torch

from genviews.checks import check_different, fail

__all__ = ["LayerRange", "LayerRows", "Layers", "layers_name", "named_ranges", "numbered_rows"]
__all__ += ["plain_layers"]


@dataclass(frozen=True, kw_only=True)
class LayerRange:
    """A named, half-open range of style rows [start, stop), e.g. `fine` = rows 5 to 7."""

    name: str
    start: int
    stop: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.stop:
            fail(
                f"layer range {self.name!r}",
                expected="0 <= start < stop",
                got=f"start={self.start}, stop={self.stop}",
                remedy="rows are counted from 0 and the range is half-open",
            )

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def rows(self) -> slice:
        """The rows as a slice for the L axis."""
        return slice(self.start, self.stop)

    @property
    def numbers(self) -> range:
        """The numbers of the rows."""
        return range(self.start, self.stop)


def named_ranges(named: Mapping[str, tuple[int, int]], rows: int) -> tuple[LayerRange, ...]:
    """Name -> (start, stop) as ranges of a generator with so many rows, those of none left out.

    Example:
        >>> named_ranges({"coarse": (0, 4), "fine": (4, 10), "finest": (10, 18)}, 8)[1:]
        (LayerRange(name='fine', start=4, stop=8),)
    """
    cut = {name: (start, min(stop, rows)) for name, (start, stop) in named.items()}
    return tuple(LayerRange(name=n, start=a, stop=b) for n, (a, b) in cut.items() if a < b)


@dataclass(frozen=True, kw_only=True)
class LayerRows:
    """Style rows under one name, which need not adjoin.

    Args:
        name: as it stands in names of results, such as "fine", "5-7" or "0-2,5".
        indices: of the rows, ascending.
    """

    name: str
    indices: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def rows(self) -> slice | list[int]:
        """Index of the L axis: a slice where the rows adjoin."""
        first, last = self.indices[0], self.indices[-1]
        adjoin = last - first + 1 == len(self.indices)
        return slice(first, last + 1) if adjoin else list(self.indices)


Layers = str | int | slice | LayerRange | LayerRows | Iterable[SupportsIndex]
"""How rows are said: a name such as "fine"; "5-7" or "0-2,5", where both ends belong to a band; the
number of one row; any iterable of the numbers of rows, such as (2, 3, 7) or range(5, 8); a
`LayerRange`. Rows are counted from 0, and their order says nothing."""


def plain_layers(layers: object) -> str | LayerRange | tuple[int, ...]:
    """Return rows as a name, a range, or their numbers, ascending: what can be kept and compared.

    Raises:
        TypeError: neither of the forms of `Layers`.
        ValueError: no row, one that is there twice, or a number below 0.

    Example:
        >>> plain_layers([7, 2, 3]), plain_layers(range(5, 8)), plain_layers(slice(5, 8))
        ((2, 3, 7), (5, 6, 7), (5, 6, 7))
    """
    if isinstance(layers, LayerRows):
        rows = layers.rows
        if isinstance(rows, slice):
            return LayerRange(name=layers.name, start=rows.start, stop=rows.stop)
        return layers.indices
    if isinstance(layers, str | LayerRange):
        return layers
    remedy = (
        "name a range such as 'fine', or give the number of each row, such as (2, 3, 7) or "
        "range(5, 8); rows are counted from 0"
    )
    if isinstance(layers, slice):
        if layers.stop is None:
            fail("layers", expected="a slice with both ends", got=layers, remedy=remedy)
        layers = range(layers.start or 0, layers.stop, layers.step or 1)
    try:
        given: list[Any] = list(layers) if isinstance(layers, Iterable) else [layers]
        if any(isinstance(row, bool) or getattr(row, "dtype", None) == torch.bool for row in given):
            raise TypeError
        found = tuple(sorted(operator.index(row) for row in given))
    except TypeError:
        fail("layers", expected="rows", got=repr(layers), remedy=remedy, error=TypeError)
    check_different(found, "layers", "name each row once")
    if not found or found[0] < 0:
        fail("layers", expected="rows from 0 on", got=found or "none", remedy=remedy)
    return found


_ROWS = r"[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*"


def numbered_rows(text: str) -> list[int] | None:
    """The rows of "5-7", both ends included, of "6" or of "0-2,5"; None for a name."""
    if not re.fullmatch(_ROWS, text):
        return None
    bands = (part.partition("-") for part in text.split(","))
    return [
        row
        for first, _, last in bands
        for row in LayerRange(name=text, start=int(first), stop=int(last or first) + 1).numbers
    ]


def layers_name(layers: str | LayerRange | tuple[int, ...]) -> str:
    """Rows in a word: those that adjoin as a band, "2-4,7" for (2, 3, 4, 7)."""
    if isinstance(layers, str):
        return layers
    if isinstance(layers, LayerRange):
        return layers.name
    starts = [row for row in layers if row - 1 not in layers]
    stops = [row for row in layers if row + 1 not in layers]
    bands = zip(starts, stops, strict=True)
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in bands)
