"""Weather: fog and snow before the lens, drawn anew for each image.

Frost is left out, as it needs six photos, and spatter, whose drops need an edge detector.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from genviews.rng import Streams
from genviews.robustness.corruption import Corruption, Published
from genviews.robustness.filters import streaks, zoomed
from genviews.types import luma

__all__ = ["Fog", "Snow"]


@dataclass(frozen=True)
class Fog(Corruption):
    """(x + s f) m / (m + s), with f a plasma fractal in [0, 1] and m the lightest value of x.

    The fractal is as large as the next power of two, and its upper left corner is taken. Each
    round halves the distance of its points, and divides the root of what is drawn by a decay.

    Source: Fournier, Fussell and Carpenter, "Computer rendering of stochastic models",
        Communications of the ACM 25(6), 1982 (the diamond-square algorithm).
    """

    kind: ClassVar[str] = "fog"
    published: ClassVar[Published] = {
        "cifar-c": ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
        "imagenet-c": ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
    }

    def change(self, values: Tensor, streams: Streams) -> Tensor:
        """The images in fog."""
        thickness, decay = self.numbers
        height, width = values.shape[-2:]
        side = 1 << max(max(height, width) - 1, 1).bit_length()
        draws = streams.uniform(1, (side, side))[:, 0].double() * 2 - 1
        fog = _plasma(draws, decay)[:, None, :height, :width].to(values)
        lightest = values.amax((1, 2, 3), keepdim=True)
        return (values + thickness * fog) * (lightest / (lightest + thickness))


def _plasma(draws: Tensor, decay: float) -> Tensor:
    """Plasma fractals in [0, 1].

    Args:
        draws: (B, S, S) uniform on [-1, 1), one for each point, with S a power of two.
        decay: the draws of a round are scaled by 10,000, then by that over decay^2, and so on.
    """
    field = torch.zeros_like(draws)  # around which it wraps
    step, scale = draws.shape[-1], 100.0**2
    while step >= 2:
        half = step // 2
        corners, middles = slice(0, None, step), slice(half, None, step)
        corner = field[:, corners, corners]
        beside = corner + corner.roll(-1, 2)
        middle = (beside + beside.roll(-1, 1)) / 4 + scale * draws[:, middles, middles]
        above = (beside + middle + middle.roll(1, 1)) / 4
        left = (corner + corner.roll(-1, 1) + middle + middle.roll(1, 2)) / 4
        field[:, middles, middles] = middle
        field[:, corners, middles] = above + scale * draws[:, corners, middles]
        field[:, middles, corners] = left + scale * draws[:, middles, corners]
        step, scale = half, scale / decay**2
    field = field - field.amin((1, 2), keepdim=True)
    return field / field.amax((1, 2), keepdim=True)


@dataclass(frozen=True)
class Snow(Corruption):
    """Flakes that fall, on an image that is whiter by then.

    Flakes are normal draws of a mean and a deviation, zoomed into, those below a threshold left
    out, and blurred along a line of a radius and a sigma; they are laid on the image once as they
    are and once turned by half. The image is w x + (1 - w) max(x, 1.5 grey(x) + 0.5) before.

    Differs: the flakes of the published sets are cut to 8 bits before they are blurred.
    """

    kind: ClassVar[str] = "snow"
    published: ClassVar[Published] = {
        "cifar-c": (
            (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
        ),
        "imagenet-c": (
            (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
            (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
            (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
            (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
            (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
        ),
    }

    def change(self, values: Tensor, streams: Streams) -> Tensor:
        """The images in snow."""
        mean, deviation, zoom, threshold, radius, sigma, kept = self.numbers
        flakes = mean + deviation * streams.normal(1, (1, *values.shape[-2:]))[:, 0].to(values)
        flakes = zoomed(flakes, zoom)
        flakes = torch.where(flakes < threshold, 0.0, flakes).clamp(0, 1)
        degrees = 90 * streams.child("wind").uniform(1, ())[:, 0].double() - 135
        flakes = streaks(flakes, radius, sigma, degrees)
        grey = luma(values) if values.shape[1] == 3 else values
        white = kept * values + (1 - kept) * torch.maximum(values, 1.5 * grey + 0.5)
        return white + flakes + flakes.flip(-2, -1)
