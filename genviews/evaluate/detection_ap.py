"""Average precision of detections by the rule of PASCAL VOC, over ten thresholds of overlap.

    detections, annotated boxes -> hit, miss or ignored -> precision and recall -> AP

From the highest score down, each detection looks at the box of its class and image that it overlaps
most. Above the threshold it is a hit, but a miss if that box has been hit before; a difficult box
makes it count as neither. At or below the threshold it is a miss.

Boxes are (x1, y1, x2, y2) in pixels from edge to edge, so that (0, 0, W, H) is the whole image. The
corners of VOC's files are pixels, counted from 1 and inside the box: (xmin - 1, ymin - 1, xmax,
ymax) here. Its widths xmax - xmin + 1 are then x2 - x1, and its overlaps the plain ones.

Source: Everingham et al. 2010, "The PASCAL visual object classes challenge", Sec. 4.2; thresholds
and means as in detectron2's evaluator, which Jahanian et al. 2022, arXiv:2106.05258, App. E uses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from genviews.checks import check_count, check_each, fail, lookup
from genviews.evaluate.precision import curve_precision, precision_recall
from genviews.signature import checked

__all__ = ["BoxAnnotations", "DetectionScore", "Detections", "detection_ap"]

Method = Literal["11point", "area"]
_PERCENT = range(50, 100, 5)  # thresholds of overlap


@checked
@dataclass(frozen=True, kw_only=True, eq=False)
class BoxAnnotations:
    """The annotated boxes of one image.

    Args:
        boxes: (x1, y1, x2, y2), see the module's docstring.
        labels: class of each, from 0.
        difficult: which are neither to be found nor to be missed.
    """

    boxes: Float[Tensor, "M 4"]
    labels: Int[Tensor, " M"]
    difficult: Bool[Tensor, " M"]


@checked
@dataclass(frozen=True, kw_only=True, eq=False)
class Detections:
    """What a detector found in one image.

    Args:
        boxes: (x1, y1, x2, y2), see the module's docstring.
        labels: class of each, from 0.
        scores: higher is more certain.
    """

    boxes: Float[Tensor, "N 4"]
    labels: Int[Tensor, " N"]
    scores: Float[Tensor, " N"]


@dataclass(frozen=True, kw_only=True)
class DetectionScore:
    """Average precision in [0, 1], the mean over the classes.

    Args:
        ap: mean over the overlaps 0.50, 0.55, ..., 0.95.
        ap50: at overlap 0.50.
        ap75: at overlap 0.75.
        per_class: `ap` of each class; nan, and not in the means, where there is nothing to find.
    """

    ap: float
    ap50: float
    ap75: float
    per_class: tuple[float, ...]


@checked
def detection_ap(
    found: Sequence[Detections],
    truth: Sequence[BoxAnnotations],
    num_classes: int,
    *,
    method: Method = "11point",
) -> DetectionScore:
    """Return the average precision of detections in the images of a split.

    Args:
        found: for each image.
        truth: for each image, in the same order.
        num_classes: Y.
        method: "11point" for VOC 2007, as detectron2 has it at every threshold; "area" from 2010
            on. See `average_precision`.

    Raises:
        ValueError: other numbers of images, boxes without area, labels out of range, scores or
            boxes that are not finite, or no object that is to be found.

    Source: see the module's docstring.
    Differs: detectron2 rounds scores to 3 digits and boxes to 1, and takes equal scores in any
        order; here nothing is rounded and equal scores are taken at once, so that their order does
        not matter. A recall of 0.3, 0.6 or 0.7 reaches the point of that name, which detectron2
        misses by round-off. The devkit (not detectron2) also counts an overlap equal to the
        threshold.

    Example:
        >>> box = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
        >>> label, easy = torch.tensor([0]), torch.tensor([False])
        >>> truth = BoxAnnotations(boxes=box, labels=label, difficult=easy)
        >>> found = Detections(boxes=box * 0.8, labels=label, scores=torch.tensor([0.9]))
        >>> detection_ap([found], [truth], 1)  # an overlap of 0.64
        DetectionScore(ap=0.3, ap50=1.0, ap75=0.0, per_class=(0.3,))
    """
    lookup(method, {"11point": 1, "area": 1}, "average precision of detections")
    counts = _check(found, truth, num_classes)
    best = _by_score(found, truth)
    there = counts > 0
    table = torch.full((len(_PERCENT), num_classes), torch.nan, dtype=torch.float64)
    for label in torch.nonzero(there).flatten().tolist():
        mine = best.rows(best.labels == label)
        for line, percent in enumerate(_PERCENT):
            table[line, label] = _class_ap(mine, int(counts[label]), percent / 100, method)
    means = table[:, there].mean(1)
    return DetectionScore(
        ap=float(means.mean()),
        ap50=float(means[_PERCENT.index(50)]),
        ap75=float(means[_PERCENT.index(75)]),
        per_class=tuple(table.mean(0).tolist()),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Best:
    """Detections of all images with the box that each overlaps most."""

    scores: Float[Tensor, " N"]
    labels: Int[Tensor, " N"]
    overlap: Float[Tensor, " N"]
    box: Int[Tensor, " N"]  # its number among all boxes
    difficult: Bool[Tensor, " N"]  # of that box

    def rows(self, which: Tensor) -> _Best:
        return replace(self, **{name: value[which] for name, value in vars(self).items()})


def _by_score(found: Sequence[Detections], truth: Sequence[BoxAnnotations]) -> _Best:
    """All detections, from the highest score down."""
    parts: list[_Best] = []
    first = 0
    for one, boxes in zip(found, truth, strict=True):
        parts.append(_best_of(one, boxes, first))
        first += len(boxes.labels)
    joined = _Best(**{k: torch.cat([vars(p)[k] for p in parts]) for k in vars(parts[0])})
    return joined.rows(joined.scores.argsort(descending=True, stable=True))


def _best_of(one: Detections, truth: BoxAnnotations, first: int) -> _Best:
    from torchvision.ops import box_iou

    labels = one.labels.cpu()
    overlap = box_iou(one.boxes.cpu().double(), truth.boxes.cpu().double())
    overlap[labels[:, None] != truth.labels.cpu()] = 0.0
    # A last column, so that an image without a box has a largest overlap too.
    overlap = torch.cat([overlap, overlap.new_zeros(len(labels), 1)], dim=1)
    most, box = overlap.max(1).values, overlap.argmax(1)
    difficult = torch.cat([truth.difficult.cpu(), torch.tensor([False])])
    return _Best(
        scores=one.scores.cpu().double(),
        labels=labels,
        overlap=most,
        box=first + box,
        difficult=difficult[box],
    )


def _class_ap(best: _Best, count: int, threshold: float, method: Method) -> float:
    """Average precision of one class, of which `count` boxes are to be found."""
    over = best.overlap > threshold
    kept = best.rows(~(over & best.difficult))
    over = torch.nonzero(kept.overlap > threshold).flatten()
    firsts = np.unique(kept.box[over].numpy(), return_index=True)[1]
    hit = torch.zeros(len(kept.scores), dtype=torch.bool)
    hit[over[firsts]] = True
    if not len(firsts):
        return 0.0
    reached = len(firsts) / count  # of the boxes that are to be found, how many ever are
    precision, recall = precision_recall(kept.scores, hit)
    return curve_precision(precision, reached * recall, method)


def _check(
    found: Sequence[Detections], truth: Sequence[BoxAnnotations], num_classes: int
) -> Int[Tensor, " Y"]:
    """How many boxes of each class are to be found."""
    check_count(num_classes, "num_classes")
    remedy = "pass empty ones for an image in which nothing was found"
    check_each(found, len(truth), "detections", remedy=remedy)
    counts = torch.zeros(num_classes, dtype=torch.int64)
    for row, (one, boxes) in enumerate(zip(found, truth, strict=True)):
        labels = torch.cat([one.labels.cpu(), boxes.labels.cpu()])
        if bool(((labels < 0) | (labels >= num_classes)).any()):
            fail(
                f"labels of image {row}",
                expected=f"in [0, {num_classes})",
                got=sorted(set(labels.tolist())),
                remedy="count classes from 0, without a background",
            )
        width = one.boxes[:, 2:] - one.boxes[:, :2]
        if not bool((width >= 0).all() and width.isfinite().all() and one.scores.isfinite().all()):
            fail(
                f"detections of image {row}",
                expected="finite scores and boxes, x1 <= x2 and y1 <= y2",
                got=f"scores {one.scores.tolist()[:3]}, boxes {one.boxes.tolist()[:3]}, ...",
                remedy="check the detector's weights",
            )
        if not bool((boxes.boxes[:, 2:] > boxes.boxes[:, :2]).all()):
            fail(
                f"annotated boxes of image {row}",
                expected="x1 < x2 and y1 < y2",
                got=boxes.boxes.tolist(),
                remedy="take 1 from VOC's xmin and ymin",
            )
        counts += torch.bincount(boxes.labels[~boxes.difficult].cpu(), minlength=num_classes)
    what = "number of annotated boxes that are not difficult"
    check_count(int(counts.sum()), what, remedy="take another split")
    return counts
