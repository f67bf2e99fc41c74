"""Train the standard classifier of fashion32 on 1,200 labelled images, and ship it.

Claim: the setting of the paper's cats: many images for the generator, few labels for the classifier
(Chai et al. 2021, Sec. 4.3).
Command: python -m recipes.fashion32.train_classifier
Time: about 2 minutes on one core; a checkpoint every epoch, a re-run continues.
Split: trained on the first 120 images of each class of `train`; no choice is made on `val` here
(the last epoch is kept); accuracy on `val` (5,000) and `test` (10,000) is reported.
Expected: 85 to 88 % on test.
Writes: genviews/zoo/fashion32/classifier.safetensors, results/fashion32/classifier.json.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import nn

from genviews.classify.config import training_preset
from genviews.classify.model import predict_logits
from genviews.classify.network import SmallResNet
from genviews.classify.train import train_classifier
from genviews.data.fashion import fashion_mnist, labelled_subset
from genviews.data.images import ImageSet
from genviews.ensemble.significance import accuracy_interval
from genviews.rng import Rng
from genviews.zoo.card import ENTRIES, record_file
from recipes.recipe import finish, folder_of, run

ENTRY = ENTRIES / "fashion32"
RESULT = Path("results/fashion32/classifier.json")


def measure(module: nn.Module, images: ImageSet) -> dict[str, object]:
    """Accuracy with its interval, and by class."""
    assert images.labels is not None
    right = predict_logits(module, images.images).argmax(-1) == images.labels
    return {
        "images": len(images),
        "accuracy": float(right.float().mean()),
        "interval": accuracy_interval(int(right.sum()), len(right)),
        "by_class": {
            name: float(right[images.labels == y].float().mean())
            for y, name in enumerate(images.class_names)
        },
    }


def _toy() -> ImageSet:
    """Bright and dark noise, for `quick`."""
    labels = torch.arange(40) % 2
    noise = torch.rand(40, 1, 32, 32, generator=Rng(0, "quick").torch())
    images = noise - labels[:, None, None, None].float()
    names = tuple(str(i) for i in range(40))
    return ImageSet(images=images, labels=labels, ids=names, class_names=("bright", "dark"))


def main(
    *, out: Path = Path("runs/fashion32/classifier"), quick: bool = False
) -> dict[str, object]:
    """Train, ship and measure; `quick` trains two epochs on noise and ships nothing."""
    config = training_preset("fashion32")
    if quick:
        config, images = replace(config, epochs=2, batch_size=16), _toy()
        splits = {"val": images}
    else:
        images = labelled_subset(fashion_mnist("train"), per_class=120)
        splits = {name: fashion_mnist(name) for name in ("val", "test")}
    assert images.labels is not None
    module = train_classifier(
        SmallResNet(num_classes=len(images.class_names), seed=config.seed),
        images.images,
        images.labels,
        config,
        checkpoint=folder_of(out, quick=quick) / "checkpoint.pt",
    ).module
    assert isinstance(module, SmallResNet)
    if not quick:
        module.save(ENTRY / "classifier.safetensors")
        what = "SmallResNet trained on 1,200 labelled images"
        record_file(ENTRY, "classifier.safetensors", what=what)
    plain = {**asdict(config), "augment": repr(config.augment), "network": module.config}
    found = {
        "seed": config.seed,
        "config": plain,
        "training_images": len(images),
        **{name: measure(module, split) for name, split in splits.items()},
    }
    return finish("train_classifier", found, None if quick else RESULT)


if __name__ == "__main__":
    run(main)
