"""Noise of a sensor: on each value of an image, independent of all others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from genviews.rng import Streams
from genviews.robustness.corruption import Corruption, Published

__all__ = ["GaussianNoise"]


def _normal(values: Tensor, streams: Streams) -> Tensor:
    """A standard normal draw for each value."""
    return streams.normal(1, values.shape[1:])[:, 0].to(values)


@dataclass(frozen=True)
class GaussianNoise(Corruption):
    """x + s n, with n ~ N(0, 1): the noise of a picture in the dark."""

    kind: ClassVar[str] = "gaussian_noise"
    published: ClassVar[Published] = {
        "cifar-c": ((0.04,), (0.06,), (0.08,), (0.09,), (0.10,)),
        "imagenet-c": ((0.08,), (0.12,), (0.18,), (0.26,), (0.38,)),
    }

    def change(self, values: Tensor, streams: Streams) -> Tensor:
        """The noisy images."""
        (deviation,) = self.numbers
        return values + deviation * _normal(values, streams)
