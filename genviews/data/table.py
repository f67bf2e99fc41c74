"""Labels in a file: which class each image has, in one column or in many.

    file,label              file,split,Smiling,Male        {"labels": [["a.png", 3], ...]}
    a.png,dog               a.png,train,1,0                {"a.png": "dog", ...}

A CSV file (`genviews.text`) or a JSON file; StyleGAN's `dataset.json` is the first JSON form.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from genviews.checks import fail, lookup
from genviews.data.split import CALLED, SplitName
from genviews.text import read_csv, read_text

__all__ = ["LabelTable", "read_table"]

FILE, LABEL, SPLIT = "file", "label", "split"


@dataclass(frozen=True, kw_only=True)
class LabelTable:
    """What a file says of images.

    Args:
        path: of the file.
        files: the images, in its order, with "/"; each once.
        columns: column -> class of each image, as text; "" where a cell is empty.
        splits: split of each image, or None where the file does not say.
        lines: where in the file each image stands, for messages.
    """

    path: Path
    files: tuple[str, ...]
    columns: Mapping[str, tuple[str, ...]]
    splits: tuple[SplitName, ...] | None
    lines: tuple[str, ...]


def read_table(path: Path, columns: Sequence[str] | None = None) -> LabelTable:
    """Read the labels of images.

    Args:
        path: a .csv or .json file. CSV has a column `file`, and may have `label`, `split` and
            others.
        columns: of labels to take; None is `label` where there is one, () every one but `file` and
            `split`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: text in another encoding, no column `file` or another column that is asked for
            (the closest are listed), two columns of one name, no line, a line without a file, or a
            file with two different answers; the message names the line.
    """
    if path.suffix.lower() == ".json":
        return _from_json(path)
    found, lines = read_csv(path, "labels", "the columns file and label")
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
    used = {FILE, SPLIT, *wanted}
    twice = sorted(name for name, count in Counter(found).items() if count > 1 and name in used)
    if twice:
        fail(
            f"labels {path}",
            expected="each column once",
            got=f"{found.count(twice[0])} columns {twice[0]!r}",
            remedy="rename or remove one of them",
        )
    taken = [*wanted, *([SPLIT] if SPLIT in found else [])]
    answers: dict[str, tuple[int, tuple[str, ...]]] = {}
    for number, row in lines:
        text = row[FILE] or ""
        name = PurePosixPath(text).as_posix() if text else ""
        said = tuple(row[column] or "" for column in taken)
        _check_line(path, number, name, row, answers.get(name, (number, said)), said)
        answers.setdefault(name, (number, said))
    by_column = {
        column: tuple(said[at] for _, said in answers.values()) for at, column in enumerate(taken)
    }
    splits = by_column.pop(SPLIT, None)
    return LabelTable(
        path=path,
        files=tuple(answers),
        splits=None
        if splits is None
        else tuple(lookup(one.lower(), CALLED, f"split in {path.name}") for one in splits),
        columns=by_column,
        lines=tuple(f"line {number}" for number, _ in answers.values()),
    )


def _check_line(
    path: Path,
    number: int,
    name: str,
    row: Mapping[str | None, Any],
    before: tuple[int, tuple[str, ...]],
    said: tuple[str, ...],
) -> None:
    problem = ""
    if not name:
        problem = "no file name"
    elif None in row:
        problem = "more cells than columns"
    elif before[1] != said:
        problem = f"a second answer for {name!r}, other than line {before[0]}"
    if problem:
        fail(
            f"labels {path}, line {number}",
            expected="one line for each file",
            got=problem,
            remedy="correct the line; quote values with commas in them",
        )


def _from_json(path: Path) -> LabelTable:
    text = read_text(path, "labels", "a JSON file of labels")
    try:
        found = json.loads(text)
    except ValueError as error:
        found = f"text that is no JSON ({error})"
    if isinstance(found, dict) and isinstance(found.get("labels"), list):
        found = found["labels"]
    elif isinstance(found, dict):
        found = list(found.items())
    pairs = found if isinstance(found, list) else []
    good = all(
        isinstance(pair, (list, tuple))
        and len(pair) == 2
        and isinstance(pair[0], str)
        and isinstance(pair[1], (str, int))
        for pair in pairs
    )
    if not pairs or not good:
        fail(
            f"labels {path}",
            expected='{"labels": [["a.png", 3], ...]}, or {"a.png": "dog", ...}',
            got=found if isinstance(found, str) else "something else",
            remedy="write a file name and a class for each image",
        )
    labels: dict[str, str] = {}
    for name, label in pairs:
        file = PurePosixPath(name).as_posix()
        if labels.setdefault(file, str(label)) != str(label):
            fail(
                f"labels {path}",
                expected="one label for each file",
                got=f"{labels[file]!r} and {label!r} for {name!r}",
                remedy="correct one of them",
            )
    return LabelTable(
        path=path,
        files=tuple(labels),
        columns={LABEL: tuple(labels.values())},
        splits=None,
        lines=tuple(f"entry {number}" for number in range(1, len(labels) + 1)),
    )
