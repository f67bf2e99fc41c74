"""How much optimisation does the encoder of fashion32 leave to do? Chosen on `val`.

Claim: an encoder that was trained on real images needs few steps, or none (Zhu et al. 2020).
Command: python -m recipes.fashion32.choose_steps   (after train_encoder.py)
         (--against FILE measures a second encoder beside it, e.g. one of samples alone)
Time: about 10 minutes on one core.
Split: the first 200 images of each class of `val`; the classifier saw 1,200 `train` images.
Rule, set before any result: of both optimizers, the least work (evaluations of loss and gradient)
with which reconstructions of clean images lose at most half a point of accuracy against the best.
Writes: results/fashion32/choose_steps.json, and the inverter on the card of genviews/zoo/fashion32.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from genviews import GeneratorKit, Rng, load_classifier, load_generator
from genviews.classify.model import predict_logits
from genviews.data.fashion import fashion_mnist, labelled_subset
from genviews.data.images import ImageSet
from genviews.ensemble.significance import accuracy_interval
from genviews.invert.card import inverter_settings
from genviews.invert.encoder import InversionEncoder
from genviews.invert.inverter import Inverter
from genviews.invert.optimize import invert
from genviews.invert.optimizer import Adam
from genviews.invert.start import EncoderStart
from genviews.robustness.corruption import corruption
from genviews.zoo.card import ENTRIES, update_card
from recipes.recipe import finish, run

RESULT = Path("results/fashion32/choose_steps.json")
ENTRY = ENTRIES / "fashion32"
SEED, PER_CLASS, MARGIN = 0, 200, 0.005
STEPS = (5, 10, 15, 25, 40)
SHIFTS = ("gaussian_noise:2", "gaussian_blur:3")  # for information: the rule reads clean images
EVERY = 5  # image is measured under shifts
ADAM = Inverter(
    optimizer=Adam(lr=0.15, betas=(0.7, 0.9)), patience=20, tolerance=0.005, smoothing=0.0
)


def inverters(encoder: InversionEncoder, steps: tuple[int, ...]) -> dict[str, Inverter]:
    """What is compared: the encoder alone, then both optimizers, so many steps each."""
    start = EncoderStart(encoder)
    found = {"0": replace(ADAM, start=start, steps=0)}
    for name, base in (("adam", ADAM), ("lbfgs", Inverter())):
        found |= {f"{name} {n}": replace(base, start=start, steps=n) for n in steps}
    return found


def accuracies(images: Tensor, labels: Tensor | None) -> dict[str, object]:
    """Accuracy of the kit's classifier with its interval."""
    assert labels is not None
    answers = predict_logits(load_classifier("fashion32"), images).argmax(-1)
    right = int((answers == labels).sum())
    return {"accuracy": right / len(labels), "interval": accuracy_interval(right, len(labels))}


def shifted(images: ImageSet, shift: str) -> Tensor:
    """The images under a shift; "" is none."""
    streams = Rng(SEED, "choose steps").streams(images.ids)
    return corruption(shift)(images.images, streams) if shift else images.images


def measured(kit: GeneratorKit, inverter: Inverter, images: ImageSet, shift: str) -> dict[str, Any]:
    """Work, errors to the images and to clean ones, and accuracy on the reconstructions."""
    given = shifted(images, shift)
    found = invert(kit.generator, given, inverter=inverter)
    return {
        "evaluations": float(found.evaluations.float().mean()),
        "l1": float((found.reconstructions - given).abs().mean()),
        "l1_to_clean": float((found.reconstructions - images.images).abs().mean()),
        **accuracies(found.reconstructions, images.labels),
    }


def compared(encoder: InversionEncoder, images: ImageSet, steps: tuple[int, ...]) -> dict[str, Any]:
    """Every inverter from this encoder, on clean images and on shifted ones."""
    found: dict[str, Any] = {}
    for name, inverter in inverters(encoder, steps).items():
        found[name] = {}
        for shift in ("", *SHIFTS):
            few = images.select(slice(None, None, EVERY)) if shift else images
            row = measured(load_generator("fashion32"), inverter, few, shift)
            found[name][shift or "clean"] = row
            print(name, shift or "clean", row, flush=True)
    return found


def chosen(rows: dict[str, Any]) -> str:
    """The inverter that the rule takes."""
    best = max(row["clean"]["accuracy"] for row in rows.values())
    enough = [name for name, row in rows.items() if row["clean"]["accuracy"] >= best - MARGIN]
    return min(enough, key=lambda name: float(rows[name]["clean"]["evaluations"]))


def main(*, against: Path | None = None, quick: bool = False) -> dict[str, object]:
    """Measure, choose, and write the choice on the card; `quick` writes nothing."""
    kit, steps = load_generator("fashion32"), (1,) if quick else STEPS
    assert kit.encoder is not None
    images = fashion_mnist("val")
    images = images.select(range(3)) if quick else labelled_subset(images, PER_CLASS)
    by = {"shipped": compared(kit.encoder, images, steps)}
    if against is not None:
        by[against.stem] = compared(InversionEncoder.load(against), images, (15, 40))
    name = chosen(by["shipped"])
    inverter = inverter_settings(inverters(kit.encoder, steps)[name])
    found = {
        "seed": SEED,
        "config": {"steps": list(steps), "images": len(images), "margin": MARGIN},
        "images": {
            shift or "clean": accuracies(shifted(images, shift), images.labels)
            for shift in ("", *SHIFTS)
        },
        "encoders": by,
        "chosen": name,
        "inverter": inverter,
    }
    if not quick:
        update_card("inverter", inverter, ENTRY)
    flags = "" if against is None else f"--against {against.name}"
    return finish("choose_steps", found, None if quick else RESULT, flags)


if __name__ == "__main__":
    run(main)
