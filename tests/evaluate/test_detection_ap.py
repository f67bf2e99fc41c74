"""Average precision of detections against the devkit's rule, written out in plain Python."""

from __future__ import annotations

import math
import random
from fractions import Fraction

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from genviews.evaluate.detection_ap import BoxAnnotations, Detections, detection_ap

THRESHOLDS = [Fraction(percent, 100) for percent in range(50, 100, 5)]


def naive_overlap(a, b) -> Fraction:
    """Of two boxes (xmin, ymin, xmax, ymax) whose corners are pixels inside them."""
    width = min(a[2], b[2]) - max(a[0], b[0]) + 1
    height = min(a[3], b[3]) - max(a[1], b[1]) + 1
    if width <= 0 or height <= 0:
        return Fraction(0)
    areas = [(c[2] - c[0] + 1) * (c[3] - c[1] + 1) for c in (a, b)]
    return Fraction(width * height, sum(areas) - width * height)


def naive_ap(found, truth, label, threshold, method):
    """`found` (image, box, label, score) and `truth` (image, box, label, difficult) as lists."""
    boxes = [t for t in truth if t[2] == label]
    count = sum(not t[3] for t in boxes)
    if count == 0:
        return math.nan
    taken, hits, misses, curve = set(), 0, 0, []
    for image, box, _, _ in sorted((f for f in found if f[2] == label), key=lambda f: -f[3]):
        best, at = Fraction(-1), None
        for number, (where, known, _, _) in enumerate(boxes):
            if where == image and naive_overlap(box, known) > best:
                best, at = naive_overlap(box, known), number
        if best > threshold:
            if boxes[at][3]:
                continue
            if at in taken:
                misses += 1
            else:
                taken.add(at)
                hits += 1
        else:
            misses += 1
        curve.append((Fraction(hits, count), Fraction(hits, hits + misses)))
    if method == "11point":
        tops = [
            max((p for r, p in curve if r >= Fraction(k, 10)), default=Fraction(0))
            for k in range(11)
        ]
        return float(sum(tops) / 11)
    total, before = Fraction(0), Fraction(0)
    for i, (recall, _) in enumerate(curve):
        total += (recall - before) * max(p for _, p in curve[i:])
        before = recall
    return float(total)


def naive_score(found, truth, num_classes, method):
    table = [[naive_ap(found, truth, c, t, method) for c in range(num_classes)] for t in THRESHOLDS]
    means = [np.nanmean(line) for line in table]
    return np.mean(means), means[0], means[5], np.mean(table, axis=0)


def as_inputs(found, truth, images):
    """The same for the library: boxes from edge to edge, an object an image."""

    def rows(parts, image, kind):
        mine = [p for p in parts if p[0] == image]
        boxes = torch.tensor([p[1] for p in mine]).reshape(-1, 4).float()
        boxes[:, :2] -= 1
        last = torch.tensor([p[3] for p in mine], dtype=kind)
        return boxes, torch.tensor([p[2] for p in mine], dtype=torch.int64), last

    detections, annotations = [], []
    for image in range(images):
        boxes, labels, scores = rows(found, image, torch.float64)
        detections.append(Detections(boxes=boxes, labels=labels, scores=scores))
        boxes, labels, difficult = rows(truth, image, torch.bool)
        annotations.append(BoxAnnotations(boxes=boxes, labels=labels, difficult=difficult))
    return detections, annotations


def scene(seed, images=8, num_classes=3):
    """Boxes, some difficult; detections near them, some twice, some of another class, some amiss.

    The last image has no box, the last but one no detection.
    """
    draw = random.Random(seed)

    def box():
        x, y = draw.randint(1, 60), draw.randint(1, 60)
        return [x, y, x + draw.randint(3, 30), y + draw.randint(3, 30)]

    truth = [
        (image, box(), draw.randrange(num_classes), draw.random() < 0.25)
        for image in range(images - 1)
        for _ in range(draw.randint(1, 5))
    ]
    found = []
    for image, known, label, _ in truth:
        for _ in range(draw.choice((0, 1, 1, 1, 2))):
            moved = [c + draw.randint(-2, 2) for c in known]
            moved = [moved[0], moved[1], max(moved[2], moved[0]), max(moved[3], moved[1])]
            if draw.random() < 0.15:
                label = draw.randrange(num_classes)
            found.append((image, moved, label, draw.random()))
    found += [(draw.randrange(images), box(), draw.randrange(num_classes), 0.7 * draw.random())]
    found += [(images - 1, box(), 0, draw.random())]
    return [f for f in found if f[0] != images - 2], truth


@pytest.mark.parametrize("method", ["11point", "area"])
@pytest.mark.parametrize("seed", range(12))
def test_score_is_the_naive_loops(seed, method):
    found, truth = scene(seed)
    wanted = naive_score(found, truth, 3, method)
    score = detection_ap(*as_inputs(found, truth, 8), 3, method=method)
    assert (score.ap, score.ap50, score.ap75) == pytest.approx(wanted[:3], abs=1e-12)
    assert score.per_class == pytest.approx(wanted[3], abs=1e-12, nan_ok=True)
    assert 0.05 < score.ap < score.ap50 < 1  # the scene is neither trivial nor hopeless


def one_class(on, scores, truth_boxes, difficult=()):
    """Detections in one image; `on` names the box that each is exactly on, -1 is elsewhere."""
    places = [truth_boxes[b] if b >= 0 else [90, 90, 99, 99] for b in on]
    found = [(0, box, 0, score) for box, score in zip(places, scores, strict=True)]
    truth = [(0, box, 0, i in difficult) for i, box in enumerate(truth_boxes)]
    return as_inputs(found, truth, 1)


BOXES = [[1, 1, 10, 10], [21, 1, 30, 10], [41, 1, 50, 10]]


class TestRule:
    def test_a_box_is_hit_once_and_by_the_highest_score(self):
        # hit, miss (again), hit: precisions 1, 1/2, 2/3 at recalls 1/3, 1/3, 2/3
        inputs = one_class([0, 0, 1], [0.9, 0.8, 0.7], BOXES)
        area = detection_ap(*inputs, 1, method="area").ap50
        assert area == pytest.approx(1 / 3 + 1 / 3 * 2 / 3)
        eleven = detection_ap(*inputs, 1).ap50  # recalls 0-.3 by 1, .4-.6 by 2/3
        assert eleven == pytest.approx((4 + 3 * 2 / 3) / 11)

    def test_area_is_sklearns_step_where_precision_only_falls(self):
        inputs = one_class([0, 1, 2, -1, -1], [0.9, 0.8, 0.7, 0.6, 0.5], BOXES)
        wanted = average_precision_score([1, 1, 1, 0, 0], [0.9, 0.8, 0.7, 0.6, 0.5])
        assert detection_ap(*inputs, 1, method="area").ap == pytest.approx(wanted)

    @pytest.mark.parametrize("difficult", [(0,), (0, 1)])
    def test_difficult_boxes_are_neither_hit_nor_missed(self, difficult):
        left = [b for b in range(3) if b not in difficult]
        inputs = one_class([0, 0, *left], [0.9, 0.8, 0.7, 0.6][: 2 + len(left)], BOXES, difficult)
        assert detection_ap(*inputs, 1).ap == 1.0
        unfound = one_class(left, [0.5] * len(left), BOXES, difficult)
        assert detection_ap(*unfound, 1).ap == 1.0

    def test_beside_a_difficult_box_is_a_miss(self):
        inputs = one_class([-1, 1, 2], [0.9, 0.8, 0.7], BOXES, difficult=(0,))
        assert detection_ap(*inputs, 1, method="area").ap == pytest.approx(2 / 3)

    def test_the_box_overlapped_most_counts_even_if_it_is_taken(self):
        """The second detection overlaps both boxes by over a half, the taken one more."""
        near = [[1, 1, 10, 10], [1, 1, 10, 13]]
        found = [(0, near[0], 0, 0.9), (0, [1, 1, 10, 11], 0, 0.8)]
        inputs = as_inputs(found, [(0, box, 0, False) for box in near], 1)
        assert detection_ap(*inputs, 1, method="area").ap50 == pytest.approx(0.5)

    def test_pixels_of_both_corners_are_inside(self):
        """6 of 11 pixels in a row are more than a half only if both ends are counted."""
        found = [(0, [1, 1, 6, 1], 0, 0.9)]
        inputs = as_inputs(found, [(0, [1, 1, 11, 1], 0, False)], 1)
        assert detection_ap(*inputs, 1).ap50 == 1.0
        assert detection_ap(*inputs, 1).ap75 == 0.0

    def test_an_overlap_of_the_threshold_is_no_hit(self):
        for ends, hits in (((10, 20), 0), ((11, 20), 1)):
            found = [(0, [1, 1, ends[0], 4], 0, 0.9)]
            inputs = as_inputs(found, [(0, [1, 1, ends[1], 4], 0, False)], 1)
            assert detection_ap(*inputs, 1).ap50 == hits

    def test_each_threshold_counts_a_tenth(self):
        for width, passed in ((51, 1), (71, 5), (90, 8), (96, 10)):
            found = [(0, [1, 1, width, 4], 0, 0.9)]
            inputs = as_inputs(found, [(0, [1, 1, 100, 4], 0, False)], 1)
            assert detection_ap(*inputs, 1).ap == pytest.approx(passed / 10)

    def test_recall_of_three_tenths_reaches_its_point(self):
        boxes = [[20 * i + 1, 1, 20 * i + 10, 10] for i in range(10)]
        inputs = one_class([0, 1, 2], [0.9, 0.8, 0.7], boxes)
        assert detection_ap(*inputs, 1).ap == pytest.approx(4 / 11)

    def test_a_class_without_objects_is_left_out(self):
        found = [(0, BOXES[0], 0, 0.9), (0, BOXES[1], 1, 0.8), (0, BOXES[2], 2, 0.7)]
        truth = [(0, BOXES[0], 0, False), (0, BOXES[1], 1, True)]
        score = detection_ap(*as_inputs(found, truth, 1), 4)
        assert score.ap == score.ap50 == score.ap75 == 1.0
        assert score.per_class == pytest.approx((1.0, *[math.nan] * 3), nan_ok=True)

    def test_nothing_found(self):
        inputs = as_inputs([], [(0, BOXES[0], 0, False)], 1)
        assert detection_ap(*inputs, 2).ap == 0.0

    @pytest.mark.parametrize("method", ["11point", "area"])
    def test_order_does_not_matter_also_with_equal_scores(self, method):
        found, truth = scene(5)
        found = [(*f[:3], round(f[3], 1)) for f in found]
        scores = []
        for seed in range(4):
            random.Random(seed).shuffle(found)
            scores.append(detection_ap(*as_inputs(found, truth, 8), 3, method=method))
        assert all(s == scores[0] for s in scores)


class TestRefusals:
    def change(self, **fields):
        detections, annotations = as_inputs([(0, BOXES[0], 0, 0.9)], [(0, BOXES[0], 0, False)], 1)
        found = {**vars(detections[0]), **{k: v for k, v in fields.items() if k != "known"}}
        known = {**vars(annotations[0]), **fields.get("known", {})}
        return [Detections(**found)], [BoxAnnotations(**known)]

    def test_numbers_of_images(self):
        found, truth = self.change()
        with pytest.raises(ValueError, match="expected 2, one for each image, got 1"):
            detection_ap(found, truth * 2, 1)

    @pytest.mark.parametrize("label", [-1, 2])
    def test_labels(self, label):
        labels = torch.tensor([label])
        for fields in ({"labels": labels}, {"known": {"labels": labels}}):
            with pytest.raises(ValueError, match=r"labels of image 0: expected in \[0, 2\)"):
                detection_ap(*self.change(**fields), 2)

    def test_values(self):
        nan = torch.tensor([torch.nan])
        turned = torch.tensor([[9.0, 0, 0, 9]])
        for fields in ({"scores": nan}, {"boxes": nan.expand(1, 4)}, {"boxes": turned}):
            with pytest.raises(ValueError, match="detections of image 0: expected finite"):
                detection_ap(*self.change(**fields), 1)
        flat = torch.tensor([[3.0, 3, 3, 9]])
        with pytest.raises(ValueError, match="annotated boxes of image 0: expected x1 < x2"):
            detection_ap(*self.change(known={"boxes": flat}), 1)

    def test_nothing_to_find(self):
        with pytest.raises(
            ValueError, match="that are not difficult: expected an integer of at least 1"
        ):
            detection_ap(*self.change(known={"difficult": torch.tensor([True])}), 1)
