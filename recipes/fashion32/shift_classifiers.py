"""Classifiers to compare views with: corruptions as augmentation.

Claim: ours. Against a shift that training foresaw, training is better than anything done at test
time; against another, it may help or not.
Command: python -m recipes.fashion32.shift_classifiers
Time: about half an hour on one core; a checkpoint every epoch, finished classifiers are kept, a
re-run continues.
Split: trained on 120 labelled images of each class of `train`, drawn by the seed and the same for
all three. No choice is made; accuracy on clean `val` and `test`.
Writes: runs/fashion32/shift_classifiers/KIND.safetensors (read by `classifier_of`),
results/fashion32/shift_classifiers.json.

Kinds. "plain" sees flips and crops, as the standard classifier does, which learned from other
labels. "foreseen" sees them and then, on half of the images, one of the kinds that the study of
shifts tests, at any of the five severities of both scales. "others" does the same with kinds that
the study does not test, among them their next of kin.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

from genviews.augment.base import Compose, PixelViews
from genviews.classify.config import TrainConfig, training_preset
from genviews.classify.network import SmallResNet
from genviews.classify.train import train_classifier
from genviews.data.fashion import fashion_mnist, labelled_subset
from genviews.data.images import ImageSet
from genviews.files import write_json
from genviews.rng import Rng
from genviews.robustness.augment import RandomCorruption
from genviews.robustness.corruption import SCALES, SEVERITIES, corruption
from genviews.studies.ensembling.shifts import KINDS
from recipes.fashion32.train_classifier import measure
from recipes.recipe import finish, folder_of, run

RESULT = Path("results/fashion32/shift_classifiers.json")
FOLDER = Path("runs/fashion32/shift_classifiers")
PER_CLASS, SEED = 120, 0
OTHERS = ("speckle_noise", "defocus_blur", "motion_blur", "pixelate", "fog", "elastic_transform")
SHOWN = {"plain": (), "foreseen": KINDS, "others": OTHERS}


def augment_of(kinds: tuple[str, ...], plain: PixelViews | None) -> PixelViews | None:
    """What a training image goes through."""
    if not kinds:
        return plain
    every = [
        corruption(f"{kind}:{severity}@{scale}")
        for kind in kinds
        for scale in SCALES
        for severity in range(1, SEVERITIES + 1)
    ]
    shown = RandomCorruption(every, share=0.5)
    return shown if plain is None else Compose(plain, shown)


def settings(shown: str) -> TrainConfig:
    """How one classifier is trained."""
    preset = training_preset("fashion32")
    return replace(preset, seed=SEED, augment=augment_of(SHOWN[shown], preset.augment))


def labelled(train: ImageSet, labels: int) -> ImageSet:
    """So many images of each class, drawn by the seed."""
    order = Rng(SEED, "labelled").numpy().permutation(len(train)).tolist()
    return labelled_subset(train.select(order), labels)


def classifier_of(shown: str, folder: Path = FOLDER) -> SmallResNet:
    """A finished classifier, see the module.

    Raises:
        FileNotFoundError: run this recipe first.
    """
    return SmallResNet.load(folder / f"{shown}.safetensors")


def made(
    train: ImageSet, config: TrainConfig, path: Path, splits: dict[str, ImageSet]
) -> dict[str, object]:
    """Train one, unless it is there, and measure it."""
    known = path.with_suffix(".json")
    if path.exists() and known.exists():
        found: dict[str, object] = json.loads(known.read_text())
        return found
    assert train.labels is not None
    module = train_classifier(
        SmallResNet(num_classes=len(train.class_names), seed=config.seed),
        train.images,
        train.labels,
        config,
        checkpoint=path.with_suffix(".pt"),
    ).module
    assert isinstance(module, SmallResNet)
    module.save(path, {"data": f"{len(train)} labelled images of Fashion-MNIST"})
    found = {name: measure(module, images) for name, images in splits.items()}
    write_json(known, found)
    return found


def main(*, out: Path = FOLDER, quick: bool = False) -> dict[str, object]:
    """Train all that are missing; `quick` trains for one epoch and writes no result."""
    place = folder_of(out, quick=quick)
    train = fashion_mnist("train")
    splits = {name: fashion_mnist(name) for name in ("val", "test")}
    if quick:
        train, splits = train.select(range(400)), {"val": splits["val"].select(range(50))}
    few, rows = labelled(train, 10 if quick else PER_CLASS), []
    for shown in SHOWN:
        config = replace(settings(shown), epochs=1) if quick else settings(shown)
        found = made(few, config, place / f"{shown}.safetensors", splits)
        rows.append({"shown": shown, **found})
        print(rows[-1], flush=True)
    training = {**asdict(training_preset("fashion32")), "augment": None, "augment_views": None}
    found = {
        "seed": SEED,
        "config": {
            "training": {**training, "augment": repr(training_preset("fashion32").augment)},
            "labels": PER_CLASS,
            "shown": {name: list(kinds) for name, kinds in SHOWN.items()},
            "share": 0.5,
            "severities": SEVERITIES,
            "scales": list(SCALES),
        },
        "classifiers": rows,
    }
    return finish("shift_classifiers", found, None if quick else RESULT)


if __name__ == "__main__":
    run(main)
