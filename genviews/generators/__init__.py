"""Generators: the image models the views come from, behind one protocol (`Generator`)."""

from genviews.generators.base import Generator
from genviews.generators.callable import CallableGenerator, load_callable, z_space
from genviews.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from genviews.generators.toy import ToyGenerator

__all__ = [
    "CallableGenerator",
    "Generator",
    "StyleGAN2",
    "StyleGAN2Config",
    "ToyGenerator",
    "load_callable",
    "z_space",
]
