"""One study from flags to a finished folder: load, run, show; for every verb that runs one."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from genviews.cli.folder import log_to
from genviews.cli.options import RunOptions
from genviews.cli.progress import Stages

if TYPE_CHECKING:  # these load torch, which the flags alone do not need
    from genviews.studies.base import Study
    from genviews.studies.bench import Inputs
    from genviews.studies.options import Options

__all__ = ["run_study_here"]

logger = logging.getLogger("genviews.cli")


def run_study_here(
    study: Study[Any],
    load: Callable[[], Inputs],
    options: Options,
    flags: RunOptions,
    *,
    out: Path,
    config: Mapping[str, Any],
    command: str,
    title: str = "",
    seed: int = 0,
    work: Path | None = None,
) -> int:
    """Run a study in a folder, unless it is done there, and show its answer.

    Args:
        study: which.
        load: gives what was named; called when all else has been checked.
        options: of the study.
        flags: how to run.
        out: the folder.
        config: what `--dry-run` prints.
        command: for the record.
        title: of the page; "" takes the study's own.
        seed: of the views.
        work: where work is kept; None keeps it in the folder.

    Returns:
        The exit code 0; failures are exceptions.
    """
    if flags.dry_run:
        sys.stdout.write(json.dumps({**config, "out": str(out)}, indent=2) + "\n")
        return 0
    from genviews.cli.device import find_device
    from genviews.cli.engine import run_engine
    from genviews.memory import keep_freed_memory
    from genviews.report import PAGE, check_output_dir, show
    from genviews.studies.base import run_study
    from genviews.studies.bench import Bench
    from genviews.studies.result import RESULT_FILE

    options.check()
    keep_freed_memory()
    console, folder, device = Console(), check_output_dir(out), find_device(flags.device)
    before = _stamp(folder / RESULT_FILE)
    with log_to(folder / "log.txt"), Stages(Console(stderr=True)) as stages:
        try:
            if before is None:
                logger.info("started: %s", command)
            bench = Bench(
                load().to(device),
                title=title,
                seed=seed,
                batch_size=flags.batch_size,
                device=device,
                engine=run_engine(flags, device),
                folder=work,
                watcher=_watcher(stages),
            )
            stages.note("load")
            found = run_study(
                study,
                bench,
                options,
                folder,
                command=command,
                force=flags.force,
                clock=lambda: stages.seconds,
            )
        except BaseException:
            logger.exception("failed")
            raise
        known = before is not None and before == _stamp(folder / RESULT_FILE)
        if not known:
            logger.info("done: %s", found.verdict)
    if known:
        text = f"{out} already holds the results of this run; nothing to do"
        console.print(Text(f"{text} (--force runs it again)."), soft_wrap=True)
    else:
        show(found, console)
    console.print(Text(f"Report: {out / PAGE}"), soft_wrap=True)
    return 0


def _stamp(file: Path) -> int | None:
    return file.stat().st_mtime_ns if file.exists() else None


def _watcher(stages: Stages) -> Any:  # noqa: ANN401  (a Watcher, whose module loads torch)
    """Tells the stages of a run how its study goes on."""
    from genviews.cli.learn_progress import StudyProgress
    from genviews.studies.bench import Watcher
    from genviews.studies.learning.row import LearningRow
    from genviews.studies.learning.run import Report
    from genviews.studies.learning.setting import LearningSetting

    class Told(Watcher):
        def tell(self, text: str) -> None:
            logger.info(text)
            Console(stderr=True).print(Text(text))

        def progress(self, stage: str, unit: str, done: int, total: int) -> None:
            stages(stage, unit, done, total)

        def rows(self, rows: Sequence[LearningRow], seeds: int, setting: LearningSetting) -> Report:
            return StudyProgress(stages, rows, seeds, setting)

    return Told()
