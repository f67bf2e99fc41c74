"""The published pixel transforms by name, and those of the embedded default.

`DOMAIN/SETTING`, where a setting is what the paper's code does with a photo at training ("train"),
at plain evaluation ("val"), for a test-time ensemble ("crop", "color"), or with an image that the
generator rendered ("gan-base", "gan-mixed", "gan-train"). Domains without a line for a setting
leave the image as it is.

Source: Chai et al. 2021, arXiv:2104.14551, sections 4.1-4.3 and supplement 7.3, and the released
code. fashion32 is chosen by us.

Differs: `RandomResizedCrop` does not antialias, so rendered cars are resized before that crop, not
after it. The range of "car/scale+crop" is not published: the training crop's is used.
"""

from __future__ import annotations

from collections.abc import Callable

from genviews.augment.base import Compose, Identity, PixelViews
from genviews.augment.colour import ColorJitter
from genviews.augment.geometry import (
    CentreCrop,
    HorizontalFlip,
    RandomCrop,
    RandomResizedCrop,
    Resize,
    ResizedCrop,
    Rotate,
)
from genviews.checks import lookup

__all__ = ["pixel_views"]


def _car_render() -> tuple[PixelViews, ...]:
    """Drop the black bars of a rendered 512x512 car, and bring it to the classifier's height."""
    return CentreCrop(384, 512), Resize((256, 342))


_PRESETS: dict[str, Callable[[], PixelViews]] = {
    "identity": Identity,
    "celebahq/train": HorizontalFlip,
    "celebahq/crop": lambda: Compose(ResizedCrop(1.03125), HorizontalFlip(), name="crop"),
    "celebahq/color": lambda: Compose(
        HorizontalFlip(), ColorJitter(0.05, 0.05, 0.05, 0.05), name="color"
    ),
    "celebahq/gan-mixed": lambda: Compose(
        ResizedCrop(1.03125), HorizontalFlip(), ColorJitter(0.05, 0.05, 0.05), name="mixed"
    ),
    "celebahq/gan-train": HorizontalFlip,
    "car/train": lambda: Compose(RandomResizedCrop(256), HorizontalFlip(), name="train"),
    "car/train-rotate": lambda: Compose(
        Rotate(10.0, fill="nearest"), RandomResizedCrop(256), HorizontalFlip(), name="train-rotate"
    ),
    "car/val": lambda: Compose(Resize(256), CentreCrop(256), name="val"),
    "car/crop": lambda: Compose(Resize(256), RandomCrop(size=256), HorizontalFlip(), name="crop"),
    "car/scale+crop": lambda: Compose(
        Resize(256), RandomResizedCrop(256), HorizontalFlip(), name="scale+crop"
    ),
    "car/gan-base": lambda: Compose(*_car_render(), CentreCrop(256), name="base"),
    "car/gan-mixed": lambda: Compose(
        *_car_render(), RandomCrop(size=256), HorizontalFlip(), name="mixed"
    ),
    "car/gan-train": lambda: Compose(
        *_car_render(), RandomResizedCrop(256), HorizontalFlip(), name="train"
    ),
    "cat/train": lambda: Compose(RandomResizedCrop(224), HorizontalFlip(), name="train"),
    "cat/val": lambda: Compose(Resize(256), CentreCrop(224), name="val"),
    "cat/crop": lambda: Compose(Resize(256), RandomCrop(size=224), HorizontalFlip(), name="crop"),
    "cat/gan-base": lambda: Compose(CentreCrop(224), name="base"),
    "cat/gan-mixed": lambda: Compose(RandomCrop(size=224), HorizontalFlip(), name="mixed"),
    "cat/gan-train": lambda: Compose(RandomResizedCrop(224), HorizontalFlip(), name="train"),
    "cifar10/train": lambda: Compose(RandomCrop(padding=4), HorizontalFlip(), name="train"),
    "cifar10/gan-train": lambda: Compose(RandomCrop(padding=4), HorizontalFlip(), name="train"),
    "fashion32/flip": lambda: HorizontalFlip(1.0),
    "fashion32/crop": lambda: RandomCrop(padding=2),
    "fashion32/jitter": lambda: ColorJitter(0.2, 0.2),
    "fashion32/flip+crop": lambda: Compose(HorizontalFlip(), RandomCrop(padding=2)),
    "fashion32/all": lambda: Compose(
        HorizontalFlip(), RandomCrop(padding=2), ColorJitter(0.2, 0.2), name="all"
    ),
}


def pixel_views(name: str) -> PixelViews:
    """Return the transform of a published setting.

    Args:
        name: such as "celebahq/crop" or "fashion32/flip+crop".

    Raises:
        ValueError: unknown; the closest names are listed.

    Example:
        >>> pixel_views("fashion32/crop")
        RandomCrop(padding=2, size=None, fill=-1.0)
    """
    return lookup(name, _PRESETS, "pixel views")()
