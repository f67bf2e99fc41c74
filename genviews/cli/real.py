"""What `--real` names: images to train on, in memory, with their classes where they have any."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genviews.checks import check_count, fail
from genviews.cli.images import check_images, image_source, images_stamp, kind_of
from genviews.cli.labelled import FASHION
from genviews.cli.learn_options import LearnInputs
from genviews.cli.options import InvertInputs

if TYPE_CHECKING:  # these load torch
    from genviews.data import ImageSet, ImageSource
    from genviews.types import ImageSpec

__all__ = ["check_real", "real_images", "real_spec", "real_stamp"]

_ROWS = 512  # images read at once
_LOOK = 16  # images that say what all are like


def check_real(inputs: LearnInputs) -> None:
    """Find mistakes that need nothing loaded.

    Raises:
        FileNotFoundError: what `--real` names is not there.
        ValueError: flags that do not go together.
    """
    if inputs.size is not None:
        check_count(inputs.size, "--size")
        if inputs.generator is not None:
            fail(
                "--size",
                expected="no generator: images have the size that it makes",
                got=inputs.size,
                remedy="leave it out; --resize shrinks larger images",
            )
    if inputs.real == FASHION and inputs.size not in (None, 32):
        fail("--size", expected=f"32, for {FASHION}", got=inputs.size, remedy="leave it out")
    if inputs.real is None or inputs.real == FASHION:
        return
    with _speaking_of_real():
        check_images(_as_inversion(inputs))
    if inputs.generator is None and kind_of(inputs.real) == "store":
        fail(
            "--real",
            expected="a folder, a CSV file or a data set, where no generator says the size",
            got="a store",
            remedy="name the generator that the images are of the size of",
        )


@contextmanager
def _speaking_of_real() -> Iterator[None]:
    """Messages that speak of `--images`, the flag of other verbs, speak of `--real`."""
    try:
        yield
    except (FileNotFoundError, ValueError) as error:
        if "--images" not in str(error):
            raise
        raise type(error)(re.sub(r"--images\b", "--real", str(error))) from None


def real_stamp(inputs: LearnInputs) -> str:
    """What changes when the files change; "" where that cannot be seen."""
    if inputs.real is None or inputs.real == FASHION:
        return ""
    with _speaking_of_real():
        return images_stamp(_as_inversion(inputs))


def real_images(
    inputs: LearnInputs, spec: ImageSpec
) -> tuple[ImageSet | None, tuple[tuple[str, str], ...]]:
    """Read what `--real` names.

    Images of a folder have classes if each lies in a subfolder; those of `fashion32` have theirs.

    Returns:
        The images, None where the flag is not given, and (file, reason) of what was left out.

    Raises:
        ValueError: no readable image, or another size than that of the generator.
    """
    from genviews.data import FolderSource, fashion_mnist, load_folder

    if inputs.real is None:
        return None, ()
    if inputs.real == FASHION:
        if spec.shape != (1, 32, 32):
            fail(
                f"--real {FASHION}",
                expected="a generator of 32x32 grey images",
                got=f"images {spec.shape}, channels first",
                remedy="name images of that size",
            )
        return fashion_mnist("train"), ()
    source = image_source(_as_inversion(inputs), spec)
    if isinstance(source, FolderSource) and all("/" in name for name in source.ids):
        found = load_folder(inputs.real, spec, resize=inputs.resize, convert=inputs.convert)
        return found, found.skipped
    found = _read_all(inputs.real, source)
    return found, found.skipped


def _read_all(real: str, source: ImageSource) -> ImageSet:
    import torch

    from genviews.data import ImageSet

    rows = range(len(source))
    batches = [source.read(rows[start : start + _ROWS]) for start in range(0, len(rows), _ROWS)]
    skipped = [*source.skipped, *(one for batch in batches for one in batch.skipped)]
    ids = tuple(name for batch in batches for name in batch.ids)
    if not ids:
        shown = "; ".join(f"{name} {reason}" for name, reason in skipped[:5])
        fail(
            f"--real {real}",
            expected="at least one readable image",
            got=f"none of {len(source)}: {shown}",
            remedy="check the images; --resize and --convert accept more",
        )
    images = torch.cat([batch.images for batch in batches])
    return ImageSet(images=images, ids=ids, skipped=tuple(skipped))


def real_spec(inputs: LearnInputs) -> ImageSpec:
    """The images that a run without a generator learns from.

    The first that can be read says the size, unless `--size` does; they are grey if the first few
    are.

    Raises:
        ValueError: none of the first few can be read.
    """
    from genviews.types import ImageSpec

    assert inputs.real is not None
    if inputs.real == FASHION:
        return ImageSpec(channels=1, height=32, width=32)
    shapes = [shape for shape in _first_shapes(inputs) if shape is not None]
    if not shapes:
        fail(
            f"--real {inputs.real}",
            expected="readable images",
            got=f"none among the first {_LOOK}",
            remedy="check the path, or remove what is no image",
        )
    _, height, width = shapes[0]
    if inputs.size is not None:
        height = width = inputs.size
    channels = max(shape[0] for shape in shapes)
    return ImageSpec(channels=channels, height=height, width=width)


def _first_shapes(inputs: LearnInputs) -> Iterator[tuple[int, ...] | None]:
    """(C, H, W) of the first images as they are; None of what cannot be read."""
    from genviews.data import load_dataset
    from genviews.types import ImageSpec

    assert inputs.real is not None
    if kind_of(inputs.real) == "dataset":
        data = load_dataset(inputs.real)
        for index in range(min(_LOOK, len(data))):
            item = data[index]
            yield _shape(item[0] if isinstance(item, (tuple, list)) else item, inputs.convert)
        return
    path = Path(inputs.real)
    any_spec = ImageSpec(channels=3, height=1, width=1)  # only names are asked for
    for name in image_source(_as_inversion(inputs), any_spec).ids[:_LOOK]:
        yield _shape((path if path.is_dir() else path.parent) / name, inputs.convert)


def _shape(picture: object, convert: bool) -> tuple[int, ...] | None:
    from torch import Tensor

    from genviews.data.decode import UnfitImageError, decode_pixels, picture_pixels

    if isinstance(picture, Tensor):
        return tuple(picture.shape)
    read: Any = decode_pixels if isinstance(picture, Path) else picture_pixels
    for channels in (1, 3):  # colour does not fit into one, unless it is converted
        with suppress(UnfitImageError):
            return tuple(read(picture, channels, convert=convert and channels == 3).shape)
    return None


def _as_inversion(inputs: LearnInputs) -> InvertInputs:
    assert inputs.real is not None
    plain = InvertInputs(images=inputs.real, generator=inputs.generator or "")
    return replace(plain, resize=inputs.resize, convert=inputs.convert)
