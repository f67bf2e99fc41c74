"""The verbs and what surrounds each: parsing, exit codes, and errors as one clear line."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter
from rich.console import Console

import genviews
from genviews.cli.learn_options import (
    LearnInputs,
    LearnOptions,
    ProbeOptions,
    TrainingFlags,
)
from genviews.cli.options import (
    DemoOptions,
    Flag,
    InputOptions,
    InvertInputs,
    InvertOptions,
    PictureOptions,
    RunOptions,
    StudyOptions,
)
from genviews.studies.learning.options import TrainingOptions

__all__ = ["app", "explain", "main"]

DONE, FAILED, USAGE = 0, 1, 2

app = App(
    name="genviews",
    help="Views from a generative model: what they gain a classifier, what is learnt from them.",
    help_epilogue="Exit codes: 0 done, 1 failed, 2 wrong usage.",
    version=genviews.__version__,
    suppress_keyboard_interrupt=False,
    default_parameter=Parameter(negative=()),
)

_DEMO, _STUDY, _RUN = DemoOptions(), StudyOptions(), RunOptions()
_INVERSION, _PICTURES = InvertOptions(), PictureOptions()
_LEARNT_FROM, _VIEWS, _TRAINING = LearnInputs(), LearnOptions(), TrainingOptions()


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
    pictures: PictureOptions = _PICTURES,
    run: RunOptions = _RUN,
) -> int:
    """Find the latents that reproduce your images, and see how well they do.

    Writes stores of latents and of reconstructions, a table and a summary of their quality, and a
    page with the best and the worst. A killed run started again continues where it was.
    """
    from genviews.cli.invert import run_invert

    return run_invert(inputs, inversion, pictures, run)


@app.command
def learn(
    inputs: LearnInputs = _LEARNT_FROM,
    *,
    views: LearnOptions = _VIEWS,
    training: TrainingFlags = _TRAINING,
    run: RunOptions = _RUN,
) -> int:
    """Learn an encoder from generated views, from real images, or from a mix.

    Writes the encoder, its backbone with the key names of torchvision or timm, the history of the
    training and a page. With --data a linear probe and nearest neighbours judge it. A killed run
    started again continues where it was.
    """
    from genviews.cli.learn import run_learn

    return run_learn(inputs, views, training, run)


@app.command
def probe(options: ProbeOptions, *, run: RunOptions = _RUN) -> int:
    """Judge an encoder on labelled images: a linear probe and nearest neighbours, with intervals.

    The encoder is frozen. Probes are fitted on train, their settings chosen on val, and accuracies
    are of test.
    """
    from genviews.cli.probe import run_probe

    return run_probe(options, run)


study = App(
    name="study",
    help="Run an experiment of the papers, or one of ours, by name. --list shows all.",
    default_parameter=Parameter(negative=()),
)
app.command(study)


@study.default
def studies(
    name: Annotated[str | None, Parameter(show=False)] = None,
    /,
    *,
    list_: Annotated[Flag, Parameter(name="--list", show_default=False)] = True,
) -> int:
    """Show all studies with their source, what they need, and how long they take.

    Args:
        name: Of a study that there is not: known ones are commands of their own.
        list_: Show them; also what the verb does without a name.
    """
    from genviews.cli.studies import list_studies
    from genviews.studies.registry import find_study

    try:
        return list_studies() if name is None else int(find_study(name) is None)
    except ValueError as error:
        _say(str(error))
        return USAGE


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
    if words[:1] == ["study"]:
        from genviews.cli.studies import add_studies

        add_studies(study)
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
