"""The flags of the learning arrow's verbs: learn, probe and study.

A field is a flag, and its line under `Args` is the flag's help, as in `genviews.cli.options`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Group, Parameter

from genviews.cli.options import Flag

__all__ = [
    "SHOWN",
    "LearnInputs",
    "LearnOptions",
    "ObjectiveName",
    "ProbeOptions",
    "TableArgument",
    "TableName",
    "TableOptions",
    "TrainingOptions",
    "VOCOptions",
]

SHOWN = (0, 1, 2, 3, 4, 5)  # samples in a picture of views, where --show names none

_INPUT = Group("Input", sort_key=1)
_VIEWS = Group("Views and objective", sort_key=2)
_TABLE = Group("Table", sort_key=2)
_PROBE = Group("Probe", sort_key=2)
_TRAINING = Group("Training", sort_key=2.5)
_VOC = Group("PASCAL VOC", sort_key=2.7)

# Written out, since what they name loads torch; a test compares both.
TableName = Literal[
    "table1",
    "table2",
    "table3",
    "table4",
    "table5",
    "table6",
    "figure4",
    "figure5",
    "figure6",
    "figure7",
    "figure8",
    "figure9",
    "figure10",
    "figure11",
    "training-time",
    "pool",
    "objectives",
]
TableArgument = Annotated[
    TableName,
    Parameter(
        help="Table or figure of the paper (Jahanian et al. 2022), or one of ours. Figures 4, 7, "
        "10 and 11 are pictures of views: they need --generator alone and take seconds."
    ),
]
ObjectiveName = Literal[
    "nt-xent", "supcon", "multi-positive", "decoupled", "vicreg", "inverter", "classifier"
]


@Parameter(name="*", group=_INPUT)
@dataclass(frozen=True, kw_only=True)
class LearnInputs:
    """What to learn from, and what to judge on.

    Args:
        generator: fashion32 or fashion32-classes (ship with genviews), a StyleGAN2 .safetensors
            file with its config in a .json file of the same name, or package.module:function that
            turns z into images. Without it: real images alone.
        real: Real images to train on: a folder (subfolders are classes), a CSV file with a column
            file, a store of images, torchvision:FashionMNIST:FOLDER:train, package.module:function
            that returns such a data set, or fashion32 (the 55,000 training images of
            Fashion-MNIST).
        data: Labelled images to judge encoders on: a folder (one subfolder a class), a CSV or JSON
            file with the columns file and label, a data set, or fashion32 (20,000, 5,000 and 10,000
            images of Fashion-MNIST). Splits train, val and test that are there are used; what is
            missing is cut off.
        walks: Latent walks for steered views (.safetensors). Without it: those of fashion32, or
            none.
        z_dim: Width of z, for a generator that is package.module:function.
        size: Height and width of the images in pixels, where there is no generator. Without it:
            those of the first real image.
        resize: Crop and shrink larger images to that size instead of leaving them out.
        convert: Convert colours and transparency instead of leaving such images out.
    """

    generator: str | None = None
    real: str | None = None
    data: str | None = None
    walks: Path | None = None
    z_dim: int | None = None
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


@Parameter(name="*", group=_TABLE)
@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """Which rows of a table, and how strong their views are.

    Args:
        out: Folder for the results; made if missing.
        work: Folder of encoders and stored views, which tables may share: an encoder that two ask
            for is learnt once. Without it: in the folder of the results.
        rows: Row to run, by its name, such as "real + T_x". Repeat the flag. Without it: all.
        seeds: Encoders of each row; more seeds can be added later.
        std: Deviation of the Gaussian step in z, with at most two decimals.
        sweep: Deviation of figure5. Repeat the flag. Without it: 0.05, 0.1, 0.2, 0.3 and 0.4.
        steer: Strength of steered views; 0 leaves their rows out.
        mix: Rows of the latent that style-mixing replaces, such as fine; none leaves style-mixing
            out. Without it: fine, where the generator has it.
        show: Sample in the picture of views, by its number. Repeat the flag. Without it: 0 to 5.
    """

    out: Path = Path("runs/study")
    work: Path | None = None
    rows: tuple[str, ...] | None = None
    seeds: int = 3
    std: float = 0.2
    sweep: tuple[float, ...] | None = None
    steer: float = 1.0
    mix: str | None = None
    show: tuple[int, ...] | None = None


@Parameter(name="*", group=_TRAINING)
@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How encoders are trained; the defaults suit a CPU.

    Args:
        pixels: Pixel views T_x, by name, such as fashion32/simclr-weak or genrep/train, or none.
            Without it: those of SimCLR at the size of the images.
        samples: Unique samples to learn from. Without it: as many as there are real images, or else
            20,000.
        updates: Steps of the optimiser.
        batch: Samples a step; each is seen with its views.
        backbone: compact, resnet18, resnet34, resnet50, resnet101, or timm:NAME. Without it:
            compact up to 64 pixels, resnet50 above.
        stem: First layers of a ResNet: imagenet, or small, for small images. Without it: small up
            to 64 pixels.
        optimizer: sgd (momentum 0.9, weight decay 1e-4) or adamw (0.05).
        lr: Highest learning rate, of a cosine. Without it: 0.03 for sgd, as in the paper, 0.001 for
            adamw.
        bfloat16: Compute the encoder in bfloat16 where that is safe (mixed precision): faster on
            most processors and GPUs; weights and loss stay in 32 bits.
        stream: Render views while training, instead of once into the run folder; the views are the
            same but for the 8 bits of stored ones.
    """

    pixels: str | None = None
    samples: int | None = None
    updates: int = 350
    batch: int = 256
    backbone: str | None = None
    stem: Literal["imagenet", "small"] | None = None
    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: float | None = None
    bfloat16: Flag = False
    stream: Flag = False


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
