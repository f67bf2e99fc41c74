"""What may be set of learning studies: how encoders are trained, and which rows are compared."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar

from genviews.checks import check_count, check_fraction, check_number, fail, for_flag, lookup
from genviews.studies.options import Options

__all__ = [
    "LearnOptions",
    "LearningOptions",
    "PanelOptions",
    "RowOptions",
    "TrainingOptions",
]

Own = TypeVar("Own", bound="TrainingOptions")

# A later run may take more rows, seeds and samples and go on: each row and seed is kept by itself.
GROWS = {"identity": False}


@dataclass(frozen=True, kw_only=True)
class TrainingOptions(Options):
    """How encoders are trained; the defaults suit a CPU.

    Args:
        pixels: Pixel views T_x, by name, such as fashion32/simclr-weak or genrep/train, or none.
            Without it: those of SimCLR, as large as the images, or 112 pixels of 128 and more. Rows
            without T_x see the central square of that size.
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
    batch: int = field(default=256, metadata={"least": 2})
    backbone: str | None = None
    stem: Literal["imagenet", "small"] | None = None
    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: float | None = None
    bfloat16: bool = False
    stream: bool = False

    def check(self) -> None:
        """Find numbers out of range and unknown names.

        Raises:
            ValueError: a count below 1, fewer samples than a batch, an unknown backbone or unknown
                pixel views; the closest names are listed.
            ImportError: a network of timm where timm is not installed.
        """
        # These load torch, which the flags alone do not need.
        from genviews.augment.presets import pixel_views
        from genviews.represent.encoder import make_backbone

        super().check()
        if self.samples is not None:
            remedy = "raise it, or lower --batch: a batch shows no sample twice"
            check_count(self.samples, "--samples", least=self.batch, remedy=remedy)
        if self.lr is not None:
            check_number(self.lr, "--lr", above=0, remedy="0.03 is the paper's")
        if self.backbone is not None:
            make_backbone(self.backbone, channels=3, stem=self.stem or "imagenet")
        if self.pixels not in (None, "none"):
            with for_flag("--pixels"):
                pixel_views(str(self.pixels))

    def quick(self: Own) -> Own:
        """Two updates of six samples."""
        return replace(self, updates=2, batch=6, samples=64)


@dataclass(frozen=True, kw_only=True)
class LearnOptions(TrainingOptions):
    """What one encoder is shown, and what it is asked.

    Args:
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
        seed: Seed of samples, subsets, first weights, order and pixel views.
    """

    views: str | None = None
    space: Literal["z", "own"] = "z"
    share: float | None = None
    objective: str = "nt-xent"
    positives: int = 1
    pool: int | None = None
    seed: int = field(default=0, metadata={"least": 0})

    def check(self) -> None:
        """Find numbers out of range, and an unknown objective or kind of views.

        Raises:
            ValueError: one of them; the closest names are listed.
        """
        # These load torch, which the flags alone do not need.
        from genviews.perturb.base import lacks_strength
        from genviews.represent.losses import OBJECTIVES

        lookup(self.objective, OBJECTIVES, "--objective")
        if self.views not in (None, "none"):
            with for_flag("--views"):
                lacks_strength(str(self.views))
        if self.share is not None:
            check_fraction(self.share, "--share")
        if self.pool is not None:
            check_count(self.pool, "--pool", least=self.positives)
        super().check()


@dataclass(frozen=True, kw_only=True)
class RowOptions(Options):
    """Which rows there are, and how strong their views are.

    Args:
        rows: Row to take, by its name, such as "real + T_x". Repeat the flag. Without it: all.
        std: Deviation of the Gaussian step in z, with at most two decimals.
        steer: Strength of steered views; 0 leaves their rows out.
        mix: Rows of the latent that style-mixing replaces, such as fine; none leaves style-mixing
            out. Without it: fine, where the generator has it.
        show: Sample in the picture of views, by its number. Repeat the flag. Without it: 0 to 5.
    """

    rows: tuple[str, ...] | None = field(default=None, metadata=GROWS)
    std: float = 0.2
    steer: float = 1.0
    mix: str | None = None
    show: tuple[int, ...] | None = field(default=None, metadata=GROWS)

    def check(self) -> None:
        """Find strengths and samples out of range.

        Raises:
            ValueError: what is named in a row by two decimals has more, or is out of its range.
        """
        super().check()
        _check_decimals(self.std, "--std and --sweep", 0.01, "round it")
        steps = "1 draws the steps of the walks' training, 0 leaves the rows out"
        _check_decimals(self.steer, "--steer", 0, steps)
        for sample in self.show or ():
            check_count(sample, "--show", least=0)


def _check_decimals(value: float, what: str, least: float, remedy: str) -> None:
    """Raise ValueError for what two decimals cannot name: a row has the strength in its name."""
    if not least <= value < math.inf or round(value, 2) != value:
        expected = f"at least {least:g}, with at most two decimals"
        fail(what, expected=expected, got=value, remedy=remedy)


@dataclass(frozen=True, kw_only=True)
class PanelOptions(RowOptions):
    """What a picture of views shows.

    Args:
        pixels: Pixel views T_x, by name, such as fashion32/simclr-weak or genrep/train, or none.
            Without it: those of SimCLR, as large as the images, or 112 pixels of 128 and more.
    """

    pixels: str | None = None


@dataclass(frozen=True, kw_only=True)
class LearningOptions(TrainingOptions, RowOptions):
    """What a table of encoders compares.

    Args:
        seeds: Encoders of each row; more seeds can be added later.
        sweep: Deviation of figure5. Repeat the flag. Without it: 0.05, 0.1, 0.2, 0.3 and 0.4.
    """

    seeds: int = field(default=3, metadata=GROWS)
    sweep: tuple[float, ...] | None = None

    def check(self) -> None:
        """Find numbers out of range."""
        super().check()
        for std in self.sweep or ():
            _check_decimals(std, "--std and --sweep", 0.01, "round it")

    def quick(self) -> LearningOptions:
        """Two updates of six samples, one seed."""
        return replace(super().quick(), seeds=1)
