"""What rows say beside each other: means over seeds, and differences with their uncertainty.

    numbers of each seed -> mean, paired difference to a reference row, interval, p

Two things vary: which images are in the test set, and which seed the encoder had. An interval that
knows one of them alone is too narrow, so both go into

    half width(p) = sqrt((z e_images)^2 + (t s_seeds / sqrt(S))^2) + 1 / 2N

e_images is the standard error over test images of what is compared, averaged over seeds; s_seeds
its deviation over seeds; z is the normal quantile at 1 - p/2 and t Student's with S - 1 degrees of
freedom. p = 0.05 gives the interval; the p-value of a difference is the p whose interval ends at 0.
With one seed the second term is unknown, and the result says so (`seeds` is 1). Two seeds give a
wide interval, since t is then 12.7; three or more are worth their time.

An accuracy is a mean over N images. That ten of ten are right, or that no image of a hundred
changed, does not mean that none ever will: centre and error are taken with a few images more, of
both extremes, one each for a difference (Bonett and Price's interval, as for ensembles) and two
each for an accuracy (Agresti and Coull's). And seeds whose accuracies coincide differ by less than
an image: s_seeds is at least that of rounding, 1 / (N sqrt 12).

An average precision is no mean of images: its error is the deviation over test photos drawn anew
with replacement, the same draws for every row. Of a number whose images are not known, seeds alone
say how sure it is; where these coincide, nothing does.

Source: Agresti and Coull 1998, "Approximate is better than exact for interval estimation of
binomial proportions"; Bonett and Price 2012.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from scipy import special
from torch import Tensor

from genviews.checks import fail, lookup
from genviews.studies.blocks import Estimate
from genviews.studies.learning.judge import Measured, RowResult
from genviews.studies.learning.run import check_done
from genviews.studies.statistics import MARGIN, SIGNIFICANCE, Gap

__all__ = [
    "Difference",
    "RowSummary",
    "by_row",
    "compare",
    "summarise",
]

_LEAST_P, _HALVINGS = 1e-300, 60


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A mean with its uncertainty, over test images and seeds.

    Args:
        mean: of the accuracy, or of the difference of two.
        interval: 95 %, see the module; None where neither images nor seeds can say.
        p_value: two-sided, that the mean is 0; below 0.05 if and only if 0 is outside the interval.
        seeds: S.
        per_seed: the value of each seed.
        p_level: two-sided, that the mean is a point or more from 0; below 0.05 if and only if the
            interval lies within a point of 0.
    """

    mean: float
    interval: tuple[float, float] | None
    p_value: float | None
    seeds: int
    per_seed: tuple[float, ...]
    p_level: float | None = None

    @property
    def gap(self) -> Gap:
        """As a difference to be weighed with others."""
        return Gap(
            value=self.mean, interval=self.interval, p_value=self.p_value, p_level=self.p_level
        )

    @property
    def estimate(self) -> Estimate:
        """The mean with its interval."""
        return Estimate(self.mean, self.interval)


def compare(seeds: Sequence[Measured], *, least: float = -1.0) -> Difference:
    """Return the mean of the seeds' numbers with the uncertainty of images and seeds.

    Args:
        seeds: one or more, of the same test images.
        least: what no number is below; the interval ends there, and at 1. 0 for an accuracy.

    Raises:
        ValueError: no seed, or other numbers of images.

    Example:
        >>> one = Measured.of(torch.tensor([1.0, 1.0, 0.0, 1.0]))
        >>> compare([one, one]).mean
        0.75
        >>> compare([Measured(value=0.5)]).interval is None
        True
    """
    parts = [one.parts for one in seeds if one.parts is not None]
    lengths = {len(one) for one in parts}
    if not seeds or len(lengths) > 1 or 0 in lengths:
        fail(
            "answers of the seeds",
            expected="those to the same test images, for one seed or more",
            got=f"{[len(one) for one in parts]} answers",
            remedy="compare results of one study",
        )
    values = torch.tensor([one.value for one in seeds], dtype=torch.float64)
    mean, by_seed = float(values.mean()), _error(values, len(values))
    centre, by_image, step = mean, 0.0, 0.0
    if parts and seeds[0].images > 1:
        more = torch.tensor([1.0, least] * (1 if least < 0 else 2), dtype=torch.float64)
        every = torch.cat([torch.stack(parts).mean(0), more])
        centre = float(every.mean())
        by_image = float(every.std(correction=0)) / math.sqrt(len(every))
        step = 0.5 / seeds[0].images
        if len(seeds) > 1:
            by_seed = max(by_seed, step / math.sqrt(3 * len(seeds)))
    elif parts:  # a draw without a positive of any class, which tiny data alone has, says nothing
        means = torch.stack(parts).mean(0)
        by_image = _error(means[means.isfinite()], seeds[0].images)

    def half_width(p: float) -> float:
        """Of the interval that misses the truth with probability p."""
        # The functions behind `scipy.stats`, whose checks of every call cost fifty times as much.
        images = -by_image * float(special.ndtri(p / 2))
        luck = by_seed * special.stdtrit(len(seeds) - 1, p / 2) if by_seed else 0.0
        return math.hypot(images, luck) + step

    half, known = half_width(SIGNIFICANCE), by_image + by_seed > 0
    return Difference(
        mean=mean,
        interval=(max(centre - half, least), min(centre + half, 1.0)) if known else None,
        p_value=_p_value(abs(centre), half_width) if known else None,
        p_level=_p_value(MARGIN - abs(centre), half_width) if known else None,
        seeds=len(seeds),
        per_seed=tuple(values.tolist()),
    )


def _error(values: Tensor, count: int) -> float:
    """Standard error of a mean of so many; 0 where a single value cannot say."""
    return float(values.std(correction=1)) / math.sqrt(count) if len(values) > 1 else 0.0


def _p_value(distance: float, half_width: Callable[[float], float]) -> float:
    """The p whose interval ends so far from its middle, at least 1e-300; 1 where none is so narrow.

    Of a sum of errors no p-value is 0: something is always left to chance.
    """
    low, high = _LEAST_P, 1.0
    if distance <= half_width(high):
        return 1.0
    for _ in range(_HALVINGS):  # of the logarithm: small values are to be right as well
        middle = math.sqrt(low) * math.sqrt(high)
        low, high = (low, middle) if half_width(middle) < distance else (middle, high)
    return high


@dataclass(frozen=True, kw_only=True)
class RowSummary:
    """A row over its seeds.

    Args:
        name: of the row.
        accuracy: by the name of what was measured (see `genviews.studies.learning.judge`).
        against: the same, of the difference to the reference row, with the same seeds and images;
            None for the reference itself.
        val: mean accuracy on val, by probe: what may be chosen by.
        samples_per_second: median over seeds; None for an untrained row.
        waiting_for_views: share of the training's time, median over seeds.
    """

    name: str
    accuracy: dict[str, Difference]
    against: dict[str, Difference] | None
    val: dict[str, float]
    samples_per_second: float | None
    waiting_for_views: float | None


def summarise(results: Sequence[RowResult], *, reference: str) -> list[RowSummary]:
    """Summarise the rows of a study, in their order.

    Args:
        results: of every row and seed, judged.
        reference: name of the row that others are compared with.

    Raises:
        ValueError: no such row, a result that failed, or rows with other seeds than the
            reference's.
    """
    check_done(results)
    rows = by_row(results)
    base = lookup(reference, rows, "reference row")
    for name, own in rows.items():
        if own.keys() != base.keys():
            fail(
                f"seeds of row {name!r}",
                expected=f"{sorted(base)}, those of {reference!r}",
                got=sorted(own),
                remedy="run the same seeds for every row",
            )
    return [_summary(name, own, None if own is base else base) for name, own in rows.items()]


def by_row(results: Sequence[RowResult]) -> dict[str, dict[int, RowResult]]:
    """The results by the name of their row, then by seed."""
    rows: dict[str, dict[int, RowResult]] = {}
    for result in results:
        rows.setdefault(result.row.name, {})[result.seed] = result
    return rows


def _summary(
    name: str, own: Mapping[int, RowResult], base: Mapping[int, RowResult] | None
) -> RowSummary:
    results = list(own.values())
    first = results[0]
    trained = [result.record["training"] for result in results]
    against = None
    if base is not None:
        against = {
            what: compare(
                [one.measured[what] - base[seed].measured[what] for seed, one in own.items()]
            )
            for what in first.measured
        }
    return RowSummary(
        name=name,
        accuracy={
            what: compare([one.measured[what] for one in results], least=0.0)
            for what in first.measured
        },
        against=against,
        val={
            what: sum(one.record[what]["val"] for one in results) / len(results)
            for what in first.measured
            if "val" in first.record.get(what, {})
        },
        samples_per_second=_median([one.get("samples_per_second") for one in trained]),
        waiting_for_views=_median([one.get("waiting_for_views") for one in trained]),
    )


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(statistics.median(known)) if known else None
