"""The attack of Carlini and Wagner: the smallest change that makes a model err, by foolbox."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from genviews.checks import check_count, check_number
from genviews.named import find_package
from genviews.rng import Streams
from genviews.robustness.ask import Ask
from genviews.robustness.attack import Attack, Norm
from genviews.types import Images

__all__ = ["CarliniWagner"]


@dataclass(frozen=True)
class CarliniWagner(Attack):
    """Adam on size and margin together, and a search for the weight of each image's margin.

        minimise |d|^2 + c max(0, z_y - max over k != y of z_k + confidence)

    An image on which the model cannot be made to err, or does already, comes back as it is. One
    that takes a larger change than `budget` comes back changed by that much, along the same way.

    Args:
        budget: largest size of a change (l2), in units of images in [-1, 1]; infinity, that of
            "cw", takes whatever an image needs, so that what counts is the size of the changes.
        steps: of each search.
        searches: of c, each ten times larger, or between two that are known.
        stride: of Adam, in the space of the inverse hyperbolic tangent.
        confidence: margin that another class must have.
        weight: c of the first search.

    Source: Carlini and Wagner 2017, arXiv 1608.04644, Sec. V-A, by foolbox's
        `L2CarliniWagnerAttack`, with its defaults but for the steps (10,000 there).
    Differs: no search ends early, for foolbox ends that of all images by the sum of their losses.
    """

    budget: float = math.inf
    steps: int = 100
    searches: int = 9
    stride: float = 0.01
    confidence: float = 0.0
    weight: float = 0.001

    kind: ClassVar[str] = "cw"
    package: ClassVar[str | None] = "foolbox"
    unnamed_budget: ClassVar[float | None] = math.inf

    @property
    def norm(self) -> Norm:
        """See `Attack`."""
        return "l2"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count(self.steps, "steps of CarliniWagner")
        check_count(self.searches, "searches of CarliniWagner")
        for name in ("stride", "weight"):
            check_number(getattr(self, name), f"{name} of CarliniWagner", above=0)
        check_number(self.confidence, "confidence of CarliniWagner", least=0)

    def search(self, ask: Ask, images: Images, streams: Streams) -> Images:
        """See `Attack`.

        Raises:
            ModuleNotFoundError: foolbox is not installed; it says how to.
        """
        foolbox = _foolbox()
        attack = foolbox.attacks.L2CarliniWagnerAttack(
            binary_search_steps=self.searches,
            steps=self.steps,
            stepsize=self.stride,
            confidence=self.confidence,
            initial_const=self.weight,
            abort_early=False,
        )
        module = _Asked(ask).eval()
        model = foolbox.PyTorchModel(module, bounds=(-1, 1), device=images.device)
        labels = ask.labels.to(images.device)
        wrong = ask.margins(images, guessed=True) > 0
        found, _, success = attack(model, images, labels, epsilons=None)
        lost = (found == 0).flatten(1).all(1)  # grey is what foolbox gives where it found nothing
        better = (success & ~lost & ~wrong)[:, None, None, None]
        return torch.where(better, found, images)


class _Asked(nn.Module):
    """What is asked, as foolbox takes it."""

    def __init__(self, ask: Ask) -> None:
        super().__init__()
        self.ask = ask

    def forward(self, images: Tensor) -> Tensor:
        return self.ask.guess(images)


def _foolbox() -> Any:  # noqa: ANN401  (a module)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it imports SciPy's modules by their old names
        return find_package(
            "foolbox", "robustness", "attack 'cw'", ", or attack with 'pgd_l2', which needs none"
        )
