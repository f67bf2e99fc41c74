"""Numbers as text, and tables for the terminal, of the learning studies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rich.table import Table
from rich.text import Text

__all__ = ["p_text", "percent", "percent_range", "points", "text_table"]


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
