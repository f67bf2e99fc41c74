"""One rule for every comparison of a study: what may be said of a difference, and in which words.

The differences of one table, figure or list of claims are a *family*, and are weighed together: the
more of them, the less each says (Holm). Of each, two things are tested: that the two differ, and
that they are *level*, within a stated margin (two one-sided tests). So a difference is

- *above* or *below* where the corrected p-value of the first test is less than 0.05,
- *level* where that of the second is,
- else no difference was seen: too little was looked at to say either.

Both can be significant, of a difference that is sure and too small to matter: it is then above or
below, and a claim that the two are level holds as well. A comparison that is fixed before test is
looked at, such as that of the row chosen on calibration, is a family of its own.

That one of several does "as well" is never said because no difference was seen: it has to be level.

Source: Holm 1979; Schuirmann 1987, "A comparison of the two one-sided tests procedure and the power
approach".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from genviews.ensemble.significance import (
    MARGIN,
    SIGNIFICANCE,
    GainReport,
    detectable_gain,
    holm,
)
from genviews.report.words import short_range
from genviews.studies.blocks import Estimate, Tone
from genviews.studies.result import Outcome

__all__ = [
    "MARGIN",
    "POWER",
    "SIGNIFICANCE",
    "Standing",
    "Gap",
    "accuracy_of",
    "could_be_seen",
    "gains_of",
    "lasting",
    "outcome_of",
    "points",
    "standing",
    "tone_of",
    "weigh",
]

POWER = 0.8
"""Chance with which a gain that is said to be visible would have been seen: the field's custom."""

Standing = Literal["above", "below", "level", "no difference seen"]


@dataclass(frozen=True, kw_only=True)
class Gap:
    """A difference with its two tests.

    Args:
        value: the difference, a share.
        interval: its 95 % interval; None where it is not known how it varies.
        p_value: two-sided, that it is 0; None where that is not known.
        p_level: two-sided, that it is beyond the margin of levelness; None likewise.
    """

    value: float
    interval: tuple[float, float] | None
    p_value: float | None
    p_level: float | None

    @classmethod
    def of(cls, found: GainReport) -> Gap:
        """A paired gain of one ensemble over another."""
        return cls(
            value=found.gain,
            interval=found.gain_interval,
            p_value=found.p_value,
            p_level=found.p_level,
        )

    @property
    def differs(self) -> bool:
        """Whether chance does not explain it."""
        return self.p_value is not None and self.p_value < SIGNIFICANCE

    @property
    def is_level(self) -> bool:
        """Whether it is surely within the margin."""
        return self.p_level is not None and self.p_level < SIGNIFICANCE

    @property
    def is_as_good(self) -> bool:
        """Whether it is surely above, or surely within the margin."""
        return self.is_level or (self.differs and self.value > 0)

    @property
    def estimate(self) -> Estimate:
        """The value with its interval, and a star where chance does not explain it."""
        return Estimate(self.value, self.interval, self.differs)


def weigh(family: Sequence[Gap]) -> list[Gap]:
    """The differences of a family with their p-values corrected for its number (Holm).

    Args:
        family: all that is looked at together; a p-value that is not known does not count.

    Example:
        >>> one = Gap(value=0.02, interval=(0.001, 0.039), p_value=0.04, p_level=0.9)
        >>> [found.p_value for found in weigh([one, one])]
        [0.08, 0.08]
    """
    differ = _corrected([one.p_value for one in family])
    level = _corrected([one.p_level for one in family])
    return [
        replace(one, p_value=p_value, p_level=p_level)
        for one, p_value, p_level in zip(family, differ, level, strict=True)
    ]


def _corrected(p_values: Sequence[float | None]) -> list[float | None]:
    known = iter(holm([p for p in p_values if p is not None]))
    return [None if p is None else next(known) for p in p_values]


def standing(found: Gap) -> Standing:
    """What a difference says, once its p-values are corrected for its family.

    Example:
        >>> standing(Gap(value=0.02, interval=(0.01, 0.03), p_value=0.001, p_level=1.0))
        'above'
        >>> standing(Gap(value=0.001, interval=(-0.004, 0.006), p_value=0.6, p_level=0.01))
        'level'
        >>> standing(Gap(value=0.02, interval=(-0.02, 0.06), p_value=0.3, p_level=0.7))
        'no difference seen'
    """
    if found.differs:
        return "above" if found.value > 0 else "below"
    return "level" if found.is_level else "no difference seen"


def tone_of(found: Gap) -> Tone:
    """The colour of a difference, once its p-values are corrected for its family."""
    said = standing(found)
    tones: dict[Standing, Tone] = {"above": "better", "below": "worse", "level": "level"}
    return tones.get(said, "")


def outcome_of(expected: Literal["above", "level"], found: Gap) -> Outcome:
    """What a difference says of a claim that it is above zero, or level.

    Args:
        expected: what is claimed.
        found: ours, its p-values corrected for the claims weighed together.

    Example:
        >>> sure = Gap(value=0.02, interval=(0.01, 0.03), p_value=0.001, p_level=1.0)
        >>> outcome_of("above", sure), outcome_of("level", sure)
        ('holds', 'contradicted')
    """
    if expected == "level":
        return "holds" if found.is_level else "contradicted" if found.differs else "not seen"
    if not found.differs:
        return "not seen"
    return "holds" if found.value > 0 else "contradicted"


def points(found: Gap, digits: int = 2) -> str:
    """A difference in percentage points with its interval.

    Args:
        found: the difference.
        digits: behind the point; the ends of the interval have more where it takes more to tell
            them apart, from 0 too.

    Example:
        >>> points(Gap(value=0.0025, interval=(-0.001, 0.006), p_value=0.5, p_level=0.01))
        '+0.25 points [-0.10, +0.60]'
    """
    return short_range(found.estimate, "points", digits)


def lasting(held: Sequence[bool]) -> int:
    """The first place from which on something holds at all; the last where it never lasts.

    Where each is a test, they are a fixed sequence, taken from the last place down to the first
    that fails, so that each counts as it stands (Westfall and Krishen 2001).

    Example:
        >>> lasting([True, False, True, True])
        2
    """
    broken = [place for place, one in enumerate(held) if not one]
    return min(broken[-1] + 1, len(held) - 1) if broken else 0


def could_be_seen(total: int, changed: int) -> str:
    """How small a gain a comparison on so many images could have shown, as a clause.

    Args:
        total: number of test images.
        changed: how many of them the two methods judge differently, as observed; more are assumed
            where the gain asked about needs them.

    Example:
        >>> print(could_be_seen(400, 8))
        400 test images show a gain of 2.0 points or more four times in five, if 2.0 % of the
        answers change
        >>> could_be_seen(5, 0)
        '5 test images cannot show any gain, however large'
    """
    least = detectable_gain(total, changed / max(total, 1), power=POWER, level=SIGNIFICANCE)
    if least is None:
        return f"{total:,} test images cannot show any gain, however large"
    share = max(changed / total, least)
    return (
        f"{total:,} test images show a gain of {100 * least:.1f} points or more four times in "
        f"five, if {100 * share:.1f} % of the answers change"
    )


def accuracy_of(found: GainReport) -> Estimate:
    """An accuracy with its interval."""
    return Estimate(found.accuracy, found.interval)


def gains_of(family: Sequence[GainReport]) -> list[Estimate]:
    """The paired gains of a family, starred where chance does not explain them all the same."""
    return [one.estimate for one in weigh([Gap.of(found) for found in family])]
