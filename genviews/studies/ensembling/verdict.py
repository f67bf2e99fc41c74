"""Did generated views help? The answer in a sentence.

A row picked because it looks best on test proves nothing. So the row is picked by its calibration
accuracy, and its one comparison on test is then tested as it stands. The row is one with generated
views, whatever pixel views may have done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from genviews.ensemble.combine import Comparison, Row, best_on_calibration
from genviews.ensemble.significance import SIGNIFICANCE, GainReport, detectable_gain
from genviews.studies.blocks import Estimate
from genviews.studies.result import Claim, Outcome

__all__ = ["Answer", "answer", "difference", "gain_claim"]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the study says of generated views.

    Args:
        text: one sentence.
        row: the row of the table that it is about; None where no generated views were compared.
    """

    text: str
    row: Row | None


def answer(rows: Sequence[Row], comparisons: Sequence[Comparison], *, num_test: int) -> Answer:
    """Whether generated views helped, with which weight, and what could have been seen at all.

    Args:
        rows: of one task.
        comparisons: its paired tests of combined rows against their pixel views.
        num_test: number of test images.
    """
    generated = [row for row in rows if row.is_generated]
    if not generated:
        return Answer(text="No generated views were compared.", row=None)
    row = best_on_calibration(generated)
    paired = next((c for c in comparisons if c.row == row.name), None)
    against = "the single image" if paired is None else f"{paired.against!r} alone"
    return Answer(text=_say(row, paired or row, against, num_test), row=row)


def _say(row: Row, found: GainReport, against: str, num_test: int) -> str:
    if row.alpha == 0:
        return (
            "Generated views did not help: on the calibration images they earned no weight "
            f"(alpha 0), so the answer is that of {against}, {_percent(row.accuracy)} on "
            f"{num_test:,} test images, {_limits(found, num_test)}."
        )
    facts = (
        f"{row.name!r} with weight {row.alpha:.2f} has {_percent(row.accuracy)} against "
        f"{_percent(row.accuracy - found.gain)} of {against} on {num_test:,} test images, "
        f"{_points(found)}"
    )
    if found.p_value >= SIGNIFICANCE:
        return f"No help from generated views was seen: {facts}, {_limits(found, num_test)}."
    return f"Generated views {'helped' if found.gain > 0 else 'did harm'}: {facts}."


def _limits(found: GainReport, num_test: int) -> str:
    """What could have been seen on so many images, four times in five."""
    least = detectable_gain(num_test, (found.fixed + found.broke) / num_test)
    if least is None:
        return "on which no difference would show, however large"
    return f"on which a true difference of less than {100 * least:.1f} points would hardly show"


def difference(found: GainReport) -> str:
    """A paired gain in words: "no significant difference, +0.25 points (...)"."""
    word = "no significant difference"
    if found.p_value < SIGNIFICANCE:
        word = "significantly better" if found.gain > 0 else "significantly worse"
    return f"{word}, {_points(found)}"


def gain_claim(text: str, found: GainReport, *, said: str = "", source: str = "") -> Claim:
    """A claim that something is more accurate, weighed by one paired comparison."""
    outcome: Outcome = "not seen"
    if found.p_value < SIGNIFICANCE:
        outcome = "holds" if found.gain > 0 else "contradicted"
    return Claim(
        text=text,
        said=said,
        measured=Estimate(found.gain, found.gain_interval),
        outcome=outcome,
        p_value=found.p_value,
        source=source,
    )


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _points(found: GainReport) -> str:
    low, high = found.gain_interval
    p = "p < 0.001" if found.p_value < 0.001 else f"p = {found.p_value:.3f}"
    return (
        f"{100 * found.gain:+.2f} points (95 % interval {100 * low:+.2f} to {100 * high:+.2f}, "
        f"exact McNemar {p})"
    )
