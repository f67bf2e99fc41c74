"""Perturbations: the latents of an image to the latents of its views (`Perturbation`)."""

from genviews.perturb.base import Perturbation
from genviews.perturb.independent import Independent
from genviews.perturb.isotropic import Isotropic
from genviews.perturb.noise import Normal
from genviews.perturb.pca import PCA, PCAStatistics
from genviews.perturb.presets import perturbation, perturbations
from genviews.perturb.steer import Steer
from genviews.perturb.stylemix import StyleMix
from genviews.perturb.walk import Angular, Gaussian, Uniform
from genviews.perturb.walks import Walks, target_panel, walk_panel

__all__ = [
    "PCA",
    "Angular",
    "Gaussian",
    "Independent",
    "Isotropic",
    "Normal",
    "PCAStatistics",
    "Perturbation",
    "Steer",
    "StyleMix",
    "Uniform",
    "Walks",
    "perturbation",
    "perturbations",
    "target_panel",
    "walk_panel",
]
