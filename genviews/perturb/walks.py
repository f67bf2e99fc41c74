"""Steered views: random steps along walks that were learnt to imitate edits of the picture.

    prior -> sample -> latents -> PERTURB -> render -> augment -> encode -> representation

A walk is one vector in the latent for each direction of `genviews.perturb.warps`;
`genviews.perturb.train_steer` learns them for a generator. `Steer` is the perturbation.

Source: Jahanian, Chai, Isola, "On the steerability of generative adversarial networks", ICLR 2020,
arXiv:1907.07171; Jahanian, Puig, Tian, Isola, "Generative models as a data source for multiview
representation learning", ICLR 2022, arXiv:2106.05258, section 3.3.2 and appendix B.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from genviews.checks import check_given, check_number, check_type, fail, lookup, option
from genviews.described import described_by, parse_json
from genviews.files import load_header, load_tensors, save_tensors
from genviews.generators.base import Generator
from genviews.identity import Identity
from genviews.perturb.base import Parts, Perturbation, Rows, format_strength, identity_of
from genviews.perturb.warps import EDITS, StepRanges, directions_of, edit_of
from genviews.rng import Streams
from genviews.signature import checked
from genviews.types import Label, check_floats, check_shape

__all__ = ["PUBLISHED_GAINS", "Steer", "Walks"]


@checked
@dataclass(frozen=True, eq=False, kw_only=True)
class Walks:
    """The walks of a generator: a vector in the latent for each direction, and their card.

    Args:
        directions: (J, L, D) vectors; a row that a walk does not move is zero.
        names: of the J directions, in the order of `directions_of`.
        ranges: the steps that they were learnt for.
        card: how they were learnt, JSON values.
        generator: the generator that they were learnt for, as `identity_of` knows it; None where
            it is not known.

    Raises:
        ValueError: the names do not fit, or a direction is not finite.
    """

    directions: Float[Tensor, "J L D"]
    names: tuple[str, ...]
    ranges: StepRanges = field(default_factory=StepRanges)
    card: Mapping[str, Any] = field(default_factory=dict, metadata={"identity": False})
    generator: Identity | None = field(default=None, metadata={"identity": False})

    def __post_init__(self) -> None:
        if self.names != directions_of(self.channels, self.edits) or not self.names:
            fail(
                "names of walks",
                expected="directions of edits in their order, as `directions_of` gives them",
                got=self.names,
                remedy="take walks from `train_walks` or `Walks.load`",
            )
        if len(self.names) != len(self.directions) or not self.directions.isfinite().all():
            fail(
                "directions of walks",
                expected=f"{len(self.names)} of finite numbers",
                got=f"shape {tuple(self.directions.shape)}",
                remedy="learn them again with `train_walks`, at a lower rate if they diverged",
            )

    def __repr__(self) -> str:
        law = self.ranges.zoom_law
        other = f", zoom_law={law!r}" if "zoom" in self.edits and law != "published" else ""
        return f"Walks({', '.join(self.names)}; shape={tuple(self.directions.shape)}{other})"

    @property
    def channels(self) -> int:
        """How many directions of colour there are."""
        return sum(name.startswith("colour") for name in self.names)

    @property
    def edits(self) -> tuple[str, ...]:
        """The edits that have a walk."""
        known = {edit_of(name) for name in self.names}
        return tuple(edit for edit in EDITS if edit in known)

    @checked
    def check(self, generator: Generator, *, same_images: bool = True) -> None:
        """Raise unless these walks are of `generator`.

        Args:
            generator: that the walks are to move.
            same_images: compare what it renders with what the generator rendered that they were
                learnt for, which takes a moment; else shapes alone.

        Raises:
            ValueError: latents of another shape, another number of channels, or another generator.
        """
        remedy, spec = "learn walks for this generator with `train_walks`", generator.image_spec
        check_shape(self.directions, ("J", *generator.latent_spec.shape), "walks", remedy)
        if self.channels not in (0, spec.channels):
            got = f"those of {self.channels}"
            fail("walks", expected=f"colours of {spec.channels} channels", got=got, remedy=remedy)
        if same_images and self.generator is not None:
            identity_of(generator).check(self.generator, "walks", remedy)

    def save(self, path: str | Path) -> None:
        """Write a safetensors file with the card; one that exists is replaced by a complete one."""
        facts = {"names": self.names, "ranges": asdict(self.ranges), "card": dict(self.card)}
        text = {key: json.dumps(value, allow_nan=False) for key, value in facts.items()}
        known, stated = ({}, {}) if self.generator is None else self.generator.pack()
        save_tensors(path, {"directions": self.directions, **known}, {**text, **stated})

    @classmethod
    def load(cls, path: str | Path, generator: Generator | None = None) -> Walks:
        """Read a file that `save` wrote.

        Args:
            path: the file; nothing in it is executed.
            generator: the walks must be of it (`check`); None does not look.

        Raises:
            FileNotFoundError: no such file.
            ValueError: no walks, or those of another generator.
        """
        shapes, header = load_header(path, "walks")
        what, keys = f"walks in {Path(path).name}", ("names", "ranges", "card")
        facts = {key: parse_json(header[key], f"{key} of {what}") for key in keys if key in header}
        if len(facts) < len(keys) or "directions" not in shapes:
            fail(
                what,
                expected="directions with names, ranges and card",
                got=", ".join([*shapes, *facts]),
                remedy="name a file that `Walks.save` wrote",
            )
        tensors = load_tensors(path, what="walks")[0]
        with described_by(what, "walks that `Walks.save` wrote"):
            walks = cls(
                directions=check_floats(tensors["directions"], "directions"),
                names=tuple(facts["names"]),
                # One that does not name the law of its zoom is from when there was this one alone.
                ranges=StepRanges(**{"zoom_law": "magnify", **facts["ranges"]}),
                card=check_type(facts["card"], dict, "card", "a JSON object", "write it again"),
                generator=Identity.unpack(tensors, header),
            )
        if generator is not None:
            walks.check(generator)
        return walks

    @checked
    def move(
        self,
        rows: Float[Tensor, "*N R D"],
        steps: Float[Tensor, "*N J"],
        at: slice | list[int] = slice(None),
    ) -> Float[Tensor, "*N R D"]:
        """Latent rows after steps along these directions: w + sum_j c_j d_j.

        Args:
            rows: of latents.
            steps: c, along `names`.
            at: index of these rows among the L of the latents.
        """
        directions = self.directions[:, at].to(rows)
        remedy = "take latents of the generator of these walks"
        check_shape(rows, ("...", *directions.shape[1:]), "rows of latents", remedy)
        check_shape(steps, ("...", len(directions)), "steps", "give one along each walk")
        moved, steps = rows, steps.to(rows)
        for index, direction in enumerate(directions):  # one by one: the batch rounds nothing
            moved = moved + steps[..., index, None, None] * direction
        return moved

    @checked
    def of_all(self, steps: Float[Tensor, "*N M"], channels: int) -> Float[Tensor, "*N J"]:
        """Of steps along all directions, those along these."""
        every = directions_of(channels)
        return steps[..., [every.index(name) for name in self.names]]


PUBLISHED_GAINS = {"rot3d": 5.0}
"""What the published code multiplies steps with when it makes views; 1 for the other edits."""


@checked
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
        super().__post_init__()
        for edit, gain in self.gains or ():
            lookup(edit, dict.fromkeys(self.walks.edits, True), "edit of Steer")
            check_number(gain, f"gain of {edit}", least=0)

    @classmethod
    @checked
    def published(cls, walks: Walks) -> Steer:
        """Every edit, with the gains of the published code (5 for rot3d)."""
        gains = tuple((edit, PUBLISHED_GAINS.get(edit, 1.0)) for edit in walks.edits)
        return cls("all", walks, gains=gains)

    @classmethod
    def of_kind(cls, kind: str, layers: str, strength: float, parts: Parts) -> Steer:
        """Make "steer", or edits with their gains as in "steer-zoom-rot3d@5.00".

        Raises:
            ValueError: no walks, or of another generator; an edit without a walk, or a gain that
                is no number.
        """
        wanted = "learnt walks of the generator"
        remedy = f"learn them with `train_walks`, and give the file as {option('walks')}"
        walks = check_given(parts.walks, "steer perturbation", wanted, remedy)
        edits = re.split(r"-(?=[a-z])", kind)[1:]
        gains = []
        for edit, _, gain in (part.partition("@") for part in edits):
            try:
                gains.append((edit, float(gain or 1.0)))
            except ValueError:
                fail(f"gain of {edit}", expected="a number", got=gain, remedy="write rot3d@5")
        found = cls(layers, walks, strength, tuple(gains) if edits else None)
        found.check(parts.generator)
        return found

    def check(self, generator: Generator) -> None:
        """See `Perturbation`: the walks must be of the generator."""
        super().check(generator)
        self.walks.check(generator)

    @property
    def variant(self) -> str:
        """As in "steer"; with gains, "steer-zoom-rot3d@5.00"."""
        gains = (
            f"-{edit}" + ("" if gain == 1.0 else f"@{format_strength(gain)}")
            for edit, gain in self.gains or ()
        )
        return "".join([self.kind, *gains])

    def edit(self, generator: Generator, rows: Rows, streams: Streams, label: Label | None) -> Rows:
        """The rows after the steps."""
        self.walks.check(generator, same_images=False)
        channels = generator.image_spec.channels
        steps = self.walks.ranges.draw(streams, rows.shape[1], channels)
        given = dict.fromkeys(self.walks.edits, 1.0) if self.gains is None else dict(self.gains)
        gains = torch.tensor(
            [given.get(edit_of(name), 0.0) for name in self.walks.names], device="cpu"
        )
        steps = self.walks.of_all(steps, channels) * gains
        at = generator.latent_spec.layers(self.layers).rows
        return self.walks.move(rows, self.strength * steps, at)
