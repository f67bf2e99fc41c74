"""A generator with a mapping seen from its prior: its latent is z, mapped when it is rendered.

    z -> PERTURB -> map -> render        in the place of        z -> map -> perturb -> render

So every perturbation, and everything else that speaks to a generator, can act before the mapping.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genviews.checks import fail
from genviews.generators.base import Generator
from genviews.generators.callable import CallableGenerator

__all__ = ["z_space"]


def z_space(
    generator: Generator, *, psi: float = 1.0, cutoff: int | None = None
) -> CallableGenerator:
    """Return the generator in z space: latents (B, 1, Z).

    Args:
        generator: one whose latents are "w" or "w+"; shared, not copied.
        psi: truncation of the mapping at each rendering; 0.9 for the cars of Jahanian et al. 2022.
        cutoff: truncate rows [0, cutoff) only; None truncates every row.

    Raises:
        ValueError: the generator is in z space already.

    Source:
        Jahanian et al. 2022, arXiv:2106.05258, section 4: latent views of StyleGAN2 are made in z;
        in its code the mapped latent is truncated afterwards.

    Example:
        >>> from genviews import Rng, ToyGenerator
        >>> from genviews.perturb import Gaussian
        >>> generator, streams = z_space(ToyGenerator(), psi=0.9), Rng(0).streams(range(2))
        >>> latents = generator.map(generator.sample(streams))
        >>> Gaussian("all", 0.25)(generator, latents, 3, streams).shape
        torch.Size([2, 3, 1, 8])
    """
    if generator.latent_spec.space == "z":
        fail(
            "generator",
            expected="one with a mapping, in w or w+ space",
            got="one in z space",
            remedy="use it as it is",
        )
    rows = generator.latent_spec.num_layers if cutoff is None else cutoff
    mapped = _Mapped(generator, psi, rows)
    return CallableGenerator(
        mapped, generator.z_dim, generator.image_spec, num_classes=generator.num_classes
    )


class _Mapped(nn.Module):
    """z, and the one-hot class of a conditional generator, to images."""

    def __init__(self, generator: Generator, psi: float, cutoff: int) -> None:
        super().__init__()
        self.generator = generator
        # Buffers, so that a fingerprint of the weights tells two truncations apart.
        self.register_buffer("psi", torch.tensor(psi, dtype=torch.float64))
        self.register_buffer("cutoff", torch.tensor(cutoff))
        self._psi, self._cutoff = psi, cutoff

    def forward(self, z: Tensor, one_hot: Tensor | None = None) -> Tensor:
        label = None if one_hot is None else one_hot.argmax(-1)
        latents = self.generator.map(z, label, psi=self._psi, cutoff=self._cutoff)
        return self.generator.synthesize(latents, label)
