"""Perturbations by name: one by its name, or all of a table of strengths.

A scale table says, for each kind of perturbation and each range of rows, which strengths to try:

    {"isotropic": {"coarse": [0.1, 0.2], "fine": [0.1]}, "stylemix": {"fine": [1.0]}}

It is what the card of a generator and a domain (`genviews.domains`) hold. The best strength is
chosen on the calibration split.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from genviews.checks import fail, lookup
from genviews.generators.base import Generator
from genviews.named import Registry
from genviews.perturb.base import Perturbation

if TYPE_CHECKING:
    from genviews.perturb.pca import PCAStatistics
    from genviews.perturb.walks import Walks

__all__ = [
    "KINDS",
    "Parts",
    "ScaleTable",
    "perturbation",
    "perturbations",
]

ScaleTable = Mapping[str, Mapping[str, Sequence[float]]]


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
        "isotropic": "genviews.perturb.isotropic:Isotropic",
        "pca": "genviews.perturb.pca:PCA",
        "pca-eigenvalue": "genviews.perturb.pca:PCA",
        "pca-none": "genviews.perturb.pca:PCA",
        "stylemix": "genviews.perturb.stylemix:StyleMix",
        "gaussian": "genviews.perturb.walk:Gaussian",
        "gaussian-fixed": "genviews.perturb.walk:Gaussian",
        "gaussian-free": "genviews.perturb.walk:Gaussian",
        "angular": "genviews.perturb.walk:Angular",
        "uniform": "genviews.perturb.walk:Uniform",
        "uniform-ball": "genviews.perturb.walk:Uniform",
        "independent": "genviews.perturb.independent:Independent",
        _STEER: "genviews.perturb.steer:Steer",
    }
)
"""Kind -> perturbation, for cards and the command line; a new one is a line here.

Each class makes itself from the word of its kind (`Perturbation.of_kind`). "steer" is the one kind
whose name goes on, with the edits and their gains.
"""
