"""A CSV file with one line for each image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genviews.checks import fail
from genviews.files import read_csv

__all__ = ["read_table"]


def read_table(
    table: Path, what: str, columns: Sequence[str]
) -> list[tuple[int, dict[str | None, Any]]]:
    """Return the lines of a CSV file as `read_csv` does, if they have the columns.

    Args:
        table: UTF-8 text with a first line of column names.
        what: the table holds, for messages.
        columns: that must be there; further ones are kept too.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no text, no line, or without the columns.
    """
    names = ",".join(columns)
    wanted = f"the column{'s' if len(columns) > 1 else ''} {names}"
    found, rows = read_csv(table, what, wanted)
    if not set(columns) <= set(found) or not rows:
        fail(
            f"{what} {table}",
            expected=f"CSV text with {wanted} and at least one line",
            got=f"columns {found} and {len(rows)} lines",
            remedy=f"write a first line `{names}` and one line for each image",
        )
    return rows
