"""Noise: the distribution of latents and steps, and the perturbations that add it to a latent.

`Isotropic` is of the test-time arrow. `Gaussian`, `Angular` and `Uniform` make the positives of the
learning arrow, and perturb an inverted latent all the same. They act in the space of the
generator's latents: z, w or w+. To walk in z before the mapping of a style-based generator, wrap
it: `genviews.generators.callable.z_space`.

"Truncated normal with parameter t" is said of two distributions:

    fixed bound    z ~ N(0, std^2) given |z| <= t             papers: N^t(0, std, t)
    scaled bound   z = std * n,  n ~ N(0, 1) given |n| <= 2    code: truncnorm(-2, 2, scale=std)

`Normal` is both: a deviation, and a bound counted in deviations.

Source: Brock, Donahue, Simonyan, "Large scale GAN training", ICLR 2019, arXiv:1809.11096 (values
outside a fixed bound are drawn again); Jahanian, Puig, Tian, Isola, "Generative models as a data
source for multiview representation learning", ICLR 2022, arXiv:2106.05258, sections 3 and 4 (the
notation N^t, the walks), and its code `generate_dataset_*` (the scaled bound).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from genviews.checks import check_number, lookup
from genviews.generators.base import Generator
from genviews.perturb.base import Parts, Perturbation, Rows
from genviews.rng import Streams
from genviews.types import Label

__all__ = ["STANDARD", "Angular", "Gaussian", "Isotropic", "Normal", "Uniform"]

Reading = Literal["scaled", "fixed"]
Shape = Literal["box", "ball"]
TRUNCATION = 2.0  # deviations, as published
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
        check_number(self.std, "std of Normal", least=0)
        if self.bound is not None:
            check_number(self.bound, "bound of Normal", above=0, remedy="None does not truncate")

    @classmethod
    def fixed_bound(cls, bound: float, std: float = 1.0) -> Normal:
        """N(0, std^2) given |x| <= `bound`: the papers' reading."""
        check_number(bound, "bound of Normal", above=0, remedy="to truncate nothing use Normal()")
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
        low = torch.special.ndtr(torch.tensor(-self.bound, dtype=torch.float64, device="cpu"))
        drawn = torch.special.ndtri(low + uniform * (1.0 - 2.0 * low))
        inside: Tensor = self.std * drawn.clamp(-self.bound, self.bound)
        return inside.float()


STANDARD = Normal()
"""N(0, I), the prior of every generator here."""


@dataclass(frozen=True)
class Isotropic(Perturbation):
    """Adds Gaussian noise to the selected rows.

        w' = w + sigma * n,    n ~ N(0, I), independent for each view, row and element

    Args:
        layers: rows to edit, see `Perturbation`.
        sigma: standard deviation of the noise, at least 0, in units of the latent. The published
            values run from 0.1 (faces, fine rows) to 2.0 (cars, coarse rows):
            `genviews.domains.DOMAINS`.

    Raises:
        ValueError: sigma is negative or not finite.

    Source:
        Chai, Zhu, Shechtman, Isola, Zhang, "Ensembling with Deep Generative Views", CVPR 2021,
        arXiv:2104.14551, Eq. 5.

    Differs:
        Eq. 5 writes sigma * I as a covariance; the published code uses sigma as a standard
        deviation, as here. The draws come from a stream for each image, not from a global
        generator.

    Example:
        >>> from genviews import Isotropic, Rng, ToyGenerator
        >>> generator, streams = ToyGenerator(), Rng(0).streams(["cat.png", "dog.png"])
        >>> latents = generator.map(generator.sample(streams))
        >>> perturb = Isotropic("fine", sigma=0.3)
        >>> perturb(generator, latents, 16, streams).shape
        torch.Size([2, 16, 4, 4])
        >>> perturb.name
        'isotropic_fine_0.30'
    """

    sigma: float

    kind: ClassVar[str] = "isotropic"
    strength_field: ClassVar[str] = "sigma"

    def edit(self, generator: Generator, rows: Rows, streams: Streams, label: Label | None) -> Rows:
        """The rows plus noise."""
        noise = streams.normal(rows.shape[1], rows.shape[2:])
        return rows + self.sigma * noise.to(rows)


@dataclass(frozen=True)
class Gaussian(Perturbation):
    """Adds normal noise, truncated at some deviations.

        z' = z + s n,    n ~ N(0, I) given |n_i| <= k

    z' itself is not truncated again, as published.

    Args:
        layers: rows to edit, see `Perturbation`.
        std: s. Published, in z: 0.2 (BigBiGAN, the best of a sweep from 0.05 to 0.4), 1.0 (BigGAN),
            0.25 untruncated (StyleGAN2 cars).
        truncation: k; 2 as published, None not truncated (then `Isotropic` has the same law).
        reading: "scaled": the bound is k deviations, |z' - z| <= k s; "fixed": it is k itself,
            whatever s is.

    Raises:
        ValueError: `std` or `truncation` out of range, or an unknown reading.

    Source:
        Jahanian et al. 2022, arXiv:2106.05258, section 3.3.1: w ~ N^t(0, s, 2).

    Differs:
        The paper's notation reads as a fixed bound; its code scales the bound, our default.

    Example:
        >>> from genviews import Rng, ToyGenerator
        >>> generator, streams = ToyGenerator(), Rng(0).streams(range(2))
        >>> latents = generator.map(generator.sample(streams))
        >>> views = Gaussian("all", 0.2)(generator, latents, 8, streams)
        >>> bool(((views - latents[:, None]).abs() <= 0.4 + 1e-6).all())
        True
    """

    std: float
    truncation: float | None = TRUNCATION
    reading: Reading = "scaled"

    kind: ClassVar[str] = "gaussian"
    strength_field: ClassVar[str] = "std"

    @classmethod
    def of_kind(cls, kind: str, layers: str, strength: float, parts: Parts) -> Gaussian:
        """Make "gaussian", "gaussian-fixed" or "gaussian-free" (not truncated)."""
        bound = None if kind == "gaussian-free" else TRUNCATION
        return cls(layers, strength, bound, "fixed" if kind == "gaussian-fixed" else "scaled")

    def __post_init__(self) -> None:
        super().__post_init__()
        lookup(self.reading, {r: r for r in get_args(Reading)}, "reading of Gaussian")
        self._noise()

    @property
    def variant(self) -> str:
        """As in "gaussian", "gaussian-fixed", "gaussian-free" (not truncated), "gaussian-3"."""
        if self.truncation is None:
            return f"{self.kind}-free"
        fixed = "-fixed" if self.reading == "fixed" else ""
        bound = "" if self.truncation == TRUNCATION else f"-{self.truncation:g}"
        return f"{self.kind}{fixed}{bound}"

    def edit(self, generator: Generator, rows: Rows, streams: Streams, label: Label | None) -> Rows:
        """The rows plus noise."""
        return rows + self._noise().draw(streams, rows.shape[1], rows.shape[2:]).to(rows)

    def _noise(self) -> Normal:
        if self.truncation is None or self.reading == "scaled":
            return Normal(std=self.std, bound=self.truncation)
        return Normal.fixed_bound(self.truncation, self.std)


@dataclass(frozen=True)
class Angular(Perturbation):
    """Turns the rows: a Gaussian step, then back to the row's own norm.

        z' = |z| (z + s n) / |z + s n|,    n ~ N(0, I) given |n_i| <= 2

    Each selected row of each view keeps the norm of that row of its sample.

    Args:
        layers: rows to edit, see `Perturbation`.
        std: s; published for BigGAN with 1.0.

    Raises:
        ValueError: `std` is negative or not finite.

    Source:
        The code of Jahanian et al. 2022, `generate_dataset_biggan_gauss_angular_*.py`.

    Differs:
        The code divides by one norm over the whole batch, so that samples leave their sphere, and
        each other's views with them. Here the norm is the sample's own.

    Example:
        >>> from genviews import CallableGenerator, Rng
        >>> generator = CallableGenerator(lambda z: z.tanh().reshape(-1, 1, 4, 4), z_dim=16)
        >>> streams = Rng(0).streams(range(2))
        >>> latents = generator.map(generator.sample(streams))
        >>> views = Angular("all", 1.0)(generator, latents, 8, streams)
        >>> bool((views.norm(dim=-1) / latents[:, None].norm(dim=-1) - 1).abs().max() < 1e-6)
        True
    """

    std: float

    kind: ClassVar[str] = "angular"
    strength_field: ClassVar[str] = "std"

    def edit(self, generator: Generator, rows: Rows, streams: Streams, label: Label | None) -> Rows:
        """The rows after the turn; a row of zeros stays."""
        noise = Normal(std=self.std, bound=TRUNCATION)
        start = rows.double()
        moved = start + noise.draw(streams, rows.shape[1], rows.shape[2:]).to(start)
        length = torch.linalg.vector_norm(moved, dim=-1, keepdim=True)
        # Both norms come from the same operation: without a step their ratio is exactly 1.
        ratio = torch.linalg.vector_norm(start, dim=-1, keepdim=True) / length.clamp(min=1e-300)
        turned: Tensor = moved * ratio
        return turned.to(rows)


@dataclass(frozen=True)
class Uniform(Perturbation):
    """Adds noise uniform in a box or a ball, with the deviation of the Gaussian it stands beside.

        box     z' = z + u,    u_i ~ U(-sqrt(3) s, sqrt(3) s)
        ball    z' = z + u,    u uniform in the ball of radius s sqrt(n + 2) in n dimensions

    In both, each element of u has the standard deviation s. The ball is drawn in each row alone.

    Args:
        layers: rows to edit, see `Perturbation`.
        std: s; published with 0.1, 0.2, 0.5 and 1.0.
        shape: "box" as in the published code (which calls it a ball), or "ball".

    Raises:
        ValueError: `std` out of range, or an unknown shape.

    Source:
        The code of Jahanian et al. 2022, `generate_dataset_biggan_steer_rnd_ball_xavi.py`.

    Differs:
        The ball is ours.

    Example:
        >>> from genviews import Rng, ToyGenerator
        >>> generator, streams = ToyGenerator(), Rng(0).streams(range(2))
        >>> views = Uniform("fine", 0.2)(generator, generator.map(generator.sample(streams)),
        ...     8, streams)
        >>> views.shape
        torch.Size([2, 8, 4, 4])
    """

    std: float
    shape: Shape = "box"

    kind: ClassVar[str] = "uniform"
    strength_field: ClassVar[str] = "std"

    @classmethod
    def of_kind(cls, kind: str, layers: str, strength: float, parts: Parts) -> Uniform:
        """Make "uniform", in a box, or "uniform-ball"."""
        return cls(layers, strength, "ball" if kind == "uniform-ball" else "box")

    def __post_init__(self) -> None:
        super().__post_init__()
        lookup(self.shape, {s: s for s in get_args(Shape)}, "shape of Uniform")

    @property
    def variant(self) -> str:
        """As in "uniform", or "uniform-ball" for the ball."""
        return self.kind if self.shape == "box" else f"{self.kind}-{self.shape}"

    def edit(self, generator: Generator, rows: Rows, streams: Streams, label: Label | None) -> Rows:
        """The rows plus noise."""
        views, shape = rows.shape[1], rows.shape[2:]
        if self.shape == "box":
            unit = math.sqrt(3.0) * (2.0 * streams.uniform(views, shape) - 1.0)
        else:
            # In float64: powers differ in their last bit from one batch size to another.
            direction = streams.child("direction").normal(views, shape).double()
            direction = direction / direction.norm(dim=-1, keepdim=True).clamp(min=1e-300)
            fraction = streams.child("radius").uniform(views, (shape[0], 1)).double()
            radius = fraction ** (1.0 / shape[1])
            unit = math.sqrt(shape[1] + 2.0) * radius * direction
        return rows + self.std * unit.to(rows)
