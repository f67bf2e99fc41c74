"""Batched Adam equals torch's, one image at a time, with the learning rate of its own steps."""

import math

import numpy as np
import pytest
import torch

from genviews.invert.optimizer import Adam
from tests.invert.problems import Seen, bent, drive, evaluate, follow, starts, walled


def by_torch(function, start, optimizer, steps):
    """The points that torch's Adam visits."""
    point = torch.nn.Parameter(start.clone())
    adam = torch.optim.Adam([point], lr=optimizer.lr, betas=optimizer.betas, eps=1e-8)

    def share(step):
        fall = 0.5 * (1 + math.cos(math.pi * step / steps))
        return optimizer.final + (1 - optimizer.final) * fall

    schedule = torch.optim.lr_scheduler.LambdaLR(adam, share)
    points = [start.numpy()]
    for _ in range(steps):
        point.grad = torch.from_numpy(function(point.detach().numpy())[1])
        adam.step()
        schedule.step()
        points.append(point.detach().numpy().copy())
    return points


@pytest.mark.parametrize(
    "optimizer",
    [Adam(), Adam(lr=0.3, betas=(0.5, 0.9), final=1.0), Adam(lr=0.01, betas=(0.9, 0.999), final=0)],
    ids=["default", "constant", "to zero"],
)
def test_equals_torch(optimizer):
    problems = [bent(0), bent(1, kinks=0.5), bent(2)]
    start = starts(3)
    for row, function, x in zip(
        drive(optimizer, problems, start, 40), problems, start, strict=True
    ):
        wanted = by_torch(function, x, optimizer, 40)
        np.testing.assert_allclose(row.points, wanted, rtol=1e-9, atol=1e-12)
        assert row.costs == 41 * [1]


def test_each_image_has_a_schedule_of_its_own():
    """One that joins later is not further down the cosine, nor are its moments."""
    problems, start, steps = [bent(0), bent(1)], starts(2), 30
    optimizer = Adam(lr=0.1)
    state = optimizer.begin(start[:1], steps)
    seen = [Seen(), Seen()]
    for _ in range(12):
        follow(optimizer, state, problems[:1], seen[:1], steps)
    state = state.join(optimizer.begin(start[1:], steps))
    while int(state.made.min()) < steps:
        follow(optimizer, state, problems, seen, steps)
    for row, function, x in zip(seen, problems, start, strict=True):
        np.testing.assert_allclose(row.points, by_torch(function, x, optimizer, steps), rtol=1e-9)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_no_number_ends_the_image_alone(bad):
    problems = [walled(bent(0), bad, radius=0.1), bent(1)]
    bad_row, good = drive(Adam(), problems, starts(2), 10)
    assert bad_row.stuck
    assert len(bad_row.points) == 1
    assert not good.stuck
    assert np.isfinite(good.points).all()


def test_a_gradient_that_is_no_number_ends_the_image():
    optimizer = Adam()
    state = optimizer.begin(starts(3), 5)
    loss, gradient = evaluate([bent(i) for i in range(3)], state.point)
    gradient[1, 4] = math.nan
    optimizer.advance(state, loss, gradient, 5)
    assert state.stuck.tolist() == [False, True, False]


def test_a_new_objective_changes_no_more_than_who_is_stuck():
    optimizer = Adam()
    state = optimizer.begin(starts(3), 5)
    loss, gradient = evaluate([bent(i) for i in range(3)], state.point)
    loss[:2] = math.inf
    optimizer.advance(state, loss, gradient, 5)
    before = {name: value.clone() for name, value in vars(state).items()}
    optimizer.renew(state, torch.tensor([True, False, False]))
    assert before.pop("stuck").tolist() == [True, True, False]
    assert state.stuck.tolist() == [False, True, False]
    assert all(torch.equal(getattr(state, name), value) for name, value in before.items())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": 0.0}, "lr: expected a finite number above 0, got 0.0"),
        ({"lr": math.nan}, "lr: expected a finite number above 0"),
        ({"betas": (0.9, 1.0)}, "betas: expected a finite number of at least 0 and below 1"),
        ({"betas": (-0.1, 0.9)}, "betas: expected a finite number of at least 0 and below 1"),
        ({"final": 1.5}, r"final: expected a number in \[0, 1\]"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        Adam(**settings)
