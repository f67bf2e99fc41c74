"""Claims are about rows that exist, and what is said of them follows from interval and p."""

import pytest
import torch

from genviews.studies.learning.claims import CLAIMS, Hypothesis, claims_of, weigh_claims
from genviews.studies.learning.compare import Difference
from genviews.studies.learning.judge import Measured, RowResult
from genviews.studies.learning.row import LearningRow
from genviews.studies.learning.tables import learning_table
from recipes.fashion32.learn import TABLES, options_of


def gap(low: float, high: float) -> Difference:
    middle, p = (low + high) / 2, 0.01 if low > 0 or high < 0 else 0.5
    level = 0.01 if max(-low, high) < 0.01 else 0.5
    return Difference(
        mean=middle, interval=(low, high), p_value=p, seeds=1, per_seed=(middle,), p_level=level
    )


@pytest.mark.parametrize(
    ("low", "high", "expected", "word"),
    [
        (0.01, 0.03, "above", "holds"),
        (-0.01, 0.03, "above", "not seen"),
        (-0.03, -0.01, "above", "contradicted"),
        (-0.009, 0.009, "level", "holds"),
        (0.001, 0.009, "level", "holds"),
        (-0.02, 0.01, "level", "not seen"),
        (0.002, 0.03, "level", "contradicted"),
        (-0.03, -0.002, "level", "contradicted"),
    ],
)
def test_outcome(low, high, expected, word):
    claim = Hypothesis("t", "", expected)
    (found,) = claims_of([(("a", "b"), claim, gap(low, high))])
    assert found.outcome == word


def test_the_more_claims_the_less_each_says():
    claim = Hypothesis("t", "", "above")
    assert claims_of([(("a", "b"), claim, gap(0.01, 0.03))])[0].outcome == "holds"
    many = claims_of([(("a", "b"), claim, gap(0.01, 0.03))] * 6)
    assert {one.outcome for one in many} == {"not seen"}
    assert many[0].p_value == pytest.approx(0.06)


def test_so_for_claims_of_levelness():
    claim = Hypothesis("t", "", "level")
    assert claims_of([(("a", "b"), claim, gap(-0.009, 0.009))])[0].outcome == "holds"
    many = claims_of([(("a", "b"), claim, gap(-0.009, 0.009))] * 6)
    assert {one.outcome for one in many} == {"not seen"}


@pytest.mark.parametrize("table", sorted(CLAIMS))
def test_claims_are_about_rows_of_their_table(table):
    assert table in TABLES
    names = {row.name for row in learning_table(table, options_of(table))}
    for pair in CLAIMS[table]:
        assert set(pair) <= names, pair


def test_difference_is_paired_by_image_and_seed(tmp_path):
    truth = torch.tensor([0, 1, 0, 1])
    answers = {
        "10 times the samples": ([0, 1, 0, 0], [0, 1, 0, 1]),
        "0.1 times the samples": ([0, 0, 0, 0], [0, 1, 1, 0]),
    }
    results = [
        RowResult(
            row=LearningRow(name=name),
            seed=seed,
            folder=tmp_path,
            measured={"linear": Measured.of(torch.tensor(given) == truth)},
        )
        for name, by_seed in answers.items()
        for seed, given in enumerate(by_seed)
    ]
    (judged,) = weigh_claims("figure6", results)
    # Seed 0: 3 right against 2 of 4; seed 1: 4 against 2.
    assert judged.measured.value == pytest.approx(0.375)


def test_nothing_holds_of_a_row_that_knows_nothing(tmp_path):
    """The claimed row is better than another, and not better than always naming one class."""
    right = torch.arange(400)
    results = [
        RowResult(
            row=LearningRow(name=name),
            seed=0,
            folder=tmp_path,
            measured={"linear": Measured.of(right < count)},
        )
        for name, count in (("10 times the samples", 300), ("0.1 times the samples", 200))
    ]
    assert weigh_claims("figure6", results)[0].outcome == "holds"
    for floor, outcome in ((0.6, "holds"), (0.74, "not seen")):
        known = {"unseen": {"linear": floor}, "untrained": {"linear": 0.5}, "class": "a"}
        assert weigh_claims("figure6", results, known)[0].outcome == outcome
