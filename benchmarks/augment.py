"""Contrastive views T_x a second: batched, against torchvision v2 one image at a time, and kornia.

    python -m benchmarks.augment

The paths get the same images and the same laws (crop with antialiasing, flip, colour jitter in
random order, grey). They take turns, so that a busy moment of the machine hits all alike; medians
are quoted. Before any timing ours is compared with torchvision, given the parameters that ours
drew; a difference stops the run. kornia takes part where it is installed; it crops without
antialiasing and applies one order of the colour changes to the whole batch. Freed memory is kept
for all paths. Writes results/benchmarks/augment.json.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tvf

from genviews.augment.presets import pixel_views
from genviews.augment.simclr import SimCLR
from genviews.environment import environment
from genviews.files import write_json
from genviews.memory import keep_freed_memory
from genviews.rng import Rng

RESULT = Path("results/benchmarks/augment.json")
OURS, LOOP, KORNIA = "genviews", "torchvision v2, one image at a time", "kornia"
# Setting -> channels and height of the images that it gets.
SETTINGS = {"genrep/train": (3, 128), "fashion32/simclr": (1, 32)}
TOLERANCE = 1e-4
Augment = Callable[[Tensor], Tensor]


def torchvision_loop(views: SimCLR, channels: int) -> Augment:
    """The same views by torchvision's transforms, one image after the other."""
    strengths = (views.brightness, views.contrast, views.saturation, views.hue)
    steps = [
        v2.RandomResizedCrop(views.size, views.area, views.ratio, antialias=True),
        v2.RandomHorizontalFlip(views.flip),
        v2.RandomApply([v2.ColorJitter(*strengths)], views.jitter),
    ]
    if channels == 3:
        steps.append(v2.RandomGrayscale(views.grey))
    transform = v2.Compose(steps)
    return lambda images: torch.stack([transform(image) for image in (images + 1) / 2]) * 2 - 1


def kornia_batch(views: SimCLR, channels: int) -> Augment:
    """The same views by kornia's batched transforms."""
    kornia: Any = importlib.import_module("kornia.augmentation")
    strengths = (views.brightness, views.contrast, views.saturation, views.hue)
    steps = [
        kornia.RandomResizedCrop((views.size, views.size), views.area, views.ratio, p=1.0),
        kornia.RandomHorizontalFlip(p=views.flip),
        kornia.ColorJitter(*strengths, p=views.jitter),
    ]
    if channels == 3:
        steps.append(kornia.RandomGrayscale(p=views.grey))
    transform = torch.nn.Sequential(*steps)

    def augment(images: Tensor) -> Tensor:
        made: Tensor = transform((images + 1) / 2) * 2 - 1
        return made

    return augment


def check_equal(views: SimCLR, images: Tensor) -> float:
    """Largest difference from torchvision given our parameters; stops the run when it is not small.

    Raises:
        SystemExit: the two are not the same transform.
    """
    streams = Rng(0).streams(range(len(images)))
    made = views(images, 1, streams)[:, 0]
    draws = views.draw(streams, 1, (images.shape[-2], images.shape[-1]))
    size = [views.size, views.size]
    changes = (tvf.adjust_brightness, tvf.adjust_contrast, tvf.adjust_saturation, tvf.adjust_hue)
    strengths = (views.brightness, views.contrast, views.saturation, views.hue)
    worst = 0.0
    for row, image in enumerate((images + 1) / 2):
        want = tvf.resized_crop(image, *draws.box[row].tolist(), size, antialias=True)
        want = tvf.horizontal_flip(want) if draws.flip[row] else want
        for index in draws.order[row].tolist() if draws.jittered[row] else []:
            if strengths[index]:
                want = changes[index](want, float(draws.amounts[row, index]))
        if draws.grey[row]:
            want = tvf.rgb_to_grayscale(want, num_output_channels=len(want))
        worst = max(worst, float((want * 2 - 1 - made[row]).abs().max()))
    if worst > TOLERANCE:
        raise SystemExit(f"our views differ from torchvision's by {worst:.3g}")
    return worst


def measure(paths: dict[str, Augment], images: Tensor, repeats: int) -> dict[str, list[float]]:
    """Images a second of each path, in turns, after one call each that is not counted."""
    rates: dict[str, list[float]] = {name: [] for name in paths}
    for repeat in range(repeats + 1):
        for name, augment in paths.items():
            _wait(images)
            began = time.perf_counter()
            augment(images)
            _wait(images)
            if repeat:
                rates[name].append(len(images) / (time.perf_counter() - began))
    return rates


def _wait(images: Tensor) -> None:
    if images.device.type == "cuda":
        torch.cuda.synchronize(images.device)


def build_paths(views: SimCLR, images: Tensor) -> dict[str, Augment]:
    """Ours, the baseline, and kornia where it is installed."""
    streams = Rng(0).streams(range(len(images)))
    paths = {
        OURS: lambda x: views(x, 1, streams),
        LOOP: torchvision_loop(views, images.shape[1]),
    }
    if find_spec("kornia") is not None:
        paths[KORNIA] = kornia_batch(views, images.shape[1])
    return paths


def main(
    *,
    batch: int = 256,
    repeats: int = 9,
    threads: int | None = None,
    device: str = "cpu",
    out: Path = RESULT,
) -> float:
    """Measure every setting, write the JSON, print the ratios; that of genrep/train comes last."""
    if threads:
        torch.set_num_threads(threads)
    keep_freed_memory()
    rates: dict[str, dict[str, list[float]]] = {}
    ratios: list[dict[str, Any]] = []
    differences: dict[str, float] = {}
    for name, (channels, size) in reversed(SETTINGS.items()):
        views = pixel_views(name)
        assert isinstance(views, SimCLR)
        images = torch.rand(batch, channels, size, size, generator=Rng(0, name).torch()) * 2 - 1
        images = images.to(device)
        differences[name] = check_equal(views, images[:16])
        rates[name] = measure(build_paths(views, images), images, repeats)
        medians = {path: statistics.median(values) for path, values in rates[name].items()}
        for path in medians:
            if path != OURS:
                ratio = medians[OURS] / medians[path]
                what = f"{name}: views a second, {channels}x{size}x{size}"
                ratios.append({"what": what, "ratio": ratio, "baseline": path})
    write_json(
        out,
        {
            "benchmark": "augment",
            "command": "python -m benchmarks.augment",
            "seed": 0,
            "config": {"batch": batch, "repeats": repeats, "threads": torch.get_num_threads()},
            "views_per_second": rates,
            "largest_difference": differences,
            "ratios": ratios,
            "environment": environment(device),
        },
    )
    for found in ratios:
        print(f"{found['what']}: {found['ratio']:.2f} against {found['baseline']}")
    last = [found for found in ratios if found["baseline"] == LOOP][-1]
    print(f"ratio {last['ratio']:.2f} against {last['baseline']}")
    return float(last["ratio"])


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--batch", type=int, default=256, help="images a call (default 256)")
    parser.add_argument("--repeats", type=int, default=9, help="timed calls a path (default 9)")
    parser.add_argument("--threads", type=int, default=None, help="default: torch's")
    parser.add_argument("--device", default="cpu", help="torch device (default cpu)")
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args(argv)
    if options.batch < 1 or options.repeats < 1:
        parser.error("--batch and --repeats are at least 1")
    return options


if __name__ == "__main__":
    main(**vars(arguments()))
