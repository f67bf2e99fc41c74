"""Ship a small real sample of Fashion-MNIST as genviews/zoo/fashion32/samples.safetensors.

Command: python -m recipes.fashion32.export_samples [--root FOLDER]
Time: seconds on a CPU.
Expected: 500 images of `val` (50 a class) and 1,000 of `test` (100 a class), below 1.5 MB.
Split: none is fitted on. The first images of each class in file order; `train` is not shipped.

The images stay as they are in the data set (28x28, uint8) and keep the ids that they have in the
whole data set, so that numbers on the sample can be followed back to it. Fashion-MNIST is under the
MIT licence.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from genviews.data.fashion import fashion_mnist, labelled_subset, pad_pixels
from genviews.data.images import ImageSet
from genviews.zoo.card import ENTRIES, save_part
from recipes.recipe import run

FILE = "samples.safetensors"
PER_CLASS: dict[Literal["val", "test"], int] = {"val": 50, "test": 100}


def export(sets: Mapping[Literal["val", "test"], ImageSet], folder: Path) -> None:
    """Write the first images of each class of `val` and `test`, and list the file on the card.

    Args:
        sets: split -> the whole split.
        folder: the zoo entry; its card must exist.
    """
    tensors: dict[str, Tensor] = {}
    ids: dict[str, list[str]] = {}
    for split, per_class in PER_CLASS.items():
        chosen = labelled_subset(sets[split], per_class)
        assert chosen.labels is not None
        tensors[f"{split}_pixels"] = _pixels(chosen)
        tensors[f"{split}_labels"] = chosen.labels.to(torch.uint8)
        ids[split] = list(chosen.ids)
    counts = ", ".join(f"{len(ids[s])} of {s} ({n} a class)" for s, n in PER_CLASS.items())
    save_part(
        folder,
        FILE,
        tensors,
        what=f"real images: {counts}; the first of each class in file order; uint8, 28x28",
        metadata={"ids": json.dumps(ids)},
    )


def _pixels(images: ImageSet) -> Tensor:
    """Return the uint8 28x28 pictures that `pad_pixels` made these images of."""
    inner = images.images[:, 0, 2:-2, 2:-2]
    pixels = ((inner + 1) * 127.5).round().to(torch.uint8)
    assert torch.equal(pad_pixels(pixels), images.images)
    return pixels


def main(*, root: Path | None = None, folder: Path = ENTRIES / "fashion32") -> str:
    """Ship a small real sample with the package.

    Args:
        root: folder of the idx files.
        folder: entry to write.
    """
    export({split: fashion_mnist(split, root) for split in PER_CLASS}, folder)
    return f"wrote {FILE}: {(folder / FILE).stat().st_size} bytes"


if __name__ == "__main__":
    run(main)
