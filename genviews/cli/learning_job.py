"""The work of `genviews study`: load, choose the rows, run them, compare."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from genviews.checks import fail, lookup
from genviews.cli.device import find_device
from genviews.cli.engine import run_engine
from genviews.cli.learn_options import (
    SHOWN,
    LearnInputs,
    TableName,
    TableOptions,
    TrainingOptions,
    VOCOptions,
)
from genviews.cli.learn_progress import StudyProgress
from genviews.cli.learn_setting import (
    Loaded,
    check_walks,
    load_kit,
    load_setting,
)
from genviews.cli.learning_voc import voc_task
from genviews.cli.options import RunOptions
from genviews.cli.progress import Stages
from genviews.cli.run import Claim
from genviews.environment import versions
from genviews.kit import GeneratorKit
from genviews.memory import keep_freed_memory
from genviews.represent.losses.choose import OBJECTIVES
from genviews.studies.learning.data import check_row
from genviews.studies.learning.panels import view_panel
from genviews.studies.learning.result import TableResult
from genviews.studies.learning.row import LearningRow
from genviews.studies.learning.setting import LearningSetting
from genviews.studies.learning.study import run_study
from genviews.studies.learning.tables import Strengths, learning_table
from genviews.studies.learning.voc_task import VOCTask

__all__ = ["LearningJob", "choose_rows", "strengths", "table_rows"]

logger = logging.getLogger("genviews.cli")


@dataclass(frozen=True, kw_only=True)
class LearningJob:
    """A table, as the flags describe it.

    Args:
        table: its name.
        inputs: what to learn from and what to judge on.
        options: which rows and seeds, how strong views are.
        training: how to train.
        voc: what else to judge on.
        flags: device, batch size, force.
        config: the resolved options, kept with the result.
        command: that asks for it.
    """

    table: TableName
    inputs: LearnInputs
    options: TableOptions
    training: TrainingOptions
    voc: VOCOptions
    flags: RunOptions
    config: Mapping[str, Any]
    command: str

    def run(self, stages: Stages, claim: Claim) -> TableResult:
        """Do the work and tell its progress.

        Raises:
            ValueError: rows that the flags cannot serve, or a folder with rows of another setting.
        """
        keep_freed_memory()
        device = find_device(self.flags.device)
        kit = load_kit(self.inputs)
        rows, left_out = table_rows(partial(learning_table, self.table), self.options, kit)
        self._check_given(rows, kit)
        loaded = load_setting(
            self.inputs,
            self.training,
            device,
            batch_size=self.flags.batch_size,
            kit=kit,
            folder=self._work / "pixels",
            engine=run_engine(self.flags, device),
            progress=stages,
        )
        for row in rows:
            check_row(row, loaded.setting)
        check_walks(rows, loaded.setting)
        voc = voc_task(self.voc)
        if voc is not None:
            voc.check(loaded.setting)
        stages.note("load")
        claim(setting=loaded.setting.parts)
        if self.flags.force:
            self._forget(rows, claim)
        return self._study(rows, loaded, left_out, voc, stages)

    def _study(
        self,
        rows: list[LearningRow],
        loaded: Loaded,
        left_out: tuple[str, ...],
        voc: VOCTask | None,
        stages: Stages,
    ) -> TableResult:
        seeds, setting = self.options.seeds, loaded.setting
        study = run_study(
            self.table,
            rows,
            setting,
            range(seeds),
            self._work,
            engine=run_engine(self.flags, setting.device),
            report=StudyProgress(stages, rows, seeds, setting),
            voc=voc,
        )
        stages.note("compare")
        unread = study.facts["voc"]["skipped"] if voc is not None else []
        return TableResult(
            study=study,
            command=self.command,
            config=self.config,
            left_out=left_out,
            panel=_panel(rows, setting, self.options.show),
            skipped=(*loaded.skipped, *((file, reason) for file, reason in unread)),
            seconds=dict(stages.seconds),
            versions=versions(),
        )

    def _check_given(self, rows: list[LearningRow], kit: GeneratorKit | None) -> None:
        """Refuse rows whose data nobody named, before any image is read."""
        made = [row.name for row in rows if row.data in ("generated", "mixed")]
        real = [row.name for row in rows if row.data in ("real", "mixed")]
        for flag, needed, there in (
            ("--generator", made, kit is not None),
            ("--real", real, self.inputs.real is not None),
        ):
            if needed and not there:
                fail(
                    f"rows {', '.join(needed)} of {self.table}",
                    expected=flag,
                    got="none",
                    remedy=f"add {flag}, or choose other rows with --rows",
                )
        labelled = [
            row.name
            for row in rows
            if row.data in ("generated", "mixed") and OBJECTIVES[row.objective].classes
        ]
        if labelled and kit is not None and kit.generator.num_classes < 2:
            fail(
                f"rows {', '.join(labelled)} of {self.table}",
                expected="a class-conditional generator",
                got=f"{self.inputs.generator}, which has no classes",
                remedy="name a conditional one, such as fashion32-classes, or choose another table",
            )

    @property
    def _work(self) -> Path:
        return self.options.out if self.options.work is None else self.options.work

    def _forget(self, rows: list[LearningRow], claim: Claim) -> None:
        """Move the encoders of these rows and seeds aside; those of other tables stay."""
        for row in rows:
            for seed in range(self.options.seeds):
                claim.folder.set_aside(self._work / "rows" / row.slug / f"seed{seed}")


def table_rows(
    build: Callable[[Strengths], list[LearningRow]],
    options: TableOptions,
    kit: GeneratorKit | None,
) -> tuple[list[LearningRow], tuple[str, ...]]:
    """The rows of a table or panel that flags and generator allow, and why others are left out.

    What is left out is told at once, and not after hours.

    Args:
        build: the rows, by the strengths of their views.
        options: the flags.
        kit: the generator and its walks.

    Raises:
        ValueError: `--rows` with a name that no row has.
    """
    chosen, lacking = strengths(options, kit)
    rows, names = build(chosen), options.rows
    notes = tuple(
        note
        for kind, note in lacking.items()
        if any((row.views or "").startswith(kind) for row in build(Strengths()))
    )
    if names is not None and set(names) <= {row.name for row in rows}:
        notes = ()  # nobody asked for the others
    for note in notes:
        logger.info("left out: %s", note)
        Console(stderr=True).print(f"left out: {note}", markup=False, highlight=False)
    return choose_rows(rows, names), notes


def strengths(options: TableOptions, kit: GeneratorKit | None) -> tuple[Strengths, dict[str, str]]:
    """How strong the views of a table are, and which kinds are left out for want of something.

    Args:
        options: the flags.
        kit: the generator and its walks.

    Returns:
        The strengths, and for each kind of views that is left out what it needs.
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
    return found if options.sweep is None else replace(found, sweep=options.sweep), lacking


def choose_rows(rows: list[LearningRow], names: tuple[str, ...] | None) -> list[LearningRow]:
    """The named rows in the order of the table, or all.

    Raises:
        ValueError: a name that no row has; the closest are listed.
    """
    if names is None:
        return rows
    known = {row.name: row for row in rows}
    chosen = {lookup(name, known, "--rows").name for name in names}
    return [row for row in rows if row.name in chosen]


def _panel(
    rows: list[LearningRow], setting: LearningSetting, samples: tuple[int, ...] | None
) -> bytes | None:
    """The views of each row beside the anchors, as PNG; None where no row has latent views."""
    shown: dict[tuple[str | None, str], LearningRow] = {}
    for row in rows:
        if row.views is not None:
            shown.setdefault((row.views, row.space), row)
    if not shown:
        return None
    out = io.BytesIO()
    view_panel(list(shown.values()), setting, samples=samples or SHOWN).save(
        out, "PNG", optimize=True
    )
    return out.getvalue()
