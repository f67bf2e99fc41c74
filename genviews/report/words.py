"""Numbers and names as people read them, the same on the page, in the terminal and in docs."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from genviews.studies.blocks import Cell, Column, Estimate, Kind, Table
from genviews.text import printable

__all__ = [
    "DASH",
    "Shown",
    "cell_words",
    "duration",
    "header",
    "number",
    "short_range",
    "table_words",
    "unbroken",
    "value_words",
]

DASH = "\N{EN DASH}"  # an empty cell
_ALIKE = 100  # of a column, the largest number by the smallest that are shown with equal digits
_UNITS: dict[Kind, str] = {"percent": "%", "points": "points"}
# Spaces at which no line ends: before a unit, within an interval, and about the sign of a p-value.
_HELD = re.compile(
    r"(?<=\d) (?=(?:%|(?:percentage )?points?|s|min|h|[kMG]i?B)(?!\w))|(?<=,) (?=%)"
    r"|(?<=\d,) (?=[-+]?[\d.]+\])|(?<=\bL[12]) (?=\d)|(?<=\bp) (?=[<=] \d)|(?<=\bp [<=]) (?=\d)"
)


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A cell as text: the value, its interval where it has one, and whether it gets a star."""

    text: str
    interval: str = ""
    star: bool = False

    def whole(self, *, interval: bool = True, star: str = "*") -> str:
        """On one line: "+1.9 [+0.9 to +2.9] *"."""
        shown = f" [{self.interval}]" if self.interval and interval else ""
        return self.text + shown + (f" {star}" if self.star else "")


def unbroken(text: str, space: str = "\N{NO-BREAK SPACE}") -> str:
    r"""The text whose numbers no end of a line parts from their unit, or from what they belong to.

    Example:
        >>> unbroken("90.8 % [90.1, 91.5], p = 0.2", "_")
        '90.8_% [90.1,_91.5], p_=_0.2'
    """
    return _HELD.sub(space, text)


def duration(seconds: float) -> str:
    """Seconds in words: "13 ms", "0.2 s", "42 s", "12 min", "3.5 h".

    Example:
        >>> [duration(value) for value in (0.0128, 0.25, 42.4, 725.0, 12600.0)]
        ['13 ms', '0.2 s', '42 s', '12 min', '3.5 h']
    """
    if 0 < seconds < 0.1:
        return f"{1000 * seconds:.1f} ms" if seconds < 0.01 else f"{1000 * seconds:.0f} ms"
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def number(value: float, digits: int | None = None) -> str:
    """Four significant digits, or so many behind the point."""
    return f"{value:.4g}" if digits is None else f"{value:.{digits}f}"


def probability(value: float) -> str:
    """A p-value to three digits behind the point, five where it would be rounded up to 0.05.

    Example:
        >>> probability(0.1234), probability(0.04996), probability(0.9999)
        ('0.123', '0.04996', '1')
    """
    if value >= 0.995:
        return "1"
    return f"{min(value, 0.04999):.5f}" if 0.0495 <= value < 0.05 else f"{value:.3f}"


def value_words(value: float, kind: Kind, digits: int | None = None) -> str:
    """A number of a kind, without its unit.

    Example:
        >>> value_words(0.0123, "points", 2), value_words(1234, "count")
        ('+1.23', '1,234')
    """
    behind = 1 if digits is None else digits
    if kind == "percent":
        return f"{100 * value:.{behind}f}"
    if kind == "points":
        return f"{round(100 * value, behind) + 0.0:+.{behind}f}"  # + 0.0: never "-0.0"
    if kind == "p":
        return "<0.001" if value < 0.001 else probability(value)
    if kind == "count":
        return f"{value:,.0f}"
    return duration(value) if kind == "seconds" else number(value, digits)


def cell_words(cell: Cell, column: Column) -> Shown:
    """A cell of a column as text; nothing of it can steer a terminal."""
    if cell is None:
        return Shown(text="")
    if isinstance(cell, str):
        return Shown(text=printable(cell))
    if not isinstance(cell, Estimate):
        return Shown(text=value_words(cell, column.kind, column.digits))
    text = value_words(cell.value, column.kind, column.digits)
    ends = _ends(cell.interval, column.kind, column.digits)
    interval = "" if ends is None else f"{ends[0]} to {ends[1]}"
    return Shown(text=text, interval=interval, star=cell.significant)


def _ends(
    interval: tuple[float, float] | None, kind: Kind, digits: int | None
) -> tuple[str, str] | None:
    """Both ends of an interval, with as many more digits as it takes to tell them apart.

    Ends of a difference are told apart from 0 as well: an interval that leaves it out shows that.
    """
    if interval is None or interval[0] == interval[1]:  # a point is no interval
        return None
    first = 1 if digits is None else digits
    for more in (digits, *range(first + 1, first + 5)):
        low, high = (value_words(end, kind, more) for end in interval)
        shown = zip((low, high), interval, strict=True)
        hidden = kind == "points" and any(float(text) == 0 and end for text, end in shown)
        if low != high and not hidden:
            break
    return low, high


def table_words(table: Table) -> list[list[Shown]]:
    """Every cell of a table as text; numbers of a column have their points below each other."""
    columns = [_aligned(column, at, table.rows) for at, column in enumerate(table.columns)]
    return [list(map(cell_words, row, columns)) for row in table.rows]


def _aligned(column: Column, at: int, rows: Sequence[Sequence[Cell]]) -> Column:
    """The column with as many digits for all as the largest shows, if none is lost by that."""
    cells = (row[at] for row in rows)
    values = [cell.value if isinstance(cell, Estimate) else cell for cell in cells]
    sizes = [abs(value) for value in values if value is not None and not isinstance(value, str)]
    whole = any(float(size).is_integer() for size in sizes)  # a count among other measures
    if column.kind != "number" or column.digits is not None or whole or not sizes:
        return column
    shown = [number(size) for size in sizes]
    if max(sizes) > _ALIKE * min(sizes) or any("e" in text for text in shown):
        return column
    most = max(0, 3 - math.floor(math.log10(max(sizes))))
    return replace(column, digits=min(most, max(len(text.partition(".")[2]) for text in shown)))


def short_range(estimate: Estimate, kind: Kind, digits: int | None = None) -> str:
    """A value with its interval and unit in a sentence: "+1.9 points [+0.9, +2.9]"."""
    unit = f" {_UNITS[kind]}" if kind in _UNITS else ""
    text = value_words(estimate.value, kind, digits) + unit
    ends = _ends(estimate.interval, kind, digits)
    return text if ends is None else f"{text} [{ends[0]}, {ends[1]}]"


def header(column: Column) -> str:
    """The name of a column with its unit: "accuracy, %"."""
    name = printable(column.name)
    return f"{name}, {_UNITS[column.kind]}" if column.kind in _UNITS else name
