"""Flags of the learning arrow: what to learn from, how, and what encoders are judged on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Group, Parameter

from genviews.checks import lookup
from genviews.cli.flags import (
    INPUT,
    OF_FUNCTION,  # noqa: F401 (fields that KitFlags inherits name both, which are looked up here)
    OF_RANGE,  # noqa: F401 (the same)
    STUDY,
    FitFlags,
    FunctionFlags,
)
from genviews.studies.learning.options import LearnOptions

__all__ = ["DataFlags", "KitFlags", "LearnFlags", "ObjectiveFlags", "ProbeFlags", "VOCFlags"]

_VOC = Group("PASCAL VOC", sort_key=2.7)


def _check_objective(kind: object, options: LearnOptions) -> None:
    from genviews.represent.losses import OBJECTIVES  # loads torch, which help does not need

    lookup(options.objective, OBJECTIVES, "--objective")


ObjectiveFlags = Annotated[
    LearnOptions, Parameter(name="*", group=STUDY, validator=_check_objective)
]


@Parameter(name="*", group=INPUT)
@dataclass(frozen=True, kw_only=True)
class KitFlags(FunctionFlags):
    """The generator.

    Args:
        generator: fashion32 or fashion32-classes (ship with genviews), a file of one, a folder of
            diffusers or a name of genviews generator get (docs/generators.md says which), or
            package.module:function that turns z into images. Nothing but training on real images
            alone does without it.
        walks: Latent walks for steered views (.safetensors). Without it: those of fashion32, or
            none.
    """

    generator: str | None = None
    walks: Path | None = None


@Parameter(name="*", group=INPUT)
@dataclass(frozen=True, kw_only=True)
class DataFlags(FitFlags):
    """How labelled images are read that encoders are judged on.

    Args:
        label_column: Column of a table that has the labels of --data. Without it: label.
        split_seed: Seed that cuts off splits that are missing.
    """

    label_column: str | None = None
    split_seed: int = 0


@Parameter(name="*", group=INPUT)
@dataclass(frozen=True, kw_only=True)
class LearnFlags(KitFlags, DataFlags):
    """What to learn from, and what to judge on.

    Args:
        real: Real images to train on: a folder (subfolders are classes), a CSV file with a column
            file, a store of images, torchvision:FashionMNIST:FOLDER:train, package.module:function
            that returns such a data set, or fashion32 (the 55,000 training images of
            Fashion-MNIST).
        data: Labelled images to judge encoders on: a folder (one subfolder a class), a CSV or JSON
            file with the columns file and label, a data set, or fashion32 (20,000, 5,000 and 10,000
            images of Fashion-MNIST). Splits train, val and test that are there are used; what is
            missing is cut off.
        size: Height and width of the images in pixels, where there is no generator. Without it:
            those of the first real image.
    """

    real: str | None = None
    data: str | None = None
    size: int | None = None


@Parameter(name="*", group=_VOC)
@dataclass(frozen=True, kw_only=True)
class VOCFlags:
    """What encoders are judged on beside their own images; can be added to a study that is there.

    Args:
        voc: Folder VOCdevkit or VOC2007: judge every encoder by VOC07 classification as well, with
            an SVM for each class. Grey encoders are shown grey photos.
        voc_protocol: What SVMs are fitted to and scored on: authors (train, val) or usual
            (trainval, test).
        voc_size: Short side and central square of the photos, in pixels.
        detection: Also fine-tune a Faster R-CNN around every encoder, as in the paper: for resnets
            with --stem imagenet, on colour images; hours on a GPU each.
        detection_steps: Steps of the fine-tuning. Without it: 24,000.
    """

    voc: Path | None = None
    voc_protocol: Literal["authors", "usual"] = "authors"
    voc_size: int = 224
    detection: bool = False
    detection_steps: int | None = None


@Parameter(name="*", group=INPUT)
@dataclass(frozen=True, kw_only=True)
class ProbeFlags(DataFlags):
    """Which encoder to judge, and on what.

    Args:
        encoder: Encoder that genviews wrote (.safetensors).
        data: Labelled images, as for learn: a folder (one subfolder a class), a CSV or JSON file, a
            data set or fashion32. Probes are fitted on the split train, their settings chosen on
            val, reported on test; what is missing is cut off.
        size: Height and width of the images in pixels. Without it: those that the encoder was
            trained with, if its file says so.
    """

    encoder: Path
    data: str
    size: int | None = None
