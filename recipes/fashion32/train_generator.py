"""Train the fashion32 generator from scratch, with checkpoints that are exact.

Claim       the generator of the zoo's fashion32 entry; no table of a paper.
Command     python -m recipes.fashion32.train_generator --out runs/generator --images 2000000
Hardware    2 cores, float32: about 135 images a second, 4 hours for 2,000,000 images.
Expected    shirts, shoes and bags that one can tell apart on the sheets after 200,000 images.
Ours        the first weights in the zoo saw 404,224 images with these settings, 135 a second.
Split       `train` alone (training images 0-54,999); labels only with --classes.

Run the same command again to go on after a stop: ctrl-C and SIGTERM finish the step and write a
checkpoint. The folder then holds `checkpoint.pt`, `samples/*.png`, `metrics.jsonl`, `config.json`,
`env.json`, and at the end `generator.safetensors` (averaged weights, official names) with its card
`generator.json`.

Differs from StyleGAN2-ADA: no horizontal flips (shoes all point one way), no augmentation, no path
length penalty, one mixing crossover for each image, and both networks step on the same made images.
"""

from __future__ import annotations

import io
import json
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rich.console import Console

from genviews.cli.progress import Stages
from genviews.data.fashion import fashion_mnist
from genviews.environment import environment
from genviews.files import atomic_write_bytes, save_tensors, write_json
from genviews.generators.stylegan2 import StyleGAN2Config
from genviews.report.pictures import png_bytes, to_picture
from genviews.rng import Rng
from genviews.types import Progress, silent
from recipes.fashion32.generator_trainer import FASHION32, Data, GeneratorTraining, Loss, Trainer
from recipes.recipe import run

__all__ = ["main", "recipe", "sample_sheet", "synthetic_data", "train"]

SHEET_ROWS, SHEET_COLUMNS = 8, 10
CLASSES = 10


def recipe(
    *, quick: bool = False, classes: bool = False, images: int | None = None
) -> GeneratorTraining:
    """The settings of the zoo's generator, or with `quick` of a small one for 8x8 images.

    Args:
        quick: seconds instead of hours; shows that everything runs.
        classes: make the generator class-conditional.
        images: images to show in all; 2,000,000, or 960 with `quick`.
    """
    c_dim = CLASSES if classes else 0
    if not quick:
        return GeneratorTraining(
            generator=replace(FASHION32, c_dim=c_dim), images=images or 2_000_000
        )
    small = StyleGAN2Config(
        resolution=8,
        img_channels=1,
        z_dim=8,
        w_dim=8,
        c_dim=c_dim,
        mapping_layers=2,
        channels={4: 8, 8: 8},
        resample_filter=(1.0, 3.0, 3.0, 1.0),
    )
    return GeneratorTraining(
        generator=small,
        images=images or 960,
        batch=16,
        average_half_life=200,
        checkpoint_every=320,
        samples_every=480,
        metrics_every=160,
    )


def synthetic_data(
    size: int = 8, total: int = 256, *, classes: bool = False, seed: int = 0
) -> Data:
    """Grey images with one bright bar: place and direction are the class, brightness varies."""
    rng = Rng(seed, "synthetic images").numpy()
    labels = np.arange(total) % CLASSES
    images = np.full((total, 1, size, size), -1.0, dtype=np.float32)
    brightness = rng.uniform(0.2, 1.0, total).astype(np.float32)
    for image, label, value in zip(images[:, 0], labels, brightness, strict=True):
        at = 1 + (label % 5) * (size - 2) // 5
        image[at] = value
        if label >= 5:
            image[:] = image.T.copy()
    return Data(torch.from_numpy(images), torch.from_numpy(labels) if classes else None)


def train(
    config: GeneratorTraining,
    data: Data,
    out: Path,
    *,
    resume: bool = True,
    device: torch.device | str = "cpu",
    progress: Progress = silent,
) -> bool:
    """Train into the folder `out`, going on from its checkpoint if there is one.

    Args:
        config: the settings.
        data: the images, and labels for a class-conditional generator.
        out: the run folder; made when missing.
        resume: False starts again and writes over an earlier run.
        device: where to train.
        progress: called with ("train", "images", shown, all).

    Returns:
        True when all images were shown, False when a signal stopped the run (its checkpoint is
        written).

    Raises:
        ValueError: the checkpoint was made with another config or other data, or a loss is not
            finite.
    """
    (out / "samples").mkdir(parents=True, exist_ok=True)
    trainer = Trainer(config, data, device)
    checkpoint = out / "checkpoint.pt"
    if resume and checkpoint.exists():
        trainer.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True))
    _drop_records(out / "metrics.jsonl", trainer.images_shown)
    write_json(out / "config.json", asdict(config))
    write_json(out / "env.json", environment(str(device)))
    with _stop_on_signal() as stopped:
        _loop(trainer, out, stopped, progress)
    finished = trainer.images_shown >= config.images
    if finished:
        export(trainer, out)
    return finished


def _drop_records(path: Path, shown: int) -> None:
    """Drop the metrics of a killed run beyond its checkpoint, and a last line that was cut off."""
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            kept += [f"{line}\n"] if json.loads(line)["images"] <= shown else []
        except json.JSONDecodeError:
            continue
    atomic_write_bytes(path, "".join(kept).encode())


def _loop(trainer: Trainer, out: Path, stopped: threading.Event, progress: Progress) -> None:
    config, started, first = trainer.config, time.monotonic(), trainer.images_shown
    progress("train", "images", first, config.images)
    while trainer.images_shown < config.images and not stopped.is_set():
        trainer.step()
        shown, last = trainer.images_shown, trainer.images_shown >= config.images
        progress("train", "images", min(shown, config.images), config.images)
        if _due(trainer, config.metrics_every) or last:
            speed = round((shown - first) / (time.monotonic() - started), 1)
            record = {"images": shown, **trainer.metrics(), "images_per_second": speed}
            with (out / "metrics.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(record, allow_nan=False) + "\n")
        if _due(trainer, config.samples_every) or last:
            atomic_write_bytes(out / f"samples/{shown:09d}.png", png_bytes(sample_sheet(trainer)))
        if _due(trainer, config.checkpoint_every) or last:
            save_checkpoint(trainer, out)
    if stopped.is_set():
        save_checkpoint(trainer, out)


def _due(trainer: Trainer, every: int) -> bool:
    """Whether the last step passed a multiple of `every` images."""
    return trainer.images_shown // every > (trainer.images_shown - trainer.config.batch) // every


def save_checkpoint(trainer: Trainer, out: Path) -> None:
    """Write `checkpoint.pt`, whole or not at all.

    Raises:
        ValueError: a weight is not a finite number; the earlier checkpoint is kept.
    """
    trainer.check_finite()
    torch.save(trainer.state_dict(), buffer := io.BytesIO())
    atomic_write_bytes(out / "checkpoint.pt", buffer.getvalue())


@torch.no_grad()
def sample_sheet(trainer: Trainer) -> Image.Image:
    """A sheet of averaged samples, always of the same latents; a column for each class if any."""
    generator = trainer.average
    total = SHEET_ROWS * SHEET_COLUMNS
    z = generator.sample(Rng(trainer.config.seed, "sample sheet").streams(range(total)))
    classes = generator.num_classes
    label = torch.arange(total, device=z.device) % SHEET_COLUMNS % classes if classes else None
    images = generator.synthesize(generator.map(z, label))
    tiles = images.unflatten(0, (SHEET_ROWS, SHEET_COLUMNS)).permute(2, 0, 3, 1, 4)
    return to_picture(tiles.flatten(3).flatten(1, 2))


def export(trainer: Trainer, out: Path) -> None:
    """Write the averaged weights under their official names, and the card that describes them."""
    config, spec = trainer.config, trainer.config.generator
    card = {
        "family": "stylegan2",
        **asdict(spec),
        "channels": {str(side): width for side, width in spec.block_channels.items()},
        "num_ws": spec.num_ws,
        "image_range": list(trainer.average.image_spec.range),
        "parameters": sum(p.numel() for p in trainer.average.parameters()),
        "parameter_names": "official stylegan2-ada-pytorch names; no resample_filter buffers",
        "training": {
            **config.fixed_fields(),
            "images_shown": trainer.images_shown,
            "data_hash": trainer.data_hash,
            "environment": environment(str(trainer.device)),
        },
    }
    save_tensors(out / "generator.safetensors", trainer.average.state_dict())
    write_json(out / "generator.json", card)


@contextmanager
def _stop_on_signal() -> Iterator[threading.Event]:
    """An event that SIGINT or SIGTERM sets, once; a second signal acts as it always does."""
    stopped, main_thread = threading.Event(), threading.main_thread()
    numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is main_thread else ()
    before = {number: signal.getsignal(number) for number in numbers}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def stop(number: int, frame: object) -> None:
        stopped.set()
        restore()

    for number in before:
        signal.signal(number, stop)
    try:
        yield stopped
    finally:
        restore()


def main(
    *,
    out: Path,
    images: int | None = None,
    classes: bool = False,
    loss: Loss = "non-saturating",
    gamma: float = GeneratorTraining.r1_gamma,
    interval: int = GeneratorTraining.r1_interval,
    quick: bool = False,
    resume: bool = True,
    device: str = "cpu",
    threads: int | None = None,
) -> str:
    """Train the fashion32 generator from scratch, or go on with it.

    Args:
        out: run folder.
        images: images to show in all; 2,000,000, or 960 with --quick.
        classes: make it class-conditional, with the labels of the data.
        loss: relativistic judges a made image against a real one, with a penalty on both.
        gamma: weight of the penalty.
        interval: steps from one penalty to the next.
        quick: a tiny network on synthetic 8x8 images, a few seconds; needs no data set.
        resume: go on from the folder's checkpoint; --no-resume starts again and writes over it.
        device: torch device.
        threads: torch threads; the number of cores if not given. A run repeats exactly only with
            the same number.

    Returns:
        Where the generator is.

    Raises:
        SystemExit: a signal stopped the run.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    config = replace(
        recipe(quick=quick, classes=classes, images=images),
        loss=loss,
        r1_gamma=gamma,
        r1_interval=interval,
    )
    if quick:
        data = synthetic_data(classes=classes)
    else:
        real = fashion_mnist("train")
        data = Data(real.images, real.labels if classes else None)
    with Stages(Console(stderr=True)) as stages:
        if not train(config, data, out, resume=resume, device=device, progress=stages):
            sys.exit("stopped; the same command goes on from the checkpoint")
    return f"done: {out / 'generator.safetensors'}"


if __name__ == "__main__":
    run(main)
