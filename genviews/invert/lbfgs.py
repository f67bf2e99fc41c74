"""L-BFGS with a curvature memory, a line search and a status for each image of the batch.

    d = -H g,    H from the last `history` pairs (s, y) of steps and changes of gradient

A pair is kept when y.s > 0.01 s.B s, with B s = -t g_old; H starts as (y.s)/(y.y) of the newest.

Safe mode, the default, never gives up an image that can still be helped. When a line search is
used up, the best point that it found is taken; if it found none, the memory is dropped and the
gradient is followed; when that fails too, the image is finished. Faithful mode does what the
reference code does: it undoes the step and searches again along the same direction, which on a
deterministic loss fails again, for all steps that remain.

The line search gives every image of the batch its own bracket, trial step and count. Along a
direction d from x, a step t is taken when it satisfies the weak Wolfe conditions

    f(x + t d) <= f(x) + c1 t g.d      (the loss has fallen enough)
    g(x + t d).d >= c2 g.d             (and the slope is no longer steep)

A step that fails the first is an upper end of the bracket, one that fails the second a lower end.
Without an upper end the trial doubles; with one it moves to the minimum of the parabola through
the lower end's loss and slope and the upper end's loss.

Source: Lewis and Overton 2013, "Nonsmooth optimization via quasi-Newton methods", Math. Program.
141, Algorithm 2.6 (bracketing); Nocedal and Wright 2006, Algorithm 7.4 (two loops) and Eq. 3.57
(parabola). The reference is the full-batch optimizer that Chai et al. 2021 use (H.-J. M. Shi and
D. Mudigere, PyTorch-LBFGS).
Differs: that code minimises one image at a time; here each image of a batch does as if alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor

from genviews.checks import check_count, fail
from genviews.invert.optimizer import Optimizer, Points, State
from genviews.types import Values

__all__ = ["LBFGS", "WolfeSearch"]


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
        slope = (gradient * state.direction).detach().sum(1)  # lengths are no function of images
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
        slope = (state.g * state.direction).detach().sum(1)
        state.slope = torch.where(rows, slope, state.slope)
        state.t = torch.where(rows, 1.0, state.t)
        state.low = torch.where(rows, 0.0, state.low)
        state.high = torch.where(rows, math.inf, state.high)
        state.low_loss = torch.where(rows, state.f, state.low_loss)
        state.low_slope = torch.where(rows, state.slope, state.low_slope)
        state.high_loss = torch.where(rows, math.nan, state.high_loss)
        state.trials = torch.where(rows, 0, state.trials)


@dataclass
class _LBFGSState(SearchState):
    """The search, and the pairs in two rings; `head` is the slot of the next pair.

    The next point is no trial but the iterate itself where faithful mode has `undone` a step, which
    ends that step, and where the objective has been `renewed`, which ends none.
    """

    moves: Tensor
    changes: Tensor
    rho: Tensor
    count: Tensor
    head: Tensor
    scale: Tensor
    undone: Tensor
    renewed: Tensor


@dataclass(frozen=True, kw_only=True)
class LBFGS(WolfeSearch, Optimizer[_LBFGSState]):
    """Batched L-BFGS.

    Args:
        history: pairs that each image remembers. 50 was chosen by us on fashion32 `val`; memory is
            2 * history * P numbers an image. The reference has 10.
        curvature: a pair is kept if y.s exceeds this share of s.B s.
        c1: see `WolfeSearch`.
        c2: see `WolfeSearch`.
        max_trials: see `WolfeSearch`.
        faithful: reproduce the reference code, its failure loop and its acceptance of NaN included.

    Raises:
        ValueError: a count below 1, or not 0 < c1 < c2 < 1.
    """

    history: int = 50
    curvature: float = 0.01

    def __post_init__(self) -> None:
        check_count(self.history, "history")
        check_count(self.max_trials, "max_trials")
        if not 0 < self.c1 < self.c2 < 1:
            fail(
                "line search",
                expected="0 < c1 < c2 < 1",
                got=f"c1={self.c1}, c2={self.c2}",
                remedy="try c1=1e-4, c2=0.9",
            )

    @classmethod
    def reference(cls) -> LBFGS:
        """The settings of Chai et al.'s code: history 10, faithful."""
        return cls(history=10, faithful=True)

    def begin(self, start: Points, steps: int) -> _LBFGSState:
        """See `Optimizer`."""
        zero = start.new_zeros(len(start))
        none = torch.zeros(len(start), dtype=torch.long, device=start.device)
        # Some are written in place, so no two fields share their memory.
        names = ("f", "slope", "t", "low", "low_loss", "low_slope")
        numbers = {name: zero.clone() for name in names}
        vectors = {name: torch.zeros_like(start) for name in ("g", "direction", "low_gradient")}
        counts = {name: none.clone() for name in ("trials", "count", "head")}
        pairs = {
            name: start.new_zeros(len(start), self.history, start.shape[1])
            for name in ("moves", "changes")
        }
        return _LBFGSState(
            point=start.clone(),
            made=none - 1,
            stuck=none > 0,
            x=start.clone(),
            high=zero + math.inf,
            high_loss=zero + math.nan,
            rho=start.new_zeros(len(start), self.history),
            scale=zero + 1.0,
            undone=none > 0,
            renewed=none > 0,
            **numbers,
            **vectors,
            **counts,
            **pairs,
        )

    def advance(self, state: _LBFGSState, loss: Values, gradient: Points, steps: int) -> None:
        """See `Optimizer`; one evaluation is one trial of an image's line search."""
        ends_here = (state.made < 0) | state.undone
        at_iterate = ends_here | state.renewed
        tried = state.t
        taken, used_up = (rows & ~at_iterate for rows in self.judge(state, loss, gradient))
        rescued = used_up & (state.low > 0) & (not self.faithful)
        reached = torch.where(rescued, state.low_loss, loss)
        slope_there = torch.where(rescued[:, None], state.low_gradient, gradient)
        t = torch.where(rescued, state.low, state.t)
        moved = taken | rescued
        self._remember(state, moved, t, slope_there)
        place = torch.where(rescued[:, None], state.x + t[:, None] * state.direction, state.point)
        arrived = moved | at_iterate
        state.x = torch.where(arrived[:, None], place, state.x)
        state.f = torch.where(arrived, reached, state.f)
        state.g = torch.where(arrived[:, None], slope_there, state.g)
        state.made = state.made + (moved | ends_here).long()
        state.renewed = state.renewed & False
        turn = arrived | self._after_failure(state, used_up & ~rescued)
        if not self.faithful:
            healthy = state.f.isfinite() & state.g.isfinite().all(1)
            state.stuck = state.stuck | (arrived & ~healthy)
        self._turn(state, turn)
        self._place(state, turn, tried)

    def renew(self, state: _LBFGSState, rows: Bool[Tensor, " B"]) -> None:
        """See `Optimizer`; the pairs stay, as a first guess of the new curvature."""
        super().renew(state, rows)
        state.point = torch.where(rows[:, None], state.x, state.point)
        state.renewed = state.renewed | rows

    def _place(self, state: _LBFGSState, turn: Tensor, tried: Tensor) -> None:
        """Set the next point of each image; `tried` is the step it has just been at."""
        fresh = state.x + state.t[:, None] * state.direction
        if not self.faithful:
            state.point = fresh
            return
        # The reference moves its point in place, and undoes a step by going back the same way.
        # What that leaves of round-off is all that ever breaks its failure loop.
        onward = torch.where(state.undone, 0.0, state.t) - tried
        state.point = torch.where(
            turn[:, None], fresh, state.point + onward[:, None] * state.direction
        )

    def _after_failure(self, state: _LBFGSState, failed: Tensor) -> Tensor:
        """Deal with searches that found nothing; returns who searches along a new direction."""
        if self.faithful:
            # The next evaluation is spent at the old point, then the same search begins again.
            state.undone = failed
            return failed & False
        state.stuck = state.stuck | (failed & (state.count == 0))
        state.count = torch.where(failed, 0, state.count)
        state.made = state.made + failed.long()
        return failed

    def _remember(self, state: _LBFGSState, moved: Tensor, t: Tensor, gradient: Tensor) -> None:
        """Put the pair of each image that moved into its ring, if its curvature is positive."""
        move = t[:, None] * state.direction
        change = gradient - state.g
        product = (move * change).sum(1)
        predicted = -t.square() * state.slope  # s.B s with B s = -t g_old
        keep = torch.nonzero(moved & (product > self.curvature * predicted)).flatten()
        if len(keep) == 0:
            return
        slots = state.head[keep]
        state.moves[keep, slots] = move[keep]
        state.changes[keep, slots] = change[keep]
        state.rho[keep, slots] = 1.0 / product[keep]
        state.scale[keep] = product[keep] / change[keep].square().sum(1)
        state.head[keep] = (slots + 1) % self.history
        state.count[keep] = (state.count[keep] + 1).clamp(max=self.history)

    def _turn(self, state: _LBFGSState, turn: Tensor) -> None:
        """Give the images of the mask a new direction and a new search."""
        rows = torch.nonzero(turn).flatten()
        if len(rows) == 0:
            return
        direction = self._direction(state, rows)
        if not self.faithful:
            uphill = ~((state.g[rows] * direction).sum(1) < 0)
            direction[uphill] = -state.scale[rows[uphill], None] * state.g[rows[uphill]]
            state.count[rows[uphill]] = 0
        state.direction[rows] = direction
        self.restart(state, turn)

    def _direction(self, state: _LBFGSState, rows: Tensor) -> Tensor:
        """-H g by the two loops over each image's own pairs."""
        q = -state.g[rows]
        count, weights = state.count[rows], []
        ages = torch.arange(1, int(count.max()) + 1, device=rows.device)[:, None]
        slots = (state.head[rows] - ages) % self.history
        rhos = torch.where(ages <= count, state.rho[rows, slots], 0.0)
        moves, changes = state.moves[rows, slots], state.changes[rows, slots]
        pairs = list(zip(moves.unbind(), changes.unbind(), rhos.unbind(), strict=True))
        for move, change, rho in pairs:  # the youngest first
            weight = rho * (move * q).sum(1)
            q = torch.addcmul(q, weight[:, None], change, value=-1)
            weights.append(weight)
        r = q * state.scale[rows, None]
        for move, change, rho in reversed(pairs):
            back = rho * (change * r).sum(1)
            r = torch.addcmul(r, (weights.pop() - back)[:, None], move)
        return r
