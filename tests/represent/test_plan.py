"""Plans visit what they say, as often as they say, and are a function of the batch's number."""

from __future__ import annotations

from collections import Counter

import pytest

from genviews.represent.plan import RATIOS, SamplePlan


def test_without_end_no_sample_comes_twice() -> None:
    plan = SamplePlan(batch_size=5)
    seen = [i for step in range(20) for i in plan.batch(step)[0]]
    assert seen == list(range(100))
    assert {plan.batch(step)[1] for step in range(20)} == {0}


def test_an_epoch_visits_each_sample_once_in_a_new_order() -> None:
    plan = SamplePlan(batch_size=5, num_unique=20, seed=1)
    orders = []
    for epoch in range(3):
        batches = [plan.batch(epoch * plan.per_epoch + n) for n in range(plan.per_epoch)]
        assert {visit for _, visit in batches} == {epoch}
        orders.append(tuple(i for ids, _ in batches for i in ids))
        assert sorted(orders[-1]) == list(range(20))
    assert len(set(orders)) == 3
    assert SamplePlan(batch_size=5, num_unique=20, seed=2).batch(0) != plan.batch(0)


def test_what_does_not_fill_a_batch_waits_for_another_epoch() -> None:
    plan = SamplePlan(batch_size=4, num_unique=10)
    counts = Counter(i for step in range(2 * 200) for i in plan.batch(step)[0])
    assert set(counts) == set(range(10))
    assert all(len(set(plan.batch(step)[0])) == 4 for step in range(50))
    assert all(abs(counts[i] - 160) < 5 * (200 * 0.8 * 0.2) ** 0.5 for i in range(10))


@pytest.mark.parametrize("ratio", RATIOS)
def test_the_samples_study_keeps_the_number_of_updates(ratio) -> None:
    """Spec B11: r times the unique samples, each visited 1/r times as often."""
    base, batch, updates = 200, 10, 200  # ten epochs of the base set
    plan = SamplePlan.of_ratio(ratio, base, batch_size=batch)
    counts = Counter(i for step in range(updates) for i in plan.batch(step)[0])
    assert sum(counts.values()) == updates * batch
    assert len(counts) == round(ratio * base)
    assert set(counts.values()) == {round(10 / ratio)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size: expected an integer of at least 1"),
        ({"batch_size": 4, "num_unique": 3}, "num_unique: expected an integer of at least 4"),
    ],
)
def test_misuse_is_named(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        SamplePlan(**options)


def test_a_ratio_above_zero() -> None:
    with pytest.raises(ValueError, match="ratio: expected a finite number above 0"):
        SamplePlan.of_ratio(0.0, 100, batch_size=4)
