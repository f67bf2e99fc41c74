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
from collections.abc import Sequence

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
from genviews.signature import checked

__all__ = ["GENREP_SIDE", "GENREP_SIZE", "for_renders", "pixel_views", "pixel_views_apart"]

GENREP_SIDE = 128  # of the images that the paper learns from
GENREP_SIZE = int(0.875 * GENREP_SIDE)  # what its code crops


_FLIP, _CROP_256, _CROP_224 = HorizontalFlip(), RandomResizedCrop(256), RandomResizedCrop(224)
_CAR = CentreCrop(384, 512)  # drops the black bars of a rendered car
_SMALL_CAR = (_CAR, Resize((256, 342)))  # at the height that the classifier takes

_PRESETS: dict[str, PixelViews] = {
    "identity": Identity(),
    "celebahq/train": _FLIP,
    "celebahq/crop": Compose(ResizedCrop(1.03125), _FLIP, name="crop"),
    "celebahq/color": Compose(_FLIP, ColorJitter(0.05, 0.05, 0.05, 0.05), name="color"),
    "celebahq/gan-mixed": Compose(
        ResizedCrop(1.03125), _FLIP, ColorJitter(0.05, 0.05, 0.05), name="mixed"
    ),
    "celebahq/gan-train": _FLIP,
    "car/train": Compose(_CROP_256, _FLIP, name="train"),
    "car/train-rotate": Compose(
        Rotate(10.0, fill="nearest"), _CROP_256, _FLIP, name="train-rotate"
    ),
    "car/val": Compose(Resize(256), CentreCrop(256), name="val"),
    "car/crop": Compose(Resize(256), RandomCrop(size=256), _FLIP, name="crop"),
    "car/scale+crop": Compose(Resize(256), _CROP_256, _FLIP, name="scale+crop"),
    "car/gan-base": Compose(*_SMALL_CAR, CentreCrop(256), name="base"),
    "car/gan-mixed": Compose(*_SMALL_CAR, RandomCrop(size=256), _FLIP, name="mixed"),
    "car/gan-train": Compose(_CAR, _CROP_256, _FLIP, name="train"),
    "cat/train": Compose(_CROP_224, _FLIP, name="train"),
    "cat/val": Compose(Resize(256), CentreCrop(224), name="val"),
    "cat/crop": Compose(Resize(256), RandomCrop(size=224), _FLIP, name="crop"),
    "cat/gan-base": Compose(CentreCrop(224), name="base"),
    "cat/gan-mixed": Compose(RandomCrop(size=224), _FLIP, name="mixed"),
    "cat/gan-train": Compose(_CROP_224, _FLIP, name="train"),
    "cifar10/train": Compose(RandomCrop(padding=4), _FLIP, name="train"),
    "cifar10/gan-train": Compose(RandomCrop(padding=4), _FLIP, name="train"),
    "fashion32/flip": HorizontalFlip(1.0),
    "fashion32/crop": RandomCrop(padding=2),
    "fashion32/jitter": ColorJitter(0.2, 0.2),
    "fashion32/flip+crop": Compose(_FLIP, RandomCrop(padding=2)),
    "fashion32/all": Compose(_FLIP, RandomCrop(padding=2), ColorJitter(0.2, 0.2), name="all"),
    "fashion32/simclr": SimCLR(32, saturation=0.0, hue=0.0, grey=0.0),
    "fashion32/simclr-weak": SimCLR(
        32, (0.6, 1.0), brightness=0.2, contrast=0.2, saturation=0.0, hue=0.0, grey=0.0
    ),
    "genrep/train": SimCLR(GENREP_SIZE),
    "genrep/weak": SimCLR(
        GENREP_SIZE, (0.5, 1.0), brightness=0.2, contrast=0.2, saturation=0.2, hue=0.05, grey=0.1
    ),
    "genrep/centre": CentreCrop(GENREP_SIZE),
    "stylegan-car": Compose(_CAR, SimCLR(GENREP_SIZE), name="simclr"),
    "stylegan-car/centre": Compose(_CAR, CentreCrop(GENREP_SIZE), name="centre"),
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
    return lookup(name, _PRESETS, "pixel views")


_RENDERED = {
    "car/train": "car/gan-train",
    "car/train-rotate": "car/gan-train",
    "car/crop": "car/gan-mixed",
    "car/scale+crop": "car/gan-mixed",
    "cat/train": "cat/gan-train",
    "cat/crop": "cat/gan-mixed",
}  # photos have no black bars, and come in sizes of their own


@checked
def for_renders(views: PixelViews) -> PixelViews:
    """Return what renders go through where photos go through a published transform.

    Args:
        views: of photos; one without a partner of its own is returned.

    Example:
        >>> for_renders(pixel_views("cat/crop")).name
        'mixed'
    """
    known = views.views if isinstance(views, Renamed) else views
    name = next((name for name, one in _PRESETS.items() if one is known), "")
    return _PRESETS[_RENDERED[name]] if name in _RENDERED else views


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
