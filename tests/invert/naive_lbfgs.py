"""Chai et al.'s full-batch L-BFGS on one problem at a time, in plain Python and float64.

Written from the description of their code (weak-Wolfe bracketing with its clamps, steps made and
undone in place, the failure loop), as an oracle for the batched one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

Function = Callable[[np.ndarray], tuple[float, np.ndarray]]

C1, C2 = 1e-4, 0.9


@dataclass
class Run:
    """What happened: the loss after the start and each step, and what each step cost."""

    losses: list[float] = field(default_factory=list)
    costs: list[int] = field(default_factory=list)
    failures: list[int] = field(default_factory=list)
    x: np.ndarray | None = None


def minimise(
    function: Function, start: np.ndarray, steps: int, history: int = 10, max_trials: int = 10
) -> Run:
    run, x = Run(), start.copy()
    loss, gradient = function(x)
    run.losses.append(loss)
    run.costs.append(1)
    pairs: list[tuple[np.ndarray, np.ndarray]] = []
    scale = 1.0
    for step in range(1, steps + 1):
        direction = two_loops(gradient, pairs, scale)
        x, t, new_loss, new_gradient, cost = search(
            function, x, loss, gradient, direction, max_trials
        )
        if t == 0:
            run.failures.append(step)  # and no pair is made of it
        else:
            s, y = t * direction, new_gradient - gradient
            if y.dot(s) > 0.01 * s.dot(-t * gradient):
                pairs = [*pairs, (s, y)][-history:]
                scale = y.dot(s) / y.dot(y)
        loss, gradient = new_loss, new_gradient
        run.losses.append(loss)
        run.costs.append(cost)
    run.x = x
    return run


def two_loops(gradient: np.ndarray, pairs: list, scale: float) -> np.ndarray:
    q, weights = -gradient, []
    for s, y in reversed(pairs):
        weights.append(s.dot(q) / y.dot(s))
        q = q - weights[-1] * y
    r = scale * q
    for (s, y), weight in zip(pairs, reversed(weights), strict=True):
        r = r + (weight - y.dot(r) / y.dot(s)) * s
    return r


def search(
    function: Function,
    x: np.ndarray,
    loss: float,
    gradient: np.ndarray,
    direction: np.ndarray,
    max_trials: int,
) -> tuple[np.ndarray, float, float, np.ndarray, int]:
    """(point, step, loss, gradient, evaluations); a step of 0 is a failure."""
    slope = gradient.dot(direction)
    low, high = 0.0, math.inf
    low_loss, low_slope, high_loss = loss, slope, math.nan
    t = 1.0
    x = x + t * direction
    new_loss, new_gradient = function(x)
    evaluations = 1
    for _ in range(max_trials):
        if new_loss > loss + C1 * t * slope:
            high, high_loss = t, new_loss
        elif new_gradient.dot(direction) < C2 * slope:
            low, low_loss, low_slope = t, new_loss, new_gradient.dot(direction)
        else:
            return x, t, new_loss, new_gradient, evaluations
        tried = t
        if high == math.inf:
            t = 2 * t
        elif not math.isfinite(high_loss):
            t = (low + high) / 2
        else:
            width = high - low
            curvature = 2 * (high_loss - low_loss - low_slope * width) / width**2
            t = min(max(low - low_slope / curvature, low), high)
            if t < low + 0.2 * width:
                t = low + 0.2 * width
            elif t > width / 2:
                t = width / 2  # `low` is forgotten
        x = x + (t - tried) * direction
        new_loss, new_gradient = function(x)
        evaluations += 1
    # The last point is not looked at: back the way it came.
    x = x - t * direction
    new_loss, new_gradient = function(x)
    return x, 0.0, new_loss, new_gradient, evaluations + 1
