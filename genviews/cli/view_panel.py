"""`genviews study figure4` and its like: views of a few samples as a picture; nothing is learnt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from genviews.checks import fail
from genviews.cli.learn import check_inputs
from genviews.cli.learn_options import (
    LearnInputs,
    TableName,
    TableOptions,
    TrainingOptions,
    VOCOptions,
)
from genviews.cli.options import RunOptions, changed_fields, command, flag_of, plain
from genviews.cli.progress import Stages
from genviews.cli.run import Claim, Output, run

if TYPE_CHECKING:  # these load torch, which the flags alone do not need
    from genviews.studies.learning.result import PanelResult

__all__ = ["PANEL_NAMES", "PanelOutput", "check_strengths", "run_view_panel"]

# Written out, since what they name loads torch; a test compares both.
PANEL_NAMES = ("figure4", "figure7", "figure10", "figure11")
_USED = ("generator", "walks", "z_dim", "out", "rows", "std", "steer", "mix", "show", "pixels")


def run_view_panel(
    figure: TableName,
    inputs: LearnInputs,
    rows: TableOptions,
    training: TrainingOptions,
    voc: VOCOptions,
    flags: RunOptions,
) -> int:
    """Draw a panel into its folder; returns the exit code.

    Raises:
        ValueError: no generator, or a flag that would change nothing.
    """
    _check(figure, inputs, rows, training, voc)
    check_inputs(inputs, training, rows.out)
    given = plain(inputs, rows, training)
    config = {
        "verb": "study",
        "table": figure,
        **{name: given[name] for name in _USED if name in given},
    }

    def job(stages: Stages, claim: Claim) -> PanelResult:
        from genviews.cli.panel_job import PanelJob

        return PanelJob(
            figure=figure,
            inputs=inputs,
            options=rows,
            training=training,
            flags=flags,
            config=config,
            command=command(f"study {figure}", inputs, rows, training),
        ).run(stages, claim)

    return run(config, rows.out, flags, PanelOutput(), job)


class PanelOutput(Output["PanelResult"]):
    """Page, picture and JSON of a panel."""

    files = ("report.html", "panel.png", "results.json")

    def verdict(self, result: PanelResult) -> str:
        """See `Output`."""
        return result.verdict

    def save(self, result: PanelResult, folder: Path) -> None:
        """See `Output`."""
        from genviews.files import write_json
        from genviews.report import write_atomic
        from genviews.report.learning import render_panel_report

        write_atomic(folder / "panel.png", result.picture)
        write_atomic(folder / "report.html", render_panel_report(result))
        write_json(folder / "results.json", result.record())

    def show(self, result: PanelResult, console: Console) -> None:
        """See `Output`."""
        console.print(result.verdict, markup=False, highlight=False)
        for note in result.left_out:
            console.print(f"Left out: {note}", markup=False, highlight=False)


def check_strengths(rows: TableOptions) -> None:
    """Find strengths and samples out of range, before anything is loaded.

    Raises:
        ValueError: what is named in a row by two decimals has more, or is out of its range.
    """
    for value in (rows.std, *(rows.sweep or ())):
        if not value >= 0.01 or round(value, 2) != value:  # a row is named by two decimals
            fail(
                "--std and --sweep",
                expected="at least 0.01, with at most two decimals",
                got=value,
                remedy="round it",
            )
    if not 0 <= rows.steer < float("inf") or round(rows.steer, 2) != rows.steer:
        fail(
            "--steer",
            expected="a strength of at least 0, with at most two decimals",
            got=rows.steer,
            remedy="1 draws the steps of the walks' training, 0 leaves the rows out",
        )
    if rows.show is not None and min(rows.show) < 0:
        fail(
            "--show",
            expected="numbers of samples, of at least 0",
            got=min(rows.show),
            remedy="name others",
        )


def _check(
    figure: TableName,
    inputs: LearnInputs,
    rows: TableOptions,
    training: TrainingOptions,
    voc: VOCOptions,
) -> None:
    """Find what is wrong with the flags of a panel, and those that it would pass over."""
    used: tuple[str, ...] = _USED
    if figure in ("figure10", "figure11"):  # they show no T_x
        used = tuple(name for name in _USED if name != "pixels")
    given = changed_fields(inputs, rows, training, voc)
    unused = [flag_of(name) for name in given if name not in used]
    if unused:
        fail(
            f"flags of {figure}, a picture of views",
            expected="those that change it: " + ", ".join(flag_of(name) for name in used),
            got=", ".join(unused),
            remedy="leave them out: nothing is trained or judged",
        )
    if inputs.generator is None:
        fail(
            f"{figure}, a picture of views",
            expected="--generator",
            got="none",
            remedy="name one, such as fashion32",
        )
    check_strengths(rows)
