"""What the paper claims of learning from a generator, put to the test on the rows of our tables.

A claim is a difference of two rows and what the paper leads one to expect of it. The verdict is of
the linear probe on `test`, by the 95 % interval over test images and seeds.

Source of claims and figures: Jahanian et al. 2022, arXiv:2106.05258, tables 1, 2 and 3, figures 5,
6 and 9, appendix F.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from torch import Tensor

from genviews.studies.learning.compare import Difference, compare_answers
from genviews.studies.learning.run import RowResult

__all__ = ["CLAIMS", "Claim", "judge_claims", "verdict"]

LEVEL = 0.01  # two rows within one point of each other count as level

Expected = Literal["above", "level"]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim: row `a` against row `b`.

    Args:
        text: the claim.
        paper: its figures.
        a: name of the row that the claim is about.
        b: of the one that it is compared with.
        expected: "above": a is better than b; "level": as good.
    """

    text: str
    paper: str
    a: str
    b: str
    expected: Expected


CLAIMS: dict[str, tuple[Claim, ...]] = {
    "table1": (
        Claim(
            text="latent and pixel views beat pixel views alone",
            paper="42.58 against 35.69",
            a="Gaussian + T_x",
            b="generated + T_x",
            expected="above",
        ),
        Claim(
            text="so do style-mixed ones (ours)",
            paper="not tried",
            a="style-mix + T_x",
            b="generated + T_x",
            expected="above",
        ),
        Claim(
            text="latent views alone are worse than with pixel views",
            paper="42.58 against 28.88",
            a="Gaussian + T_x",
            b="Gaussian",
            expected="above",
        ),
        Claim(
            text="Gaussian views do as well as steered ones",
            paper="42.58 against 41.78",
            a="Gaussian + T_x",
            b="steered + T_x",
            expected="level",
        ),
        Claim(
            text="the inverter is far behind",
            paper="42.58 against 26.43",
            a="Gaussian + T_x",
            b="inverter",
            expected="above",
        ),
        Claim(
            text="several positives of an anchor help (ours)",
            paper="not tried",
            a="style-mix, 3 positives + T_x",
            b="style-mix + T_x",
            expected="above",
        ),
        Claim(
            text="an encoder that never saw a real image reaches that of all of them",
            paper="42.58 against 43.90; cars 49.79 against 39.68",
            a="style-mix + T_x",
            b="real + T_x",
            expected="level",
        ),
    ),
    "figure5": (
        Claim(
            text="inverse U, rising side: a middle deviation beats none",
            paper="65.46 (0.2) against 57.10 (Table 4, T_x)",
            a="std 0.20",
            b="std 0.00",
            expected="above",
        ),
        Claim(
            text="inverse U, falling side: a middle deviation beats a large one",
            paper="65.46 (0.2) against 64.42 (0.4)",
            a="std 0.20",
            b="std 1.00",
            expected="above",
        ),
    ),
    "figure9": (
        Claim(
            text="a little synthetic data helps real data",
            paper="67.52 (5 %) against 67.36",
            a="5 % generated",
            b="0 % generated",
            expected="above",
        ),
        Claim(
            text="much of it harms",
            paper="64.68 (50 %) against 67.36",
            a="0 % generated",
            b="50 % generated",
            expected="above",
        ),
    ),
    "figure6": (
        Claim(
            text="more unique samples help, at equal updates",
            paper="a rising curve, figures in a plot alone",
            a="10 times the samples",
            b="0.1 times the samples",
            expected="above",
        ),
    ),
    "table3": (
        Claim(
            text="with classes, independent views do about as well as Gaussian ones",
            paper="48.97 against 46.43",
            a="independent + T_x",
            b="Gaussian + T_x",
            expected="level",
        ),
        Claim(
            text="with classes, latent views add to pixel views",
            paper="49.25 (steered) against 48.19",
            a="steered + T_x",
            b="generated + T_x",
            expected="above",
        ),
    ),
    "table6": (
        Claim(
            text="a classifier of real images transfers better than one of generated images",
            paper="80.64 against 65.18",
            a="classifier, real + T_x",
            b="classifier, generated + T_x",
            expected="above",
        ),
    ),
}
"""By table."""


def judge_claims(
    table: str, results: Sequence[RowResult], truth: Tensor, probe: str = "linear"
) -> list[dict[str, Any]]:
    """Each claim of a table with our difference and the verdict.

    Args:
        table: name of the table.
        results: of its rows and seeds.
        truth: (N,) classes of the test images.
        probe: "linear" or "knn".
    """
    correct: dict[str, dict[int, Tensor]] = {}
    for result in results:
        own = (result.answers[probe] == truth).double()
        correct.setdefault(result.row.name, {})[result.seed] = own
    found = []
    for claim in CLAIMS.get(table, ()):
        if claim.a not in correct or claim.b not in correct:
            continue
        one, other = correct[claim.a], correct[claim.b]
        gap = compare_answers([one[seed] - other[seed] for seed in sorted(one)])
        judged = {"difference": asdict(gap), "verdict": verdict(gap, claim.expected)}
        found.append({**asdict(claim), "probe": probe, **judged})
    return found


def verdict(gap: Difference, expected: Expected) -> str:
    """What our difference says of a claim."""
    low, high = gap.interval
    if expected == "above":
        return "holds" if low > 0 else "the opposite" if high < 0 else "not seen"
    if low >= -LEVEL and high <= LEVEL:
        return "holds"
    if low > 0:
        return "better"
    return "worse" if high < 0 else "no difference seen"
