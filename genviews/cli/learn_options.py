"""The flags of the learning arrow's verbs: learn, probe and study.

A field is a flag, and its line under `Args` is the flag's help, as in `genviews.cli.options`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Group, Parameter

from genviews.cli.options import Flag
from genviews.studies.learning.options import TrainingOptions

__all__ = [
    "KitInputs",
    "LearnInputs",
    "LearnOptions",
    "ObjectiveName",
    "ProbeOptions",
    "TrainingFlags",
    "VOCOptions",
]

_INPUT = Group("Input", sort_key=1)
_VIEWS = Group("Views and objective", sort_key=2)
_PROBE = Group("Probe", sort_key=2)
_TRAINING = Group("Training", sort_key=2.5)
_VOC = Group("PASCAL VOC", sort_key=2.7)

TrainingFlags = Annotated[TrainingOptions, Parameter(name="*", group=_TRAINING)]

ObjectiveName = Literal[
    "nt-xent", "supcon", "multi-positive", "decoupled", "vicreg", "inverter", "classifier"
]


@Parameter(name="*", group=_INPUT)
@dataclass(frozen=True, kw_only=True)
class KitInputs:
    """The generator.

    Args:
        generator: fashion32 or fashion32-classes (ship with genviews), a StyleGAN2 .safetensors
            file with its config in a .json file of the same name, or package.module:function that
            turns z into images. Without it: real images alone.
        walks: Latent walks for steered views (.safetensors). Without it: those of fashion32, or
            none.
        z_dim: Width of z, for a generator that is package.module:function.
    """

    generator: str | None = None
    walks: Path | None = None
    z_dim: int | None = None


@Parameter(name="*", group=_INPUT)
@dataclass(frozen=True, kw_only=True)
class LearnInputs(KitInputs):
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
        resize: Crop and shrink larger images to that size instead of leaving them out.
        convert: Convert colours and transparency instead of leaving such images out.
    """

    real: str | None = None
    data: str | None = None
    size: int | None = None
    resize: Flag = False
    convert: Flag = False


@Parameter(name="*", group=_VIEWS)
@dataclass(frozen=True, kw_only=True)
class LearnOptions:
    """What one encoder is shown, and what it is asked.

    Args:
        out: Folder for the results; made if missing.
        views: Latent views of generated samples, such as gaussian_all_0.20, steer_all_1.00,
            independent_all or stylemix_fine; none shows the sample itself. Without it:
            gaussian_all_0.20 for generated samples alone, none in a mix and for objectives that
            look at one view.
        space: Where latent views are made: z (before the mapping, as in the paper) or own (the
            generator's own latents, which style-mixing needs).
        share: Part of generated samples in a mix with real images, from 0 to 1; for --generator
            together with --real.
        objective: What is learnt: nt-xent (SimCLR), supcon and classifier (need classes),
            multi-positive, decoupled, vicreg, or inverter (predicts z).
        positives: Views beside each sample.
        pool: Different views of each sample, of which --positives are seen at a time. Without it:
            always the same.
        seed: Seed of first weights, order and pixel views.
    """

    out: Path = Path("runs/learn")
    views: str | None = None
    space: Literal["z", "own"] = "z"
    share: float | None = None
    objective: ObjectiveName = "nt-xent"
    positives: int = 1
    pool: int | None = None
    seed: int = 0


@Parameter(name="*", group=_VOC)
@dataclass(frozen=True, kw_only=True)
class VOCOptions:
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
    detection: Flag = False
    detection_steps: int | None = None


@Parameter(name="*", group=_PROBE)
@dataclass(frozen=True, kw_only=True)
class ProbeOptions:
    """Which encoder to judge, and on what.

    Args:
        encoder: Encoder that genviews wrote (.safetensors).
        data: Labelled images, as for learn: a folder (one subfolder a class), a CSV or JSON file, a
            data set or fashion32. Probes are fitted on the split train, their settings chosen on
            val, reported on test; what is missing is cut off.
        out: Folder for the results; made if missing.
        size: Height and width of the images in pixels. Without it: those that the encoder was
            trained with, if its file says so.
        resize: Crop and shrink larger images to that size instead of leaving them out.
        convert: Convert colours and transparency instead of leaving such images out.
    """

    encoder: Path
    data: str
    out: Path = Path("runs/probe")
    size: int | None = None
    resize: Flag = False
    convert: Flag = False
