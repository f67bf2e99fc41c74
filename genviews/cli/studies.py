"""`genviews study NAME`: any study of the registry; its needs decide the flags of its inputs."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App

from genviews.checks import fail
from genviews.cli.console import Terminal
from genviews.cli.flags import ModelFlags, RunFlags, StudyFlags
from genviews.cli.learning_flags import KitFlags, LearnFlags, VOCFlags
from genviews.cli.run import run_verb
from genviews.cli.verbs import title_of

if TYPE_CHECKING:  # these load torch, which the flags alone do not need
    from genviews.studies.base import Study

__all__ = ["add_studies", "list_studies"]


_FLAGS = {"KIT": "generator", "SPLITS": "images", "PROBES": "data"}
"""Need -> its flag, where that has another name."""


def list_studies() -> int:
    """All studies with their source, what they need, and how long they take on two cores."""
    from genviews.report.terminal import terminal_table
    from genviews.studies.blocks import Column, Table
    from genviews.studies.registry import STUDIES

    columns = (
        Column(name="study", priority=0),
        Column(name="question, inputs and source", priority=0),
        Column(name="minutes", kind="number", priority=0),
    )
    rows = tuple(
        (
            study.name,
            f"{study.summary} Needs {_needs(study)}. Source: {study.source}",
            study.minutes,
        )
        for study in STUDIES.values()
    )
    console = Terminal()
    caption = (
        "Minutes on two cores. What is in [brackets] may be left out. More: genviews study NAME "
        "--help"
    )
    table = Table(title="Studies", columns=columns, rows=rows, caption=caption)
    console.print(terminal_table(table, console.width))
    return 0


def _needs(study: Study[Any]) -> str:
    """Its inputs by the names of their flags; those that it can do without, in brackets."""
    names = [(need, _FLAGS.get(need.name, need.name.lower())) for need in study.inputs]
    return ", ".join(name if need in study.needs else f"[{name}]" for need, name in names)


def add_studies(app: App) -> None:
    """Give the verb a command for each study, unless it has them; this loads torch."""
    from genviews.studies.registry import STUDIES

    for study in STUDIES.values():
        if study.name not in app:
            app.command(_command(study), name=study.name)


def _command(study: Study[Any]) -> Callable[..., int]:
    """The function of a study's command, whose signature holds the flags of its inputs."""
    from genviews.studies.base import Need

    kinds: dict[str, Any] = {"inputs": LearnFlags, "options": study.options, "run": RunFlags}
    if Need.SPLITS in study.inputs:
        kinds["inputs"] = ModelFlags
    elif set(study.inputs) == {Need.KIT}:
        kinds["inputs"] = KitFlags
    if Need.VOC in study.inputs:
        kinds["voc"] = VOCFlags
    defaults = {name: kind() for name, kind in kinds.items() if kind is not ModelFlags}

    def run(**given: Any) -> int:  # noqa: ANN401  (the flags of the signature below)
        return _run(study, **{**defaults, **given})

    flags = {**kinds, "options": Annotated[study.options, StudyFlags]}
    keyword, empty = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.empty
    parameters = [
        inspect.Parameter(name, keyword, default=defaults.get(name, empty), annotation=kind)
        for name, kind in flags.items()
    ]
    # A function may have this attribute, which type checkers do not know; cyclopts reads it.
    run.__signature__ = inspect.Signature(parameters, return_annotation=int)  # type: ignore[attr-defined]
    run.__annotations__ = {**flags, "return": int}
    told = f"\n\nThe source reports: {study.reported}." if study.reported else ""
    run.__doc__ = (
        f"{study.summary}\n\nSource: {study.source}. About {study.minutes:g} minutes on two cores. "
        f"A killed run started again continues where it was.{told}"
    )
    return run


def _run(
    study: Study[Any],
    inputs: KitFlags | ModelFlags,
    options: Any,  # noqa: ANN401  (of the study's class)
    run: RunFlags,
    voc: VOCFlags | None = None,
) -> int:
    """Run a study with the inputs that its flags name; returns the exit code."""
    if isinstance(inputs, KitFlags):
        _check_given(study, LearnFlags(**vars(inputs)))
    return run_verb(
        f"study {study.name}",
        study,
        options,
        [inputs, options, *([] if voc is None else [voc])],
        run,
        title=title_of(inputs) if isinstance(inputs, ModelFlags) else "",
        seed=inputs.seed if isinstance(inputs, ModelFlags) else 0,
    )


def _check_given(study: Study[Any], inputs: LearnFlags) -> None:
    """Name the flag of what a study needs and was not given."""
    from genviews.studies.base import Need

    for need, flag, given in (
        (Need.KIT, "--generator", inputs.generator),
        (Need.PROBES, "--data", inputs.data),
    ):
        if need in study.needs and given is None:
            expected, remedy = f"{flag}, {need.value}", "name one, such as fashion32"
            fail(f"study {study.name}", expected=expected, got="none", remedy=remedy)
    if inputs.generator is None and inputs.real is None:
        fail(
            "what to learn from",
            expected="--generator, --real or both",
            got="neither",
            remedy="name a generator, images, or both",
        )
