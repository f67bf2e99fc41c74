"""A result in the terminal: the answer in a sentence and a table; the rest is on the page."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from genviews.report.text import claims_table
from genviews.report.words import Shown, header, table_words, unbroken
from genviews.studies.blocks import Note, Table
from genviews.studies.result import Result
from genviews.text import printable

__all__ = ["show", "show_alarm", "terminal_table"]

_STYLES = {"better": "green", "worse": "red", "reference": "dim"}
_NAME = 24  # characters of a name that stay on one line, where there is room
_NAMED = 3  # files left out that are named
_HELD = "\ue000"  # a space at which Rich does not wrap; `printable` leaves none in a text


def show(result: Result, console: Console) -> None:
    """Print gates that do not hold, the verdict, its table, claims, and what was left out.

    Args:
        result: what is shown.
        console: where; its width decides which columns there is room for.
    """
    show_alarm(result, console)
    _say(console, result.verdict, "bold")
    tables = [] if result.answer is None else [result.answer]
    tables += [claims_table(result.claims)] if result.claims else []
    for table in tables:
        console.print()
        console.print(terminal_table(table, console.width))
    for block in result.blocks:
        if isinstance(block, Note) and not block.title:
            _say(console, block.text, "")
    _say_skipped(console, result)


def show_alarm(result: Result, console: Console) -> None:
    """Print the gates that do not hold, in red, each with what to do; nothing where all hold."""
    if not result.shut:
        return
    _say(console, result.alarm, "bold white on red")
    for place, gate in enumerate(result.shut, 1):
        _say(console, f"{place}. {gate.found}", "red", indent=3)
        _say(console, f"   To do: {gate.remedy}", "bold red", indent=3)
    console.print()


def _say(console: Console, text: str, style: str, *, indent: int = 0) -> None:
    """Print text, its further lines indented."""
    for line in text.splitlines():
        held = unbroken(printable(line), _HELD)
        shown = Text(held, style if console.is_terminal else "")
        parts = shown.wrap(console, max(20, console.width - indent))
        for place, part in enumerate(parts):
            part.plain = part.plain.rstrip().replace(_HELD, " ")
            console.print(Text(" " * indent * (place > 0)) + part)


def _say_skipped(console: Console, result: Result) -> None:
    names = [name for name, _ in result.record.skipped]
    if names:
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        files = "file" if len(names) == 1 else "files"
        shown = ", ".join(names[:_NAMED])
        _say(
            console,
            f"Left out, with reasons in the report: {len(names)} {files} ({shown}{more})",
            "",
        )


@dataclass(frozen=True, kw_only=True)
class _Shape:
    """Which columns are shown, which of them with intervals, and whether heads of numbers wrap."""

    columns: tuple[int, ...]
    intervals: frozenset[int]
    wrapped: bool = False


def terminal_table(table: Table, width: int = 80) -> RichTable:
    """A table that fits a terminal, with the columns that there is room for.

    Names wrap between words and numbers stay whole; where there is too little room, heads wrap and
    intervals and columns go, those of the least weight first. A star marks a difference that chance
    does not explain, whatever the colours.

    Args:
        table: what is shown.
        width: of the terminal in characters.
    """
    cells = table_words(table)
    gap = 2 if width >= 60 else 1
    shape = _fit(table, cells, width, gap)
    starred = any(cell.star for row in cells for cell in row)
    caption = " ".join(filter(None, (table.caption, "* significant." if starred else "")))
    found = RichTable(
        title=Text(printable(table.title)),
        caption=Text(printable(caption)),
        title_justify="left",
        caption_justify="left",
        box=None,
        padding=(0, gap, 0, 0),
        pad_edge=False,
    )
    free = width - _width(table, cells, shape, gap)
    if any(table.columns[at].kind == "text" for at in shape.columns[1:]):
        free = max(free, 0)  # those wrap further; the name stays whole
    for place in shape.columns:
        column = table.columns[place]
        head = Text(header(column))
        if column.kind == "text" and place != 0:
            found.add_column(head)
        elif place == 0:
            longest = max([len(head), *(len(row[0].text) for row in cells)])
            least = max(_least(cells, 0), min(longest, _NAME if gap > 1 else 0))
            found.add_column(head, width=max(1, min(longest, least + free)))
        else:
            wide = _of_numbers(table, cells, place, shape)
            found.add_column(head, justify="right", width=wide)
    for place, row in enumerate(cells):
        tone = table.tones[place] if table.tones else ""
        bold = "bold " if place == table.highlight else ""
        shown = [_text(at, row[at], shape) for at in shape.columns]
        found.add_row(*map(Text, shown), style=(bold + _STYLES.get(tone, "")).strip())
    return found


def _text(at: int, cell: Shown, shape: _Shape) -> str:
    return cell.whole(interval=at in shape.intervals)


def _fit(table: Table, cells: list[list[Shown]], width: int, gap: int) -> _Shape:
    """Drop intervals and columns, the least important first."""
    shape = _Shape(
        columns=tuple(range(len(table.columns))),
        intervals=frozenset(
            at for at in range(len(table.columns)) if any(row[at].interval for row in cells)
        ),
    )
    # An interval goes half a step before its column, the leftmost first: differences are further
    # right. Columns of priority 0 never go.
    steps = [(table.columns[at].priority + 0.5, -at, at, True) for at in shape.intervals]
    steps += [(float(c.priority), at, at, False) for at, c in enumerate(table.columns) if at]
    shape = replace(shape, wrapped=_width(table, cells, shape, gap) > width)
    for priority, _, at, interval in sorted(steps, reverse=True):
        if _width(table, cells, shape, gap) <= width:
            break
        if interval:
            shape = replace(shape, intervals=shape.intervals - {at})
        elif priority > 0:
            shape = replace(shape, columns=tuple(c for c in shape.columns if c != at))
    return shape


def _width(table: Table, cells: list[list[Shown]], shape: _Shape, gap: int) -> int:
    """What a table needs at least, with names and words wrapped between words."""
    total = 0
    for at in shape.columns:
        column, head = table.columns[at], header(table.columns[at])
        if column.kind == "text":
            words = max(_least(cells, at), *(len(word) for word in head.split()))
            longest = max([len(head), *(len(row[at].text) for row in cells)])
            total += max(words, min(longest, _NAME if gap > 1 else 0))
        else:
            total += _of_numbers(table, cells, at, shape)
    return total + gap * (len(shape.columns) - 1)


def _of_numbers(table: Table, cells: list[list[Shown]], at: int, shape: _Shape) -> int:
    """The width of a column of numbers, which never wrap; a unit stays with the word before it."""
    head = header(table.columns[at])
    heads = unbroken(head, _HELD).split() if shape.wrapped else [head]
    return max(map(len, [*heads, *(_text(at, row[at], shape) for row in cells)]))


def _least(cells: list[list[Shown]], at: int) -> int:
    """The longest word of a column."""
    return max((len(word) for row in cells for word in row[at].text.split()), default=1)
