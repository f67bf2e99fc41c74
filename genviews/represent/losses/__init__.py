"""Objectives of the learning arrow, by what they compare a view with.

NTXent, SupCon, MultiPositive, Decoupled   other views: some attract, the rest repel
VICReg                                     other views, without negatives
LatentPrediction, ClassPrediction          what the generator was given

`choose_objective` makes them by name, each with the projection head that it needs.
"""

from __future__ import annotations

from typing import Any

from genviews.checks import fail, lookup
from genviews.named import Registry
from genviews.represent.losses.base import Objective
from genviews.represent.losses.contrastive import Decoupled, MultiPositive, NTXent, SupCon, VICReg
from genviews.represent.losses.predict import ClassPrediction, LatentPrediction

__all__ = [
    "OBJECTIVES",
    "ClassPrediction",
    "Decoupled",
    "LatentPrediction",
    "MultiPositive",
    "NTXent",
    "Objective",
    "SupCon",
    "VICReg",
    "choose_objective",
]

OBJECTIVES: Registry[type[Objective]] = Registry(
    {
        "nt-xent": "genviews.represent.losses.contrastive:NTXent",
        "supcon": "genviews.represent.losses.contrastive:SupCon",
        "multi-positive": "genviews.represent.losses.contrastive:MultiPositive",
        "decoupled": "genviews.represent.losses.contrastive:Decoupled",
        "vicreg": "genviews.represent.losses.contrastive:VICReg",
        "inverter": "genviews.represent.losses.predict:LatentPrediction",
        "classifier": "genviews.represent.losses.predict:ClassPrediction",
    }
)
"""Name -> objective; each class says what it needs (`Objective`). A new one is a line here."""


def choose_objective(
    name: str, *, z_dim: int = 0, num_classes: int = 0
) -> tuple[Objective, dict[str, Any]]:
    """Return an objective, and what it asks of the encoder's config.

    Args:
        name: a key of `OBJECTIVES`.
        z_dim: Z, the width of the prior latent, for "inverter"; 0 where latents are not known.
        num_classes: Y, of the data; 0 for none, with which "inverter" predicts z alone.

    Returns:
        The objective, and fields of `RepresentationConfig`: whether projections are normalised, and
        for objectives that predict also a linear head of the width that they predict.

    Raises:
        ValueError: unknown (the closest are listed), or an objective that needs classes or latents
            which the data does not have.

    Example:
        >>> choose_objective("inverter", z_dim=8)[1]
        {'normalize': False, 'head': 'linear', 'projection': 8}
    """
    kind = lookup(name, OBJECTIVES, "objective")
    if kind.latents and not z_dim:
        fail(
            f"objective {name!r}",
            expected="generated data, whose latents are known",
            got="other data",
            remedy="take generated data alone",
        )
    if kind.classes and num_classes < 2:
        fail(
            f"objective {name!r}",
            expected="data with two classes or more",
            got=num_classes or "none",
            remedy="take labelled images or a conditional generator, such as fashion32-classes",
        )
    objective = kind.for_data(z_dim=z_dim, num_classes=num_classes)
    config: dict[str, Any] = {"normalize": objective.unit}
    if objective.width is not None:
        config |= {"head": "linear", "projection": objective.width}
    return objective, config
