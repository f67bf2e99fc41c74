"""The reference's redrawn ensembles, against its recipe written out as loops (spec A12)."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from genviews.ensemble.resample import ensemble_size_study, resample_members, resample_pixels
from genviews.ensemble.weigh import Ensemble


def accuracy(scores, labels):
    return float(np.mean([int(np.argmax(s)) == y for s, y in zip(scores, labels, strict=True)]))


def members(bank, keys):
    return np.concatenate([bank.probs(k).numpy() for k in keys], 1)


@pytest.fixture
def banks(make_bank):
    keys = {"fine": 32, "crop": 31}
    return make_bank(keys=keys), make_bank(keys=keys, split="test", seed=1, number=30)


def test_twenty_draws_equal_the_recipe(banks):
    found = resample_members(Ensemble("fine"), *banks)
    accuracies, fitted, alphas = [], [], []
    for s in range(20):
        indices = np.random.RandomState(s).choice(33, 31)
        curves = []
        for bank in banks:
            image = members(bank, ("image",))[:, 0]
            views = members(bank, ("reconstruction", "fine"))[:, indices].mean(1)
            labels = bank.labels.tolist()
            curves.append(
                [accuracy((1 - a / 20) * image + a / 20 * views, labels) for a in range(21)]
            )
        best = curves[0].index(max(curves[0]))
        fitted.append(max(curves[0]))
        accuracies.append(curves[1][best])
        alphas.append(best / 20)
    assert found.alphas == pytest.approx(alphas)
    assert found.accuracies == pytest.approx(accuracies)
    assert found.calibration == pytest.approx(fitted)
    assert found.mean == pytest.approx(np.mean(accuracies))
    assert found.calibration_mean == pytest.approx(np.mean(fitted))
    assert found.stderr == pytest.approx(np.std(accuracies, ddof=0) / math.sqrt(20))
    assert len(set(alphas)) > 1  # the fixture tells draws apart


def test_cars_draw_sixteen_and_sixteen(banks):
    ensemble = Ensemble("fine", image_views="crop")
    found = resample_members(ensemble, *banks, size=16, image_size=16, times=3)
    expected = []
    for s in range(3):
        rng = np.random.RandomState(s)
        views, crops = rng.choice(33, 16), rng.choice(32, 16)
        curves = []
        for bank in banks:
            image = members(bank, ("image", "crop"))[:, crops].mean(1)
            pool = members(bank, ("reconstruction", "fine"))[:, views].mean(1)
            labels = bank.labels.tolist()
            curves.append(
                [accuracy((1 - a / 20) * image + a / 20 * pool, labels) for a in range(21)]
            )
        expected.append(curves[1][curves[0].index(max(curves[0]))])
    assert found.accuracies == pytest.approx(expected)


def test_image_only_ensembles(banks):
    found = resample_pixels(banks[1], ("crop",))
    expected = []
    for s in range(20):
        indices = np.random.RandomState(s).choice(32, 32)
        pool = members(banks[1], ("image", "crop"))[:, indices].mean(1)
        expected.append(accuracy(pool, banks[1].labels.tolist()))
    assert found.accuracies == pytest.approx(expected)
    assert found.alphas == ()


def test_size_study(banks):
    calibration, test = banks
    points = ensemble_size_study(Ensemble("fine"), calibration, test, sizes=(0, 4, 31))
    first = members(calibration, ("reconstruction", "fine"))[:, :31].mean(1)
    image = members(calibration, ("image",))[:, 0]
    labels = calibration.labels.tolist()
    curve = [accuracy((1 - a / 20) * image + a / 20 * first, labels) for a in range(21)]
    alpha = curve.index(max(curve)) / 20
    assert points[0].mean == pytest.approx(test.accuracy())
    assert points[0].stderr == 0
    image, pool = members(test, ("image",))[:, 0], members(test, ("reconstruction", "fine"))
    for point in points[1:]:
        found = []
        for s in range(16):
            drawn = pool[:, np.random.RandomState(s).choice(33, point.size)].mean(1)
            found.append(accuracy((1 - alpha) * image + alpha * drawn, test.labels.tolist()))
        assert point.mean == pytest.approx(np.mean(found))
        assert point.stderr == pytest.approx(np.std(found) / 4)
    assert points[1].stderr > 0


def test_alpha_never_looks_at_test_labels(banks):
    calibration, test = banks
    turned = replace(test, labels=test.labels.flip(0))
    one, other = (resample_members(Ensemble("fine"), calibration, t) for t in (test, turned))
    assert one.alphas == other.alphas
    assert one.accuracies != other.accuracies


@pytest.mark.parametrize("study", [resample_members, ensemble_size_study])
def test_calibrating_on_test_is_refused(banks, study):
    with pytest.raises(ValueError, match="got 'test'"):
        study(Ensemble("fine"), banks[1], banks[1])
