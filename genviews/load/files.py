"""The files that a folder or a table stands for, with labels, before they are cut into splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from genviews.checks import fail
from genviews.data.file_source import Alignment, FileSource
from genviews.data.listing import check_folder, folder_classes, folder_splits, list_images
from genviews.data.source import LabelColumn
from genviews.data.split import SplitName
from genviews.data.table import LABEL, LabelTable, read_table
from genviews.load.classes import ClassOrder, class_order
from genviews.types import ImageSpec

__all__ = ["STYLEGAN", "ImageFiles", "find_files"]

STYLEGAN = "dataset.json"
SUBFOLDERS = "subfolders"


@dataclass(frozen=True, kw_only=True)
class ImageFiles:
    """The files that a folder or a table stands for, before they are cut into splits.

    Args:
        root: the folder.
        files: relative to it, with "/", or absolute.
        labels: column -> class of each file, as text; {} where nothing is known.
        class_names: column -> its classes, in order.
        by_folder: whether classes are names of folders, which other tools may sort otherwise.
        splits: split of each file, or None where neither a table nor folders say it.
        skipped: (file, reason) of what was left out.
        notes: what was decided for the user, in sentences.
    """

    root: Path
    files: tuple[str, ...]
    labels: Mapping[str, tuple[str, ...]]
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    by_folder: bool = False
    splits: tuple[SplitName, ...] | None = None
    skipped: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.files)

    def source(
        self,
        spec: ImageSpec,
        rows: Sequence[int],
        split: SplitName | None,
        *,
        resize: bool,
        convert: bool,
        alignment: Alignment | None,
    ) -> FileSource:
        """Some of the files as a source."""
        columns = {}
        for name, values in self.labels.items():
            index = {one: place for place, one in enumerate(self.class_names[name])}
            columns[name] = LabelColumn(
                values=torch.tensor([index[values[row]] for row in rows], dtype=torch.int64),
                class_names=self.class_names[name],
            )
        return FileSource(
            self.root,
            [self.files[row] for row in rows],
            spec,
            resize=resize,
            convert=convert,
            alignment=alignment,
            columns=columns,
            split=split,
            skipped=self.skipped,
            notes=self.notes,
        )


def find_files(
    word: str | Path,
    spec: ImageSpec,
    *,
    labels: str | Path | None = None,
    columns: Sequence[str] | None = None,
    class_names: ClassOrder = None,
    ask_order: bool = True,
    root: str | Path | None = None,
    without: Sequence[Path] = (),
    in_splits: bool = False,
) -> ImageFiles:
    """Return the files of a folder or a table, with their labels; see `load_images`.

    Args:
        word: a folder or a table.
        spec: of the images; its channels are checked.
        labels: see `load_images`.
        columns: see `load_images`.
        class_names: see `load_images`.
        ask_order: see `load_images`.
        root: see `load_images`.
        without: tables that may lie among the images.
        in_splits: whether folders called train, val and test are splits, with classes in them.

    Raises:
        FileNotFoundError, ValueError: as `load_images`.
    """
    path = Path(word).expanduser()
    if path.is_dir():
        if root is not None:
            fail("root", expected="a table of files", got="a folder", remedy="leave it out")
        check_folder(path, spec)
        found = _of_folder(path, labels, columns, without, in_splits)
    else:
        if labels is not None:
            fail(
                "labels",
                expected="none beside a table of files, which holds them",
                got=str(labels),
                remedy="write them into the table's column `label`",
            )
        folder = path.parent if root is None else Path(root).expanduser()
        check_folder(folder, spec)
        found = _of_table(read_table(path, columns), folder)
    names = {
        name: class_order(values, class_names, path.name, ask=ask_order and found.by_folder)
        for name, values in found.labels.items()
    }
    return replace(found, class_names=names)


def _of_folder(
    folder: Path,
    labels: str | Path | None,
    columns: Sequence[str] | None,
    without: Sequence[Path],
    in_splits: bool,
) -> ImageFiles:
    table = None if labels is None or str(labels) == SUBFOLDERS else Path(labels).expanduser()
    notes: tuple[str, ...] = ()
    if labels is None and (folder / STYLEGAN).is_file():
        table = folder / STYLEGAN
        notes = (f"labels are those of {STYLEGAN}, not of subfolders",)
    known = (*without, *([] if table is None else [table]))
    listing = list_images(folder, without=frozenset(known))
    splits = folder_splits(folder.name, listing.files) if in_splits else None
    plain = ImageFiles(
        root=folder,
        files=listing.files,
        labels={},
        splits=splits,
        skipped=listing.skipped,
        notes=notes,
    )
    if table is not None:
        return _labelled(plain, read_table(table, columns))
    classes = folder_classes(
        listing.files, int(splits is not None), needed=labels is not None or in_splits
    )
    if classes is None:
        return plain
    return replace(plain, labels={LABEL: classes}, by_folder=True)


def _labelled(found: ImageFiles, table: LabelTable) -> ImageFiles:
    """The files that a table has labels for; the others are left out, with the reason."""
    inside = [_inside(name, found.root) for name in table.files]
    here, row_of = set(found.files), {name: row for row, name in enumerate(inside)}
    left_out = {name for name, _ in found.skipped}
    absent = [
        (table.lines[row], name)
        for row, name in enumerate(inside)
        if name not in here and name not in left_out
    ]
    if absent:
        fail(
            f"labels {table.path}, {absent[0][0]}",
            expected=f"files that are in the folder {found.root}",
            got=f"{len(absent)} absent, e.g. {absent[0][1]!r}",
            remedy="name files relative to the folder, with '/'",
        )
    _check_cells(table)
    files = tuple(name for name in found.files if name in row_of)
    without = [name for name in found.files if name not in row_of]
    why = f"has no label in {table.path.name}"
    notes = found.notes
    if without:
        notes = (*notes, f"{len(without)} images without a label in {table.path.name} are left out")
    return replace(
        found,
        files=files,
        labels={
            column: tuple(values[row_of[name]] for name in files)
            for column, values in table.columns.items()
        },
        splits=_chosen(table.splits, [row_of[name] for name in files])
        or _chosen(found.splits, [row for row, name in enumerate(found.files) if name in row_of]),
        skipped=(*found.skipped, *((name, why) for name in without)),
        notes=notes,
    )


def _of_table(table: LabelTable, root: Path) -> ImageFiles:
    files = tuple(_inside(name, root) for name in table.files)
    seen: dict[str, str] = {}
    for name, line in zip(files, table.lines, strict=True):
        problem = f"{name!r}, which is not in {root}" if not (root / name).is_file() else ""
        if name in seen:
            problem = f"{name!r}, as {seen[name]} does"
        if problem:
            fail(
                f"images {table.path}, {line}",
                expected="a file of its own that exists",
                got=problem,
                remedy=f"name files relative to {root}, with '/'",
            )
        seen[name] = line
    _check_cells(table)
    return ImageFiles(root=root, files=files, labels=dict(table.columns), splits=table.splits)


def _check_cells(table: LabelTable) -> None:
    """Raise for an image without a class in one of the columns."""
    for column, values in table.columns.items():
        for name, line, value in zip(table.files, table.lines, values, strict=True):
            if not value:
                fail(
                    f"labels {table.path}, {line}",
                    expected=f"a class in the column {column!r}",
                    got=f"no label for {name!r}",
                    remedy="write one, or remove the line",
                )


def _chosen(
    splits: tuple[SplitName, ...] | None, rows: Sequence[int]
) -> tuple[SplitName, ...] | None:
    return None if splits is None else tuple(splits[row] for row in rows)


def _inside(name: str, root: Path) -> str:
    """A file relative to the root where it is in it; else as it is."""
    path = Path(name)
    if path.is_absolute() and path.is_relative_to(root.absolute()):
        return path.relative_to(root.absolute()).as_posix()
    return name
