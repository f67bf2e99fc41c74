"""Light and colour: what a wrong exposure or a cheap sensor does to all of an image alike.

With the value v of a pixel, its largest channel, and its chroma d, that less the smallest, HSV
colours need no hue: a channel x is v - s v k, with the saturation s = d / v and k = (v - x) / d.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from genviews.rng import Streams
from genviews.robustness.corruption import Corruption, Published

__all__ = ["Brightness", "Contrast", "Saturate"]


@dataclass(frozen=True)
class Brightness(Corruption):
    """The value v of the HSV colour becomes min(v + s, 1).

    Hue and saturation stay, so that each channel is multiplied by the same number; black becomes
    the grey s. Of a grey image the one channel is v.
    """

    kind: ClassVar[str] = "brightness"
    published: ClassVar[Published] = {
        "cifar-c": ((0.05,), (0.1,), (0.15,), (0.2,), (0.3,)),
        "imagenet-c": ((0.1,), (0.2,), (0.3,), (0.4,), (0.5,)),
    }

    def change(self, values: Tensor, streams: Streams) -> Tensor:
        """The brighter images."""
        (more,) = self.numbers
        value = values.amax(1, keepdim=True)
        lighter = (value + more).clamp(max=1)
        return torch.where(value > 0, values * (lighter / value), lighter)


@dataclass(frozen=True)
class Contrast(Corruption):
    """m + c (x - m), with m the mean of each channel of the image."""

    kind: ClassVar[str] = "contrast"
    published: ClassVar[Published] = {
        "cifar-c": ((0.75,), (0.5,), (0.4,), (0.3,), (0.15,)),
        "imagenet-c": ((0.4,), (0.3,), (0.2,), (0.1,), (0.05,)),
    }

    def change(self, values: Tensor, streams: Streams) -> Tensor:
        """The images of less contrast."""
        (share,) = self.numbers
        return torch.lerp(values.mean((-2, -1), keepdim=True), values, share)


@dataclass(frozen=True)
class Saturate(Corruption):
    """The saturation s of the HSV colour becomes min(a s + b, 1), for colour images alone.

    A grey pixel counts as red, as in scikit-image, so that b > 0 tints it. The first two
    severities take colour away and the others add some.
    """

    kind: ClassVar[str] = "saturate"
    needs_colour: ClassVar[bool] = True
    rises: ClassVar[bool] = False
    published: ClassVar[Published] = {
        "cifar-c": ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)),
        "imagenet-c": ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)),
    }

    def change(self, values: Tensor, streams: Streams) -> Tensor:
        """The images of other colours."""
        factor, more = self.numbers
        value = values.amax(1, keepdim=True)
        chroma = value - values.amin(1, keepdim=True)
        red = values.new_tensor([0.0, 1.0, 1.0])[:, None, None]
        shares = torch.where(chroma > 0, (value - values) / chroma, red)
        saturation = torch.where(value > 0, chroma / value, 0.0)
        return value * (1 - (factor * saturation + more).clamp(0, 1) * shares)
