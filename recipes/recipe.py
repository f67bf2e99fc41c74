"""What every recipe does beside its own work: be a command, have a folder, say what it did."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cyclopts

from genviews.environment import environment
from genviews.files import write_json
from genviews.memory import keep_freed_memory
from genviews.studies.bench import Watcher
from genviews.studies.result import Result

__all__ = ["Printed", "finish", "folder_of", "run"]


def run(main: Callable[..., object], words: Sequence[str] | None = None) -> None:
    """Run a recipe's function as a command: its arguments are flags, what it returns is printed.

    Args:
        main: the function.
        words: of the command line; None takes those of the process.

    Raises:
        SystemExit: wrong usage, or a failure, with its message and status 1.
    """
    keep_freed_memory()
    app = cyclopts.App()
    app.default(main)
    try:
        found = app(sys.argv[1:] if words is None else words, result_action="return_value")
    except (OSError, ValueError) as error:
        sys.exit(str(error))  # a message that says what to do, and status 1
    if found is not None:
        print(found.verdict if isinstance(found, Result) else found)


def folder_of(out: Path, *, quick: bool) -> Path:
    """The folder of a run, made where it is missing; a quick run has one of its own."""
    place = out.with_name(f"{out.name}-quick") if quick else out
    place.mkdir(parents=True, exist_ok=True)
    return place


def finish(
    module: str, found: Mapping[str, object], path: Path | None, flags: str = ""
) -> dict[str, object]:
    """Say how numbers were made, and write them.

    Args:
        module: the recipe's, below `recipes.fashion32`.
        found: seed, config and numbers, as JSON values.
        path: where they are written; None of a quick run, which writes nothing.
        flags: that the command has.

    Returns:
        All that was written.
    """
    name = f"recipes.fashion32.{module}"
    said = {"recipe": name, "command": f"python -m {name} {flags}".strip()}
    record = {**said, **found, "environment": environment()}
    if path is not None:
        write_json(path, record)
    return record


class Printed(Watcher):
    """Prints how work goes on: the end of a stage, and the steps of a long one.

    Args:
        every: so many of a stage of as many or more are worth a line.
    """

    def __init__(self, every: int = 1000) -> None:
        self._every = every

    def progress(self, stage: str, unit: str, done: int, total: int, note: str = "") -> None:
        """Print a line where one is due."""
        if done == total or done % self._every == 0 < done:
            print(f"{stage}: {done} of {total} {unit}", flush=True)
