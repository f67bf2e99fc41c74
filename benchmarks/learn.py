"""Learning from views: anchors a second of our training step against a plain PyTorch loop.

    python -m benchmarks.learn

Same generator (fashion32), compact encoder, batch, views (a neighbour in z, then crop, flip and
jitter), NT-Xent and SGD for all. Before any timing, losses and pixel views are compared with
independent ones; a difference stops the run. Two pairs, each with its own baseline:

    stored      views in a store, T_x batched   | 8-bit pairs in memory, a DataLoader that applies
                                                | torchvision's transforms to one image at a time
    streamed    views rendered while training,  | rendering in the loop when the batch is due, then
                T_x batched                     | torchvision's transforms, one image at a time

The plain loops have our encoder object, and so its norm; "torch's batch norm" is the same network
with torch's operators. "bfloat16" is the encoder under autocast, in ours and in the plain loops;
`recipes.fashion32.learn_bfloat16` says what it does to accuracy.

A trial gives each path its fastest number of torch's threads, ours the better of making views when
they are due and two batches ahead, and the DataLoader its fastest of 0, 1 and 2 workers. Every path
begins anew in each repeat, warms up, and goes on making batches past the last timed step. Paths
take turns; medians are quoted. Freed memory is kept for all.

"waiting" is measured on all of ours. Parts of the time of a step, with v the time to make a batch
of views, r the part of v that renders (0 for stored views, which are read) and e the time of a step
on a batch that is there, both with all threads and nothing else running:

    share               waiting for views / wall
    beyond_rendering    max(0, waiting - r) / wall: what rendering, even if nothing overlapped with
                        it, does not explain
    beyond_the_slower   (wall - max(v, e)) / wall: above 0 where both want the same cores
    beyond_the_sum      (wall - v - e) / wall: below 0 where they overlap, above 0 what is lost

"pixel_views" has T_x alone, by `benchmarks.augment`. torchvision v2 is applied to one tensor at a
time there: on a whole batch it draws one parameter for all images, which is another law and is
timed only to be seen beside.

About 8 minutes on 2 idle cores. Writes results/benchmarks/learn.json.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import augment, plain_learning
from benchmarks.learning_paths import (
    ENCODER,
    HALF,
    IN_LOOP,
    LOADER,
    MAKING,
    SEED,
    STORED,
    STREAMED,
    TORCH,
    Run,
    Setting,
    Timing,
    part_paths,
    training_paths,
)
from genviews import load_generator
from genviews.augment.presets import pixel_views
from genviews.augment.simclr import SimCLR
from genviews.environment import environment
from genviews.files import write_json
from genviews.identity import describe
from genviews.memory import keep_freed_memory
from genviews.represent.encoder import RepresentationConfig, RepresentationEncoder
from genviews.represent.losses import NTXent
from genviews.represent.stored import StoredViews, write_views

RESULT = Path("results/benchmarks/learn.json")
SHARED = "torchvision v2, one parameter for the whole batch: another law"
PIXELS = "fashion32/simclr"
SPARE = 4  # batches that a DataLoader with two workers makes ahead, so many more than are timed
TOLERANCE = 1e-5
# What is quoted: ours against a plain loop; the last is printed last.
PAIRS = (
    ("views rendered while training", STREAMED, IN_LOOP),
    ("views rendered while training, bfloat16", STREAMED + HALF, IN_LOOP),
    ("stored views, bfloat16", STORED + HALF, LOADER),
    ("stored views, bfloat16", STORED + HALF, LOADER + HALF),
    ("stored views", STORED, LOADER + TORCH),
    ("stored views", STORED, LOADER),
)


def fastest(options: Mapping[str, Run]) -> tuple[str, dict[str, float]]:
    """Run each option once: the fastest, and the seconds a step of all."""
    seconds = {name: run()["seconds"] for name, run in options.items()}
    return min(seconds, key=lambda name: seconds[name]), seconds


def make_setting(batch: int, steps: int, warmup: int, threads: int) -> Setting:
    """The embedded generator, a fresh compact encoder, and T_x."""
    pixels = pixel_views(PIXELS)
    assert isinstance(pixels, SimCLR)
    return Setting(
        generator=load_generator("fashion32").generator,
        encoder=RepresentationEncoder(RepresentationConfig(channels=1), seed=SEED),
        pixels=pixels,
        batch=batch,
        steps=steps,
        warmup=warmup,
        threads=threads,
    )


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
    views = name.removesuffix(HALF)
    encoder = ENCODER + name.removeprefix(views)
    rows = [
        parts_of_waiting(timing, alone, step["seconds"], renders=views == STREAMED)
        for timing, alone, step in zip(
            found[name], found[MAKING + views], found[encoder], strict=True
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
    with tempfile.TemporaryDirectory() as name, torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)  # of torchvision's transforms and the plain loops
        setting, folder = make_setting(batch, steps, warmup, threads), Path(name)
        write_views(setting.views, folder, batch * (warmup + steps + SPARE), keep="images")
        pairs, first = read_pairs(setting, folder), StoredViews(folder)(range(batch)).images
        differences = check_equal(setting, first)
        options = training_paths(setting, folder, pairs, workers)
        trial = {path: fastest(runs) for path, runs in options.items()}
        chosen = {path: best for path, (best, _) in trial.items()}
        paths = {path: options[path][best] for path, best in chosen.items()}
        found = measure(paths | part_paths(setting, folder), repeats)
        pixel_rates = time_pixel_views(setting, first[:, 0], repeats)
    record = summarise(setting, found, repeats) | {
        "trial": {
            path: {option: batch / seconds for option, seconds in rows.items()}
            for path, (_, rows) in trial.items()
        },
        "chosen": chosen,
        "largest_difference": differences,
        "pixel_views": pixel_rates,
        "environment": environment(),
    }
    write_json(out, record)
    report(record)
    return float(record["ratios"][-1]["ratio"])


def summarise(
    setting: Setting, found: Mapping[str, Sequence[Timing]], repeats: int
) -> dict[str, Any]:
    """Rates, ratios and shares of waiting, with the setting that they are of."""
    rates = {
        path: [setting.batch / timing["seconds"] for timing in timings]
        for path, timings in found.items()
        if path.startswith((STORED, LOADER, STREAMED, IN_LOOP))
    }
    medians = {path: statistics.median(values) for path, values in rates.items()}
    return {
        "benchmark": "learn",
        "command": "python -m benchmarks.learn",
        "seed": SEED,
        "config": {
            "batch": setting.batch,
            "steps": setting.steps,
            "warmup": setting.warmup,
            "repeats": repeats,
            "threads": setting.threads,
            "views": describe(setting.views),
            "pixels": repr(setting.pixels),
            "encoder": repr(setting.encoder.config),
            "objective": repr(NTXent()),
            "training": describe(setting.training),
        },
        "anchors_per_second": rates,
        "seconds_per_step": found,
        "waiting": {
            name: waiting(found, name)
            for views in (STORED, STREAMED)
            for name in (views, views + HALF)
        },
        "waiting_of_the_loader": statistics.median(
            timing["waiting"] / timing["seconds"] for timing in found[LOADER]
        ),
        "ratios": [
            {
                "what": f"learning from {what}, anchors a second",
                "ratio": medians[ours] / medians[plain],
                "baseline": plain,
            }
            for what, ours, plain in PAIRS
        ],
    }


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
    last = record["ratios"][-1]
    print(f"ratio {last['ratio']:.2f} against {last['baseline']}")


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--batch", type=int, default=256, help="anchors a step (default 256)")
    parser.add_argument("--steps", type=int, default=16, help="timed steps (default 16)")
    parser.add_argument("--warmup", type=int, default=4, help="steps before them (default 4)")
    parser.add_argument("--repeats", type=int, default=7, help="turns (default 7)")
    parser.add_argument("--threads", type=int, default=2, help="of torch, the most (default 2)")
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args(argv)
    if min(options.batch - 1, options.steps, options.warmup, options.repeats, options.threads) < 1:
        parser.error("--batch is at least 2, the other counts at least 1")
    return options


if __name__ == "__main__":
    main(**vars(arguments()))
