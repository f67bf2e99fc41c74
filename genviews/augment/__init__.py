"""Pixel transforms of images: the classic test-time views, and the augmentation of training.

They stand beside the latent views on the test-time arrow, `image -> T_x -> classify`, and may
follow them, `render(perturb(latent)) -> T_x -> classify` (the papers' "combined" views). On the
learning arrow they follow every view, `render(perturb(latent)) -> T_x -> encode` (`SimCLR`). Every
transform is batched and runs on the device of its input; each view of each image gets its own
parameters, drawn from that image's stream, so an image never depends on its neighbours. Images are
in [-1, 1].

A transform of strength zero is the identity, bit for bit.
"""

from __future__ import annotations

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
from genviews.augment.presets import pixel_views, pixel_views_apart
from genviews.augment.simclr import SimCLR, SimCLRDraws

__all__ = [
    "CentreCrop",
    "ColorJitter",
    "Compose",
    "HorizontalFlip",
    "Identity",
    "PixelViews",
    "RandomCrop",
    "RandomResizedCrop",
    "Renamed",
    "Resize",
    "ResizedCrop",
    "Rotate",
    "SimCLR",
    "SimCLRDraws",
    "pixel_views",
    "pixel_views_apart",
]
