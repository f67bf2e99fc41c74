"""Pixels of one image at the places of another: the map, what is known there, and resampling.

Positions are continuous: pixel (row i, column j) covers [j, j+1) x [i, i+1), its centre is at
x = j + 0.5, y = i + 0.5, and an image covers [0, W) x [0, H) whatever its resolution. So a change
of size is a plain scaling, with no half pixels left over.

A pixel of the output is known where its centre lies inside the source image: a matter of geometry,
never of colour. Black, grey and white pixels of a photo are as known as any other.

Resampling reads only inside the image (its edge pixels stand for what lies just beyond their
centres), and filters before it shrinks, so that fine texture becomes its mean and no moiré.

Differs: the code released by Chai et al. guesses the mask of aligned cats from the picture (red
channel near mid-grey = unknown), which hides grey pixels of the cat and keeps the black fill.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import interpolate

from genviews.signature import checked

__all__ = ["Affine", "hide_unknown", "known_pixels", "pixels_within", "resize_lanczos", "warp"]

_LOBES = 3


@dataclass(frozen=True)
class Affine:
    """The map (x, y) -> (xx x + xy y + x0, yx x + yy y + y0) of continuous positions in pixels."""

    xx: float
    xy: float
    x0: float
    yx: float
    yy: float
    y0: float

    @staticmethod
    def scaling(x: float, y: float) -> Affine:
        """Return the map (x, y) -> (x * `x`, y * `y`)."""
        return Affine(x, 0.0, 0.0, 0.0, y, 0.0)

    @staticmethod
    def shift(x: float, y: float) -> Affine:
        """Return the map (x, y) -> (x + `x`, y + `y`)."""
        return Affine(1.0, 0.0, x, 0.0, 1.0, y)

    @property
    def determinant(self) -> float:
        """Area of the image of a unit square; negative where the map mirrors."""
        return self.xx * self.yy - self.xy * self.yx

    @property
    def scale(self) -> float:
        """Side of the square with the area of a mapped unit square."""
        return math.sqrt(abs(self.determinant))

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Map one position."""
        return (self.xx * x + self.xy * y + self.x0, self.yx * x + self.yy * y + self.y0)

    def after(self, first: Affine) -> Affine:
        """Return the map that applies `first` and then this one."""
        x0, y0 = self.at(first.x0, first.y0)
        return Affine(
            self.xx * first.xx + self.xy * first.yx,
            self.xx * first.xy + self.xy * first.yy,
            x0,
            self.yx * first.xx + self.yy * first.yx,
            self.yx * first.xy + self.yy * first.yy,
            y0,
        )

    def inverse(self) -> Affine:
        """Return the map that undoes this one, whose determinant must not be 0."""
        d = self.determinant
        assert d != 0.0
        turned = Affine(self.yy / d, -self.xy / d, 0.0, -self.yx / d, self.xx / d, 0.0)
        return turned.after(Affine.shift(-self.x0, -self.y0))

    def of_pixels(self, size: tuple[int, int]) -> tuple[Float[Tensor, "H W"], Float[Tensor, "H W"]]:
        """Map the centre of each pixel of an image of `size` (H, W): x and y, float64 on the CPU.

        Float64, so that pixels next to a border land on the right side of it.
        """
        y = torch.arange(size[0], dtype=torch.float64)[:, None] + 0.5
        x = torch.arange(size[1], dtype=torch.float64)[None, :] + 0.5
        return self.xx * x + self.xy * y + self.x0, self.yx * x + self.yy * y + self.y0


def known_pixels(
    to_source: Affine, size: tuple[int, int], source_size: tuple[int, int]
) -> Bool[Tensor, "H W"]:
    """Return, for each pixel of an output of `size`, whether its centre is in the source image.

    Args:
        to_source: continuous positions in the output -> positions in the source image.
        size: (H, W) of the output.
        source_size: (height, width) of the source, which covers [0, width) x [0, height).

    Returns:
        A mask on the CPU.
    """
    x, y = to_source.of_pixels(size)
    return (x >= 0) & (x < source_size[1]) & (y >= 0) & (y < source_size[0])


@checked
def pixels_within(
    to_output: Affine, size: tuple[int, int], mask: Float[Tensor, "1 H W"]
) -> Bool[Tensor, "h w"]:
    """Return, for each pixel of a source of `size`, whether it lies in a known output pixel.

    Args:
        to_output: continuous positions in the source -> positions in the output.
        size: (h, w) of the source.
        mask: 1 = known, of the output's size.

    Returns:
        A mask on the device of `mask`.
    """
    height, width = mask.shape[1:]
    x, y = to_output.of_pixels(size)
    inside = known_pixels(to_output, size, (height, width)).to(mask.device)
    rows = y.floor().clamp(0, height - 1).to(device=mask.device, dtype=torch.int64)
    columns = x.floor().clamp(0, width - 1).to(device=mask.device, dtype=torch.int64)
    return inside & (mask[0, rows, columns] > 0)


@checked
def hide_unknown(
    image: Float[Tensor, "C H W"], known: Bool[Tensor, "H W"]
) -> Float[Tensor, "C H W"]:
    """Return the image with every unknown pixel set to 0, whatever it held (NaN too)."""
    return torch.where(known.to(image.device), image, image.new_zeros(()))


@checked
def warp(
    image: Float[Tensor, "C H W"], to_image: Affine, size: tuple[int, int]
) -> Float[Tensor, "C h w"]:
    """Sample an image at the mapped pixel centres of an output of `size`, bilinearly.

    Where the output is coarser, the image is first shrunk to its resolution with a triangle filter.
    Unlike the Lanczos filter, that one has no negative weights: values stay within the range of
    the image, and a mask that is warped in the same way stays a fair weight.

    Args:
        image: any values, on any device.
        to_image: continuous positions in the output -> positions in `image`.
        size: (h, w) of the output.

    Returns:
        The samples. Positions outside the image get the value of the nearest edge pixel: mask
        them (`known_pixels`).
    """
    small = _shrink(image, to_image.scale)
    ratio = [s / full for s, full in zip(small.shape[1:], image.shape[1:], strict=True)]
    x, y = Affine.scaling(ratio[1], ratio[0]).after(to_image).of_pixels(size)
    return _bilinear(small, x, y)


@checked
def resize_lanczos(image: Float[Tensor, "C H W"], size: tuple[int, int]) -> Float[Tensor, "C h w"]:
    """Resize with the Lanczos filter of 3 lobes, widened to the output's pixels when it shrinks.

    The weights of Pillow's `Image.LANCZOS`. The filter overshoots at edges, and as 8-bit pixels do
    in Pillow, values are clamped to [-1, 1] after each axis: first along rows, then along columns.

    Args:
        image: values in [-1, 1].
        size: (h, w) of the output, at least 1 each.

    Differs: floats are not rounded to 8 bits in between. Pillow 13 takes the other axis first where
        that one shrinks more; the papers' versions did not.
    """
    if tuple(image.shape[1:]) == size:
        return image
    rows = _lanczos_weights(image.shape[1], size[0]).to(image)
    columns = _lanczos_weights(image.shape[2], size[1]).to(image)
    return (rows @ (image @ columns.T).clamp(-1.0, 1.0)).clamp(-1.0, 1.0)


def _lanczos_weights(before: int, after: int) -> Float[Tensor, "after before"]:
    """Row i holds the weights of the input's pixels in output pixel i, which sum to 1."""
    scale = before / after
    stretch = max(scale, 1.0)
    centres = (torch.arange(after, dtype=torch.float64)[:, None] + 0.5) * scale
    pixels = torch.arange(before, dtype=torch.float64)[None, :] + 0.5
    t = (pixels - centres) / stretch
    weights = torch.where(t.abs() < _LOBES, torch.sinc(t) * torch.sinc(t / _LOBES), 0.0)
    return weights / weights.sum(1, keepdim=True)


def _shrink(image: Tensor, scale: float) -> Tensor:
    """Shrink by `scale` (image pixels per output pixel) where it is more than 1."""
    height, width = image.shape[1:]
    size = (max(1, round(height / scale)), max(1, round(width / scale)))
    if scale <= 1.0 or size == (height, width):
        return image
    return interpolate(image[None], size, mode="bilinear", antialias=True)[0]


def _bilinear(image: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Values at continuous positions; whole-pixel moves are exact."""
    height, width = image.shape[1:]
    left, top = (x - 0.5).floor(), (y - 0.5).floor()
    fx, fy = (x - 0.5 - left).to(image), (y - 0.5 - top).to(image)
    x0, x1 = (_index(left + step, width, image) for step in (0, 1))
    y0, y1 = (_index(top + step, height, image) for step in (0, 1))
    upper = torch.lerp(image[:, y0, x0], image[:, y0, x1], fx)
    lower = torch.lerp(image[:, y1, x0], image[:, y1, x1], fx)
    return torch.lerp(upper, lower, fy)


def _index(position: Tensor, length: int, image: Tensor) -> Tensor:
    return position.clamp(0, length - 1).to(device=image.device, dtype=torch.int64)
