"""Inversion: images to the latents that reproduce them (see `genviews.invert.optimize`)."""

from genviews.invert.encoder import EncoderConfig, InversionEncoder
from genviews.invert.objective import FeatureDistance, Objective
from genviews.invert.optimize import Inverter, invert
from genviews.invert.train import EncoderTraining, train_encoder

__all__ = [
    "EncoderConfig",
    "EncoderTraining",
    "FeatureDistance",
    "InversionEncoder",
    "Inverter",
    "Objective",
    "invert",
    "train_encoder",
]
