"""Gains task by task against a plain loop, and correlations against formulas."""

import math

import numpy as np
import pytest
import torch

from genviews.studies.tasks import correlate, task_gains

NAMES = ("a", "b", "c", "d", "e")


def probabilities(seed, count=200):
    rng = torch.Generator().manual_seed(seed)
    labels = torch.randint(5, (count,), generator=rng)
    logits = torch.randn(2, count, 5, generator=rng, dtype=torch.float64)
    logits += 3 * torch.nn.functional.one_hot(labels, 5)
    return logits.softmax(-1), labels


def test_gains_equal_a_plain_loop():
    (single, method), labels = probabilities(0)
    gains = task_gains(single, method, labels, NAMES)
    assert [g.task for g in gains] == list(NAMES)
    for index, found in enumerate(gains):
        fixed = broke = 0
        for before, after, label in zip(single, method, labels, strict=True):
            truth = bool(label == index)
            was, now = bool(before[index] > 0.5) == truth, bool(after[index] > 0.5) == truth
            fixed += now and not was
            broke += was and not now
        assert (found.gain.fixed, found.gain.broke) == (fixed, broke)
        assert found.gain.gain == (fixed - broke) / len(labels)


def test_correlation_has_its_formulas():
    sets = {}
    for name, seed in (("stylemix", 1), ("combined", 2)):
        (single, method), labels = probabilities(seed)
        (_, other), _ = probabilities(seed + 10)
        first = task_gains(single, method, labels, NAMES)
        sets[name] = (first, task_gains(single, other, labels, NAMES))
    found = correlate({k: a for k, (a, _) in sets.items()}, {k: b for k, (_, b) in sets.items()})
    assert list(found) == ["stylemix", "combined", "pooled"]
    pairs = [pair for one, other in sets.values() for pair in zip(one, other, strict=True)]
    pooled = [(a.gain.gain, b.gain.gain) for a, b in pairs]
    r = float(np.corrcoef(np.array(pooled).T)[0, 1])
    assert found["pooled"].r == pytest.approx(r, abs=1e-12)
    assert found["pooled"].count == 10
    z, half = math.atanh(r), 1.959963984540054 / math.sqrt(10 - 3)
    assert found["pooled"].interval == pytest.approx((math.tanh(z - half), math.tanh(z + half)))


def test_constant_gains_have_no_correlation():
    (single, method), labels = probabilities(3)
    none = task_gains(single, single, labels, NAMES)
    some = task_gains(single, method, labels, NAMES)
    assert correlate({"m": none}, {"m": some})["m"] is None


def test_other_tasks_are_refused():
    (single, method), labels = probabilities(4)
    gains = task_gains(single, method, labels, NAMES)
    with pytest.raises(ValueError, match="expected the same tasks of both inversions for 'm'"):
        correlate({"m": gains}, {"m": gains[:4]})
    with pytest.raises(ValueError, match="expected at least 4 tasks, got 3"):
        correlate({"m": gains[:3]}, {"m": gains[:3]})
