"""Inversions compared: what is counted equals plain loops, and every inversion has its row."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from genviews.augment.geometry import CentreCrop
from genviews.classify.model import Classifier
from genviews.classify.task import Task
from genviews.invert.encoder import EncoderConfig, InversionEncoder
from genviews.invert.inverter import Inverter
from genviews.invert.objective import L1, L2, Objective
from genviews.invert.optimize import invert
from genviews.invert.start import EncoderStart, MeanStart
from genviews.kit import GeneratorKit
from genviews.perturb.stylemix import StyleMix
from genviews.studies.blocks import Curves, Images, Table
from genviews.studies.ensembling.copied import class_fidelity, correlate, task_gains
from genviews.studies.ensembling.inverters import STUDY, Inverters
from genviews.types import ImageSpec
from tests.problem import toy_problem
from tests.studies.ensembling.benches import toy_bench

NAMES = ("a", "b", "c", "d", "e")


def naive(before, after, truth):
    pairs = list(zip(before, after, truth, strict=True))
    right = [p for p in pairs if p[0] == p[2]]
    wrong = [p for p in pairs if p[0] != p[2]]
    return {
        "agreement": (sum(b == a for b, a, _ in pairs), len(pairs)),
        "kept": (sum(b == a for b, a, _ in right), len(right)),
        "copied": (sum(b == a for b, a, _ in wrong), len(wrong)),
        "corrected": (sum(a == t for _, a, t in wrong), len(wrong)),
    }


@pytest.mark.parametrize("seed", range(5))
def test_counts_equal_a_plain_loop(seed):
    rng = torch.Generator().manual_seed(seed)
    before, after, truth = torch.randint(3, (3, 40), generator=rng)
    found = class_fidelity(before, after, truth)
    for name, (count, total) in naive(before.tolist(), after.tolist(), truth.tolist()).items():
        share = found[name]
        assert (share.count, share.total) == (count, total)
        assert share.share == count / total
        assert share.interval[0] <= share.share <= share.interval[1]


def test_a_perfect_classifier_has_no_mistakes_to_copy():
    truth = torch.tensor([0, 1, 2])
    found = class_fidelity(truth, truth, truth)
    copied = found["copied"]
    assert (copied.total, copied.share, copied.interval) == (0, 0.0, (0.0, 1.0))
    assert found["kept"].share == 1.0


def probabilities(seed, count=200):
    rng = torch.Generator().manual_seed(seed)
    labels = torch.randint(5, (count,), generator=rng)
    logits = torch.randn(2, count, 5, generator=rng, dtype=torch.float64)
    logits += 3 * torch.nn.functional.one_hot(labels, 5)
    return logits.softmax(-1), labels


def test_gains_equal_a_plain_loop():
    (single, method), labels = probabilities(0)
    gains = task_gains(single, method, labels, NAMES)
    assert list(gains) == list(NAMES)
    for index, found in enumerate(gains.values()):
        fixed = broke = 0
        for before, after, label in zip(single, method, labels, strict=True):
            truth = bool(label == index)
            was, now = bool(before[index] > 0.5) == truth, bool(after[index] > 0.5) == truth
            fixed += now and not was
            broke += was and not now
        assert (found.fixed, found.broke) == (fixed, broke)
        assert found.gain == (fixed - broke) / len(labels)


def test_correlations_are_of_each_method_and_of_all_together():
    first, second = {}, {}
    for name, seed in (("stylemix", 1), ("combined", 2)):
        (single, method), labels = probabilities(seed)
        (_, other), _ = probabilities(seed + 10)
        first[name] = task_gains(single, method, labels, NAMES)
        second[name] = task_gains(single, other, labels, NAMES)
    found = correlate(first, second)
    assert list(found) == ["stylemix", "combined", "pooled"]
    pairs = [
        (gain.gain, second[method][task].gain)
        for method, gains in first.items()
        for task, gain in gains.items()
    ]
    r = float(np.corrcoef(np.array(pairs).T)[0, 1])
    assert found["pooled"].r == pytest.approx(r, abs=1e-12)
    assert found["pooled"].count == 10
    z, half = math.atanh(r), 1.959963984540054 / math.sqrt(10 - 3)
    assert found["pooled"].interval == pytest.approx((math.tanh(z - half), math.tanh(z + half)))
    assert found["stylemix"].count == 5


def test_constant_gains_have_no_correlation():
    (single, method), labels = probabilities(3)
    none = task_gains(single, single, labels, NAMES)
    some = task_gains(single, method, labels, NAMES)
    assert correlate({"m": none}, {"m": some})["m"] is None
    few = {task: some[task] for task in NAMES[:3]}  # an interval needs more
    assert correlate({"m": few}, {"m": few})["m"] is None


def test_pairs_on_a_line_have_no_interval():
    (single, method), labels = probabilities(5)
    some = task_gains(single, method, labels, NAMES)
    found = correlate({"m": some}, {"m": some})["m"]
    assert (found.r, found.interval) == (pytest.approx(1.0), None)


def test_other_tasks_are_refused():
    (single, method), labels = probabilities(4)
    gains = task_gains(single, method, labels, NAMES)
    few = dict(list(gains.items())[:3])
    with pytest.raises(ValueError, match="expected the same tasks of both inversions for 'm'"):
        correlate({"m": gains}, {"m": few})


@pytest.fixture(scope="module")
def result():
    """With an encoder, whose features are matched, and a second classifier, which judges."""
    problem = toy_problem()
    encoder = InversionEncoder(EncoderConfig.for_generator(problem.generator))
    inverter = Inverter(start=EncoderStart(encoder.eval()), steps=2)
    bench = toy_bench(
        kit=GeneratorKit(problem.generator, inverter=inverter),
        perturbations=(StyleMix("fine"),),
        seed=0,
    )
    return STUDY.run(bench, Inverters(num_views=2)), inverter


def test_every_inversion_has_a_row_of_each_table(result):
    found, _ = result
    names = ["pixel", "encoder features", "classifier predictions", "in-domain"]
    tables = [block for block in found.blocks if isinstance(block, Table)]
    assert [[row[0] for row in table.rows] for table in tables[:3]] == [names] * 3
    rows = found.record.data["inversions"]
    assert [row["inversion"] for row in rows] == names
    for row in rows:
        assert set(row["judges"]) == {"views"}
        assert set(row["ensembles"]) == {"stylemix", "combined"}
        assert set(row["fidelity"]) == {"agreement", "kept", "copied", "corrected"}
    assert set(found.record.data["figure_15"]) == {"chosen", "fixed"}
    assert rows[0]["over_first"] is None
    for row in rows[1:]:
        accuracies = [one["reconstructions"]["accuracy"] for one in (row, rows[0])]
        assert row["over_first"]["gain"] == pytest.approx(accuracies[0] - accuracies[1])
    told = re.findall(r"of ([a-z -]+): .*? points .*?, Holm\)", found.verdict)
    assert told == names[1:]  # none is picked by its accuracy on test


def test_numbers_are_those_of_the_inversion(result):
    found, inverter = result
    problem, row = toy_problem(), found.record.data["inversions"][0]
    objective = Objective((L1(), L2()))
    alone = invert(
        problem.generator, problem.test.images, inverter=replace(inverter, objective=objective)
    )
    error = (alone.reconstructions - problem.test.images).double()
    assert row["distances"]["l1"] == pytest.approx(float(error.abs().mean()), rel=1e-4)
    assert row["distances"]["l2"] == pytest.approx(float(error.square().mean()), rel=1e-4)
    for classifier, said in (
        (problem.classifier, row["reconstructions"]),
        (problem.other, row["judges"]["views"]),
    ):
        with torch.no_grad():
            right = classifier(alone.reconstructions).argmax(1) == problem.test.labels
        assert said["accuracy"] == pytest.approx(float(right.double().mean()), abs=0.01)


def test_best_and_worst_are_shown_by_error(result):
    found, _ = result
    shown = [block for block in found.blocks if isinstance(block, Images)]
    assert [block.title for block in shown] == ["Best reconstructions", "Worst reconstructions"]
    best, worst = (
        [float(grid.pictures[0][2].caption.split()[1].rstrip(",")) for grid in block.grids]
        for block in shown
    )
    assert best == sorted(best)
    assert worst == sorted(worst, reverse=True)
    assert best[-1] <= worst[-1]
    assert any(isinstance(block, Curves) for block in found.blocks)


@pytest.mark.parametrize("features", [(), ("module",)])
def test_a_classifier_of_a_crop_is_pleased_by_the_crop(features):
    """Images of 8x8 are shown to a classifier of their middle; its feature maps have no masks."""
    problem, spec = toy_problem(), ImageSpec(channels=1, height=6, width=6)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(36, 2))
    names = problem.calibration.class_names
    task = Task(name="images", classifier=Classifier(network, spec, names))
    crop = CentreCrop(6)
    bench = toy_bench(
        kit=GeneratorKit(problem.generator, inverter=Inverter(start=MeanStart(), steps=1)),
        tasks=(task,),
        perturbations=(StyleMix("fine"),),
        pixel_views=(),
        photo_transform=crop,
        render_transform=crop,
    )
    options = Inverters(num_views=1, features=features)
    if features:
        with pytest.raises(ValueError, match=r"features of the classifier: .* leave features"):
            STUDY.run(bench, options)
        return
    rows = STUDY.run(bench, options).record.data["inversions"]
    assert [row["inversion"] for row in rows] == ["pixel", "classifier predictions"]
