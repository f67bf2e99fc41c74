"""Functions to minimise, and a driver that shows an optimizer a batch of them, row by row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.special import expit
from torch import Tensor

from genviews.invert.optimizer import Optimizer, State
from tests.invert.naive_lbfgs import Function

SIZE = 12


def _rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def bent(seed: int, kinks: float = 0.0, size: int = SIZE) -> Function:
    """Squares and absolute values of a bent linear map: like pixels of a small generator."""
    rng = _rng(seed)
    matrix, target = rng.standard_normal((20, size)), rng.standard_normal(20)

    def function(w):
        error = matrix @ np.tanh(w) - target
        loss = 0.1 * error.dot(error) + kinks * np.abs(error).sum() + 0.05 * (w**4).sum()
        slope = matrix.T @ (0.2 * error + kinks * np.sign(error))
        return float(loss), slope * (1 - np.tanh(w) ** 2) + 0.2 * w**3

    return function


def logistic(seed: int, size: int = SIZE) -> Function:
    """Strictly convex: a regularised logistic regression."""
    rng = _rng(seed)
    rows, signs = rng.standard_normal((40, size)), rng.choice([-1.0, 1.0], 40)

    def function(w):
        margin = signs * (rows @ w)
        loss = np.logaddexp(0, -margin).sum() + 0.05 * w.dot(w)
        return float(loss), -rows.T @ (signs * expit(-margin)) + 0.1 * w

    return function


def quadratic(seed: int, condition: float = 30.0, size: int = SIZE) -> Function:
    """Minimum 0."""
    rng = _rng(seed)
    basis = np.linalg.qr(rng.standard_normal((size, size))).Q
    matrix = basis @ np.diag(np.geomspace(1, condition, size)) @ basis.T
    centre = rng.standard_normal(size)

    def function(w):
        return float(0.5 * (w - centre) @ matrix @ (w - centre)), matrix @ (w - centre)

    return function


def rosenbrock(w: np.ndarray) -> tuple[float, np.ndarray]:
    """The banana in any dimension; minimum 0 at ones."""
    bend, rest = w[1:] - w[:-1] ** 2, 1 - w[:-1]
    gradient = np.zeros_like(w)
    gradient[:-1] = -400 * w[:-1] * bend - 2 * rest
    gradient[1:] += 200 * bend
    return float(100 * bend.dot(bend) + rest.dot(rest)), gradient


def corner(w: np.ndarray) -> tuple[float, np.ndarray]:
    """The sum of absolute values, whose slope at 0 is that of its right side: no step helps there.

    A search from 0 tries 1, 1/4, 1/16, ...: exact numbers, so undoing it leaves no round-off.
    """
    return float(np.abs(w).sum()), np.where(w >= 0, 1.0, -1.0)


def walled(inside: Function, bad: float, radius: float = 3.0, spoil: float = math.nan) -> Function:
    """`inside` near 0; elsewhere a loss that is no number, and a gradient times `spoil`."""

    def function(w):
        loss, gradient = inside(w)
        return (loss, gradient) if w.dot(w) < radius**2 else (bad, gradient * spoil)

    return function


def starts(count: int, seed: int = 0, size: int = SIZE) -> Tensor:
    """Float64 points to start from."""
    return torch.from_numpy(_rng(seed).standard_normal((count, size)))


@dataclass
class Seen:
    """What one row saw: after the start and each step, its point, loss and gradient and the cost.

    `points` are all that it asked for, and `homes` the iterates that it had when it asked.
    """

    x: list[np.ndarray] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    gradients: list[np.ndarray] = field(default_factory=list)
    costs: list[int] = field(default_factory=list)
    points: list[np.ndarray] = field(default_factory=list)
    homes: list[np.ndarray | None] = field(default_factory=list)
    stuck: bool = False


def evaluate(problems: Sequence[Function], points: Tensor) -> tuple[Tensor, Tensor]:
    """Loss and gradient of each row, each by its own problem alone."""
    found = [f(x.double().numpy()) for f, x in zip(problems, points, strict=True)]
    losses = torch.tensor([loss for loss, _ in found], dtype=points.dtype)
    return losses, torch.from_numpy(np.stack([g for _, g in found])).to(points.dtype)


def drive(
    optimizer: Optimizer, problems: Sequence[Function], start: Tensor, steps: int
) -> list[Seen]:
    """Minimise all rows at once until each has made its steps or is stuck."""
    state = optimizer.begin(start, steps)
    seen = [Seen() for _ in problems]
    while going(state, steps).any():
        follow(optimizer, state, problems, seen, steps)
    return seen


def going(state: State, steps: int) -> Tensor:
    return (state.made < steps) & ~state.stuck


def follow(
    optimizer: Optimizer,
    state: State,
    problems: Sequence[Function],
    seen: Sequence[Seen],
    steps: int,
) -> None:
    """One evaluation of each row; those that are done are evaluated too, but not noted."""
    noted, before, points = going(state, steps), state.made.clone(), state.point.clone()
    loss, gradient = evaluate(problems, points)
    optimizer.advance(state, loss, gradient, steps)
    for i in torch.nonzero(noted).flatten().tolist():
        row = seen[i]
        row.points.append(points[i].numpy())
        row.homes.append(row.x[-1] if row.x else None)
        if state.made[i] > before[i]:
            row.costs.append(len(row.points) - sum(row.costs))
            row.x.append(state.x[i].numpy().copy() if hasattr(state, "x") else points[i].numpy())
            row.losses.append(float(state.f[i]) if hasattr(state, "f") else float(loss[i]))
            row.gradients.append(state.g[i].numpy().copy() if hasattr(state, "g") else None)
        row.stuck = bool(state.stuck[i])
