"""One run from flags to a finished folder: what the verbs share."""

from __future__ import annotations

import json
import logging
import re
import shutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from rich.console import Console

from genviews.checks import fail
from genviews.cli.engine import check_engine
from genviews.cli.folder import log_to, write_json
from genviews.cli.options import RunOptions
from genviews.cli.progress import Stages, duration
from genviews.environment import environment

if TYPE_CHECKING:  # loads torch
    from genviews.run_folder import RunFolder
    from genviews.studies.result import Result as StudyFindings

__all__ = ["Claim", "Output", "ResultOutput", "run", "say_notes"]

logger = logging.getLogger("genviews.cli")

Result = TypeVar("Result")

# Flags whose words name what is loaded: what they name counts, and not how it is called.
_WORDS = (
    *("images", "labels", "calibration", "calibration_labels", "class_names", "classifier"),
    *("weights", "encoder", "generator", "walks", "root", "geometry", "real", "data"),
    *("lpips_weights", "start_from"),
)


class Output(ABC, Generic[Result]):
    """What a verb leaves in its run folder and shows on the terminal.

    Attributes:
        files: results (files or folders) in the order of their writing; a folder that has them all
            is finished. The first is the page.
        work: subfolders of the work: the next run goes on with what they hold; `--force` moves them
            aside.
    """

    files: tuple[str, ...]
    work: tuple[str, ...] = ()

    @abstractmethod
    def verdict(self, result: Result) -> str:
        """The result in a sentence."""

    @abstractmethod
    def save(self, result: Result, folder: Path) -> None:
        """Write the files; the last of them at the very end."""

    @abstractmethod
    def show(self, result: Result, console: Console) -> None:
        """Print the result."""

    def tidy(self, folder: Path) -> None:
        """Remove from a finished folder what a further call of its run left there."""


class ResultOutput(Output["StudyFindings"]):
    """Page, tables, figures, pictures and record of a `Result`.

    Args:
        products: what the job itself leaves in the folder and a finished run has.
        work: see `Output`.
        scratch: subfolders that are removed when all is written.
    """

    def __init__(
        self,
        *,
        products: Sequence[str] = (),
        work: Sequence[str] = (),
        scratch: Sequence[str] = (),
    ) -> None:
        self.files = ("report.html", *products, "results.json")
        self.work = tuple(work)
        self._scratch = tuple(scratch)

    def verdict(self, result: StudyFindings) -> str:
        """The sentence of the result."""
        return result.verdict

    def save(self, result: StudyFindings, folder: Path) -> None:
        """Write it in every form."""
        from genviews.report import write_result

        write_result(result, folder)
        self.tidy(folder)

    def tidy(self, folder: Path) -> None:
        """Remove what only the work needs."""
        for name in self._scratch:
            shutil.rmtree(folder / name, ignore_errors=True)

    def show(self, result: StudyFindings, console: Console) -> None:
        """Print the answer."""
        from genviews.report import show

        show(result, console)


class Claim:
    """What a job calls when all is loaded and checked: from then on the folder is this run's.

    Args:
        folder: of the run.
        config: what was asked.
        grows: see `RunFolder.claim`.
    """

    def __init__(self, folder: RunFolder, config: dict[str, Any], grows: Sequence[str]) -> None:
        self.folder, self._config, self._grows = folder, config, grows
        self.held = ExitStack()

    def __call__(self, **parts: object) -> None:
        """Claim the folder.

        Args:
            parts: what was loaded. The words that named it do not count, nor do device, batch size
                and engine.

        Raises:
            AlreadyDoneError: the results are there.
            ValueError: the folder belongs to another run.
        """
        from genviews.identity import identify

        left_out = {*_WORDS, *self._grows}
        settings = {name: v for name, v in self._config.items() if name not in left_out}
        identity = identify(settings=settings, **parts)
        self.held.callback(self.folder.release)
        if not self.folder.claim(identity, self._config, self._grows):
            raise AlreadyDoneError
        write_json(self.folder.folder / "env.json", environment())
        self.held.enter_context(log_to(self.folder.folder / "log.txt"))
        logger.info("started: %s", json.dumps(self._config))


class AlreadyDoneError(Exception):
    """The run folder holds the results of this very run."""


def run(
    config: dict[str, Any],
    out: Path,
    flags: RunOptions,
    output: Output[Result],
    job: Callable[[Stages, Claim], Result],
    grows: Sequence[str] = (),
) -> int:
    """Do a job in a run folder, unless it is already done.

    The results appear last, so a folder that has them all is complete.

    Args:
        config: what was asked, as JSON values.
        out: the run folder.
        flags: dry run, force, debug.
        output: what is left there.
        job: loads and checks everything, claims the folder, and computes the result.
        grows: entries of the config that a later run may change and go on.

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
    from genviews.report import check_output_dir
    from genviews.run_folder import RunFolder

    check_output_dir(out)
    folder = RunFolder(out, results=output.files, work=output.work, anew=flags.force)
    claim = Claim(folder, config, grows)
    with claim.held:
        try:
            with Stages(Console(stderr=True)) as stages:
                result = job(stages, claim)
            took = duration(sum(stages.seconds.values()))
            logger.info("done in %s: %s", took, output.verdict(result))
            output.save(result, out)
        except AlreadyDoneError:
            output.tidy(out)
            _say_finished(out, output.files[0])
            return 0
        except BaseException:
            logger.exception("failed")
            raise
        folder.finish()
    console = Console()
    output.show(result, console)
    _say_report(console, out / output.files[0])
    return 0


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
