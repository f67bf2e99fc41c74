"""What is known of a generator, as JSON values, and the generator as a file of our own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from genviews.checks import expanded, fail, option
from genviews.files import write_json
from genviews.generators.families import family_of, save_generator
from genviews.kit import GeneratorKit

__all__ = ["convert", "generator_facts"]


def generator_facts(kit: GeneratorKit) -> dict[str, Any]:
    """Return family, sizes, latents, named rows, classes, parameters, source and licence.

    Example:
        >>> from genviews import ToyGenerator
        >>> facts = generator_facts(GeneratorKit(ToyGenerator(), name="toy"))
        >>> facts["family"], facts["latents"], facts["gradient"]
        ('ToyGenerator', {'space': 'w+', 'rows': 4, 'width': 4}, True)
    """
    generator = kit.generator
    family = family_of(generator)
    spec = generator.latent_spec
    tables = {name: kit.card.get(name) or {} for name in ("about", "licence")}
    return {
        "name": kit.name,
        "family": type(generator).__name__ if family is None else family[0],
        "images": asdict(generator.image_spec),
        "latents": {"space": spec.space, "rows": spec.num_layers, "width": spec.dim},
        "ranges": {one.name: [one.start, one.stop] for one in spec.ranges},
        "z": generator.z_dim,
        "classes": generator.num_classes,
        "class_names": list(generator.class_names),
        "gradient": generator.differentiable,
        "parameters": sum(one.numel() for one in generator.parameters()),
        "config": {} if family is None else family[1],
        "source": _text(tables["about"]),
        "licence": _text(tables["licence"]),
        "notes": list(generator.notes),
    }


def convert(kit: GeneratorKit, out: str | Path, *, force: bool = False) -> tuple[Path, Path]:
    """Write the generator of a kit as safetensors with its spec in the header, a card beside it.

    Args:
        kit: its generator is of a family.
        out: the file, NAME.safetensors; the card is NAME.card.json.
        force: replace files that are there.

    Returns:
        The file and its card.

    Raises:
        ValueError: a generator of no family, another ending, or a file is there.
    """
    path = expanded(out)
    if path.suffix != ".safetensors":
        remedy = "name a file that ends so"
        fail(option("out"), expected="NAME.safetensors", got=path.name, remedy=remedy)
    card = path.with_suffix(".card.json")
    if not force and (there := [one.name for one in (path, card) if one.exists()]):
        remedy = f"choose another name, or replace it with {option('force')}"
        fail(option("out"), expected="a new file", got=f"{there[0]}, which is there", remedy=remedy)
    facts = generator_facts(kit)
    told = {name: facts[name] for name in ("source", "licence") if facts[name]}
    if facts["class_names"]:
        told["class_names"] = json.dumps(facts["class_names"])
    save_generator(path, kit.generator, told)
    write_json(card, facts)
    return path, card


def _text(table: Mapping[str, Any]) -> str:
    """The texts of a section of a card."""
    return "; ".join(str(table[key]) for key in ("text", "weights", "data") if table.get(key))
