"""Perturbations by name and in sets: the published scales, those of a card, one by its name.

A scale table says, for each kind of perturbation and each range of rows, which strengths to try:

    {"isotropic": {"coarse": [0.1, 0.2], "fine": [0.1]}, "stylemix": {"fine": [1.0]}}

It is what the card of a generator holds. The best strength is chosen on the calibration split.
"""

from __future__ import annotations

import statistics as stats
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from genviews.checks import fail, lookup
from genviews.generators.base import Generator
from genviews.perturb.base import Perturbation
from genviews.perturb.independent import Independent
from genviews.perturb.isotropic import Isotropic
from genviews.perturb.pca import PCA, PCAStatistics, Scaling
from genviews.perturb.steer import Steer
from genviews.perturb.stylemix import StyleMix
from genviews.perturb.walk import Angular, Gaussian, Uniform
from genviews.perturb.walks import Walks

__all__ = ["KINDS", "PAPER", "PAPER_TRAINING", "from_card", "paper_presets", "perturbation"]

ScaleTable = Mapping[str, Mapping[str, Sequence[float]]]
Factory = Callable[[str, float, PCAStatistics | None], Perturbation]

PAPER: dict[str, ScaleTable] = {
    "face": {
        "isotropic": {"coarse": (0.1, 0.2, 0.3), "fine": (0.1, 0.2, 0.3)},
        "pca": {"coarse": (1.0, 2.0, 3.0), "fine": (1.0, 2.0, 3.0)},
        "stylemix": {"coarse": (1.0,), "fine": (1.0,)},
    },
    "car": {
        "isotropic": {"coarse": (1.0, 1.5, 2.0), "fine": (0.3, 0.5, 0.7)},
        "pca": {"coarse": (1.0, 2.0, 3.0), "fine": (1.0, 2.0, 3.0)},
        "stylemix": {"coarse": (1.0,), "fine": (1.0,)},
    },
    "cat": {
        "isotropic": {"coarse": (0.5, 0.7, 1.0), "fine": (0.1, 0.2, 0.3)},
        "pca": {"coarse": (0.5, 0.7, 1.0), "fine": (0.5, 0.7, 1.0)},
        "stylemix": {"coarse": (1.0,), "fine": (1.0,)},
    },
    # Class-conditional: needs labels. The paper also mixes row 6; the published code only row 7.
    "cifar10": {"stylemix": {"7": (1.0,)}},
}
"""Scales tried at test time: Chai et al. 2021 (arXiv:2104.14551), supplement, Table 1."""

PAPER_TRAINING: dict[str, dict[str, Callable[[Sequence[float]], float]]] = {
    "face": {"isotropic": stats.median, "pca": stats.median},
    "car": {"isotropic": min, "pca": stats.median},
    "cat": {"isotropic": min, "pca": stats.median},
    "cifar10": {},
}
"""Which one of the scales the published code trains classifiers with."""


def paper_presets(
    domain: str,
    generator: Generator,
    statistics: PCAStatistics | None = None,
    *,
    training: bool = False,
) -> list[Perturbation]:
    """Return the published perturbations of one domain: every scale, or those used in training.

    Args:
        domain: "face", "car", "cat" or "cifar10".
        generator: its named row ranges are used; must have "coarse" and "fine" (cifar10: a row 7).
        statistics: principal directions of the generator; every domain but cifar10 needs them.
        training: only the scale that classifiers are trained with, one for each kind and range.

    Raises:
        ValueError: unknown domain, a range that the generator lacks, or statistics missing.

    Source:
        Chai et al. 2021, arXiv:2104.14551, supplement Table 1; training scales from the published
        code.
    """
    table = lookup(domain, PAPER, "domain")
    if training:
        choose = PAPER_TRAINING[domain]
        table = {
            kind: {layers: (choose.get(kind, max)(scales),) for layers, scales in ranges.items()}
            for kind, ranges in table.items()
        }
    return from_card(table, generator, statistics)


def from_card(
    card: ScaleTable,
    generator: Generator,
    statistics: PCAStatistics | None = None,
    walks: Walks | None = None,
) -> list[Perturbation]:
    """Return the perturbations of a scale table, in its order.

    Args:
        card: kind -> range of rows -> strengths, as on a generator's card.
        generator: the generator that the row ranges must exist in.
        statistics: principal directions; needed when the table has "pca".
        walks: learnt walks; needed when the table has "steer".

    Raises:
        ValueError: unknown kind or range (the closest are listed), a strength out of range, or
            statistics or walks missing.

    Example:
        >>> from genviews import ToyGenerator
        >>> card = {"isotropic": {"fine": [0.1, 0.2]}, "stylemix": {"fine": [1.0]}}
        >>> [p.name for p in from_card(card, ToyGenerator())]
        ['isotropic_fine_0.10', 'isotropic_fine_0.20', 'stylemix_fine']
    """
    found = []
    for kind, ranges in card.items():
        make = _factory(kind, walks)
        for layers, strengths in ranges.items():
            generator.latent_spec.layers(layers)
            found += [make(layers, strength, statistics) for strength in strengths]
    return found


def perturbation(
    name: str,
    generator: Generator,
    statistics: PCAStatistics | None = None,
    walks: Walks | None = None,
) -> Perturbation:
    """Return the perturbation with a stored name such as "isotropic_fine_0.30" or "stylemix_5-7".

    Args:
        name: kind, layers and strength with underscores between; style-mix and independent may
            leave out a strength of 1.
        generator: the generator that the layers must exist in.
        statistics: principal directions; needed for "pca".
        walks: learnt walks; needed for "steer", as in "steer-zoom-rot3d@5.00_all_1.00".

    Raises:
        ValueError: unknown kind or layers (the closest are listed), or the strength is missing or
            out of range.

    Example:
        >>> from genviews import ToyGenerator
        >>> perturbation("isotropic_fine_0.30", ToyGenerator())
        Isotropic(layers='fine', sigma=0.3)
    """
    kind, _, rest = name.partition("_")
    make = _factory(kind, walks)
    layers, strength = _split(rest)
    generator.latent_spec.layers(layers)
    if strength is None and kind not in (StyleMix.kind, Independent.kind):
        fail(
            f"perturbation {name!r}",
            expected="a strength at the end",
            got="none",
            remedy=f"write {kind}_{layers}_0.30, for example",
        )
    return make(layers, 1.0 if strength is None else strength, statistics)


def _split(rest: str) -> tuple[str, float | None]:
    """Layers and strength of "fine_0.30", "fine", "5-7_0.30" or "6"."""
    layers, _, last = rest.rpartition("_")
    try:
        return (layers, float(last)) if layers else (rest, None)
    except ValueError:
        return rest, None


def _factory(kind: str, walks: Walks | None) -> Factory:
    """How to make a kind; that of "steer" goes on with its edits, "steer-zoom-rot3d@5.00"."""
    if kind.partition("-")[0] != Steer.kind:
        return lookup(kind, KINDS, "kind of perturbation")
    if walks is None:
        fail(
            "walks",
            expected="walks of the generator, for a steer perturbation",
            got="none",
            remedy="pass those of `train_walks`, or `Walks.load` of a file",
        )
    return partial(_plain, partial(Steer.parse, kind, walks))


def _pca(
    scaling: Scaling, layers: str, strength: float, statistics: PCAStatistics | None
) -> Perturbation:
    if statistics is None:
        fail(
            "statistics",
            expected="the generator's principal directions, for a pca perturbation",
            got="none",
            remedy="pass `PCAStatistics.measure(generator)`, or load those of its card",
        )
    return PCA(layers, strength, statistics, scaling)


def _plain(
    make: Callable[[str, float], Perturbation],
    layers: str,
    strength: float,
    statistics: PCAStatistics | None,
) -> Perturbation:
    return make(layers, strength)


KINDS: dict[str, Factory] = {
    Isotropic.kind: partial(_plain, Isotropic),
    PCA.kind: partial(_pca, "stddev"),
    f"{PCA.kind}-eigenvalue": partial(_pca, "eigenvalue"),
    f"{PCA.kind}-none": partial(_pca, "none"),
    StyleMix.kind: partial(_plain, StyleMix),
    Gaussian.kind: partial(_plain, Gaussian),
    f"{Gaussian.kind}-fixed": partial(_plain, partial(Gaussian, reading="fixed")),
    f"{Gaussian.kind}-free": partial(_plain, partial(Gaussian, truncation=None)),
    Angular.kind: partial(_plain, Angular),
    Uniform.kind: partial(_plain, Uniform),
    f"{Uniform.kind}-ball": partial(_plain, partial(Uniform, shape="ball")),
    Independent.kind: partial(_plain, Independent),
}
"""Kind -> factory from (layers, strength, statistics), for cards and the command line.

Steered views are the one kind that is not here: they need walks, see `perturbation`.
"""
