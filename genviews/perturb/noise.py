"""The normal distribution of latents and of latent noise, truncated in either reading or not.

"Truncated normal with parameter t" is said of two distributions:

    fixed bound    z ~ N(0, std^2) given |z| <= t             papers: N^t(0, std, t)
    scaled bound   z = std * n,  n ~ N(0, 1) given |n| <= 2    code: truncnorm(-2, 2, scale=std)

`Normal` is both: a deviation, and a bound counted in deviations.

Source: Brock, Donahue, Simonyan, "Large scale GAN training", ICLR 2019, arXiv:1809.11096 (values
outside a fixed bound are drawn again); Jahanian et al. 2022, arXiv:2106.05258, sections 3 and 4
(the notation N^t), and its code (the scaled bound).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from genviews.checks import fail
from genviews.perturb.base import check_strength
from genviews.rng import Streams

__all__ = ["STANDARD", "Normal"]

STEPS = 2**24  # float32 draws on [0, 1) are multiples of 1 / STEPS


@dataclass(frozen=True, kw_only=True)
class Normal:
    """Independent normal draws, truncated or not.

        x = std * n,    n ~ N(0, 1) given |n| <= bound

    The truncated draw is the inverse distribution function of a uniform one: it has the law of
    drawing again until inside, and two deviations share their directions.

    Args:
        std: deviation before truncation, at least 0.
        bound: largest |x| in units of `std`, above 0; None does not truncate.

    Raises:
        ValueError: `std` is negative or not finite, or `bound` is not a positive number.

    Differs: at most 5.4 deviations out, where the uniform draws of float32 end.

    Example:
        >>> from genviews import Rng
        >>> Normal.scaled_bound(0.5) == Normal(std=0.5, bound=2.0)
        True
        >>> Normal.fixed_bound(0.9).draw(Rng(0).streams(range(4)), 1, (100,)).abs().max() <= 0.9
        tensor(True)
    """

    std: float = 1.0
    bound: float | None = None

    def __post_init__(self) -> None:
        check_strength(self.std, "std of Normal")
        if self.bound is not None and not (math.isfinite(self.bound) and self.bound > 0.0):
            fail(
                "bound of Normal",
                expected="a finite number of deviations above 0, or None",
                got=repr(self.bound),
                remedy="None does not truncate",
            )

    @classmethod
    def fixed_bound(cls, bound: float, std: float = 1.0) -> Normal:
        """N(0, std^2) given |x| <= `bound`: the papers' reading."""
        if not bound > 0.0:
            fail(
                "bound of Normal",
                expected="a number above 0",
                got=repr(bound),
                remedy="2 is usual; to truncate nothing use Normal()",
            )
        return cls(std=std, bound=bound / std if std > 0.0 else None)

    @classmethod
    def scaled_bound(cls, std: float, bound: float = 2.0) -> Normal:
        """`std` times a standard normal within `bound` deviations: the reading of BigGAN's code."""
        return cls(std=std, bound=bound)

    @property
    def tag(self) -> str:
        """What distinguishes it in the names of perturbations; empty for the standard normal."""
        std = "" if self.std == 1.0 else f"-std{self.std:g}"
        return std if self.bound is None else f"{std}-bound{self.bound:g}"

    def draw(self, streams: Streams, num_views: int, shape: Sequence[int]) -> Tensor:
        """Draws of shape (B, K, *shape), float32 on the CPU, each sample's from its own stream."""
        if self.bound is None:
            return self.std * streams.normal(num_views, shape)
        # The middle of each step: neither 0 nor 1 is drawn, and the law is exactly symmetric.
        uniform = streams.uniform(num_views, shape).double() + 0.5 / STEPS
        low = torch.special.ndtr(torch.tensor(-self.bound, dtype=torch.float64))
        drawn = torch.special.ndtri(low + uniform * (1.0 - 2.0 * low))
        inside: Tensor = self.std * drawn.clamp(-self.bound, self.bound)
        return inside.float()


STANDARD = Normal()
"""N(0, I), the prior of every generator here."""
