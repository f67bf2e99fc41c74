"""Every schedule of learning rates against its contract: a new one is a new row."""

from __future__ import annotations

import pytest

from genviews.represent.schedule import EpochCosine, Schedule, StepCosine
from genviews.testing import SCHEDULE_CHECKS, check_schedule
from tests.contracts.complete import leaves

SCHEDULES = [
    EpochCosine(epochs=20, steps_per_epoch=3),
    EpochCosine(epochs=200, steps_per_epoch=50, batch=512),
    StepCosine(steps=30),
    StepCosine(steps=30, peak=0.2, warmup_steps=5, floor=0.01),
    StepCosine(steps=1),
]


def test_the_table_is_complete() -> None:
    assert leaves(Schedule) == {type(schedule) for schedule in SCHEDULES}


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_schedule_contract(schedule: Schedule) -> None:
    check_schedule(schedule)


class Broken(Schedule):
    """Falls by half each step; breaks one law, named by `law`."""

    def __init__(self, law: str) -> None:
        self.law, self.asked = law, 0

    def __describe__(self) -> dict[str, object]:
        return {"law": self.law, "copies": id(self) if self.law == "it_is_described" else 0}

    @property
    def total_steps(self) -> int:
        return 8

    def rate(self, step: int) -> float:
        self.asked += 1
        if not 0 <= step < 8 and self.law != "steps_beyond_the_training_are_refused":
            raise ValueError("the training is over")
        if self.law == "the_step_alone_decides":
            step = self.asked
        return 0.0 if self.law == "every_step_has_a_rate" and step == 7 else 0.5**step


@pytest.mark.parametrize("check", SCHEDULE_CHECKS, ids=lambda check: check.__name__)
def test_a_schedule_that_breaks_the_law_is_caught(check) -> None:
    with pytest.raises(AssertionError):
        check(Broken(check.__name__))
    check(Broken("none"))
