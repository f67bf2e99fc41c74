"""What images are like where no generator says it: their size and channels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from torch import Tensor

from genviews.checks import fail
from genviews.data.dataset_source import load_dataset
from genviews.data.decode import UnfitImageError, decode_pixels, picture_pixels
from genviews.load.files import find_files
from genviews.load.images import FASHION, WordKind, kind_of
from genviews.types import ImageSpec

__all__ = ["images_spec"]

_LOOK = 16  # images that say what all are like


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
