"""Style-mix: the selected rows come from another, random sample of the generator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from genviews.checks import check_fraction, fail
from genviews.generators.base import Generator
from genviews.perturb.base import Perturbation, Rows, format_strength
from genviews.rng import Streams
from genviews.types import Label

__all__ = ["StyleMix", "mix_in_samples"]


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

    def __post_init__(self) -> None:
        check_fraction(self.strength, "strength of StyleMix")

    @property
    def name(self) -> str:
        """As in "stylemix_fine", or "stylemix_fine_0.50" for a strength below 1."""
        tail = "" if self.strength == 1.0 else f"_{format_strength(self.strength)}"
        return f"{self.kind}_{self.layers_name}{tail}"

    def edit(self, generator: Generator, rows: Rows, streams: Streams, label: Label | None) -> Rows:
        """The rows, moved towards those of a random latent; a constant for gradients."""
        z = streams.normal(rows.shape[1], (generator.z_dim,))
        return mix_in_samples(self, generator, rows, z, label, self.strength)


def mix_in_samples(
    perturbation: Perturbation,
    generator: Generator,
    rows: Rows,
    z: Float[Tensor, "B K Z"],
    label: Label | None,
    strength: float,
    *,
    psi: float = 1.0,
    cutoff: int | None = None,
) -> Rows:
    """Move rows by the fraction `strength` towards the same rows of mapped prior latents.

    Args:
        perturbation: whose layers the rows are.
        generator: maps the latents, without gradients.
        rows: the selected rows of each view.
        z: a prior latent for each view, on any device.
        label: class of each image; required by a conditional generator.
        strength: 0 returns the rows and 1 those of the samples, bit for bit.
        psi: truncation of the samples.
        cutoff: of the truncation.

    Raises:
        ValueError: no label for a conditional generator.
    """
    if generator.num_classes and label is None:
        fail(
            f"label of {type(perturbation).__name__}",
            expected=f"a class for each of the {len(rows)} images: the generator is conditional",
            got="none",
            remedy="pass the predicted classes (test time) or the true ones (training)",
        )
    each = None
    if label is not None:
        each = label.to(generator.device).repeat_interleave(z.shape[1])
    with torch.no_grad():
        mapped = generator.map(z.flatten(0, 1).to(generator.device), each, psi=psi, cutoff=cutoff)
    selected = generator.latent_spec.layers(perturbation.layers).rows
    mixed = mapped[:, selected].reshape(rows.shape).to(rows)
    # lerp is exact at both ends.
    return torch.lerp(rows, mixed, strength)
