"""The paper's claims, and some of ours, weighed by the rows of our tables.

A claim is a difference of two rows and what the paper leads one to expect of it. What ours says is
by the linear probe on `test`: the 95 % interval over test images and seeds, and the p-value
corrected (Holm) for the claims of one table.

Source of claims and figures: Jahanian et al. 2022, arXiv:2106.05258, tables 1, 2 and 3, figures 5,
6 and 9, appendix F.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from genviews.studies.learning.compare import Difference, by_row, compare, corrected
from genviews.studies.learning.judge import RowResult
from genviews.studies.result import Claim
from genviews.studies.statistics import outcome_of

__all__ = ["CLAIMS", "Hypothesis", "claims_of", "weigh_claims"]

PAPER = "Jahanian et al. 2022"


@dataclass(frozen=True, kw_only=True)
class Hypothesis:
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
    expected: Literal["above", "level"]


CLAIMS: Mapping[str, tuple[Hypothesis, ...]] = {
    "table1": (
        Hypothesis(
            text="latent and pixel views beat pixel views alone",
            paper="42.58 against 35.69",
            a="Gaussian + T_x",
            b="generated + T_x",
            expected="above",
        ),
        Hypothesis(
            text="so do style-mixed ones (ours)",
            paper="not tried",
            a="style-mix + T_x",
            b="generated + T_x",
            expected="above",
        ),
        Hypothesis(
            text="latent views alone are worse than with pixel views",
            paper="42.58 against 28.88",
            a="Gaussian + T_x",
            b="Gaussian",
            expected="above",
        ),
        Hypothesis(
            text="Gaussian views do as well as steered ones",
            paper="42.58 against 41.78",
            a="Gaussian + T_x",
            b="steered + T_x",
            expected="level",
        ),
        Hypothesis(
            text="the inverter is far behind",
            paper="42.58 against 26.43",
            a="Gaussian + T_x",
            b="inverter",
            expected="above",
        ),
        Hypothesis(
            text="several positives of an anchor help (ours)",
            paper="not tried",
            a="style-mix, 3 positives + T_x",
            b="style-mix + T_x",
            expected="above",
        ),
        Hypothesis(
            text="an encoder that never saw a real image reaches that of all of them",
            paper="42.58 against 43.90; cars 49.79 against 39.68",
            a="style-mix + T_x",
            b="real + T_x",
            expected="level",
        ),
    ),
    "figure5": (
        Hypothesis(
            text="inverse U, rising side: a middle deviation beats none",
            paper="65.46 (0.2) against 57.10 (Table 4, T_x)",
            a="std 0.20",
            b="std 0.00",
            expected="above",
        ),
        Hypothesis(
            text="inverse U, falling side: a middle deviation beats a large one",
            paper="65.46 (0.2) against 64.42 (0.4)",
            a="std 0.20",
            b="std 1.00",
            expected="above",
        ),
    ),
    "figure9": (
        Hypothesis(
            text="a little synthetic data helps real data",
            paper="67.52 (5 %) against 67.36",
            a="5 % generated",
            b="0 % generated",
            expected="above",
        ),
        Hypothesis(
            text="much of it harms",
            paper="64.68 (50 %) against 67.36",
            a="0 % generated",
            b="50 % generated",
            expected="above",
        ),
    ),
    "figure6": (
        Hypothesis(
            text="more unique samples help, at equal updates",
            paper="a rising curve, figures in a plot alone",
            a="10 times the samples",
            b="0.1 times the samples",
            expected="above",
        ),
    ),
    "table3": (
        Hypothesis(
            text="with classes, independent views do about as well as Gaussian ones",
            paper="48.97 against 46.43",
            a="independent + T_x",
            b="Gaussian + T_x",
            expected="level",
        ),
        Hypothesis(
            text="with classes, latent views add to pixel views",
            paper="49.25 (steered) against 48.19",
            a="steered + T_x",
            b="generated + T_x",
            expected="above",
        ),
    ),
    "table6": (
        Hypothesis(
            text="a classifier of real images transfers better than one of generated images",
            paper="80.64 against 65.18",
            a="classifier, real + T_x",
            b="classifier, generated + T_x",
            expected="above",
        ),
    ),
}
"""By table."""


def weigh_claims(table: str, results: Sequence[RowResult]) -> tuple[Claim, ...]:
    """The claims about the rows of a table that were run.

    Args:
        table: name of the table.
        results: of its rows and seeds, judged.
    """
    rows, gaps = by_row(results), []
    for claim in CLAIMS.get(table, ()):
        own, other = rows.get(claim.a, {}), rows.get(claim.b, {})
        seeds = sorted(own.keys() & other.keys())
        if seeds:
            parts = [own[s].measured["linear"] - other[s].measured["linear"] for s in seeds]
            gaps.append((claim, compare(parts)))
    return claims_of(gaps)


def claims_of(gaps: Sequence[tuple[Hypothesis, Difference]]) -> tuple[Claim, ...]:
    """What differences say of the claims that they are about, corrected for their number."""
    p_values = corrected(dict(enumerate(gap for _, gap in gaps)))
    found = []
    for place, (claim, gap) in enumerate(gaps):
        measured, p_value = gap.estimate(), p_values[place]
        found.append(
            Claim(
                text=f"{claim.text}: {claim.a} against {claim.b}",
                said=claim.paper,
                measured=measured,
                outcome=outcome_of(claim.expected, measured, p_value),
                p_value=p_value,
                source=PAPER,
            )
        )
    return tuple(found)
