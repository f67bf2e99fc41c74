"""A folder of images -> an `ImageSet`, with labels from class subfolders or from a CSV file.

One bad file never stops the rest: it is left out and listed, with the reason, in
`ImageSet.skipped`. Mistakes that concern the whole set (no images, no labels, labels of files that
are not there) are errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import torch
from torch import Tensor

from genviews.checks import fail, lookup
from genviews.data.decode import UnfitImageError, decode_image
from genviews.data.images import ImageSet
from genviews.data.listing import Skipped, check_folder, list_files
from genviews.data.table import read_table
from genviews.types import ImageSpec

__all__ = ["load_folder"]


def load_folder(
    path: str | Path,
    image_spec: ImageSpec,
    labels: str | Path | None = None,
    class_names: Sequence[str] | None = None,
    *,
    resize: bool = False,
    convert: bool = False,
) -> ImageSet:
    """Read every image below a folder.

    Without a CSV file, images in subfolders take the name of the first subfolder as their class,
    and images that all lie in the folder itself have no labels. Hidden files and folders (a name
    that starts with a dot) are ignored; the CSV file may lie in the folder.

    Args:
        path: the folder. Links are followed.
        image_spec: channels (1 or 3), height and width of every image of the set.
        labels: CSV file with the columns `file` (path relative to the folder, with "/") and `label`
            (a class name); further columns are ignored. It must label every readable image.
        class_names: the classes in the order of their index; None sorts the names found (by value
            when all are whole numbers).
        resize: crop and shrink larger images to the spec (see `decode_image`); otherwise they are
            skipped. Images are never enlarged.
        convert: convert colour to grey and transparency to black where the spec needs it; otherwise
            such images are skipped.

    Returns:
        Images sorted by id; an id is the path relative to the folder, with "/".

    Raises:
        FileNotFoundError: no such folder or CSV file.
        NotADirectoryError: the path is a file.
        ValueError: an empty folder, no readable image, images without a label, a CSV file without
            the two columns or that names absent files, or a class that is not in `class_names`.
    """
    folder = Path(path)
    check_folder(folder, image_spec)
    table = None if labels is None else Path(labels)
    files, skipped = list_files(folder, table)
    if not files and not skipped:
        fail(
            f"folder {folder}",
            expected="image files",
            got="no file",
            remedy="put images, or one subfolder of images for each class, into it",
        )
    wanted = _folder_labels(files) if table is None else _csv_labels(table, files)
    images, ids, unfit = _read(folder, files, image_spec, resize=resize, convert=convert)
    skipped += unfit
    if not images:
        _fail_nothing_read(folder, skipped)
    names = _class_names(class_names, wanted)
    return ImageSet(
        images=torch.stack(images),
        ids=tuple(ids),
        labels=_class_indices(ids, wanted, names, table),
        class_names=names,
        skipped=tuple(sorted(skipped)),
    )


def _read(
    folder: Path, files: list[str], spec: ImageSpec, *, resize: bool, convert: bool
) -> tuple[list[Tensor], list[str], Skipped]:
    images: list[Tensor] = []
    ids: list[str] = []
    skipped: Skipped = []
    for name in files:
        try:
            images.append(decode_image(folder / name, spec, resize=resize, convert=convert))
            ids.append(name)
        except UnfitImageError as reason:
            skipped.append((name, str(reason)))
    return images, ids, skipped


def _fail_nothing_read(folder: Path, skipped: Skipped) -> None:
    shown = "; ".join(f"{name} {reason}" for name, reason in skipped[:5])
    fail(
        f"folder {folder}",
        expected="at least one readable image",
        got=f"none of {len(skipped)} files: {shown}",
        remedy="check the image spec; `resize=True` and `convert=True` accept more",
    )


def _folder_labels(files: list[str]) -> dict[str, str] | None:
    """Return file -> class of the files in subfolders; None where there is no subfolder."""
    classes = {f: PurePosixPath(f).parts[0] for f in files if "/" in f}
    return classes or None


@dataclass(frozen=True)
class _Line:
    number: int
    file: str
    label: str


def _csv_labels(table: Path, files: list[str]) -> dict[str, str]:
    lines = _csv_lines(table)
    here = set(files)
    absent = [line.file for line in lines if line.file not in here]
    if absent:
        fail(
            f"labels {table}",
            expected="files that are in the folder",
            got=f"{len(absent)} absent, e.g. {absent[0]!r}",
            remedy="name files relative to the folder, with '/'",
        )
    found: dict[str, str] = {}
    for line in lines:
        if not line.label or found.get(line.file, line.label) != line.label:
            problem = "a second label" if line.label else "no label"
            fail(
                f"labels {table}, line {line.number}",
                expected="one label for each file",
                got=f"{problem} for {line.file!r}",
                remedy="correct the line",
            )
        found[line.file] = line.label
    return found


def _csv_lines(table: Path) -> list[_Line]:
    return [
        _Line(
            number,
            PurePosixPath((row["file"] or "").strip()).as_posix(),
            (row["label"] or "").strip(),
        )
        for number, row in read_table(table, "labels", ("file", "label"))
    ]


def _class_names(given: Sequence[str] | None, wanted: dict[str, str] | None) -> tuple[str, ...]:
    found = set((wanted or {}).values())
    if given is None:
        numeric = all(name.isdecimal() for name in found)
        return tuple(sorted(found, key=lambda n: (int(n), n) if numeric else (0, n)))
    for name in sorted(found):
        lookup(name, dict.fromkeys(given, True), "class of the images")
    return tuple(given)


def _class_indices(
    ids: list[str], wanted: dict[str, str] | None, names: tuple[str, ...], table: Path | None
) -> Tensor | None:
    if wanted is None:
        return None
    without = [i for i in ids if i not in wanted]
    if without:
        where = "in a class subfolder" if table is None else f"named in {table}"
        fail(
            "labels",
            expected=f"every readable image {where}",
            got=f"{len(without)} without a label, e.g. {without[0]!r}",
            remedy="label these images or move them out of the folder",
        )
    index = {name: i for i, name in enumerate(names)}
    return torch.tensor([index[wanted[i]] for i in ids], dtype=torch.int64)
