"""Quality by steps: each row against a run that stopped there, measured by plain formulas."""

from dataclasses import replace

import pytest
from torch import nn

from genviews.classify import Classifier, Task
from genviews.data import ImageSet, MemorySource
from genviews.ensemble.significance import gain_report
from genviews.invert import L2, Adam, Inverter, Objective, invert
from genviews.rng import Rng
from genviews.studies.steps import quality_by_steps

STEPS = (0, 2, 6)
INVERTER = Inverter(
    objective=Objective((L2(),)),
    optimizer=Adam(lr=0.2, final=1.0),  # without a schedule, whose rates depend on the last step
    steps=6,
    snapshots=STEPS,
    tolerance=0.0,
)


@pytest.fixture
def task(toy):
    latents = toy.map(toy.sample(Rng(3).streams(range(12))))
    images, labels = toy.synthesize(latents), toy.classes(latents)
    net = nn.Sequential(nn.Flatten(), nn.Linear(images[0].numel(), 2))
    classifier = Classifier(net, toy.image_spec, ("up", "down")).requires_grad_(False)
    ids = tuple(map(str, range(12)))
    twelve = ImageSet(images=images, ids=ids, labels=labels, class_names=("up", "down"))
    return images, labels, classifier, MemorySource(twelve)


def test_rows_equal_separate_runs(toy, task):
    images, labels, classifier, source = task
    found = invert(toy, images, inverter=INVERTER)
    rows = quality_by_steps(
        found.snapshots, STEPS, toy, Task(name="half", classifier=classifier), source, batch_size=5
    )
    assert [row.steps for row in rows] == list(STEPS)
    on_images = classifier(images).argmax(1) == labels
    for row in rows:
        alone = invert(toy, images, inverter=replace(INVERTER, steps=row.steps, snapshots=()))
        error = (alone.reconstructions - images).double()
        assert row.distances["l1"] == pytest.approx(float(error.abs().mean()), rel=1e-5)
        assert row.distances["l2"] == pytest.approx(float(error.square().mean()), rel=1e-5)
        correct = classifier(alone.reconstructions).argmax(1) == labels
        assert row.accuracy == gain_report(correct, on_images)
    assert rows[0].distances["l2"] > rows[1].distances["l2"] > rows[2].distances["l2"]


def test_an_inversion_without_snapshots_is_refused(toy, task):
    images, _, classifier, source = task
    found = invert(toy, images, inverter=replace(INVERTER, snapshots=()))
    half = Task(name="half", classifier=classifier)
    with pytest.raises(ValueError, match=r"expected 3, after \[0, 2, 6\] steps, for .* got none"):
        quality_by_steps(found.snapshots, STEPS, toy, half, source)
    two = found.latents[:, None].repeat(1, 2, 1, 1)
    with pytest.raises(ValueError, match=r"expected 3, .* got 2 for 12"):
        quality_by_steps(two, STEPS, toy, half, source)
