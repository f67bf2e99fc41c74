"""Blur of a lens, of what moves before it, and of the glass between."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from genviews.rng import Streams
from genviews.robustness.corruption import Corruption, Published
from genviews.robustness.filters import (
    along_axes,
    bordered,
    gaussian,
    gaussian_matrix,
    streaks,
    zoomed,
)

__all__ = ["DefocusBlur", "GaussianBlur", "GlassBlur", "MotionBlur", "ZoomBlur"]


@dataclass(frozen=True)
class GaussianBlur(Corruption):
    """A Gaussian of standard deviation s pixels, cut off at 4 s; the border pixels go on."""

    kind: ClassVar[str] = "gaussian_blur"
    published: ClassVar[Published] = {
        "cifar-c": ((0.4,), (0.6,), (0.7,), (0.8,), (1.0,)),
        "imagenet-c": ((1.0,), (2.0,), (3.0,), (4.0,), (6.0,)),
    }

    def change(self, values: Tensor, streams: Streams) -> Tensor:
        """The blurred images."""
        (deviation,) = self.numbers
        return gaussian(values, deviation)


@dataclass(frozen=True)
class DefocusBlur(Corruption):
    """A disk of radius r pixels, its rim softened by a Gaussian of s; the border is a mirror."""

    kind: ClassVar[str] = "defocus_blur"
    published: ClassVar[Published] = {
        "cifar-c": ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
        "imagenet-c": ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
    }

    def change(self, values: Tensor, streams: Streams) -> Tensor:
        """The images out of focus."""
        kernel = _disk(*self.numbers).to(values)
        wide = bordered(values.flatten(0, 1)[:, None], len(kernel) // 2, "mirror")
        return F.conv2d(wide, kernel[None, None]).view_as(values)


@lru_cache(maxsize=32)
def _disk(radius: float, rim: float) -> Tensor:
    """The weights of a soft disk, an odd number of pixels wide; not to be written to."""
    edge = 8 if radius <= 8 else int(radius)  # the Gaussian is cut off there, as published
    squares = torch.arange(-edge, edge + 1, device="cpu").double() ** 2
    sharp = (squares[:, None] + squares <= radius**2).double()
    reach = 1 if radius <= 8 else 2
    soft = gaussian_matrix(len(sharp), rim, reach / rim, "mirror")
    disk = along_axes(sharp / sharp.sum(), soft, soft)
    half = min(int(radius) + reach, edge)
    return disk[edge - half : edge + half + 1, edge - half : edge + half + 1].clone()


@dataclass(frozen=True)
class MotionBlur(Corruption):
    """Half a Gaussian along a line that leans by up to 45 degrees, another one for each image.

    Differs: theirs is ImageMagick's on 8 bits; this is its formula on floats.
    """

    kind: ClassVar[str] = "motion_blur"
    published: ClassVar[Published] = {
        "cifar-c": ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
        "imagenet-c": ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
    }

    def change(self, values: Tensor, streams: Streams) -> Tensor:
        """The images of what moved."""
        radius, sigma = self.numbers
        degrees = 90 * streams.uniform(1, ())[:, 0].double() - 45
        return streaks(values, radius, sigma, degrees)


@dataclass(frozen=True)
class ZoomBlur(Corruption):
    """The mean of an image and of it zoomed into by 1, 1 + step, ... (as `np.arange` counts)."""

    kind: ClassVar[str] = "zoom_blur"
    published: ClassVar[Published] = {
        "cifar-c": ((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
        "imagenet-c": ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
    }

    def change(self, values: Tensor, streams: Streams) -> Tensor:
        """The images of what came nearer."""
        last, step = self.numbers
        factors = np.arange(1, last, step).tolist()  # so the published sets count them
        return (values + sum(zoomed(values, factor) for factor in factors)) / (len(factors) + 1)


@dataclass(frozen=True)
class GlassBlur(Corruption):
    """Pixels change places with near ones between two Gaussian blurs, as behind frosted glass.

    From the last pixel to the first, each takes the value of one up to d rows and columns away,
    r times. As in the files that made the published sets, the other one does not take its value in
    turn, though they call it a swap. Of rows and columns the first d + 1 and the last d - 1 stay.

    Differs: theirs is cut to 8 bits before the pixels change places.
    """

    kind: ClassVar[str] = "glass_blur"
    published: ClassVar[Published] = {
        "cifar-c": ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
        "imagenet-c": ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
    }

    def change(self, values: Tensor, streams: Streams) -> Tensor:
        """The images behind glass."""
        sigma, reach, rounds = self.numbers
        draws = streams.uniform(1, (int(rounds), 2, *values.shape[-2:]))[:, 0].double()
        values = gaussian(values, sigma)
        for moves in draws.unbind(1):
            steps = (moves * 2 * reach).long() - int(reach)  # down and right, from -d to d - 1
            sources = _taken_from(steps, int(reach)).to(values.device)
            pixels = values.flatten(2)
            values = pixels.gather(2, sources[:, None].expand_as(pixels)).view_as(values)
        return gaussian(values, sigma)


def _taken_from(steps: Tensor, reach: int) -> Tensor:
    """(B, H W) the pixel whose value each ends with, when each in turn took that of another.

    A pixel that takes from one behind it takes what that one took before. Such chains are followed
    for all pixels at once, by halves: a link is twice as long after each round.

    Args:
        steps: (B, 2, H, W) rows down and columns to the right, of the pixel that each takes.
        reach: d; of rows and columns the first d + 1 and the last d - 1 stay.
    """
    count, _, height, width = steps.shape
    own = torch.arange(height * width, device="cpu").view(height, width)
    moves = torch.zeros_like(own, dtype=torch.bool)
    moves[reach + 1 : height - reach + 1, reach + 1 : width - reach + 1] = True
    taken = torch.where(moves, own + steps[:, 0] * width + steps[:, 1], own).flatten(1)
    own, moves = own.flatten(), moves.flatten()
    # The first half of the links is of what a pixel held at the start, where a chain ends.
    behind = (taken > own) & moves[taken]
    links = torch.cat([own.expand(count, -1), torch.where(behind, taken + len(own), taken)], dim=1)
    while True:
        further = links.gather(1, links)
        if torch.equal(further, links):
            return links[:, len(own) :]
        links = further
