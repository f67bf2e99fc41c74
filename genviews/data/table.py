"""Labels in a file: which class each image has, in one column or in many.

    file,label              file,split,Smiling,Male        {"labels": [["a.png", 3], ...]}
    a.png,dog               a.png,train,1,0                {"a.png": "dog", ...}
                                                           [{"file": "a.png", "label": "dog"}, ...]

A CSV file (`genviews.text`) or a JSON file; StyleGAN's `dataset.json` is the first JSON form.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from genviews.checks import fail, lookup
from genviews.data.split import CALLED
from genviews.described import parse_json
from genviews.text import CSVLine, read_csv, read_text

__all__ = ["LABEL", "SPLIT", "Line", "read_table"]

FILE, LABEL, SPLIT = "file", "label", "split"

Line = tuple[str, dict[str, str]]
"""Where a file stands in a table, for messages, and what is said of it by column."""


def read_table(path: Path, root: Path, columns: Sequence[str] | None = None) -> dict[str, Line]:
    """Read the labels of images.

    Args:
        path: a .csv, .tsv or .json file. CSV has a column `file`, and may have `label`, `split` and
            others.
        root: folder of the images.
        columns: of labels to take; None is `label` where there is one, () every one but `file` and
            `split`.

    Returns:
        For each file, with "/" and relative to the root where it lies in it, what its line says in
        these columns, and under `split` the name of its split if there is such a column.

    Raises:
        FileNotFoundError: no such file.
        ValueError: text in another encoding, no column `file` or another column that is asked for
            (the closest are listed), two columns of one name, no line, a line without a file or a
            class, or a file with two different answers; the message names the line.
    """
    if path.suffix.lower() == ".json":
        unit, (found, lines) = "entry", _read_json(path)
    else:
        unit, (found, lines) = "line", read_csv(path, "labels", "the columns file and label")
    if FILE not in found or not lines:
        fail(
            f"labels {path}",
            expected="CSV text with the columns file and label, and at least one line",
            got=f"columns {found} and {len(lines)} lines",
            remedy="write a first line `file,label` and one line for each image",
        )
    own = [name for name in found if name not in (FILE, SPLIT)]
    wanted = [name for name in own if columns is not None or name == LABEL]
    if columns:
        wanted = list(columns)
    for name in wanted:
        lookup(name, dict.fromkeys(own), f"column of {path.name}")
    taken = [*wanted, *(name for name in (SPLIT,) if name in found)]
    twice = next((name for name in (FILE, *taken) if found.count(name) > 1), None)
    if twice is not None:
        fail(
            f"labels {path}",
            expected="each column once",
            got=f"{found.count(twice)} columns {twice!r}",
            remedy="rename or remove one of them",
        )
    told: dict[str, Line] = {}
    for number, row in lines:
        name = _inside(row[FILE] or "", root)
        said = {column: row[column] or "" for column in taken}
        where, before = told.setdefault(name, (f"{unit} {number}", said))
        problem = "" if name else "no file name"
        if None in row:
            problem = "more cells than columns"
        elif before != said:
            problem = f"a second answer for {name!r}, other than {where}"
        elif not all(said[column] for column in wanted):
            problem = f"no label for {name!r}"
        if problem:
            fail(
                f"labels {path}, {unit} {number}",
                expected="one line for each file, with its class in each column",
                got=problem,
                remedy="correct or remove the line; quote values with commas in them",
            )
    for _, said in told.values():
        if SPLIT in said:
            said[SPLIT] = lookup(said[SPLIT].lower(), CALLED, f"split in {path.name}")
    return told


def _inside(name: str, root: Path) -> str:
    """A file relative to the root where it is in it; else as it is."""
    path, top = Path(name), root.absolute()
    if path.is_absolute() and path.is_relative_to(top):
        path = path.relative_to(top)
    return path.as_posix() if name else ""


def _read_json(path: Path) -> tuple[list[str], list[CSVLine]]:
    """The columns and lines of the CSV file that says the same."""
    text = read_text(path, "labels", "a JSON file of labels")
    found = parse_json(text, f"labels {path}")
    if isinstance(found, dict) and isinstance(found.get("labels"), list):
        found = found["labels"]
    elif isinstance(found, dict):
        found = list(found.items())
    pairs = found if isinstance(found, list) else []
    if pairs and all(isinstance(one, dict) and FILE in one for one in pairs):
        columns = list(dict.fromkeys(name for one in pairs for name in one))
        cells = [{name: _cell(one.get(name)) for name in columns} for one in pairs]
        return columns, list(enumerate(cells, 1))
    good = all(
        isinstance(pair, (list, tuple))
        and len(pair) == 2
        and isinstance(pair[0], str)
        and isinstance(pair[1], (str, int))
        and not isinstance(pair[1], bool)
        for pair in pairs
    )
    if not pairs or not good:
        fail(
            f"labels {path}",
            expected='[{"file": "a.png", "label": "dog"}, ...], {"a.png": "dog", ...}, or '
            '{"labels": [["a.png", 3], ...]}',
            got="something else",
            remedy="write a file name and a class for each image",
        )
    lines: list[CSVLine] = [
        (number, {FILE: name, LABEL: str(label)}) for number, (name, label) in enumerate(pairs, 1)
    ]
    return [FILE, LABEL], lines


def _cell(value: object) -> str:
    """A value of an entry as a cell of a table; "" where it is none, as a CSV file has it."""
    return "" if value is None or isinstance(value, (list, dict)) else str(value)
