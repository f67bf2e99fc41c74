"""What rows say beside each other, compared with naive computations and simulated studies."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from genviews.ensemble.significance import accuracy_interval, gain_interval, level_p_value
from genviews.studies.learning.compare import compare, summarise
from genviews.studies.learning.judge import Measured, RowResult
from genviews.studies.learning.row import LearningRow


def compare_answers(values, **options):
    """Numbers of each test image, for each seed."""
    return compare([Measured.of(one) for one in values], **options)


def naive(values, p=0.05, extremes=(-1, 1)):
    """Middle and half width by loops over images and seeds, in plain Python numbers."""
    seeds, images = len(values), len(values[0])
    by_image = [sum(v[i] for v in values) / seeds for i in range(images)] + list(extremes)
    by_seed = [sum(v) / images for v in values]

    def error(numbers, fewer):
        middle = sum(numbers) / len(numbers)
        spread = sum((x - middle) ** 2 for x in numbers) / max(1, len(numbers) - fewer)
        return math.sqrt(spread / len(numbers))

    z = stats.norm.ppf(1 - p / 2) * error(by_image, 0)
    luck = max(error(by_seed, 1), 1 / images / math.sqrt(12 * seeds))
    t = stats.t.ppf(1 - p / 2, seeds - 1) * luck if seeds > 1 else 0.0
    return sum(by_image) / len(by_image), math.sqrt(z * z + t * t) + 1 / (2 * images)


def random_answers(seeds, images, seed=0, low=-1):
    rng = np.random.default_rng(seed)
    return [rng.integers(low, 2, size=images).tolist() for _ in range(seeds)]


class TestCompareAnswers:
    @pytest.mark.parametrize(("seeds", "images"), [(1, 50), (2, 7), (3, 50), (5, 2)])
    def test_equals_a_naive_computation(self, seeds, images):
        values = random_answers(seeds, images)
        found = compare_answers([torch.tensor(v) for v in values])
        middle, half = naive(values)
        assert found.mean == pytest.approx(np.mean(values), abs=1e-12)
        assert found.interval == pytest.approx((max(middle - half, -1), min(middle + half, 1)))
        assert found.per_seed == pytest.approx([sum(v) / images for v in values])
        assert found.seeds == seeds

    @pytest.mark.parametrize(("fixed", "broke", "total"), [(9, 4, 60), (0, 0, 30), (20, 3, 400)])
    def test_with_one_seed_it_is_the_interval_of_a_gain(self, fixed, broke, total):
        values = torch.tensor([1.0] * fixed + [-1.0] * broke + [0.0] * (total - fixed - broke))
        found = compare_answers([values])
        assert found.interval == pytest.approx(gain_interval(fixed, broke, total))
        level = level_p_value(fixed, broke, total)
        assert found.p_level == pytest.approx(level, rel=1e-6)
        assert (found.p_level < 0.05) == (max(map(abs, found.interval)) < 0.01)

    @pytest.mark.parametrize(("right", "total"), [(10, 10), (0, 10), (9, 10), (1, 40), (200, 200)])
    @pytest.mark.parametrize("seeds", [1, 3])
    def test_all_right_is_no_certainty(self, right, total, seeds):
        """Agresti and Coull's interval: of Wilson's centre, and a little wider."""
        answers = torch.tensor([1.0] * right + [0.0] * (total - right))
        low, high = compare_answers([answers] * seeds, least=0.0).interval
        wilson = accuracy_interval(right, total)
        for end, wanted in ((low, wilson[0]), (high, wilson[1])):
            assert end == pytest.approx(wanted, abs=1.5 / total)
        assert high - low > wilson[1] - wilson[0]
        assert 0.0 <= low < high <= 1.0

    def test_accuracies_near_the_edge_are_covered(self):
        """Of one seed, by enumeration."""
        for total in (10, 20, 100):
            rows = [torch.arange(total) < hits for hits in range(total + 1)]
            edges = np.array([compare_answers([r.double()], least=0.0).interval for r in rows])
            for share in (0.02, 0.1, 0.5, 0.9, 0.99):
                inside = (edges[:, 0] <= share) & (share <= edges[:, 1])
                assert stats.binom.pmf(np.flatnonzero(inside), total, share).sum() >= 0.95

    def test_with_one_image_it_is_students_test(self):
        """Images do not vary where there is one, so seeds alone count."""
        values = [0.1, 0.3, 0.2, 0.25]
        found = compare_answers([torch.tensor([v], dtype=torch.float64) for v in values])
        test = stats.ttest_1samp(values, 0.0)
        assert found.p_value == pytest.approx(test.pvalue, rel=1e-9)
        assert found.interval == pytest.approx(tuple(test.confidence_interval()))

    @pytest.mark.parametrize("seed", range(20))
    def test_p_is_below_five_percent_where_the_interval_leaves_zero_out(self, seed):
        rng = np.random.default_rng(seed)
        shift = rng.uniform(-0.6, 0.6)
        values = [np.sign(rng.normal(shift, 1, 40)) for _ in range(3)]
        found = compare_answers([torch.from_numpy(v) for v in values])
        inside = found.interval[0] <= 0 <= found.interval[1]
        assert inside == (found.p_value >= 0.05)
        middle, half = naive([v.tolist() for v in values], found.p_value)
        assert half == pytest.approx(abs(middle), rel=1e-6)  # the interval that ends at 0

    def test_an_interval_stays_where_values_can_be(self):
        values = [torch.tensor([1.0, 1, 1, 0]), torch.tensor([1.0, 1, 1, 1])]
        assert compare_answers(values, least=0.0).interval == (0.0, 1.0)
        opposite = compare_answers([-v for v in values]).interval
        assert opposite[0] == -1.0
        assert opposite[1] > 0.0

    def test_seeds_that_coincide_are_no_certainty(self):
        nothing, one = torch.zeros(30), torch.ones(30)
        found = compare_answers([nothing, nothing])
        assert (found.mean, found.p_value) == (0.0, 1.0)
        assert found.interval[0] < -0.05
        assert found.interval[1] == -found.interval[0]
        assert 0.0 < compare_answers([one, one]).p_value < 0.05
        # The luck of two seeds: rounding alone moves each by up to half an image.
        assert compare_answers([one, one]).p_value > compare_answers([one]).p_value

    @pytest.mark.parametrize("values", [[0.1, 0.1], [0.0, 0.0, 0.0], [0.1]])
    def test_numbers_that_coincide_say_nothing_where_no_image_is_known(self, values):
        found = compare([Measured(value=value) for value in values])
        assert (found.interval, found.p_value, found.p_level) == (None, None, None)
        assert compare([Measured(value=v) for v in (0.1, 0.2)]).interval is not None

    def test_far_apart_is_not_rounded_to_zero_too_early(self):
        values = torch.cat([torch.ones(300), torch.zeros(100)])
        more = np.array([*values.tolist(), 1.0, -1.0])
        z = (more.mean() - 0.5 / 400) / stats.sem(more, ddof=0)
        assert compare_answers([values]).p_value == pytest.approx(2 * stats.norm.sf(z), rel=1e-3)

    @pytest.mark.parametrize("values", [[], [torch.zeros(0)], [torch.zeros(3), torch.zeros(4)]])
    def test_answers_to_other_images_are_refused(self, values):
        with pytest.raises(ValueError, match="those to the same test images"):
            compare_answers(values)


def simulate(seeds, deviation, *, studies=250, images=150, seed=0):
    """How often the interval of a difference holds the true one.

    Two rows on the same test images, some of which are hard. The luck of an encoder's seed moves
    its ability by `deviation`; the truth is the mean over all images and seeds that there could be.
    """
    rng = np.random.default_rng(seed)
    scale = math.sqrt(1 + 1 + deviation**2)
    truth = stats.norm.cdf(1.2 / scale) - stats.norm.cdf(0.9 / scale)
    held = rejected = 0
    for _ in range(studies):
        ease = rng.normal(size=images)
        right = [
            rng.random((seeds, images))
            < stats.norm.cdf(skill + ease + rng.normal(0, deviation, (seeds, 1)))
            for skill in (1.2, 0.9)
        ]
        gaps = right[0].astype(float) - right[1]
        found = compare_answers([torch.from_numpy(gap) for gap in gaps])
        held += found.interval[0] <= truth <= found.interval[1]
        rejected += found.p_value < 0.05
    return held / studies, rejected / studies


class TestCoverage:
    @pytest.mark.parametrize("seeds", [2, 3, 5])
    @pytest.mark.parametrize("deviation", [0.0, 0.1, 0.5])
    def test_intervals_hold_the_truth_as_often_as_they_say(self, seeds, deviation):
        held, _ = simulate(seeds, deviation)
        assert held >= 0.91  # of 0.95, with 250 studies

    def test_an_interval_of_images_alone_would_not(self):
        """The simulation can tell: without the seeds' part the interval is too narrow."""
        rng = np.random.default_rng(0)
        held = 0
        for _ in range(300):
            luck = rng.normal(0, 0.5, (3, 1))
            right = rng.random((3, 150)) < stats.norm.cdf(1 + rng.normal(size=150) + luck)
            found = compare_answers([torch.from_numpy(right.mean(0))])  # one row: no seeds
            held += found.interval[0] <= stats.norm.cdf(1 / 1.5) <= found.interval[1]
        assert held / 300 < 0.85

    def test_more_seeds_find_more(self):
        assert simulate(5, 0.1)[1] > simulate(2, 0.1)[1] + 0.1


def result(name, seed, answers, val=0.5, **training):
    record = {probe: {"val": val} for probe in answers}
    found = {n: Measured.of(torch.tensor(values) == TRUTH) for n, values in answers.items()}
    row = LearningRow(name=name, pixels=True)
    return RowResult(
        row=row,
        seed=seed,
        folder=Path(),
        record={**record, "training": training},
        measured=found,
    )


TRUTH = torch.tensor([0, 1, 2, 0, 1, 2])


class TestSummarise:
    @pytest.fixture
    def results(self):
        good, bad = [0, 1, 2, 0, 1, 0], [0, 0, 0, 0, 1, 2]
        return [
            result("a", 0, {"linear": bad}, 0.5, samples_per_second=10.0, waiting_for_views=0.1),
            result("a", 1, {"linear": good}, 0.7, samples_per_second=30.0, waiting_for_views=0.3),
            result("b", 0, {"linear": good}, 0.8),
            result("b", 1, {"linear": good}, 0.6),
        ]

    def test_accuracies_and_paired_differences(self, results):
        a, b = summarise(results, reference="a")
        assert a.accuracy["linear"].per_seed == pytest.approx((4 / 6, 5 / 6))
        assert a.against is None
        assert b.accuracy["linear"].mean == pytest.approx(5 / 6)
        gaps = [[0, 1, 1, 0, 0, -1], [0, 0, 0, 0, 0, 0]]
        middle, half = naive(gaps)
        assert b.against["linear"].mean == pytest.approx(1 / 12)
        assert b.against["linear"].interval == pytest.approx(
            (max(middle - half, -1), min(middle + half, 1))
        )

    def test_val_and_speed_over_seeds(self, results):
        a, b = summarise(results, reference="a")
        assert a.val == {"linear": pytest.approx(0.6)}
        assert (a.samples_per_second, a.waiting_for_views) == (20.0, pytest.approx(0.2))
        assert (b.samples_per_second, b.waiting_for_views) == (None, None)

    def test_seeds_are_matched_by_their_number(self, results):
        shuffled = [results[i] for i in (3, 1, 0, 2)]
        found = {row.name: row for row in summarise(shuffled, reference="a")}
        wanted = summarise(results, reference="a")[1]
        assert found["b"].against["linear"].mean == wanted.against["linear"].mean
        assert sorted(found["b"].against["linear"].per_seed) == sorted(
            wanted.against["linear"].per_seed
        )

    def test_an_interval_of_accuracy_is_within_zero_and_one(self, results):
        for row in summarise(results, reference="a"):
            low, high = row.accuracy["linear"].interval
            assert 0.0 <= low <= high <= 1.0

    def test_an_unknown_reference(self, results):
        with pytest.raises(ValueError, match="reference row: expected one of a, b, got 'c'"):
            summarise(results, reference="c")

    def test_other_seeds_than_the_references(self, results):
        with pytest.raises(ValueError, match=r"seeds of row 'b': expected \[0, 1\]"):
            summarise(results[:3], reference="a")
