"""What a word for images stands for: a source, read a few at a time.

    folder                              its image files; where all lie in subfolders, these are
                                        their classes; with StyleGAN's dataset.json, what that says
    table.csv, .tsv, .json              the files that it names, with their labels
    folder or URL of a store            the images of its shards
    torchvision:NAME:FOLDER:SPLIT       a data set that is on this machine; nothing is downloaded
    package.module:function             the user's function that returns a data set
    fashion32, fashion32/val, .../test  Fashion-MNIST in the package's own splits
    fashion32/sample/val, .../test      the part of it that ships

`~` is the home folder. A hidden file, `__MACOSX`, `Thumbs.db` and their like are no images.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal, NoReturn

import torch
from torch import Tensor

from genviews.checks import expanded, fail, is_there, lookup, option
from genviews.data.dataset_source import DatasetSource, MapDataset, load_dataset, picture_at
from genviews.data.decode import Picture, UnfitImageError, decode_pixels
from genviews.data.fashion import fashion_mnist
from genviews.data.file_source import Alignment
from genviews.data.source import ImageSource, LabelColumn, MemorySource
from genviews.data.split import SplitName, check_split
from genviews.data.store_source import StoreSource
from genviews.load.files import ClassOrder, Reading
from genviews.types import ImageSpec
from genviews.zoo import zoo_images

__all__ = ["FASHION", "WordKind", "images_spec", "kind_of", "load_images", "read_images"]

WordKind = Literal["folder", "table", "store", "dataset", "fashion32"]

FASHION: Literal["fashion32"] = "fashion32"
_DECODED = ("folder", "table", "dataset", FASHION)
_TAKEN_BY: Mapping[str, Sequence[str]] = {
    "labels": ("folder",),
    "label_column": ("table",),
    "root": ("table",),
    "align": ("folder", "table"),
    "mask": ("folder", "table"),
    "resize": _DECODED,
    "convert": _DECODED,
    "size": _DECODED,  # that images have where no generator says it
}
"""Option -> the kinds of words that have it."""

_LOOK = 16  # images that say what all are like
_SHARD = "[0-9][0-9][0-9][0-9][0-9]*.safetensors"


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
    masks: str | Path | None = None,
) -> ImageSource:
    """Return the images that a word stands for, as a generator or classifier takes them.

    Args:
        word: see the module.
        spec: of the images.
        labels: "subfolders" (each image must lie in one), or a .csv, .tsv or .json file; None takes
            the labels that are there, if any. Images that a file does not name are left out.
        columns: of labels to read from a file, the default one first; () reads all; None reads
            `label`.
        class_names: the classes in the order of their index, or how numbers are sorted. They hold
            for every column.
        ask_order: refuse folders whose names are numbers in two possible orders; False sorts them
            by value, for those to whom the order is nothing.
        root: folder of the files that a table names; None is the folder of the table.
        split: what the images may be used for.
        resize: crop and resize images of another size (see `decode_image`); else they are left out.
        convert: convert colours and transparency; else such images are left out.
        alignment: brings files of any size to the spec's.
        masks: folder with a picture for each file, of its name (or that name as .png) and size: the
            pixels where it is brighter than mid-grey are known.

    Raises:
        FileNotFoundError: nothing of that name.
        ValueError: no image, a damaged table or store, labels that do not fit, an unknown name
            (the closest are listed), or an order of classes that is not sure.

    Example:
        >>> images = load_images("fashion32/sample/val", ImageSpec(channels=1, height=32, width=32))
        >>> len(images), images.split, images.class_names[:2]
        (500, 'val', ('T-shirt/top', 'Trouser'))
    """
    how = Reading(
        labels=labels,
        columns=columns,
        class_names=class_names,
        ask_order=ask_order,
        root=root,
        resize=resize,
        convert=convert,
        alignment=alignment,
        masks=None if masks is None else expanded(masks),
    )
    return read_images(word, spec, how, split)


def read_images(
    word: str | Path, spec: ImageSpec, how: Reading, split: SplitName | None = None
) -> ImageSource:
    """Return the images that a word stands for: `load_images` with its options in one."""
    kind = kind_of(word, how.used)
    if kind in ("folder", "table"):
        return how.source(how.listing(word), spec, split)
    if how.columns:
        kind_of(word, ["label_column"])
    found: ImageSource
    if kind == "store":
        found = StoreSource(str(word), spec)
    elif kind == "dataset":
        data = load_dataset(str(word))
        found = DatasetSource(data, spec, resize=how.resize, convert=how.convert)
    else:
        found = _fashion(str(word), spec)
    if how.class_names is not None and not isinstance(how.class_names, str):
        found.columns = _in_order(found.columns, how.class_names, str(word))
    return found if split is None else found.as_split(split)


def _in_order(
    columns: Mapping[str, LabelColumn], names: Sequence[str], word: str
) -> dict[str, LabelColumn]:
    """The labels of a data set with its classes in the order that the user gives."""
    place, found = {name: index for index, name in enumerate(names)}, {}
    for column, known in columns.items():
        places = [lookup(name, place, f"class of {word}") for name in known.class_names]
        values = torch.tensor(places)[known.values]
        found[column] = LabelColumn(values=values, class_names=tuple(names))
    return found


def kind_of(word: str | Path, options: Iterable[str] = ()) -> WordKind:
    """Return what a word for images stands for; reads none of them.

    Args:
        word: see the module.
        options: that are used, by name, of those that not every kind of word has.

    Raises:
        FileNotFoundError: nothing of that name.
        ValueError: a file that is no table, or an option that it does not have.
    """
    kind = _kind_of(word)
    for name in options:
        if kind not in _TAKEN_BY[name]:
            remedies = {
                "labels": "write them into the table's column `label`",
                "size": "name the generator that the images are of the size of",
            }
            fail(
                f"{option(name)} of the images {str(word)!r}",
                expected=f"a {' or a '.join(_TAKEN_BY[name])}",
                got=f"a {kind}",
                remedy=remedies.get(name, "leave it out"),
            )
    return kind


def _kind_of(word: str | Path) -> WordKind:
    text, path = str(word), expanded(word)
    there = is_there(path, folders=True)
    if text.partition("/")[0] == FASHION and not there:
        return FASHION
    if there and path.is_dir():
        return "store" if any(path.glob(_SHARD)) else "folder"
    if there:
        if path.suffix.lower() not in (".csv", ".json", ".tsv") or not path.is_file():
            _refuse(text, "a file that is no .csv, .tsv or .json file", ValueError)
        return "table"
    if re.match(r"[a-z0-9+]+://", text):
        return "store"
    if re.fullmatch(r"[A-Za-z_][\w.]*:[^/\\].*", text):
        return "dataset"
    _refuse(text, "nothing of that name", FileNotFoundError)


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
    kind = kind_of(word, ["size"])
    if kind == FASHION:
        return ImageSpec(channels=1, height=32, width=32)
    shapes = [shape for one in _first(word, kind) if (shape := _shape(one, convert)) is not None]
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


def _first(word: str | Path, kind: WordKind) -> Iterator[object]:
    """The first pictures, as files or in memory."""
    if kind == "dataset":
        data = load_dataset(str(word))
        return (_picture(data, index) for index in range(min(_LOOK, len(data))))
    found = Reading(class_names="text").listing(word)
    return (found.root / name for name in found.files[:_LOOK])


def _picture(data: MapDataset, index: int) -> object:
    """A picture; what the data set raised, if it did so for the very first."""
    try:
        return picture_at(data, index)
    except UnfitImageError:
        if index == 0:
            raise
        return None


def _shape(picture: object, convert: bool) -> tuple[int, ...] | None:
    """(C, H, W) of a picture as it is; None for one that cannot be read."""
    if isinstance(picture, Tensor):
        return tuple(picture.shape)
    if not isinstance(picture, Picture):
        return None
    for channels in (1, 3):  # colour does not fit into one, unless it is converted
        with suppress(UnfitImageError):
            return tuple(decode_pixels(picture, channels, convert=convert and channels == 3).shape)
    return None


def _fashion(word: str, spec: ImageSpec) -> ImageSource:
    whole = {split: partial(fashion_mnist, split) for split in ("train", "val", "test")}
    part = {f"sample/{split}": partial(zoo_images, FASHION, split) for split in ("val", "test")}
    name = word.partition("/")[2] or "train"
    read = lookup(name, {**whole, **part}, f"part of {FASHION}")
    if spec.shape != (1, 32, 32):
        fail(
            f"images {word!r}",
            expected="a generator or an encoder of 32x32 grey images",
            got=f"images {spec.shape}, channels first",
            remedy="name images of that size",
        )
    return MemorySource(replace(read(), split=check_split(name.rpartition("/")[2])))


def _refuse(word: str, got: str, error: type[Exception]) -> NoReturn:
    fail(
        f"images {word!r}",
        expected="a folder, a .csv, .tsv or .json file or a store that exists, "
        "torchvision:NAME:FOLDER:SPLIT, package.module:function, or fashion32",
        got=got,
        remedy="correct the path; relative ones start in the current folder",
        error=error,
    )
