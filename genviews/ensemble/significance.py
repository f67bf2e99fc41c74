"""Is it better, or is it luck: intervals and paired tests for accuracies on the same test images.

Two methods are judged on the same images, so their difference is paired: only the images that one
gets right and the other wrong say anything. `fixed` counts those the new method gets right where
the baseline failed, `broke` the reverse; the gain is (fixed - broke) / N.

Images that change are often few: 4 fixed and 0 broken of 400. Intervals here hold their coverage
there too, never shrink to nothing, and never deny what the exact test beside them says: an interval
leaves 0 out if and only if p is below 0.05.

All of it takes images for independent draws. Several pictures of one thing (frames of a film,
photos of one person) say less than they count: keep one of each, or all in one split.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool
from scipy import special, stats
from torch import Tensor

from genviews.checks import check_count, check_fraction, fail
from genviews.signature import checked

__all__ = [
    "MARGIN",
    "SIGNIFICANCE",
    "GainReport",
    "accuracy_interval",
    "counted_report",
    "detectable_gain",
    "gain_interval",
    "gain_report",
    "holm",
    "level_p_value",
    "mcnemar_exact",
]


SIGNIFICANCE = 0.05  # a p-value below it counts as a difference

MARGIN = 0.01
"""Two accuracies within a point of each other are as good as equal (chosen by us)."""


@dataclass(frozen=True, kw_only=True)
class GainReport:
    """How one method compares with a baseline on the same test images; accuracies in [0, 1].

    Args:
        accuracy: of the method.
        interval: its 95 % Wilson interval.
        gain: accuracy minus the baseline's.
        gain_interval: its 95 % interval, see `gain_interval`.
        fixed: images the method gets right and the baseline wrong.
        broke: images the method gets wrong and the baseline right.
        p_value: exact McNemar test, two-sided.
        p_level: that the two are level, see `level_p_value`; 1 where that was not tested.
    """

    accuracy: float
    interval: tuple[float, float]
    gain: float
    gain_interval: tuple[float, float]
    fixed: int
    broke: int
    p_value: float
    p_level: float = 1.0


def accuracy_interval(hits: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of an accuracy of `hits` out of `total`.

    (p + z^2/2n +- z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n), z the normal quantile.

    Args:
        hits: number of right answers, 0 to `total`.
        total: n, number of images.
        confidence: coverage; 0.95 is what the tables show.

    Returns:
        (low, high), both within [0, 1].

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".

    Example:
        >>> [round(edge, 3) for edge in accuracy_interval(9, 10)]
        [0.596, 0.982]
    """
    check_count(total, "number of images")
    if not 0 <= hits <= total:
        fail("right answers", expected=f"0 to {total}", got=hits, remedy="count each image once")
    z = float(stats.norm.ppf(0.5 + check_fraction(confidence, "confidence") / 2))
    share = hits / total
    centre = share + z * z / (2 * total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    # Round-off aside, the interval touches 0 or 1 exactly when no image or every image is right.
    low = 0.0 if hits == 0 else (centre - half) / scale
    high = 1.0 if hits == total else (centre + half) / scale
    return low, high


def gain_interval(
    fixed: int, broke: int, total: int, confidence: float = 0.95
) -> tuple[float, float]:
    """Interval of a paired gain in accuracy, for other test images of the same kind.

    With one image more that is fixed and one more that is broken, among N = n + 2,

        p = (fixed + 1) / N,   q = (broke + 1) / N
        p - q +- (z sqrt((p + q - (p - q)^2) / N) + 1 / 2n)

    and at 0 the exact McNemar test decides: the interval reaches to 0 if and only if the test does
    not tell the two apart.

    Args:
        fixed: images that only the method gets right.
        broke: images that only the baseline gets right.
        total: n, number of images.
        confidence: coverage. 95 % cover 95.0 to 100 % for 20 to 400 images and any shares of fixed
            and broken ones up to 40 % (by enumeration, see the tests).

    Returns:
        (low, high), within [-1, 1]; never a point, even where no image changes.

    Raises:
        ValueError: more images changed than there are.

    Source: Bonett and Price 2012, "Adjusted Wald confidence interval for a difference of binomial
        proportions based on paired data".

    Differs: the half image 1 / 2n, without which 95 % cover 92.8 % for 20 images of which 20 % are
        fixed and none broken; and the reach to 0, without which the interval would now and then
        deny the exact test (11 fixed and 3 broken of 400, p = 0.057).

    Example:
        >>> [round(100 * edge, 2) for edge in gain_interval(4, 0, 400)]
        [-0.32, 2.31]
    """
    p_value, (centre, error, step) = mcnemar_exact(fixed, broke), _adjusted(fixed, broke, total)
    half = error * float(special.ndtri(0.5 + check_fraction(confidence, "confidence") / 2))
    low, high = centre - half - step, centre + half + step
    if p_value >= 1 - confidence:
        low, high = min(low, 0.0), max(high, 0.0)
    elif low <= 0 <= high:  # half an image is not worth a contradiction
        low, high = (low + step, high) if centre > 0 else (low, high - step)
    return max(low, -1.0), min(high, 1.0)


def level_p_value(fixed: int, broke: int, total: int, margin: float = MARGIN) -> float:
    """Two-sided p-value that a paired gain lies within a margin: that two methods are level.

    Two one-sided tests, that the gain is above -margin and that it is below margin; twice the
    larger of their p-values, so that it is below 0.05 where the 95 % interval lies within the
    margin.

    Args:
        fixed: images that only the method gets right.
        broke: images that only the baseline gets right.
        total: number of images.
        margin: the gain that would still not matter.

    Source: Schuirmann 1987, "A comparison of the two one-sided tests procedure and the power
        approach".

    Example:
        >>> level_p_value(10, 9, 5000) < 0.05, level_p_value(0, 0, 50) < 0.05
        (True, False)
    """
    centre, error, step = _adjusted(fixed, broke, total)
    return min(1.0, 2 * float(special.ndtr((abs(centre) + step - margin) / error)))


def _adjusted(fixed: int, broke: int, total: int) -> tuple[float, float, float]:
    """Centre and standard error of a gain, with one image more of each kind; half an image."""
    check_count(total, "number of images")
    if fixed + broke > total:
        remedy = "count each image once"
        fail("images that changed", expected=f"0 to {total}", got=fixed + broke, remedy=remedy)
    number = total + 2
    better, worse = (fixed + 1) / number, (broke + 1) / number
    gain = better - worse
    return gain, math.sqrt((better + worse - gain * gain) / number), 0.5 / total


def mcnemar_exact(fixed: int, broke: int) -> float:
    """Two-sided p-value that fixed and broke images are equally likely, given how many there are.

    Args:
        fixed: images that only the method gets right.
        broke: images that only the baseline gets right.

    Returns:
        The exact binomial p-value; 1 when the two never differ.

    Source: McNemar 1947; exact form, binomial with probability 1/2.

    Example:
        >>> mcnemar_exact(5, 0)
        0.0625
    """
    for count, what in ((fixed, "fixed"), (broke, "broke")):
        check_count(count, what, least=0)
    if fixed == broke:
        return 1.0
    return min(1.0, 2 * float(special.bdtr(min(fixed, broke), fixed + broke, 0.5)))


def detectable_gain(
    total: int, changed: float = 0.0, *, power: float = 0.8, level: float = 0.05
) -> float | None:
    """The smallest true gain that a paired test on so many images would probably have shown.

    Of n images a share d gets another verdict from the method, (d + gain) / 2 of them for the
    better. The number of such images is binomial, and so is the number of the better ones among
    them; the power is the chance that their exact McNemar test is below `level`.

    Args:
        total: n, number of test images.
        changed: d, share of images that one method gets right and the other wrong, as observed. A
            gain cannot be larger than it, so it is raised to the gain that is asked about.
        power: chance of seeing the gain; 0.8 is the custom of the field.
        level: below which a p-value counts as a difference.

    Returns:
        The gain as a share in steps of 1/n, or None where no gain would show on so few images.

    Source: Lachenbruch 1992, "On the sample size for studies based upon McNemar's test"; here exact
        rather than by the normal distribution.

    Example:
        >>> detectable_gain(400, 0.02)
        0.02
        >>> detectable_gain(5) is None
        True
    """
    check_count(total, "number of images")
    changed, power = check_fraction(changed, "changed"), check_fraction(power, "power")
    steps = range(1, total + 1)  # power grows with the gain
    place = bisect_left(
        steps, power, key=lambda step: _mcnemar_power(total, changed, step / total, level)
    )
    return None if place == total else steps[place] / total


def _mcnemar_power(total: int, changed: float, gain: float, level: float) -> float:
    """Chance that an exact McNemar test of a true gain on so many images is below `level`."""
    share = max(changed, gain)
    edges = stats.binom.ppf([1e-9, 1 - 1e-9], total, share).astype(int)
    counts = np.arange(max(1, edges[0]), edges[1] + 1)  # images that change; 0 shows nothing
    # The test is below the level where the smaller side has at most so many images (-1: never).
    most = stats.binom.ppf(level / 2, counts, 0.5) - 1
    better = (share + gain) / (2 * share)
    found = stats.binom.cdf(most, counts, 1 - better) + stats.binom.cdf(most, counts, better)
    return float((stats.binom.pmf(counts, total, share) * found).sum())


@checked
def gain_report(correct: Bool[Tensor, " N"], baseline: Bool[Tensor, " N"]) -> GainReport:
    """Compare a method with a baseline: accuracy, gain, both intervals, what changed, the tests.

    Args:
        correct: where the method is right.
        baseline: where the baseline is right, for the same images in the same order.
    """
    fixed, broke = (int((a & ~b).sum()) for a, b in ((correct, baseline), (baseline, correct)))
    return counted_report(int(correct.sum()), fixed, broke, len(correct))


def counted_report(hits: int, fixed: int, broke: int, total: int) -> GainReport:
    """Compare a method with a baseline, from counts: what every number of a report follows from.

    Args:
        hits: images that the method gets right.
        fixed: of these, the images that the baseline gets wrong.
        broke: images that only the baseline gets right.
        total: number of images.

    Raises:
        ValueError: counts that cannot be.
    """
    interval = accuracy_interval(hits, total)  # which refuses no image
    return GainReport(
        accuracy=hits / total,
        interval=interval,
        gain=(fixed - broke) / total,
        gain_interval=gain_interval(fixed, broke, total),
        fixed=fixed,
        broke=broke,
        p_value=mcnemar_exact(fixed, broke),
        p_level=level_p_value(fixed, broke, total),
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for how many there are: of twenty useless rows one looks good by luck.

    Sorted ascending, p_(i) becomes the largest of (m - j + 1) p_(j) over j <= i, at most 1.

    Args:
        p_values: of the tests of one table.

    Returns:
        Adjusted p-values, in the order given.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".

    Example:
        >>> [round(p, 2) for p in holm([0.04, 0.01, 0.03])]
        [0.06, 0.03, 0.06]
    """
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    for rank, index in enumerate(order):
        scaled = (len(p_values) - rank) * check_fraction(p_values[index], "p-value")
        highest = max(highest, min(1.0, scaled))
        adjusted[index] = highest
    return adjusted
