"""Steered views: random steps along walks that were learnt to imitate edits of the picture.

    prior -> sample -> latents -> PERTURB -> render -> augment -> encode -> representation

A walk is one vector in the latent for each direction of `genviews.perturb.warps`;
`genviews.perturb.train_steer` learns them for a generator. `Steer` is the perturbation.

Source: Jahanian, Chai, Isola, "On the steerability of generative adversarial networks", ICLR 2020,
arXiv:1907.07171; Jahanian, Puig, Tian, Isola, "Generative models as a data source for multiview
representation learning", ICLR 2022, arXiv:2106.05258, section 3.3.2 and appendix B.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from genviews.checks import fail, lookup
from genviews.generators.base import Generator
from genviews.perturb.base import Perturbation, Rows, check_strength, format_strength
from genviews.perturb.walks import Walks
from genviews.perturb.warps import edit_of
from genviews.rng import Streams
from genviews.types import Label

if TYPE_CHECKING:
    from genviews.perturb.presets import Parts

__all__ = ["PUBLISHED_GAINS", "Steer"]

PUBLISHED_GAINS = {"rot3d": 5.0}
"""What the published code multiplies steps with when it makes views; 1 for the other edits."""


@dataclass(frozen=True)
class Steer(Perturbation):
    """Random steps along learnt walks.

        w' = w + t sum_j g_j c_j d_j,    steps c_j drawn as in `StepRanges`

    Args:
        layers: rows to edit, see `Perturbation`; "all" moves the rows that the walks move.
        walks: of the generator. Its weights are not compared at each call: use `Walks.check`.
        strength: t, at least 0; 1 draws the steps of the walks' training.
        gains: (edit, g) of each edit to use; None uses every one with g = 1. `published` is the
            paper's code.

    Raises:
        ValueError: a strength or gain out of range, or an edit without a walk.

    Source:
        Jahanian et al. 2022, arXiv:2106.05258, section 3.3.2.

    Differs:
        The published code multiplies the steps of rot3d by 5: `Steer.published(walks)`.

    Example:
        >>> from genviews import Rng, ToyGenerator
        >>> from genviews.perturb.train_steer import SteerTraining, train_walks
        >>> generator, streams = ToyGenerator(), Rng(0).streams(range(2))
        >>> walks = train_walks(generator, SteerTraining(samples=64, lr=0.05))
        >>> steer = Steer("all", walks, gains=(("shiftx", 1.0), ("zoom", 0.5)))
        >>> steer(generator, generator.map(generator.sample(streams)), 4, streams).shape
        torch.Size([2, 4, 4, 4])
        >>> steer.name
        'steer-shiftx-zoom@0.50_all_1.00'
    """

    walks: Walks
    strength: float = 1.0
    gains: tuple[tuple[str, float], ...] | None = None

    kind: ClassVar[str] = "steer"

    def __post_init__(self) -> None:
        check_strength(self.strength, "strength of Steer")
        for edit, gain in self.gains or ():
            lookup(edit, dict.fromkeys(self.walks.edits, True), "edit of Steer")
            check_strength(gain, f"gain of {edit}")

    @classmethod
    def published(cls, walks: Walks, layers: str = "all", strength: float = 1.0) -> Steer:
        """Every edit, with the gains of the published code (5 for rot3d)."""
        gains = tuple((edit, PUBLISHED_GAINS.get(edit, 1.0)) for edit in walks.edits)
        return cls(layers, walks, strength, gains)

    @classmethod
    def of_kind(cls, kind: str, layers: str, strength: float, parts: Parts) -> Steer:
        """Make "steer", or edits with their gains as in "steer-zoom-rot3d@5.00".

        Raises:
            ValueError: no walks, or of another generator; an edit without a walk, or a gain that
                is no number.
        """
        if parts.walks is None:
            fail(
                "steer perturbation",
                expected="learnt walks of the generator",
                got="none",
                remedy="give those of `train_walks`, or the file of `Walks.save`",
            )
        parts.walks.check(parts.generator)
        edits = re.split(r"-(?=[a-z])", kind)[1:]
        gains = []
        for edit, _, gain in (part.partition("@") for part in edits):
            try:
                gains.append((edit, float(gain or 1.0)))
            except ValueError:
                fail(f"gain of {edit}", expected="a number", got=gain, remedy="write rot3d@5")
        return cls(layers, parts.walks, strength, tuple(gains) if edits else None)

    @property
    def name(self) -> str:
        """As in "steer_all_1.00"; with gains, "steer-zoom-rot3d@5.00_all_1.00"."""
        gains = "".join(
            f"-{edit}" + ("" if gain == 1.0 else f"@{format_strength(gain)}")
            for edit, gain in self.gains or ()
        )
        return f"{self.kind}{gains}_{self.layers_name}_{format_strength(self.strength)}"

    def edit(self, generator: Generator, rows: Rows, streams: Streams, label: Label | None) -> Rows:
        """The rows after the steps."""
        self.walks.check(generator, same_images=False)
        channels = generator.image_spec.channels
        steps = self.walks.ranges.draw(streams, rows.shape[1], channels)
        steps = self.walks.of_all(steps, channels) * self._gain_of_each()
        first = generator.latent_spec.layers(self.layers).start
        return self.walks.move(rows, self.strength * steps, first)

    def _gain_of_each(self) -> Float[Tensor, " J"]:
        gains = dict.fromkeys(self.walks.edits, 1.0) if self.gains is None else dict(self.gains)
        return torch.tensor([gains.get(edit_of(name), 0.0) for name in self.walks.names])
