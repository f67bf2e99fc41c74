"""Ship trained weights as genviews/zoo/fashion32/generator.safetensors, and write the card.

Command: python -m recipes.fashion32.export_generator WEIGHTS [--check IMAGES] [--folder ENTRY]
Time: seconds on a CPU.
Split: none is read. The generator saw `train`; that of the entry fashion32 without labels, that of
fashion32-classes (train_generator --classes) with them.

WEIGHTS is a safetensors file with the official parameter names. Beside it lies WEIGHTS with the
ending .json: the architecture and the facts of the training. IMAGES holds `z` and the `image` that
another implementation makes of it (psi 1, fixed noise); the export stops when ours differs by more
than 1e-4. The check file that ships has 4 latents and their images, for the tests of every later
version.

The card keeps what other recipes measured. Parts made with another generator are named at the end:
the package refuses them until their recipes have run again.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genviews.checks import fail
from genviews.data.fashion import CLASS_NAMES
from genviews.files import load_tensors, read_json
from genviews.generators.base import Generator
from genviews.generators.card import generator_description, generator_from
from genviews.kit import GENERATOR
from genviews.rng import Rng
from genviews.zoo.card import ENTRIES, read_card, save_part, start_card
from recipes.recipe import run

CHECK = "generator_check.safetensors"
TOLERANCE = 1e-4
# Until they are measured: rows 0-2 act at 4x4 and 8x8, rows 3-4 at 16x16, rows 5-7 up to 32x32.
RANGES = {"coarse": (0, 3), "middle": (3, 5), "fine": (5, 8)}
SECTIONS: dict[str, Mapping[str, object]] = {
    "licence": {
        "data": "MIT: Fashion-MNIST, Xiao, Rasul and Vollgraf 2017, arXiv 1708.07747",
        "weights": "MIT",
    },
    "splits": {
        "train": "training images 0-54,999",
        "val": "training images 55,000-59,999",
        "test": "the 10,000 test images",
    },
    "image": {
        "channels": 1,
        "height": 32,
        "width": 32,
        "range": [-1, 1],
        "pixels": "28x28 zero-padded to 32x32, pixel / 127.5 - 1",
        "class_names": list(CLASS_NAMES),
    },
}


def export(weights: Path, folder: Path, check: Path | None = None) -> list[str]:
    """Check the weights, write them with their check file and the card.

    Args:
        weights: safetensors file; its facts are beside it, with the ending .json.
        folder: the zoo entry to write.
        check: safetensors file with `z` and `image` of another implementation.

    Returns:
        Files of the entry that were made with another generator and must be made again.

    Raises:
        ValueError: weights that do not fit the architecture, or images that differ.
    """
    facts = read_json(weights.with_suffix(".json"))
    made = generator_from({"family": facts["family"], "config": facts}, lambda: weights)
    if check is None:
        z = made.sample(Rng(0, "generator check").streams(range(4)))
        known = {"z": z, "image": _images(made, z)}
    else:
        known = load_tensors(check)[0]
    _compare(made, known)
    start_card(folder, _sections(facts, made, folder.name))
    if "ranges" not in read_card(folder):
        start_card(folder, {"ranges": {name: list(rows) for name, rows in RANGES.items()}})
    what = "StyleGAN2 weights, official parameter names"
    save_part(folder, GENERATOR, load_tensors(weights)[0], what=what)
    what = "4 latents z and the images they give (psi 1, fixed noise)"
    save_part(folder, CHECK, known, what=what, made_with=(GENERATOR,))
    return stale_parts(read_card(folder))


def stale_parts(card: Mapping[str, Any]) -> list[str]:
    """Return the files of a card that were made with another version of one of its files."""
    files = card["files"]
    return [
        name
        for name, entry in files.items()
        if any(files[o]["sha256"] != sha for o, sha in entry.get("made_with", {}).items())
    ]


def _sections(
    facts: Mapping[str, Any], generator: Generator, name: str
) -> dict[str, Mapping[str, object]]:
    """What the card says of the generator."""
    labels = "with class labels as a condition" if facts["c_dim"] else "without labels"
    what = "StyleGAN2 on Fashion-MNIST padded to 32x32, one channel"
    more = {field: facts[field] for field in ("parameters", "training")}
    return {
        "about": {"name": name, "text": f"{what}; trained {labels}.", "domain": "fashion32"},
        **SECTIONS,
        "generator": {**generator_description(generator), **more},
    }


def _images(generator: Generator, z: Tensor) -> Tensor:
    """Their images; of a conditional generator, of the first classes in turn."""
    classes = generator.num_classes
    label = torch.arange(len(z)) % classes if classes else None
    return generator.synthesize(generator.map(z, label))


def _compare(generator: Generator, known: Mapping[str, Tensor]) -> None:
    image = _images(generator, known["z"])
    difference = float((image - known["image"]).abs().max())
    if not difference <= TOLERANCE:
        fail(
            "images of the generator",
            expected=f"those of the check file within {TOLERANCE}",
            got=f"a difference of {difference:.2g}",
            remedy="check the architecture, above all the channels and the resample filter",
        )


def main(weights: Path, *, check: Path | None = None, folder: Path = ENTRIES / "fashion32") -> str:
    """Ship trained generator weights with the package.

    Args:
        weights: safetensors file; its facts beside it as .json.
        check: z and image of another implementation.
        folder: entry to write.
    """
    stale = export(weights, folder, check)
    told = [f"made with another generator, make it again: {name}" for name in stale]
    return "\n".join([f"wrote {GENERATOR}, {CHECK} and card.json", *told])


if __name__ == "__main__":
    run(main)
