"""Adam with a moment, a step count and a learning rate for each image.

Source: Kingma and Ba 2015, arXiv 1412.6980, Algorithm 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from genviews.checks import fail
from genviews.invert.optimizer import Optimizer, Points, State
from genviews.types import Values

__all__ = ["Adam"]


@dataclass
class _AdamState(State):
    first: Tensor
    second: Tensor


@dataclass(frozen=True, kw_only=True)
class Adam(Optimizer[_AdamState]):
    """Adam whose learning rate falls along a cosine over an image's own steps.

    Args:
        lr: learning rate at the start, in units of the latents.
        betas: decay rates of the two moments.
        final: the rate at the last step, as a fraction of `lr`; 1 keeps it constant.

    Raises:
        ValueError: a rate that is not positive, or a decay or fraction outside [0, 1).
    """

    lr: float = 0.05
    betas: tuple[float, float] = (0.9, 0.99)
    final: float = 0.1

    def __post_init__(self) -> None:
        if not self.lr > 0:
            fail("lr", expected="a positive number", got=self.lr, remedy="try 0.05")
        if not all(0 <= b < 1 for b in self.betas) or not 0 <= self.final <= 1:
            fail(
                "Adam",
                expected="betas in [0, 1) and `final` in [0, 1]",
                got=f"betas={self.betas}, final={self.final}",
                remedy="try betas=(0.9, 0.99), final=0.1",
            )

    def begin(self, start: Points, steps: int) -> _AdamState:
        """See `Optimizer`."""
        made = torch.full((len(start),), -1, dtype=torch.long, device=start.device)
        return _AdamState(
            point=start.clone(),
            made=made,
            stuck=made >= 0,
            first=torch.zeros_like(start),
            second=torch.zeros_like(start),
        )

    def advance(self, state: _AdamState, loss: Values, gradient: Points, steps: int) -> None:
        """See `Optimizer`; an image whose loss or gradient is not finite is stuck."""
        state.made = state.made + 1
        state.stuck = ~(loss.isfinite() & gradient.isfinite().all(1))
        b1, b2 = self.betas
        state.first = state.first.lerp(gradient, 1 - b1)
        state.second = state.second.lerp(gradient.square(), 1 - b2)
        count = (state.made + 1)[:, None].to(gradient.dtype)
        mean = state.first / (1 - b1**count)
        spread = (state.second / (1 - b2**count)).sqrt()
        rate = self.rate(state.made.to(gradient.dtype), steps)[:, None]
        state.point = state.point - rate * mean / (spread + 1e-8)

    def rate(self, made: Tensor, steps: int) -> Tensor:
        """The learning rate of each image for its next step."""
        fall = 0.5 + 0.5 * torch.cos(math.pi * made / max(steps, 1))
        return self.lr * (self.final + (1 - self.final) * fall)
