"""Blur of a lens, and of what moves before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from genviews.rng import Streams
from genviews.robustness.corruption import Corruption, Published
from genviews.robustness.filters import gaussian

__all__ = ["GaussianBlur"]


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
