"""What an attack is: images changed as much as a budget allows, so that a model errs on them.

    images, labels -> ATTACK a model -> images that look the same -> what does the model say?

A model is any function of images in [-1, 1] that gives logits with a gradient. An attack is an
object made from its settings, then called; it prints as its constructor call and has a short `name`
("pgd:0.05") that keys stored results. Budgets are in units of images in [-1, 1], twice those of
papers whose images are in [0, 1]: 8/255 there is 16/255 = 0.063 here, for every norm.

To add one: a frozen dataclass in a file of its own with `kind`, `norm` and `search`, a line in
`ATTACKS`, and one of the contract in tests/contracts/test_attacks.py. What is asked of a model is
in `genviews.robustness.ask`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, fields
from importlib.util import find_spec
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from genviews.checks import check_each, check_number, check_words, fail, finite_rows, lookup
from genviews.modes import evaluating, frozen, gradients
from genviews.named import Registry, find_package
from genviews.rng import Streams
from genviews.robustness.ask import Ask
from genviews.signature import checked
from genviews.types import Images, Label, Values, check_floats, check_shape
from genviews.user_code import user_code

__all__ = ["ATTACKS", "Attack", "Model", "Norm", "attack", "size_of", "within"]

Model = Callable[[Tensor], Tensor]
"""Images (B, C, H, W) -> logits (B, Y); an `nn.Module` is asked in eval mode."""

Norm = Literal["linf", "l2"]
"""How the size of a change is measured: its largest pixel, or the root of the sum of squares."""


@dataclass(frozen=True)
class Attack(ABC):
    """Abstract attack.

    Args:
        budget: the largest change of an image, by `norm`, in units of images in [-1, 1]; 0 leaves
            it as it is.
    """

    budget: float

    kind: ClassVar[str]
    """First word of `name`, and the purpose of the random streams."""

    package: ClassVar[str | None] = None
    """That does the search; None where PyTorch does."""

    unnamed_budget: ClassVar[float | None] = None
    """The budget of a name that does not say one; None where every name must."""

    @property
    @abstractmethod
    def norm(self) -> Norm:
        """How the size of a change is measured."""

    def __post_init__(self) -> None:
        if self.budget != math.inf or self.unnamed_budget != math.inf:
            remedy = "it is in units of images in [-1, 1]: try 0.05 (linf) or 1.0 (l2)"
            check_number(self.budget, f"budget of {type(self).__name__}", least=0, remedy=remedy)
        check_words(self)

    @classmethod
    def of_kind(cls, kind: str, budget: float) -> Attack:
        """Make it from the words of a name; `kind` tells apart those of one class."""
        return cls(budget)

    def check_installed(self) -> None:
        """Raise ModuleNotFoundError where it needs a package that is not there."""
        if self.package is not None and find_spec(self.package) is None:
            find_package(self.package, "robustness", f"attack {self.kind!r}")

    @property
    def label(self) -> str:
        """`kind`, or what tells this one from others of its class."""
        return self.kind

    @property
    def name(self) -> str:
        """Short name that keys results: "pgd:0.05", and settings that are not the usual ones."""
        usual = self.of_kind(self.label, self.budget)
        own = {one.name: getattr(self, one.name) for one in fields(self)}
        other = [f"{name}={value}" for name, value in own.items() if value != getattr(usual, name)]
        budget = "" if self.budget == self.unnamed_budget else f":{self.budget:g}"
        return "-".join((self.label + budget, *other))

    @abstractmethod
    def search(self, ask: Ask, images: Images, streams: Streams) -> Images:
        """Return the changed images; they are brought within the budget and the range afterwards.

        Args:
            ask: knows the labels, and what the model says; no row may depend on another.
            images: in [-1, 1], finite.
            streams: of this kind, one for each image.
        """

    @checked
    def __call__(self, model: Model, images: Images, labels: Label, streams: Streams) -> Images:
        """Return images that the model is meant to err on, on the device of `images`.

        What is found for an image depends on the image, its label and its stream alone, bit for bit
        on a CPU. An image that is not finite comes back as it is. A gradient that is not finite
        moves its own image nowhere in that step, and no other is harmed.

        Args:
            model: see `Model`; called on images on their device, left as it was.
            images: (B, C, H, W) in [-1, 1].
            labels: true classes.
            streams: `Rng(seed).streams(ids)`, one for each image, for random starts.

        Raises:
            TypeError: images that are no floats.
            ValueError: images outside [-1, 1], labels that are no classes of the model, or another
                number of labels or streams than of images.
        """

        def answer(part: Tensor, rows: Tensor, draw: int) -> Tensor:
            with user_code("attacked model", part):
                return model(part)

        with ExitStack() as modes:
            if isinstance(model, nn.Module):
                modes.enter_context(evaluating(model))
                modes.enter_context(frozen(model))
            return self.against(Ask(answer, labels), images, streams)

    def against(self, ask: Ask, images: Images, streams: Streams) -> Images:
        """`__call__`, of whatever answers: `genviews.robustness.adaptive` asks whole defences."""
        check_floats(images, "images to attack")
        check_shape(images, ("B", "C", "H", "W"), "images to attack", "add the axis of the batch")
        check_each(ask.labels, len(images), "labels")
        remedy = "make them with `Rng(seed).streams(ids)`, one id an image"
        check_each(streams, len(images), "streams", remedy=remedy)
        good = finite_rows(images)
        if (most := float(images[good].abs().max()) if good.any() else 0.0) > 1:
            remedy = "scale them, or clamp what a generator made: `images.clamp(-1, 1)`"
            fail("images to attack", expected="values in [-1, 1]", got=f"{most:.6g}", remedy=remedy)
        with gradients():
            changed, rows = images.detach().clone(), good.nonzero().flatten().clone()
            own, ask = changed[rows], ask.of(rows)
            if len(rows) and self.budget > 0:
                found = self.search(ask, own, streams[rows.cpu()].child(self.kind))
                changed[rows] = within(own, found.detach(), self.budget, self.norm)
        return changed


def within(images: Images, changed: Images, budget: float, norm: Norm) -> Images:
    """The changed images, moved back towards the images as far as budget and range demand.

        l2:  x + d min(1, budget / |d|)        linf:  x + clip(d, -budget, budget)

    Then clipped to [-1, 1], which makes no change larger. In the place of a pixel that is not
    finite comes the image's own.
    """
    difference = torch.where(changed.isfinite(), changed - images, 0.0)
    if norm == "linf":
        difference = difference.clamp(-budget, budget)
    else:
        share = budget / size_of(difference, "l2").clamp_min(1e-12)
        difference = difference * share.clamp_max(1.0)[:, None, None, None]
    return (images + difference).clamp(-1.0, 1.0)


def size_of(difference: Images, norm: Norm) -> Values:
    """The size of each change, by its norm."""
    flat = difference.flatten(1)
    return flat.abs().amax(1) if norm == "linf" else flat.norm(dim=1)


def attack(name: str) -> Attack:
    """Return the attack of a name such as "pgd:0.05", "fgsm:0.1", "pgd_l2:1" or "cw".

    Args:
        name: kind, and after the colon the budget; "cw" may leave it out, and then changes each
            image no more than it must.

    Raises:
        ValueError: an unknown kind (the closest are listed), or no budget.

    Example:
        >>> attack("pgd:0.05")
        PGD(budget=0.05, steps=20, restarts=1, loss='cross-entropy', norm='linf', stride=None,
            random_start=True)
    """
    kind, colon, text = name.partition(":")
    made = lookup(kind, ATTACKS, "kind of attack")
    budget = made.unnamed_budget if not colon else _number(text)
    if budget is None:
        remedy = f"write {kind}:0.05 for example, in units of images in [-1, 1]"
        fail(f"attack {name!r}", expected="a budget", got=repr(text), remedy=remedy)
    return made.of_kind(kind, budget)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


ATTACKS: Registry[type[Attack]] = Registry(
    {
        "fgsm": "genviews.robustness.gradient:FGSM",
        "pgd": "genviews.robustness.gradient:PGD",
        "pgd_l2": "genviews.robustness.gradient:PGD",
        "cw": "genviews.robustness.carlini_wagner:CarliniWagner",
        "random": "genviews.robustness.random_search:RandomSearch",
        "random_l2": "genviews.robustness.random_search:RandomSearch",
    }
)
"""Kind -> attack, for names and the command line; a new one is a line here."""
