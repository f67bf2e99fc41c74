"""An inverter as the settings on a card, and back.

Settings are JSON values: the fields of `Inverter`, with

    objective   {term: weight}: "l1", "l2", "feature" (of the encoder), "latent" (to the start)
    optimizer   {"name": "adam" or "lbfgs", and its fields}
    start       {"name": "mean" or "samples", and its fields}

What is not said has the default of `Inverter`, but the start is the encoder's where there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from genviews.checks import check_given, fail, lookup
from genviews.identity import describe
from genviews.invert.encoder import LatentEncoder
from genviews.invert.features import Feature, FeatureDistance
from genviews.invert.inverter import Inverter, default_start
from genviews.invert.lbfgs import LBFGS
from genviews.invert.objective import L1, L2, Objective, Term, ToStart
from genviews.invert.optimizer import Adam, Optimizer
from genviews.invert.samples import SampleStart
from genviews.invert.start import MeanStart, Start

__all__ = ["inverter_from", "inverter_settings"]

T = TypeVar("T")

_STARTS: dict[str, type[Start]] = {"mean": MeanStart, "samples": SampleStart}
_OPTIMIZERS: dict[str, type[Optimizer[Any]]] = {"adam": Adam, "lbfgs": LBFGS}
_TERMS: dict[str, Callable[[float, LatentEncoder | None], Term]] = {
    "l1": lambda weight, encoder: L1(weight),
    "l2": lambda weight, encoder: L2(weight),
    "feature": lambda weight, encoder: _feature(weight, encoder),
    "latent": lambda weight, encoder: ToStart(weight),
}
_PLAIN = ("steps", "patience", "tolerance", "smoothing", "snapshots")


def inverter_from(settings: Mapping[str, Any], encoder: LatentEncoder | None) -> Inverter:
    """Return the inverter that the settings of a card describe.

    Args:
        settings: see the module; what is left out has the default of `Inverter`.
        encoder: of the generator, or None.

    Raises:
        ValueError: an unknown setting, term or optimizer (the closest are listed), or features of
            an encoder where there is none.

    Example:
        >>> inverter_from({"steps": 80, "objective": {"l1": 1.0, "l2": 1.0}}, None).steps
        80
    """
    known = dict.fromkeys(("start", "objective", "optimizer", *_PLAIN))
    own = _arguments(settings, known, "inverter setting of the card")
    if "optimizer" in own:
        own["optimizer"] = _named(own["optimizer"], _OPTIMIZERS, "optimizer of the card")
    own["start"] = default_start(encoder)
    if "start" in settings:
        own["start"] = _named(settings["start"], _STARTS, "start of the card")
    weights = own.pop("objective", {})
    if weights:
        terms = {name: lookup(name, _TERMS, "term of the card's objective") for name in weights}
        own["objective"] = Objective(tuple(terms[name](weights[name], encoder) for name in terms))
    return Inverter(**own)


def inverter_settings(inverter: Inverter) -> dict[str, Any]:
    """Return the settings from which `inverter_from` makes the same inverter.

    Raises:
        ValueError: a start, term or optimizer that a card cannot hold, such as LPIPS, whose weights
            are another's.
    """
    names: dict[type[Term], str] = {ToStart: "latent"}
    settings: dict[str, Any] = {name: getattr(inverter, name) for name in _PLAIN}
    settings["objective"] = {names.get(type(t), t.name): t.weight for t in inverter.objective.terms}
    words = {kind: word for word, kind in _STARTS.items()}
    if type(inverter.start) in words:
        settings["start"] = {"name": words[type(inverter.start)], **vars(inverter.start)}
    kind = type(inverter.optimizer).__name__.lower()
    settings["optimizer"] = {"name": kind, **vars(inverter.optimizer)}
    try:
        kept = describe(inverter_from(settings, inverter.encoder)) == describe(inverter)
    except ValueError:
        kept = False
    if not kept:
        fail(
            "inverter on a card",
            expected="the start of an encoder, the mean or samples, Adam or L-BFGS, and the terms "
            + ", ".join(_TERMS),
            got=repr(inverter),
            remedy="save the kit with another inverter, and pass this one where it is used",
        )
    return settings


def _arguments(given: Mapping[str, Any], known: Mapping[str, object], kind: str) -> dict[str, Any]:
    """Values of JSON as arguments, all of them known: tuples for lists."""
    for name in given:
        lookup(name, known, kind)
    return {name: tuple(v) if isinstance(v, list) else v for name, v in given.items()}


def _named(given: Mapping[str, Any], kinds: Mapping[str, Callable[..., T]], what: str) -> T:
    """What is made of a name with the values of its fields."""
    own = dict(given)
    name = own.pop("name", "")
    kind = lookup(name, kinds, what)
    return kind(**_arguments(own, vars(kind()), f"setting of {name} on the card"))


def _feature(weight: float, encoder: LatentEncoder | None) -> Term:
    what, wanted = "term 'feature' of the card's objective", "an encoder, whose features it takes"
    found = check_given(encoder, what, wanted, "give one, or take l1 and l2")
    return Feature(weight, FeatureDistance(found.features))
