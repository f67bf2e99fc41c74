"""A generator without a mapping: its latent is z itself, one row, and its class is told apart."""

from __future__ import annotations

from genviews.generators.base import Generator
from genviews.types import Draws, Label, Latents, LatentSpec

__all__ = ["PriorGenerator"]


class PriorGenerator(Generator):
    """Abstract: a generator in z space; subclasses implement `synthesize`.

    A class is no part of the latent, so that nothing that moves a latent can move the class:
    `synthesize` is told it.
    """

    def set_prior(self, z_dim: int, num_classes: int) -> None:
        """Set the specs of the latents.

        Args:
            z_dim: Z, the width of z.
            num_classes: number of class conditions; 0 for none.
        """
        self.z_dim = z_dim
        self.num_classes = num_classes
        self.renders_label = num_classes > 0
        self.latent_spec = LatentSpec(space="z", num_layers=1, dim=z_dim)

    def map(
        self, z: Draws, label: Label | None = None, *, psi: float = 1.0, cutoff: int | None = None
    ) -> Latents:
        """Return z as the one latent row; the class is checked, and goes to `synthesize`.

        Truncation shrinks z towards 0, the mean of the prior: psi * z. That narrows the prior and
        keeps its shape; it is not the bounded normal of the BigGAN paper. `cutoff=0` truncates
        nothing.
        """
        self.check_draws(z, label)
        rows = psi * z if self.check_truncation(psi, cutoff) else z
        return rows[:, None]
