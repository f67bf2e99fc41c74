"""One run from flags to a finished folder: check, load, run a study, show its answer."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genviews.checks import check_count, fail, is_there, is_url
from genviews.cli.check import check_flags, check_words
from genviews.cli.command import command, plain
from genviews.cli.console import Terminal, say
from genviews.cli.flags import RunFlags
from genviews.cli.progress import Stages, duration
from genviews.cli.stop import as_one

if TYPE_CHECKING:  # these load torch, which the flags alone do not need
    import torch
    from _typeshed import DataclassInstance

    from genviews.engine import Engine
    from genviews.kit import GeneratorKit
    from genviews.studies.base import Study
    from genviews.studies.bench import Watcher
    from genviews.studies.options import Options

__all__ = ["NO_VERDICT", "run_verb"]

logger = logging.getLogger("genviews.cli")

NO_VERDICT = 3
"""Exit code of a run whose files are written, but of which a check failed: see its red lines."""

LOG = "log.txt"

PIXELS = "pixels"
"""Subfolder with decoded images, by content; no run owns it, as later ones may read it."""


def run_verb(
    verb: str,
    study: Study[Any],
    options: Options,
    groups: Sequence[DataclassInstance],
    flags: RunFlags,
    *,
    title: str = "",
    seed: int = 0,
    about: Mapping[str, Any] | None = None,
) -> int:
    """Run a study in its folder, unless it is done there, and show its answer.

    Args:
        verb: its words, as in "study learning/table1".
        study: what it runs.
        options: of the study.
        groups: the flags that decide the result.
        flags: how to run.
        title: of the page; "" takes the study's own.
        seed: of the views.
        about: what `--dry-run` prints besides.

    Returns:
        The exit code: 0, or `NO_VERDICT`; failures are exceptions.

    Raises:
        ValueError: what the command says or names cannot be used.
    """
    out = flags.out or Path("runs", verb.partition(" ")[0])
    words = command(verb, out, *groups)
    _check_flags(flags, out)
    for group in groups:
        check_words(group)
        check_flags(group, {"--out": out, "--work": flags.work})
    options.check()
    from genviews.environment import find_device  # loads torch, as the next ones do

    device = find_device(flags.device)
    if flags.dry_run:
        from genviews.cli.inputs import try_models

        _engine(flags, device)
        try_models(groups, lambda kit: study.check(kit, options))
        told = {"verb": verb, **plain(*groups), **(about or {}), "out": str(out)}
        Terminal().out(json.dumps(told, indent=2), highlight=False)
        return 0
    from genviews.cli.inputs import load_inputs
    from genviews.data.kept_hashes import HASHES, kept_hashes
    from genviews.data.pixels import Decoding
    from genviews.memory import keep_freed_memory
    from genviews.report import PAGE, check_output_dir, show, show_alarm
    from genviews.studies.base import run_study
    from genviews.studies.bench import Bench
    from genviews.studies.ensembling.answers import ANSWERS
    from genviews.studies.result import RESULT_FILE
    from genviews.studies.run_folder import RunFolder

    keep_freed_memory()
    folder = check_output_dir(out)
    before = _stamp(folder / RESULT_FILE)
    if before is None and not flags.force:
        _check_foreign(folder, (PAGE, "results.csv", ANSWERS))

    def check(kit: GeneratorKit | None) -> None:
        """What can be refused before images are read."""
        same_run(kit)
        study.check(kit, options)

    def same_run(kit: GeneratorKit | None) -> None:
        if not flags.force:
            RunFolder(folder, study.products).check_known(study.name, options, seed, kit)

    same_run(None)  # before anything is loaded
    hashes = kept_hashes(folder / HASHES)
    with hashes, ExitStack() as kept, Stages(Terminal(stderr=True)) as stages:
        begun = cache(lambda: kept.enter_context(_log(folder / LOG, words)))

        def begin() -> None:
            """Once, as soon as it is known that there is something to do."""
            with as_one():  # half begun it would be begun again, and tell each line twice
                begun()

        try:
            if before is None:
                begin()
            engine, watcher = _engine(flags, device), _watcher(stages, begin)
            pixels = (flags.work or folder) / PIXELS
            decoding = Decoding(folder=pixels, engine=engine, progress=stages)
            inputs = load_inputs(groups, decoding, check).to(device)
            for note in dict.fromkeys(inputs.notes):
                watcher.tell(f"note: {note}")
            bench = Bench(
                inputs,
                title=title,
                seed=seed,
                batch_size=flags.batch_size,
                device=device,
                engine=engine,
                folder=flags.work,
                watcher=watcher,
            )
            found = run_study(
                study,
                bench,
                options,
                folder,
                command=words,
                force=flags.force,
                clock=lambda: stages.seconds,
            )
            if not study.keeps_work and flags.work is None:
                shutil.rmtree(pixels, ignore_errors=True)
        except BaseException as error:
            begin()
            if isinstance(error, KeyboardInterrupt):
                logger.info("stopped")
            else:
                logger.exception("failed")
            raise
        known = before is not None and before == _stamp(folder / RESULT_FILE)
        if not known:
            took = duration(sum(stages.seconds.values()))
            logger.info("done in %s: %s", took, found.verdict)
    console = Terminal()
    if known:
        text = f"{out} already holds the results of this run; nothing to do"
        say(console, f"{text} (--force runs it again).")
        show_alarm(found, console)
    else:
        show(found, console)
    say(console, f"Report: {out / PAGE}")
    return NO_VERDICT if found.shut else 0


def _check_flags(flags: RunFlags, out: Path) -> None:
    """Find flags of running that do not go together."""
    for flag, path in (("--out", out), ("--work", flags.work)):
        if path is not None and is_url(path):
            got, remedy = f"{str(path)!r}, a URL", "name a folder, and copy the results from there"
            fail(flag, expected="a folder of this machine", got=got, remedy=remedy)
        if path is not None and is_there(path, folders=True) and not path.is_dir():
            got, remedy = f"the file {str(path)!r}", f"choose another folder with {flag}"
            fail(flag, expected="a folder", got=got, remedy=remedy)
    check_count(flags.batch_size, "--batch-size")
    check_count(flags.workers, "--workers")
    for flag, given in (
        ("--workers", flags.workers > 1),
        ("--ray-address", flags.ray_address is not None),
    ):
        if flags.engine == "local" and given:
            fail(flag, expected="--engine ray", got="local", remedy="add --engine ray")


def _check_foreign(folder: Path, names: Sequence[str]) -> None:
    """Refuse to write over files of other work; a run that was begun here has its log."""
    there = [name for name in names if (folder / name).exists()]
    if there and not (folder / LOG).exists():
        remedy = "choose another folder with --out; --force writes over them"
        expected = "no files but our own of the names of results"
        fail(f"--out {folder}", expected=expected, got=", ".join(there), remedy=remedy)


def _engine(flags: RunFlags, device: torch.device) -> Engine:
    """Workers of Ray share this machine's threads and, with a GPU as the device, its GPUs."""
    import torch

    from genviews.engine import LocalEngine, RayEngine

    if flags.engine == "local":
        return LocalEngine()
    gpus = torch.cuda.device_count() if device.type == "cuda" else 0
    return RayEngine(
        flags.workers,
        num_threads=max(1, torch.get_num_threads() // flags.workers),
        num_gpus_per_actor=min(1.0, gpus / flags.workers),
        address=flags.ray_address,
    )


def _watcher(stages: Stages, begin: Callable[[], None]) -> Watcher:
    """Tells the stages of a run how its study goes on."""
    from genviews.studies.bench import Watcher

    class Told(Watcher):
        def tell(self, text: str) -> None:
            logger.info(text)
            say(Terminal(stderr=True), text)

        def note(self, stage: str) -> None:
            begin()  # by now it is known that there is something to do
            stages.note(stage)

        def progress(self, stage: str, unit: str, done: int, total: int, note: str = "") -> None:
            stages(stage, unit, done, total, note)

    return Told()


def _stamp(file: Path) -> int | None:
    return file.stat().st_mtime_ns if file.exists() else None


class _LogFile(logging.FileHandler):
    """A log that a full disk ends: the run itself says what could not be written."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Leave the record out."""


@contextmanager
def _log(path: Path, command: str) -> Iterator[None]:
    """Append what the package logs to a file, first the command of the run."""
    log = logging.getLogger("genviews")
    handler = _LogFile(path, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    level = log.level
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    try:
        logger.info("started: %s", command)
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        handler.close()
