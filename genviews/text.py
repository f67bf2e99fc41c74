"""Text that users write: tables and lists of names, in whatever a spreadsheet makes of them.

UTF-8 with or without a byte order mark; a comma, a semicolon or a tab between columns; spaces
around names and values. Another encoding is named, with the file.
"""

from __future__ import annotations

import codecs
import csv
import io
import unicodedata
from pathlib import Path
from typing import Any

from genviews.checks import check_file, fail

__all__ = ["CSVLine", "printable", "read_csv", "read_lines", "read_text"]

CSVLine = tuple[int, dict[str | None, Any]]
"""(number of the line in the file, column -> cell)."""

_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}  # categories of Unicode that draw nothing
MOST_BYTES = 2**29  # of a text file; millions of lines take less
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)


def read_text(path: Path, what: str, expected: str) -> str:
    """Return the text of a file.

    Args:
        path: UTF-8; a byte order mark is dropped.
        what: the file holds, for messages.
        expected: of the file, in words, for messages.

    Raises:
        FileNotFoundError: no such file.
        ValueError: text in another encoding; the message names the file.
    """
    check_file(path, f"{what} {path}", expected=expected, remedy="check the path")
    size = path.stat().st_size
    if size > MOST_BYTES:
        got, remedy = f"a file of {size / 1e9:.1f} GB", "name the right file"
        fail(f"{what} {path}", expected=f"{expected}, below 0.5 GB", got=got, remedy=remedy)
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        wide = data.startswith(_WIDE) or b"\0" in data[:200]
        got = "UTF-16" if wide else f"another encoding, such as Latin-1 (byte {error.start + 1})"
        fail(
            f"{what} {path}",
            expected=f"{expected}, as UTF-8 text",
            got=got,
            remedy="save it as UTF-8; spreadsheets call it 'CSV UTF-8'",
        )


def read_lines(path: Path, what: str) -> tuple[str, ...]:
    """Return the lines of a text file that are not empty, without the spaces around them.

    Raises:
        FileNotFoundError: no such file.
        ValueError: text in another encoding, or no line.
    """
    text = read_text(path, what, "one name a line")
    lines = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not lines:
        fail(f"{what} {path}", expected="one name a line", got="an empty file", remedy="fill it")
    return lines


def read_csv(path: Path, what: str, wanted: str) -> tuple[list[str], list[CSVLine]]:
    """Return the columns of a table, and its lines by column, each with its number in the file.

    Args:
        path: text with a first line of column names, separated by comma, semicolon or tab.
        what: the file holds, for messages.
        wanted: the columns, in words, for messages.

    Returns:
        Columns and lines. A cell is text, or None where a line is short; what goes beyond the
        columns is a list, under None.

    Raises:
        FileNotFoundError: no such file.
        ValueError: text in another encoding, or that is no table.
    """
    text = read_text(path, what, f"a CSV file with {wanted}")
    first = text.partition("\n")[0]
    between = max((",", ";", "\t"), key=first.count)
    try:
        table = io.StringIO(text, newline="")
        reader = csv.DictReader(table, delimiter=between, strict=True, skipinitialspace=True)
        columns = [name.strip() for name in reader.fieldnames or []]
        reader.fieldnames = columns
        lines = [(reader.line_num, {k: _trim(v) for k, v in row.items()}) for row in reader]
    except csv.Error as error:
        fail(
            f"{what} {path}",
            expected=f"a CSV file with {wanted}",
            got=f"text that is no table ({error})",
            remedy="put quotes around values with commas or line breaks in them",
        )
    return columns, lines


def _trim(cell: Any) -> Any:  # noqa: ANN401 (text, None, or a list of text)
    return cell.strip() if isinstance(cell, str) else cell


def printable(text: str) -> str:
    r"""The text with whatever could steer a terminal, reorder a line or break a row written out.

    Names of files come from strangers, and may hold escape sequences or bytes that are no text.

    Example:
        >>> printable("a\x1b[2J.png"), printable("caf\u00e9 \udcff")
        ('a\\x1b[2J.png', 'café \\udcff')
    """
    if text.isprintable():  # most texts are
        return text
    return "".join(_visible(letter) for letter in text)


def _visible(letter: str) -> str:
    if unicodedata.category(letter) not in _HIDDEN:
        return letter
    code = ord(letter)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
