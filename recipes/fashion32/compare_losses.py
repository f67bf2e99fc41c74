"""Which loss, and how strong a penalty, trains the better fashion32 generator in as many images.

Claim: arXiv 2501.05441 (R3GAN): the relativistic loss with R1 and R2 covers more modes than the
non-saturating one with R1.
Command: python -m recipes.fashion32.compare_losses
Time: 40 minutes of a core for 100,000 images in each of four settings, 165 images a second.
Split: trained on `train`; 3,000 samples against as many `val` images, in the classifier's features
as in `fidelity`. One seed: small differences mean nothing.
Writes: results/fashion32/generator_losses.json, after each measurement.

All settings reach a quarter of the images before the first goes on to the next, so that a run that
is stopped early still compares equals. The same command goes on; a setting's run folder is one of
`train_generator`, which trains it further.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from safetensors.torch import load_file
from torch import Tensor, nn

from genviews.cli.progress import Stages
from genviews.data.fashion import fashion_mnist
from genviews.evaluate.extractor import FeatureExtractor, extract_features
from genviews.evaluate.fidelity import GeneratedSource, measure_fidelity
from genviews.files import read_json, write_json
from genviews.generators.stylegan2 import StyleGAN2
from genviews.identity import identify
from recipes.fashion32.fidelity import last_block
from recipes.fashion32.generator_trainer import Data, GeneratorTraining
from recipes.fashion32.train_generator import recipe, synthetic_data, train
from recipes.recipe import finish, run

RESULT = Path("results/fashion32/generator_losses.json")
IMAGES, PARTS, COUNT, SEED = 100_000, 4, 3_000, 0


def settings(base: GeneratorTraining) -> dict[str, GeneratorTraining]:
    """The trainings that are compared; two penalties cost as much every 8 steps as one every 16."""
    pairs = {
        f"relativistic-{gamma:g}": replace(base, loss="relativistic", r1_gamma=gamma, r1_interval=8)
        for gamma in (0.02, 0.1, 0.5)
    }
    return {"non-saturating-0.02": base, **pairs}


def main(
    *, out: Path = Path("runs/generator-losses"), images: int | None = None, quick: bool = False
) -> dict[str, object]:
    """Train and measure what is missing in `out`.

    Args:
        out: folder with one run folder for each setting.
        images: to show to each setting; 100,000 if not given.
        quick: tiny networks on synthetic images, measured in pixels; writes no result.

    Returns:
        The result.

    Raises:
        SystemExit: a signal stopped the run.
    """
    total = images or (320 if quick else IMAGES)
    trainings = settings(recipe(quick=quick, images=total))
    data = synthetic_data() if quick else Data(fashion_mnist("train").images)
    val = synthetic_data(total=64, seed=1).images if quick else fashion_mnist("val").images[:COUNT]
    extract = FeatureExtractor(nn.Flatten()) if quick else last_block()
    real, rows = extract(val), out / "measured"
    identify(features=extract, real=val, seed=SEED).keep(
        rows, f"fidelity measured in {rows}", remedy="measure in another folder"
    )
    measured: dict[str, list[dict[str, Any]]] = {name: [] for name in trainings}
    found = {
        "seed": SEED,
        "config": {
            "count": len(val),
            "split": "val",
            "trainings": {name: config.fixed_fields() for name, config in trainings.items()},
        },
        "measured": measured,
    }
    for part in range(1, PARTS + 1):
        at = total * part // PARTS
        for name, config in trainings.items():
            folder = out / name
            with Stages(Console(stderr=True)) as stages:
                if not train(replace(config, images=at), data, folder, progress=stages):
                    sys.exit("stopped; the same command goes on from the checkpoints")
            row = rows / f"{name}-{at:09d}.json"
            if not row.exists():
                write_json(row, _measure(folder, config, extract, real))
            measured[name].append(read_json(row))
            result = finish("compare_losses", found, None if quick else RESULT)
    return result


def _measure(
    folder: Path, config: GeneratorTraining, extract: FeatureExtractor, real: Tensor
) -> dict[str, object]:
    """How good the generator is that a run folder holds now."""
    card = read_json(folder / "generator.json")
    generator = StyleGAN2(config.generator)
    generator.load_weights(load_file(folder / "generator.safetensors"))
    made = extract_features(extract, GeneratedSource(generator, len(real), seed=SEED)).h
    fidelity = asdict(measure_fidelity(real, made, seed=SEED))
    return {"images_shown": card["training"]["images_shown"], **fidelity}


if __name__ == "__main__":
    run(main)
