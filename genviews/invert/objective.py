"""What an inversion minimises: a weighted sum of terms, each giving one loss for every image.

    L_i(w) = sum over terms of  weight * loss_i(x, m, G(w), w)

A `Term` compares the known pixels of an image with its rendering (here `L1`, `L2`; `LPIPS` in
`perceptual`, `Feature` and `Predictions` in `features`) or holds the latents near a place that they
should not leave (here `ToStart`; `ToEncoder`, `ReEncode` in `features`). The published objectives
are functions in `inverter`.

Every image term is a mean over known pixels (mask 1), so unknown pixels never reach the loss, not
even as NaN. What a term needs of the images alone is computed once, in `keep`.

Source: Chai et al. 2021, Eq. 1 and 4.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import ClassVar

import torch
from torch import Tensor, nn

from genviews.checks import check_different, fail
from genviews.invert.optimizer import PerImage
from genviews.types import Images, Latents, Masks, Values

__all__ = ["L1", "L2", "Kept", "Objective", "Target", "Term", "ToStart", "blank", "masked_mean"]

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
        """The term's key in `Objective.parts`, unique in an objective; "to_start" of `ToStart`."""
        return re.sub("(?<=[a-z])(?=[A-Z])", "_", type(self).__name__).lower()

    def keep(self, images: Images, masks: Masks, start: Latents) -> list[Tensor]:
        """What the term needs of the images alone, a row an image.

        Called without gradients, unless the inversion is unrolled.

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
class Target(PerImage):
    """Images (unknown pixels 0), masks, starts and what each term keeps of them, row by row."""

    images: Tensor
    masks: Tensor
    start: Tensor
    kept: tuple[tuple[Tensor, ...], ...]


def _rounded(error: Tensor, delta: float | Tensor) -> Tensor:
    return (error.square() + delta**2).sqrt() - delta


@dataclass(frozen=True)
class L1(Term):
    """Mean absolute error of known pixels, in units of [-1, 1] images.

        sum(m |G(w) - x|) / (C sum(m))

    Args:
        weight: see `Term`.
        smoothing: delta; |e| becomes sqrt(e^2 + delta^2) - delta. 0 is the absolute error itself.

    Source: Chai et al. 2021, Sec. 3.2; `losses.Masked_L1_Loss` of their code.
    Differs: none known without smoothing.
    """

    weight: float = 1.0
    smoothing: float = 0.0

    def loss(self, target: Target, kept: Kept, rendered: Images, latents: Latents) -> Values:
        """See the class docstring."""
        error = blank(rendered - target.images, target.masks)
        size = _rounded(error, self.smoothing) if self.smoothing else error.abs()
        return masked_mean(size, target.masks)

    def smoother(self, target: Target, rendered: Images, smoothing: Values) -> Values:
        """`loss` with a smoothing for each image, or the term's own where that is larger."""
        error = blank(rendered - target.images, target.masks)
        delta = smoothing.clamp(min=self.smoothing)[:, None, None, None]
        sharp = delta == 0
        # The root has no slope at 0: an image without smoothing takes another delta, then |e|.
        size = _rounded(error, torch.where(sharp, 1.0, delta))
        return masked_mean(torch.where(sharp, error.abs(), size), target.masks)


@dataclass(frozen=True)
class L2(Term):
    """Mean squared error of known pixels, in units of [-1, 1] images.

        sum(m (G(w) - x)^2) / (C sum(m))

    Source: Zhu et al. 2020 (In-Domain GAN Inversion), arXiv 2004.00049.
    Differs: with a mask their code divides by the number of all pixels, here by that of known ones.
    """

    weight: float = 1.0

    def loss(self, target: Target, kept: Kept, rendered: Images, latents: Latents) -> Values:
        """See the class docstring."""
        return masked_mean(blank(rendered - target.images, target.masks).square(), target.masks)


@dataclass(frozen=True)
class ToStart(Term):
    """Mean squared distance of the latents to those that the inversion started from.

        mean over rows and dimensions of (w - w_0)^2

    Source: Chai et al. 2021, code of the CIFAR10 inversions (start: the class's mean w).
    Differs: none known.
    """

    of_images: ClassVar[bool] = False

    def loss(self, target: Target, kept: Kept, rendered: Images, latents: Latents) -> Values:
        """See the class docstring."""
        return (latents - target.start).square().mean(dim=(1, 2))


@dataclass(frozen=True)
class Objective:
    """The weighted sum of terms that an inversion minimises, for each image on its own.

    Args:
        terms: summed in this order; those of weight 0 are left out. At least one with a weight
            above 0 must compare images. Default: plain L1.

    Raises:
        TypeError: not a tuple of terms.
        ValueError: a negative weight, no image term, or two terms of one name.

    Example:
        >>> from genviews.invert.objective import L1, L2, Objective
        >>> objective = Objective((L1(0.5), L2(2.0)))
        >>> one, grey = torch.ones(1, 1, 8, 8), torch.zeros(1, 1, 8, 8)
        >>> latents = torch.zeros(1, 4, 2)
        >>> objective(objective.target(one, one, latents), grey, latents)
        tensor([2.5000])
    """

    terms: tuple[Term, ...] = (L1(),)

    def __post_init__(self) -> None:
        given = self.terms
        if not isinstance(given, tuple) or not all(isinstance(term, Term) for term in given):
            fail(
                "objective",
                expected="a tuple of terms",
                got=repr(self.terms),
                remedy="write Objective((L1(), L2(0.5)))",
                error=TypeError,
            )
        weights = {f"{t.name}={t.weight}": t.weight for t in given}
        imaging = [t for t in given if t.of_images and t.weight > 0]
        # Not `min(...) < 0`: a NaN weight is refused as well.
        if not all(weight >= 0 for weight in weights.values()) or not imaging:
            fail(
                "objective weights",
                expected="non-negative, and at least one image term above 0",
                got=", ".join(weights) or "no term",
                remedy="change them",
            )
        remedy = "join those of one name, or give one another `label`"
        check_different((t.name for t in self.active), "names of the objective's terms", remedy)

    @property
    def active(self) -> tuple[Term, ...]:
        """The terms that count."""
        return tuple(term for term in self.terms if term.weight != 0)

    def target(
        self, images: Images, masks: Masks, start: Latents, *, graded: bool = False
    ) -> Target:
        """What stays fixed while the images are inverted, their features among it.

        Args:
            images: in [-1, 1]; an unknown pixel may be anything.
            masks: 1 where a pixel is known, 0 where it is not.
            start: the latents that the inversion starts from.
            graded: what is kept carries the gradients of the images and of the start.
        """
        with torch.set_grad_enabled(graded):
            kept = tuple(tuple(term.keep(images, masks, start)) for term in self.active)
        return Target(images=blank(images, masks), masks=masks, start=start, kept=kept)

    def parts(self, target: Target, rendered: Images, latents: Latents) -> dict[str, Values]:
        """The loss of each term, without its weight, by the term's name."""
        pairs = zip(self.active, target.kept, strict=True)
        return {term.name: term.loss(target, kept, rendered, latents) for term, kept in pairs}

    def __call__(self, target: Target, rendered: Images, latents: Latents) -> Values:
        """The loss of each image."""
        parts = self.parts(target, rendered, latents)
        return reduce(torch.add, [term.weight * parts[term.name] for term in self.active])

    def stages(self, smoothings: Sequence[float]) -> tuple[float, ...]:
        """Those of the falling smoothings that make a difference: with no L1 term, none but one."""
        own = [term.smoothing for term in self.active if isinstance(term, L1)]
        least = min(own, default=smoothings[0])
        return tuple(dict.fromkeys(max(delta, least) for delta in smoothings))

    def smooth_and_exact(
        self, target: Target, rendered: Images, latents: Latents, smoothing: Values
    ) -> tuple[Values, Values]:
        """The loss with smoothed absolute errors, to descend on, and the loss itself, detached.

        Args:
            target: see `__call__`.
            rendered: G(latents).
            latents: w.
            smoothing: of each image, see `L1`; 0 gives the loss itself twice.
        """
        descent, exact = [], []
        for term, kept in zip(self.active, target.kept, strict=True):
            loss = term.loss(target, kept, rendered, latents)
            exact.append(term.weight * loss.detach())
            if isinstance(term, L1):  # a pixel term costs nothing beside the generator
                loss = term.smoother(target, rendered, smoothing)
            descent.append(term.weight * loss)
        return reduce(torch.add, descent), reduce(torch.add, exact)

    def modules(self) -> list[nn.Module]:
        """The networks of the terms, each once: move them to where the images are."""
        found = {id(module): module for term in self.active for module in term.modules()}
        return list(found.values())

    def __describe__(self) -> dict[str, object]:
        """The terms that count."""
        return {"terms": self.active}
