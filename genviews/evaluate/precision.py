"""Average precision of one class: how well scores put its images before the others.

Images of equal score share one point of the curve, so that their order never matters.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from genviews.checks import check_count, check_finite, lookup
from genviews.signature import checked

__all__ = [
    "AveragePrecision",
    "average_precision",
    "curve_precision",
    "precision_recall",
    "resampled_precision",
]

AveragePrecision = Literal["area", "11point", "step"]


@checked
def precision_recall(
    scores: Float[Tensor, " N"], positive: Bool[Tensor, " N"]
) -> tuple[Float[Tensor, " T"], Float[Tensor, " T"]]:
    """Return precision and recall, float64, at each distinct score from the highest down.

    Args:
        scores: higher is more likely positive.
        positive: which are.

    Raises:
        ValueError: no positive, other numbers of scores, or scores that are not finite.

    Example:
        >>> precision_recall(torch.tensor([3.0, 2.0, 1.0]), torch.tensor([True, False, True]))[0]
        tensor([1.0000, 0.5000, 0.6667], dtype=torch.float64)
    """
    remedy = "look at these images and at the weights that gave the scores"
    check_finite(scores[:, None], "scores of average precision", range(len(scores)), remedy)
    remedy = "leave out a class that the split does not hold"
    check_count(int(positive.sum()), "positive images of average precision", remedy=remedy)
    order = scores.argsort(descending=True)
    ranked, hits = scores[order], positive[order].double().cumsum(0)
    last = torch.ones_like(positive)
    last[:-1] = ranked[1:] != ranked[:-1]
    count = torch.arange(1, len(scores) + 1, dtype=torch.float64, device=scores.device)
    return (hits / count)[last], (hits / hits[-1])[last]


@checked
def average_precision(
    scores: Float[Tensor, " N"], positive: Bool[Tensor, " N"], method: AveragePrecision = "area"
) -> float:
    """Return the average precision, in [0, 1].

    With p(r) the precision at recall r, and P(r) = max over r' >= r of p(r'):

    - "area": the area under P, of VOC from 2010 on and of the papers' script;
    - "11point": the mean of P at recalls 0, 0.1, ..., 1, of VOC 2007;
    - "step": sum of (r_i - r_{i-1}) p_i without interpolation, scikit-learn's.

    Args:
        scores: higher is more likely positive.
        positive: which are; leave out images that are to be ignored.
        method: see above.

    Raises:
        ValueError: as `precision_recall`, or an unknown method.

    Source: Everingham et al. 2010, "The PASCAL visual object classes challenge", Sec. 4.2 (11
        points); VOC2012 development kit (area).
    Differs: images with equal scores are taken at once; the kit takes them in the order given.

    Example:
        >>> scores, positive = torch.tensor([3.0, 2.0, 1.0]), torch.tensor([True, False, True])
        >>> [round(average_precision(scores, positive, m), 4) for m in ("area", "11point", "step")]
        [0.8333, 0.8485, 0.8333]
    """
    lookup(method, {"area": 1, "11point": 1, "step": 1}, "average precision")
    return curve_precision(*precision_recall(scores, positive), method)


@checked
def curve_precision(
    precision: Float[Tensor, " T"], recall: Float[Tensor, " T"], method: AveragePrecision
) -> float:
    """Return the average precision of a curve by a rule of `average_precision`.

    Args:
        precision: at each point, as `precision_recall` gives it.
        recall: likewise, rising; a curve may end below 1, as that of a detector does.
        method: see `average_precision`.

    Example:
        >>> half = torch.tensor([0.5], dtype=torch.float64)
        >>> [round(curve_precision(half, half, m), 4) for m in ("area", "11point", "step")]
        [0.25, 0.2727, 0.25]
    """
    if method != "step":
        precision = precision.flip(0).cummax(0).values.flip(0)
    if method == "11point":
        # A tenth of a whole number of positives, compared without the round-off of the division.
        points = torch.arange(11, dtype=torch.float64, device=recall.device) / 10
        reached = recall[None] >= points[:, None] - 1e-12
        best = torch.where(reached, precision[None], 0.0).amax(1)
        return float(best.mean())
    steps = torch.diff(recall, prepend=recall.new_zeros(1))
    return float((steps * precision).sum())


@checked
def resampled_precision(
    scores: Float[Tensor, " N"], positive: Bool[Tensor, " N"], counts: Int[Tensor, "N B"]
) -> Float[Tensor, " B"]:
    """Return the area (see `average_precision`) of B resamples of the images, float64.

    Args:
        scores: higher is more likely positive.
        positive: which are.
        counts: how often each image is in each resample, a resample a column.

    Returns:
        (B,); nan for a resample without a positive.

    Raises:
        ValueError: as `precision_recall`.

    Example:
        >>> scores, positive = torch.tensor([3.0, 2.0, 1.0]), torch.tensor([True, False, True])
        >>> resampled_precision(scores, positive, torch.tensor([[1, 0], [1, 2], [1, 1]]))
        tensor([0.8333, 0.3333], dtype=torch.float64)
    """
    precision_recall(scores, positive)  # what it refuses
    order = scores.argsort(descending=True)
    ranked, true = scores[order], positive[order]
    # The curve's corners are where images of equal score end that hold a positive: elsewhere
    # recall stands still and precision only falls.
    ends = torch.searchsorted(-ranked, (-ranked[true]).unique(), right=True) - 1
    # Whole numbers, exact in float32 up to 2^24 images, at half the cost of float64.
    drawn = counts[order].float().cumsum(0)[ends].double()
    found = counts[order[true]].double().cumsum(0)[true.cumsum(0)[ends] - 1]
    best = (found / drawn.clamp(min=1.0)).flip(0).cummax(0).values.flip(0)
    recall = found / found[-1]
    return (torch.diff(recall, prepend=recall.new_zeros(1, recall.shape[1]), dim=0) * best).sum(0)
