"""Centring by a box: the object moves to the middle of the frame; nothing is turned.

The way of cars. The photo is scaled to the width of the frame, so that the size of the object in
it varies as in the photos that the generator was trained on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from genviews.align.affine import Affine
from genviews.align.base import Aligned, Aligner, Box, Geometry, UnalignableError, check_source
from genviews.align.warp import resize_lanczos
from genviews.checks import check_count, check_number, fail

__all__ = ["CARS", "CentreBox", "Frame"]


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The canvas of a generator, and the middle part of it that its training images fill.

    Args:
        height: of the canvas, in pixels: the generator's H.
        width: of the canvas: the generator's W.
        content_height: height of the part in the middle that may hold pixels of the image.
        content_width: its width, to which images are scaled.
    """

    height: int
    width: int
    content_height: int
    content_width: int

    def __post_init__(self) -> None:
        for side in ("height", "width"):
            whole = check_count(getattr(self, side), f"{side} of the frame")
            what, part = f"content {side} of the frame", getattr(self, f"content_{side}")
            remedy = f"the content lies within the canvas, whose {side} is {whole}"
            check_number(check_count(part, what), what, most=whole, remedy=remedy)


CARS = Frame(height=512, width=512, content_height=384, content_width=512)
"""StyleGAN2 LSUN cars: 512x384 pictures between bands above and below."""


@dataclass(frozen=True)
class CentreBox(Aligner):
    """Move the centre of a box to the centre of the frame.

    The image is scaled to the width of the content (height rounded down); the scaled box is
    truncated to whole pixels; the image is shifted by whole pixels within its own outline, so that
    the box's centre is in the middle; the middle of the result, at most the content's size, is laid
    in the middle of the canvas. Pixels that the shift vacates, and the canvas around, are unknown.

    Args:
        frame: canvas and content, in pixels.
        vacated: value of the pixels that the shift vacates, whose mask is 0. The canvas around
            the content is always 0. 0, so that unknown pixels are all the same; -1 (black) gives
            the images of the released code.

    Source: Chai et al. 2021, arXiv 2104.14551, supplement 7.2, and the released code.
    Differs: `vacated` is 0 by default, since the encoders are trained with 0 for unknown; the
        resized image keeps floats where the released code rounds to 8 bit.
    """

    frame: Frame = CARS
    vacated: float = 0.0

    def __post_init__(self) -> None:
        remedy = "0 is mid-grey, what unknown pixels hold elsewhere; -1 is black"
        check_number(self.vacated, "value of vacated pixels", least=-1, most=1, remedy=remedy)

    def align(self, image: Float[Tensor, "C H W"], geometry: Geometry) -> Aligned:
        """Align one image by its box; see the class and `Aligner.align`.

        Raises:
            UnalignableError: a box without area or with its centre outside the image, pixels that
                are not finite, or an image so wide that no row is left.
            TypeError: landmarks in place of a box, or an image that holds no floats.
            ValueError: an image of another number of axes than (C, H, W).
        """
        check_source(image)
        height, width = image.shape[1:]
        box = _checked_box(geometry, height, width)
        ratio = self.frame.content_width / width
        size = (int(ratio * height), self.frame.content_width)
        if size[0] == 0:
            raise UnalignableError(f"is too wide: {width}x{height} pixels")
        left, top = self._offset(box, ratio, size)
        pixels, mask = self._lay(resize_lanczos(image, size), left, top)
        to_source = Affine.scaling(width / size[1], height / size[0]).after(
            Affine.shift(-left, -top)
        )
        return Aligned(image=pixels, mask=mask, to_source=to_source, source_size=(height, width))

    def _window(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Part of the canvas that a resized image of `size` may fill: top, bottom, left, right."""
        height, width = min(size[0], self.frame.content_height), size[1]
        top, left = (self.frame.height - height) // 2, (self.frame.width - width) // 2
        return top, top + height, left, left + width

    def _offset(self, box: Box, ratio: float, size: tuple[int, int]) -> tuple[int, int]:
        """Column and row of the canvas at which the resized image starts."""
        x0, y0, x1, y1 = (int(edge * ratio) for edge in (box.x0, box.y0, box.x1, box.y1))
        top, _, left, _ = self._window(size)
        cut = max(0, (size[0] - self.frame.content_height) // 2)
        return left + size[1] // 2 - (x0 + x1) // 2, top - cut + size[0] // 2 - (y0 + y1) // 2

    def _lay(self, resized: Tensor, left: int, top: int) -> tuple[Tensor, Tensor]:
        """Lay the resized image on the canvas, no further than the window reaches."""
        height, width = resized.shape[1:]
        y0, y1, x0, x1 = self._window((height, width))
        canvas = resized.new_zeros(resized.shape[0], self.frame.height, self.frame.width)
        canvas[:, y0:y1, x0:x1] = self.vacated
        mask = torch.zeros_like(canvas[:1])
        y0, y1 = max(y0, top), min(y1, top + height)
        x0, x1 = max(x0, left), min(x1, left + width)
        canvas[:, y0:y1, x0:x1] = resized[:, y0 - top : y1 - top, x0 - left : x1 - left]
        mask[:, y0:y1, x0:x1] = 1.0
        return canvas, mask


def _checked_box(geometry: Geometry, height: int, width: int) -> Box:
    if not isinstance(geometry, Box):
        fail(
            "geometry of CentreBox",
            expected="a Box",
            got=type(geometry).__name__,
            remedy="use FaceQuad or Similarity for landmarks",
            error=TypeError,
        )
    edges = (geometry.x0, geometry.y0, geometry.x1, geometry.y1)
    if not all(map(math.isfinite, edges)) or edges[0] >= edges[2] or edges[1] >= edges[3]:
        raise UnalignableError(f"has a box without area: {geometry}")
    x, y = (edges[0] + edges[2]) / 2, (edges[1] + edges[3]) / 2
    if not (0 <= x < width and 0 <= y < height):
        raise UnalignableError(f"has a box outside its {width}x{height} pixels: {geometry}")
    return geometry
