"""A new perturbation: towards the mean latent, by a random fraction.

Its file: genviews/perturb/interpolate.py
Its line, in KINDS of genviews/perturb/base.py:

    "interpolate": "genviews.perturb.interpolate:Interpolate",
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from genviews.generators.base import Generator
from genviews.perturb.base import Perturbation, Rows
from genviews.rng import Streams
from genviews.types import Label

__all__ = ["Interpolate"]


@dataclass(frozen=True)
class Interpolate(Perturbation):
    """Moves the selected rows towards the generator's mean latent: views are more typical.

        w' = w + t u (w_mean - w),    u ~ U[0, 1), one draw for each view

    Args:
        layers: rows to edit, see `Perturbation`.
        strength: t in [0, 1], the largest part of the way.

    Raises:
        ValueError: strength outside [0, 1].

    Source: the truncation of Karras et al. 2019, arXiv:1812.04948, appendix B.

    Differs: the fraction is drawn for each view; the paper's is one for all images.

    Example:
        >>> Interpolate("fine", 0.5).name
        'interpolate_fine_0.50'
    """

    strength: float

    kind: ClassVar[str] = "interpolate"
    largest_strength: ClassVar[float] = 1.0

    def edit(self, generator: Generator, rows: Rows, streams: Streams, label: Label | None) -> Rows:
        """The rows, part of the way to the mean."""
        mean = generator.mean_latent()[generator.latent_spec.layers(self.layers).rows]
        part = streams.uniform(rows.shape[1], (1, 1)).to(rows)
        return rows + self.strength * part * (mean.to(rows) - rows)
