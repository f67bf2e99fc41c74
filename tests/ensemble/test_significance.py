"""Intervals and tests against scipy, brute force and cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import special, stats

from genviews.ensemble.significance import (
    accuracy_interval,
    counted_report,
    detectable_gain,
    gain_interval,
    gain_report,
    holm,
    level_p_value,
    mcnemar_exact,
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
    with pytest.raises(ValueError, match="number of images"):
        counted_report(0, 0, 0, 0)


@pytest.mark.parametrize(
    ("fixed", "broke", "p_value"),
    # Two-sided binomial: 2 * (1 + 5) / 2^5 ... worked by hand.
    [(0, 0, 1.0), (1, 0, 1.0), (5, 0, 2 / 32), (4, 1, 12 / 32), (1, 4, 12 / 32), (3, 3, 1.0)],
)
def test_mcnemar_by_hand(fixed, broke, p_value):
    assert mcnemar_exact(fixed, broke) == pytest.approx(p_value)


def test_mcnemar_equals_scipy():
    pairs = [(f, b) for f in range(30) for b in range(30) if f + b]
    found = [mcnemar_exact(f, b) for f, b in pairs]
    assert found == pytest.approx([stats.binomtest(f, f + b).pvalue for f, b in pairs])
    assert mcnemar_exact(0, 2000) < 1e-300


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


class TestGainInterval:
    """Held against an enumeration of every outcome, and the exact test that stands beside it."""

    SHARES = (0.0, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.15, 0.2, 0.3)

    @pytest.mark.parametrize("total", [20, 50, 100, 400])
    def test_it_covers_the_truth(self, total):
        most = min(total, int(0.45 * total) + 25)
        pairs = [(f, b) for f in range(most + 1) for b in range(min(most, total - f) + 1)]
        edges = np.array([gain_interval(f, b, total) for f, b in pairs])
        fixed, broke = np.array(pairs).T
        others = special.gammaln(total + 1) - sum(
            special.gammaln(count + 1) for count in (fixed, broke, total - fixed - broke)
        )
        for better in self.SHARES:
            for worse in self.SHARES:
                logs = special.xlogy(fixed, better) + special.xlogy(broke, worse)
                logs = logs + (total - fixed - broke) * np.log(1 - better - worse)
                chance, gain = np.exp(others + logs), better - worse
                assert chance.sum() == pytest.approx(1, abs=1e-3)  # (almost) all outcomes
                inside = (edges[:, 0] <= gain + 1e-12) & (gain - 1e-12 <= edges[:, 1])
                assert chance[inside].sum() >= 0.9499, (better, worse)

    @pytest.mark.parametrize(
        ("total", "confidence"),
        [(1, 0.95), (6, 0.95), (20, 0.8), (60, 0.99), (60, 0.95), (400, 0.95)],
    )
    def test_it_leaves_out_zero_where_the_exact_test_does(self, total, confidence):
        for fixed in range(min(total, 60) + 1):
            for broke in range(min(total - fixed, fixed) + 1):
                low, high = gain_interval(fixed, broke, total, confidence)
                assert (low > 0 or high < 0) == (mcnemar_exact(fixed, broke) < 1 - confidence)
                assert high - low > 0.5 / total
                assert low <= (fixed - broke) / total <= high
                assert gain_interval(broke, fixed, total, confidence) == (-high, -low)

    def test_by_hand(self):
        # 5 / 402 - 1 / 402 = 0.00995; its error sqrt((6 / 402 - 0.00995^2) / 402) = 0.006074; 1.96
        # of them and half of 400 images are 0.01316.
        low, high = gain_interval(4, 0, 400)
        assert (low, high) == pytest.approx((0.00995 - 0.01316, 0.00995 + 0.01316), abs=2e-5)
        # p = 0.057, where the adjusted interval alone begins above 0.
        assert gain_interval(11, 3, 500)[0] <= 0.0
        low, high = gain_interval(0, 0, 1_000_000)
        assert low < 0 < high

    @pytest.mark.parametrize("confidence", [0.8, 0.99])
    def test_other_confidences(self, confidence):
        low, high = gain_interval(12, 2, 300, confidence)
        wanted = stats.norm.ppf(0.5 + confidence / 2) / stats.norm.ppf(0.975)
        usual = gain_interval(12, 2, 300)
        half = 1 / 300  # both ends have half an image more
        assert high - low - half == pytest.approx(wanted * (usual[1] - usual[0] - half))

    def test_more_changes_than_images(self):
        with pytest.raises(ValueError, match="images that changed: expected 0 to 5, got 6"):
            gain_interval(3, 3, 5)


class TestLevel:
    @pytest.mark.parametrize("counts", [(3, 2, 900), (40, 31, 4000), (0, 0, 60), (90, 20, 1000)])
    def test_it_is_where_the_interval_lies_within_the_margin(self, counts):
        low, high = gain_interval(*counts)
        for margin in (0.003, 0.01, 0.03, 0.09):
            # Not for those whose interval reached to 0, which lies within every margin.
            assert (level_p_value(*counts, margin) < 0.05) == (max(-low, high) < margin)

    def test_two_that_differ_by_the_margin_are_seldom_called_level(self):
        total, margin, wrong = 400, 0.02, 0.0
        for fixed in range(40):
            for broke in range(40):
                if level_p_value(fixed, broke, total, margin) < 0.05:
                    shares = [0.03, 0.01, 0.96]
                    counts = [fixed, broke, total - fixed - broke]
                    wrong += stats.multinomial(total, shares).pmf(counts)
        assert 0 < wrong <= 0.025


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
    with pytest.raises(ValueError, match="number of images: expected an integer of at least 1"):
        gain_report(torch.zeros(0).bool(), torch.zeros(0).bool())
    with pytest.raises(ValueError, match=r"baseline of gain_report: expected .* shape \(3\)"):
        gain_report(torch.ones(3).bool(), torch.ones(2).bool())


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
