"""The verbs and what surrounds each: parsing, exit codes, and errors as one clear line."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from cyclopts import App, CycloptsError, Parameter
from rich.console import Console

import genviews
from genviews.cli.options import (
    DemoOptions,
    EngineOptions,
    InputOptions,
    InvertInputs,
    InvertOptions,
    RunOptions,
    StudyOptions,
)

__all__ = ["app", "explain", "main"]

DONE, FAILED, USAGE = 0, 1, 2

app = App(
    name="genviews",
    help="Views of an image from a generative model, and what they gain a classifier.",
    help_epilogue="Exit codes: 0 done, 1 failed, 2 wrong usage.",
    version=genviews.__version__,
    suppress_keyboard_interrupt=False,
    default_parameter=Parameter(negative=()),
)

_DEMO, _STUDY, _RUN = DemoOptions(), StudyOptions(), RunOptions()
_INVERSION, _ENGINE = InvertOptions(), EngineOptions()


@app.command
def demo(options: DemoOptions = _DEMO, *, run: RunOptions = _RUN) -> int:
    """Try it: the whole study on images and weights that ship with the package, no download.

    Inverts real images, makes views of them, chooses alpha on calibration images, measures the gain
    on test images, and writes a report.
    """
    from genviews.cli.demo import run_demo

    return run_demo(options, run)


@app.command
def ensemble(inputs: InputOptions, *, study: StudyOptions = _STUDY, run: RunOptions = _RUN) -> int:
    """Find out whether generated views make your classifier better on your images.

    The images need labels: alpha is chosen on one part of them, the gain is measured on the other.
    A killed run started again continues where it was.
    """
    from genviews.cli.ensemble import run_ensemble

    return run_ensemble(inputs, study, run)


@app.command
def invert(
    inputs: InvertInputs,
    *,
    inversion: InvertOptions = _INVERSION,
    engine: EngineOptions = _ENGINE,
    run: RunOptions = _RUN,
) -> int:
    """Find the latents that reproduce your images, and see how well they do.

    Writes stores of latents and of reconstructions, a table and a summary of their quality, and a
    page with the best and the worst. A killed run started again continues where it was.
    """
    from genviews.cli.invert import run_invert

    return run_invert(inputs, inversion, engine, run)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the entry point of the console script.

    Args:
        arguments: words after the program's name; None takes those of the process.

    Returns:
        0 done, 1 failed, 2 wrong usage.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    # "package.module:function" may name a module of the folder that the user works in, as it may
    # with `python -m`; the console script alone would not look there.
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        outcome = app(words, exit_on_error=False, result_action="return_value")
    except CycloptsError:
        return USAGE  # cyclopts has explained it on the error console
    except KeyboardInterrupt:
        _say("stopped; the same command again continues where it was")
        return FAILED
    except Exception as error:  # every failure ends as one line and an exit code
        if "--debug" in words:
            traceback.print_exc()
        _say(explain(error))
        return FAILED
    return outcome if isinstance(outcome, int) else DONE


def explain(error: Exception) -> str:
    """One line for a user: our own messages as they are, anything else with its type and a hint."""
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "out of memory; run again with a smaller --batch-size, or where there is more memory"
    ours = isinstance(error, TypeError) and "expected" in text
    if text and (ours or isinstance(error, (ValueError, OSError))):
        return text
    return f"{type(error).__name__}: {text or 'no message'}; run again with --debug to see where"


def _say(text: str) -> None:
    console = Console(stderr=True)
    style = "red" if console.is_terminal else ""
    console.print(f"genviews: {text}", style=style, markup=False, highlight=False, soft_wrap=True)
