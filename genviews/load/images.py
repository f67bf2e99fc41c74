"""What a word for images stands for: a source, read a few at a time.

    folder                              its image files; where all lie in subfolders, these are
                                        their classes; with StyleGAN's dataset.json, what that says
    table.csv, table.json               the files that it names, with their labels
    folder or URL of a store            the images of its shards
    torchvision:NAME:FOLDER:SPLIT       a data set that is on this machine; nothing is downloaded
    package.module:function             the user's function that returns a data set
    fashion32, fashion32/val, .../test  Fashion-MNIST in the package's own splits
    fashion32/sample/val, .../test      the part of it that ships

`~` is the home folder. A hidden file, `__MACOSX`, `Thumbs.db` and their like are no images.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NoReturn

import torch
from torch import Tensor

from genviews.checks import fail, lookup
from genviews.data.dataset_source import DatasetSource, load_dataset
from genviews.data.decode import UnfitImageError, decode_pixels, picture_pixels
from genviews.data.fashion import fashion_mnist
from genviews.data.file_source import Alignment, FileSource
from genviews.data.images import ImageSet
from genviews.data.listing import check_folder, folder_classes, folder_splits, list_images
from genviews.data.source import ImageSource, LabelColumn, MemorySource
from genviews.data.split import SplitName, check_split
from genviews.data.store_source import StoreSource
from genviews.data.table import LABEL, LabelTable, read_table
from genviews.load.classes import ClassOrder, class_order
from genviews.types import ImageSpec
from genviews.zoo import zoo_images

__all__ = [
    "ImageFiles",
    "WordKind",
    "find_files",
    "images_spec",
    "kind_of",
    "load_images",
    "word_files",
]

WordKind = Literal["folder", "table", "store", "dataset", "fashion32"]

FASHION: Literal["fashion32"] = "fashion32"
STYLEGAN = "dataset.json"
SUBFOLDERS = "subfolders"
_SHARD = "[0-9][0-9][0-9][0-9][0-9]*.safetensors"
_LOOK = 16  # images that say what all are like


def load_images(
    word: str | Path,
    spec: ImageSpec,
    *,
    labels: str | Path | None = None,
    columns: Sequence[str] | None = None,
    class_names: ClassOrder = None,
    ask_order: bool = True,
    root: str | Path | None = None,
    split: SplitName | None = None,
    resize: bool = False,
    convert: bool = False,
    alignment: Alignment | None = None,
) -> ImageSource:
    """Return the images that a word stands for, as a generator or classifier takes them.

    Args:
        word: see the module.
        spec: of the images.
        labels: "subfolders" (each image must lie in one), or a .csv or .json file; None takes the
            labels that are there, if any. Images that a file does not name are left out.
        columns: of labels to read from a file, the default one first; () reads all; None reads
            `label`.
        class_names: the classes in the order of their index, or how numbers are sorted. They hold
            for every column.
        ask_order: refuse folders whose names are numbers in two possible orders; False sorts them
            by value, for those to whom the order is nothing.
        root: folder of the files that a table names; None is the folder of the table.
        split: what the images may be used for.
        resize: crop and shrink larger images (see `decode_image`); else they are left out.
        convert: convert colours and transparency; else such images are left out.
        alignment: brings files of any size to the spec's.

    Raises:
        FileNotFoundError: nothing of that name.
        ValueError: no image, a damaged table or store, labels that do not fit, an unknown name
            (the closest are listed), or an order of classes that is not sure.

    Example:
        >>> images = load_images("fashion32/sample/val", ImageSpec(channels=1, height=32, width=32))
        >>> len(images), images.split, images.class_names[:2]
        (500, 'val', ('T-shirt/top', 'Trouser'))
    """
    kind = kind_of(word)
    if kind in ("folder", "table"):
        files = find_files(
            word,
            spec,
            labels=labels,
            columns=columns,
            class_names=class_names,
            ask_order=ask_order,
            root=root,
            without=() if alignment is None else (alignment.geometry.path,),
        )
        return files.source(
            spec, range(len(files)), split, resize=resize, convert=convert, alignment=alignment
        )
    if labels is not None or alignment is not None or root is not None:
        fail(
            f"images {str(word)!r}",
            expected="a folder or a table, for labels, a root or an alignment of its files",
            got=f"a {kind}",
            remedy="leave them out",
        )
    found: ImageSource
    if kind == "store":
        if resize or convert:
            fail(
                f"images {str(word)!r}",
                expected="files or a data set, to resize or convert them",
                got="a store, whose images are taken as they are",
                remedy="leave --resize and --convert out",
            )
        found = StoreSource(str(word), spec)
    elif kind == "dataset":
        found = DatasetSource(load_dataset(str(word)), spec, resize=resize, convert=convert)
    else:
        found = MemorySource(_fashion(str(word), spec))
    return found if split is None else found.select(range(len(found)), split=split)


def kind_of(word: str | Path) -> WordKind:
    """Return what a word for images stands for.

    Raises:
        FileNotFoundError: nothing of that name.
        ValueError: a file that is no table.
    """
    text, path = str(word), Path(word).expanduser()
    if text.partition("/")[0] == FASHION and not path.exists():
        return FASHION
    if path.is_dir():
        return "store" if any(path.glob(_SHARD)) else "folder"
    if path.exists():
        if path.suffix.lower() not in (".csv", ".json", ".tsv") or not path.is_file():
            _refuse(text, "a file that is no .csv and no .json file", ValueError)
        return "table"
    if re.match(r"[a-z0-9+]+://", text):
        return "store"
    if re.fullmatch(r"[A-Za-z_][\w.]*:[^/\\].*", text):
        return "dataset"
    _refuse(text, "nothing of that name", FileNotFoundError)


def word_files(word: str | Path, root: str | Path | None = None) -> tuple[Path, ...]:
    """Return the files that a word stands for, those that are read and no others; () for none.

    Args:
        word: see the module.
        root: see `load_images`.

    Raises:
        FileNotFoundError, ValueError: as `load_images`.
    """
    kind, path = kind_of(word), Path(word).expanduser()
    if kind == "store" and path.is_dir():
        return tuple(sorted(path.glob(_SHARD)))
    if kind not in ("folder", "table"):
        return ()
    any_spec = ImageSpec(channels=3, height=1, width=1)  # only names are asked for
    found = find_files(word, any_spec, columns=(), class_names="text", root=root)
    table = path if kind == "table" else path / STYLEGAN
    known = (table,) if table.is_file() else ()
    return (*known, *(found.root / name for name in found.files))


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


def _fashion(word: str, spec: ImageSpec) -> ImageSet:
    parts = dict.fromkeys(("train", "val", "test"), fashion_mnist)
    sample = {f"sample/{split}": _sample for split in ("val", "test")}
    name = word.partition("/")[2] or "train"
    read = lookup(name, {**parts, **sample}, f"part of {FASHION}")
    if spec.shape != (1, 32, 32):
        fail(
            f"images {word!r}",
            expected="a generator or an encoder of 32x32 grey images",
            got=f"images {spec.shape}, channels first",
            remedy="name images of that size",
        )
    split = name.rpartition("/")[2]
    return replace(read(split), split=check_split(split))


def _sample(split: Any) -> ImageSet:  # noqa: ANN401 (val or test)
    return zoo_images(FASHION, split)


def images_spec(word: str | Path, *, size: int | None = None, convert: bool = False) -> ImageSpec:
    """Return the spec that images ask for where no generator does.

    The first that can be read says the size, unless `size` does; they are grey if the first few
    are.

    Args:
        word: a folder, a table or a data set; see the module.
        size: height and width, in place of the first image's.
        convert: see `load_images`.

    Raises:
        ValueError: a store, or none of the first few can be read.
    """
    kind = kind_of(word)
    if kind == FASHION:
        return ImageSpec(channels=1, height=32, width=32)
    if kind == "store":
        fail(
            f"images {str(word)!r}",
            expected="a folder, a table or a data set, where no generator says the size",
            got="a store",
            remedy="name the generator that the images are of the size of",
        )
    shapes = [shape for shape in _first_shapes(word, kind, convert) if shape is not None]
    if not shapes:
        fail(
            f"images {str(word)!r}",
            expected="readable images",
            got=f"none among the first {_LOOK}",
            remedy="check the path, or remove what is no image",
        )
    height, width = shapes[0][1:] if size is None else (size, size)
    channels = max(shape[0] for shape in shapes)
    return ImageSpec(channels=channels, height=height, width=width)


def _first_shapes(
    word: str | Path, kind: WordKind, convert: bool
) -> Iterator[tuple[int, ...] | None]:
    """(C, H, W) of the first images as they are; None of what cannot be read."""
    if kind == "dataset":
        data = load_dataset(str(word))
        for index in range(min(_LOOK, len(data))):
            item = data[index]
            yield _shape(item[0] if isinstance(item, (tuple, list)) else item, convert)
        return
    any_spec = ImageSpec(channels=3, height=1, width=1)  # only names are asked for
    found = find_files(word, any_spec, class_names="text")
    for name in found.files[:_LOOK]:
        yield _shape(found.root / name, convert)


def _shape(picture: object, convert: bool) -> tuple[int, ...] | None:
    if isinstance(picture, Tensor):
        return tuple(picture.shape)
    read: Any = decode_pixels if isinstance(picture, Path) else picture_pixels
    for channels in (1, 3):  # colour does not fit into one, unless it is converted
        with suppress(UnfitImageError):
            return tuple(read(picture, channels, convert=convert and channels == 3).shape)
    return None


def _refuse(word: str, got: str, error: type[Exception]) -> NoReturn:
    fail(
        f"images {word!r}",
        expected="a folder, a .csv or .json file or a store that exists, "
        "torchvision:NAME:FOLDER:SPLIT, package.module:function, or fashion32",
        got=got,
        remedy="correct the path; relative ones start in the current folder",
        error=error,
    )
