"""Answers against chance: how often guessing is right, and whether one answer is all there is."""

from __future__ import annotations

from jaxtyping import Int
from scipy import stats
from torch import Tensor

from genviews.checks import check_count
from genviews.gates.gate import GUESSING, MOST
from genviews.signature import checked
from genviews.types import check_classes

__all__ = ["USEFUL", "check_answers", "guessing", "is_informed", "is_one_answer", "part_of_the_way"]

USEFUL = 0.2
"""Part of the way from guessing to certainty that even a weak classifier goes (chosen by us)."""


@checked
def guessing(said: Int[Tensor, " N"], labels: Int[Tensor, " N"]) -> float:
    """How often the same answers are right on average, given to the images in any order."""
    check_count(len(labels), "number of images")
    most = int(max(said.max(), labels.max())) + 1
    check_answers(said, labels, most)
    own, true = (row.bincount(minlength=most).double() for row in (said, labels))
    return float(own @ true) / len(labels) ** 2


def is_informed(
    said: Int[Tensor, " N"], labels: Int[Tensor, " N"], level: float = GUESSING
) -> bool:
    """Whether answers are better than guessing, by an exact one-sided test."""
    count, hits = len(labels), int((said == labels).sum())
    return bool(stats.binom.sf(hits - 1, count, guessing(said, labels)) < level)


def part_of_the_way(part: float, guess: float) -> float:
    """The accuracy that is so far on the way from guessing to certainty."""
    return guess + part * (1 - guess)


def check_answers(said: Tensor, labels: Tensor, classes: int) -> None:
    """Raise ValueError of no image, or of answers or labels that are none of so many classes."""
    check_count(len(labels), "number of images")
    check_classes(said, classes, "classes that are said")
    check_classes(labels, classes, "labels")


def is_one_answer(many: int, share: float, count: int, level: float) -> bool:
    """Whether one answer to nearly all of the images is more than their own share of it explains.

    That share is seen on as few images as the answers: two of each kind are added (Agresti and
    Coull), or of two images a sound classifier, once wrong about both, would not be one. The rarer
    the others are, the more of them a weak classifier calls like the rest: all but their share of
    them, or all but `USEFUL`, where that is more.
    """
    others = 1 - (share * count + 2) / (count + 4)
    known = 1 - others * max(others, USEFUL)
    return many >= MOST * count and bool(stats.binom.sf(many - 1, count, known) < level)
