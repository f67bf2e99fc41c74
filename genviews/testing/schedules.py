"""The contract of learning rates: the laws that each `Schedule` keeps."""

from __future__ import annotations

import math
import pickle
from functools import partial

from genviews.represent.schedule import Schedule
from genviews.testing.laws import described_apart, expect, laws_of, refuses, run_laws

__all__ = ["SCHEDULE_CHECKS", "check_schedule"]

MOST = 1000  # steps that are looked at


def check_schedule(schedule: Schedule) -> None:
    """Run every check of the contract on one schedule.

    Raises:
        AssertionError: a law is broken; the message says which.

    Example:
        >>> from genviews.represent.schedule import StepCosine
        >>> check_schedule(StepCosine(steps=40, warmup_steps=4))
    """
    run_laws(SCHEDULE_CHECKS, schedule)


def every_step_has_a_rate(schedule: Schedule) -> None:
    """The rate of each step is a finite number above 0."""
    rates = [schedule.rate(step) for step in _steps(schedule)]
    good = all(math.isfinite(rate) and rate > 0 for rate in rates)
    expect(good, f"rates from {min(rates)} to {max(rates)}")


def steps_beyond_the_training_are_refused(schedule: Schedule) -> None:
    """A step below 0 or from `total_steps` on is an error: the training is over."""
    for step in (-1, schedule.total_steps, 2 * schedule.total_steps):
        refuses(partial(schedule.rate, step), f"step {step} of {schedule.total_steps}")


def the_step_alone_decides(schedule: Schedule) -> None:
    """Asked in another order, again, or after pickling, a step has the same rate."""
    steps = _steps(schedule)
    rates = [schedule.rate(step) for step in steps]
    again = [schedule.rate(step) for step in reversed(steps)][::-1]
    expect(again == rates, "another rate when asked in another order")
    copied = pickle.loads(pickle.dumps(schedule))
    expect([copied.rate(step) for step in steps] == rates, "another rate after pickling")


def it_is_described(schedule: Schedule) -> None:
    """A copy has the same key for stored results."""
    described_apart(schedule)


SCHEDULE_CHECKS = laws_of(globals())


def _steps(schedule: Schedule) -> list[int]:
    """Up to a thousand steps, the first and the last among them."""
    total = schedule.total_steps
    return sorted({*range(0, total, max(1, total // MOST)), total - 1})
