"""Learning rates by step: the paper's cosine a step an epoch, and a cosine a step an update.

A schedule knows how many steps there are, so a training has one number of them.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

from genviews.checks import check_count, check_number

__all__ = ["EpochCosine", "Schedule", "StepCosine"]

_OVER = "the training is over"


class Schedule(ABC):
    """The learning rate of each step."""

    @property
    @abstractmethod
    def total_steps(self) -> int:
        """Number of steps of the whole training."""

    @abstractmethod
    def rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""


@dataclass(frozen=True, kw_only=True)
class EpochCosine(Schedule):
    """The paper's schedule: constant within an epoch, cosine over epochs, down to a floor.

        rate(e) = f + (peak - f) (1 + cos(pi e / epochs)) / 2,    f = decay^3 peak

    Epochs e are counted from 1: the first is already one step down, the last is at the floor. With
    warm-up, in epochs 1 to W the rate rises linearly with each step, from `warmup_from` to rate(W).

    Args:
        epochs: number of epochs; 20 for 1.3 million images, 200 for 130,000.
        steps_per_epoch: updates an epoch, ceil(images / batch).
        peak: the rate that the cosine starts from; 0.03 in the paper, for 256 samples a batch.
        decay: 0.1 in the code.
        batch: samples a batch; above 256 there is a warm-up, as in the code.
        warmup_epochs: W.
        warmup_from: rate of the first step of a warm-up.

    Raises:
        ValueError: a number out of its range, or a warm-up longer than the training.

    Source: Jahanian et al. 2022, arXiv:2106.05258, section 4; the authors' util.py and
        main_unified.py.

    Differs: with a partial last batch the code computes that one step at the rate of the next
        epoch; here an epoch has one rate.

    Example:
        >>> schedule = EpochCosine(epochs=20, steps_per_epoch=5079)
        >>> round(schedule.rate(0), 6), round(schedule.rate(20 * 5079 - 1), 6)
        (0.029816, 3e-05)
    """

    epochs: int
    steps_per_epoch: int
    peak: float = 0.03
    decay: float = 0.1
    batch: int = 256
    warmup_epochs: int = 10
    warmup_from: float = 0.01

    def __post_init__(self) -> None:
        for name in ("epochs", "steps_per_epoch", "batch", "warmup_epochs"):
            check_count(getattr(self, name), name)
        for name in ("peak", "decay", "warmup_from"):
            check_number(getattr(self, name), name, above=0)
        if self.warms_up:
            remedy = "train longer, warm up for less, or keep to a batch of 256"
            check_count(self.warmup_epochs, "warmup_epochs", most=self.epochs, remedy=remedy)

    @property
    def total_steps(self) -> int:
        """Epochs times steps an epoch."""
        return self.epochs * self.steps_per_epoch

    @property
    def warms_up(self) -> bool:
        """Whether there is a warm-up: for batches above 256."""
        return self.batch > 256

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        check_count(step, "step", least=0, most=self.total_steps - 1, remedy=_OVER)
        epoch = step // self.steps_per_epoch + 1
        if not self.warms_up or epoch > self.warmup_epochs:
            return self._cosine(epoch)
        share = step / (self.warmup_epochs * self.steps_per_epoch)
        return self.warmup_from + share * (self._cosine(self.warmup_epochs) - self.warmup_from)

    def _cosine(self, epoch: int) -> float:
        floor = self.peak * self.decay**3
        return floor + (self.peak - floor) * (1 + math.cos(math.pi * epoch / self.epochs)) / 2


@dataclass(frozen=True, kw_only=True)
class StepCosine(Schedule):
    """A linear warm-up, then a cosine with every step: what AdamW is mostly used with.

        rate(s) = peak (s + 1) / W                                                for s < W
        rate(s) = floor + (peak - floor) (1 + cos(pi (s - W) / (steps - W))) / 2  from there

    Args:
        steps: updates of the whole training.
        peak: highest rate.
        warmup_steps: W, below `steps`.
        floor: the rate that the cosine ends just above.

    Raises:
        ValueError: a number out of its range.

    Source: Loshchilov and Hutter 2017, arXiv:1608.03983, equation 5, with a warm-up.

    Example:
        >>> [round(StepCosine(steps=4, peak=1.0, warmup_steps=2).rate(s), 3) for s in range(4)]
        [0.5, 1.0, 1.0, 0.5]
    """

    steps: int
    peak: float = 1e-3
    warmup_steps: int = 0
    floor: float = 0.0

    def __post_init__(self) -> None:
        check_count(self.steps, "steps")
        check_count(self.warmup_steps, "warmup_steps", least=0, most=self.steps - 1)
        check_number(self.peak, "peak", above=0)
        check_number(self.floor, "floor", least=0, most=self.peak)

    @property
    def total_steps(self) -> int:
        """The steps."""
        return self.steps

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        check_count(step, "step", least=0, most=self.steps - 1, remedy=_OVER)
        if step < self.warmup_steps:
            return self.peak * (step + 1) / self.warmup_steps
        share = (step - self.warmup_steps) / (self.steps - self.warmup_steps)
        return self.floor + (self.peak - self.floor) * (1 + math.cos(math.pi * share)) / 2
