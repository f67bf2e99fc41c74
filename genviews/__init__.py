"""Views of an image from a generative model: for test-time ensembling, and for learning.

A view is `render(perturb(latent))`. The test-time arrow gets the latent by inverting an image:

    image -> invert -> latent -> perturb -> render -> classify -> weigh -> prediction

The learning arrow samples it:

    prior -> sample -> latent -> perturb -> render -> augment -> encode -> representation

Read `genviews.pipeline` first; for learning `genviews.represent.views`. The public names stand in
the order of the arrows. Each is imported when it is first used: `import genviews` loads no torch,
reads no file and draws no random number.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the same names as _PUBLIC, for type checkers and editors
    from genviews.augment.simclr import SimCLR
    from genviews.classify.model import Classifier
    from genviews.ensemble.bank import PredictionBank
    from genviews.ensemble.weigh import Ensemble
    from genviews.evaluate.extractor import FeatureExtractor
    from genviews.evaluate.linear import LinearProbe
    from genviews.evaluate.probe import KNNProbe
    from genviews.generators.base import Generator
    from genviews.generators.callable import CallableGenerator, z_space
    from genviews.generators.stylegan2 import StyleGAN2, StyleGAN2Config
    from genviews.generators.toy import ToyGenerator
    from genviews.invert import invert
    from genviews.invert.encoder import InversionEncoder
    from genviews.invert.inverter import Inverter
    from genviews.kit import GeneratorKit
    from genviews.load.classifier import load_classifier
    from genviews.load.encoder import load_encoder
    from genviews.load.generator import load_generator
    from genviews.load.images import load_images
    from genviews.load.splits import load_splits
    from genviews.perturb.noise import Gaussian, Isotropic
    from genviews.perturb.pca import PCA, PCAStatistics
    from genviews.perturb.stylemix import StyleMix
    from genviews.perturb.walks import Steer
    from genviews.pipeline import GenerativeTTA
    from genviews.render import render
    from genviews.represent.config import RepresentationTraining
    from genviews.represent.encoder import RepresentationConfig, RepresentationEncoder
    from genviews.represent.plan import SamplePlan
    from genviews.represent.prior import Prior
    from genviews.represent.real import RealViews
    from genviews.represent.stream import StreamedBatches
    from genviews.represent.train import train_representation
    from genviews.represent.views import LatentViews
    from genviews.rng import Rng
    from genviews.types import ImageSpec

__version__ = "0.1.0"

__all__ = [
    "GenerativeTTA",
    "load_generator",
    "load_classifier",
    "load_encoder",
    "load_images",
    "load_splits",
    "GeneratorKit",
    "Rng",
    "ImageSpec",
    "Generator",
    "StyleGAN2",
    "StyleGAN2Config",
    "ToyGenerator",
    "CallableGenerator",
    "InversionEncoder",
    "Inverter",
    "invert",
    "Isotropic",
    "PCA",
    "PCAStatistics",
    "StyleMix",
    "render",
    "Classifier",
    "PredictionBank",
    "Ensemble",
    "z_space",
    "Prior",
    "Gaussian",
    "Steer",
    "SimCLR",
    "LatentViews",
    "RealViews",
    "StreamedBatches",
    "SamplePlan",
    "RepresentationConfig",
    "RepresentationEncoder",
    "RepresentationTraining",
    "train_representation",
    "FeatureExtractor",
    "LinearProbe",
    "KNNProbe",
]

# Public name -> the module that defines it (":name" where it is called otherwise there). Two name
# a module of this package as well: that module, which may be called as its function.
_PUBLIC = {
    "GenerativeTTA": "genviews.pipeline",
    "load_generator": "genviews.load.generator",
    "load_classifier": "genviews.load.classifier",
    "load_encoder": "genviews.load.encoder",
    "load_images": "genviews.load.images",
    "load_splits": "genviews.load.splits",
    "GeneratorKit": "genviews.kit",
    "Rng": "genviews.rng",
    "ImageSpec": "genviews.types",
    "Generator": "genviews.generators.base",
    "StyleGAN2": "genviews.generators.stylegan2",
    "StyleGAN2Config": "genviews.generators.stylegan2",
    "ToyGenerator": "genviews.generators.toy",
    "CallableGenerator": "genviews.generators.callable",
    "InversionEncoder": "genviews.invert.encoder",
    "Inverter": "genviews.invert.inverter",
    "invert": "genviews.invert",
    "Isotropic": "genviews.perturb.noise",
    "PCA": "genviews.perturb.pca",
    "PCAStatistics": "genviews.perturb.pca",
    "StyleMix": "genviews.perturb.stylemix",
    "render": "genviews.render",
    "Classifier": "genviews.classify.model",
    "PredictionBank": "genviews.ensemble.bank",
    "Ensemble": "genviews.ensemble.weigh",
    "z_space": "genviews.generators.callable",
    "Prior": "genviews.represent.prior",
    "Gaussian": "genviews.perturb.noise",
    "Steer": "genviews.perturb.walks",
    "SimCLR": "genviews.augment.simclr",
    "LatentViews": "genviews.represent.views",
    "RealViews": "genviews.represent.real",
    "StreamedBatches": "genviews.represent.stream",
    "SamplePlan": "genviews.represent.plan",
    "RepresentationConfig": "genviews.represent.encoder",
    "RepresentationEncoder": "genviews.represent.encoder",
    "RepresentationTraining": "genviews.represent.config",
    "train_representation": "genviews.represent.train",
    "FeatureExtractor": "genviews.evaluate.extractor",
    "LinearProbe": "genviews.evaluate.linear",
    "KNNProbe": "genviews.evaluate.probe",
}


def __getattr__(name: str) -> object:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _PUBLIC[name].partition(":")
    if module == f"{__name__}.{name}":
        return import_module(module)
    value = getattr(import_module(module), attribute or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
