"""Claims are about rows that exist, and verdicts follow from the interval alone."""

import pytest
import torch

from genviews.studies.learning.compare import Difference
from genviews.studies.learning.row import LearningRow
from genviews.studies.learning.run import RowResult
from recipes.fashion32.learn import TABLES, rows_of
from recipes.fashion32.learn_claims import CLAIMS, judge_claims, verdict


def gap(low: float, high: float) -> Difference:
    middle = (low + high) / 2
    return Difference(mean=middle, interval=(low, high), p_value=0.5, seeds=1, per_seed=(middle,))


@pytest.mark.parametrize(
    ("low", "high", "expected", "word"),
    [
        (0.01, 0.03, "above", "holds"),
        (-0.01, 0.03, "above", "not seen"),
        (-0.03, -0.01, "above", "the opposite"),
        (-0.009, 0.009, "level", "holds"),
        (0.001, 0.009, "level", "holds"),
        (-0.02, 0.01, "level", "no difference seen"),
        (0.002, 0.03, "level", "better"),
        (-0.03, -0.002, "level", "worse"),
    ],
)
def test_verdict(low, high, expected, word):
    assert verdict(gap(low, high), expected) == word


@pytest.mark.parametrize("table", sorted(CLAIMS))
def test_claims_are_about_rows_of_their_table(table):
    assert table in TABLES
    names = {row.name for row in rows_of(table)}
    for claim in CLAIMS[table]:
        assert {claim.a, claim.b} <= names, claim


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
            record={},
            answers={"linear": torch.tensor(given)},
        )
        for name, by_seed in answers.items()
        for seed, given in enumerate(by_seed)
    ]
    (judged,) = judge_claims("figure6", results, truth)
    # Seed 0: 3 right against 2 of 4; seed 1: 4 against 2.
    assert judged["difference"]["per_seed"] == pytest.approx((0.25, 0.5))
    assert judged["difference"]["mean"] == pytest.approx(0.375)
