"""The tables and panels of the learning paper as studies, and some of ours.

Source: Jahanian et al. 2022, arXiv:2106.05258, tables 1-6, figures 4-11, appendix D.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from genviews.checks import fail, lookup
from genviews.kit import GeneratorKit
from genviews.represent.losses.choose import OBJECTIVES
from genviews.studies.base import Need, Study
from genviews.studies.bench import Bench
from genviews.studies.blocks import Images
from genviews.studies.learning.options import LearningOptions, PanelOptions, RowOptions
from genviews.studies.learning.panels import panel_result, view_images
from genviews.studies.learning.progress import StudyProgress
from genviews.studies.learning.result import table_result
from genviews.studies.learning.row import LearningRow
from genviews.studies.learning.setting import LearningSetting
from genviews.studies.learning.study import compare_rows
from genviews.studies.learning.tables import PANELS, TABLES, Panel, Strengths
from genviews.studies.learning.training import learning_setting
from genviews.studies.result import Result

__all__ = ["STUDIES", "run_panel", "run_table", "strengths", "table_rows"]

SHOWN = (0, 1, 2, 3, 4, 5)  # samples in a picture of views, where --show names none
PAPER = "Jahanian et al. 2022"


def run_table(table: str, bench: Bench, options: LearningOptions) -> Result:
    """Learn the encoders of a table's rows, and compare them.

    Args:
        table: a key of `TABLES`.
        bench: with what rows are learnt from and judged on.
        options: which rows, how strong, how trained.

    Raises:
        ValueError: rows that the bench cannot serve; before the first is learnt.
    """
    rows, left_out = table_rows(TABLES[table], options, bench.inputs.kit)
    for note in left_out:
        bench.tell(f"left out: {note}")
    _check_given(table, rows, bench)
    setting = learning_setting(bench, options, rows)
    study = compare_rows(
        table,
        rows,
        setting,
        range(options.seeds),
        bench.place,
        engine=bench.engine,
        report=StudyProgress(bench.progress, rows, options.seeds, setting),
        voc=bench.inputs.voc,
    )
    record = bench.record(options)
    unread = study.facts["voc"]["skipped"] if "voc" in study.facts else []
    skipped = (*record.skipped, *((file, reason) for file, reason in unread))
    record = replace(record, skipped=skipped)
    views = _views(rows, setting, options.show)
    return table_result(study, record=record, left_out=left_out, views=views)


def _views(
    rows: Sequence[LearningRow], setting: LearningSetting, samples: tuple[int, ...] | None
) -> Images | None:
    """The views of each row beside the anchors; None where no row has latent views."""
    shown: dict[tuple[str | None, str], LearningRow] = {}
    for row in rows:
        if row.views is not None:
            shown.setdefault((row.views, row.space), row)
    if not shown:
        return None
    return view_images(list(shown.values()), setting, samples=samples or SHOWN)


def run_panel(panel: str, bench: Bench, options: RowOptions) -> Result:
    """Show views of a few samples; nothing is learnt.

    Args:
        panel: a key of `PANELS`.
        bench: with a generator.
        options: which kinds and samples, how strong.

    Raises:
        ValueError: a generator that has no classes where these are needed, or views that it cannot
            have.
    """
    known = PANELS[panel]
    _check_classes(panel, known, bench.kit)
    rows, left_out = table_rows(known.rows, options, bench.kit)
    for note in left_out:
        bench.tell(f"left out: {note}")
    shown = options.pixels if isinstance(options, PanelOptions) else "none"
    setting = learning_setting(bench, LearningOptions(pixels=shown), rows)
    samples = options.show or SHOWN
    views = view_images(rows, setting, samples=samples, views=known.views)
    pixels = None if setting.pixels is None else repr(setting.pixels)
    named = ("name", "views", "space")
    facts = {
        "generator": bench.kit.name,
        "samples": list(samples),
        "views": known.views,
        "rows": [{name: asdict(row)[name] for name in named} for row in rows],
        "pixels": pixels,
        "left_out": list(left_out),
    }
    return panel_result(
        panel,
        bench.kit.name,
        rows,
        views,
        pixels=pixels,
        record=replace(bench.record(options, facts), seed=setting.views_seed),
        left_out=left_out,
    )


def table_rows(
    build: Callable[[Strengths], list[LearningRow]],
    options: RowOptions,
    kit: GeneratorKit | None,
) -> tuple[list[LearningRow], tuple[str, ...]]:
    """The rows that options and generator allow, and why others are left out.

    Args:
        build: the rows, by the strengths of their views.
        options: which, and how strong.
        kit: the generator and its walks.

    Raises:
        ValueError: a name that no row has; the closest are listed.
    """
    chosen, lacking = strengths(options, kit)
    rows, names = build(chosen), options.rows
    notes = tuple(
        note
        for kind, note in lacking.items()
        if any((row.views or "").startswith(kind) for row in build(Strengths()))
    )
    if names is None:
        return rows, notes
    known = {row.name: row for row in rows}
    if set(names) <= known.keys():
        notes = ()  # nobody asked for the others
    wanted = {lookup(name, known, "--rows").name for name in names}
    return [row for row in rows if row.name in wanted], notes


def strengths(options: RowOptions, kit: GeneratorKit | None) -> tuple[Strengths, dict[str, str]]:
    """How strong views are, and what the kinds need that are left out.

    Args:
        options: what was asked for.
        kit: the generator and its walks.
    """
    ranges = [] if kit is None else [r.name for r in kit.generator.latent_spec.ranges]
    lacking = {}
    steer, mix = options.steer, options.mix
    if steer and (kit is None or kit.walks is None):
        steer = 0.0
        lacking["steer"] = "steered views, which need latent walks (--walks FILE)"
    if mix is None:
        mix = "fine" if "fine" in ranges else "none"
        if mix == "none":
            lacking["stylemix"] = (
                "style-mixing, which needs a generator with fine rows (--mix ROWS)"
            )
    found = Strengths(std=options.std, steer=steer, mix="" if mix == "none" else mix)
    sweep = options.sweep if isinstance(options, LearningOptions) else None
    return found if sweep is None else replace(found, sweep=sweep), lacking


def _check_given(table: str, rows: Sequence[LearningRow], bench: Bench) -> None:
    """Refuse rows whose data nobody named, before anything is learnt."""
    given = bench.inputs.given()
    made = [row for row in rows if row.data in ("generated", "mixed")]
    real = [row for row in rows if row.data in ("real", "mixed")]
    for flag, needed, need in (("--generator", made, Need.KIT), ("--real", real, Need.REAL)):
        if needed and need not in given:
            fail(
                f"rows {', '.join(row.name for row in needed)} of {table}",
                expected=flag,
                got="none",
                remedy=f"add {flag}, or choose other rows with --rows",
            )
    labelled = [row.name for row in made if OBJECTIVES[row.objective].classes]
    if labelled and bench.kit.generator.num_classes < 2:
        fail(
            f"rows {', '.join(labelled)} of {table}",
            expected="a class-conditional generator",
            got=f"{bench.kit.name}, which has no classes",
            remedy="name a conditional one, such as fashion32-classes, or choose another table",
        )


def _check_classes(name: str, panel: Panel, kit: GeneratorKit) -> None:
    if panel.classes and kit.generator.num_classes < 2:
        fail(
            f"generator of {name}",
            expected="a class-conditional one",
            got=f"{kit.name}, which has no classes",
            remedy="name one, such as fashion32-classes, or take figure4 or figure10",
        )


# ANN401: `more` are fields of `Study`.
def _table(name: str, about: str, source: str, minutes: float, **more: Any) -> Study[Any]:  # noqa: ANN401
    """A study of a table."""
    return Study(
        f"learning/{name}",
        partial(run_table, name),
        LearningOptions,
        needs=(Need.PROBES,),
        uses=(Need.KIT, Need.REAL, Need.VOC),
        source=source,
        minutes=minutes,
        about=about,
        **more,
    )


def _panel(name: str, about: str, source: str) -> Study[Any]:
    """A study that shows views."""
    options = PanelOptions if PANELS[name].pixels else RowOptions
    return Study(
        f"learning/{name}",
        partial(run_panel, name),
        options,
        needs=(Need.KIT,),
        source=source,
        minutes=0.1,
        about=about,
    )


_UNCONDITIONAL = "Ways to learn from an unconditional generator, against real images."
_CONDITIONAL = "Ways to learn from a class-conditional generator, with labels."
_SAMPLES = "How many unique samples are worth making, at equal updates."

STUDIES = (
    _table("table1", _UNCONDITIONAL, f"{PAPER}, Table 1", 30),
    _table("table2", _UNCONDITIONAL, f"{PAPER}, Table 2 (cars)", 30),
    _table("table3", _CONDITIONAL, f"{PAPER}, Table 3", 30),
    _table("table4", _UNCONDITIONAL, f"{PAPER}, Table 4 (ImageNet-100)", 30),
    _table("table5", _CONDITIONAL, f"{PAPER}, Table 5 (ImageNet-100)", 30),
    _table("table6", "Classifiers instead of contrastive encoders.", f"{PAPER}, Table 6", 6),
    _panel("figure4", "Samples beside their views of three kinds.", f"{PAPER}, Fig. 4"),
    _table("figure5", "The deviation of the Gaussian step.", f"{PAPER}, Fig. 5", 15),
    _table("figure6", _SAMPLES, f"{PAPER}, Fig. 6", 20),
    _panel("figure7", "As figure4, of a class-conditional generator.", f"{PAPER}, Fig. 7"),
    _table("figure8", f"{_SAMPLES[:-1]}, with classes.", f"{PAPER}, Fig. 8", 20),
    _table("figure9", "Real images, a share of which is generated.", f"{PAPER}, Fig. 9", 15),
    _panel("figure10", "Samples and three neighbours of each.", f"{PAPER}, Fig. 10"),
    _panel("figure11", "As figure10, of a class-conditional generator.", f"{PAPER}, Fig. 11"),
    _table("training-time", "Real images, for a part of the updates.", f"{PAPER}, App. D", 10),
    _table("pool", "How many different views each sample has.", f"{PAPER}, code", 10),
    _table("objectives", "Objectives on the same views.", "ours", 10),
)
"""Tables 2, 4 and 5 are 1 and 3 with other data."""
