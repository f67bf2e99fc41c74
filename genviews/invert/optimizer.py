"""What an optimizer of the inversion is: a batch of minimisations that know nothing of each other.

The loop (`genviews.invert.optimize`) evaluates the loss and its gradient at one point of every
image under way. An optimizer answers with the next point of each: another iterate, or another trial
of a line search. So images that are at different stages share every evaluation of the generator.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from genviews.types import Values

__all__ = ["Optimizer", "Points", "State"]

Points = Float[Tensor, "B P"]
"""The latents of each image in a row, or a gradient with respect to them."""

S = TypeVar("S", bound="State")


@dataclass
class State:
    """What an optimizer remembers of each image; row i of every tensor belongs to image i.

    Args:
        point: (B, P) where the loss is wanted next.
        made: (B,) steps whose end has been evaluated; -1 before the start has been.
        stuck: (B,) whether the optimizer can do no more for the image.
    """

    point: Tensor
    made: Tensor
    stuck: Tensor

    def select(self: S, rows: Tensor) -> S:
        """The state of some of the images."""
        return type(self)(**{k: v[rows] for k, v in vars(self).items()})

    def join(self: S, other: S) -> S:
        """The state of these images followed by that of others."""
        others = vars(other)
        return type(self)(**{k: torch.cat([v, others[k]]) for k, v in vars(self).items()})


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
