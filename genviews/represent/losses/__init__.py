"""Objectives of the learning arrow, by what they compare a view with.

NTXent, SupCon, MultiPositive, Decoupled   other views: some attract, the rest repel
VICReg                                     other views, without negatives
LatentPrediction, ClassPrediction          what the generator was given

`choose_objective` makes them by name.
"""

from __future__ import annotations

from genviews.represent.losses.base import Objective
from genviews.represent.losses.choose import OBJECTIVES, choose_objective
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
