"""Which loss, and how strong a penalty, trains the better fashion32 generator in as many images.

Claim: arXiv 2501.05441 (R3GAN): the relativistic loss with R1 and R2 covers more modes than the
non-saturating one with R1.
Command: python -m recipes.fashion32.compare_losses
Time: two to three hours on a core: 100,000 images for each of four settings, 50 to 60 a second.
Split: trained on `train`; 3,000 samples against as many `val` images, in the classifier's features
as in `fidelity`. One seed: small differences mean nothing.
Writes: results/fashion32/generator_losses.json, after each quarter of the images.

All settings reach a quarter of the images before the first goes on to the next, so that a run that
is stopped early still compares equals. The same command goes on; a setting's run folder is one of
`train_generator`, which trains it further.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from safetensors.torch import load_file
from torch import Tensor, nn

from genviews.checks import fail
from genviews.data import fashion_mnist
from genviews.environment import environment
from genviews.evaluate import FeatureExtractor, GeneratedSource, extract_features, measure_fidelity
from genviews.files import write_json
from genviews.generators import StyleGAN2
from genviews.identity import key
from genviews.memory import keep_freed_memory
from recipes.fashion32.fidelity import last_block
from recipes.fashion32.generator_trainer import Data, GeneratorTraining
from recipes.fashion32.train_generator import recipe, synthetic_data, train

RESULT = Path("results/fashion32/generator_losses.json")
IMAGES, PARTS, COUNT, SEED = 100_000, 4, 3_000, 0


def settings(base: GeneratorTraining) -> dict[str, GeneratorTraining]:
    """The trainings that are compared; two penalties cost as much every 8 steps as one every 16."""
    pairs = {
        f"relativistic-{gamma:g}": replace(base, loss="relativistic", r1_gamma=gamma, r1_interval=8)
        for gamma in (0.02, 0.1, 0.5)
    }
    return {"non-saturating-0.02": base, **pairs}


def main(*, out: Path, images: int | None = None, quick: bool = False) -> dict[str, object] | None:
    """Train and measure what is missing in `out`.

    Args:
        out: folder with one run folder for each setting.
        images: to show to each setting.
        quick: tiny networks on synthetic images, measured in pixels; writes no result.

    Returns:
        The result, or None when a signal stopped the run.
    """
    total = images or (320 if quick else IMAGES)
    base = recipe(quick=quick, images=total)
    data = synthetic_data() if quick else Data(fashion_mnist("train").images)
    val = synthetic_data(seed=1).images if quick else fashion_mnist("val").images[:COUNT]
    extract = FeatureExtractor(nn.Flatten()) if quick else last_block()
    real = extract(val)
    measured: dict[str, list[dict[str, Any]]] = {name: [] for name in settings(base)}
    result: dict[str, object] = {}
    for part in range(1, PARTS + 1):
        at = total * part // PARTS
        for name, config in settings(base).items():
            folder = out / name
            if not train(replace(config, images=at), data, folder, console=Console(stderr=True)):
                return None
            measured[name].append(_measured(folder, at, config, extract, real))
        result = {
            "recipe": "recipes.fashion32.compare_losses",
            "command": "python -m recipes.fashion32.compare_losses",
            "seed": SEED,
            "config": {
                "count": len(val),
                "split": "val",
                "trainings": {name: c.fixed_fields() for name, c in settings(base).items()},
            },
            "measured": measured,
            "environment": environment(),
        }
        if not quick:
            write_json(RESULT, result)
    return result


def _measured(
    folder: Path, at: int, config: GeneratorTraining, extract: FeatureExtractor, real: Tensor
) -> dict[str, Any]:
    """What is in the run folder about its first `at` images; measured now when nothing is."""
    path = folder / f"fidelity-{at:09d}.json"
    now = {"features": key(extract), "num_real": len(real)}
    if not path.exists():
        card = json.loads((folder / "generator.json").read_text(encoding="utf-8"))
        generator = StyleGAN2(config.generator)
        generator.load_weights(load_file(folder / "generator.safetensors"))
        made = extract_features(extract, GeneratedSource(generator, len(real), seed=SEED)).h
        fidelity = asdict(measure_fidelity(real, made, seed=SEED))
        shown = card["training"]["images_shown"]
        write_json(path, {"images_shown": shown, **now, **fidelity})
    row: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if any(row[name] != value for name, value in now.items()):
        got = ", ".join(f"{name} {row[name]}" for name in now)
        remedy = "take another folder"
        fail(f"measured in {path}", expected=f"{now}", got=got, remedy=remedy)
    return row


if __name__ == "__main__":
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=Path("runs/generator-losses"))
    parser.add_argument("--images", type=int, help=f"to show to each; {IMAGES:,} if not given")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    found = main(out=arguments.out, images=arguments.images, quick=arguments.quick)
    if found is None:
        sys.exit("stopped; the same command goes on from the checkpoints")
    print(json.dumps(found["measured"], indent=1))
