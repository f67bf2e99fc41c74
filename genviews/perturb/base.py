"""What a perturbation is: the latents of an image to those of its K views, which keep its class.

    image -> invert -> latents -> PERTURB -> render -> classify -> weigh -> prediction
             prior  -> latents -> PERTURB -> render -> augment  -> encode -> representation

A perturbation edits one range of style rows and leaves every other row as it is, bit for bit. Its
strength is a number, and at zero it is the identity. It is an object made from its hyperparameters,
then called on a generator and latents; it prints as its constructor call and has a short `name`
that keys stored results.

To add one: a frozen dataclass in a file of its own with `kind` and `edit`, and a line in
`KINDS` below, as in examples/extend/perturbation.py.

A scale table says, for each kind of perturbation and each range of rows, which strengths to try:

    {"isotropic": {"coarse": [0.1, 0.2], "fine": [0.1]}, "stylemix": {"fine": [1.0]}}

It is what the card of a generator and a domain (`genviews.domains`) hold. The best strength is
chosen on the calibration split.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from jaxtyping import Float
from torch import Tensor

from genviews.checks import check_count, check_each, check_number, fail, lookup
from genviews.generators.base import Generator
from genviews.identity import Identity, identify
from genviews.named import Registry
from genviews.rng import Streams
from genviews.signature import checked
from genviews.style_rows import Layers, layers_name, plain_layers
from genviews.types import Label, Latents, check_shape

if TYPE_CHECKING:
    from genviews.perturb.pca import PCAStatistics
    from genviews.perturb.walks import Walks

__all__ = [
    "KINDS",
    "Layers",
    "Parts",
    "Perturbation",
    "Rows",
    "ScaleTable",
    "format_strength",
    "identity_of",
    "lacks_strength",
    "perturbation",
    "perturbations",
]

ScaleTable = Mapping[str, Mapping[str, Sequence[float]]]

Rows = Float[Tensor, "B K R D"]
"""The R rows of latents that a perturbation edits, for K views of each image."""


@checked
def identity_of(generator: Generator) -> Identity:
    """What parts that are learnt or measured know of their generator: what it renders.

    However it is built and stored, so that the same one read from another file is the same.
    """
    return Identity({}, identify(generator=generator).answers)


@dataclass(frozen=True)
class Perturbation(ABC):
    """Abstract perturbation of one range of style rows.

    Args:
        layers: rows to edit, resolved by `generator.latent_spec.layers`: a name such as "fine" or
            "all", rows such as "5-7", or the numbers of any rows, such as (2, 3, 7) or range(5, 8);
            see `genviews.style_rows`. A generator in z or w space has a single row: use "all".
    """

    layers: Layers

    kind: ClassVar[str]
    """First word of `name`, and the purpose of this kind's random streams."""

    strength_field: ClassVar[str] = "strength"
    """The field that holds the strength, at which 0 is the identity."""

    unnamed_strength: ClassVar[float | None] = None
    """The strength of a name that does not say one; None where every name must."""

    largest_strength: ClassVar[float] = math.inf
    """The strength may be from 0 to this."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", plain_layers(self.layers))
        check_number(
            self._strength,
            f"{self.strength_field} of {type(self).__name__}",
            least=0,
            most=self.largest_strength,
            remedy="0 leaves the latent as it is, larger numbers move it further",
        )

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
    def variant(self) -> str:
        """`kind`, and what else but layers and strength tells this one from others of its kind."""
        return self.kind

    @property
    def name(self) -> str:
        """Short name that keys stored results: kind, layers, strength ("isotropic_fine_0.30")."""
        unnamed = self._strength == self.unnamed_strength
        tail = "" if unnamed else f"_{format_strength(self._strength)}"
        return f"{self.variant}_{self.layers_name}{tail}"

    @property
    def _strength(self) -> float:
        strength: float = getattr(self, self.strength_field)
        return strength

    @abstractmethod
    def edit(self, generator: Generator, rows: Rows, streams: Streams, label: Label | None) -> Rows:
        """Return the edited rows of K views.

        Args:
            generator: the generator of the latents.
            rows: the R selected rows of each latent, once for each view; not to be written to.
            streams: streams of this kind, one for each image.
            label: class of each image, or None when none was given.
        """

    def check(self, generator: Generator) -> None:
        """Raise unless it is for `generator`: it has the rows, and gave what was learnt of it.

        Slower than `__call__` where images are compared: once, before the work.

        Raises:
            ValueError: rows that the generator does not have, or what another was measured for.
        """
        generator.latent_spec.layers(self.layers)

    @checked
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
        remedy, note = "add or flatten the batch axis", ", one latent for each image"
        check_shape(latents, ("B", *spec.shape), "latents", remedy, note=note)
        check_count(num_views, "num_views")
        remedy = "make them with `Rng(seed).streams(ids)`, one id an image"
        check_each(streams, len(latents), "streams", remedy=remedy)
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
        strength: Any = factor * self._strength
        return replace(self, **{self.strength_field: strength})

    @property
    def layers_name(self) -> str:
        """The layers as one word, as in "fine", "5-7" or "0-2,5"."""
        return layers_name(plain_layers(self.layers))


def format_strength(value: float) -> str:
    """A strength as it stands in names: two decimals, or all of them when two would lose some.

    Example:
        >>> format_strength(0.3), format_strength(0.125)
        ('0.30', '0.125')
    """
    short = f"{value:.2f}"
    return short if float(short) == value else repr(float(value))


class Parts(ABC):
    """What perturbations are made from: a generator and what was measured or learnt for it.

    `genviews.GeneratorKit` is one.

    Attributes:
        generator: that the rows must exist in.
    """

    generator: Generator

    @property
    @abstractmethod
    def directions(self) -> PCAStatistics | None:
        """Its principal directions, for "pca"; None where it has none."""

    @property
    @abstractmethod
    def walks(self) -> Walks | None:
        """Its learnt walks, for "steer"; None where it has none."""


def perturbations(table: ScaleTable, parts: Parts) -> list[Perturbation]:
    """Return the perturbations of a scale table, in its order.

    Args:
        table: kind -> range of rows -> strengths, as on a generator's card.
        parts: the generator that the row ranges must exist in, and its directions and walks.

    Raises:
        ValueError: unknown kind or range (the closest are listed), a strength out of range, or
            directions or walks missing.

    Example:
        >>> from genviews import GeneratorKit, ToyGenerator
        >>> table = {"isotropic": {"fine": [0.1, 0.2]}, "stylemix": {"fine": [1.0]}}
        >>> [p.name for p in perturbations(table, GeneratorKit(ToyGenerator()))]
        ['isotropic_fine_0.10', 'isotropic_fine_0.20', 'stylemix_fine']
    """
    found = []
    for kind, ranges in table.items():
        made = _class_of(kind)
        for layers, strengths in ranges.items():
            parts.generator.latent_spec.layers(layers)
            found += [made.of_kind(kind, layers, strength, parts) for strength in strengths]
    return found


def perturbation(name: str, parts: Parts) -> Perturbation:
    """Return the perturbation with a stored name such as "isotropic_fine_0.30" or "stylemix_5-7".

    Args:
        name: kind, layers and strength with underscores between, as in
            "steer-zoom-rot3d@5.00_all_1.00"; style-mix and independent may leave out a strength
            of 1.
        parts: the generator that the layers must exist in, and its directions and walks.

    Raises:
        ValueError: unknown kind or layers (the closest are listed); the strength is missing or out
            of range; directions or walks missing.

    Example:
        >>> from genviews import GeneratorKit, ToyGenerator
        >>> perturbation("isotropic_fine_0.30", GeneratorKit(ToyGenerator()))
        Isotropic(layers='fine', sigma=0.3)
    """
    kind, _, rest = name.partition("_")
    made = _class_of(kind)
    layers, strength = _split(rest)
    parts.generator.latent_spec.layers(layers)
    strength = made.unnamed_strength if strength is None else strength
    if strength is None:
        fail(
            f"perturbation {name!r}",
            expected="a strength at the end",
            got="none",
            remedy=f"write {kind}_{layers}_0.30, for example",
        )
    return made.of_kind(kind, layers, strength, parts)


def lacks_strength(name: str) -> bool:
    """Whether the name of a perturbation leaves out a strength that its kind needs.

    Raises:
        ValueError: an unknown kind; the closest are listed.

    Example:
        >>> lacks_strength("isotropic_fine"), lacks_strength("stylemix_fine")
        (True, False)
    """
    kind, _, rest = name.partition("_")
    return _split(rest)[1] is None and _class_of(kind).unnamed_strength is None


def _split(rest: str) -> tuple[str, float | None]:
    """Layers and strength of "fine_0.30", "fine", "5-7_0.30" or "6"."""
    layers, _, last = rest.rpartition("_")
    try:
        return (layers, float(last)) if layers else (rest, None)
    except ValueError:
        return rest, None


def _class_of(kind: str) -> type[Perturbation]:
    """The class of a kind; "steer" goes on with its edits, as in "steer-zoom-rot3d@5.00"."""
    steered = kind.partition("-")[0] == _STEER
    return lookup(_STEER if steered else kind, KINDS, "kind of perturbation")


_STEER = "steer"
KINDS: Registry[type[Perturbation]] = Registry(
    {
        "isotropic": "genviews.perturb.noise:Isotropic",
        "pca": "genviews.perturb.pca:PCA",
        "pca-eigenvalue": "genviews.perturb.pca:PCA",
        "pca-none": "genviews.perturb.pca:PCA",
        "stylemix": "genviews.perturb.stylemix:StyleMix",
        "gaussian": "genviews.perturb.noise:Gaussian",
        "gaussian-fixed": "genviews.perturb.noise:Gaussian",
        "gaussian-free": "genviews.perturb.noise:Gaussian",
        "angular": "genviews.perturb.noise:Angular",
        "uniform": "genviews.perturb.noise:Uniform",
        "uniform-ball": "genviews.perturb.noise:Uniform",
        "independent": "genviews.perturb.stylemix:Independent",
        _STEER: "genviews.perturb.walks:Steer",
    }
)
"""Kind -> perturbation, for cards and the command line; a new one is a line here.

Each class makes itself from the word of its kind (`Perturbation.of_kind`). "steer" is the one kind
whose name goes on, with the edits and their gains.
"""
