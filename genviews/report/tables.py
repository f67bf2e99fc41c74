"""The table of a study as text: formatted cells, a CSV file, and a table for the terminal."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from genviews.ensemble.result import Row, StudyResult
from genviews.ensemble.verdict import SIGNIFICANCE

__all__ = [
    "Cells",
    "cells",
    "classifiers",
    "csv_text",
    "is_baseline",
    "is_significant",
    "p_text",
    "percent",
    "percent_range",
    "points",
    "terminal_table",
    "text_table",
]


@dataclass(frozen=True, kw_only=True)
class Cells:
    """One row as the strings that every output shows, so that page and terminal cannot disagree."""

    name: str
    num_views: str
    accuracy: str
    interval: str
    gain: str
    gain_interval: str
    reference_gain: str
    reference_interval: str
    changed: str
    p_value: str
    p_holm: str
    alpha: str
    oracle: str
    verdict: str  # "better", "worse", "not significant" or "baseline"


def is_baseline(row: Row) -> bool:
    """Whether the row is the plain classifier on the single image, which others are compared to."""
    return row.group == "image"


def is_significant(row: Row) -> bool:
    """Whether the row differs from its baseline after Holm's correction."""
    return not is_baseline(row) and row.p_holm < SIGNIFICANCE


def classifiers(rows: Sequence[Row]) -> tuple[str, ...]:
    """The classifiers of a table, in order of first appearance."""
    return tuple(dict.fromkeys(row.classifier for row in rows))


def percent(value: float, digits: int = 2) -> str:
    """A fraction in percent, without the sign: 0.9124 -> "91.24"."""
    return f"{100 * value:.{digits}f}"


def percent_range(interval: tuple[float, float]) -> str:
    """An interval of fractions in percent: (0.8, 0.9124) -> "80.0 to 91.2"."""
    low, high = interval
    return f"{percent(low, 1)} to {percent(high, 1)}"


def points(value: float, digits: int = 2) -> str:
    """A difference of fractions in percentage points, signed: -0.004 -> "-0.40"."""
    return f"{round(100 * value, digits) + 0.0:+.{digits}f}"  # + 0.0: never "-0.00"


def p_text(value: float) -> str:
    """A p-value as people write it."""
    if value < 0.001:
        return "<0.001"
    return f"{value:.3f}" if value < 0.995 else "1"


def cells(row: Row) -> Cells:
    """Format one row."""
    base = is_baseline(row)
    verdict = "baseline" if base else "not significant"
    if is_significant(row):
        verdict = "better" if row.gain > 0 else "worse"
    oracle = ""
    if row.oracle_alpha is not None and row.oracle_accuracy is not None:
        oracle = f"{row.oracle_alpha:.2f} ({percent(row.oracle_accuracy)})"
    return Cells(
        name=row.name,
        num_views=str(row.num_views),
        accuracy=percent(row.accuracy),
        interval=percent_range(row.interval),
        gain="" if base else points(row.gain),
        gain_interval="" if base else _between(row.gain_interval),
        reference_gain="" if row.reference_gain is None else points(row.reference_gain),
        reference_interval=_between(row.reference_gain_interval),
        changed="" if base else f"{row.fixed} / {row.broke}",
        p_value="" if base else p_text(row.p_value),
        p_holm="" if base else p_text(row.p_holm),
        alpha="" if row.alpha is None else f"{row.alpha:.2f}",
        oracle=oracle,
        verdict=verdict,
    )


def _between(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f"{points(interval[0])} to {points(interval[1])}"


def csv_text(rows: Sequence[Row]) -> str:
    """Every field of every row as CSV; pairs become two columns, views are joined by spaces."""
    out = io.StringIO()
    writer: csv.DictWriter[str] = csv.DictWriter(out, _csv_columns(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(_csv_row(row) for row in rows)
    return out.getvalue()


def _csv_columns() -> list[str]:
    columns: list[str] = []
    for field in fields(Row):
        pair = field.name.endswith("interval")
        columns += [f"{field.name}_low", f"{field.name}_high"] if pair else [field.name]
    return columns


def _csv_row(row: Row) -> dict[str, object]:
    out: dict[str, object] = {}
    for field in fields(Row):
        value = getattr(row, field.name)
        if field.name.endswith("interval"):
            low, high = (None, None) if value is None else value
            out |= {f"{field.name}_low": low, f"{field.name}_high": high}
        else:
            out[field.name] = " ".join(value) if isinstance(value, tuple) else value
    return out


# Columns of the terminal table: the least terminal width that shows it, its header, its field of
# Cells.
_TERMINAL = (
    (0, "views from", "name"),
    (0, "acc %", "accuracy"),
    (92, "95 % interval", "interval"),
    (0, "gain", "gain"),
    (74, "95 % interval", "gain_interval"),
    (60, "fixed / broke", "changed"),
    (104, "p", "p_value"),
    (44, "Holm p", "p_holm"),
    (52, "alpha", "alpha"),
    (120, "oracle", "oracle"),
)
_STYLES = {"better": "green", "worse": "red", "not significant": "", "baseline": "dim"}


def terminal_table(result: StudyResult, classifier: str, width: int = 80) -> Table:
    """The table of one classifier, with only the columns that `width` has room for.

    Args:
        result: the study.
        classifier: one of `classifiers(result.rows)`.
        width: the terminal's width in characters; a narrow one loses columns, never digits.

    Returns:
        A rich table. Gains are percentage points; a star marks a significant row, whatever the
        colours.
    """
    own = [cells(row) for row in result.rows if row.classifier == classifier]
    return text_table(
        [column for column in _TERMINAL if width >= column[0]],
        [(text, _STYLES[text.verdict], {"gain": text.verdict}) for text in own],
        title=f"classifier trained on {escape(classifier)}, {result.num_test:,} test images",
        caption="gain in percentage points; * significant (Holm p < 0.05)",
        width=width,
    )


def text_table(
    columns: Sequence[tuple[int, str, str]],
    rows: Iterable[tuple[object, str, Mapping[str, str]]],
    *,
    title: str,
    caption: str,
    width: int,
) -> Table:
    """A table for a terminal: names are folded, numbers keep all digits.

    Args:
        columns: (terminal width that it needs, header, field), of which "name" is text.
        rows: the object whose fields are shown, its style, and field -> verdict: "better" and
            "worse" get a star.
        title: above the table, in rich's markup.
        caption: below it.
        width: of the terminal; a narrow one gets narrow gaps.
    """
    table = Table(
        title=title,
        caption=caption,
        title_justify="left",
        caption_justify="left",
        box=None,
        padding=(0, 2 if width >= 74 else 1, 0, 0),
    )
    for _, header, field in columns:
        if field == "name":
            table.add_column(header, overflow="fold")
        else:
            table.add_column(header, justify="right", no_wrap=True)
    for texts, style, verdicts in rows:
        values = [
            getattr(texts, field) + (" *" if verdicts.get(field) in ("better", "worse") else "")
            for *_, field in columns
        ]
        table.add_row(*(Text(value) for value in values), style=style)
    return table
