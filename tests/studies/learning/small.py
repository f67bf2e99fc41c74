"""A study small enough for tests: toy images of 8x8 pixels, three updates, a compact encoder."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch

from genviews.augment.base import Compose
from genviews.augment.colour import ColorJitter
from genviews.augment.geometry import HorizontalFlip
from genviews.data.images import ImageSet
from genviews.evaluate.encoders import ProbeData
from genviews.generators.toy import ToyGenerator
from genviews.represent.config import RepresentationTraining
from genviews.represent.encoder import RepresentationConfig
from genviews.represent.schedule import StepCosine
from genviews.rng import Rng
from genviews.studies.learning.judge import RowResult
from genviews.studies.learning.row import LearningRow
from genviews.studies.learning.run import run_rows
from genviews.studies.learning.setting import LearningSetting

TOY = ToyGenerator()
CLASSES = ToyGenerator(num_classes=3)
PIXELS = Compose(HorizontalFlip(), ColorJitter(0.4, 0.4), name="pixels")


@cache
def images(split: str, count: int = 24, *, labelled: bool = True) -> ImageSet:
    """Toy images of three classes; no two splits share one."""
    labels = torch.arange(count) % 3
    pixels = CLASSES.synthesize(
        CLASSES.map(CLASSES.sample(Rng(5, split).streams(range(count))), labels)
    )
    return ImageSet(
        images=pixels.clamp(-1, 1),
        ids=tuple(f"{split}/{i}" for i in range(count)),
        labels=labels if labelled else None,
        class_names=("a", "b", "c") if labelled else (),
    )


@cache
def probe() -> ProbeData:
    """The splits that encoders are judged on."""
    return ProbeData(train=images("train", 60), val=images("val", 30), test=images("test", 45))


def training(updates: int) -> RepresentationTraining:
    """A record every update, a checkpoint every second one."""
    schedule = StepCosine(steps=updates, peak=0.02)
    return RepresentationTraining(schedule=schedule, log_every=1, checkpoint_every=2)


def small(**changes: object) -> LearningSetting:
    """A setting with everything that a row can ask for, but for walks and statistics."""
    fields = {
        "training": training,
        "updates": 3,
        "base": 24,
        "generator": TOY,
        "real": images("real"),
        "pixels": PIXELS,
        "encoder": RepresentationConfig(channels=1, projection=16),
        "probe": probe(),
        "batch": 8,
        "prefetch": 0,
    }
    return LearningSetting(**{**fields, **changes})


def run_row(
    row: LearningRow, setting: LearningSetting, seed: int, folder: Path, **more
) -> RowResult:
    """One row with one seed."""
    (result,) = run_rows([row], setting, [seed], folder, **more)
    return result
