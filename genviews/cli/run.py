"""One run from flags to a finished folder: what the verbs share."""

from __future__ import annotations

import json
import logging
import re
import shutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from rich.console import Console

from genviews.checks import fail
from genviews.cli.engine import check_engine
from genviews.cli.folder import (
    check_unfinished,
    is_finished,
    log_to,
    read_config,
    write_json,
)
from genviews.cli.options import RunOptions
from genviews.cli.progress import Stages, duration
from genviews.environment import environment

__all__ = ["Output", "run", "say_notes", "say_skipped"]

logger = logging.getLogger("genviews.cli")

Result = TypeVar("Result")


class Output(ABC, Generic[Result]):
    """What a verb leaves in its run folder and shows on the terminal.

    Attributes:
        files: results (files or folders) in the order of their writing; a folder that has them all
            is finished. The first is the page.
        work: subfolders that belong to one configuration: the next run goes on with what they hold,
            `--force` removes them.
    """

    files: tuple[str, ...]
    work: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def verdict(self, result: Result) -> str:
        """The result in a sentence."""

    @abstractmethod
    def save(self, result: Result, folder: Path) -> None:
        """Write the files; the last of them at the very end."""

    @abstractmethod
    def show(self, result: Result, console: Console) -> None:
        """Print the result."""


def run(
    config: dict[str, Any],
    out: Path,
    flags: RunOptions,
    output: Output[Result],
    job: Callable[[Stages], Result],
) -> int:
    """Do a job in a run folder, unless it is already done.

    The results appear last, so a folder that has them all is complete.

    Args:
        config: everything that the result depends on, as JSON values.
        out: the run folder.
        flags: dry run, force, debug.
        output: what is left there.
        job: computes the result, telling its progress.

    Returns:
        The exit code 0; failures are exceptions.

    Raises:
        OSError: the folder cannot be written.
        ValueError: it is a URL, or holds the results, or the unfinished work, of another run.
    """
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(out)):
        fail(
            "--out",
            expected="a folder of this machine",
            got=f"{str(out)!r}, a URL",
            remedy="name a folder, and copy the results from there",
        )
    check_engine(flags)
    if flags.dry_run:
        sys.stdout.write(json.dumps({**config, "out": str(out)}, indent=2) + "\n")
        return 0
    if not flags.force:
        if is_finished(out, config, output.files):
            _say_finished(out, output.files[0])
            return 0
        check_unfinished(out, config, output.work)
    from genviews.report import check_output_dir

    folder = check_output_dir(out)
    _make_room(folder, config, output, anew=flags.force)
    write_json(folder / "config.json", config)
    write_json(folder / "env.json", environment())
    with log_to(folder / "log.txt"):
        try:
            result = _work(config, output, job)
            output.save(result, folder)
        except BaseException:
            logger.exception("failed")
            raise
    console = Console()
    output.show(result, console)
    _say_report(console, folder / output.files[0])
    return 0


def _work(
    config: dict[str, Any], output: Output[Result], job: Callable[[Stages], Result]
) -> Result:
    logger.info("started: %s", json.dumps(config))
    with Stages(Console(stderr=True)) as stages:
        result = job(stages)
    logger.info("done in %s: %s", duration(sum(stages.seconds.values())), output.verdict(result))
    return result


def _make_room(folder: Path, config: dict[str, Any], output: Output[Result], *, anew: bool) -> None:
    """Remove old results and, to begin anew, the work of earlier runs of this verb."""
    for name in reversed(output.files):
        if not (folder / name).is_dir():
            (folder / name).unlink(missing_ok=True)
    # A folder named "latents" that no run of this verb made is none of our business.
    if anew and (read_config(folder) or {}).get("verb") == config["verb"]:
        for name in output.work:
            shutil.rmtree(folder / name, ignore_errors=True)


def _say_finished(out: Path, page: str) -> None:
    console = Console()
    console.print(
        f"{out} already holds the results of this run; nothing to do (--force runs it again).",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    _say_report(console, out / page)


def _say_report(console: Console, page: Path) -> None:
    console.print(f"Report: {page}", markup=False, highlight=False, soft_wrap=True)


def say_notes(notes: Sequence[str]) -> None:
    """Say and log what was decided for the user."""
    for note in dict.fromkeys(notes):
        logger.info("note: %s", note)
        Console(stderr=True).print(f"note: {note}", markup=False, highlight=False)


def say_skipped(console: Console, skipped: Sequence[tuple[str, str]]) -> None:
    """Name the first files that could not be read, if there are any."""
    if skipped:
        names = [name for name, _ in skipped]
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        files = "file" if len(names) == 1 else "files"
        console.print(
            f"Left out, with reasons in the report: {len(names)} {files} "
            f"({', '.join(names[:3])}{more})",
            markup=False,
        )
