"""What happens to an image in [-1, 1] before a network sees it: channels, size and values.

One of the two borders where mean/std normalisation happens. The values are changed last and in one
step, since range and normalisation together are (x - mean) / std for images in [-1, 1].
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from genviews.checks import fail, option
from genviews.classify.settings import ClassifierSettings, InputRange
from genviews.types import ImageSpec, luma

__all__ = ["from_unit_range", "in_signed_range", "input_spec", "reshaped"]


def input_spec(images: ImageSpec, settings: ClassifierSettings) -> ImageSpec:
    """What the network is given, where `images` are what its user has.

    Raises:
        ValueError: channels that cannot be made of those of the images, or more to cut out than is
            left of the images when they are resized.
    """
    given = settings.input_size  # none, one number for both sides, or two
    height, width = (given * 2)[:2] if given else images.shape[1:]
    channels = settings.input_channels or images.channels
    if channels != images.channels and {channels, images.channels} != {1, 3}:
        fail(
            option("input_channels"),
            expected=f"{images.channels}, as the images have",
            got=channels,
            remedy="only grey images become coloured ones, and coloured ones grey",
        )
    resized = _resized(images.shape[1:], settings.input_resize, (height, width))
    if resized[0] < height or resized[1] < width:
        fail(
            option("input_resize"),
            expected=f"images from which {height}x{width} can be cut out",
            got=f"{resized[0]}x{resized[1]}, of images of {images.height}x{images.width}",
            remedy=f"resize to more, or cut out less with {option('input_size')}",
        )
    return ImageSpec(channels=channels, height=height, width=width)


def _resized(size: tuple[int, int], short: int | None, wanted: tuple[int, int]) -> tuple[int, int]:
    """Height and width after the resize: of a short side, or else those of what is wanted."""
    if short is None:
        return wanted
    return short * size[0] // min(size), short * size[1] // min(size)


def reshaped(
    images: Float[Tensor, "N C H W"], settings: ClassifierSettings, spec: ImageSpec
) -> Float[Tensor, "N c h w"]:
    """Return images with the channels and the size of `spec`; what fits already is left alone.

    Source: torchvision's `ImageClassification` preset: resize with antialias, cut the centre.
    """
    if spec.channels == 1 and images.shape[1] == 3:
        images = luma(images)
    height, width = images.shape[2:]
    wanted = _resized((height, width), settings.input_resize, spec.shape[1:])
    if wanted != (height, width):
        # In float32 at least: half precision is not resized everywhere.
        images = images if images.dtype.itemsize >= 4 else images.float()
        soft = settings.interpolation != "nearest"
        images = F.interpolate(images, wanted, mode=settings.interpolation, antialias=soft)
    top, left = (round((a - b) / 2) for a, b in zip(images.shape[2:], spec.shape[1:], strict=True))
    images = images[:, :, top : top + spec.height, left : left + spec.width]
    return images.expand(-1, spec.channels, -1, -1)


def in_signed_range(
    mean: Sequence[float], std: Sequence[float], values: InputRange | None
) -> tuple[list[float], list[float]]:
    """Mean and std for images in [-1, 1] of those for images of another range."""
    if values is None:
        return list(mean), list(std)
    top = float(values.partition("..")[2])
    return from_unit_range([m / top for m in mean], [s / top for s in std])


def from_unit_range(mean: Sequence[float], std: Sequence[float]) -> tuple[list[float], list[float]]:
    """Convert mean and std of images in [0, 1] to those of images in [-1, 1].

        (u - m) / s = (x - (2 m - 1)) / (2 s)    for x = 2 u - 1

    Args:
        mean: one a channel, e.g. (0.485, 0.456, 0.406) of ImageNet.
        std: one a channel, e.g. (0.229, 0.224, 0.225).

    Example:
        >>> from_unit_range([0.5], [0.25])
        ([0.0], [0.5])
    """
    return [2 * m - 1 for m in mean], [2 * s for s in std]
