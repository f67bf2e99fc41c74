"""The published pixel transforms by name, and those of the embedded default.

`DOMAIN/SETTING`, where a setting is what the paper's code does with a photo at training ("train"),
at plain evaluation ("val"), for a test-time ensemble ("crop", "color"), or with an image that the
generator rendered ("gan-base", "gan-mixed", "gan-train"). Domains without a line for a setting
leave the image as it is.

The contrastive ones of the learning arrow crop to 112 = int(0.875 * 128) pixels from the
generator's own resolution: "genrep/train" (T_x), "genrep/centre" (of views of T_z alone), and
"stylegan-car" with "stylegan-car/centre", which first drop the black bars of a rendered car.
"genrep/weak" and "fashion32/simclr-weak" are milder and chosen by us: crops of at least half (0.6
at 32x32) of the image in place of 0.2, half the strength of the colours, grey half as often.

Source: Chai et al. 2021, arXiv:2104.14551, sections 4.1-4.3 and supplement 7.3, and the released
code; Jahanian et al. 2022, arXiv:2106.05258, section 4 and appendix A, and the released code
(`main_unified.py`). fashion32 is chosen by us.

Differs: the range of "car/scale+crop" is not published: the training crop's is used. GenRep's paper
says 128 pixels where its code crops 112.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from genviews.augment.base import Compose, Identity, PixelViews, Renamed
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
from genviews.augment.simclr import SimCLR
from genviews.checks import lookup

__all__ = ["pixel_views", "pixel_views_apart"]

GENREP_SIZE = int(0.875 * 128)


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
        CentreCrop(384, 512), RandomResizedCrop(256), HorizontalFlip(), name="train"
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
    "fashion32/simclr": lambda: SimCLR(32, saturation=0.0, hue=0.0, grey=0.0),
    "fashion32/simclr-weak": lambda: SimCLR(
        32, (0.6, 1.0), brightness=0.2, contrast=0.2, saturation=0.0, hue=0.0, grey=0.0
    ),
    "genrep/train": lambda: SimCLR(GENREP_SIZE),
    "genrep/weak": lambda: SimCLR(
        GENREP_SIZE, (0.5, 1.0), brightness=0.2, contrast=0.2, saturation=0.2, hue=0.05, grey=0.1
    ),
    "genrep/centre": lambda: CentreCrop(GENREP_SIZE),
    "stylegan-car": lambda: Compose(CentreCrop(384, 512), SimCLR(GENREP_SIZE), name="simclr"),
    "stylegan-car/centre": lambda: Compose(
        CentreCrop(384, 512), CentreCrop(GENREP_SIZE), name="centre"
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


def pixel_views_apart(names: Sequence[str]) -> tuple[PixelViews, ...]:
    """Return the transforms of several settings under names that differ.

    Args:
        names: as for `pixel_views`; one that is given again counts once.

    Returns:
        Each under its short name, or under the whole one where two share the short one.

    Example:
        >>> found = pixel_views_apart(["fashion32/crop", "celebahq/crop", "fashion32/flip"])
        >>> [views.name for views in found]
        ['fashion32/crop', 'celebahq/crop', 'flip']
    """
    found = {name: pixel_views(name) for name in names}
    count = Counter(views.name for views in found.values())
    return tuple(
        views if count[views.name] == 1 else Renamed(views, name) for name, views in found.items()
    )
