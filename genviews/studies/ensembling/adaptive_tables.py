"""What the study of adaptive attacks shows: accuracies, signs of masked gradients, a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from genviews.ensemble.significance import GainReport
from genviews.robustness.ask import LossName
from genviews.robustness.masking import MaskingReport, tells_less
from genviews.studies.blocks import BarColumn, Bars, Cell, Column, Estimate, Table
from genviews.studies.ensembling.evidence import difference, gain_claim
from genviews.studies.result import Record, Result
from genviews.studies.statistics import Gap, accuracy_of, tone_of, weigh

__all__ = ["CLEAN", "EXACT", "NAIVE", "WORST", "Row", "shown", "with_signs"]

CLEAN, NAIVE, WORST = "clean", "not knowing", "worst"
EXACT: tuple[LossName, ...] = ("cross-entropy", "margin")
"""Attacks that follow the gradient of the whole defence."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A defence under the attacks of one budget.

    Args:
        defence: its name.
        budget: of the attacks.
        alpha: weight of the views; None of the classifier, and where each image has its own.
        reports: by attack, against the classifier on clean images.
        against: what withstands all attacks, against the classifier under all of its own.
    """

    defence: str
    budget: float
    alpha: float | None
    reports: Mapping[str, GainReport]
    against: GainReport

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def with_signs(
    rows: Sequence[Row], masking: Mapping[str, tuple[str, MaskingReport]], images: int
) -> dict[str, tuple[str, MaskingReport]]:
    """The reports with one sign more: the gradient of a whole defence that is a poor guide.

    It is one where attacks on the classifier alone, which need no knowledge, break more of so many
    `images`.
    """
    signs = dict[str, tuple[str, ...]]()
    for row in rows:
        naive = row.reports[NAIVE].accuracy
        left = min(row.reports[way].accuracy for way in EXACT)
        if tells_less(left, naive, images):
            told = (
                f"At a budget of {row.budget:g} attacks that follow the whole defence leave "
                f"{left:.1%} right, those on the classifier alone {naive:.1%}: its "
                "gradient is a poor guide, and a better attack is to be expected."
            )
            signs[row.defence] = (*signs.get(row.defence, ()), told)
    return {
        name: (way, replace(report, signs=(*report.signs, *signs.get(name, ()))))
        for name, (way, report) in masking.items()
    }


def shown(
    rows: Sequence[Row], masking: Mapping[str, tuple[str, MaskingReport]], record: Record
) -> Result:
    """The result.

    The verdict is about the last ensemble, which has image and views after the most steps, at the
    smallest budget: that was fixed before test was read.
    """
    plain, row = rows[0], next(one for one in reversed(rows) if one.budget == rows[0].budget)
    kept, before = (f"{100 * one.reports[WORST].accuracy:.1f} %" for one in (row, plain))
    naive = f"{100 * row.reports[NAIVE].accuracy:.1f} %"
    report = masking[row.defence][1]
    verdict = (
        f"At a budget of {row.budget:g}, {kept} of the images withstand every attack on "
        f"{row.defence!r} that was tried, and {before} those on the classifier alone: "
        f"{difference(row.against)}. Of somebody who does not know of the views {naive} withstand."
    )
    if not report.believable:
        verdict += f" {' '.join(report.signs)} That is no robustness."
    claim = gain_claim(
        f"An ensemble with generated views ({row.defence}) withstands more attacks that know of it "
        f"than the classifier does, at {row.budget:g}.",
        row.against,
    )
    return Result(
        title="Do generated views withstand somebody who knows of them?",
        verdict=verdict,
        blocks=(_table(rows, masking), _bars(rows), _signs(masking)),
        claims=(claim,) if report.believable else (),
        record=record,
        tone=tone_of(Gap.of(row.against)) if report.believable else None,
    )


def _table(rows: Sequence[Row], masking: Mapping[str, tuple[str, MaskingReport]]) -> Table:
    plain = rows[0].defence
    ways = list(dict.fromkeys(way for row in rows for way in row.reports))
    ways = [*(way for way in ways if way != WORST), WORST]
    known = iter(weigh([Gap.of(row.against) for row in rows if row.defence != plain]))
    cells = list[tuple[Cell, ...]]()
    for row in rows:
        found = [accuracy_of(row.reports[way]) if way in row.reports else None for way in ways]
        if row.defence != plain:
            worst = row.reports[WORST]
            star = next(known).differs and masking[row.defence][1].believable
            found[-1] = Estimate(worst.accuracy, worst.interval, star)
        cells.append((row.defence, row.budget, row.alpha, *found))
    shown_first = {CLEAN, NAIVE, WORST}
    return Table(
        title="Accuracy under attacks that know of the defence, and that do not",
        columns=(
            Column(name="defence", priority=0),
            Column(name="budget", kind="number", digits=3, priority=0),
            Column(name="weight of views", kind="number", digits=2, priority=4),
            *(
                Column(name=way, kind="percent", digits=1, priority=0 if way in shown_first else 2)
                for way in ways
            ),
        ),
        rows=tuple(cells),
        caption="Not knowing: the attack is on the classifier alone. Cross-entropy and margin: on "
        "the whole defence, views drawn anew for each step. Known draws: on the very views that "
        "the defence will draw. Pixels: what was rendered is taken for the image on the way back. "
        "Encoder: the gradient of the start alone, at the latents reached; instant mode: of the "
        "defence without steps. "
        "Worst: images that withstand all of them. A star: other than the classifier's worst, "
        "corrected together (Holm), where no sign of a masked gradient was seen.",
    )


def _bars(rows: Sequence[Row]) -> Bars:
    return Bars(
        title="What an attack that knows of the defence takes",
        names=tuple(f"{row.defence}, {row.budget:g}" for row in rows),
        columns=tuple(
            BarColumn(
                label=label,
                values=tuple(accuracy_of(row.reports[way]) for row in rows),
                kind="percent",
            )
            for label, way in (("not knowing of it", NAIVE), ("worst of all", WORST))
        ),
    )


def _signs(masking: Mapping[str, tuple[str, MaskingReport]]) -> Table:
    """What was looked at to tell a masked gradient from robustness."""
    numbers = ("attack", "without limit", "one step", "random search", "other model")
    rows = list[tuple[Cell, ...]]()
    for name, (way, one) in masking.items():
        attack = one.accuracy[one.budgets.index(one.at)]
        seen = (attack, one.accuracy[-1], one.one_step, one.random, one.transfer)
        pairs = zip(one.budgets, one.margin, strict=True)
        margins = ", ".join(f"{budget:g}: {margin:.2f}" for budget, margin in pairs)
        rows.append((name, way, *seen, margins, "none" if one.believable else " ".join(one.signs)))
    return Table(
        title="Signs of masked gradients",
        columns=(
            Column(name="defence", priority=0),
            Column(name="strongest", priority=2),
            *(Column(name=name, kind="percent", digits=1, priority=1) for name in numbers),
            Column(name="margin by budget", priority=3),
            Column(name="signs", priority=0),
        ),
        rows=tuple(rows),
        caption="Accuracy after the attack that found most on all images, with a budget that "
        "leaves nothing of an image, after one step, after random search of equal cost, and on "
        "images made for the classifier alone. Margin: the best other class's logit less that of "
        f"the label, on average; {next(iter(masking.values()))[1].images} images, smallest budget.",
    )
