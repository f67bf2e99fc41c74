"""The paper's claims, and some of ours, weighed by the rows of our tables.

A claim is a difference of two rows and what the paper leads one to expect of it. What ours says is
by the linear probe on `test`, over test images and seeds; the claims of one table are a family (see
`genviews.studies.statistics`).

Source of claims and figures: Jahanian et al. 2022, arXiv:2106.05258, tables 1, 2 and 3, figures 5,
6 and 9, appendix F.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from genviews.studies.blocks import Estimate
from genviews.studies.learning.compare import Difference, by_row, compare
from genviews.studies.learning.floor import is_above
from genviews.studies.learning.judge import RowResult
from genviews.studies.learning.tables import PAPER
from genviews.studies.result import Claim
from genviews.studies.statistics import outcome_of, weigh

__all__ = ["CLAIMS", "Hypothesis", "claims_of", "weigh_claims"]


@dataclass(frozen=True)
class Hypothesis:
    """What is claimed of one row against another.

    Args:
        text: the claim.
        paper: its figures.
        expected: "above": the first is better than the second; "level": as good.
    """

    text: str
    paper: str
    expected: Literal["above", "level"] = "above"


Pair = tuple[str, str]

CLAIMS: Mapping[str, Mapping[Pair, Hypothesis]] = {
    "table1": {
        ("Gaussian + T_x", "generated + T_x"): Hypothesis(
            "latent and pixel views beat pixel views alone", "42.58 against 35.69"
        ),
        ("style-mix + T_x", "generated + T_x"): Hypothesis(
            "so do style-mixed ones (ours)", "not tried"
        ),
        ("Gaussian + T_x", "Gaussian"): Hypothesis(
            "latent views alone are worse than with pixel views", "42.58 against 28.88"
        ),
        ("Gaussian + T_x", "steered + T_x"): Hypothesis(
            "Gaussian views do as well as steered ones", "42.58 against 41.78", "level"
        ),
        ("Gaussian + T_x", "inverter"): Hypothesis(
            "the inverter is far behind", "42.58 against 26.43"
        ),
        ("style-mix, 3 positives + T_x", "style-mix + T_x"): Hypothesis(
            "several positives of an anchor help, at equal updates and twice the images (ours)",
            "not tried",
        ),
        ("style-mix + T_x", "real + T_x"): Hypothesis(
            "an encoder that never saw a real image reaches that of all of them",
            "42.58 against 43.90; cars 49.79 against 39.68",
            "level",
        ),
    },
    "figure5": {
        ("std 0.20", "std 0.00"): Hypothesis(
            "inverse U, rising side: a middle deviation beats none",
            "65.46 (0.2) against 57.10 (Table 4, T_x)",
        ),
        ("std 0.20", "std 1.00"): Hypothesis(
            "inverse U, falling side: a middle deviation beats a large one",
            "65.46 (0.2) against 64.42 (0.4)",
        ),
    },
    "figure9": {
        ("5 % generated", "0 % generated"): Hypothesis(
            "a little synthetic data helps real data", "67.52 (5 %) against 67.36"
        ),
        ("0 % generated", "50 % generated"): Hypothesis(
            "much of it harms", "64.68 (50 %) against 67.36"
        ),
    },
    "figure6": {
        ("10 times the samples", "0.1 times the samples"): Hypothesis(
            "more unique samples help, at equal updates", "a rising curve, figures in a plot alone"
        ),
    },
    "table3": {
        ("independent + T_x", "Gaussian + T_x"): Hypothesis(
            "with classes, independent views do about as well as Gaussian ones",
            "48.97 against 46.43",
            "level",
        ),
        ("steered + T_x", "generated + T_x"): Hypothesis(
            "with classes, latent views add to pixel views", "49.25 (steered) against 48.19"
        ),
    },
    "table6": {
        ("classifier, real + T_x", "classifier, generated + T_x"): Hypothesis(
            "a classifier of real images transfers better than one of generated images",
            "80.64 against 65.18",
        ),
    },
}
"""Table -> a row and the one that it is compared with -> what is claimed."""


def weigh_claims(
    table: str, results: Sequence[RowResult], floor: Mapping[str, Any] | None = None
) -> tuple[Claim, ...]:
    """The claims about the rows of a table that were run.

    Args:
        table: name of the table.
        results: of its rows and seeds, judged.
        floor: of `floor_of`. Nothing holds of a row that is not surely above it.
    """
    rows, gaps, known = by_row(results), [], list[bool]()
    for pair, claim in CLAIMS.get(table, {}).items():
        own, other = (rows.get(name, {}) for name in pair)
        seeds = sorted(own.keys() & other.keys())
        if seeds:
            parts = [own[s].measured["linear"] - other[s].measured["linear"] for s in seeds]
            gaps.append((pair, claim, compare(parts)))
            accuracy = compare([own[s].measured["linear"] for s in seeds], least=0.0)
            known.append(is_above(floor, accuracy.estimate))
    return tuple(
        claim if above or claim.outcome != "holds" else replace(claim, outcome="not seen")
        for claim, above in zip(claims_of(gaps), known, strict=True)
    )


def claims_of(gaps: Sequence[tuple[Pair, Hypothesis, Difference]]) -> tuple[Claim, ...]:
    """What differences say of the claims that they are about, corrected for their number."""
    weighed = weigh([gap.gap for *_, gap in gaps])
    return tuple(
        Claim(
            text=f"{claim.text}: {' against '.join(pair)}",
            said=claim.paper,
            measured=Estimate(found.value, found.interval),
            outcome=outcome_of(claim.expected, found),
            p_value=found.p_value,
            source=PAPER,
        )
        for (pair, claim, _), found in zip(gaps, weighed, strict=True)
    )
