"""The verbs and what surrounds each: parsing, exit codes, and errors as one clear line."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Sequence

from cyclopts import App, CycloptsError, Parameter
from rich.console import Console

import genviews
from genviews.cli.options import DemoOptions, EnsembleOptions, RunOptions

__all__ = ["app", "main"]

logger = logging.getLogger("genviews.cli")

app = App(
    name="genviews",
    help="Views of an image from a generative model, and what they gain a classifier.",
    version=genviews.__version__,
    default_parameter=Parameter(negative=()),
    help_epilogue="Exit codes: 0 done, 1 failed, 2 wrong usage.",
)

_DONE, _FAILED, _USAGE = 0, 1, 2


@app.command
def demo(options: DemoOptions = DemoOptions(), *, run: RunOptions = RunOptions()) -> int:  # noqa: B008 (frozen)
    """Run the whole study on images and weights that ship with the package: no download, a few minutes.

    Inverts the images, makes views, chooses alpha on calibration images, and reports accuracy on test images.
    """
    from genviews.cli.demo import run_demo

    return run_demo(options, run)


@app.command
def ensemble(options: EnsembleOptions, *, run: RunOptions = RunOptions()) -> int:  # noqa: B008 (frozen)
    """Find out whether views of your images make your classifier better.

    Images must have labels: alpha is chosen on one part of them, the gain is measured on the other.
    """
    from genviews.cli.ensemble import run_ensemble

    return run_ensemble(options, run)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the console script's entry point.

    Args:
        arguments: words after the program's name; None takes those of the process.

    Returns:
        0 done, 1 failed, 2 wrong usage.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        outcome = app(words, exit_on_error=False, result_action="return_value")
    except CycloptsError:
        return _USAGE  # already explained on the error console
    except KeyboardInterrupt:
        _say("stopped by the user; run the same command again to continue")
        return _FAILED
    except Exception as error:  # the last resort: every failure ends as one line and exit code 1
        logger.debug("failed", exc_info=True)
        if "--debug" in words:
            traceback.print_exc()
        _say(explain(error))
        return _FAILED
    return outcome if isinstance(outcome, int) else _DONE


def explain(error: Exception) -> str:
    """One line for a user: our own messages as they are, anything else with its type and a hint."""
    text = " ".join(str(error).split())
    if type(error).__name__ == "OutOfMemoryError" or isinstance(error, MemoryError):
        return "out of memory; run again with a smaller --batch-size, or on a machine with more memory"
    if isinstance(error, (ValueError, OSError)) or (isinstance(error, TypeError) and "expected" in text):
        return text
    return f"{type(error).__name__}: {text or 'no message'}; run again with --debug to see where"


def _say(text: str) -> None:
    console = Console(stderr=True)
    console.print(f"genviews: {text}", style="red" if console.is_terminal else None, markup=False, soft_wrap=True)
