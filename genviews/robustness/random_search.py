"""An attack that needs no gradient: random squares are tried, and kept where the margin grows.

A gradient that tells nothing, because a defence hides it, tells less than chance: where this
attack finds more errors than one that follows the gradient, the gradient is masked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from genviews.checks import check_count
from genviews.rng import Streams
from genviews.robustness.ask import Ask
from genviews.robustness.attack import Attack, Norm, within
from genviews.types import Images

__all__ = ["RandomSearch"]

LARGEST, SMALLEST = 0.8, 0.05  # share of an image that the first and the last square cover


@dataclass(frozen=True)
class RandomSearch(Attack):
    """Squares at random places, changed by +-budget, or by noise of the whole budget for l2.

    It begins at random stripes. The margin of another class over the label is looked at, nothing
    else is known of the model.

    Args:
        budget: see `Attack`.
        tries: answers that it asks for.
        norm: "linf" ("random:0.05") or "l2" ("random_l2:1").

    Source: Andriushchenko et al. 2020, Square Attack, arXiv 1912.00049.
    Differs: the squares shrink geometrically, from 80 % of the image to 5 %; in l2 a square is
        noise, brought back within the budget, in the place of their pairs of bumps.
    """

    tries: int = 80
    norm: Norm = "linf"

    kind: ClassVar[str] = "random"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count(self.tries, "tries of RandomSearch")

    @classmethod
    def of_kind(cls, kind: str, budget: float) -> Attack:
        """See `Attack`."""
        return cls(budget, norm="l2" if kind.endswith("_l2") else "linf")

    @property
    def label(self) -> str:
        """See `Attack`."""
        return self.kind if self.norm == "linf" else f"{self.kind}_{self.norm}"

    def search(self, ask: Ask, images: Images, streams: Streams) -> Images:
        """See `Attack`."""
        channels, _, width = images.shape[1:]
        stripes = streams.uniform(1, (channels, 1, width))[:, 0].to(images).sub(0.5).sign()
        best = within(images, images + self.budget * stripes, self.budget, self.norm)
        most = ask.margins(best, guessed=True)
        for number in range(self.tries - 1):
            trial = self._changed(images, best, number, streams.child(f"try {number}"))
            margin = ask.margins(trial, guessed=True)
            better = margin > most
            most = torch.where(better, margin, most)
            best = torch.where(better[:, None, None, None], trial, best)
        return best

    def _changed(self, images: Images, best: Images, number: int, streams: Streams) -> Images:
        """The best so far with one square of each image changed."""
        channels, height, width = images.shape[1:]
        fall = (SMALLEST / LARGEST) ** (number / max(self.tries - 2, 1))
        side = max(1, round((LARGEST * fall * height * width) ** 0.5))
        sides = min(side, height), min(side, width)
        place = streams.uniform(1, (2,))[:, 0].to(images)
        square = _inside(place[:, 0], height, sides[0])[:, None, :, None]
        square = square & _inside(place[:, 1], width, sides[1])[:, None, None, :]
        if self.norm == "linf":
            values = streams.child("sign").uniform(1, (channels, 1, 1))[:, 0].to(images)
            values = self.budget * values.sub(0.5).sign()
        else:
            noise = streams.child("noise").normal(1, images.shape[1:])[:, 0].to(images)
            values = self.budget * noise / (channels * sides[0] * sides[1]) ** 0.5
        trial = torch.where(square, images + values, best)
        return within(images, trial, self.budget, self.norm)


def _inside(place: Tensor, size: int, side: int) -> Tensor:
    """(B, size), which pixels lie in a stretch of `side` that begins at a random place."""
    first = (place * (size - side + 1)).floor()[:, None]
    pixels = torch.arange(size, device=place.device)
    return (pixels >= first) & (pixels < first + side)
