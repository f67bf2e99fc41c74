"""Rows of another, random sample of the generator: style-mix, and independent views."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from genviews.checks import fail
from genviews.generators.base import Generator
from genviews.perturb.base import Perturbation, Rows
from genviews.perturb.noise import STANDARD, Normal
from genviews.rng import Streams
from genviews.style_rows import Layers
from genviews.types import Label

__all__ = ["Independent", "StyleMix"]


@dataclass(frozen=True)
class StyleMix(Perturbation):
    """Replaces the selected rows by those of a random latent, one for each view.

        w' = w + t (w_r - w),    w_r = map(z_r),    z_r ~ N(0, I)

    w_r is not truncated, and the same w_r fills every selected row. In z space this draws a new z.

    Args:
        layers: rows to edit, see `Perturbation`.
        strength: t in [0, 1]; 1 is the published method, 0 leaves the latent as it is, values
            between are ours.

    Raises:
        ValueError: strength outside [0, 1]; when called, a conditional generator without label.

    Source:
        Chai et al., "Ensembling with Deep Generative Views", CVPR 2021, arXiv:2104.14551, section
        3.3; class conditional for CIFAR10, section 8.5 of the supplement.

    Differs:
        The published code seeds z_r by the data set index (test) or the step (training); here it
        comes from the stream of the image.

    Example:
        >>> from genviews import Rng, StyleMix, ToyGenerator
        >>> generator, streams = ToyGenerator(), Rng(0).streams(range(2))
        >>> latents = generator.map(generator.sample(streams))
        >>> views = StyleMix("fine")(generator, latents, 8, streams)
        >>> bool((views[:, :, :2] == latents[:, None, :2]).all()), StyleMix("fine").name
        (True, 'stylemix_fine')
    """

    strength: float = 1.0

    kind: ClassVar[str] = "stylemix"
    unnamed_strength: ClassVar[float | None] = 1.0
    largest_strength: ClassVar[float] = 1.0

    def edit(self, generator: Generator, rows: Rows, streams: Streams, label: Label | None) -> Rows:
        """The rows, moved towards those of a random latent; a constant for gradients."""
        z = streams.normal(rows.shape[1], (generator.z_dim,))
        return _mix(self, generator, rows, z, label)


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
    largest_strength: ClassVar[float] = 1.0

    @property
    def variant(self) -> str:
        """As in "independent"; another prior than N(0, I) is named after the kind."""
        psi = "" if self.psi == 1.0 else f"-psi{self.psi:g}"
        rows = "" if self.cutoff is None else f"-cutoff{self.cutoff}"
        return f"{self.kind}{self.noise.tag}{psi}{rows}"

    def edit(self, generator: Generator, rows: Rows, streams: Streams, label: Label | None) -> Rows:
        """The rows, moved towards those of a new sample; a constant for gradients."""
        z = self.noise.draw(streams, rows.shape[1], (generator.z_dim,))
        return _mix(self, generator, rows, z, label, self.psi, self.cutoff)


def _mix(
    perturbation: StyleMix | Independent,
    generator: Generator,
    rows: Rows,
    z: Float[Tensor, "B K Z"],
    label: Label | None,
    psi: float = 1.0,
    cutoff: int | None = None,
) -> Rows:
    """Move rows by the fraction `strength` towards the same rows of mapped prior latents z."""
    if generator.num_classes and label is None:
        fail(
            f"label of {type(perturbation).__name__}",
            expected=f"a class for each of the {len(rows)} images: the generator is conditional",
            got="none",
            remedy="pass the predicted classes (test time) or the true ones (training)",
        )
    each = None if label is None else label.to(generator.device).repeat_interleave(z.shape[1])
    with torch.no_grad():
        mapped = generator.latents_of(
            generator.place(z.flatten(0, 1)), each, psi=psi, cutoff=cutoff
        )
    selected = generator.latent_spec.layers(perturbation.layers).rows
    mixed = mapped[:, selected].reshape(rows.shape).to(rows)
    # lerp is exact at both ends.
    return torch.lerp(rows, mixed, perturbation.strength)
