"""How many optimisation steps does the encoder of fashion32 leave to do? Chosen on `val`.

Claim: an encoder that was trained on real images needs few steps, or none (Zhu et al. 2020).
Command: python -m recipes.fashion32.choose_steps   (after train_encoder.py)
         (--against FILE measures a second encoder beside it, e.g. of samples alone)
Time: about 15 minutes on one core.
Split: the first 100 images of each class of `val`; the classifier saw 1,200 `train` images.
Rule, set before any result: the fewest steps whose reconstructions of clean images lose at most
half a point of accuracy against the best number of steps.
Writes: results/fashion32/choose_steps.json, and the steps on the card of genviews/zoo/fashion32.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genviews import Rng, load_classifier, load_generator
from genviews.classify.model import predict_logits
from genviews.data.fashion import fashion_mnist, labelled_subset
from genviews.data.images import ImageSet
from genviews.ensemble.significance import accuracy_interval
from genviews.generators.base import Generator
from genviews.invert.encoder import InversionEncoder
from genviews.invert.inverter import Inverter
from genviews.invert.optimize import invert
from genviews.invert.start import EncoderStart
from genviews.render import render
from genviews.robustness.corruption import corruption
from genviews.zoo.card import ENTRIES, update_card
from recipes.recipe import finish, run

RESULT = Path("results/fashion32/choose_steps.json")
ENTRY = ENTRIES / "fashion32"
SEED, PER_CLASS, MARGIN = 0, 100, 0.005
STEPS = (0, 5, 10, 15, 20, 30, 40, 80)
SHIFTS = ("gaussian_noise:2", "gaussian_blur:3")  # for information: the rule reads clean images
SHIFT_IMAGES = 300


def accuracies(images: Tensor, labels: Tensor) -> dict[str, object]:
    """Accuracy of the kit's classifier with its interval."""
    right = int((predict_logits(load_classifier("fashion32"), images).argmax(-1) == labels).sum())
    return {"accuracy": right / len(labels), "interval": accuracy_interval(right, len(labels))}


def measured(
    generator: Generator, inverter: Inverter, images: Tensor, clean: Tensor, labels: Tensor
) -> list[dict[str, Any]]:
    """After each number of steps of one inversion: errors to both kinds of images, accuracy."""
    found = invert(generator, images, inverter=inverter)
    assert found.snapshots is not None
    rows = []
    for place, steps in enumerate(inverter.snapshots):
        made = render(generator, found.snapshots[:, place].contiguous())
        errors = {
            "l1": float((made - images).abs().mean()),
            "l1_to_clean": float((made - clean).abs().mean()),
        }
        rows.append({"steps": steps, **errors, **accuracies(made, labels)})
        print(rows[-1], flush=True)
    return rows


def compared(encoder: InversionEncoder, images: ImageSet, steps: tuple[int, ...]) -> dict[str, Any]:
    """Clean images and shifted ones, by steps, from this encoder."""
    kit, labels = load_generator("fashion32"), images.labels
    assert labels is not None
    inverter = replace(
        kit.inverter, start=EncoderStart(encoder), steps=max(steps), snapshots=steps
    )
    few = labelled_subset(images, max(1, SHIFT_IMAGES // len(images.class_names)))
    found = {"clean": measured(kit.generator, inverter, images.images, images.images, labels)}
    for name in SHIFTS:
        shifted = corruption(name)(few.images, Rng(SEED, "choose steps").streams(few.ids))
        assert few.labels is not None
        found[name] = measured(kit.generator, inverter, shifted, few.images, few.labels)
    return found


def fewest(rows: list[dict[str, Any]]) -> int:
    """The steps that the rule takes."""
    best = max(row["accuracy"] for row in rows)
    return min(int(row["steps"]) for row in rows if row["accuracy"] >= best - MARGIN - 1e-9)


def main(*, against: Path | None = None, quick: bool = False) -> dict[str, object]:
    """Measure, choose, and write the choice on the card; `quick` writes nothing."""
    kit = load_generator("fashion32")
    assert kit.encoder is not None
    steps = (0, 2) if quick else STEPS
    images = labelled_subset(fashion_mnist("val"), 1 if quick else PER_CLASS)
    if quick:
        images = images.select(range(3))
    by = {"shipped": compared(kit.encoder, images, steps)}
    if against is not None:
        by[against.stem] = compared(InversionEncoder.load(against), images, steps)
    chosen = fewest(by["shipped"]["clean"])
    assert images.labels is not None
    found = {
        "seed": SEED,
        "config": {
            "steps": list(steps),
            "images": len(images),
            "images_under_shift": SHIFT_IMAGES,
            "margin": MARGIN,
        },
        "images": accuracies(images.images, images.labels),
        "encoders": by,
        "chosen": chosen,
    }
    if not quick:
        update_card("inverter", {"steps": chosen}, ENTRY)
    flags = "" if against is None else f"--against {against.name}"
    return finish("choose_steps", found, None if quick else RESULT, flags)


if __name__ == "__main__":
    run(main)
