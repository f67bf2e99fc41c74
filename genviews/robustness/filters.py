"""Filters along the axes of images, as matrices: one product for rows, one for columns.

A blur, a change of size and a crop between are linear along each axis, so that each is a matrix
(from pixels to pixels) whatever happens at the border. Images are small, and a product of matrices
is the fastest thing a processor does.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor

__all__ = ["Border", "along_axes", "beyond", "gaussian", "gaussian_matrix"]

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


def along_axes(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """(..., H, W) images to (..., H2, W2) ones by a matrix (H2, H) and another (W2, W)."""
    return rows.to(images) @ (images @ columns.to(images).T)


def gaussian(
    images: Tensor, sigma: float, *, truncate: float = 4.0, border: Border = "nearest"
) -> Tensor:
    """Blur (..., H, W) images by a Gaussian; the defaults are those of scikit-image."""
    rows, columns = (gaussian_matrix(size, sigma, truncate, border) for size in images.shape[-2:])
    return along_axes(images, rows, columns)
