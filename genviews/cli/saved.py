"""The run folder of `genviews ensemble` as an input: its ensemble, and the flags that made it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from cyclopts import App, CycloptsError

from genviews.checks import expanded, fail, lookup
from genviews.cli.flags import PLAIN, DemoFlags, ModelFlags, PredictFlags

if TYPE_CHECKING:
    from genviews.identity import Identity
    from genviews.studies.ensembling.saved import SavedEnsemble
    from genviews.studies.result import Result

__all__ = ["check_fitted_with", "models_of", "saved_ensemble"]

_DEMO = DemoFlags()
_EXPECTED = "the run folder of a finished `genviews ensemble`"
_REMEDY = "run `genviews ensemble --out FOLDER` first, and name that folder"


def saved_ensemble(folder: Path) -> SavedEnsemble:
    """Return the ensemble of a run folder.

    Raises:
        FileNotFoundError: no results there.
        ValueError: the results of something else.
    """
    from genviews.described import described_by
    from genviews.studies.ensembling.saved import SavedEnsemble

    result = _result(folder)
    given = result.record.data.get("ensemble")
    if not isinstance(given, dict):
        _refuse(folder, "the results of another verb, or of an older version")
    with described_by(f"--ensemble {str(folder)!r}", "what a run writes", _REMEDY):
        lists = {"class_names": tuple(given["class_names"])}
        lists["chosen_on"] = tuple(given.get("chosen_on", ()))
        return SavedEnsemble(**{**given, **lists, "doubts": result.shut})


def models_of(flags: PredictFlags) -> ModelFlags | DemoFlags:
    """Return what the run was made from: the flags of its command, and what has moved.

    Raises:
        FileNotFoundError, ValueError: as `saved_ensemble`, or its command is not known.
    """
    command = _result(flags.ensemble).record.command
    models = _parsed(shlex.split(command)[1:])
    if models is None:
        _refuse(flags.ensemble, f"a run of {command or 'a program'!r}, which names no models")
    moved = {name: getattr(flags, name) for name in ("generator", "classifier", "weights")}
    moved = {name: value for name, value in moved.items() if value is not None}
    if isinstance(models, DemoFlags):
        if moved:
            _refuse(flags.ensemble, f"the demo, which has its own {' and '.join(moved)}")
        return models
    return replace(models, **moved)


def check_fitted_with(
    folder: Path, task: str, views: Mapping[str, object], **parts: object
) -> None:
    """Raise ValueError where an ensemble is not made of what it was in a run.

    Args:
        folder: of the run.
        task: whose classifier it is.
        views: what makes and shows them, by the name of the run's input: one of its
            "perturbations" and "pixel_views", its "photo_transform" and "render_transform".
        parts: "generator", "inverter" and "classifier".
    """
    from genviews.identity import Identity, describe, identify

    kept = Identity.kept_in(folder)
    if kept is None:
        _refuse(folder, "a folder without identity.safetensors")
    remedy = "name what it was fitted with by --generator, --classifier and --weights"
    inputs, given = ("inputs", "inputs"), kept.exact["inputs"]["inputs"]
    places = {one["name"]: str(place) for place, one in enumerate(given["tasks"])}
    place = lookup(task, places, "task of the ensemble")
    for path, names in (
        (inputs, ("generator", "inverter")),
        ((*inputs, "tasks", place), ("classifier",)),
    ):
        ours: Identity = identify(**{name: parts[name] for name in names})
        theirs = _moved(kept.within(*path, names=names), ours)
        ours.check(theirs, f"the ensemble of {str(folder)!r}", remedy)
    for name, view in views.items():
        then = given[name] if isinstance(given[name], list) else [given[name]]
        if describe(view) not in then:
            fail(
                f"the ensemble of {str(folder)!r}",
                expected=f"{name.replace('_', ' ')} as they were then",
                got=f"others behind the name {getattr(view, 'name', 'none')!r}",
                remedy="put the walks, the directions or the code of then back, or fit it again",
            )


def _moved(kept: Identity, ours: Identity) -> Identity:
    """What was kept, with the generator's function under its name of now.

    A user may rename or move a module; that it is the same function, its answers say.
    """
    then, now = (one.exact.get("generator", {}).get("function", {}) for one in (kept, ours))
    names = {"function", "type"} & then.keys() & now.keys()
    if not names:
        return kept
    code = {**then, **{name: now[name] for name in names}}
    return replace(
        kept, exact={**kept.exact, "generator": {**kept.exact["generator"], "function": code}}
    )


def _parsed(words: Sequence[str]) -> ModelFlags | DemoFlags | None:
    """The flags of a command that say with which models it ran; others are passed over."""
    app = App(default_parameter=PLAIN)
    verb = list(words[:2] if words[:1] == ["study"] else words[:1])

    def models(*, flags: ModelFlags) -> None: ...
    def demo(*, flags: DemoFlags = _DEMO) -> None: ...

    app.default(demo if verb == ["demo"] else models)
    try:
        _, bound, *_ = app.parse_known_args(list(words[len(verb) :]))
    except CycloptsError:
        return None
    found: ModelFlags | DemoFlags = bound.arguments.get("flags", _DEMO)
    return found


def _result(folder: Path) -> Result:
    from genviews.studies.result import RESULT_FILE, Result

    place = expanded(folder)
    if not (place / RESULT_FILE).is_file():
        fail(
            "--ensemble",
            expected=_EXPECTED,
            got=f"{str(folder)!r} without {RESULT_FILE}",
            remedy=_REMEDY,
            error=FileNotFoundError,
        )
    return Result.load(place)


def _refuse(folder: Path, got: str) -> NoReturn:
    fail("--ensemble", expected=_EXPECTED, got=f"{str(folder)!r}: {got}", remedy=_REMEDY)
