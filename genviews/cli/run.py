"""One run from flags to a finished folder: what both verbs share."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from genviews.cli.folder import RESULTS, environment, is_finished, log_to, write_json
from genviews.cli.options import RunOptions
from genviews.cli.progress import Stages, duration

if TYPE_CHECKING:  # these load torch, which the flags alone do not need
    from genviews.ensemble.result import StudyResult

__all__ = ["run"]

logger = logging.getLogger("genviews.cli")


def run(
    config: dict[str, Any], out: Path, flags: RunOptions, job: Callable[[Stages], StudyResult]
) -> int:
    """Do a job in a run folder, unless it is already done.

    The results appear last and `results.json` at the very end, so a folder that has it is complete.

    Args:
        config: everything that the result depends on, as JSON values.
        out: the run folder.
        flags: dry run, force, debug.
        job: computes the result, telling its progress.

    Returns:
        The exit code 0; failures are exceptions.

    Raises:
        OSError: the folder cannot be written.
        ValueError: it holds the results of another run.
    """
    if flags.dry_run:
        sys.stdout.write(json.dumps({**config, "out": str(out)}, indent=2) + "\n")
        return 0
    if not flags.force and is_finished(out, config):
        Console().print(
            f"{out} already holds the results of this run; nothing to do (--force runs it again).\n"
            f"Report: {out / 'report.html'}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        return 0
    from genviews.report import check_output_dir

    folder = check_output_dir(out)
    for name in reversed(RESULTS):
        (folder / name).unlink(missing_ok=True)
    write_json(folder / "config.json", config)
    write_json(folder / "env.json", environment())
    with log_to(folder / "log.txt"):
        try:
            result = _work(config, job)
            _save(result, folder)
        except BaseException:
            logger.exception("failed")
            raise
    _show(result, folder)
    return 0


def _work(config: dict[str, Any], job: Callable[[Stages], StudyResult]) -> StudyResult:
    logger.info("started: %s", json.dumps(config))
    with Stages(Console(stderr=True)) as stages:
        result = job(stages)
    logger.info("done in %s: %s", duration(sum(stages.seconds.values())), result.verdict)
    return result


def _save(result: StudyResult, folder: Path) -> None:
    from genviews.report import csv_text, write_atomic, write_report

    # The figures first: whatever befalls the page, no hour of work is lost. `results.json`, which
    # marks a finished run, is last.
    write_atomic(folder / "results.csv", csv_text(result.rows))
    write_report(result, folder / "report.html")
    result.save_json(folder / "results.json")


def _show(result: StudyResult, folder: Path) -> None:
    from genviews.report import terminal_table
    from genviews.report.tables import classifiers

    console = Console()
    for name in classifiers(result.rows):
        console.print()
        console.print(terminal_table(result, name, console.width))
    console.print()
    console.print(result.verdict, markup=False, highlight=False)
    if result.skipped:
        console.print(f"Left out, with reasons in the report: {_skipped(result)}", markup=False)
    console.print(
        f"Report: {folder / 'report.html'}", markup=False, highlight=False, soft_wrap=True
    )


def _skipped(result: StudyResult) -> str:
    """The files that could not be read, shortened."""
    names = [name for name, _ in result.skipped]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    files = "file" if len(names) == 1 else "files"
    return f"{len(names)} {files} ({', '.join(names[:3])}{more})"
