"""The tables and panels of the learning paper as studies, and some of ours.

Source: Jahanian et al. 2022, arXiv:2106.05258, tables 1-6, figures 4-11, appendix D.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from genviews.checks import fail
from genviews.represent.losses.choose import OBJECTIVES
from genviews.studies.base import Need, Study
from genviews.studies.bench import Bench
from genviews.studies.blocks import Images
from genviews.studies.learning.options import LearningOptions, PanelOptions, RowOptions
from genviews.studies.learning.panels import SHOWN, run_panel, view_images
from genviews.studies.learning.progress import StudyProgress
from genviews.studies.learning.result import table_result
from genviews.studies.learning.row import LearningRow
from genviews.studies.learning.setting import LearningSetting
from genviews.studies.learning.study import compare_rows
from genviews.studies.learning.tables import PANELS, TABLES, table_rows
from genviews.studies.learning.training import learning_setting
from genviews.studies.result import Result

__all__ = ["STUDIES", "run_table"]


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
        judges=bench.inputs.judges,
    )
    record = bench.record(options)
    unread = study.facts.get("voc", {}).get("skipped", ())
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


STUDIES: tuple[Study[Any], ...] = (
    *(
        Study(
            f"learning/{name}",
            partial(run_table, name),
            LearningOptions,
            needs=(Need.PROBES,),
            uses=(Need.KIT, Need.REAL, Need.VOC),
            source=table.source,
            minutes=table.minutes,
            about=table.about,
        )
        for name, table in TABLES.items()
    ),
    *(
        Study(
            f"learning/{name}",
            partial(run_panel, name),
            PanelOptions if panel.pixels else RowOptions,
            needs=(Need.KIT,),
            source=panel.source,
            minutes=panel.minutes,
            about=panel.about,
        )
        for name, panel in PANELS.items()
    ),
)
