"""What rows say beside each other: means over seeds, and differences with their uncertainty.

    numbers of each seed -> mean, paired difference to a reference row, interval, p

Two things vary: which images are in the test set, and which seed the encoder had. An interval that
knows one of them alone is too narrow, so both go into

    half width(p) = sqrt((z e_images)^2 + (t s_seeds / sqrt(S))^2)

e_images is the standard error over test images of what is compared, averaged over seeds; s_seeds
its deviation over seeds; z is the normal quantile at 1 - p/2 and t Student's with S - 1 degrees of
freedom. p = 0.05 gives the interval; the p-value of a difference is the p whose interval ends at 0.
With one seed the second term is unknown, and the result says so (`seeds` is 1). Two seeds give a
wide interval, since t is then 12.7; three or more are worth their time.

An accuracy is a mean over images: with their deviation s, e_images is s / sqrt(N). An average
precision is none: its error is the deviation over test photos drawn anew with replacement, the same
draws for every row. Of a number whose images are not known, seeds alone say how sure it is.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from scipy import special
from torch import Tensor

from genviews.checks import fail, lookup
from genviews.ensemble.significance import SIGNIFICANCE, holm
from genviews.studies.blocks import Estimate
from genviews.studies.learning.judge import Measured, RowResult
from genviews.studies.learning.run import check_done

__all__ = ["Difference", "RowSummary", "by_row", "compare", "corrected", "summarise"]

Known = TypeVar("Known")

_LEAST_P, _HALVINGS = 1e-300, 60


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A mean with its uncertainty, over test images and seeds.

    Args:
        mean: of the accuracy, or of the difference of two.
        interval: 95 %, see the module; None where a single seed cannot say.
        p_value: two-sided, that the mean is 0; below 0.05 if and only if 0 is outside the interval.
        seeds: S.
        per_seed: the value of each seed.
    """

    mean: float
    interval: tuple[float, float] | None
    p_value: float | None
    seeds: int
    per_seed: tuple[float, ...]

    def estimate(self, p_value: float | None = None) -> Estimate:
        """The mean with its interval, significant where a p-value is below 0.05."""
        return Estimate(self.mean, self.interval, p_value is not None and p_value < SIGNIFICANCE)


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
    by_seed, by_image = _error(values, len(values)), 0.0
    if parts:  # a draw without a positive of any class, which tiny data alone has, says nothing
        means = torch.stack(parts).mean(0)
        by_image = _error(means[means.isfinite()], seeds[0].images)

    def half_width(p: float) -> float:
        """Of the interval that misses the truth with probability p."""
        # The functions behind `scipy.stats`, whose checks of every call cost fifty times as much.
        images = -by_image * float(special.ndtri(p / 2))
        if len(seeds) == 1:
            return images
        return math.hypot(images, by_seed * special.stdtrit(len(seeds) - 1, p / 2))

    mean, half, known = float(values.mean()), half_width(0.05), bool(parts) or len(seeds) > 1
    return Difference(
        mean=mean,
        interval=(max(mean - half, least), min(mean + half, 1.0)) if known else None,
        p_value=_p_value(abs(mean), half_width) if known else None,
        seeds=len(seeds),
        per_seed=tuple(values.tolist()),
    )


def _error(values: Tensor, count: int) -> float:
    """Standard error of a mean of so many; 0 where a single value cannot say."""
    return float(values.std(correction=1)) / math.sqrt(count) if len(values) > 1 else 0.0


def _p_value(distance: float, half_width: Callable[[float], float]) -> float:
    """The p whose interval ends so far from its middle."""
    if distance == 0.0:
        return 1.0
    low, high = _LEAST_P, 1.0
    if half_width(low) <= distance:
        return 0.0
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


def corrected(found: Mapping[Known, Difference]) -> dict[Known, float]:
    """Their p-values corrected for their number (Holm); {} where these are not known."""
    p_values = [one.p_value for one in found.values() if one.p_value is not None]
    return dict(zip(found, holm(p_values), strict=True)) if len(p_values) == len(found) else {}
