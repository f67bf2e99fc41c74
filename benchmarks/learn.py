"""Learning from views: anchors a second of our training step against a plain PyTorch loop.

    python -m benchmarks.learn

Same generator (fashion32), compact encoder, batch, views (a neighbour in z, then crop, flip and
jitter), NT-Xent and SGD for all. Before any timing, losses and pixel views are compared with
independent ones; a difference stops the run. Two pairs, each with its own baseline:

    stored      views in a store, T_x batched   | 8-bit pairs in memory, a DataLoader that applies
                                                | torchvision's transforms to one image at a time
    streamed    views rendered while training,  | rendering in the loop when the batch is due, then
                two batches ahead               | torchvision's transforms, one image at a time

The DataLoader gets the fastest of 0, 1 and 2 workers with the fastest number of threads, of a trial
before. Every path begins anew in each repeat, warms up, and goes on making batches past the last
timed step. Paths take turns; medians are quoted.

"waiting" is measured on both of ours. Parts of the time of a step, with v the time to make a batch
of views with nothing else running, r the part of v that renders (0 for stored views, which are
read) and e the time of a step on a batch that is there:

    share               waiting for views / wall
    beyond_rendering    max(0, waiting - r) / wall: what rendering, even if nothing overlapped with
                        it, does not explain
    beyond_the_slower   (wall - max(v, e)) / wall: above 0 where both want the same cores
    beyond_the_sum      (wall - v - e) / wall: below 0 where they overlap, above 0 what is lost

"pixel_views" has T_x alone, by `benchmarks.augment`. torchvision v2 is applied to one tensor at a
time there: on a whole batch it draws one parameter for all images, which is another law and is
timed only to be seen beside.

About 4 minutes on 2 idle cores. Writes results/benchmarks/learn.json.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import augment, plain_learning
from genviews.augment import SimCLR, pixel_views
from genviews.files import write_json
from genviews.generators import Generator
from genviews.generators.zspace import z_space
from genviews.memory import keep_freed_memory
from genviews.perturb import Gaussian
from genviews.represent.batches import Batches
from genviews.represent.config import RepresentationTraining
from genviews.represent.encoder import RepresentationConfig, RepresentationEncoder
from genviews.represent.generate import write_views
from genviews.represent.losses import NTXent
from genviews.represent.plan import SamplePlan
from genviews.represent.schedule import StepCosine
from genviews.represent.stored import StoredViews
from genviews.represent.streamed import StreamedBatches
from genviews.represent.train import train_representation
from genviews.represent.views import LatentViews
from genviews.zoo import load
from recipes.run_folder import environment

RESULT = Path("results/benchmarks/learn.json")
STORED, STREAMED = "genviews, stored views", "genviews, views rendered while training"
LOADER = "a DataLoader with torchvision's transforms, one image at a time"
IN_LOOP = "rendering in the loop, torchvision's transforms one image at a time"
ENCODER, MAKING = "encoder alone", "views alone: "
SHARED = "torchvision v2, one parameter for the whole batch: another law"
PIXELS, STD, AHEAD, CHUNK, SEED = "fashion32/simclr", 0.2, 2, 64, 0
SPARE = 4  # batches that a DataLoader with two workers makes ahead, so many more than are timed
TOLERANCE = 1e-5
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
        threads: of torch.
    """

    generator: Generator
    encoder: RepresentationEncoder
    pixels: SimCLR
    batch: int
    steps: int
    warmup: int
    threads: int

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
            log_every=self.warmup,
        )

    def stored(self, folder: Path, prefetch: int = AHEAD) -> StreamedBatches:
        """Batches of the views in a store."""
        views = StoredViews(folder)
        plan = SamplePlan(batch_size=self.batch, num_unique=len(views))
        return StreamedBatches(views, plan, self.pixels, prefetch=prefetch)

    def streamed(self, prefetch: int = AHEAD) -> StreamedBatches:
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


def time_views(setting: Setting, batches: StreamedBatches) -> Timing:
    """Seconds to make a batch with nothing else running: rendering or reading, and T_x."""
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


def closing(run: Callable[[Setting, StreamedBatches], Timing]) -> Callable[..., Timing]:
    """The run, after which no thread makes batches any longer."""

    def closed(setting: Setting, batches: StreamedBatches) -> Timing:
        try:
            return run(setting, batches)
        finally:
            batches.close()

    return closed


def time_loader(
    setting: Setting, pairs: plain_learning.Pairs, workers: int, threads: int
) -> Timing:
    """The plain loop with so many workers and threads."""
    torch.set_num_threads(threads)
    batches = plain_learning.load_pairs(pairs, setting.batch, workers)
    timing = plain_learning.train(setting.encoder, batches, setting.steps, setting.warmup)[1]
    torch.set_num_threads(setting.threads)
    return timing


def time_rendering_loop(setting: Setting) -> Timing:
    """The plain loop that renders each batch when it is due."""
    transform = plain_learning.image_transform(setting.pixels)
    batches = plain_learning.render_pairs(
        setting.generator, transform, setting.batch, std=STD, chunk=CHUNK
    )
    return plain_learning.train(setting.encoder, batches, setting.steps, setting.warmup)[1]


def choose_loader(
    setting: Setting, pairs: plain_learning.Pairs, workers: Sequence[int]
) -> dict[tuple[int, int], float]:
    """Seconds a step by (workers, threads), the fastest first."""
    trial = {
        (count, threads): time_loader(setting, pairs, count, threads)["seconds"]
        for count in workers
        for threads in range(1, setting.threads + 1)
    }
    return dict(sorted(trial.items(), key=lambda item: item[1]))


def check_equal(setting: Setting, views: Tensor) -> dict[str, float]:
    """Differences of our loss and our pixel views from independent ones.

    Raises:
        SystemExit: one is not small, so that speeds would compare different work.
    """
    with torch.no_grad():
        u = setting.encoder.project(setting.encoder(views))
    loss = abs(float(NTXent()(u) - plain_learning.nt_xent(u)))
    if not loss <= TOLERANCE:
        raise SystemExit(f"our loss differs from a cross-entropy by {loss:.3g}")
    return {"loss": loss, "pixel views": augment.check_equal(setting.pixels, views[:, 0][:16])}


def read_pairs(setting: Setting, folder: Path) -> plain_learning.Pairs:
    """The 8-bit images of the store, for the plain loop."""
    views = StoredViews(folder)
    images = views(range(len(views))).images[:, :, 0]
    pixels = ((images + 1) * 127.5).round().to(torch.uint8).numpy()
    return plain_learning.Pairs(pixels, plain_learning.image_transform(setting.pixels))


def build_paths(
    setting: Setting, folder: Path, pairs: plain_learning.Pairs, loader: tuple[int, int]
) -> dict[str, Run]:
    """What takes turns: both pairs, and the parts of ours alone."""
    ready = setting.stored(folder, prefetch=0).batch(0)["views"]
    assert ready is not None
    train, make = closing(time_training), closing(time_views)
    return {
        STORED: lambda: train(setting, setting.stored(folder)),
        LOADER: lambda: time_loader(setting, pairs, *loader),
        STREAMED: lambda: train(setting, setting.streamed()),
        IN_LOOP: lambda: time_rendering_loop(setting),
        ENCODER: lambda: time_training(setting, Same(ready)),
        MAKING + STORED: lambda: make(setting, setting.stored(folder, prefetch=0)),
        MAKING + STREAMED: lambda: make(setting, setting.streamed(prefetch=0)),
    }


def measure(paths: Mapping[str, Run], repeats: int) -> dict[str, list[Timing]]:
    """Timings of each path, which take turns."""
    found: dict[str, list[Timing]] = {name: [] for name in paths}
    for _ in range(repeats):
        for name, run in paths.items():
            found[name].append(run())
    return found


def parts_of_waiting(timing: Timing, alone: Timing, encoder: float, *, renders: bool) -> Timing:
    """The shares that the module's docstring defines."""
    wall, views = timing["seconds"], alone["making"] + alone["pixels"]
    rendering = alone["making"] if renders else 0.0
    return {
        "share": timing["waiting"] / wall,
        "beyond_rendering": max(0.0, timing["waiting"] - rendering) / wall,
        "beyond_the_slower": (wall - max(views, encoder)) / wall,
        "beyond_the_sum": (wall - views - encoder) / wall,
    }


def waiting(found: Mapping[str, Sequence[Timing]], name: str) -> Timing:
    """Medians over the repeats, each with the parts that were timed in it."""
    rows = [
        parts_of_waiting(timing, alone, encoder["seconds"], renders=name == STREAMED)
        for timing, alone, encoder in zip(
            found[name], found[MAKING + name], found[ENCODER], strict=True
        )
    ]
    return {key: statistics.median(row[key] for row in rows) for key in rows[0]}


def time_pixel_views(setting: Setting, images: Tensor, repeats: int) -> dict[str, Any]:
    """T_x alone: ours, torchvision v2 on one tensor at a time, kornia where it is installed."""
    paths = augment.build_paths(setting.pixels, images)
    one_by_one = paths[augment.LOOP]
    # A batch in the place of an image: v2 then draws its parameters once.
    paths[SHARED] = lambda batch: one_by_one(batch[None])[0]
    rates = augment.measure(paths, images, repeats)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    return {
        "setting": PIXELS,
        "views_per_second": rates,
        "ours_against": {
            name: medians[augment.OURS] / value
            for name, value in medians.items()
            if name != augment.OURS
        },
    }


def main(
    *,
    batch: int = 256,
    steps: int = 16,
    warmup: int = 4,
    repeats: int = 7,
    threads: int = 2,
    workers: Sequence[int] = (0, 1, 2),
    out: Path = RESULT,
) -> float:
    """Measure, write the JSON, print the ratios; that of stored views comes last."""
    torch.set_num_threads(threads)
    keep_freed_memory()
    pixels = pixel_views(PIXELS)
    assert isinstance(pixels, SimCLR)
    setting = Setting(
        generator=load("fashion32").generator,
        encoder=RepresentationEncoder(RepresentationConfig(channels=1), seed=SEED),
        pixels=pixels,
        batch=batch,
        steps=steps,
        warmup=warmup,
        threads=threads,
    )
    with tempfile.TemporaryDirectory() as name, torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)  # of torchvision's transforms and the plain loops
        folder = Path(name)
        write_views(setting.views, folder, batch * (warmup + steps + SPARE), keep="images")
        pairs, first = read_pairs(setting, folder), StoredViews(folder)(range(batch)).images
        differences = check_equal(setting, first)
        trial = choose_loader(setting, pairs, workers)
        loader = next(iter(trial))
        found = measure(build_paths(setting, folder, pairs, loader), repeats)
        pixel_rates = time_pixel_views(setting, first[:, 0], repeats)
    rates = {
        name: [batch / timing["seconds"] for timing in found[name]]
        for name in (STORED, LOADER, STREAMED, IN_LOOP)
    }
    medians = {name: statistics.median(values) for name, values in rates.items()}
    ratios = [
        {"what": f"learning from {what}, anchors a second", "ratio": medians[a] / medians[b]}
        | {"baseline": b}
        for what, a, b in (
            ("views rendered while training", STREAMED, IN_LOOP),
            ("stored views", STORED, LOADER),
        )
    ]
    record = {
        "benchmark": "learn",
        "command": "python -m benchmarks.learn",
        "seed": SEED,
        "config": {
            "batch": batch,
            "steps": steps,
            "warmup": warmup,
            "repeats": repeats,
            "threads": threads,
            "prefetch": AHEAD,
            "loader": dict(zip(("workers", "threads"), loader, strict=True)),
            "views": setting.views.describe(),
            "pixels": repr(pixels),
            "encoder": repr(setting.encoder.config),
            "objective": repr(NTXent()),
            "training": setting.training.fingerprint(),
        },
        "loader_trial": [
            {"workers": count, "threads": used, "anchors_per_second": batch / seconds}
            for (count, used), seconds in trial.items()
        ],
        "largest_difference": differences,
        "anchors_per_second": rates,
        "seconds_per_step": found,
        "waiting": {name: waiting(found, name) for name in (STORED, STREAMED)},
        "waiting_of_the_loader": statistics.median(
            timing["waiting"] / timing["seconds"] for timing in found[LOADER]
        ),
        "pixel_views": pixel_rates,
        "ratios": ratios,
        "environment": environment(),
    }
    write_json(out, record)
    report(record)
    return float(ratios[-1]["ratio"])


def report(record: Mapping[str, Any]) -> None:
    """Print what the JSON says."""
    for name, values in record["anchors_per_second"].items():
        print(f"{statistics.median(values):8.1f} anchors/s  {name}")
    for name, shares in record["waiting"].items():
        told = ", ".join(f"{key} {value:.3f}" for key, value in shares.items())
        print(f"waiting of {name}: {told}")
    for name, ratio in record["pixel_views"]["ours_against"].items():
        print(f"T_x alone: {ratio:.2f} against {name}")
    for found in record["ratios"]:
        print(f"{found['what']}: {found['ratio']:.2f} against {found['baseline']}")
    print(f"ratio {found['ratio']:.2f} against {found['baseline']}")


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--batch", type=int, default=256, help="anchors a step (default 256)")
    parser.add_argument("--steps", type=int, default=16, help="timed steps (default 16)")
    parser.add_argument("--warmup", type=int, default=4, help="steps before them (default 4)")
    parser.add_argument("--repeats", type=int, default=7, help="turns (default 7)")
    parser.add_argument("--threads", type=int, default=2, help="of torch (default 2)")
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args(argv)
    if min(options.batch - 1, options.steps, options.warmup, options.repeats, options.threads) < 1:
        parser.error("--batch is at least 2, the other counts at least 1")
    return options


if __name__ == "__main__":
    main(**vars(arguments()))
