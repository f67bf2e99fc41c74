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

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from genviews.checks import fail
from genviews.data.fashion import CLASS_NAMES
from genviews.files import read_json
from genviews.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from genviews.kit import GENERATOR
from genviews.rng import Rng
from genviews.zoo.card import ENTRIES, read_card, save_part, start_card

CHECK = "generator_check.safetensors"
TOLERANCE = 1e-4
ARCHITECTURE = (
    "resolution",
    "img_channels",
    "z_dim",
    "w_dim",
    "c_dim",
    "mapping_layers",
    "mapping_lr_multiplier",
    "channels",
    "resample_filter",
    "conv_clamp",
)
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
    state = load_file(weights)
    generator = _build(facts, state)
    known = _render(generator) if check is None else load_file(check)
    _compare(generator, known)
    start_card(folder, {"about": _about(facts, folder.name), **SECTIONS, **_facts(facts)})
    if "ranges" not in read_card(folder):
        start_card(folder, {"ranges": {name: list(rows) for name, rows in RANGES.items()}})
    save_part(folder, GENERATOR, state, what="StyleGAN2 weights, official parameter names")
    save_part(
        folder,
        CHECK,
        known,
        what="4 latents z and the images they give (psi 1, fixed noise)",
        made_with=(GENERATOR,),
    )
    return stale_parts(read_card(folder))


def stale_parts(card: Mapping[str, Any]) -> list[str]:
    """Return the files of a card that were made with another version of one of its files."""
    files = card["files"]
    return [
        name
        for name, entry in files.items()
        if any(files[o]["sha256"] != sha for o, sha in entry.get("made_with", {}).items())
    ]


def _build(facts: Mapping[str, Any], state: Mapping[str, Tensor]) -> StyleGAN2:
    fields = {name: facts[name] for name in ARCHITECTURE}
    fields["channels"] = {int(r): width for r, width in facts["channels"].items()}
    fields["resample_filter"] = tuple(map(float, facts["resample_filter"]))
    generator = StyleGAN2(StyleGAN2Config(**fields))
    return generator.load_weights(state).eval().requires_grad_(False)


def _about(facts: Mapping[str, Any], name: str) -> dict[str, object]:
    labels = "with class labels as a condition" if facts["c_dim"] else "without labels"
    what = "StyleGAN2 on Fashion-MNIST padded to 32x32, one channel"
    return {"name": name, "text": f"{what}; trained {labels}.", "domain": "fashion32"}


def _facts(facts: Mapping[str, Any]) -> dict[str, Mapping[str, object]]:
    config = {name: facts[name] for name in ARCHITECTURE}
    generator = {
        "family": facts["family"],
        "config": config,
        "parameters": facts["parameters"],
        "training": facts["training"],
    }
    return {"generator": generator}


def _render(generator: StyleGAN2) -> dict[str, Tensor]:
    z = generator.sample(Rng(0, "generator check").streams(range(4)))
    return {"z": z, "image": _images(generator, z)}


def _images(generator: StyleGAN2, z: Tensor) -> Tensor:
    """Their images; of a conditional generator, of the first classes in turn."""
    classes = generator.num_classes
    label = torch.arange(len(z)) % classes if classes else None
    return generator.synthesize(generator.map(z, label))


def _compare(generator: StyleGAN2, known: Mapping[str, Tensor]) -> None:
    image = _images(generator, known["z"])
    difference = float((image - known["image"]).abs().max())
    if not difference <= TOLERANCE:
        fail(
            "images of the generator",
            expected=f"those of the check file within {TOLERANCE}",
            got=f"a difference of {difference:.2g}",
            remedy="check the architecture, above all the channels and the resample filter",
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the export; the exit status is 0, or 1 after an error."""
    parser = argparse.ArgumentParser(description="Ship trained generator weights with the package.")
    parser.add_argument("weights", type=Path, help="safetensors file; its facts beside it as .json")
    parser.add_argument("--check", type=Path, help="z and image of another implementation")
    parser.add_argument("--folder", type=Path, default=ENTRIES / "fashion32", help="entry to write")
    chosen = parser.parse_args(arguments)
    try:
        stale = export(chosen.weights, chosen.folder, chosen.check)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"wrote {GENERATOR}, {CHECK} and card.json")
    for name in stale:
        print(f"made with another generator, make it again: {name}")
    return 0


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main())
