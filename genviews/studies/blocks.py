"""What a result is made of: tables, curves, bars, pictures and notes, as plain data.

A block holds numbers as they were computed (an accuracy is a share in [0, 1], a duration is
seconds) and says of what kind they are. How they look is the business of `genviews.report`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from torch import Tensor

from genviews.checks import fail

__all__ = [
    "BarColumn",
    "Bars",
    "Block",
    "Cell",
    "Chart",
    "Column",
    "Curves",
    "Estimate",
    "Grid",
    "Images",
    "Kind",
    "Mark",
    "Note",
    "Picture",
    "Pixels",
    "Series",
    "Table",
    "Tone",
    "chart_of",
    "unmarked",
]

Kind = Literal["text", "count", "number", "percent", "points", "p", "seconds"]
"""Of a column or an axis: words; whole numbers; other numbers; shares, shown as percentages;
differences of shares, shown as signed percentage points; p-values; durations."""

Tone = Literal["", "better", "worse", "level", "reference", "right", "wrong"]
"""What a row or a picture says, for colours and marks: "better" and "worse" are differences that
chance does not explain, "level" is surely none that matters, "reference" is what others are
compared with, "right" and "wrong" are predictions."""


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval.

    Args:
        value: the number.
        interval: (low, high); None where none is known.
        significant: of a difference, that chance does not explain it; shown with a star.
    """

    value: float
    interval: tuple[float, float] | None = None
    significant: bool = False


Cell: TypeAlias = str | int | float | Estimate | None


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table.

    Args:
        name: its header, without a unit: that follows from the kind.
        kind: of its cells.
        digits: behind the point; None is what suits the kind.
        priority: 0 is always shown; a narrow terminal drops the highest first.
        help: what it means, for whoever asks.
    """

    name: str
    kind: Kind = "text"
    digits: int | None = None
    priority: int = 1
    help: str = ""


@dataclass(frozen=True, kw_only=True)
class _Section:
    """What all sections have.

    Args:
        title: of the section; "" of a note is a remark between sections.
        caption: what to see, in a sentence.
        folded: whether the page shows it on demand alone.
    """

    title: str
    caption: str = ""
    folded: bool = False


@dataclass(frozen=True, kw_only=True)
class Table(_Section):
    """Rows of numbers. The first column names the rows.

    Args:
        columns: what each row holds.
        rows: as many cells as columns, each; None is an empty cell.
        highlight: place of the row that the verdict is about; None: of none.
        tones: what each row says; () where rows say nothing.
        breaks: places of rows that begin a new group.

    Raises:
        ValueError: rows or tones of another number than the columns or rows.

    Example:
        >>> columns = (Column(name="views"), Column(name="accuracy", kind="percent"))
        >>> len(Table(title="Accuracy", columns=columns, rows=(("none", 0.9),)).rows)
        1
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    highlight: int | None = None
    tones: tuple[Tone, ...] = ()
    breaks: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        _same(self.title, "cells of a row", len(self.columns), [len(row) for row in self.rows])
        if self.tones:
            _same(self.title, "tones", len(self.rows), [len(self.tones)])


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line of a chart.

    Args:
        name: of the line.
        x: places, ascending.
        y: as many values; of `steps` one fewer: a bar between two places each.
        low: lower ends of their intervals; () for none.
        high: upper ends.
        style: "line", "dashed", "points" (no line), "steps" (outlined bars) or "filled" bars.
    """

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    style: Literal["line", "dashed", "points", "steps", "filled"] = "line"


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A place of a chart to look at, e.g. the chosen weight.

    Args:
        x: where a line is drawn down.
        label: beside it.
        y: value of a dot there; None: no dot.
    """

    x: float
    label: str
    y: float | None = None


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Lines over one pair of axes.

    Args:
        title: of the chart; "" where the block's title says it.
        x_label: words under the axis.
        y_label: words beside the other.
        series: the lines.
        kind: of the y values.
        log_x: whether the x axis is logarithmic.
        marks: places to look at.
        level: a value that lines are compared with, drawn across; None for none.
    """

    title: str = ""
    x_label: str = ""
    y_label: str = ""
    series: tuple[Series, ...]
    kind: Kind = "number"
    log_x: bool = False
    marks: tuple[Mark, ...] = ()
    level: float | None = None


def chart_of(table: Table, names: Sequence[str], *, title: str = "", y_label: str) -> Chart:
    """Columns of a table as lines over its first column, with their intervals.

    Args:
        table: with numbers or estimates in these columns.
        names: of the columns, all of one kind.
        title: see `Chart`.
        y_label: see `Chart`.
    """
    places = {column.name: place for place, column in enumerate(table.columns)}
    x, *lines = ([row[at] for row in table.rows] for at in (0, *map(places.__getitem__, names)))
    return Chart(
        title=title,
        x_label=table.columns[0].name,
        y_label=y_label,
        kind=table.columns[places[names[0]]].kind,
        series=tuple(_line(name, x, cells) for name, cells in zip(names, lines, strict=True)),
    )


def _line(name: str, x: Sequence[Cell], cells: Sequence[Cell]) -> Series:
    known = [cell if isinstance(cell, Estimate) else Estimate(_number(cell)) for cell in cells]
    # Where some have an interval, one without is drawn as a point.
    some = any(one.interval is not None for one in known)
    ends = [one.interval or (one.value, one.value) for one in known] if some else []
    return Series(
        name=name,
        x=tuple(map(_number, x)),
        y=tuple(one.value for one in known),
        low=tuple(low for low, _ in ends),
        high=tuple(high for _, high in ends),
    )


def _number(cell: Cell) -> float:
    assert isinstance(cell, (int, float))  # or it has no place on an axis
    return float(cell)


@dataclass(frozen=True, kw_only=True)
class Curves(_Section):
    """One chart, or several that are read side by side.

    Args:
        charts: in order.
    """

    charts: tuple[Chart, ...]


@dataclass(frozen=True, kw_only=True)
class BarColumn:
    """One measure of every row of `Bars`.

    Args:
        label: words under the axis.
        values: one a row; None where it has none.
        kind: of the values.
        level: what rows are compared with, drawn as a line; None for none.
        tones: of the rows; a row that is neither better nor worse is drawn hollow.
        beyond: places of rows that may lie beyond the axis, such as controls that are far behind.
    """

    label: str
    values: tuple[Estimate | None, ...]
    kind: Kind = "number"
    level: float | None = None
    tones: tuple[Tone, ...] = ()
    beyond: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Bars(_Section):
    """A dot and its interval for each row (a forest plot), for one measure or several.

    Args:
        names: of the rows.
        columns: the measures.

    Raises:
        ValueError: a column with another number of values or tones than there are rows.
    """

    names: tuple[str, ...]
    columns: tuple[BarColumn, ...]

    def __post_init__(self) -> None:
        _same(self.title, "values", len(self.names), [len(c.values) for c in self.columns])
        _same(self.title, "tones", len(self.names), [len(c.tones) for c in self.columns if c.tones])


Pixels: TypeAlias = Tensor | Callable[[], Tensor] | None
"""(C, H, W) in [-1, 1], or what makes it when it is shown; None once it was read from a record."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture of a grid.

    Args:
        pixels: see `Pixels`; no part of the record, nor of comparisons.
        caption: below it, a few words.
        tone: "right" or "wrong" of a prediction, or "".
    """

    pixels: Pixels = field(default=None, repr=False, compare=False)
    caption: str = ""
    tone: Tone = ""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Pictures in rows and columns.

    Args:
        title: of the grid, e.g. the name of an image; "" for none.
        text: a sentence below it.
        columns: words above each column; () for none. Equal neighbours share one header.
        rows: words beside each row; () for none.
        pictures: the pictures, row by row; rows may be of different length.
    """

    title: str = ""
    text: str = ""
    columns: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    pictures: tuple[tuple[Picture, ...], ...]

    def __post_init__(self) -> None:
        if self.rows:
            _same(self.title or "grid", "names of rows", len(self.pictures), [len(self.rows)])


@dataclass(frozen=True, kw_only=True)
class Images(_Section):
    """Pictures to look at.

    Args:
        grids: in order.
    """

    grids: tuple[Grid, ...]


@dataclass(frozen=True, kw_only=True)
class Note(_Section):
    """Plain text, a paragraph a line.

    Args:
        text: what is to be said.
    """

    title: str = ""
    text: str


Block: TypeAlias = Table | Curves | Bars | Images | Note


def unmarked(block: Block) -> Block:
    """The block without what it says of its numbers: the row of the verdict, tones, stars."""
    if isinstance(block, Table):
        rows = tuple(tuple(map(_unstarred, row)) for row in block.rows)
        return replace(block, rows=rows, tones=_neutral(block.tones), highlight=None)
    if isinstance(block, Bars):
        columns = (replace(column, tones=_neutral(column.tones)) for column in block.columns)
        return replace(block, columns=tuple(columns))
    return block


def _unstarred(cell: Cell) -> Cell:
    return replace(cell, significant=False) if isinstance(cell, Estimate) else cell


def _neutral(tones: Sequence[Tone]) -> tuple[Tone, ...]:
    return tuple("" if tone in ("better", "worse") else tone for tone in tones)


def _same(title: str, what: str, count: int, found: Sequence[int]) -> None:
    wrong = [number for number in found if number != count]
    if wrong:
        fail(f"{what} of {title!r}", expected=count, got=wrong[0], remedy="give one for each")
