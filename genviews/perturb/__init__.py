"""Perturbations: the latents of an image to the latents of its views (`Perturbation`)."""

from genviews.perturb.base import Perturbation, perturbation, perturbations
from genviews.perturb.noise import Angular, Gaussian, Isotropic, Normal, Uniform
from genviews.perturb.pca import PCA, PCAStatistics
from genviews.perturb.stylemix import Independent, StyleMix
from genviews.perturb.walks import Steer, Walks

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
]
