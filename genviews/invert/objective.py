"""What an inversion minimises: masked image distances and a pull to the start, for each image.

    L(w) = l1 |x - G(w)|_1 + l2 |x - G(w)|^2 + feature d_F(x, G(w)) + latent |w - w_0|^2

Every image term is a mean over known pixels (mask 1), so unknown pixels never reach the loss.

Source: Chai et al. 2021, Eq. 1 and 4.
Differs: the perceptual term takes any network's features, because LPIPS weights cannot be shipped;
weights are free, the paper's are 1 for both image terms and 0.5 for the latent term.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from genviews.checks import fail

__all__ = ["FeatureDistance", "Objective", "Target"]

Extract = Callable[[Tensor], Sequence[Tensor]]


def masked_mean(
    values: Float[Tensor, "B C H W"], mask: Float[Tensor, "B 1 H W"]
) -> Float[Tensor, " B"]:
    """Mean over channels and known pixels, for each image."""
    known = mask.sum(dim=(1, 2, 3)) * values.shape[1]
    return (values * mask).sum(dim=(1, 2, 3)) / known


class FeatureDistance:
    """Distance of two images in the feature maps of a network.

    d(x, y) = mean over layers of the masked mean over positions of |f(x) - f(y)|^2, with each
    position's feature vector scaled to unit length, as in LPIPS without its learnt channel weights.

    Args:
        extract: images (B, C, H, W) -> feature maps (B, C_l, H_l, W_l), e.g. `encoder.features`, a
            classifier's, or any torchvision trunk. Must not mix the images of a batch (eval mode).

    Source: Zhang et al. 2018, arXiv 1801.03924, Eq. 1.
    """

    def __init__(self, extract: Extract) -> None:
        """See the class docstring."""
        self.extract = extract

    def maps(self, images: Tensor) -> list[Tensor]:
        """Feature maps with unit vectors at each position."""
        return [F.normalize(m, dim=1, eps=1e-8) for m in self.extract(images)]

    def distance(self, maps: Sequence[Tensor], others: Sequence[Tensor], mask: Tensor) -> Tensor:
        """(B,) distance of two lists of `maps`; the mask is averaged down to each map's size."""
        total = torch.zeros(mask.shape[0], dtype=mask.dtype, device=mask.device)
        for a, b in zip(maps, others, strict=True):
            known = F.interpolate(mask, size=a.shape[2:], mode="area")
            squared = (a - b).square().sum(1, keepdim=True)
            total = total + masked_mean(squared, known)
        return total / len(maps)


@dataclass(frozen=True, kw_only=True)
class Objective:
    """Weights of the terms; a weight of 0 leaves the term out and saves its time.

    Args:
        l1: masked mean absolute error.
        l2: masked mean squared error.
        feature: masked feature distance; needs `features`.
        latent: mean squared distance to the starting latent.
        features: the network of the feature term.
    """

    l1: float = 1.0
    l2: float = 0.0
    feature: float = 0.0
    latent: float = 0.0
    features: FeatureDistance | None = None

    def __post_init__(self) -> None:
        weights = (self.l1, self.l2, self.feature, self.latent)
        if min(weights) < 0 or max(self.l1, self.l2, self.feature) == 0:
            fail(
                "objective weights",
                expected="non-negative, and at least one image term above 0",
                got=f"l1={self.l1}, l2={self.l2}, feature={self.feature}, latent={self.latent}",
                remedy="change them",
            )
        if self.feature > 0 and self.features is None:
            fail(
                "objective",
                expected="`features` when `feature` > 0",
                got="None",
                remedy="pass FeatureDistance",
            )

    def target(
        self,
        images: Float[Tensor, "B C H W"],
        masks: Float[Tensor, "B 1 H W"],
        start: Float[Tensor, "B L D"],
    ) -> Target:
        """What stays fixed while the images are inverted, their features among it."""
        maps: list[Tensor] = []
        if self.feature > 0 and self.features is not None:
            with torch.no_grad():
                # Unknown pixels are 0 on both sides: else they leak through receptive fields.
                maps = self.features.maps(images * masks)
        return Target(images=images, masks=masks, start=start, maps=maps)

    def __call__(self, target: Target, rendered: Tensor, latents: Tensor) -> Float[Tensor, " B"]:
        """The loss of each image."""
        difference = rendered - target.images
        loss = torch.zeros(rendered.shape[0], dtype=rendered.dtype, device=rendered.device)
        if self.l1:
            loss = loss + self.l1 * masked_mean(difference.abs(), target.masks)
        if self.l2:
            loss = loss + self.l2 * masked_mean(difference.square(), target.masks)
        if self.feature and self.features is not None:
            maps = self.features.maps(rendered * target.masks)
            loss = loss + self.feature * self.features.distance(maps, target.maps, target.masks)
        if self.latent:
            loss = loss + self.latent * (latents - target.start).square().mean(dim=(1, 2))
        return loss


@dataclass(frozen=True, kw_only=True)
class Target:
    """Images, masks, starts and cached features of a batch, row by row."""

    images: Tensor
    masks: Tensor
    start: Tensor
    maps: Sequence[Tensor]

    def select(self, rows: Tensor) -> Target:
        """The target of some of the images."""
        return Target(
            images=self.images[rows],
            masks=self.masks[rows],
            start=self.start[rows],
            maps=[m[rows] for m in self.maps],
        )

    def join(self, other: Target) -> Target:
        """This target's images followed by another's."""
        return Target(
            images=torch.cat([self.images, other.images]),
            masks=torch.cat([self.masks, other.masks]),
            start=torch.cat([self.start, other.start]),
            maps=[torch.cat(pair) for pair in zip(self.maps, other.maps, strict=True)],
        )
