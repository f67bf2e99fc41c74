"""The kits that ship with genviews, and the classifiers and real images that belong to them.

Nothing is downloaded: the parts are files of the package. Each is read when it is asked for, and
its hash compared with the card's.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from genviews.checks import lookup
from genviews.classify.model import Classifier
from genviews.classify.network import SmallResNet
from genviews.data.fashion import pad_pixels
from genviews.data.images import ImageSet
from genviews.files import load_tensors
from genviews.types import ImageSpec
from genviews.zoo.card import ENTRIES, checked_file, read_card

__all__ = [
    "CLASSIFIERS",
    "entry_folder",
    "names",
    "zoo_classifier",
    "zoo_classifiers",
    "zoo_images",
]

CLASSIFIERS = {
    "images": "classifier.safetensors",
    "reconstructions": "classifier_reconstructions.safetensors",
    "views": "classifier_views.safetensors",
}
"""What a classifier was trained on -> its file; an entry may lack some."""


def names() -> list[str]:
    """Return the names of the embedded entries."""
    return sorted(card.parent.name for card in ENTRIES.glob("*/card.json"))


def entry_folder(name: str) -> Path:
    """Return the folder of an embedded entry; `GeneratorKit.load` reads it.

    Raises:
        ValueError: unknown name; the closest are listed.

    Example:
        >>> entry_folder("fashoin32")
        Traceback (most recent call last):
        ValueError: entry of the zoo: expected one of fashion32, fashion32-classes, got ...
    """
    return lookup(name, {n: ENTRIES / n for n in names()}, "entry of the zoo")


def zoo_classifier(name: str | Path, trained_on: str = "images") -> Classifier:
    """Return a classifier of an entry: eval mode, frozen, on the CPU.

    Args:
        name: of the entry, or a folder.
        trained_on: a key of `CLASSIFIERS`.

    Raises:
        FileNotFoundError: the entry has no such classifier.
        ValueError: a file that does not match the card.
    """
    folder, card = _entry(name)
    network = SmallResNet.load(checked_file(folder, card, CLASSIFIERS[trained_on]))
    image = card["image"]
    spec = ImageSpec(channels=image["channels"], height=image["height"], width=image["width"])
    return Classifier(network.requires_grad_(False), spec, image["class_names"])


def zoo_classifiers(name: str | Path) -> dict[str, Classifier]:
    """Return the classifiers of an entry by what they were trained on."""
    listed = _entry(name)[1].get("files", {})
    return {
        kind: zoo_classifier(name, kind) for kind, file in CLASSIFIERS.items() if file in listed
    }


def zoo_images(name: str | Path, split: Literal["val", "test"]) -> ImageSet:
    """Return the real images that ship with an entry: the first of each class, in file order.

    Args:
        name: of the entry, or a folder.
        split: of fashion32, "val" (500 images, for calibration) or "test" (1,000).

    Returns:
        Images with the ids and labels that the whole data set gives them.

    Raises:
        FileNotFoundError: the entry has none.
        ValueError: another split.
    """
    folder, card = _entry(name)
    tensors, header = load_tensors(checked_file(folder, card, "samples.safetensors"))
    ids: dict[str, list[str]] = json.loads(header["ids"])
    lookup(split, ids, "split of the samples")
    return ImageSet(
        images=pad_pixels(tensors[f"{split}_pixels"]),
        ids=tuple(ids[split]),
        labels=tensors[f"{split}_labels"].long(),
        class_names=tuple(card["image"]["class_names"]),
    )


def _entry(name: str | Path) -> tuple[Path, dict[str, Any]]:
    folder = name if isinstance(name, Path) else entry_folder(name)
    return folder, read_card(folder)
