"""A line search in which every image of the batch has its own bracket, trial step and count.

Along a direction d from x, a step t is taken when it satisfies the weak Wolfe conditions

    f(x + t d) <= f(x) + c1 t g.d      (the loss has fallen enough)
    g(x + t d).d >= c2 g.d             (and the slope is no longer steep)

A step that fails the first is an upper end of the bracket, one that fails the second a lower end.
Without an upper end the trial doubles; with one it moves to the minimum of the parabola through
the lower end's loss and slope and the upper end's loss.

Source: Lewis and Overton 2013, "Nonsmooth optimization via quasi-Newton methods", Math. Program.
141, Algorithm 2.6 (bracketing); Nocedal and Wright 2006, Eq. 3.57 (parabola).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from genviews.invert.optimizer import State

__all__ = ["SearchState", "WolfeSearch"]


@dataclass
class SearchState(State):
    """A line search of each image.

    Args:
        x: (B, P) the last iterate, with its loss `f` (B,) and gradient `g` (B, P).
        direction: (B, P) of the search, with `slope` (B,) = g.d.
        t: (B,) the trial step; `point` is x + t d.
        low, high: (B,) the bracket; 0 and infinity at first.
        low_loss, low_slope, low_gradient: at the lower end.
        high_loss: at the upper end; NaN while there is none.
        trials: (B,) trials that were refused.
    """

    x: Tensor
    f: Tensor
    g: Tensor
    direction: Tensor
    slope: Tensor
    t: Tensor
    low: Tensor
    high: Tensor
    low_loss: Tensor
    low_slope: Tensor
    low_gradient: Tensor
    high_loss: Tensor
    trials: Tensor


@dataclass(frozen=True, kw_only=True)
class WolfeSearch:
    """The settings of the search.

    Args:
        c1: share of the predicted fall that a step must bring.
        c2: share of the slope that may remain.
        max_trials: refusals after which the search is used up (one more point is evaluated).
        faithful: the reference code's search, to compare with: it ignores the last point that it
            evaluates, takes a loss that is NaN, and clamps the parabola's minimum as it does
            (below to low + (high - low) / 5, above to (high - low) / 2, which omits `low`).
    """

    c1: float = 1e-4
    c2: float = 0.9
    max_trials: int = 10
    faithful: bool = False

    def judge(self, state: SearchState, loss: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Judge each trial, narrow the brackets, and set the next `t`.

        Returns:
            Masks (B,): whose trial is taken, and whose search is used up.
        """
        slope = (gradient * state.direction).sum(1)
        enough = state.f + self.c1 * state.t * state.slope
        if self.faithful:
            high = loss > enough
            low = ~high & (slope < self.c2 * state.slope)
        else:
            # Written so that NaN counts as too high.
            high = ~((loss <= enough) & gradient.isfinite().all(1))
            low = ~high & ~(slope >= self.c2 * state.slope)
        last = state.trials >= self.max_trials
        taken = ~high & ~low
        if self.faithful:
            taken = taken & ~last
        state.high = torch.where(high, state.t, state.high)
        state.high_loss = torch.where(high, loss, state.high_loss)
        state.low = torch.where(low, state.t, state.low)
        state.low_loss = torch.where(low, loss, state.low_loss)
        state.low_slope = torch.where(low, slope, state.low_slope)
        state.low_gradient = torch.where(low[:, None], gradient, state.low_gradient)
        state.trials = state.trials + (~taken).long()
        state.t = torch.where(taken, state.t, self._next(state))
        return taken, ~taken & last

    def _next(self, state: SearchState) -> Tensor:
        low, high = state.low, state.high
        width = high - low
        rise = state.high_loss - state.low_loss - state.low_slope * width
        lowest = low - state.low_slope * width.square() / (2 * rise)
        if self.faithful:
            inside = lowest.clamp(low, high)
            above = torch.where(inside > width / 2, width / 2, inside)
            inside = torch.where(inside < low + 0.2 * width, low + 0.2 * width, above)
            inside = torch.where(inside <= 0, width / 2, inside)
        else:
            inside = lowest.clamp(low + 0.1 * width, low + 0.9 * width)
        known = state.high_loss.isfinite() & inside.isfinite()
        inside = torch.where(known, inside, (low + high) / 2)
        return torch.where(high.isinf(), 2 * state.t, inside)

    def restart(self, state: SearchState, rows: Tensor) -> None:
        """Begin a search from `x` along `direction` with t = 1, for the images of the mask."""
        state.slope = torch.where(rows, (state.g * state.direction).sum(1), state.slope)
        state.t = torch.where(rows, 1.0, state.t)
        state.low = torch.where(rows, 0.0, state.low)
        state.high = torch.where(rows, math.inf, state.high)
        state.low_loss = torch.where(rows, state.f, state.low_loss)
        state.low_slope = torch.where(rows, state.slope, state.low_slope)
        state.high_loss = torch.where(rows, math.nan, state.high_loss)
        state.trials = torch.where(rows, 0, state.trials)
