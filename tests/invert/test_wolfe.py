"""The line search: what it takes satisfies both conditions, and each image brackets on its own."""

import math

import numpy as np
import pytest
import torch

from genviews.invert.lbfgs import LBFGS
from tests.invert.problems import bent, drive, logistic, quadratic, rosenbrock, starts, walled

SHARES = [(1e-4, 0.9), (1e-4, 0.1), (0.3, 0.5)]


@pytest.mark.parametrize("faithful", [False, True])
@pytest.mark.parametrize(("c1", "c2"), SHARES)
def test_both_conditions_hold_after_each_step(c1, c2, faithful):
    problems = [
        *(bent(i) for i in range(3)),
        *(bent(i, kinks=0.5) for i in range(3)),
        walled(bent(3), math.inf, radius=4.0),
        logistic(4),
        quadratic(5),
        rosenbrock,
    ]
    optimizer = LBFGS(history=10, c1=c1, c2=c2, faithful=faithful)
    checked = refused = 0
    rows = drive(optimizer, problems, 0.7 * starts(len(problems), seed=3), 25)
    for row, function in zip(rows, problems, strict=True):
        for old, new, cost in zip(row.x, row.x[1:], row.costs[1:], strict=False):
            (f, g), (f_new, g_new) = function(old), function(new)
            if cost >= 11:  # a search that was used up
                continue
            step = new - old
            assert f_new <= f + c1 * (g @ step) + 1e-12 * abs(f)
            assert g_new @ step >= c2 * (g @ step) - 1e-12 * abs(g @ step)
            checked, refused = checked + 1, refused + (cost > 1)
    assert checked > 150
    assert refused > 20


def parabola(k):
    """From 1, the first direction leads to 1 - k t: the minimum is at t = 1/k."""
    return lambda w: (float(0.5 * k * w @ w), k * w)


@pytest.mark.parametrize(
    ("k", "trials"),
    [
        (1.0, [0.0]),  # the minimum at once
        (5.0, [-4.0, 0.0]),  # then by the parabola, which is exact
        (40.0, [-39.0, 1 - 40 * 0.1, 0.0]),  # no less than a tenth of the bracket
        (0.01, [0.99, 0.98, 0.96, 0.92, 0.84]),  # doubled until a tenth of the slope is gone
    ],
)
def test_trials_on_a_parabola(k, trials):
    neighbours = [parabola(k), parabola(0.3), parabola(900.0)]
    rows = drive(LBFGS(), neighbours, torch.ones(3, 1).double(), 1)
    np.testing.assert_allclose(np.ravel(rows[0].points), [1.0, *trials], atol=1e-12)


def test_no_more_than_nine_tenths_of_the_bracket():
    # So large a c1 refuses t = 1, short of the minimum at 1 / 0.42.
    (row,) = drive(LBFGS(c1=0.8, c2=0.9), [parabola(0.42)], torch.ones(1, 1).double(), 1)
    np.testing.assert_allclose(np.ravel(row.points), [1.0, 1 - 0.42, 1 - 0.42 * 0.9])


def test_the_reference_clamps_at_a_fifth_and_at_half_the_width():
    problems = [parabola(40.0), parabola(2.2)]
    low, high = drive(LBFGS.reference(), problems, torch.ones(2, 1).double(), 1)
    assert low.points[2] == pytest.approx(1 - 40 * 0.2)
    assert high.points[2] == pytest.approx(1 - 2.2 / 2.2)
