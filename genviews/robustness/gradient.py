"""Attacks that follow the gradient of a model's loss: one step (FGSM) or many (PGD).

    linf:  x <- x + s sign(g)        l2:  x <- x + s g / |g|        then within the budget

PyTorch alone; equal to foolbox's, which is the oracle of the tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from genviews.checks import check_count, check_number
from genviews.rng import Streams
from genviews.robustness.ask import Ask, LossName
from genviews.robustness.attack import Attack, Norm, size_of, within
from genviews.types import Images

__all__ = ["FGSM", "PGD"]


@dataclass(frozen=True)
class FGSM(Attack):
    """One step of the whole budget along the sign of the gradient.

        x' = clip(x + budget sign(dL/dx))

    Args:
        budget: largest change of a pixel, in units of images in [-1, 1].
        loss: that is raised; cross-entropy as published.

    Source: Goodfellow et al. 2015, arXiv 1412.6572, Sec. 4.
    Differs: none known.
    """

    loss: LossName = "cross-entropy"

    kind: ClassVar[str] = "fgsm"

    @property
    def norm(self) -> Norm:
        """See `Attack`."""
        return "linf"

    def search(self, ask: Ask, images: Images, streams: Streams) -> Images:
        """See `Attack`."""
        return _moved(images, ask.slope(images, self.loss, 0), self.budget, self.norm)


@dataclass(frozen=True)
class PGD(Attack):
    """Many steps, each brought back within the budget, from a random place within it.

    Args:
        budget: largest change, by `norm`, in units of images in [-1, 1].
        steps: of each restart.
        restarts: from other random places. Of several the worst is kept, image by image: the one
            with the largest margin of another class over the label.
        loss: that is raised; "margin" is that of Carlini and Wagner.
        norm: "linf" ("pgd:0.05") or "l2" ("pgd_l2:1").
        stride: of a step, as a share of the budget; None is 2.5 / steps, so that any point within
            the budget can be reached from any other.
        random_start: False begins at the image; restarts are then all alike.

    Source: Madry et al. 2018, arXiv 1706.06083, Sec. 2.1.
    Differs: the usual stride, which was 1.33 / steps on MNIST (0.01 of 0.3 in 40 steps). Foolbox's
        attack is equal from equal starts.
    """

    steps: int = 20
    restarts: int = 1
    loss: LossName = "cross-entropy"
    norm: Norm = "linf"
    stride: float | None = None
    random_start: bool = True

    kind: ClassVar[str] = "pgd"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count(self.steps, "steps of PGD")
        check_count(self.restarts, "restarts of PGD")
        if self.stride is not None:
            remedy = "it is a share of the budget: try 2.5 / steps"
            check_number(self.stride, "stride of PGD", above=0, remedy=remedy)

    @classmethod
    def of_kind(cls, kind: str, budget: float) -> Attack:
        """See `Attack`."""
        return cls(budget, norm="l2" if kind.endswith("_l2") else "linf")

    @property
    def label(self) -> str:
        """See `Attack`."""
        return self.kind if self.norm == "linf" else f"{self.kind}_{self.norm}"

    def start(self, images: Images, streams: Streams) -> Images:
        """Where it begins: a random place within the budget, uniform in its ball."""
        shape = images.shape[1:]
        if not self.random_start:
            return images
        if self.norm == "linf":
            share = streams.uniform(1, shape)[:, 0] * 2 - 1
        else:
            direction = streams.normal(1, shape)[:, 0]
            radius = streams.child("radius").uniform(1, (1, 1, 1))[:, 0] ** (1 / shape.numel())
            share = direction * radius / size_of(direction, "l2")[:, None, None, None]
        return within(images, images + self.budget * share.to(images), self.budget, self.norm)

    def search(self, ask: Ask, images: Images, streams: Streams) -> Images:
        """See `Attack`."""
        stride = (2.5 / self.steps if self.stride is None else self.stride) * self.budget
        worst, most = images, images.new_full((len(images),), -torch.inf)
        for restart in range(self.restarts):
            x = self.start(images, streams.child(f"restart {restart}"))
            for step in range(self.steps):
                slope = ask.slope(x, self.loss, restart * self.steps + step)
                x = within(images, _moved(x, slope, stride, self.norm), self.budget, self.norm)
            if self.restarts == 1:
                return x
            margin = ask.margins(x)
            better = margin > most
            most = torch.where(better, margin, most)
            worst = torch.where(better[:, None, None, None], x, worst)
        return worst


def _moved(x: Images, slope: Images, by: float, norm: Norm) -> Images:
    """One step uphill, of a length by its norm."""
    if norm == "linf":
        return x + by * slope.sign()
    return x + by * slope / size_of(slope, "l2").clamp_min(1e-12)[:, None, None, None]
