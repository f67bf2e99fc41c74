"""`genviews study`: a table of the learning arrow, from flags to a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from genviews.checks import check_count, fail
from genviews.cli.learn import check_inputs
from genviews.cli.learn_options import (
    LearnInputs,
    TableName,
    TableOptions,
    TrainingOptions,
    VOCOptions,
)
from genviews.cli.learning_voc import VOC_CONFIG, check_voc, voc_config
from genviews.cli.options import RunOptions, command, plain
from genviews.cli.progress import Stages
from genviews.cli.run import Claim, Output, run, say_skipped
from genviews.cli.view_panel import PANEL_NAMES, check_strengths, run_view_panel

if TYPE_CHECKING:  # these load torch, which the flags alone do not need
    from genviews.studies.learning.result import TableResult

__all__ = ["LearningOutput", "run_learning_study"]

# What a later run may change and still go on: each row and seed is kept by itself.
_MAY_GROW = ("rows", "seeds", "show", *VOC_CONFIG)


def run_learning_study(
    table: TableName,
    inputs: LearnInputs,
    rows: TableOptions,
    training: TrainingOptions,
    voc: VOCOptions,
    flags: RunOptions,
) -> int:
    """Run a table in its folder; returns the exit code."""
    if table in PANEL_NAMES:
        return run_view_panel(table, inputs, rows, training, voc, flags)
    _check(inputs, rows)
    check_inputs(inputs, training, rows.out)
    check_voc(voc, rows.out)
    config = {
        "verb": "study",
        "table": table,
        **plain(inputs, rows, training),
        **voc_config(voc),
    }
    del config["work"]  # where encoders lie changes no number

    def job(stages: Stages, claim: Claim) -> TableResult:
        from genviews.cli.learning_job import LearningJob

        return LearningJob(
            table=table,
            inputs=inputs,
            options=rows,
            training=training,
            voc=voc,
            flags=flags,
            config=config,
            command=command(f"study {table}", inputs, rows, training, voc),
        ).run(stages, claim)

    return run(config, rows.out, flags, LearningOutput(), job, grows=_MAY_GROW)


class LearningOutput(Output["TableResult"]):
    """Page, figure, table and JSON of a table."""

    files = ("report.html", "figure.svg", "results.csv", "results.json")
    work = ("rows", "views", "pixels")

    def verdict(self, result: TableResult) -> str:
        """See `Output`."""
        return result.study.verdict

    def save(self, result: TableResult, folder: Path) -> None:
        """See `Output`."""
        from genviews.files import write_json
        from genviews.report import write_atomic
        from genviews.report.learning import learning_figure, render_learning_report

        write_atomic(folder / "results.csv", result.study.csv_text())
        write_atomic(folder / "figure.svg", learning_figure(result.study))
        write_atomic(folder / "report.html", render_learning_report(result))
        write_json(folder / "results.json", result.record())

    def show(self, result: TableResult, console: Console) -> None:
        """See `Output`."""
        from genviews.report.learning_tables import study_table

        console.print()
        console.print(study_table(result.study, console.width))
        console.print()
        console.print(result.study.verdict, markup=False, highlight=False)
        for note in result.left_out:
            console.print(f"Left out: {note}", markup=False, highlight=False)
        say_skipped(console, result.skipped)


def _check(inputs: LearnInputs, rows: TableOptions) -> None:
    """Find what is wrong with the flags of a table, before anything is loaded."""
    if inputs.data is None:
        fail(
            "--data",
            expected="labelled images, to judge encoders on",
            got="none",
            remedy="name a folder with train, val and test, or fashion32",
        )
    if inputs.generator is None and inputs.real is None:
        fail(
            "what to learn from",
            expected="--generator, --real or both",
            got="neither",
            remedy="name a generator, images, or both",
        )
    check_count(rows.seeds, "--seeds")
    check_strengths(rows)
