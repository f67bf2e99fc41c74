"""Few labels: means over shifts and seeds, and what a seed draws anew."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from genviews.evaluate.encoders import ProbeData
from genviews.studies.blocks import Table
from genviews.studies.ensembling.few_labels import FewLabels, run
from tests.problem import toy_problem
from tests.studies.ensembling.benches import toy_bench

SHIFTS = ("gaussian_noise:5@imagenet-c", "gaussian_blur:3@imagenet-c")
COLUMNS = {
    "single image": ("single image", ""),
    "best rival": ("best rival", ""),
    "generated views": ("generated views", "known shift"),
    "not knowing the shift": ("generated views", "one weight"),
    "noticing it": ("generated views", "noticing"),
}


@pytest.fixture(scope="module")
def measured():
    """The bench that was asked, and the result."""
    problem = toy_problem()
    half = len(problem.calibration.ids) // 2
    train, val = (problem.calibration.select(part) for part in (slice(half), slice(half, None)))
    probe = ProbeData(train=train, val=val, test=problem.test)
    options = replace(
        FewLabels().quick(), seeds=2, labels=(2, 4), shifts=SHIFTS, attacks=("fgsm:0.1",),
        calibration_images=20, test_images=40, restorations=("median:3",),
        perturb="isotropic_fine",
    )  # fmt: skip
    bench = toy_bench(probe=probe, seed=3)
    return bench, run(bench, options)


@pytest.fixture(scope="module")
def asked(measured):
    return measured[0]


@pytest.fixture(scope="module")
def result(measured):
    return measured[1]


def accuracies(result, task, shifts, row):
    """Of each seed, the mean over shifts."""
    return [
        np.mean(
            [
                one["accuracy"]
                for one in seed
                if one["task"] == task and one["shift"] in shifts
                if (one["row"], one["protocol"]) == row
            ]
        )
        for seed in result.record.data["seeds"]
    ]


def test_the_first_table_has_means_over_shifts_and_then_over_seeds(result):
    table = result.answer
    lines = {
        line[0]: dict(zip([c.name for c in table.columns], line, strict=True))
        for line in table.rows
    }
    groups = {
        "clean images": ("clean",),
        "mean of 2 corruptions": SHIFTS,
        "fgsm:0.1": ("fgsm:0.1",),
    }
    assert len(lines) == 2 * len(groups)
    for task in ("2 labels a class", "4 labels a class"):
        for group, shifts in groups.items():
            for column, row in COLUMNS.items():
                values = accuracies(result, task, shifts, row)
                shown = lines[f"{task}: {group}"][column]
                assert shown.value == pytest.approx(np.mean(values))
                if len(set(values)) > 1:
                    spread = stats.sem(values) * stats.t.ppf(0.975, 1)
                    low, high = np.mean(values) - spread, np.mean(values) + spread
                    assert shown.interval == pytest.approx((max(low, 0), min(high, 1)))


def test_each_number_of_labels_has_a_table_of_every_shift(result):
    tables = {block.title: block for block in result.blocks if isinstance(block, Table)}
    for count in (2, 4):
        table = tables[f"Accuracy: {count} labels a class"]
        assert [line[0] for line in table.rows] == ["clean", *SHIFTS, "fgsm:0.1"]


def test_the_sentence_says_what_is_no_chance_over_seeds(result):
    single, views = COLUMNS["single image"], COLUMNS["generated views"]
    assert result.verdict.startswith("Over 2 seeds generated views, weighed under the shift, gain")
    for task in ("2 labels a class", "4 labels a class"):
        for words, shifts in (("clean images", ("clean",)), ("mean of 2 corruptions", SHIFTS)):
            before, after = (accuracies(result, task, shifts, row) for row in (single, views))
            gain = 100 * (np.mean(after) - np.mean(before))
            assert f"{gain:+.1f} points" in result.verdict
            assert f"on {words} (no difference seen)" in result.verdict  # two seeds show little


def test_a_seed_draws_its_images_anew(asked):
    for split, count in (("calibration", 20), ("test", 40)):
        drawn = [
            {
                ids
                for one in asked.benches_under
                if one.seed == seed and len(ids := one.images(split).ids) == count
            }
            for seed in (3, 4)
        ]
        assert all(drawn)
        assert not drawn[0] & drawn[1]
