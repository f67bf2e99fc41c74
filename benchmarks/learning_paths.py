"""The paths that the benchmark of learning times: ours, the plain loops, and what ours consists of.

A path is a function without arguments that trains anew and returns seconds a step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from benchmarks import plain_learning
from genviews.augment.simclr import SimCLR
from genviews.generators.base import Generator
from genviews.generators.callable import z_space
from genviews.perturb.noise import Gaussian
from genviews.represent.batches import Batches
from genviews.represent.config import RepresentationTraining
from genviews.represent.encoder import RepresentationEncoder
from genviews.represent.losses import NTXent
from genviews.represent.plan import SamplePlan
from genviews.represent.schedule import StepCosine
from genviews.represent.stored import StoredViews
from genviews.represent.stream import StreamedBatches
from genviews.represent.train import train_representation
from genviews.represent.views import LatentViews

STORED, STREAMED = "genviews, stored views", "genviews, views rendered while training"
LOADER = "a DataLoader with torchvision's transforms, one image at a time"
IN_LOOP = "rendering in the loop, torchvision's transforms one image at a time"
HALF, TORCH = ", bfloat16", ", torch's batch norm"  # endings of a path's name
ENCODER, MAKING = "encoder alone", "views alone: "
STD, AHEAD, CHUNK, SEED = 0.2, 2, 64, 0
Timing = dict[str, float]
Run = Callable[[], Timing]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What all paths share.

    Args:
        generator: renders z.
        encoder: with its first weights.
        pixels: T_x.
        batch: anchors a step.
        steps: timed steps.
        warmup: steps before them.
        threads: of torch, the most.
        bfloat16: the encoder under autocast.
    """

    generator: Generator
    encoder: RepresentationEncoder
    pixels: SimCLR
    batch: int
    steps: int
    warmup: int
    threads: int
    bfloat16: bool = False

    @property
    def views(self) -> LatentViews:
        """Anchors, each with a neighbour in z."""
        space = z_space(self.generator)
        return LatentViews(space, Gaussian("all", STD), seed=SEED, batch_size=CHUNK)

    @property
    def training(self) -> RepresentationTraining:
        """SGD with the settings of the plain loop; a record every `warmup` steps."""
        return RepresentationTraining(
            schedule=StepCosine(steps=self.warmup + self.steps, peak=plain_learning.RATE),
            momentum=plain_learning.MOMENTUM,
            weight_decay=plain_learning.DECAY,
            bfloat16=self.bfloat16,
            log_every=self.warmup,
        )

    def stored(self, folder: Path, prefetch: int) -> StreamedBatches:
        """Batches of the views in a store."""
        views = StoredViews(folder)
        plan = SamplePlan(batch_size=self.batch, num_unique=len(views))
        return StreamedBatches(views, plan, self.pixels, prefetch=prefetch)

    def streamed(self, prefetch: int) -> StreamedBatches:
        """Batches of views that are rendered, new ones each."""
        plan = SamplePlan(batch_size=self.batch)
        return StreamedBatches(self.views, plan, self.pixels, prefetch=prefetch)


class Same:
    """The same batch at every step."""

    def __init__(self, views: Tensor) -> None:
        self.views = views

    def batch(self, step: int) -> dict[str, Tensor | None]:
        """See `genviews.represent.batches.Batches`."""
        return {"views": self.views}


def time_training(setting: Setting, batches: Batches) -> Timing:
    """Seconds of a step of ours, and of these waiting, from the records after the first."""
    trained = train_representation(setting.encoder, batches, NTXent(), setting.training)
    seconds = waiting = 0.0
    for before, record in pairwise(trained.history):
        took = (record.step - before.step) * setting.batch / record.samples_per_second
        seconds += took
        waiting += record.data_share * took
    return {"seconds": seconds / setting.steps, "waiting": waiting / setting.steps}


def time_stream(setting: Setting, batches: StreamedBatches) -> Timing:
    """The same; then no thread makes batches any longer."""
    with closing(batches):
        return time_training(setting, batches)


def time_views(setting: Setting, batches: StreamedBatches) -> Timing:
    """Seconds to make a batch with nothing else running: rendering or reading, and T_x."""
    with closing(batches):
        for step in range(setting.warmup):
            batches.batch(step)
        before = batches.stats
        for step in range(setting.warmup, setting.warmup + setting.steps):
            batches.batch(step)
        after = batches.stats
    return {
        "making": (after.generation_seconds - before.generation_seconds) / setting.steps,
        "pixels": (after.pixel_seconds - before.pixel_seconds) / setting.steps,
    }


def time_loader(setting: Setting, pairs: plain_learning.Pairs, workers: int) -> Timing:
    """The plain loop over a DataLoader."""
    batches = plain_learning.load_pairs(pairs, setting.batch, workers)
    return time_plain(setting, batches)


def time_rendering_loop(setting: Setting) -> Timing:
    """The plain loop that renders each batch when it is due."""
    transform = plain_learning.image_transform(setting.pixels)
    batches = plain_learning.render_pairs(
        setting.generator, transform, setting.batch, std=STD, chunk=CHUNK
    )
    return time_plain(setting, batches)


def time_plain(setting: Setting, batches: Iterator[Tensor]) -> Timing:
    """The plain loop over batches, in the precision of the setting."""
    return plain_learning.train(
        setting.encoder, batches, setting.steps, setting.warmup, bfloat16=setting.bfloat16
    )[1]


def with_threads(count: int, run: Run) -> Run:
    """The run, with so many of torch's threads."""

    def threaded() -> Timing:
        before = torch.get_num_threads()
        torch.set_num_threads(count)
        try:
            return run()
        finally:
            torch.set_num_threads(before)

    return threaded


def training_paths(
    setting: Setting, folder: Path, pairs: plain_learning.Pairs, workers: Sequence[int]
) -> dict[str, dict[str, Run]]:
    """Ours and the plain loops, each in all its options."""
    half = replace(setting, bfloat16=True)
    torchs = replace(setting, encoder=plain_learning.layers_of_torch(setting.encoder))
    plain = {
        STORED: _ours(lambda n: time_stream(setting, setting.stored(folder, n))),
        STORED + HALF: _ours(lambda n: time_stream(half, half.stored(folder, n))),
        LOADER: _loaders(setting, pairs, workers),
        LOADER + HALF: _loaders(half, pairs, workers),
        LOADER + TORCH: _loaders(torchs, pairs, workers),
        STREAMED: _ours(lambda n: time_stream(setting, setting.streamed(n))),
        STREAMED + HALF: _ours(lambda n: time_stream(half, half.streamed(n))),
        IN_LOOP: {"": lambda: time_rendering_loop(setting)},
        IN_LOOP + HALF: {"": lambda: time_rendering_loop(half)},
        IN_LOOP + TORCH: {"": lambda: time_rendering_loop(torchs)},
    }
    return {
        name: {
            f"{option}threads {threads}": with_threads(threads, run)
            for option, run in options.items()
            for threads in range(1, setting.threads + 1)
        }
        for name, options in plain.items()
    }


def _ours(run: Callable[[int], Timing]) -> dict[str, Run]:
    """Views made in the training's own thread, or ahead of it in another."""
    return {f"prefetch {ahead}, ": partial(run, ahead) for ahead in (0, AHEAD)}


def _loaders(
    setting: Setting, pairs: plain_learning.Pairs, workers: Sequence[int]
) -> dict[str, Run]:
    return {f"workers {n}, ": partial(time_loader, setting, pairs, n) for n in workers}


def part_paths(setting: Setting, folder: Path) -> dict[str, Run]:
    """What ours consists of, each alone."""
    ready = setting.stored(folder, prefetch=0).batch(0)["views"]
    assert ready is not None
    half = replace(setting, bfloat16=True)
    return {
        ENCODER: lambda: time_training(setting, Same(ready)),
        ENCODER + HALF: lambda: time_training(half, Same(ready)),
        MAKING + STORED: lambda: time_views(setting, setting.stored(folder, prefetch=0)),
        MAKING + STREAMED: lambda: time_views(setting, setting.streamed(prefetch=0)),
    }
