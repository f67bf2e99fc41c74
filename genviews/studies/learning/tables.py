"""The paper's tables and figures as lists of rows, by name.

    TABLE -> rows -> run -> compare

Each row is data x latent views x pixel views x objective. The strengths are those of the options,
because what suits one generator does not suit another: the paper takes a deviation of 0.2 for
BigBiGAN, 1.0 for BigGAN and 0.25 for StyleGAN2.

A panel (`PANELS`) is a list of rows whose views are looked at; nothing is learnt from them.

Source: Jahanian et al. 2022, arXiv:2106.05258, tables 1-6, figures 4-11, appendix D.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from genviews.checks import lookup
from genviews.kit import GeneratorKit
from genviews.represent.plan import RATIOS
from genviews.studies.learning.options import LearningOptions, RowOptions
from genviews.studies.learning.row import LearningRow

__all__ = [
    "PANELS",
    "PAPER",
    "UNTRAINED",
    "TABLES",
    "LearningTable",
    "Panel",
    "learning_table",
    "suited",
    "table_rows",
]

PAPER = "Jahanian et al. 2022"
SWEEP = (0.05, 0.1, 0.2, 0.3, 0.4)  # deviations of Fig. 5; the paper's
MORE = 3  # K of rows with several positives

UNTRAINED = LearningRow(name="untrained", data="none")
REAL = LearningRow(name="real + T_x", data="real", pixels=True)
GENERATED = LearningRow(name="generated + T_x", pixels=True)
INVERTER = LearningRow(name="inverter", objective="inverter")
INDEPENDENT = LearningRow(name="independent", views="independent_all")


def _gaussian(std: float) -> str:
    """Gaussian views of a deviation, by name."""
    return f"gaussian_all_{std:.2f}"


def _both(row: LearningRow) -> list[LearningRow]:
    """Latent views without and with pixel views."""
    return [row, _with_pixels(row)]


def _with_pixels(row: LearningRow) -> LearningRow:
    return replace(row, name=f"{row.name} + T_x", pixels=True)


def _steps(s: RowOptions) -> list[LearningRow]:
    """Views near the sample; steered ones where they have a strength."""
    rows = [LearningRow(name="Gaussian", views=_gaussian(s.std))]
    if s.steer:
        rows.append(LearningRow(name="steered", views=f"steer_all_{s.steer:.2f}"))
    return rows


def _mixed(s: RowOptions) -> list[LearningRow]:
    """Style-mixing, which is ours; nothing for a generator without style rows."""
    if s.mix in (None, "none"):
        return []
    return [LearningRow(name="style-mix", views=f"stylemix_{s.mix}", space="own")]


def table1(s: RowOptions) -> list[LearningRow]:
    """Tables 1, 2 and 4: an unconditional generator; style-mixing and K positives are ours."""
    rows = [UNTRAINED, REAL, GENERATED]
    rows += [one for row in _steps(s) for one in _both(row)]
    rows.append(INVERTER)
    for row in _mixed(s):
        several = replace(row, name=f"{row.name}, {MORE} positives", positives=MORE)
        rows += [*_both(row), _with_pixels(replace(several, objective="multi-positive"))]
    return rows


def table3(s: RowOptions) -> list[LearningRow]:
    """Tables 3 and 5: a class-conditional generator, its classes as labels."""
    rows = [*table1(replace(s, mix="none")), *_both(INDEPENDENT)]
    rows += [one for row in _mixed(s) for one in _both(row)]
    return [row if row == INVERTER else replace(row, objective="supcon") for row in rows]


def table6(s: RowOptions) -> list[LearningRow]:
    """Table 6: classifiers instead of contrastive encoders."""
    return [
        replace(row, name=f"classifier, {row.name}", objective="classifier")
        for row in (REAL, GENERATED)
    ]


def figure5(s: RowOptions) -> list[LearningRow]:
    """Fig. 5: the deviation of the Gaussian step, with pixel views; 0 is generated + T_x."""
    sweep = s.sweep if isinstance(s, LearningOptions) else None
    rows = [replace(GENERATED, name="std 0.00")]
    return rows + [
        replace(GENERATED, name=f"std {std:.2f}", views=_gaussian(std)) for std in sweep or SWEEP
    ]


def figure6(s: RowOptions) -> list[LearningRow]:
    """Fig. 6: unique samples at a constant number of updates, Gaussian + T_x."""
    row = replace(GENERATED, views=_gaussian(s.std))
    return [replace(row, name=f"{ratio:g} times the samples", ratio=ratio) for ratio in RATIOS]


def figure8(s: RowOptions) -> list[LearningRow]:
    """Fig. 8: as Fig. 6, with a conditional generator."""
    return [replace(row, objective="supcon") for row in figure6(s)]


def figure9(s: RowOptions) -> list[LearningRow]:
    """Fig. 9: shares of generated samples among real ones, T_x alone as in the paper's code."""
    mixed = [
        replace(GENERATED, name=f"{100 * share:.0f} % generated", data="mixed", share=share)
        for share in (0.05, 0.25, 0.5)
    ]
    return [replace(REAL, name="0 % generated"), *mixed, replace(GENERATED, name="100 % generated")]


def training_time(s: RowOptions) -> list[LearningRow]:
    """Appendix D: real data for a quarter, a half, three quarters and all of the updates."""
    shares = (0.25, 0.5, 0.75, 1.0)
    return [replace(REAL, name=f"{share:g} of the updates", updates=share) for share in shares]


def pool(s: RowOptions) -> list[LearningRow]:
    """The authors' notebooks: how many different positives each anchor has."""
    row = replace(GENERATED, views=_gaussian(s.std))
    return [replace(row, name=f"pool of {size}", pool=size) for size in (1, 5, 20)]


def objectives(s: RowOptions) -> list[LearningRow]:
    """Ours: the objectives on the same views."""
    row = replace(GENERATED, views=_gaussian(s.std))
    return [replace(row, name=name, objective=name) for name in ("nt-xent", "decoupled", "vicreg")]


def figure4(s: RowOptions) -> list[LearningRow]:
    """Fig. 4: Gaussian and steered views."""
    return [*_steps(s), *_mixed(s)]


def figure7(s: RowOptions) -> list[LearningRow]:
    """Fig. 7: as Fig. 4, and another sample of the class."""
    return [*_steps(s), INDEPENDENT, *_mixed(s)]


@dataclass(frozen=True)
class LearningTable:
    """Rows that stand beside each other.

    Args:
        rows: by how strong their views are.
        source: paper and table, or "ours".
        about: one sentence.
        minutes: on two cores.
        classes: only of a class-conditional generator.
    """

    rows: Callable[[RowOptions], list[LearningRow]]
    source: str
    about: str
    minutes: float = 0.1
    classes: bool = False


@dataclass(frozen=True)
class Panel(LearningTable):
    """Views of a few samples beside their anchors, as pictures.

    Args:
        views: of each sample and row.
        pixels: show T_x of each image beside it.
    """

    views: int = 1
    pixels: bool = True


_UNCONDITIONAL = "Ways to learn from an unconditional generator, against real images."
_CONDITIONAL = "Ways to learn from a class-conditional generator, with labels."
_CLASSIFIERS = "Classifiers instead of contrastive encoders."
_SAMPLES = "How many unique samples are worth making, at equal updates"
_SHARE = "Real images, a share of which is generated."

TABLES: Mapping[str, LearningTable] = {
    "table1": LearningTable(table1, f"{PAPER}, Table 1", _UNCONDITIONAL, 30),
    "table2": LearningTable(table1, f"{PAPER}, Table 2 (cars)", _UNCONDITIONAL, 30),
    "table3": LearningTable(table3, f"{PAPER}, Table 3", _CONDITIONAL, 30),
    "table4": LearningTable(table1, f"{PAPER}, Table 4 (ImageNet-100)", _UNCONDITIONAL, 30),
    "table5": LearningTable(table3, f"{PAPER}, Table 5 (ImageNet-100)", _CONDITIONAL, 30),
    "table6": LearningTable(table6, f"{PAPER}, Table 6", _CLASSIFIERS, 6),
    "figure5": LearningTable(
        figure5, f"{PAPER}, Fig. 5", "The deviation of the Gaussian step.", 15
    ),
    "figure6": LearningTable(figure6, f"{PAPER}, Fig. 6", f"{_SAMPLES}.", 20),
    "figure8": LearningTable(figure8, f"{PAPER}, Fig. 8", f"{_SAMPLES}, with classes.", 20),
    "figure9": LearningTable(figure9, f"{PAPER}, Fig. 9", _SHARE, 15),
    "training-time": LearningTable(
        training_time, f"{PAPER}, App. D", "Real images, for a part of the updates.", 10
    ),
    "pool": LearningTable(pool, f"{PAPER}, code", "How many different views each sample has.", 10),
    "objectives": LearningTable(objectives, "ours", "Objectives on the same views.", 10),
}
"""Name -> rows. Tables 2, 4 and 5 are 1 and 3 with other data."""

_NEAR = "Samples and three neighbours of each."
_KINDS = "Samples beside their views of three kinds."

PANELS: Mapping[str, Panel] = {
    "figure4": Panel(figure4, f"{PAPER}, Fig. 4", _KINDS),
    "figure7": Panel(
        figure7, f"{PAPER}, Fig. 7", "As figure4, of a class-conditional generator.", classes=True
    ),
    "figure10": Panel(_steps, f"{PAPER}, Fig. 10", _NEAR, views=3, pixels=False),
    "figure11": Panel(
        _steps,
        f"{PAPER}, Fig. 11",
        "As figure10, of a class-conditional generator.",
        views=3,
        pixels=False,
        classes=True,
    ),
}
"""Name -> panel. Figs. 10 and 11 show several neighbours, without T_x."""


def learning_table(name: str, options: RowOptions | None = None) -> list[LearningRow]:
    """Return the rows of a table.

    Args:
        name: a key of `TABLES`.
        options: how strong the latent views are; None is the paper's for BigBiGAN, and fine rows
            for style-mixing.

    Raises:
        ValueError: unknown; the closest names are listed.

    Example:
        >>> [row.name for row in learning_table("figure9")][:2]
        ['0 % generated', '5 % generated']
    """
    found = lookup(name, TABLES, "table")
    return found.rows(LearningOptions(mix="fine") if options is None else options)


def table_rows(
    table: LearningTable, options: RowOptions, kit: GeneratorKit | None
) -> tuple[list[LearningRow], tuple[str, ...]]:
    """The rows that options and generator allow, and why others are left out.

    Args:
        table: or a panel.
        options: which rows, and how strong their views are.
        kit: the generator and its walks.

    Raises:
        ValueError: a name that no row has; the closest are listed.
    """
    chosen, lacking = suited(options, kit)
    rows, every = table.rows(chosen), table.rows(LearningOptions(mix="fine"))
    known = {row.name: row for row in rows}
    if options.rows is not None and set(options.rows) <= known.keys():
        lacking = {}  # nobody asked for the others
    notes = [
        note
        for kind, note in lacking.items()
        if any((row.views or "").startswith(kind) for row in every)
    ]
    if options.rows is not None:
        wanted = {lookup(name, known, "--rows").name for name in options.rows}
        rows = [row for row in rows if row.name in wanted]
    return rows, tuple(notes)


def suited(options: RowOptions, kit: GeneratorKit | None) -> tuple[RowOptions, dict[str, str]]:
    """The options as a generator allows them, and what the kinds of views need that are left out.

    Args:
        options: what was asked for.
        kit: the generator and its walks.
    """
    lacking = {}
    if options.steer and (kit is None or kit.walks is None):
        options = replace(options, steer=0.0)
        lacking["steer"] = "steered views, which need latent walks (--walks FILE)"
    if options.mix is None:
        ranges = () if kit is None else kit.generator.latent_spec.ranges
        fine = "fine" in (layers.name for layers in ranges)
        options = replace(options, mix="fine" if fine else "none")
        if not fine:
            need = "style-mixing, which needs a generator with fine rows (--mix ROWS)"
            lacking["stylemix"] = need
    return options, lacking
