"""One rule for every comparison of a study: what may be said of a difference.

A difference is *above* or *below* where its p-value, corrected for the tests of its family, is less
than 0.05. It is *level* where its 95 % interval lies within a stated margin of zero (two one-sided
tests, each at 2.5 %). Else nothing was seen: the interval allows both.

Source: Schuirmann 1987, "A comparison of the two one-sided tests procedure and the power approach".
"""

from __future__ import annotations

from typing import Literal

from genviews.ensemble.significance import SIGNIFICANCE, GainReport
from genviews.studies.blocks import Estimate
from genviews.studies.result import Outcome

__all__ = ["MARGIN", "SIGNIFICANCE", "Standing", "accuracy_of", "gain_of", "outcome_of", "standing"]

MARGIN = 0.01
"""Two accuracies within a point of each other are as good as equal (chosen by us)."""

Standing = Literal["above", "below", "level", "not told apart"]


def accuracy_of(found: GainReport) -> Estimate:
    """An accuracy with its interval."""
    return Estimate(found.accuracy, found.interval)


def gain_of(found: GainReport) -> Estimate:
    """A paired gain with its interval, and a star where chance does not explain it."""
    return Estimate(found.gain, found.gain_interval, found.p_value < SIGNIFICANCE)


def standing(difference: Estimate, p_value: float, *, margin: float = MARGIN) -> Standing:
    """What a difference says.

    Args:
        difference: with its 95 % interval.
        p_value: two-sided, corrected for its family.
        margin: within which two are level.

    Example:
        >>> standing(Estimate(0.02, (0.01, 0.03)), 0.001)
        'above'
        >>> standing(Estimate(0.001, (-0.004, 0.006)), 0.6)
        'level'
        >>> standing(Estimate(0.02, (-0.02, 0.06)), 0.3)
        'not told apart'
    """
    if p_value < SIGNIFICANCE:
        return "above" if difference.value > 0 else "below"
    if difference.interval is not None and max(map(abs, difference.interval)) <= margin:
        return "level"
    return "not told apart"


def outcome_of(
    expected: Literal["above", "level"], difference: Estimate, p_value: float
) -> Outcome:
    """What a difference says of a claim that it is above zero, or level.

    Args:
        expected: what is claimed.
        difference: ours, with its 95 % interval.
        p_value: two-sided, corrected for the claims weighed together.

    Example:
        >>> outcome_of("level", Estimate(0.02, (0.01, 0.03)), 0.001)
        'contradicted'
    """
    found = standing(difference, p_value)
    if found == "not told apart":
        return "not seen"
    if expected == "level":
        small = difference.interval is not None and max(map(abs, difference.interval)) <= MARGIN
        return "holds" if small else "contradicted"
    # The values are those of the return type, which mypy reads as plain text.
    return {"above": "holds", "below": "contradicted", "level": "not seen"}[found]  # type: ignore[return-value]
