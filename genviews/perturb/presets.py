"""Perturbations by name: one by its name, or all of a table of strengths.

A scale table says, for each kind of perturbation and each range of rows, which strengths to try:

    {"isotropic": {"coarse": [0.1, 0.2], "fine": [0.1]}, "stylemix": {"fine": [1.0]}}

It is what the card of a generator and a domain (`genviews.domains`) hold. The best strength is
chosen on the calibration split.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

from genviews.checks import fail, lookup
from genviews.generators.base import Generator
from genviews.perturb.base import Perturbation
from genviews.perturb.independent import Independent
from genviews.perturb.isotropic import Isotropic
from genviews.perturb.pca import PCA, PCAStatistics
from genviews.perturb.steer import Steer
from genviews.perturb.stylemix import StyleMix
from genviews.perturb.walk import Angular, Gaussian, Uniform
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


Factory = Callable[[str, str, float, Parts], Perturbation]
"""(kind as it was written, layers, strength, parts) -> perturbation."""


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
        make = _factory(kind)
        for layers, strengths in ranges.items():
            parts.generator.latent_spec.layers(layers)
            found += [make(kind, layers, strength, parts) for strength in strengths]
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
    make = _factory(kind)
    layers, strength = _split(rest)
    parts.generator.latent_spec.layers(layers)
    if strength is None and kind not in (StyleMix.kind, Independent.kind):
        fail(
            f"perturbation {name!r}",
            expected="a strength at the end",
            got="none",
            remedy=f"write {kind}_{layers}_0.30, for example",
        )
    return make(kind, layers, 1.0 if strength is None else strength, parts)


def _split(rest: str) -> tuple[str, float | None]:
    """Layers and strength of "fine_0.30", "fine", "5-7_0.30" or "6"."""
    layers, _, last = rest.rpartition("_")
    try:
        return (layers, float(last)) if layers else (rest, None)
    except ValueError:
        return rest, None


def _factory(kind: str) -> Factory:
    """How to make a kind; that of "steer" goes on with its edits, "steer-zoom-rot3d@5.00"."""
    steered = kind.partition("-")[0] == Steer.kind
    return lookup(Steer.kind if steered else kind, KINDS, "kind of perturbation")


def _directions(parts: Parts) -> PCAStatistics:
    if parts.directions is None:
        fail(
            "pca perturbation",
            expected="a generator with principal directions",
            got="none",
            remedy="give those of `PCAStatistics.measure(generator)`; in z space every direction "
            "is alike: take isotropic",
        )
    return parts.directions


def _walks(parts: Parts) -> Walks:
    if parts.walks is None:
        fail(
            "steer perturbation",
            expected="learnt walks of the generator",
            got="none",
            remedy="give those of `train_walks`, or the file of `Walks.save`",
        )
    parts.walks.check(parts.generator)
    return parts.walks


KINDS: dict[str, Factory] = {
    "isotropic": lambda _, layers, t, __: Isotropic(layers, t),
    "pca": lambda _, layers, t, parts: PCA(layers, t, _directions(parts)),
    "pca-eigenvalue": lambda _, layers, t, parts: PCA(layers, t, _directions(parts), "eigenvalue"),
    "pca-none": lambda _, layers, t, parts: PCA(layers, t, _directions(parts), "none"),
    "stylemix": lambda _, layers, t, __: StyleMix(layers, t),
    "gaussian": lambda _, layers, t, __: Gaussian(layers, t),
    "gaussian-fixed": lambda _, layers, t, __: Gaussian(layers, t, reading="fixed"),
    "gaussian-free": lambda _, layers, t, __: Gaussian(layers, t, truncation=None),
    "angular": lambda _, layers, t, __: Angular(layers, t),
    "uniform": lambda _, layers, t, __: Uniform(layers, t),
    "uniform-ball": lambda _, layers, t, __: Uniform(layers, t, shape="ball"),
    "independent": lambda _, layers, t, __: Independent(layers, t),
    "steer": lambda kind, layers, t, parts: Steer.parse(kind, _walks(parts), layers, t),
}
"""Kind -> how to make it from its name, for cards and the command line; a new one is a line here.

"steer" is the one kind whose name goes on, with the edits and their gains.
"""
