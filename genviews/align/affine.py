"""Where a pixel of one image lies in another: the affine map that an alignment is.

Positions are continuous: pixel (row i, column j) covers [j, j+1) x [i, i+1), its centre is at
x = j + 0.5, y = i + 0.5, and an image covers [0, W) x [0, H) whatever its resolution. So a change
of size is a plain scaling, with no half pixels left over.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["Affine"]


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
