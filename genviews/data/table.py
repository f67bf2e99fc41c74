"""A CSV file with one line for each image."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from genviews.checks import fail

__all__ = ["read_table"]


def read_table(
    table: Path, what: str, columns: Sequence[str]
) -> list[tuple[int, dict[str, str | None]]]:
    """Return the lines of a CSV file by column name, each with its number in the file.

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
    if not table.is_file():
        fail(
            f"{what} {table}",
            expected=f"a CSV file with {wanted}",
            got="no such file",
            remedy="check the path",
            error=FileNotFoundError,
        )
    try:
        with table.open(encoding="utf-8-sig", newline="") as text:
            reader = csv.DictReader(text)
            found = list(reader.fieldnames or [])
            rows = [(reader.line_num, row) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        found, rows = [f"unreadable text ({error})"], []
    if not set(columns) <= set(found) or not rows:
        fail(
            f"{what} {table}",
            expected=f"CSV text with {wanted} and at least one line",
            got=f"columns {found} and {len(rows)} lines",
            remedy=f"write a first line `{names}` and one line for each image",
        )
    return rows
