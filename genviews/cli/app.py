"""The verbs and what surrounds each: parsing, exit codes, and errors as one clear line."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter

import genviews
from genviews.cli import verbs
from genviews.cli.console import Terminal, say
from genviews.cli.flags import PLAIN
from genviews.cli.generator import generator
from genviews.cli.run import NO_VERDICT
from genviews.cli.samples import sample, views
from genviews.cli.stop import check_stopped
from genviews.cli.studies import add_studies, list_studies
from genviews.cli.weights import get
from genviews.user_code import is_memory

__all__ = ["app", "explain", "run"]

DONE, FAILED, USAGE = 0, 1, 2

app = App(
    name="genviews",
    help="Views from a generative model: what they gain a classifier, what is learnt from them.",
    help_epilogue=f"Exit codes: 0 done, 1 failed, 2 wrong usage, {NO_VERDICT} done, but a check "
    "failed and the result is not to be trusted, 129, 130 or 143 stopped by a signal.",
    version=genviews.__version__,
    suppress_keyboard_interrupt=False,
    default_parameter=PLAIN,
)

for verb in (
    *(verbs.demo, verbs.ensemble, verbs.invert, verbs.learn, verbs.predict, verbs.probe),
    verbs.corrupt,
):
    app.command(verb)
study = App(
    name="study",
    help="Run an experiment of the papers, or one of ours, by name. --list shows all.",
    default_parameter=PLAIN,
)
app.command(study)
app.command(generator)
for one in (sample, views, get):
    generator.command(one)


@study.default
def studies(
    name: Annotated[str | None, Parameter(show=False)] = None,
    /,
    *,
    list_: Annotated[bool, Parameter(name="--list", show_default=False)] = True,
) -> int:
    """Show all studies with their source, what they need, and how long they take.

    Args:
        name: Of a study that there is not: known ones are commands of their own.
        list_: Show them; also what the verb does without a name.
    """
    from genviews.studies.registry import find_study

    try:
        return list_studies() if name is None else int(find_study(name) is None)
    except ValueError as error:
        _say(str(error))
        return USAGE


def run(words: Sequence[str]) -> int:
    """Do what words after the program's name say; returns the exit code, see `genviews.cli.main`.

    Raises:
        StoppedError: a signal came.
    """
    # "package.module:function" may name a module of the folder that the user works in, as it may
    # with `python -m`; the console script alone would not look there.
    try:
        here = str(Path.cwd())
    except OSError:
        _say("the current folder is gone; change to one that is there, and run again")
        return FAILED
    if here not in sys.path:
        sys.path.append(here)
    if not os.environ.get("COLUMNS", "0").strip("0"):
        os.environ.pop("COLUMNS", None)  # no width, in which nothing could be shown
    for before, word in pairwise(["genviews", *words]):
        # Mostly a shell variable that is not set; as a path it would be the current folder.
        if not word or (word.startswith("--") and word.find("=") == len(word) - 1):
            _say(
                f"{word[:-1] or before}: expected a value, got nothing; give one, or leave it out."
            )
            return USAGE
    try:
        if words[:1] == ["study"]:
            add_studies(study)
        outcome = app(
            words,
            console=Terminal(),
            error_console=Terminal(stderr=True),
            exit_on_error=False,
            result_action="return_value",
        )
    except CycloptsError:
        return USAGE  # cyclopts has explained it on the error console
    except Exception as error:  # every failure ends as one line and an exit code
        check_stopped()  # what a signal cut short may fail in any way
        if "--debug" in words:
            traceback.print_exc()
        _say(explain(error))
        return USAGE if _is_usage(error) else FAILED
    return outcome if isinstance(outcome, int) else DONE


def _is_usage(error: Exception) -> bool:
    """Whether what was given cannot be used; a disk, memory, a package or a bug is no such case."""
    if isinstance(error, FileNotFoundError):
        return error.strerror is None  # one of ours
    return isinstance(error, ValueError) or (
        isinstance(error, TypeError) and "expected" in str(error)
    )


def explain(error: Exception) -> str:
    """One line for a user: our own messages as they are, anything else with its type and a hint."""
    text = " ".join(str(error).split())
    full = isinstance(error, RuntimeError) and "can't allocate memory" in text  # torch, on a CPU
    if full or is_memory(error):
        return "out of memory; run again with a smaller --batch-size, or where there is more memory"
    if isinstance(error, OSError) and error.strerror:  # not one of ours
        name = "a file" if error.filename is None else f"file {str(error.filename)!r}"
        return f"{name} could not be read or written: {error.strerror.lower()}"
    ours = ": expected " in text and ", got " in text  # of `fail`, as whatever kind
    if text and (ours or isinstance(error, (ValueError, OSError))):
        return text
    return f"{type(error).__name__}: {text or 'no message'}; run again with --debug to see where"


def _say(text: str) -> None:
    console = Terminal(stderr=True)
    say(console, f"genviews: {text}", "red" if console.is_terminal else "")
