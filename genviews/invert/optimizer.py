"""What an optimizer of the inversion is: a batch of minimisations that know nothing of each other.

The loop (`genviews.invert.optimize`) evaluates the loss and its gradient at one point of every
image under way. An optimizer answers with the next point of each: another iterate, or another trial
of a line search. So images that are at different stages share every evaluation of the generator.

`Adam` is here; `LBFGS` is a module of its own.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from genviews.checks import check_fraction, check_number
from genviews.types import Values

__all__ = ["Adam", "Optimizer", "PerImage", "Points", "State"]

Points = Float[Tensor, "B P"]
"""The latents of each image in a row, or a gradient with respect to them."""

R = TypeVar("R", bound="PerImage")
S = TypeVar("S", bound="State")


class PerImage:
    """Base of records whose tensors, also in tuples and records within, have a row an image."""

    def select(self: R, rows: Tensor) -> R:
        """What belongs to some of the images."""
        found: R = _each(lambda value: value[rows], self)
        return found

    def join(self: R, other: R) -> R:
        """These images followed by others."""
        found: R = _each(lambda *values: torch.cat(values), self, other)
        return found


def _each(change: Callable[..., Tensor], *parts: Any) -> Any:  # noqa: ANN401 (see `PerImage`)
    if isinstance(parts[0], Tensor):
        return change(*parts)
    if isinstance(parts[0], tuple):
        return tuple(_each(change, *values) for values in zip(*parts, strict=True))
    names = vars(parts[0])
    return type(parts[0])(**{k: _each(change, *(vars(part)[k] for part in parts)) for k in names})


@dataclass
class State(PerImage):
    """What an optimizer remembers of each image; row i of every tensor belongs to image i.

    Args:
        point: (B, P) where the loss is wanted next.
        made: (B,) steps whose end has been evaluated; -1 before the start has been.
        stuck: (B,) whether the optimizer can do no more for the image.
    """

    point: Tensor
    made: Tensor
    stuck: Tensor


class Optimizer(ABC, Generic[S]):
    """A way of minimising; leaves are frozen dataclasses of their settings."""

    @abstractmethod
    def begin(self, start: Points, steps: int) -> S:
        """The state of images that start at these points, none of them evaluated yet.

        Args:
            start: flattened latents.
            steps: most steps that will be made, for schedules.
        """

    @abstractmethod
    def advance(self, state: S, loss: Values, gradient: Points, steps: int) -> None:
        """Take in the loss and its gradient at `state.point`; set the next point of each image.

        No row may depend on another. A loss that is not finite must end in another point or in
        `stuck`, never in an exception.
        """

    def renew(self, state: S, rows: Bool[Tensor, " B"]) -> None:
        """The objective of the images of the mask has changed: go on from where they are.

        No row is stuck any more, for what was the end of one descent need not be that of another.
        A method that keeps the loss or the gradient of an iterate overrides this, and has both
        evaluated anew there; that evaluation ends no step, so `made` stays.
        """
        state.stuck = state.stuck & ~rows


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

    Source: Kingma and Ba 2015, arXiv 1412.6980, Algorithm 1.
    Differs: a moment, a step count and a learning rate for each image.
    """

    lr: float = 0.05
    betas: tuple[float, float] = (0.9, 0.99)
    final: float = 0.1

    def __post_init__(self) -> None:
        check_number(self.lr, "lr", above=0, remedy="try 0.05")
        check_fraction(self.final, "final")
        for beta in self.betas:
            check_number(beta, "betas", least=0, below=1, remedy="try (0.9, 0.99)")

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
        # A root of 0 has no derivative, and an unrolled descent asks for one.
        moved = state.second > 0
        spread = torch.where(moved, state.second / (1 - b2**count), 1.0).sqrt() * moved
        rate = self.rate(state.made.to(gradient.dtype), steps)[:, None]
        state.point = state.point - rate * mean / (spread + 1e-8)

    def rate(self, made: Tensor, steps: int) -> Tensor:
        """The learning rate of each image for its next step."""
        fall = 0.5 + 0.5 * torch.cos(math.pi * made / max(steps, 1))
        return self.lr * (self.final + (1 - self.final) * fall)
