"""Noise of a sensor: on each value of an image, independent of all others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from genviews.rng import Streams
from genviews.robustness.corruption import Corruption, Published

__all__ = ["GaussianNoise", "ImpulseNoise", "ShotNoise", "SpeckleNoise"]


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


@dataclass(frozen=True)
class ShotNoise(Corruption):
    """Poisson(c x) / c: the noise of light itself, of c photons in a white pixel."""

    kind: ClassVar[str] = "shot_noise"
    published: ClassVar[Published] = {
        "cifar-c": ((500,), (250,), (100,), (75,), (50,)),
        "imagenet-c": ((60,), (25,), (12,), (5,), (3,)),
    }

    def change(self, values: Tensor, streams: Streams) -> Tensor:
        """The noisy images."""
        (photons,) = self.numbers
        return (streams.poisson(photons * values[:, None])[:, 0] / photons).to(values)


@dataclass(frozen=True)
class ImpulseNoise(Corruption):
    """Salt and pepper: a share of the values, channel by channel, becomes 0 or 1, as many each."""

    kind: ClassVar[str] = "impulse_noise"
    published: ClassVar[Published] = {
        "cifar-c": ((0.01,), (0.02,), (0.03,), (0.05,), (0.07,)),
        "imagenet-c": ((0.03,), (0.06,), (0.09,), (0.17,), (0.27,)),
    }

    def change(self, values: Tensor, streams: Streams) -> Tensor:
        """The images with dead and saturated values."""
        (share,) = self.numbers
        draws = streams.uniform(1, values.shape[1:])[:, 0].to(values.device)
        white = torch.where(draws < share, 1.0, values)
        return torch.where(draws < share / 2, 0.0, white)


@dataclass(frozen=True)
class SpeckleNoise(Corruption):
    """x + s x n, with n ~ N(0, 1): noise that grows with the light."""

    kind: ClassVar[str] = "speckle_noise"
    published: ClassVar[Published] = {
        "cifar-c": ((0.06,), (0.1,), (0.12,), (0.16,), (0.2,)),
        "imagenet-c": ((0.15,), (0.2,), (0.35,), (0.45,), (0.6,)),
    }

    def change(self, values: Tensor, streams: Streams) -> Tensor:
        """The noisy images."""
        (deviation,) = self.numbers
        return values + deviation * values * _normal(values, streams)
