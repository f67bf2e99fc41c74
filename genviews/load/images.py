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
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NoReturn

from genviews.checks import fail, lookup
from genviews.data.dataset_source import DatasetSource, load_dataset
from genviews.data.fashion import fashion_mnist
from genviews.data.file_source import Alignment
from genviews.data.images import ImageSet
from genviews.data.source import ImageSource, MemorySource
from genviews.data.split import SplitName, check_split
from genviews.data.store_source import StoreSource
from genviews.load.classes import ClassOrder
from genviews.load.files import find_files
from genviews.types import ImageSpec
from genviews.zoo import zoo_images

__all__ = ["FASHION", "WordKind", "kind_of", "load_images"]

WordKind = Literal["folder", "table", "store", "dataset", "fashion32"]

FASHION: Literal["fashion32"] = "fashion32"
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


def _refuse(word: str, got: str, error: type[Exception]) -> NoReturn:
    fail(
        f"images {word!r}",
        expected="a folder, a .csv or .json file or a store that exists, "
        "torchvision:NAME:FOLDER:SPLIT, package.module:function, or fashion32",
        got=got,
        remedy="correct the path; relative ones start in the current folder",
        error=error,
    )
