"""Filters against noise: of a window, of neighbours, of all differences, and of like patches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from genviews.checks import fail
from genviews.named import find_package
from genviews.robustness.filters import bordered, gaussian
from genviews.robustness.restore import Denoiser

__all__ = ["Gaussian", "Median", "NonLocalMeans", "TotalVariation"]

WINDOWS = 2**24  # values in the windows that a median looks at together: 64 MB


@dataclass(frozen=True)
class Median(Denoiser):
    """The median of a square window around each pixel, channel by channel; the border reflects.

    Args:
        strength: pixels along a side, odd.
    """

    kind: ClassVar[str] = "median"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.strength % 2 != 1:
            remedy = "write median:3 or median:5"
            fail("window of a median", expected="an odd side", got=self.strength, remedy=remedy)

    def change(self, values: Tensor) -> Tensor:
        """The filtered images."""
        side = int(self.strength)
        wide = bordered(values.flatten(0, 1), side // 2, "reflect")
        at_once = max(1, WINDOWS // (values.shape[-2:].numel() * side**2))
        found = [
            part.unfold(1, side, 1).unfold(2, side, 1).flatten(-2).median(-1).values
            for part in wide.split(at_once)
        ]
        return torch.cat(found).view_as(values)


@dataclass(frozen=True)
class Gaussian(Denoiser):
    """A Gaussian blur.

    Args:
        strength: standard deviation in pixels.
    """

    kind: ClassVar[str] = "gaussian"

    def change(self, values: Tensor) -> Tensor:
        """The filtered images."""
        return gaussian(values, self.strength)


@dataclass(frozen=True)
class TotalVariation(Denoiser):
    """The image u nearest to x, channel by channel, that varies little.

        u = argmin 1/2 |u - x|^2 + s TV(u) = x - s div p, with |p| <= 1, where TV(u) is the sum of
        the lengths of the differences to the next pixel below and to the right

    Args:
        strength: s, on images in [0, 1].

    Source: Chambolle, "An algorithm for total variation minimization and applications", Journal
        of Mathematical Imaging and Vision 20, 2004: p is found by steps of length 1/4.
    Differs: the steps are as many for each image, so that none depends on its neighbours.
    """

    kind: ClassVar[str] = "tv"
    steps: ClassVar[int] = 100

    def change(self, values: Tensor) -> Tensor:
        """The filtered images."""
        field = values.new_zeros(2, *values.shape)
        for _ in range(self.steps):
            slope = _differences(_divergence(field) - values / self.strength)
            length = slope.square().sum(0, keepdim=True).sqrt()
            field = (field + 0.25 * slope) / (1 + 0.25 * length)
        return values - self.strength * _divergence(field)


def _differences(images: Tensor) -> Tensor:
    """(2, ...) the differences to the pixel below and to the right, 0 at the border."""
    down = F.pad(images[..., 1:, :] - images[..., :-1, :], (0, 0, 0, 1))
    right = F.pad(images[..., 1:] - images[..., :-1], (0, 1))
    return torch.stack([down, right])


def _divergence(field: Tensor) -> Tensor:
    """What is minus the adjoint of `_differences`."""
    down, right = F.pad(field[0, ..., :-1, :], (0, 0, 1, 1)), F.pad(field[1, ..., :-1], (1, 1))
    return down[..., 1:, :] - down[..., :-1, :] + right[..., 1:] - right[..., :-1]


@dataclass(frozen=True)
class NonLocalMeans(Denoiser):
    """The mean of the pixels whose patches are alike, by scikit-image, image by image.

    Patches of 5 pixels are compared up to 6 pixels away.

    Args:
        strength: the distance of patches that still counts, on images in [0, 1].

    Source: Buades, Coll and Morel, "A non-local algorithm for image denoising", CVPR 2005.
    """

    kind: ClassVar[str] = "nlm"

    def __post_init__(self) -> None:
        super().__post_init__()
        find_package("skimage.restoration", "robustness", "non-local means", ", or use median:3")

    def change(self, values: Tensor) -> Tensor:
        """The filtered images."""
        package = find_package("skimage.restoration", "robustness", "non-local means")
        given = values.detach().cpu().double().movedim(1, -1).numpy()
        found = np.empty_like(given)
        for number, image in enumerate(given):
            smooth = package.denoise_nl_means(
                image, patch_size=5, patch_distance=6, h=self.strength, channel_axis=-1
            )
            found[number] = smooth.reshape(image.shape)  # a single channel is left out
        return torch.from_numpy(found).movedim(-1, 1).to(values)
