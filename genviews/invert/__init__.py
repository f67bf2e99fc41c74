"""Inversion: images to the latents that reproduce them (see `genviews.invert.optimize`)."""

from genviews.invert.encoder import EncoderConfig, InversionEncoder
from genviews.invert.features import (
    Feature,
    FeatureDistance,
    ModuleFeatures,
    Predictions,
    ReEncode,
    ToEncoder,
)
from genviews.invert.inverter import (
    PRESETS,
    Inverter,
    default_objective,
    in_domain_objective,
    inverter_preset,
    paper_objective,
    reference_objective,
)
from genviews.invert.job import InversionStore, inversion_identity, invert_source
from genviews.invert.lbfgs import LBFGS
from genviews.invert.objective import L1, L2, Objective, Target, Term, ToStart
from genviews.invert.optimize import bytes_per_image, fitting_batch, invert
from genviews.invert.optimizer import Adam, Optimizer, State
from genviews.invert.perceptual import LPIPS
from genviews.invert.start import (
    ClassMeanStart,
    EncoderStart,
    GivenStart,
    MeanStart,
    Start,
    Starts,
    class_means,
)
from genviews.invert.train import EncoderTraining, train_encoder

__all__ = [
    "Adam",
    "ClassMeanStart",
    "EncoderConfig",
    "EncoderStart",
    "EncoderTraining",
    "Feature",
    "FeatureDistance",
    "GivenStart",
    "InversionEncoder",
    "InversionStore",
    "Inverter",
    "L1",
    "L2",
    "LBFGS",
    "LPIPS",
    "MeanStart",
    "ModuleFeatures",
    "Objective",
    "Optimizer",
    "PRESETS",
    "Predictions",
    "ReEncode",
    "Start",
    "Starts",
    "State",
    "Target",
    "Term",
    "ToEncoder",
    "ToStart",
    "bytes_per_image",
    "class_means",
    "default_objective",
    "fitting_batch",
    "in_domain_objective",
    "inversion_identity",
    "inverter_preset",
    "invert",
    "invert_source",
    "paper_objective",
    "reference_objective",
    "train_encoder",
]
