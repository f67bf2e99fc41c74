"""`LBFGS.reference()` against the original code: the checkout in GENVIEWS_REFERENCE_ENSEMBLING."""

import math
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.reference_inversion import VARIABLE, load_lbfgs
from genviews.invert.lbfgs import LBFGS
from tests.invert import naive_lbfgs as naive
from tests.invert.problems import bent, corner, drive, logistic, rosenbrock, starts, walled

needs_checkout = pytest.mark.skipif(
    VARIABLE not in os.environ, reason=f"{VARIABLE} names no gan-ensembling checkout"
)


class Numpy(torch.autograd.Function):
    """A function of numpy arrays, for torch."""

    @staticmethod
    def forward(ctx, point, function):
        loss, gradient = function(point.numpy())
        ctx.save_for_backward(torch.from_numpy(gradient))
        return torch.tensor(loss, dtype=point.dtype)

    @staticmethod
    def backward(ctx, above):
        return above * ctx.saved_tensors[0], None


@pytest.fixture(scope="module")
def original():
    """Function, start, steps -> (losses, evaluations of each step), by the original loop."""
    module = load_lbfgs(Path(os.environ[VARIABLE]))

    def run(function, start, steps):
        point = start.clone().requires_grad_(True)
        optimizer = module.FullBatchLBFGS([point], dtype=torch.float64)

        def closure():
            optimizer.zero_grad()
            costs[-1] += 1
            return Numpy.apply(point, function)

        costs, losses = [0], []
        loss = closure()
        loss.backward()
        losses.append(loss.item())
        for _ in range(steps):
            costs.append(0)
            options = {"closure": closure, "current_loss": loss, "max_ls": 10}
            loss = optimizer.step(options)[0]
            losses.append(loss.item())
        return losses, costs

    return run


@needs_checkout
@pytest.mark.parametrize(
    ("problems", "steps"),
    [
        ([bent(i) for i in range(8)], 28),
        ([bent(i, kinks=0.5) for i in range(8)], 48),
        ([logistic(i) for i in range(4)], 20),
        ([rosenbrock] * 4, 20),
        ([walled(bent(i), math.nan, radius=3.5) for i in range(6)], 10),
        ([walled(bent(i), math.inf, radius=5.0) for i in range(6)], 20),
        ([corner] * 3, 10),
    ],
    ids=["smooth", "kinks", "logistic", "rosenbrock", "nan", "inf", "corner"],
)
def test_same_losses_and_same_evaluations(original, problems, steps):
    start = starts(len(problems), seed=3)
    if problems[0] is corner:
        start = start.round()
    seen = drive(LBFGS.reference(), problems, start, steps)
    for row, function, x in zip(seen, problems, start, strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            losses, costs = original(function, x, steps)
        np.testing.assert_allclose(row.losses, losses, rtol=0, atol=1e-9)
        assert row.costs == costs
        run = naive.minimise(function, x.numpy(), steps)
        np.testing.assert_allclose(run.losses, losses, rtol=0, atol=1e-9)
        assert run.costs == costs


def test_a_folder_that_is_no_checkout_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"expected a folder with utils/LBFGS\.py"):
        load_lbfgs(tmp_path)


def test_removed_calls_are_respelt(tmp_path):
    (tmp_path / "utils").mkdir()
    (tmp_path / "utils" / "LBFGS.py").write_text(
        "import numpy as np\n"
        "class FullBatchLBFGS:\n"
        "    least = np.Inf\n"
        "    def move(self, x, a, d):\n"
        "        x.data.add_(a[0], d[0:3].view_as(x.data))\n"
        "        x.add_(-a[0] - 1, d)\n"
        "        return x.add_(d)\n"
    )
    made = load_lbfgs(tmp_path).FullBatchLBFGS
    a, d = [2.0], torch.ones(3)
    assert made.least == math.inf
    assert torch.equal(made().move(torch.zeros(3), a, d), torch.zeros(3))
