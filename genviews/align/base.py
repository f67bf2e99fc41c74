"""What alignment is: an image brought to the pose and size that a generator draws, and back.

    image -> ALIGN -> invert -> latents -> perturb -> render -> classify -> weigh -> prediction

An `Aligner` is made from its settings and called on one source image and its geometry (a box, or
landmarks). It answers with the aligned image, a mask of the pixels that the source really holds,
and the map between the two, which `Aligned.paste_back` follows the other way.

An image that cannot be aligned raises `UnalignableError`, whose text completes "FILE ...", so that
a caller lists it and goes on. All other errors are mistakes that concern every image.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from genviews.align.warp import Affine, hide_unknown, pixels_within, warp
from genviews.checks import fail
from genviews.signature import checked
from genviews.types import Images, Masks, check_floats, check_shape

__all__ = ["Aligned", "Aligner", "Box", "Geometry", "UnalignableError", "check_source", "stack"]


class UnalignableError(ValueError):
    """One image that cannot be aligned; the text says why and completes "FILE ..."."""


@dataclass(frozen=True)
class Box:
    """The box around an object, in pixels of the source image: x to the right, y downwards."""

    x0: float
    y0: float
    x1: float
    y1: float


Geometry = Box | Float[Tensor, "N 2"]
"""A box, or N landmarks (x, y) in pixels; (0, 0) is the centre of the top left pixel."""


@dataclass(frozen=True, kw_only=True)
class Aligned:
    """An aligned image, what of it is known, and where it came from.

    Args:
        image: (C, H, W) in [-1, 1]. Unknown pixels are 0, what encoders are trained to see there.
        mask: (1, H, W), 1 = known: the centre of the pixel lies inside the source image.
        to_source: continuous positions in `image` -> positions in the source image.
        source_size: (height, width) of the source image.
    """

    image: Float[Tensor, "C H W"]
    mask: Float[Tensor, "1 H W"]
    to_source: Affine
    source_size: tuple[int, int]

    @checked
    def paste_back(
        self, edited: Float[Tensor, "C H W"], source: Float[Tensor, "C h w"]
    ) -> Float[Tensor, "C h w"]:
        """Put an edited or reconstructed version of `image` back into its source, at its place.

        A pixel of the source is replaced where its centre falls into a known pixel of `image`.
        Only known pixels of `edited` are read: what a generator drew elsewhere does not bleed in.

        Args:
            edited: of the shape of `image`.
            source: the image that was aligned, or another one of its size.

        Returns:
            A new image. Pixels outside the aligned region are those of `source`, bit for bit;
            within it they are `edited`, resampled bilinearly.

        Raises:
            ValueError: `edited` or `source` of another size or number of channels.
        """
        remedy = "`edited` has the aligned image's shape, `source` that of the photo"
        check_shape(edited, self.image.shape, "edited image of paste_back", remedy)
        whole = (self.image.shape[0], *self.source_size)
        check_shape(source, whole, "source image of paste_back", remedy)
        top, bottom, left, right = self._region()
        size = (bottom - top, right - left)
        to_output = self.to_source.inverse().after(Affine.shift(left, top))
        replaced = pixels_within(to_output, size, self.mask)
        known = self.mask.to(edited)
        weight = warp(known, to_output, size).clamp_min(1e-6)  # 0 only where nothing is replaced
        pixels = warp(hide_unknown(edited, self.mask[0] > 0), to_output, size)
        result = source.clone()
        patch = result[:, top:bottom, left:right]
        result[:, top:bottom, left:right] = torch.where(
            replaced.to(source.device), (pixels / weight).to(source), patch
        )
        return result

    def _region(self) -> tuple[int, int, int, int]:
        """Part of the source that encloses the aligned frame: top, bottom, left, right."""
        height, width = self.image.shape[1:]
        corners = [self.to_source.at(x, y) for x in (0, width) for y in (0, height)]
        limits = []
        for axis, length in ((1, self.source_size[0]), (0, self.source_size[1])):
            low = math.floor(min(corner[axis] for corner in corners))
            high = math.ceil(max(corner[axis] for corner in corners))
            limits += [min(max(low, 0), length), min(max(high, 0), length)]
        return limits[0], limits[1], limits[2], limits[3]


@dataclass(frozen=True)
class Aligner(ABC):
    """Abstract way to align: a frozen dataclass of settings that prints as its call."""

    @abstractmethod
    def align(self, image: Float[Tensor, "C H W"], geometry: Geometry) -> Aligned:
        """Align one image.

        Args:
            image: source image of any size, in [-1, 1], on any device, where the result is too.
            geometry: where the object is, in pixels of `image`.

        Raises:
            UnalignableError: this image or its geometry does not allow it.
            TypeError, ValueError: another kind of geometry or of image than the aligner takes.
        """


def stack(aligned: Sequence[Aligned]) -> tuple[Images, Masks]:
    """Return the images and the masks of many alignments as the batches that inversion takes.

    Raises:
        ValueError: no image, or images of different shapes.
    """
    shapes = sorted({tuple(one.image.shape) for one in aligned})
    if len(shapes) != 1:
        fail(
            "aligned images to stack",
            expected="at least one, all of one shape",
            got=f"shapes {shapes}" if shapes else "none",
            remedy="align them with one aligner, and colour and grey images apart",
        )
    return torch.stack([one.image for one in aligned]), torch.stack([one.mask for one in aligned])


def check_source(image: Tensor) -> None:
    """Raise unless this is a source image: a float tensor (C, H, W) of finite values.

    Raises:
        TypeError: not a floating-point tensor.
        ValueError: another number of axes, or no pixel.
        UnalignableError: values that are not finite, which resampling would spread.
    """
    floats, remedy = check_floats(image, "source image"), "give one image at a time"
    check_shape(floats, ("C", "H", "W"), "source image", remedy)
    if image.numel() == 0:
        fail("source image", expected="pixels", got=tuple(image.shape), remedy="leave it out")
    if not bool(image.isfinite().all()):
        raise UnalignableError("has pixels that are no finite number")
