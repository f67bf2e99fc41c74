"""Independent views: another sample of the prior, which shares nothing but the class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from genviews.checks import check_fraction
from genviews.generators.base import Generator
from genviews.perturb.base import Layers, Perturbation, Rows, format_strength
from genviews.perturb.noise import STANDARD, Normal
from genviews.perturb.stylemix import mix_in_samples
from genviews.rng import Streams
from genviews.types import Label

__all__ = ["Independent"]


@dataclass(frozen=True)
class Independent(Perturbation):
    """Another sample of the prior, of the same class: the positive shares nothing but the class.

        z' ~ p_z,    w' = w + t (map(z') - w)

    Args:
        layers: rows to edit; "all" (the default) as published, some rows are style-mixing with
            truncation.
        strength: t in [0, 1]; 1 as published, 0 leaves the latent, values between are ours.
        noise: p_z; that of the anchors (`Prior.independent` makes the perturbation for a prior).
        psi: truncation of the mapping, likewise.
        cutoff: of the truncation, likewise.

    Raises:
        ValueError: strength outside [0, 1]; when called, a conditional generator without label.

    Source:
        Jahanian et al. 2022, arXiv:2106.05258, section 3.3: "independent" views of a
        class-conditional generator.

    Example:
        >>> import torch
        >>> from genviews import Rng, ToyGenerator
        >>> generator, streams = ToyGenerator(num_classes=3), Rng(0).streams(range(2))
        >>> labels = torch.tensor([0, 2])
        >>> latents = generator.map(generator.sample(streams), labels)
        >>> generator.classes(Independent()(generator, latents, 3, streams, labels)).tolist()
        [[0, 0, 0], [2, 2, 2]]
    """

    layers: Layers = "all"
    strength: float = 1.0
    noise: Normal = STANDARD
    psi: float = 1.0
    cutoff: int | None = None

    kind: ClassVar[str] = "independent"
    unnamed_strength: ClassVar[float | None] = 1.0

    def __post_init__(self) -> None:
        check_fraction(self.strength, "strength of Independent")

    @property
    def name(self) -> str:
        """As in "independent_all"; another prior than N(0, I) is named after the kind."""
        psi = "" if self.psi == 1.0 else f"-psi{self.psi:g}"
        rows = "" if self.cutoff is None else f"-cutoff{self.cutoff}"
        strength = "" if self.strength == 1.0 else f"_{format_strength(self.strength)}"
        return f"{self.kind}{self.noise.tag}{psi}{rows}_{self.layers_name}{strength}"

    def edit(self, generator: Generator, rows: Rows, streams: Streams, label: Label | None) -> Rows:
        """The rows, moved towards those of a new sample; a constant for gradients."""
        z = self.noise.draw(streams, rows.shape[1], (generator.z_dim,))
        return mix_in_samples(
            self, generator, rows, z, label, self.strength, psi=self.psi, cutoff=self.cutoff
        )
