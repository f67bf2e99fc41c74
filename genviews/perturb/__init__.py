"""Perturbations: the latents of an image to the latents of its views (`Perturbation`)."""

from genviews.perturb.base import Perturbation
from genviews.perturb.isotropic import Isotropic
from genviews.perturb.pca import PCA, PCAStatistics
from genviews.perturb.presets import from_card, paper_presets, perturbation
from genviews.perturb.stylemix import StyleMix

__all__ = [
    "PCA",
    "Isotropic",
    "PCAStatistics",
    "Perturbation",
    "StyleMix",
    "from_card",
    "paper_presets",
    "perturbation",
]
