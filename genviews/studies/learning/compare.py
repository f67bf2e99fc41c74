"""What rows say beside each other: means over seeds, and differences with their uncertainty.

    answers of each seed -> accuracy, paired difference to a reference row, interval, p

Two things vary: which images are in the test set, and which seed the encoder had. An interval that
knows one of them alone is too narrow, so both go into

    half width(p) = sqrt((z s_images / sqrt(N))^2 + (t s_seeds / sqrt(S))^2)

s_images is the deviation over test images of the difference in correctness, averaged over seeds;
s_seeds that of the difference in accuracy over seeds; z is the normal quantile at 1 - p/2 and t
Student's with S - 1 degrees of freedom. p = 0.05 gives the interval; the p-value of a difference is
the p whose interval ends at 0. With one seed the second term is unknown, and the result says so
(`seeds` is 1). Two seeds give a wide interval, since t is then 12.7; three or more are worth their
time.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool
from scipy import special
from torch import Tensor

from genviews.checks import fail
from genviews.studies.learning.run import RowResult, check_done

__all__ = [
    "Difference",
    "RowSummary",
    "SeedMean",
    "compare_answers",
    "compare_seeds",
    "over_seeds",
    "summarise",
]

_LEAST_P, _HALVINGS = 1e-300, 60


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A mean with its uncertainty, over test images and seeds.

    Args:
        mean: of the accuracy, or of the difference of two.
        interval: 95 %, see the module.
        p_value: two-sided, that the mean is 0; below 0.05 if and only if 0 is outside the interval.
        seeds: S.
        per_seed: the value of each seed.
    """

    mean: float
    interval: tuple[float, float]
    p_value: float
    seeds: int
    per_seed: tuple[float, ...]


def compare_answers(values: Sequence[Tensor], *, least: float = -1.0) -> Difference:
    """Return the mean of per-image values over images and seeds, with its uncertainty.

    Args:
        values: for each seed (N,) numbers of the same test images: correctness (0 or 1), or the
            difference of two rows' correctness (-1, 0 or 1).
        least: what no value is below; the interval ends there, and at 1. 0 for correctness.

    Raises:
        ValueError: no seed, or other numbers of images.

    Example:
        >>> one = torch.tensor([1.0, 1.0, 0.0, 1.0])
        >>> compare_answers([one, one]).mean
        0.75
    """
    lengths = {len(v) for v in values}
    if len(lengths) != 1 or 0 in lengths:
        fail(
            "answers of the seeds",
            expected="those to the same test images, for one seed or more",
            got=f"{[len(v) for v in values]} answers",
            remedy="compare results of one study",
        )
    table = torch.stack([v.double() for v in values])
    return over_seeds(table.mean(1).tolist(), images=_error(table.mean(0)), least=least)


def over_seeds(per_seed: Sequence[float], *, images: float, least: float = -1.0) -> Difference:
    """Return the mean of the seeds' values with the uncertainty of images and seeds.

    Args:
        per_seed: the value of each seed.
        images: standard error of their mean over test images.
        least: see `compare_answers`.

    Example:
        >>> round(over_seeds([0.5], images=0.1).interval[1], 4)
        0.696
    """
    values, seeds = torch.tensor(per_seed, dtype=torch.float64), len(per_seed)
    mean = float(values.mean())
    errors = _Errors(images=images, seeds=_error(values), degrees_of_freedom=seeds - 1)
    half = errors.half_width(0.05)
    return Difference(
        mean=mean,
        interval=(max(mean - half, least), min(mean + half, 1.0)),
        p_value=errors.p_value(mean),
        seeds=seeds,
        per_seed=tuple(values.tolist()),
    )


@dataclass(frozen=True, kw_only=True)
class SeedMean:
    """A mean whose uncertainty is known over seeds alone.

    Args:
        mean: of what each seed came to, or of the difference of two rows with the same seeds.
        interval: 95 %, Student's; None with one seed.
        p_value: two-sided, that the mean is 0; None with one seed.
        per_seed: the value of each seed.
    """

    mean: float
    interval: tuple[float, float] | None
    p_value: float | None
    per_seed: tuple[float, ...]


def compare_seeds(per_seed: Sequence[float], *, least: float = -1.0) -> SeedMean:
    """Return the mean of the seeds' values with its uncertainty over seeds.

    Args:
        per_seed: the value of each seed.
        least: see `compare_answers`.

    Example:
        >>> compare_seeds([0.5]).interval is None
        True
    """
    found = over_seeds(per_seed, images=0.0, least=least)
    known = found.seeds > 1
    return SeedMean(
        mean=found.mean,
        interval=found.interval if known else None,
        p_value=found.p_value if known else None,
        per_seed=found.per_seed,
    )


def _error(values: Tensor) -> float:
    """Standard error of a mean; 0 where a single value cannot say."""
    return float(values.std(correction=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0


@dataclass(frozen=True, kw_only=True)
class _Errors:
    """Standard errors of a mean over images and seeds."""

    images: float
    seeds: float
    degrees_of_freedom: int  # of `seeds`

    def half_width(self, p: float) -> float:
        """Of the interval that misses the truth with probability p."""
        # The functions behind `scipy.stats`, whose checks of every call cost fifty times as much.
        by_image = -self.images * float(special.ndtri(p / 2))
        if not self.degrees_of_freedom:
            return by_image
        return math.hypot(by_image, self.seeds * special.stdtrit(self.degrees_of_freedom, p / 2))

    def p_value(self, mean: float) -> float:
        """The p whose interval around `mean` ends at 0."""
        if mean == 0.0:
            return 1.0
        low, high = _LEAST_P, 1.0
        if self.half_width(low) <= abs(mean):
            return 0.0
        for _ in range(_HALVINGS):  # of the logarithm: small values are to be right as well
            middle = math.sqrt(low) * math.sqrt(high)
            low, high = (low, middle) if self.half_width(middle) < abs(mean) else (middle, high)
        return high


@dataclass(frozen=True, kw_only=True)
class RowSummary:
    """A row over its seeds.

    Args:
        name: of the row.
        accuracy: by probe; under "voc" the mean average precision on VOC07, where it was judged.
        against: by probe, the difference to the reference row, with the same seeds and images; None
            for the reference itself.
        val: mean accuracy on val, by probe: what may be chosen by. None is of VOC.
        samples_per_second: median over seeds; None for an untrained row.
        waiting_for_views: share of the training's time, median over seeds.
        detection: "ap", "ap50" and "ap75" of detectors on VOC; empty where none was fine-tuned.
        detection_against: as `against`.
    """

    name: str
    accuracy: dict[str, Difference]
    against: dict[str, Difference] | None
    val: dict[str, float]
    samples_per_second: float | None
    waiting_for_views: float | None
    detection: dict[str, SeedMean] = field(default_factory=dict)
    detection_against: dict[str, SeedMean] | None = None


def summarise(results: Sequence[RowResult], truth: Tensor, *, reference: str) -> list[RowSummary]:
    """Summarise the rows of a study, in their order.

    Args:
        results: of every row and seed.
        truth: (N,) classes of the test images.
        reference: name of the row that others are compared with.

    Raises:
        ValueError: no such row, a result that failed, or rows with other seeds than the
            reference's.
    """
    check_done(results)
    rows: dict[str, dict[int, RowResult]] = {}
    for result in results:
        rows.setdefault(result.row.name, {})[result.seed] = result
    if reference not in rows:
        fail(
            "reference row", expected=f"one of {', '.join(rows)}", got=reference, remedy="name one"
        )
    base = rows[reference]
    for name, own in rows.items():
        if own.keys() != base.keys():
            fail(
                f"seeds of row {name!r}",
                expected=f"{sorted(base)}, those of {reference!r}",
                got=sorted(own),
                remedy="run the same seeds for every row",
            )
    return [
        _summary(name, own, None if name == reference else base, truth)
        for name, own in rows.items()
    ]


def _summary(
    name: str, own: dict[int, RowResult], base: dict[int, RowResult] | None, truth: Tensor
) -> RowSummary:
    probes = list(next(iter(own.values())).answers)
    correct = {p: {s: _correct(own[s], p, truth) for s in own} for p in probes}
    against = None
    if base is not None:
        against = {
            p: compare_answers(
                [correct[p][s].double() - _correct(base[s], p, truth).double() for s in own]
            )
            for p in probes
        }
    trained = [result.record["training"] for result in own.values()]
    return RowSummary(
        name=name,
        accuracy={p: compare_answers(list(correct[p].values()), least=0.0) for p in probes},
        against=against,
        val={p: sum(r.record[p]["val"] for r in own.values()) / len(own) for p in probes},
        samples_per_second=_median([t.get("samples_per_second") for t in trained]),
        waiting_for_views=_median([t.get("waiting_for_views") for t in trained]),
    )


def _correct(result: RowResult, probe: str, truth: Tensor) -> Bool[Tensor, " N"]:
    return result.answers[probe] == truth


def _median(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(statistics.median(known)) if known else None
