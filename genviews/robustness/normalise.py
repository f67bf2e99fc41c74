"""Normalisations: an image to one of the same contrast as any other, whatever the light."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from genviews.robustness.restore import Restoration

__all__ = ["Equalise", "Stretch"]


@dataclass(frozen=True)
class Stretch(Restoration):
    """The darkest value of an image becomes 0 and the lightest 1, in all colours together.

    An image of one value stays as it is.
    """

    kind: ClassVar[str] = "stretch"

    def change(self, values: Tensor) -> Tensor:
        """The images at full range."""
        low, high = values.amin((1, 2, 3), keepdim=True), values.amax((1, 2, 3), keepdim=True)
        return torch.where(high > low, (values - low) / (high - low), values)


@dataclass(frozen=True)
class Equalise(Restoration):
    """The histogram of an image becomes flat: (n(x) - n(least)) / (N - n(least)).

    n(x) of its N values, all channels together, are at most x. An image of one value stays.
    """

    kind: ClassVar[str] = "equalise"

    def change(self, values: Tensor) -> Tensor:
        """The equalised images."""
        flat = values.flatten(1).contiguous()
        ordered = flat.sort(1).values
        below = torch.searchsorted(ordered, flat, right=True)
        least, count = below.amin(1, keepdim=True), flat.shape[1]
        equal = (below - least).to(values) / (count - least).clamp(min=1)
        return torch.where(least < count, equal, flat).view_as(values)
