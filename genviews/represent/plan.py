"""Which samples each update sees: how many unique ones, how often, in which order.

The number of samples is an axis of study: with the number of updates held constant, r times as many
unique anchors are each visited 1/r times as often (`SamplePlan.of_ratio`).

Source: Jahanian et al. 2022, arXiv:2106.05258, section 4.3, figures 6 and 8.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from genviews.checks import check_count, check_number
from genviews.rng import Rng

__all__ = ["RATIOS", "SamplePlan"]

RATIOS = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Unique samples in units of the base size, as published."""


@dataclass(frozen=True, kw_only=True)
class SamplePlan:
    """The sample ids of every batch; a function of the batch's number, so that a run can resume.

    A finite set is visited in epochs, in a new order each; an epoch has `num_unique // batch_size`
    whole batches, so that no batch shows a sample twice. What does not fill a batch waits for
    another epoch.

    Args:
        batch_size: B, over all processes together.
        num_unique: number of unique samples, at least B; None: every batch has new ones.
        seed: of the orders.

    Raises:
        ValueError: a count out of range.

    Differs:
        The authors repeat the list of a small set and shuffle the whole, so that a batch may hold a
        sample and its copy as a negative; larger sets make their epochs longer by int(r).

    Example:
        >>> SamplePlan(batch_size=2).batch(3)
        ((6, 7), 0)
        >>> plan = SamplePlan(batch_size=2, num_unique=4)
        >>> sorted(plan.batch(0)[0] + plan.batch(1)[0]), plan.batch(2)[1]
        ([0, 1, 2, 3], 1)
    """

    batch_size: int
    num_unique: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_count(self.batch_size, "batch_size")
        if self.num_unique is not None:
            check_count(self.num_unique, "num_unique", least=self.batch_size)

    @classmethod
    def of_ratio(cls, ratio: float, base: int, *, batch_size: int, seed: int = 0) -> SamplePlan:
        """The plan with `ratio` times the unique samples of a base set, for as many updates.

        Args:
            ratio: r > 0; the published ones are `RATIOS`.
            base: samples of the base set.
            batch_size: B.
            seed: of the orders.

        Raises:
            ValueError: fewer than B unique samples.
        """
        check_number(ratio, "ratio", above=0, remedy="see RATIOS")
        return cls(batch_size=batch_size, num_unique=round(ratio * base), seed=seed)

    @property
    def per_epoch(self) -> int | None:
        """Batches in an epoch; None without end."""
        return None if self.num_unique is None else self.num_unique // self.batch_size

    def batch(self, index: int) -> tuple[tuple[int, ...], int]:
        """Return the sample ids of batch `index` and how often they were visited before."""
        check_count(index, "batch index", least=0)
        if self.per_epoch is None:
            start = index * self.batch_size
            return tuple(range(start, start + self.batch_size)), 0
        assert self.num_unique is not None
        epoch, place = divmod(index, self.per_epoch)
        order = _order(self.seed, self.num_unique, epoch)
        return tuple(order[place * self.batch_size :][: self.batch_size].tolist()), epoch


@lru_cache(maxsize=2)
def _order(seed: int, count: int, epoch: int) -> np.ndarray:
    return Rng(seed, f"order of epoch {epoch}").numpy().permutation(count)
