"""Whether a defence is robust, or only hides its gradient from the attack that found it so.

    attack at rising budgets, one step, random search, transfer -> CHECK -> may it be believed?

An attack that follows a gradient finds nothing where there is none. Five signs tell that apart from
robustness: (1) with a budget so large that nothing is left of an image, some are still classified
rightly; (2) a larger budget finds less; (3) one step finds more than many; (4) random changes find
more, at equal cost; (5) images made for another classifier find more. A defence without these signs
may still be broken by an attack that nobody has thought of: the check can refuse a verdict, not
prove one.

Source: Athalye et al. 2018, arXiv 1802.00420, Sec. 3.1; Carlini et al. 2019, arXiv 1902.06705.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from genviews.checks import check_ascending, check_count, check_each, fail
from genviews.rng import Streams
from genviews.robustness.adaptive import AdaptiveAttack
from genviews.robustness.ask import Ask
from genviews.robustness.attack import Norm
from genviews.robustness.defence import Defence
from genviews.robustness.gradient import PGD
from genviews.robustness.random_search import RandomSearch
from genviews.signature import checked
from genviews.types import Images, Label

__all__ = ["MaskingReport", "check_masking", "tells_less"]

# Tries of the random search for each gradient: no fewer than a gradient costs answers (2.2 for the
# classifier, 2.9 through ten optimiser steps, results/benchmarks/adaptive.json).
ANSWERS_A_GRADIENT = 4
LEFT = 0.05  # share of images that may be right without a limit
# By so many images more than one may another attack be better, or a larger budget worse; of all.
SLACK = 0.02


@dataclass(frozen=True, kw_only=True)
class MaskingReport:
    """What was seen, and what it allows to say.

    Args:
        images: that were attacked.
        clean: accuracy of the defence before.
        budgets: of the attack, rising; the last without limit.
        accuracy: after the attack, at each budget.
        margin: mean margin of another class over the label after it, at each budget.
        at: the budget of the three below.
        one_step: accuracy after a single step of the whole budget.
        random: accuracy after a random search of equal cost.
        transfer: accuracy on images that were made for another model; None where none was given.
        worst: accuracy where an image counts as right only if none of these attacks of this budget
            or a smaller one broke it: what may be said of the defence at this budget.
        signs: of a masked gradient, in sentences; () where there are none.
    """

    images: int
    clean: float
    budgets: tuple[float, ...]
    accuracy: tuple[float, ...]
    margin: tuple[float, ...]
    at: float
    one_step: float
    random: float
    transfer: float | None
    worst: float
    signs: tuple[str, ...] = field(default=())

    @property
    def believable(self) -> bool:
        """Whether no sign of a masked gradient was seen."""
        return not self.signs

    @property
    def words(self) -> str:
        """The verdict in sentences."""
        kept = f"{self.worst:.1%} of {self.images} images withstand all of the attacks"
        at = f"at a budget of {self.at:g} {kept}, of {self.clean:.1%} that are right before"
        if self.believable:
            return f"No sign of a masked gradient: {at}."
        return f"Not to be believed as robustness. {' '.join(self.signs)} As it stands, {at}."


@checked
def check_masking(
    defence: Defence,
    images: Images,
    labels: Label,
    streams: Streams,
    attack: AdaptiveAttack,
    *,
    budgets: Sequence[float] = (),
    gradient_of: Defence | None = None,
    transfer_from: Defence | None = None,
) -> MaskingReport:
    """Attack a defence in four more ways, and say whether what the attack found may be believed.

    Costs about as much as three to four attacks, and one for each further budget.

    Args:
        defence: see `AdaptiveAttack`.
        images: (B, C, H, W) in [-1, 1]; 50 or more tell shares apart.
        labels: true classes.
        streams: of the defence.
        attack: that is checked; of PGD, with its budget above 0.
        budgets: of PGD besides, ascending.
        gradient_of: see `AdaptiveAttack`.
        transfer_from: another model, such as the classifier alone, for which images are made that
            are then shown to the defence.

    Raises:
        TypeError, ValueError: as the attack; another attack than PGD, or budgets out of order.
    """
    own = attack.attack
    if not isinstance(own, PGD) or not own.budget > 0:
        fail(
            "attack to be checked",
            expected="PGD with a budget above 0",
            got=repr(own),
            remedy="write AdaptiveAttack(attack=PGD(0.05))",
        )
    if budgets:
        check_ascending(budgets, "budgets")
    check_count(len(images), "images to attack")
    check_each(streams, len(images), "streams")
    rising = sorted({*budgets, own.budget, max(_unlimited(images, own.norm), own.budget)})

    def margins(changed: Images) -> Tensor:
        def answer(part: Tensor, rows: Tensor, draw: int) -> Tensor:
            return defence(part, streams[rows.cpu()])

        return Ask(answer, labels).margins(changed)

    def after(one: AdaptiveAttack, follow: Defence | None = gradient_of) -> Tensor:
        return margins(one(defence, images, labels, streams, gradient_of=follow))

    at = {b: after(replace(attack, attack=replace(own, budget=b))) for b in rising}
    tries = ANSWERS_A_GRADIENT * own.steps * own.restarts * attack.samples
    chance = RandomSearch(own.budget, tries=tries, norm=own.norm)
    single = replace(own, steps=1, stride=1.0, random_start=False, restarts=1)
    others = {
        "one step": after(replace(attack, attack=single)),
        "random search": after(replace(attack, attack=chance)),
    }
    if transfer_from is not None:
        others["images made for another model"] = after(attack, transfer_from)
    clean, kept = margins(images) < 0, {b: found < 0 for b, found in at.items()}
    right = {name: found < 0 for name, found in others.items()}
    within = [found for budget, found in kept.items() if budget <= own.budget]
    every = torch.stack([clean, *within, *right.values()])
    moved = others.get("images made for another model")
    return MaskingReport(
        images=len(images),
        clean=_share(clean),
        budgets=tuple(rising),
        accuracy=tuple(_share(found) for found in kept.values()),
        margin=tuple(_mean(found) for found in at.values()),
        at=own.budget,
        one_step=_share(right["one step"]),
        random=_share(right["random search"]),
        transfer=None if moved is None else _share(moved < 0),
        worst=_share(every.all(0)),
        signs=tuple(_signs(kept, right, own.budget)),
    )


def tells_less(left: float, other: float, images: int) -> bool:
    """Whether an attack leaves a share of images right of which another breaks more than a few."""
    return other < left - SLACK - 1 / images


def _unlimited(images: Images, norm: Norm) -> float:
    """A budget that leaves nothing of any image: half of the range for every pixel."""
    return 1.0 if norm == "linf" else float(images[0].numel() ** 0.5)


def _mean(margins: Tensor) -> float:
    """Over the images that have an answer; 0 where none has."""
    return float(margins[margins.isfinite()].mean()) if margins.isfinite().any() else 0.0


def _share(right: Tensor) -> float:
    return float(right.double().mean())


def _signs(kept: dict[float, Tensor], others: dict[str, Tensor], budget: float) -> list[str]:
    """What tells of a masked gradient, in sentences."""
    shares = {b: _share(found) for b, found in kept.items()}
    found, largest = [], max(shares)
    slack = SLACK + 1 / len(kept[budget])
    if shares[largest] > LEFT:
        found.append(
            f"With a budget of {largest:g}, which leaves nothing of an image, "
            f"{shares[largest]:.1%} are still right: the attack does not follow the loss."
        )
    for (less, before), (more, after) in zip(
        list(shares.items())[:-1], list(shares.items())[1:], strict=True
    ):
        if after > before + slack:
            found.append(
                f"A budget of {more:g} leaves {after:.1%} right, the smaller one of {less:g} "
                f"{before:.1%}: a larger one holds all that a smaller one does."
            )
    for name, right in others.items():
        if tells_less(shares[budget], _share(right), len(right)):
            found.append(
                f"Of the attack {shares[budget]:.1%} are right, of {name} {_share(right):.1%}: "
                "the gradient tells less than that."
            )
    return found
