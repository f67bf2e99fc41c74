"""VOC beside the other columns: mean average precision of each row, and differences.

    decisions of each row and seed, test photos drawn anew -> spread of the AP -> interval, p

An average precision is no mean over photos, so what the choice of the photos adds is found by
drawing them anew with replacement, the same draws for every row: the deviation of the AP (or of the
difference of two rows' AP) over the draws, averaged over seeds first, takes the place of s_images /
sqrt(N) in the formula of `genviews.studies.learning.compare`. The SVMs stay as they were fitted. Of
detection no decisions are kept: its intervals are over seeds alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from genviews.evaluate.precision import resampled_precision
from genviews.evaluate.svm import counted
from genviews.rng import Rng
from genviews.studies.learning.compare import RowSummary, compare_seeds, over_seeds
from genviews.studies.learning.voc import VOCResult

__all__ = ["DETECTION", "photo_draws", "resampled_means", "with_voc"]

DETECTION = ("ap", "ap50", "ap75")
_DRAWS = 1000  # a deviation to some 2 % (chosen by us)


def photo_draws(photos: int, draws: int = _DRAWS) -> Int[Tensor, "N B"]:
    """Return how often each photo is in each of B draws of N photos with replacement."""
    rng = Rng(0, "photos of VOC").numpy()
    found = rng.multinomial(photos, [1 / photos] * photos, size=draws)
    return torch.from_numpy(found).int().T.contiguous()


def resampled_means(result: VOCResult, counts: Int[Tensor, "N B"]) -> Float[Tensor, " B"]:
    """Return the mean average precision over the classes for each draw of the photos.

    Args:
        result: with the decisions.
        counts: of `photo_draws`. A class that a draw does not hold is not in that draw's mean.

    Returns:
        (B,) in [0, 1]; nan for a draw that holds no class.
    """
    found = []
    for scores, labels in zip(result.decisions.T, result.labels.T, strict=True):
        keep, positive = counted(labels, result.record["difficult"])
        found.append(resampled_precision(scores[keep], positive[keep], counts[keep]))
    return torch.stack(found).nanmean(0)


def with_voc(
    rows: Sequence[RowSummary], judged: Sequence[VOCResult], *, reference: str
) -> list[RowSummary]:
    """Return the rows with what they came to on VOC.

    Args:
        rows: of `summarise`.
        judged: of every row and seed.
        reference: name of the row that others are compared with.
    """
    by_row: dict[str, dict[int, VOCResult]] = {}
    for one in judged:
        by_row.setdefault(one.row.name, {})[one.seed] = one
    counts = photo_draws(len(judged[0].labels))
    base, drawn_base = by_row[reference], _drawn(by_row[reference], counts)
    found = []
    for row in rows:
        own = by_row[row.name]
        if row.name == reference:
            found.append(_summary(row, own, drawn_base, None, None))
        else:
            found.append(_summary(row, own, _drawn(own, counts), base, drawn_base))
    return found


def _drawn(results: Mapping[int, VOCResult], counts: Tensor) -> dict[int, Tensor]:
    return {seed: resampled_means(result, counts) for seed, result in results.items()}


def _summary(
    row: RowSummary,
    own: Mapping[int, VOCResult],
    drawn: Mapping[int, Tensor],
    base: Mapping[int, VOCResult] | None,
    drawn_base: Mapping[int, Tensor] | None,
) -> RowSummary:
    accuracy = over_seeds(
        [one.record["mean"] for one in own.values()],
        images=_spread(list(drawn.values())),
        least=0.0,
    )
    changed = replace(
        row,
        accuracy={**row.accuracy, "voc": accuracy},
        detection={
            name: compare_seeds([_detected(one, name) for one in own.values()], least=0.0)
            for name in _measures(own)
        },
    )
    if base is None or drawn_base is None or row.against is None:
        return changed
    gap = over_seeds(
        [one.record["mean"] - base[seed].record["mean"] for seed, one in own.items()],
        images=_spread([drawn[seed] - drawn_base[seed] for seed in own]),
    )
    return replace(
        changed,
        against={**row.against, "voc": gap},
        detection_against={
            name: compare_seeds(
                [_detected(one, name) - _detected(base[seed], name) for seed, one in own.items()]
            )
            for name in _measures(own)
        },
    )


def _spread(drawn: Sequence[Tensor]) -> float:
    """Standard error over photos of the mean over seeds.

    A draw without a positive of any class, which tiny data alone has, says nothing.
    """
    means = torch.stack(list(drawn)).mean(0)
    return float(means[means.isfinite()].std(correction=1))


def _measures(results: Mapping[int, VOCResult]) -> tuple[str, ...]:
    return DETECTION if all(one.detection is not None for one in results.values()) else ()


def _detected(result: VOCResult, name: str) -> float:
    assert result.detection is not None
    return float(result.detection[name])
