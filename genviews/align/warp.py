"""Pixels of one image at the places of another: the two ways in which alignment resamples.

Both read only inside the image (its edge pixels stand for what lies just beyond their centres), and
both filter before they shrink, so that fine texture becomes its mean and no moiré.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate

from genviews.align.affine import Affine

__all__ = ["resize_lanczos", "warp"]

_LOBES = 3


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
        them (`genviews.align.mask`).
    """
    small = _shrink(image, to_image.scale)
    ratio = [s / full for s, full in zip(small.shape[1:], image.shape[1:], strict=True)]
    x, y = Affine.scaling(ratio[1], ratio[0]).after(to_image).of_pixels(size)
    return _bilinear(small, x, y)


def resize_lanczos(image: Float[Tensor, "C H W"], size: tuple[int, int]) -> Float[Tensor, "C h w"]:
    """Resize with the Lanczos filter of 3 lobes, widened to the output's pixels when it shrinks.

    The same weights as Pillow's `Image.LANCZOS`, which rounds to 8 bit after each axis where this
    keeps floats. The filter overshoots at edges: the result is clamped to [-1, 1].

    Args:
        image: values in [-1, 1].
        size: (h, w) of the output, at least 1 each.
    """
    if tuple(image.shape[1:]) == size:
        return image
    rows = _lanczos_weights(image.shape[1], size[0]).to(image)
    columns = _lanczos_weights(image.shape[2], size[1]).to(image)
    return (rows @ (image @ columns.T)).clamp(-1.0, 1.0)


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
