"""Results as text files: CSV for programs and spreadsheets, Markdown for docs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from genviews.report.words import header, short_range, table_words
from genviews.studies.blocks import Cell, Column, Estimate, Note, Table
from genviews.studies.result import Claim, Result
from genviews.text import printable

__all__ = [
    "STARRED",
    "claims_table",
    "csv_rows",
    "csv_text",
    "legend",
    "markdown",
    "markdown_table",
    "table_csv",
]

STARRED = "\\* A difference that chance does not explain."
"""What the star behind a difference means, as Markdown."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return CSV with a first line of column names.

    Text that a spreadsheet would take for a formula gets an apostrophe, as spreadsheets do it
    themselves, and what draws nothing is written out: a row stays one line.

    Args:
        columns: the names.
        rows: cells; None is empty.

    Example:
        >>> print(csv_text(["id", "loss"], [["=1+1", -0.5], ["a,b", None]]), end="")
        id,loss
        '=1+1,-0.5
        "a,b",
    """
    return csv_rows([columns]) + csv_rows(rows)


def csv_rows(rows: Iterable[Sequence[object]]) -> str:
    """Return lines of CSV, as `csv_text` does, without a line of names."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([_safe(c) for c in row] for row in rows)
    return out.getvalue()


def _safe(cell: object) -> object:
    if not isinstance(cell, str):
        return cell
    return printable(f"'{cell}" if cell.startswith(_FORMULA) else cell)


def table_csv(table: Table) -> str:
    """A table with the numbers as they are: an interval has two columns of its own."""
    pairs = [
        any(isinstance(row[place], Estimate) for row in table.rows)
        for place in range(len(table.columns))
    ]
    names: list[str] = []
    for column, pair in zip(table.columns, pairs, strict=True):
        own = column.name.replace(" ", "_")
        names += [own, f"{own}_low", f"{own}_high"] if pair else [own]
    rows = [
        [part for cell, pair in zip(row, pairs, strict=True) for part in _parts(cell, pair=pair)]
        for row in table.rows
    ]
    return csv_text(names, rows)


def _parts(cell: Cell, *, pair: bool) -> list[object]:
    if not pair:
        return [cell]
    value = cell.value if isinstance(cell, Estimate) else cell
    interval = cell.interval if isinstance(cell, Estimate) else None
    return [value, *(interval or (None, None))]


def claims_table(claims: Sequence[Claim]) -> Table:
    """Claims as a table: what is said, what was measured, and what follows."""
    tested = any(claim.p_value is not None for claim in claims)
    corrected = "corrected for the number of claims (Holm); the outcome rests on it"
    columns = [
        Column(name="claim", priority=0),
        Column(name="outcome", priority=0),
        Column(name="measured", priority=1),
        Column(name="said", priority=2),
        *([Column(name="p", kind="p", priority=3, help=corrected)] if tested else []),
    ]
    rows = [(c.text, c.outcome, short_range(c.measured, c.kind), c.said, c.p_value) for c in claims]
    return Table(
        title="Claims",
        columns=tuple(columns),
        rows=tuple(row if tested else row[:4] for row in rows),
        caption="The interval is of 95 %.",
    )


def markdown_table(table: Table) -> list[str]:
    """A table as lines of Markdown; the highlighted row is bold, a star marks a difference."""
    lines = [_line(header(column) for column in table.columns)]
    rules = ["---" if column.kind == "text" else "---:" for column in table.columns]
    lines.append(_line(rules))
    for place, row in enumerate(table_words(table)):
        cells = [shown.whole(star="\\*").replace("|", "\\|") for shown in row]
        if place == table.highlight:
            cells[0] = f"**{cells[0]}**"
        lines.append(_line(cells))
    return lines


def markdown(result: Result, *, level: int = 2) -> list[str]:
    """The verdict, tables, claims and notes of a result as lines of Markdown.

    Args:
        result: what is shown; figures and pictures are on its page alone.
        level: of the title's heading; sections are one deeper.
    """
    head, sub = "#" * level, "#" * (level + 1)
    lines = [f"{head} {printable(result.title)}", ""]
    lines += [f"**{result.alarm}.**", ""] if result.shut else []
    lines += [f"- {printable(gate.found)} *{printable(gate.remedy)}*" for gate in result.shut]
    lines += [""] if result.shut else []
    lines += [f"**{printable(result.verdict)}**", ""]
    if result.record.command:
        seed = "" if result.record.seed is None else f", seed {result.record.seed}"
        lines += [f"`{printable(result.record.command)}`{seed}.", ""]
    for block in result.blocks:
        if isinstance(block, Table):
            lines += [f"{sub} {block.title}", "", *markdown_table(block), ""]
            starred = any(cell.star for row in table_words(block) for cell in row)
            said = (block.caption, STARRED if starred else "", legend(block))
            lines += [" ".join(filter(None, said)), ""] if any(said) else []
        elif isinstance(block, Note):
            lines += [f"{sub} {block.title}", ""] if block.title else []
            lines += [part for text in block.text.splitlines() for part in (text, "")]
    if result.claims:
        table = claims_table(result.claims)
        lines += [f"{sub} {table.title}", "", *markdown_table(table), "", table.caption, ""]
    return lines


def legend(table: Table) -> str:
    """What the columns are, those that say so, as Markdown."""
    told = [f"*{printable(one.name)}*: {printable(one.help)}" for one in table.columns if one.help]
    return f"{'; '.join(told)}." if told else ""


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
