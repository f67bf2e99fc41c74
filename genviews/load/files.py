"""The files that a folder or a table stands for, with labels, before they are cut into splits.

Which index each class has is the order of names, where tools disagree. Names are sorted as text,
and by value where all are numbers. Folders named "2" and "10" are sorted as text by torchvision's
ImageFolder, which puts "10" first: a classifier trained with it means another class by index 1 than
a person does. Where the two orders differ, somebody must say which.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from genviews.checks import expanded, fail, is_there, lookup, option
from genviews.data.file_source import Alignment, FileSource
from genviews.data.listing import Listing, folder_classes, folder_splits, list_images
from genviews.data.source import LabelColumn
from genviews.data.split import check_split
from genviews.data.table import LABEL, SPLIT, Line, read_table
from genviews.text import read_lines
from genviews.types import ImageSpec

__all__ = ["ClassOrder", "Reading", "class_order", "read_class_names"]

STYLEGAN = "dataset.json"
SUBFOLDERS = "subfolders"
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)")

ClassOrder = Sequence[str] | Literal["value", "text"] | None
"""Names in their order; or "value" or "text", for names that are numbers; None: not said."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How files are listed, labelled and decoded: the options of `load_images`, by its names."""

    labels: str | Path | None = None
    columns: Sequence[str] | None = None
    class_names: ClassOrder = None
    ask_order: bool = True
    root: str | Path | None = None
    resize: bool = False
    convert: bool = False
    alignment: Alignment | None = None
    masks: Path | None = None

    @property
    def used(self) -> list[str]:
        """The options that were given and that not every kind of word has, as messages call them.

        Columns are not among them: a folder has them where a table says its labels.
        """
        given = {
            "labels": self.labels,
            "root": self.root,
            "align": self.alignment,
            "mask": self.masks,
            "resize": self.resize,
            "convert": self.convert,
        }
        return [name for name, value in given.items() if value]

    def source(self, listing: Listing, spec: ImageSpec, split: str | None) -> FileSource:
        """The files of a listing as a source."""
        return FileSource(
            listing,
            spec,
            resize=self.resize,
            convert=self.convert,
            alignment=self.alignment,
            masks=self.masks,
            split=None if split is None else check_split(split),
        )

    def listing(self, word: str | Path, *, in_splits: bool = False) -> Listing:
        """The files of a folder or a table.

        Args:
            word: a folder or a table.
            in_splits: whether folders called train, val and test are splits, with classes in them.

        Raises:
            FileNotFoundError, ValueError: as `load_images`; options are not checked.
        """
        path = expanded(word)
        if path.is_dir():
            return self._of_folder(path, in_splits)
        root = path.parent if self.root is None else expanded(self.root)
        lines = read_table(path, root, self.columns)
        there = tuple(name for name in lines if is_there(root / name))
        return self._labelled(Listing(root=root, files=there), path, lines)

    def _of_folder(self, folder: Path, in_splits: bool) -> Listing:
        table = None if self.labels in (None, SUBFOLDERS) else expanded(str(self.labels))
        notes: tuple[str, ...] = ()
        if self.labels is None and (folder / STYLEGAN).is_file():
            table = folder / STYLEGAN
            notes = (f"labels are those of {STYLEGAN}, not of subfolders",)
        boxes = None if self.alignment is None else self.alignment.geometry.path
        found = list_images(folder, without=[one for one in (table, boxes) if one is not None])
        splits = folder_splits(folder.name, found.files) if in_splits else None
        found = replace(found, splits=splits, notes=notes)
        if table is not None:
            return self._labelled(found, table, read_table(table, folder, self.columns))
        if self.columns:
            fail(
                f"{option('label_column')} of the images {str(folder)!r}",
                expected="a table of labels",
                got="a folder",
                remedy=f"name the table with {option('labels')}, or leave it out",
            )
        needed = self.labels is not None or in_splits
        classes = folder_classes(found.files, int(splits is not None), needed=needed)
        if classes is None:
            return found
        ask = self.ask_order  # other tools may sort names of folders otherwise
        return replace(found, columns=self._columns({LABEL: classes}, folder.name, ask=ask))

    def _labelled(self, found: Listing, table: Path, lines: Mapping[str, Line]) -> Listing:
        """The files that a table has labels for; the others are left out, with the reason."""
        known = {*found.files, *(name for name, _ in found.skipped)}
        absent = [(where, name) for name, (where, _) in lines.items() if name not in known]
        if absent:
            fail(
                f"labels {table}, {absent[0][0]}",
                expected=f"files that are in the folder {found.root}",
                got=f"{len(absent)} absent, e.g. {absent[0][1]!r}",
                remedy="name files relative to the folder, with '/'",
            )
        kept = found.select([row for row, name in enumerate(found.files) if name in lines])
        without = [name for name in found.files if name not in lines]
        skipped = [(name, f"has no label in {table.name}") for name in without]
        more = [f"{len(without)} images without a label in {table.name} are left out"]
        said = [lines[name][1] for name in kept.files]
        told = {column: [one[column] for one in said] for column in (said[0] if said else ())}
        if SPLIT in told:
            kept = replace(kept, splits=tuple(map(check_split, told.pop(SPLIT))))
        return replace(
            kept,
            columns=self._columns(told, table.name, ask=False),
            skipped=(*found.skipped, *skipped),
            notes=(*found.notes, *(more if without else ())),
        )

    def _columns(
        self, told: Mapping[str, Sequence[str]], where: str, *, ask: bool
    ) -> dict[str, LabelColumn]:
        """Classes as text -> labels."""
        found = {}
        for column, values in told.items():
            names = class_order(values, self.class_names, where, ask=ask)
            index = {name: place for place, name in enumerate(names)}
            labels = torch.tensor([index[value] for value in values], dtype=torch.int64)
            found[column] = LabelColumn(values=labels, class_names=names)
        return found


def class_order(
    found: Iterable[str], given: ClassOrder, where: str, *, ask: bool
) -> tuple[str, ...]:
    """Return the names of the classes in the order of their index.

    Args:
        found: the names that the images have.
        given: by the user.
        where: the classes are from, for messages.
        ask: whether numbers whose order as text differs are refused until the user says which.

    Raises:
        ValueError: a name that is not in `given` (the closest are listed), or numbers whose two
            orders differ.

    Example:
        >>> class_order(["10.0", "2.0", "0.0"], "value", "images", ask=True)
        ('0.0', '2.0', '10.0')
    """
    names = sorted(set(found))
    if given is not None and not isinstance(given, str):
        for name in names:
            lookup(name, dict.fromkeys(given, True), f"class of {where}")
        return tuple(given)
    if given is not None:
        lookup(given, {"value": 0, "text": 0}, "order of the classes")
    numbers = all(_NUMBER.fullmatch(name) for name in names)
    by_value = sorted(names, key=float) if numbers else names
    if given is None and ask and by_value != names:
        fail(
            f"order of the classes of {where}",
            expected="one that is sure, as class names are numbers",
            got=f"{_some(by_value)} by value, or {_some(names)} as text, which torchvision takes",
            remedy="say which the classifier was trained with: 'value' or 'text', or the names "
            f"themselves, in {option('class_names')}",
        )
    return tuple(names if given == "text" else by_value)


def read_class_names(word: str | Path) -> ClassOrder:
    """Return what `--class-names` says: "value", "text", or the lines of a file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no line, or text in another encoding.
    """
    text = str(word)
    if text == "value" or text == "text":
        return "value" if text == "value" else "text"
    return read_lines(expanded(word), "class names")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
