"""One summand of an inversion's objective, and what an inversion holds fixed for all of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from genviews.types import Images, Latents, Masks, Values

__all__ = ["Kept", "Target", "Term", "blank", "masked_mean"]

Kept = Sequence[Tensor]
"""What a term keeps of the images alone, a row an image."""


def masked_mean(values: Images, mask: Masks) -> Values:
    """Mean over channels and known pixels, for each image."""
    known = mask.sum(dim=(1, 2, 3)) * values.shape[1]
    return (values * mask).sum(dim=(1, 2, 3)) / known


def blank(images: Images, masks: Masks) -> Images:
    """The images with unknown pixels 0; not a product, because an unknown pixel may be NaN."""
    return torch.where(masks == 0, 0.0, images)


@dataclass(frozen=True)
class Term(ABC):
    """One summand of an `Objective`; leaves are frozen dataclasses and state what they compare.

    Args:
        weight: factor of this term's loss; 0 leaves the term out and saves its time.
    """

    weight: float

    of_images: ClassVar[bool] = True
    """Whether the term compares images: an objective needs one that does."""

    @property
    def name(self) -> str:
        """The term's key in `Objective.parts`, unique in an objective."""
        return type(self).__name__.lower()

    def keep(self, images: Images, masks: Masks, start: Latents) -> list[Tensor]:
        """What the term needs of the images alone, a row an image; called without gradients.

        Args:
            images: in [-1, 1], as the user gave them: an unknown pixel may be anything.
            masks: 1 where a pixel is known, 0 where it is not.
            start: the latents that the inversion starts from.
        """
        return []

    @abstractmethod
    def loss(self, target: Target, kept: Kept, rendered: Images, latents: Latents) -> Values:
        """The loss of each image, without the weight.

        Args:
            target: images (unknown pixels 0), masks and start.
            kept: what `keep` returned, for the same images.
            rendered: G(latents).
            latents: w.
        """

    def modules(self) -> list[nn.Module]:
        """The networks that the term calls, which must be where the images are."""
        return [v for v in vars(self).values() if isinstance(v, nn.Module)]


@dataclass(frozen=True, kw_only=True)
class Target:
    """Images (unknown pixels 0), masks, starts and what each term keeps of them, row by row."""

    images: Tensor
    masks: Tensor
    start: Tensor
    kept: tuple[tuple[Tensor, ...], ...]

    def select(self, rows: Tensor) -> Target:
        """The target of some of the images."""
        return Target(
            images=self.images[rows],
            masks=self.masks[rows],
            start=self.start[rows],
            kept=tuple(tuple(value[rows] for value in kept) for kept in self.kept),
        )

    def join(self, other: Target) -> Target:
        """This target's images followed by another's."""
        pairs = zip(self.kept, other.kept, strict=True)
        return Target(
            images=torch.cat([self.images, other.images]),
            masks=torch.cat([self.masks, other.masks]),
            start=torch.cat([self.start, other.start]),
            kept=tuple(
                tuple(torch.cat(two) for two in zip(mine, theirs, strict=True))
                for mine, theirs in pairs
            ),
        )
