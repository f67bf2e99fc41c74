"""`genviews study NAME`: any study of the registry; its needs decide the flags of its inputs."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Group, Parameter
from rich.console import Console

from genviews.checks import fail
from genviews.cli.engine import check_engine
from genviews.cli.learn_options import KitInputs, LearnInputs, VOCOptions
from genviews.cli.options import RunOptions, command, plain
from genviews.cli.study import run_study_here

if TYPE_CHECKING:  # these load torch, which the flags alone do not need
    from genviews.studies.base import Study
    from genviews.studies.bench import Inputs

__all__ = ["add_studies", "list_studies", "run_study_verb"]

PIXELS = "pixels"  # subfolder of decoded images, which no option changes
_STUDY = Group("Study", sort_key=2.2)
_RUN = Group("Running", sort_key=3)


@Parameter(name="*", group=_RUN)
@dataclass(frozen=True, kw_only=True)
class PlaceOptions:
    """Where a study works.

    Args:
        out: Folder for the results; made if missing.
        work: Folder of encoders, views and predictions, which studies may share: what two ask for
            is made once. Without it: in the folder of the results.
    """

    out: Path = Path("runs/study")
    work: Path | None = None


def list_studies() -> int:
    """All studies with their source, what they need, and how long they take on two cores."""
    from genviews.report.terminal import terminal_table
    from genviews.studies.blocks import Column, Table
    from genviews.studies.registry import STUDIES

    columns = (
        Column(name="study", priority=0),
        Column(name="question", priority=3),
        Column(name="source", priority=0),
        Column(name="needs", priority=1),
        Column(name="minutes", kind="number", priority=0),
    )
    rows = tuple(
        (
            study.name,
            study.summary,
            study.source,
            ", ".join(need.name.lower() for need in study.inputs),
            study.minutes,
        )
        for study in STUDIES.values()
    )
    console = Console()
    table = Table(title="Studies", columns=columns, rows=rows)
    console.print(terminal_table(table, console.width))
    return 0


def add_studies(app: App) -> None:
    """Give the verb a command for each study, unless it has them; this loads torch."""
    from genviews.studies.registry import STUDIES

    for study in STUDIES.values():
        if study.name not in app:
            app.command(_command(study), name=study.name)


def _command(study: Study[Any]) -> Callable[..., int]:
    """The function of a study's command, whose signature holds the flags of its inputs."""
    from genviews.studies.base import Need

    named = Parameter(name="*", group=_STUDY)
    flags: dict[str, Any] = {"inputs": LearnInputs, "options": Annotated[study.options, named]}
    if set(study.inputs) == {Need.KIT}:
        flags["inputs"] = KitInputs
    if Need.VOC in study.inputs:
        flags["voc"] = VOCOptions
    flags |= {"place": PlaceOptions, "run": RunOptions}
    defaults = {
        name: (study.options if name == "options" else kind)() for name, kind in flags.items()
    }

    def run(**given: Any) -> int:  # noqa: ANN401  (the flags of the signature below)
        return run_study_verb(study, **{**defaults, **given})

    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        inspect.Parameter(name, keyword, default=defaults[name], annotation=kind)
        for name, kind in flags.items()
    ]
    # Cyclopts reads the flags from here.
    run.__signature__ = inspect.Signature(parameters, return_annotation=int)  # type: ignore[attr-defined]
    run.__annotations__ = {**flags, "return": int}
    told = f"\n\nThe source reports: {study.reported}" if study.reported else ""
    run.__doc__ = (
        f"{study.summary}\n\nSource: {study.source}. About {study.minutes:g} minutes on two cores. "
        f"A killed run started again continues where it was.{told}"
    )
    return run


def run_study_verb(
    study: Study[Any],
    inputs: KitInputs,
    options: Any,  # noqa: ANN401  (of the study's class)
    place: PlaceOptions,
    run: RunOptions,
    voc: VOCOptions | None = None,
) -> int:
    """Check, load, run, show; returns the exit code."""
    parts = [inputs, options, *([] if voc is None else [voc]), place]
    if not run.dry_run:
        check_engine(run)
        _check(study, inputs, options, place, voc)
    return run_study_here(
        study,
        lambda: _load(inputs, voc, (place.work or place.out) / PIXELS),
        options,
        run,
        out=place.out,
        config={"study": study.name, **plain(*parts)},
        command=command(f"study {study.name}", *parts),
        work=place.work,
    )


def _check(
    study: Study[Any],
    inputs: KitInputs,
    options: Any,  # noqa: ANN401  (of the study's class)
    place: PlaceOptions,
    voc: VOCOptions | None,
) -> None:
    """Find what is wrong with the flags before anything is loaded."""
    from genviews.cli.images import check_exist
    from genviews.cli.learn import check_inputs
    from genviews.cli.learning_voc import check_voc
    from genviews.studies.base import Need
    from genviews.studies.learning.options import TrainingOptions

    options.check()
    data = inputs.data if isinstance(inputs, LearnInputs) else None
    for need, flag, given in (
        (Need.KIT, "--generator", inputs.generator),
        (Need.PROBES, "--data", data),
    ):
        if need in study.needs and given is None:
            fail(
                f"study {study.name}",
                expected=f"{flag}, {need.value}",
                got="none",
                remedy="name one, such as fashion32",
            )
    if isinstance(inputs, LearnInputs):
        if inputs.generator is None and inputs.real is None:
            fail(
                "what to learn from",
                expected="--generator, --real or both",
                got="neither",
                remedy="name a generator, images, or both",
            )
        training = options if isinstance(options, TrainingOptions) else TrainingOptions()
        check_inputs(inputs, training, place.out)
    else:
        check_exist({"--walks": inputs.walks}, folders=False)
    if voc is not None:
        check_voc(voc, place.out)


def _load(inputs: KitInputs, voc: VOCOptions | None, folder: Path) -> Inputs:
    """What the flags name; pixels are decoded once, into the folder."""
    from genviews.cli.learn_setting import load_kit, read_images
    from genviews.cli.learning_voc import voc_task
    from genviews.studies.bench import Inputs

    kit = load_kit(inputs)
    if not isinstance(inputs, LearnInputs):
        return Inputs(kit=kit)
    read = read_images(inputs, kit, folder)
    return Inputs(
        kit=kit,
        real=read.real,
        probe=read.probe,
        voc=None if voc is None else voc_task(voc),
        skipped=read.skipped,
        notes=read.notes,
    )
