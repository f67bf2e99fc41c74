"""An inverter as the settings on a card, and back.

Settings are JSON values: the fields of `Inverter`, with

    objective   {term: weight}: "l1", "l2", "feature" (of the encoder), "latent" (to the start)
    optimizer   {"name": "adam" or "lbfgs", and its fields}

The start is the encoder's where there is one, else the mean latent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from typing import Any

from genviews.checks import fail, lookup
from genviews.identity import describe
from genviews.invert.adam import Adam
from genviews.invert.encoder import InversionEncoder
from genviews.invert.features import Feature, FeatureDistance
from genviews.invert.inverter import Inverter
from genviews.invert.lbfgs import LBFGS
from genviews.invert.objective import L1, L2, Objective, ToStart
from genviews.invert.optimizer import Optimizer
from genviews.invert.start import EncoderStart, MeanStart
from genviews.invert.term import Term

__all__ = ["inverter_from", "inverter_settings"]

_OPTIMIZERS: dict[str, type[Optimizer[Any]]] = {"adam": Adam, "lbfgs": LBFGS}
_TERMS: dict[type[Term], str] = {L1: "l1", L2: "l2", Feature: "feature", ToStart: "latent"}
_PLAIN = ("steps", "patience", "tolerance", "smoothing", "snapshots")


def inverter_from(settings: Mapping[str, Any], encoder: InversionEncoder | None) -> Inverter:
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
    known = dict.fromkeys(("objective", "optimizer", *_PLAIN))
    for name in settings:
        lookup(name, known, "inverter setting of the card")
    own = {name: _as_tuple(settings[name]) for name in _PLAIN if name in settings}
    if "optimizer" in settings:
        own["optimizer"] = _optimizer(settings["optimizer"])
    weights = settings.get("objective", {})
    return Inverter(
        start=MeanStart() if encoder is None else EncoderStart(encoder),
        objective=Objective(_terms(weights, encoder)) if weights else Objective(),
        **own,
    )


def inverter_settings(inverter: Inverter) -> dict[str, Any]:
    """Return the settings from which `inverter_from` makes the same inverter.

    Raises:
        ValueError: a start, term or optimizer that a card cannot hold, such as LPIPS, whose weights
            are another's.
    """
    encoder = inverter.encoder
    start = MeanStart() if encoder is None else EncoderStart(encoder)
    kind = {found: name for name, found in _OPTIMIZERS.items()}.get(type(inverter.optimizer))
    settings: dict[str, Any] = {name: getattr(inverter, name) for name in _PLAIN}
    settings["objective"] = {
        _TERMS.get(type(term), term.name): term.weight for term in inverter.objective.terms
    }
    if isinstance(inverter.optimizer, Adam | LBFGS):
        settings["optimizer"] = {"name": kind, **asdict(inverter.optimizer)}
    kept = kind is not None and inverter.start == start
    if kept and set(settings["objective"]) <= set(_TERMS.values()):
        kept = describe(inverter_from(settings, encoder)) == describe(inverter)
    else:
        kept = False
    if not kept:
        fail(
            "inverter on a card",
            expected="the start of an encoder or the mean, Adam or L-BFGS, and the terms "
            + ", ".join(_TERMS.values()),
            got=repr(inverter),
            remedy="save the kit with another inverter, and pass this one where it is used",
        )
    return settings


def _as_tuple(value: object) -> Any:  # noqa: ANN401 (a number or a tuple of some)
    return tuple(value) if isinstance(value, list) else value


def _optimizer(settings: Mapping[str, Any]) -> Optimizer[Any]:
    own = {name: _as_tuple(value) for name, value in settings.items() if name != "name"}
    kind = lookup(settings.get("name", ""), _OPTIMIZERS, "optimizer of the card")
    # Every optimizer of the table is a dataclass.
    allowed = {f.name: True for f in fields(kind)}  # type: ignore[arg-type]
    for name in own:
        lookup(name, allowed, f"setting of {settings['name']} on the card")
    return kind(**own)


def _terms(weights: Mapping[str, float], encoder: InversionEncoder | None) -> tuple[Term, ...]:
    def feature(weight: float) -> Term:
        if encoder is None:
            fail(
                "term 'feature' of the card's objective",
                expected="an inversion encoder, whose features it compares",
                got="none",
                remedy="give one, or take l1 and l2",
            )
        return Feature(weight, FeatureDistance(encoder.features))

    table: dict[str, Callable[[float], Term]] = {
        "l1": L1,
        "l2": L2,
        "feature": feature,
        "latent": ToStart,
    }
    return tuple(
        lookup(name, table, "term of the card's objective")(weight)
        for name, weight in weights.items()
    )
