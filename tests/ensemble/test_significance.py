"""Intervals and tests against scipy, brute force and cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from genviews.ensemble.significance import (
    accuracy_interval,
    detectable_gain,
    gain_report,
    holm,
    mcnemar_exact,
    paired_bootstrap,
)


@pytest.mark.parametrize(("hits", "total"), [(0, 7), (7, 7), (3, 7), (859, 1000), (1, 1)])
@pytest.mark.parametrize("confidence", [0.95, 0.8])
def test_wilson_equals_scipy(hits, total, confidence):
    expected = stats.binomtest(hits, total).proportion_ci(confidence, method="wilson")
    assert accuracy_interval(hits, total, confidence) == pytest.approx(tuple(expected), abs=1e-12)


def test_wilson_refuses_impossible_counts():
    with pytest.raises(ValueError, match="right answers: expected 0 to 5, got 6"):
        accuracy_interval(6, 5)
    with pytest.raises(ValueError, match="number of images"):
        accuracy_interval(0, 0)


@pytest.mark.parametrize(
    ("fixed", "broke", "p_value"),
    # Two-sided binomial: 2 * (1 + 5) / 2^5 ... worked by hand.
    [(0, 0, 1.0), (1, 0, 1.0), (5, 0, 2 / 32), (4, 1, 12 / 32), (1, 4, 12 / 32), (3, 3, 1.0)],
)
def test_mcnemar_by_hand(fixed, broke, p_value):
    assert mcnemar_exact(fixed, broke) == pytest.approx(p_value)


def test_mcnemar_refuses_negative_counts():
    with pytest.raises(ValueError, match="broke"):
        mcnemar_exact(3, -1)


def test_holm_by_hand():
    # Sorted 0.01, 0.03, 0.04 -> 3 * 0.01, 2 * 0.03, max(1 * 0.04, 0.06).
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.6, 0.5]) == [1.0, 1.0]
    assert holm([]) == []
    assert holm([0.2]) == [0.2]
    with pytest.raises(ValueError, match="p-value"):
        holm([1.2])


def test_holm_rejects_like_the_stepwise_procedure():
    rng = np.random.default_rng(0)
    for _ in range(50):
        p_values = rng.random(6) ** 3
        rejected = set()
        for step, index in enumerate(np.argsort(p_values)):
            if p_values[index] > 0.05 / (6 - step):
                break
            rejected.add(int(index))
        assert {i for i, p in enumerate(holm(p_values.tolist())) if p <= 0.05} == rejected


def answers(fixed: int, broke: int, both: int, neither: int):
    correct = [True] * fixed + [False] * broke + [True] * both + [False] * neither
    baseline = [False] * fixed + [True] * broke + [True] * both + [False] * neither
    return torch.tensor(correct), torch.tensor(baseline)


def test_bootstrap_equals_resampling_images():
    correct, baseline = answers(30, 12, 100, 58)
    gains = correct.double().numpy() - baseline.double().numpy()
    rng = np.random.default_rng(1)
    means = [gains[rng.integers(0, 200, 200)].mean() for _ in range(10_000)]
    expected = np.quantile(means, [0.025, 0.975])
    assert paired_bootstrap(correct, baseline) == pytest.approx(tuple(expected), abs=0.006)


def test_bootstrap_is_seeded_and_independent_of_order():
    correct, baseline = answers(30, 12, 100, 58)
    turned = torch.randperm(200, generator=torch.Generator().manual_seed(0))
    one = paired_bootstrap(correct, baseline, seed=3)
    assert paired_bootstrap(correct[turned], baseline[turned], seed=3) == one
    assert paired_bootstrap(correct, baseline, seed=3, resamples=500) != one
    assert paired_bootstrap(correct, correct) == (0.0, 0.0)


def test_bootstrap_covers_the_truth():
    """The 95 % interval holds the true gain in about 95 of 100 draws of the test set."""
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(200):
        kinds = rng.choice(4, 300, p=[0.12, 0.06, 0.6, 0.22])
        correct, baseline = (
            torch.tensor((kinds == 0) | (kinds == 2)),
            torch.tensor((kinds == 1) | (kinds == 2)),
        )
        low, high = paired_bootstrap(correct, baseline, resamples=1000)
        inside += low <= 0.06 <= high
    assert 180 <= inside <= 199


def test_report_counts_what_changed():
    report = gain_report(*answers(5, 1, 10, 4))
    assert (report.fixed, report.broke) == (5, 1)
    assert report.accuracy == 15 / 20
    assert report.gain == pytest.approx(4 / 20)
    assert report.p_value == pytest.approx(stats.binomtest(5, 6).pvalue)
    assert report.interval == pytest.approx(
        tuple(stats.binomtest(15, 20).proportion_ci(method="wilson"))
    )
    assert report.gain_interval[0] < report.gain < report.gain_interval[1]


def test_report_refuses_other_images():
    with pytest.raises(ValueError, match="the same images in the same order"):
        gain_report(torch.tensor([], dtype=torch.bool), torch.tensor([], dtype=torch.bool))


class TestDetectableGain:
    def power(self, total, changed, gain, draws=4000):
        """By simulation: how often an exact McNemar test of that gain is below 0.05."""
        share = max(changed, gain)
        random = np.random.default_rng(0)
        shares = [(share + gain) / 2, (share - gain) / 2, 1 - share]
        counts = random.multinomial(total, shares, size=draws)
        pairs, times = np.unique(counts[:, :2], axis=0, return_counts=True)
        seen = [mcnemar_exact(int(f), int(b)) < 0.05 for f, b in pairs]
        return float(times[np.array(seen)].sum()) / draws

    @pytest.mark.parametrize(("total", "changed"), [(80, 0.0), (400, 0.05), (400, 0.2)])
    def test_power_is_reached_there_and_not_before(self, total, changed):
        least = detectable_gain(total, changed)
        assert self.power(total, changed, least) == pytest.approx(0.8, abs=0.06)
        assert self.power(total, changed, least) >= 0.78
        assert self.power(total, changed, least - 2 / total) < 0.8

    def test_more_images_see_smaller_gains(self):
        found = [detectable_gain(n, 0.05) for n in (50, 200, 1000, 10_000)]
        assert found == sorted(found, reverse=True)
        assert found[-1] < 0.01

    def test_too_few_images(self):
        assert detectable_gain(5) is None
        assert detectable_gain(6) == 1.0  # six of six is p = 0.03
