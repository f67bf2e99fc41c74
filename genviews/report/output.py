"""Where results go: a folder checked before the work, files that appear whole or not at all.

report.html      the page                   results.csv     the table of the verdict
tables/*.csv     further tables             figures/*.svg   curves and bars
pictures/*.png   pictures, sheet by sheet   results.json    the record, last
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from genviews.checks import expanded, fail
from genviews.files import atomic_write_bytes, reason_of
from genviews.report.draw import bars_svg, chart_svg, standalone
from genviews.report.pictures import contact_sheet
from genviews.report.text import table_csv
from genviews.report.web import render_page
from genviews.studies.blocks import Bars, Block, Curves, Images, Table
from genviews.studies.result import Result

__all__ = ["PAGE", "check_output_dir", "write_atomic", "write_result"]

PAGE = "report.html"

_MEGABYTE = 1024 * 1024


def check_output_dir(path: str | Path, *, need_mb: float = 64.0) -> Path:
    """Make the folder if it is missing and prove that it can take files, before hours of work.

    A file of one byte is written and removed, since permission bits alone do not tell (root,
    network mounts, read-only file systems).

    Args:
        path: the output folder.
        need_mb: free space to ask for, in MiB; 64 holds any report of this package (chosen by us).

    Returns:
        The folder.

    Raises:
        OSError: the folder cannot be made or written, or its disk is nearly full; the message says
            what to do.

    Example:
        >>> import tempfile
        >>> check_output_dir(tempfile.mkdtemp()).is_dir()
        True
    """
    folder = expanded(path)
    what = f"output folder {str(folder)!r}"
    if folder.parts[:1] and folder.parts[0].startswith("~"):
        got, remedy = folder.parts[0], "name a user of this machine, or give the whole path"
        fail(what, expected="a home folder that is there", got=got, remedy=remedy, error=OSError)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder, prefix=".check-") as probe:
            probe.write(b"\0")
            probe.flush()
        free = shutil.disk_usage(folder).free / _MEGABYTE
    except OSError as error:
        fail(
            what,
            expected="a folder that can be written",
            got=reason_of(error),
            remedy="choose another folder with --out, or change its permissions",
            error=OSError,
        )
    if free < need_mb:
        fail(
            what,
            expected=f"{need_mb:.0f} MiB of free disk space",
            got=f"{free:.0f} MiB",
            remedy="free some space, or choose a folder on another disk with --out",
            error=OSError,
        )
    return folder


def write_atomic(path: str | Path, data: str | bytes | Iterable[str]) -> None:
    """Write a file so that a reader sees the old file or the whole new one, never a part.

    Args:
        path: the file; missing folders are made.
        data: text (written as UTF-8), bytes, or parts of a text.

    Raises:
        OSError: the write failed; the old file, if any, is untouched and nothing is left behind.
    """
    parts = [data] if isinstance(data, str) else data
    raw = parts if isinstance(parts, bytes) else (part.encode() for part in parts)
    atomic_write_bytes(path, raw)


def write_result(result: Result, folder: str | Path) -> Path:
    """Write a result in every form; the record, which marks a finished folder, at the very end.

    Args:
        result: what was found.
        folder: the run folder; made if missing. Files of the same names are replaced.

    Returns:
        The page.

    Raises:
        OSError: a file cannot be written; no part of it is left.
        ValueError: a number that is not finite; nothing is written.
    """
    result.to_json()  # whatever is wrong with it is found before a file is replaced
    place, taken = Path(folder), {"results"}
    if result.answer is not None:
        write_atomic(place / "results.csv", table_csv(result.answer))
    for block in result.blocks:
        if block is not result.answer:
            for name, data in _files(block):
                write_atomic(place / _free(name, taken), data)
    write_atomic(place / PAGE, render_page(result))
    result.save(place)
    return place / PAGE


def _files(block: Block) -> Iterator[tuple[str, str | bytes]]:
    """A block as files: (name, content)."""
    if isinstance(block, Table):
        yield f"tables/{_slug(block.title)}.csv", table_csv(block)
    elif isinstance(block, Bars):
        for column in block.columns:
            name = _slug(f"{block.title} {column.label}")
            yield f"figures/{name}.svg", standalone(bars_svg(block, column))
    elif isinstance(block, Curves):
        for chart in block.charts:
            name = _slug(f"{block.title} {chart.title}")
            yield f"figures/{name}.svg", standalone(chart_svg(chart))
    elif isinstance(block, Images):
        sheet = contact_sheet(block)
        if sheet is not None:
            yield f"pictures/{_slug(block.title)}.png", sheet


def _slug(title: str) -> str:
    """A title as the name of a file, which no title can lead out of its folder."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:60] or "block"


def _free(name: str, taken: set[str]) -> str:
    """The name, with a number where it is taken."""
    stem, _, suffix = name.rpartition(".")
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{stem}-{number}.{suffix}"
    taken.add(found)
    return found
