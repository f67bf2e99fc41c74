"""Isotropic noise: every element of the selected rows moves by an independent normal draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from genviews.generators.base import Generator
from genviews.perturb.base import Perturbation, Rows, check_strength, format_strength
from genviews.rng import Streams
from genviews.types import Label

__all__ = ["Isotropic"]


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

    def __post_init__(self) -> None:
        check_strength(self.sigma, "sigma of Isotropic")

    @property
    def name(self) -> str:
        """As in "isotropic_fine_0.30"."""
        return f"{self.kind}_{self.layers_name}_{format_strength(self.sigma)}"

    def edit(self, generator: Generator, rows: Rows, streams: Streams, label: Label | None) -> Rows:
        """The rows plus noise."""
        noise = streams.normal(rows.shape[1], rows.shape[2:])
        return rows + self.sigma * noise.to(rows)
