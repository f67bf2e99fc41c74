"""Filters of images: along their axes as matrices, along a line, and at places between pixels.

A blur, a change of size and a crop between are linear along each axis, so that each is a matrix
(from pixels to pixels) whatever happens at the border. Images are small, and a product of matrices
is the fastest thing a processor does.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "Border",
    "along_axes",
    "at_places",
    "beyond",
    "bordered",
    "boxes_matrix",
    "gaussian",
    "gaussian_matrix",
    "streaks",
    "zoom_matrix",
    "zoomed",
]

Border = Literal["nearest", "reflect", "mirror"]
"""What lies beyond the border: aaa|abc|ccc, cba|abc|cba or cb|abc|ba, in the words of SciPy."""


def beyond(places: np.ndarray, size: int, border: Border) -> np.ndarray:
    """Places on a line of pixels, also outside it, to those of the pixels that stand for them."""
    found: np.ndarray
    if border == "nearest":
        found = np.clip(places, 0, size - 1)
        return found
    period = max(2 * size - (2 if border == "mirror" else 0), 1)
    turned = np.mod(places, period)
    found = np.minimum(turned, period - (0 if border == "mirror" else 1) - turned)
    return found


def bordered(images: Tensor, reach: int, border: Border) -> Tensor:
    """(..., H, W) images with as many pixels more on each side."""
    rows, columns = (
        torch.from_numpy(beyond(np.arange(-reach, size + reach), size, border)).to(images.device)
        for size in images.shape[-2:]
    )
    return images[..., rows[:, None], columns]


def along_axes(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """(..., H, W) images to (..., H2, W2) ones by a matrix (H2, H) and another (W2, W)."""
    return rows.to(images) @ (images @ columns.to(images).T)


@lru_cache(maxsize=256)
def gaussian_matrix(size: int, sigma: float, truncate: float, border: Border) -> Tensor:
    """A Gaussian blur of a line of pixels, (size, size) in float64; not to be written to.

    Args:
        size: of the line.
        sigma: its standard deviation in pixels; at 0 the matrix is the identity.
        truncate: the weights end at this many standard deviations, rounded to pixels.
        border: what lies beyond.
    """
    radius = int(truncate * sigma + 0.5)
    steps = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (steps / sigma) ** 2) if radius else np.ones(1)
    matrix = np.zeros((size, size))
    lines = np.arange(size)[:, None]
    np.add.at(matrix, (lines, beyond(lines + steps, size, border)), weights / weights.sum())
    return torch.from_numpy(matrix)


def gaussian(
    images: Tensor, sigma: float, *, truncate: float = 4.0, border: Border = "nearest"
) -> Tensor:
    """Blur (..., H, W) images by a Gaussian; the defaults are those of scikit-image."""
    rows, columns = (gaussian_matrix(size, sigma, truncate, border) for size in images.shape[-2:])
    return along_axes(images, rows, columns)


@lru_cache(maxsize=256)
def zoom_matrix(size: int, factor: float) -> Tensor:
    """Zoom into the middle of a line of pixels, (size, size) in float64; not to be written to.

    The middle ceil(size / factor) pixels are stretched linearly by `factor`, the first and the last
    of them staying at the ends, and the middle `size` pixels of that are kept.

    Args:
        size: of the line.
        factor: of the zoom, at least 1.
    """
    kept = math.ceil(size / factor)
    count = round(kept * factor)
    places = np.arange(count) * (kept - 1) / max(count - 1, 1)
    low = np.minimum(places.astype(int), kept - 1)
    matrix = np.zeros((count, size))
    first, lines = (size - kept) // 2, np.arange(count)
    np.add.at(matrix, (lines, first + low), 1 - (places - low))
    np.add.at(matrix, (lines, first + np.minimum(low + 1, kept - 1)), places - low)
    trim = (count - size) // 2
    return torch.from_numpy(matrix[trim : trim + size])


def zoomed(images: Tensor, factor: float) -> Tensor:
    """(..., H, W) images, zoomed into at the middle."""
    rows, columns = (zoom_matrix(size, factor) for size in images.shape[-2:])
    return along_axes(images, rows, columns)


@lru_cache(maxsize=256)
def boxes_matrix(count: int, size: int) -> Tensor:
    """Resize a line of `size` pixels to `count`, (count, size) in float64; not to be written to.

    Each new pixel is the mean of the old ones whose middle lies within it; where it is smaller than
    they are, that of the old one it lies in. As the filter BOX of Pillow.
    """
    step = size / count
    middles = (np.arange(count)[:, None] + 0.5) * step
    offsets = (np.arange(size) + 0.5 - middles) / max(step, 1.0)
    weights = ((offsets > -0.5) & (offsets <= 0.5)).astype(float)
    return torch.from_numpy(weights / weights.sum(1, keepdims=True))


def streaks(images: Tensor, radius: float, sigma: float, degrees: Tensor) -> Tensor:
    """Blur each image along a line that begins at the pixel, by half a Gaussian.

    The pixel at step i of 2 ceil(radius) + 1 has the weight exp(-i^2 / 2 sigma^2); the border
    pixels go on.

    Args:
        images: (B, C, H, W).
        radius: of the line in pixels.
        sigma: standard deviation of the weights in pixels.
        degrees: (B,) direction of each image's line, 0 to the right, 90 downwards.

    Source: ImageMagick, `MotionBlurImage`.
    """
    steps = torch.arange(2 * math.ceil(radius) + 1, dtype=torch.float64, device="cpu")
    weights = (-0.5 * (steps / sigma) ** 2).exp()
    turn = degrees.double().cpu().deg2rad()[:, None]
    down, right = (
        (steps * way - 0.5).ceil().long()[:, :, None] for way in (turn.sin(), turn.cos())
    )
    height, width = images.shape[-2:]
    rows = (torch.arange(height, device="cpu") + down).clamp(0, height - 1).to(images.device)
    columns = (torch.arange(width, device="cpu") + right).clamp(0, width - 1).to(images.device)
    number = torch.arange(len(images), device=images.device)[:, None, None]
    pixels, blurred = images.movedim(1, -1), torch.zeros_like(images.movedim(1, -1))
    for step, weight in enumerate((weights / weights.sum()).tolist()):
        blurred += weight * pixels[number, rows[:, step, :, None], columns[:, step, None, :]]
    return blurred.movedim(-1, 1)


def at_places(images: Tensor, places: Tensor, border: Literal["reflect", "mirror"]) -> Tensor:
    """Images read at places between their pixels, linearly along each axis.

    Args:
        images: (B, C, H, W).
        places: (B, H2, W2, 2) the column and the row, in pixels; the first pixel is at 0. On the
            CPU in float64, which not every device has.
        border: what lies beyond.

    Returns:
        (B, C, H2, W2).
    """
    sizes = places.new_tensor([images.shape[-1], images.shape[-2]])
    inner = border == "mirror"  # then -1 and 1 stand for the middles of the outer pixels
    scaled = places / (sizes - 1).clamp(min=1) if inner else (places + 0.5) / sizes
    grid = (scaled * 2 - 1).to(images)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=inner)
