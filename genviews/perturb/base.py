"""What a perturbation is: the latents of an image to those of its K views, which keep its class.

    image -> invert -> latents -> PERTURB -> render -> classify -> weigh -> prediction
             prior  -> latents -> PERTURB -> render -> augment  -> encode -> representation

A perturbation edits one range of style rows and leaves every other row as it is, bit for bit. Its
strength is a number, and at zero it is the identity. It is an object made from its hyperparameters,
then called on a generator and latents; it prints as its constructor call and has a short `name`
that keys stored results.

To add one: a frozen dataclass in a file of its own with `kind`, `name` and `edit`, and a line in
`genviews.perturb.presets.KINDS`, as in examples/extend/perturbation.py.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from jaxtyping import Float
from torch import Tensor

from genviews.checks import check_count, fail
from genviews.generators.base import Generator
from genviews.rng import Streams
from genviews.types import Label, Latents, LayerRange

if TYPE_CHECKING:
    from genviews.perturb.presets import Parts

__all__ = ["Layers", "Perturbation", "Rows", "check_strength", "format_strength"]

Layers = str | tuple[int, int] | LayerRange

Rows = Float[Tensor, "B K R D"]
"""The R rows of latents that a perturbation edits, for K views of each image."""


@dataclass(frozen=True)
class Perturbation(ABC):
    """Abstract perturbation of one range of style rows.

    Args:
        layers: rows to edit, resolved by `generator.latent_spec.layers`: a name such as "fine" or
            "all", rows such as "5-7", a half-open pair (start, stop) or a `LayerRange`. A generator
            in z or w space has a single row: use "all".
    """

    layers: Layers

    kind: ClassVar[str]
    """First word of `name`, and the purpose of this kind's random streams."""

    strength_field: ClassVar[str] = "strength"
    """The field that holds the strength, at which 0 is the identity."""

    unnamed_strength: ClassVar[float | None] = None
    """The strength of a name that does not say one; None where every name must."""

    @classmethod
    def of_kind(cls, kind: str, layers: str, strength: float, parts: Parts) -> Perturbation:
        """Make it from the words of a name or card.

        Args:
            kind: as it is written, for classes with more than one, as in "pca-eigenvalue".
            layers: rows to edit.
            strength: of it.
            parts: the generator's, for classes that need directions or walks.

        Raises:
            ValueError: a strength out of range, or a part that is missing.
        """
        return cls(layers, **{cls.strength_field: strength})

    @property
    @abstractmethod
    def name(self) -> str:
        """Short name that keys stored results: kind, layers, strength ("isotropic_fine_0.30")."""

    @abstractmethod
    def edit(self, generator: Generator, rows: Rows, streams: Streams, label: Label | None) -> Rows:
        """Return the edited rows of K views.

        Args:
            generator: the generator of the latents.
            rows: the R selected rows of each latent, once for each view; not to be written to.
            streams: streams of this kind, one for each image.
            label: class of each image, or None when none was given.
        """

    def __call__(
        self,
        generator: Generator,
        latents: Latents,
        num_views: int,
        streams: Streams,
        label: Label | None = None,
    ) -> Float[Tensor, "B K L D"]:
        """Perturbed latents of K views of each image.

        View k of an image is a function of its latent, its stream and k alone; neither its batch
        mates nor K change it. Equal streams give two strengths of one kind the same draws, so that
        scales are compared on the same directions.

        Args:
            generator: the generator that the latents belong to.
            latents: one latent for each image, on any device; the views are on the same one.
            num_views: K, at least 1.
            streams: one random stream for each image, `Rng(seed).streams(ids)`;
                `streams.from_view(k)` makes views from k on.
            label: class indices, for style-mix with a conditional generator: the predicted class
                at test time, the true class in training. The other perturbations do not read them.

        Returns:
            Latents of the views. Rows outside `layers` are bit-equal to the image's own.

        Raises:
            ValueError: unknown layers, latents of another shape, K < 1, another number of streams
                than of images, or a label that the generator does not take.
        """
        spec = generator.latent_spec
        selected = spec.layers(self.layers).rows
        spec.check(latents)
        if latents.ndim != 3:
            fail(
                "latents",
                expected=f"shape (B, {spec.num_layers}, {spec.dim}), one latent for each image",
                got=tuple(latents.shape),
                remedy="add or flatten the batch axis",
            )
        check_count(num_views, "num_views")
        if len(streams) != len(latents):
            fail(
                "streams",
                expected=f"one for each of the {len(latents)} images",
                got=len(streams),
                remedy="make them with `Rng(seed).streams(ids)`, an id for each image",
            )
        if label is not None:
            generator.check_label(label, len(latents))
        views = latents[:, None].repeat(1, num_views, 1, 1)
        rows = latents[:, None, selected].expand(-1, num_views, -1, -1)
        views[:, :, selected] = self.edit(generator, rows, streams.child(self.kind), label)
        return views

    def scaled(self, factor: float) -> Perturbation:
        """The same perturbation at `factor` times its strength; 0 makes it the identity.

        Raises:
            ValueError: a strength that this kind does not take.
        """
        strength = factor * getattr(self, self.strength_field)
        return replace(self, **{self.strength_field: strength})

    @property
    def layers_name(self) -> str:
        """The layers as one word, as in "fine" or "5-7"."""
        if isinstance(self.layers, LayerRange):
            return self.layers.name
        if isinstance(self.layers, tuple):
            return f"{self.layers[0]}-{self.layers[1] - 1}"
        return self.layers


def check_strength(value: float, what: str) -> float:
    """Return `value`, a finite number that is not negative, or raise ValueError."""
    if not (math.isfinite(value) and value >= 0.0):
        fail(
            what,
            expected="a finite number of at least 0",
            got=repr(value),
            remedy="0 leaves the latent as it is, larger numbers move it further",
        )
    return float(value)


def format_strength(value: float) -> str:
    """A strength as it stands in names: two decimals, or all of them when two would lose some.

    Example:
        >>> format_strength(0.3), format_strength(0.125)
        ('0.30', '0.125')
    """
    short = f"{value:.2f}"
    return short if float(short) == value else repr(float(value))
