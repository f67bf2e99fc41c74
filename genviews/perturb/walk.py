"""Walks from a latent to a neighbour: Gaussian, angular, uniform.

    prior -> sample -> latents -> PERTURB -> render -> augment -> encode -> representation

The positives of the learning arrow; on the test-time arrow they perturb an inverted latent all the
same. They act in the space of the generator's latents: z, w or w+. To walk in z before the mapping
of a style-based generator, wrap it: `genviews.generators.zspace.z_space`.

Source: Jahanian, Puig, Tian, Isola, "Generative models as a data source for multiview
representation learning", ICLR 2022, arXiv:2106.05258, section 3.3.1, and the scripts
`generate_dataset_*` of its code.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, get_args

import torch
from torch import Tensor

from genviews.checks import lookup
from genviews.generators.base import Generator
from genviews.perturb.base import Perturbation, Rows, check_strength, format_strength
from genviews.perturb.noise import Normal
from genviews.rng import Streams
from genviews.types import Label

if TYPE_CHECKING:
    from genviews.perturb.presets import Parts

__all__ = ["Angular", "Gaussian", "Uniform", "Walk"]

Reading = Literal["scaled", "fixed"]
Shape = Literal["box", "ball"]
TRUNCATION = 2.0  # deviations, as published


@dataclass(frozen=True)
class Walk(Perturbation):
    """Abstract random step from the selected rows.

    Args:
        layers: rows to edit, see `Perturbation`.
        std: standard deviation of each element of the step before truncation, at least 0, in units
            of the latent.

    Raises:
        ValueError: `std` is negative or not finite.
    """

    std: float

    strength_field: ClassVar[str] = "std"

    def __post_init__(self) -> None:
        check_strength(self.std, f"std of {type(self).__name__}")

    @property
    def variant(self) -> str:
        """`kind`, and what else tells this walk from others of its kind."""
        return self.kind

    @property
    def name(self) -> str:
        """As in "gaussian_all_0.20"; a variant is named, "gaussian-fixed_all_0.20"."""
        return f"{self.variant}_{self.layers_name}_{format_strength(self.std)}"

    @abstractmethod
    def step(self, rows: Rows, streams: Streams) -> Rows:
        """Return the rows after the step."""

    def edit(self, generator: Generator, rows: Rows, streams: Streams, label: Label | None) -> Rows:
        """The rows after the step."""
        return self.step(rows, streams)


@dataclass(frozen=True)
class Gaussian(Walk):
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

    truncation: float | None = TRUNCATION
    reading: Reading = "scaled"

    kind: ClassVar[str] = "gaussian"

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

    def step(self, rows: Rows, streams: Streams) -> Rows:
        """The rows plus noise."""
        return rows + self._noise().draw(streams, rows.shape[1], rows.shape[2:]).to(rows)

    def _noise(self) -> Normal:
        if self.truncation is None or self.reading == "scaled":
            return Normal(std=self.std, bound=self.truncation)
        return Normal.fixed_bound(self.truncation, self.std)


@dataclass(frozen=True)
class Angular(Walk):
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

    kind: ClassVar[str] = "angular"

    def step(self, rows: Rows, streams: Streams) -> Rows:
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
class Uniform(Walk):
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

    shape: Shape = "box"

    kind: ClassVar[str] = "uniform"

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

    def step(self, rows: Rows, streams: Streams) -> Rows:
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
