"""Intervals of VOC: photos that are really repeated, by plain loops, and seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.metrics import precision_recall_curve

from genviews.ensemble.significance import holm
from genviews.files import save_tensors
from genviews.studies.learning.compare import summarise
from genviews.studies.learning.judge import Measured, RowResult
from genviews.studies.learning.row import LearningRow
from genviews.studies.learning.study import read_study
from genviews.studies.learning.voc import (
    DetectionJudge,
    SVMJudge,
    photo_draws,
    resampled_means,
)
from tests.studies.learning.small import probe, small

PHOTOS, CLASSES, SEEDS = 30, 3, 3


@dataclass
class Photos:
    """What SVMs said of the photos of a row and seed."""

    name: str
    seed: int
    decisions: torch.Tensor
    labels: torch.Tensor
    detection: dict | None = None

    @property
    def mean(self):
        return mean_area(self, range(PHOTOS))

    def draws(self, counts):
        return resampled_means(self.decisions, self.labels, "ignore", counts)

    def result(self):
        """The row's own probe, which is not what this file is about, and VOC."""
        right = torch.ones(8, dtype=torch.bool)
        right[self.seed] = False
        measured = {name: Measured.of(right) for name in ("linear", "knn")}
        with TemporaryDirectory() as folder:
            place = Path(folder) / "voc-1"
            kept = {"decisions": self.decisions, "labels": self.labels.to(torch.int8)}
            save_tensors(place.with_suffix(".safetensors"), kept)
            said = {"mean": self.mean, "difficult": "ignore"}
            measured |= SVMJudge(path=place).measured(said, place)
            if self.detection is not None:
                measured |= DetectionJudge(path=place).measured(self.detection, place)
        return RowResult(
            row=LearningRow(name=self.name, views="gaussian_all_0.20"),
            seed=self.seed,
            folder=Path("none"),
            record={
                "training": {"updates": 0},
                **{p: {"val": 0.5} for p in ("linear", "knn")},
            },
            measured=measured,
        )


def area(scores, positive):
    """Area under the envelope of scikit-learn's curve."""
    precision, recall, _ = precision_recall_curve(positive, scores)
    precision, recall = precision[::-1], recall[::-1]  # recall rises
    best = [max(precision[i:]) for i in range(len(precision))]
    steps = zip(recall[:-1], recall[1:], best[1:], strict=True)
    return sum((high - low) * p for low, high, p in steps)


def mean_area(result, photos):
    """Over the classes that these photos hold; a photo may be named more than once."""
    found = []
    for k in range(CLASSES):
        kept = [i for i in photos if result.labels[i, k] != 0]
        truth = [int(result.labels[i, k] == 1) for i in kept]
        if any(truth):
            found.append(area([float(result.decisions[i, k]) for i in kept], truth))
    return sum(found) / len(found)


def judged(name, seed, *, skill, detection=None):
    """Decisions that know `skill` of the labels, which all rows share; a few are difficult."""
    labels = torch.from_numpy(np.random.default_rng(9).choice([-1, -1, 0, 1], (PHOTOS, CLASSES)))
    noise = torch.from_numpy(np.random.default_rng([len(name), seed]).normal(size=labels.shape))
    return Photos(name, seed, skill * labels + noise, labels, detection)


@pytest.fixture(scope="module")
def rows():
    names = {"base": 0.5, "better": 2.0, "other": 0.6}
    return [judged(n, s, skill=k) for n, k in names.items() for s in range(SEEDS)]


def test_draws_are_as_many_as_there_are_photos_and_always_the_same():
    counts = photo_draws(PHOTOS, 50)
    assert counts.shape == (PHOTOS, 50)
    assert counts.sum(0).tolist() == [PHOTOS] * 50
    assert torch.equal(counts, photo_draws(PHOTOS, 50))
    # A photo is left out by a draw with probability (1 - 1/N)^N; 1,000 draws of 30 photos.
    left_out = float((photo_draws(PHOTOS) == 0).double().mean())
    assert left_out == pytest.approx((1 - 1 / PHOTOS) ** PHOTOS, abs=0.01)


def test_resampled_means_are_those_of_repeated_photos(rows):
    counts = photo_draws(PHOTOS, 40)
    found = rows[0].draws(counts)
    for column, value in zip(counts.T.tolist(), found.tolist(), strict=True):
        photos = [i for i, times in enumerate(column) for _ in range(times)]
        assert value == pytest.approx(mean_area(rows[0], photos))


def test_a_class_that_a_draw_lacks_is_left_out_of_its_mean(rows):
    first = rows[0].labels[:, 0] == 1
    photos = [i for i in range(PHOTOS) if not first[i]]
    counts = torch.zeros(PHOTOS, 1, dtype=torch.int32)
    counts[photos] = 1
    found = float(rows[0].draws(counts))
    assert found == pytest.approx(mean_area(rows[0], photos))


def test_a_draw_without_any_class_says_nothing():
    few = [judged("base", 0, skill=1.0)]
    few[0].labels[1:] = -1
    few[0].labels[0] = 1
    counts = photo_draws(PHOTOS)
    drawn = few[0].draws(counts).numpy()
    empty = counts[0].numpy() == 0
    assert 0 < empty.sum() < len(empty)
    assert np.array_equal(np.isnan(drawn), empty)
    (row,) = summaries(few)
    half = stats.norm.isf(0.025) * np.std(drawn[~empty], ddof=1)
    value = row.accuracy["voc"]
    assert value.interval == pytest.approx((max(0, value.mean - half), min(1, value.mean + half)))


def half_width(images, per_seed, p=0.05):
    seeds = np.std(per_seed, ddof=1) / math.sqrt(len(per_seed))
    return math.hypot(stats.norm.isf(p / 2) * images, stats.t.isf(p / 2, SEEDS - 1) * seeds)


def summaries(rows, reference="base"):
    return summarise([one.result() for one in rows], reference=reference)


def test_means_and_paired_differences_with_both_uncertainties(rows):
    found = summaries(rows)
    counts = photo_draws(PHOTOS)
    base = rows[:SEEDS]
    for place, row in enumerate(found):
        own = rows[SEEDS * place : SEEDS * (place + 1)]
        drawn = np.mean([one.draws(counts).numpy() for one in own], axis=0)
        per_seed = [one.mean for one in own]
        value = row.accuracy["voc"]
        half = half_width(np.std(drawn, ddof=1), per_seed)
        middle = np.mean(per_seed)
        assert value.mean == pytest.approx(middle)
        assert value.interval == pytest.approx((max(0, middle - half), min(1, middle + half)))
        assert list(row.accuracy) == ["linear", "knn", "voc"]
        assert row.val == {"linear": 0.5, "knn": 0.5}
        if row.name == "base":
            assert row.against is None
            continue
        gaps = [a - b.mean for a, b in zip(per_seed, base, strict=True)]
        pairs = [a.draws(counts) - b.draws(counts) for a, b in zip(own, base, strict=True)]
        half = half_width(np.std(np.mean([p.numpy() for p in pairs], axis=0), ddof=1), gaps)
        gap = row.against["voc"]
        assert gap.mean == pytest.approx(np.mean(gaps))
        assert gap.interval == pytest.approx((np.mean(gaps) - half, np.mean(gaps) + half))
        assert (gap.p_value < 0.05) == (abs(np.mean(gaps)) > half)
    assert found[1].against["voc"].p_value < 0.05 < found[2].against["voc"].p_value


def test_with_one_seed_photos_alone_are_uncertain(rows):
    found = summaries([one for one in rows if one.seed == 0])
    value = found[1].accuracy["voc"]
    drawn = rows[SEEDS].draws(photo_draws(PHOTOS))
    half = stats.norm.isf(0.025) * float(drawn.std(correction=1))
    assert value.interval[0] == pytest.approx(max(0, value.mean - half))
    assert value.seeds == 1


def test_detection_is_uncertain_by_seeds_alone():
    rows = []
    for name, start in (("base", 0.30), ("other", 0.34)):
        for seed in range(SEEDS):
            ap = {"ap": start + 0.01 * seed, "ap50": start + 0.2, "ap75": start}
            rows.append(judged(name, seed, skill=1.0, detection=ap))
    base, other = summaries(rows)
    low, high = stats.t.interval(0.95, SEEDS - 1, 0.31, stats.sem([0.30, 0.31, 0.32]))
    assert base.accuracy["voc_detection_ap"].mean == pytest.approx(0.31)
    assert base.accuracy["voc_detection_ap"].interval == pytest.approx((low, high))
    assert base.against is None
    assert other.against["voc_detection_ap"].per_seed == pytest.approx((0.04,) * SEEDS)
    assert other.against["voc_detection_ap50"].mean == pytest.approx(0.04)


def test_one_seed_says_nothing_of_detection():
    ap = dict.fromkeys(("ap", "ap50", "ap75"), 0.4)
    rows = [judged(name, 0, skill=1.0, detection=ap) for name in ("base", "other")]
    one = summaries(rows)[1].against["voc_detection_ap"]
    assert (one.interval, one.p_value) == (None, None)
    setting = small(probe=probe())
    study = read_study("toy", [row.result() for row in rows], setting, "base")
    untested = {what: found["other"].p_value is None for what, found in study.weighed.items()}
    assert {what for what, unknown in untested.items() if not unknown} == {"linear", "knn", "voc"}


def test_voc_has_a_holm_family_of_its_own(rows):
    setting = small(probe=probe())
    study = read_study("toy", [one.result() for one in rows], setting, "base")
    compared = [row for row in study.rows if row.against is not None]
    for kind in ("linear", "voc"):
        wanted = holm([row.against[kind].p_value for row in compared])
        assert [one.p_value for one in study.weighed[kind].values()] == pytest.approx(wanted)
    assert study.weighed["voc"] != study.weighed["linear"]
    assert study.probes == ("linear", "knn", "voc")
