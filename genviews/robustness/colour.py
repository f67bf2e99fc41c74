"""Light and colour: what a wrong exposure or a cheap sensor does to all of an image alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from genviews.rng import Streams
from genviews.robustness.corruption import Corruption, Published

__all__ = ["Brightness"]


@dataclass(frozen=True)
class Brightness(Corruption):
    """The value v of the HSV colour, its largest channel, becomes min(v + s, 1).

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
