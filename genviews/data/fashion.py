"""Fashion-MNIST as the package uses it: 32x32 grey images in [-1, 1], and three fixed splits.

`train` = training images 0-54,999, `val` = training images 55,000-59,999, `test` = the 10,000 test
images. Nothing is shuffled and nothing is written: the files are read where they lie.

Source: Xiao, Rasul and Vollgraf, "Fashion-MNIST", 2017, arXiv:1708.07747 (MIT licence).
"""

from __future__ import annotations

import gzip
import math
import os
import tempfile
import zlib
from pathlib import Path
from typing import Literal, NoReturn

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import pad

from genviews.checks import check_count, fail, lookup
from genviews.data.images import ImageSet

__all__ = ["CLASS_NAMES", "fashion_mnist", "labelled_subset", "pad_pixels", "read_idx"]

CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

Split = Literal["train", "val", "test"]

# split -> (name of the pair of files, images in the file, rows of the split)
_SPLITS: dict[str, tuple[str, int, slice]] = {
    "train": ("train", 60_000, slice(0, 55_000)),
    "val": ("train", 60_000, slice(55_000, 60_000)),
    "test": ("t10k", 10_000, slice(0, 10_000)),
}
_SYSTEM_FOLDER = Path("/usr/share/datasets/fashion-mnist")  # of Debian's dataset-fashion-mnist
_SUBFOLDERS = ("", "fashion-mnist", "FashionMNIST/raw")  # the last is torchvision's layout
_INSTALL = (
    "install the Debian package dataset-fashion-mnist, or point `root` or the environment variable "
    "GENVIEWS_DATA to a folder that holds the four idx files (plain or .gz)"
)


def fashion_mnist(split: Split, root: str | Path | None = None) -> ImageSet:
    """Return one split of Fashion-MNIST, zero-padded from 28x28 to 32x32, pixel / 127.5 - 1.

    The files are looked for in `root` alone when it is given; else in the folder named by the
    environment variable GENVIEWS_DATA, then in the folder of the Debian package
    dataset-fashion-mnist. When they are nowhere they are downloaded by torchvision: into
    GENVIEWS_DATA when that is set, else into a temporary folder, read and removed.

    Args:
        split: "train" (55,000 images), "val" (5,000) or "test" (10,000).
        root: a folder with the four idx files, plain or gzipped, or torchvision's parent folder
            of FashionMNIST/raw.

    Returns:
        Images (N, 1, 32, 32) in file order, with labels, and ids "train-00000" and on, counted
        within the split.

    Raises:
        ValueError: unknown split, or a file that is truncated, corrupt or of another shape.
        FileNotFoundError: not found, and it could not be downloaded.

    Differs: the data set has no validation split; this one is the package's own.
    """
    lookup(split, _SPLITS, "Fashion-MNIST split")
    given = os.environ.get("GENVIEWS_DATA")
    places = [Path(given)] if given else []
    places = [*places, _SYSTEM_FOLDER] if root is None else [Path(root)]
    for folder in places:
        if None not in _paths(folder, split):
            return _read_split(folder, split)
    if root is not None:
        _fail_missing(str(root))
    with tempfile.TemporaryDirectory() as temporary:
        return _download_and_read(Path(given or temporary), split)


def labelled_subset(images: ImageSet, per_class: int = 120) -> ImageSet:
    """Return the first `per_class` images of each class, in file order.

    Args:
        images: a labelled set, e.g. `fashion_mnist("train")`.
        per_class: images of each class; 120 gives the 1,200 labelled images of the fashion32
            setting: many images, few labels.

    Raises:
        ValueError: no labels, or a class with fewer images.

    Example:
        >>> six = ImageSet(images=torch.zeros(4, 1, 2, 2), ids=("a", "b", "c", "d"),
        ...     labels=torch.tensor([0, 0, 1, 1]), class_names=("x", "y"))
        >>> labelled_subset(six, per_class=1).ids
        ('a', 'c')
    """
    check_count(per_class, "images per class")
    if images.labels is None:
        fail("image set", expected="labels", got="none", remedy="choose among labelled images")
    members = torch.nn.functional.one_hot(images.labels, len(images.class_names))
    sizes = members.sum(0)
    if int(sizes.min()) < per_class:
        name = images.class_names[int(sizes.argmin())]
        fail(
            "labelled subset",
            expected=f"at least {per_class} images of each class",
            got=f"{int(sizes.min())} of {name!r}",
            remedy="ask for fewer images per class",
        )
    rank = (members.cumsum(0) * members).sum(1)  # 1 for the first of its class, 2 for the second
    return images.select(rank <= per_class)


def pad_pixels(pixels: UInt8[Tensor, "N 28 28"]) -> Float[Tensor, "N 1 32 32"]:
    """Return uint8 pictures as images in [-1, 1], with a border of two pixels of value 0 (so -1).

    Example:
        >>> pad_pixels(torch.full((1, 28, 28), 255, dtype=torch.uint8))[0, 0, 1:3, 2]
        tensor([-1.,  1.])
    """
    return pad(pixels, (2, 2, 2, 2)).unsqueeze(1).float() / 127.5 - 1


def read_idx(path: Path, shape: tuple[int, ...]) -> UInt8[Tensor, N * rest]:
    """Return the array of an idx file of unsigned bytes, plain or gzipped (name ends in .gz).

    The format is four bytes (0, 0, type, number of axes), each size as a big-endian uint32, data.

    Args:
        path: the file.
        shape: of the array.

    Raises:
        ValueError: another shape or type, truncated, too long, or broken compression.
    """
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        _fail_corrupt(path, "a complete gzip file", f"{type(error).__name__}: {error}")
    header = bytes((0, 0, 8, len(shape))) + np.array(shape, dtype=">u4").tobytes()
    wanted = len(header) + math.prod(shape)
    if not data.startswith(header) or len(data) != wanted:
        got = f"{len(data)} bytes that begin with {data[: len(header)]!r}"
        _fail_corrupt(path, f"{wanted} bytes, an idx file of shape {shape}", got)
    # A copy, as the buffer of the file is read-only.
    return torch.from_numpy(np.frombuffer(data, np.uint8, offset=len(header)).reshape(shape).copy())


def _find(folder: Path, stem: str) -> Path | None:
    places = [folder / sub / (stem + end) for sub in _SUBFOLDERS for end in (".gz", "")]
    return next((p for p in places if p.is_file()), None)


def _paths(folder: Path, split: str) -> tuple[Path | None, Path | None]:
    name = _SPLITS[split][0]
    return _find(folder, f"{name}-images-idx3-ubyte"), _find(folder, f"{name}-labels-idx1-ubyte")


def _read_split(folder: Path, split: str) -> ImageSet:
    _, count, rows = _SPLITS[split]
    image_path, label_path = _paths(folder, split)
    assert image_path is not None  # the callers looked
    assert label_path is not None
    pixels, labels = read_idx(image_path, (count, 28, 28))[rows], read_idx(label_path, (count,))
    if int(labels.max()) >= len(CLASS_NAMES):
        _fail_corrupt(label_path, f"{count} labels from 0 to 9", f"up to {labels.max()}")
    return ImageSet(
        images=pad_pixels(pixels),
        ids=tuple(f"{split}-{i:05d}" for i in range(len(pixels))),
        labels=labels[rows].long(),
        class_names=CLASS_NAMES,
    )


def _download_and_read(folder: Path, split: str) -> ImageSet:
    from torchvision.datasets import FashionMNIST

    try:
        FashionMNIST(str(folder), train=split != "test", download=True)
    except (RuntimeError, OSError) as error:
        _fail_missing(f"nowhere, and the download failed ({type(error).__name__}: {error})")
    if None in _paths(folder, split):
        _fail_missing(f"nothing after a download into {folder}")
    return _read_split(folder, split)


def _fail_missing(got: str) -> NoReturn:
    fail("Fashion-MNIST", expected="its files", got=got, remedy=_INSTALL, error=FileNotFoundError)


def _fail_corrupt(path: Path, expected: str, got: object) -> NoReturn:
    fail(
        f"Fashion-MNIST file {path}",
        expected=expected,
        got=got,
        remedy="the file is truncated or corrupt: fetch it again",
    )
