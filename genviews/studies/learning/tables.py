"""The paper's tables and figures as lists of rows, by name.

    TABLE -> rows -> run -> compare

Each row is data x latent views x pixel views x objective. The strengths are those of the setting,
because what suits one generator does not suit another: the paper takes a deviation of 0.2 for
BigBiGAN, 1.0 for BigGAN and 0.25 for StyleGAN2.

A panel (`PANELS`) is a list of rows whose views are looked at; nothing is learnt from them.

Source: Jahanian et al. 2022, arXiv:2106.05258, tables 1-6, figures 4-11, appendix D.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from genviews.checks import fail, lookup
from genviews.represent.plan import RATIOS
from genviews.studies.learning.row import LearningRow

__all__ = ["PANELS", "TABLES", "Panel", "Strengths", "learning_table"]


@dataclass(frozen=True, kw_only=True)
class Strengths:
    """How strong the latent views of a table are.

    Args:
        std: deviation of the Gaussian step in z; 0.2 is the paper's for BigBiGAN.
        sweep: deviations of Fig. 5; the paper's.
        steer: strength of steered views; 0 leaves their rows out, for a generator without walks.
        mix: rows that style-mixing replaces, or "" for a generator without style rows.
        more: K of rows with several positives.

    Raises:
        ValueError: a deviation that is not above 0.
    """

    std: float = 0.2
    sweep: tuple[float, ...] = (0.05, 0.1, 0.2, 0.3, 0.4)
    steer: float = 1.0
    mix: str = "fine"
    more: int = 3

    def __post_init__(self) -> None:
        if not all(std > 0 for std in (self.std, *self.sweep)):
            fail(
                "deviations of a table",
                expected="numbers above 0",
                got=(self.std, *self.sweep),
                remedy="a row without latent views is in the tables already",
            )

    @property
    def gaussian(self) -> str:
        """The Gaussian views, by name."""
        return gaussian(self.std)


def gaussian(std: float) -> str:
    """Gaussian views of a deviation, by name."""
    return f"gaussian_all_{std:.2f}"


RANDOM = LearningRow(name="untrained", data="none")
REAL = LearningRow(name="real + T_x", data="real", pixels=True)
GENERATED = LearningRow(name="generated + T_x", pixels=True)
INVERTER = LearningRow(name="inverter", objective="inverter")


def _both(name: str, views: str, *, alone: bool = True, **fields: object) -> list[LearningRow]:
    """Latent views without and with pixel views."""
    # Fields are passed on by name; the row itself checks them.
    row = LearningRow(name=name, views=views, **fields)  # type: ignore[arg-type]
    with_pixels = replace(row, name=f"{name} + T_x", pixels=True)
    return [row, with_pixels] if alone else [with_pixels]


def table1(s: Strengths) -> list[LearningRow]:
    """Tables 1, 2 and 4: an unconditional generator; style-mixing and K positives are ours."""
    rows = [RANDOM, REAL, GENERATED, *_both("Gaussian", s.gaussian)]
    if s.steer:
        rows += _both("steered", f"steer_all_{s.steer:.2f}")
    rows.append(INVERTER)
    if s.mix:
        rows += _both("style-mix", f"stylemix_{s.mix}", space="own")
        rows += _both(
            f"style-mix, {s.more} positives",
            f"stylemix_{s.mix}",
            alone=False,
            space="own",
            objective="multi-positive",
            positives=s.more,
        )
    return rows


def table3(s: Strengths) -> list[LearningRow]:
    """Tables 3 and 5: a class-conditional generator, its classes as labels."""
    supervised = [replace(row, objective="supcon") for row in table1(replace(s, mix=""))]
    rows = [
        row if row.name == "untrained" else replace(INVERTER) if row.name == "inverter" else row
        for row in supervised
    ]
    rows += _both("independent", "independent_all", objective="supcon")
    if s.mix:
        rows += _both("style-mix", f"stylemix_{s.mix}", space="own", objective="supcon")
    return rows


def table6(s: Strengths) -> list[LearningRow]:
    """Table 6: classifiers instead of contrastive encoders."""
    return [
        LearningRow(
            name="classifier, real + T_x", data="real", pixels=True, objective="classifier"
        ),
        LearningRow(name="classifier, generated + T_x", pixels=True, objective="classifier"),
    ]


def figure5(s: Strengths) -> list[LearningRow]:
    """Fig. 5: the deviation of the Gaussian step, with pixel views; 0 is generated + T_x."""
    rows = [replace(GENERATED, name="std 0.00")]
    return rows + [
        LearningRow(name=f"std {std:.2f}", views=gaussian(std), pixels=True) for std in s.sweep
    ]


def figure6(s: Strengths) -> list[LearningRow]:
    """Fig. 6: unique samples at a constant number of updates, Gaussian + T_x."""
    row = LearningRow(name="", views=s.gaussian, pixels=True)
    return [replace(row, name=f"{ratio:g} times the samples", ratio=ratio) for ratio in RATIOS]


def figure8(s: Strengths) -> list[LearningRow]:
    """Fig. 8: as Fig. 6, with a conditional generator."""
    return [replace(row, objective="supcon") for row in figure6(s)]


def figure9(s: Strengths) -> list[LearningRow]:
    """Fig. 9: shares of generated samples among real ones, T_x alone as in the paper's code."""
    shares = (0.05, 0.25, 0.5)
    mixed = [
        LearningRow(name=f"{100 * share:.0f} % generated", data="mixed", share=share, pixels=True)
        for share in shares
    ]
    ends = (replace(REAL, name="0 % generated"), replace(GENERATED, name="100 % generated"))
    return [ends[0], *mixed, ends[1]]


def training_time(s: Strengths) -> list[LearningRow]:
    """Appendix D: real data for a quarter, a half, three quarters and all of the updates."""
    return [
        replace(REAL, name=f"{share:g} of the updates", updates=share)
        for share in (0.25, 0.5, 0.75, 1.0)
    ]


def pool(s: Strengths) -> list[LearningRow]:
    """The authors' notebooks: how many different positives each anchor has."""
    row = LearningRow(name="", views=s.gaussian, pixels=True)
    return [replace(row, name=f"pool of {size}", pool=size) for size in (1, 5, 20)]


def objectives(s: Strengths) -> list[LearningRow]:
    """Ours: the objectives on the same views."""
    row = LearningRow(name="", views=s.gaussian, pixels=True)
    names = ("nt-xent", "decoupled", "vicreg")
    return [replace(row, name=name, objective=name) for name in names]


TABLES: Mapping[str, Callable[[Strengths], list[LearningRow]]] = {
    "table1": table1,
    "table2": table1,
    "table3": table3,
    "table4": table1,
    "table5": table3,
    "table6": table6,
    "figure5": figure5,
    "figure6": figure6,
    "figure8": figure8,
    "figure9": figure9,
    "training-time": training_time,
    "pool": pool,
    "objectives": objectives,
}
"""Name -> rows. Tables 2, 4 and 5 are 1 and 3 with other data; figures 4, 7, 10 and 11 are
`PANELS`."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Views of a few samples beside their anchors, as pictures.

    Args:
        rows: whose views are shown.
        views: of each sample and row.
        pixels: show T_x of each image beside it.
        classes: of a class-conditional generator.
    """

    rows: Callable[[Strengths], list[LearningRow]]
    views: int = 1
    pixels: bool = True
    classes: bool = False


def _steps(s: Strengths) -> list[LearningRow]:
    """Views near the sample."""
    rows = [LearningRow(name="Gaussian", views=s.gaussian)]
    if s.steer:
        rows.append(LearningRow(name="steered", views=f"steer_all_{s.steer:.2f}"))
    return rows


def _mixed(s: Strengths) -> list[LearningRow]:
    """Style-mixing, which is ours; nothing for a generator without style rows."""
    row = LearningRow(name="style-mix", views=f"stylemix_{s.mix}", space="own")
    return [row] if s.mix else []


def figure4(s: Strengths) -> list[LearningRow]:
    """Fig. 4: Gaussian and steered views."""
    return [*_steps(s), *_mixed(s)]


def figure7(s: Strengths) -> list[LearningRow]:
    """Fig. 7: as Fig. 4, and another sample of the class."""
    independent = LearningRow(name="independent", views="independent_all")
    return [*_steps(s), independent, *_mixed(s)]


PANELS: Mapping[str, Panel] = {
    "figure4": Panel(rows=figure4),
    "figure7": Panel(rows=figure7, classes=True),
    "figure10": Panel(rows=_steps, views=3, pixels=False),
    "figure11": Panel(rows=_steps, views=3, pixels=False, classes=True),
}
"""Name -> panel. Figs. 10 and 11 show several neighbours, without T_x."""


def learning_table(name: str, strengths: Strengths | None = None) -> list[LearningRow]:
    """Return the rows of a table.

    Args:
        name: a key of `TABLES`.
        strengths: of the latent views; None is the paper's for BigBiGAN.

    Raises:
        ValueError: unknown; the closest names are listed.

    Example:
        >>> [row.name for row in learning_table("figure9")][:2]
        ['0 % generated', '5 % generated']
    """
    return lookup(name, TABLES, "table")(Strengths() if strengths is None else strengths)
