"""Descents that are under way: what is known of each, and when it ends.

A descent starts from one candidate of one image. It goes through the stages of the smoothing, from
much to little, and ends where it no longer falls, where its optimizer can do no more, or after as
many steps as it may make.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from genviews.invert.inverter import Inverter
from genviews.invert.objective import Target
from genviews.invert.optimizer import PerImage, State
from genviews.types import Status

__all__ = ["Active", "Found"]

# A stage of the smoothing before the last ends sooner than an inversion does, since its optimum is
# not the one wanted: on this share of `patience`, with this multiple of `tolerance`. Chosen by us
# on fashion32 `val`.
EARLIER_PATIENCE = 0.5
EARLIER_TOLERANCE = 5.0


@dataclass
class Found(PerImage):
    """What descents have found: the best iterate, also after some steps, and how each went."""

    latents: Tensor
    loss: Tensor
    start_loss: Tensor
    status: Tensor
    steps: Tensor
    evaluations: Tensor
    snapshots: Tensor
    snapshot_loss: Tensor

    @classmethod
    def nothing(cls, mean: Tensor, count: int, snapshots: int) -> Found:
        """Of so many descents that have not begun: the mean latent, and no loss."""
        loss = mean.new_full((count,), math.nan)
        steps = loss.new_zeros(count, dtype=torch.long)
        latents = mean.expand(count, -1, -1)
        return cls(
            latents=latents.clone(),
            loss=loss,
            start_loss=loss.clone(),
            status=steps + int(Status.FAILED),
            steps=steps,
            evaluations=steps.clone(),
            snapshots=latents[:, None].repeat(1, snapshots, 1, 1),
            snapshot_loss=loss[:, None].repeat(1, snapshots),
        )

    def take_snapshot(self, column: int, rows: Tensor) -> None:
        """Keep the best iterates of the descents of a mask as they are now."""
        self.snapshots[rows, column] = self.latents[rows]
        self.snapshot_loss[rows, column] = self.loss[rows]


@dataclass
class Active(PerImage):
    """Descents under way; row i of every tensor belongs to the descent `index[i]`.

    `mark_loss` and `mark_step` are loss and step where the loss last fell by enough to go on;
    `stage` is that of the smoothing.
    """

    index: Tensor
    target: Target
    state: State
    found: Found
    mark_loss: Tensor
    mark_step: Tensor
    stage: Tensor

    def ended(self, inverter: Inverter, stages: int) -> Tensor:
        """Which descents have ended; one that has only ended a stage is handed to the next."""
        made, mark, best = self.state.made, self.mark_loss, self.found.loss
        last = self.stage == stages - 1
        goal, sooner = (mark * (1 - k * inverter.tolerance) for k in (1, EARLIER_TOLERANCE))
        fell = best < torch.where(last, goal, sooner)
        self.mark_loss = torch.where(fell, best, mark)
        self.mark_step = torch.where(fell, made, self.mark_step)
        earlier = max(int(EARLIER_PATIENCE * inverter.patience), 1)
        stalled = made - self.mark_step >= torch.where(last, inverter.patience, earlier)
        onward = ~last & (stalled | self.state.stuck)
        if bool(onward.any()):
            self.stage = self.stage + onward.long()
            self.mark_loss = torch.where(onward, best, self.mark_loss)
            self.mark_step = torch.where(onward, made, self.mark_step)
            inverter.optimizer.renew(self.state, onward)
        converged = last & stalled & (inverter.tolerance > 0)
        return converged | self.state.stuck | (made >= inverter.steps)
