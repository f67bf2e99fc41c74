"""StyleGAN3 and StyleGAN-XL in a pickle: of NVIDIA's release, and of the one that builds on it.

    {"G": ..., "D": ..., "G_ema": Generator(mapping, synthesis(input, L0_36_512, ...)), ...}

`G_ema` is taken, else `G`. The architecture is read off the arguments that the synthesis network
was made with. A StyleGAN-XL of several stages keeps those of its first; the heads put upon it since
are found by the names and cutoffs of its layers. Half precision, which both use for the largest
layers on a GPU, is left out: it changes round-off only.

Source: NVlabs/stylegan3 c233a91, `training/networks_stylegan3.py`; autonomousvision/stylegan-xl
4241ff9, `training/networks_stylegan3_resetting.py`.
"""

from __future__ import annotations

import math
import re
from dataclasses import fields, replace
from typing import Any

from genviews.described import described_by
from genviews.generators.checkpoints.contents import Contents
from genviews.generators.checkpoints.modules import Module
from genviews.generators.checkpoints.reader import Opened, Reader
from genviews.generators.checkpoints.records import REMEDY
from genviews.generators.checkpoints.tensors import shape_of
from genviews.generators.families import filled
from genviews.generators.stylegan3_config import StyleGAN3Config

__all__ = ["READER"]

KEYS = ("G_ema", "G")
_FACTORS = (2, 4, 8, 16)
_FEWEST = 3  # layers of a head
# Arguments of the networks that change how they train or in which precision they compute, not what.
_TRAINING = ("magnitude_ema_beta", "num_fp16_res", "w_dim", "img_resolution", "img_channels")


def _knows(contents: Contents) -> bool:
    network = contents.network(*KEYS)
    synthesis = None if network is None else network.children.get("synthesis")
    given = None if synthesis is None else synthesis.children.get("input")
    return given is not None and "freqs" in given.stored


def _read(contents: Contents) -> Opened:
    network = contents.network(*KEYS)
    assert network is not None
    with described_by(contents.what, "a StyleGAN3 or StyleGAN-XL", REMEDY):
        config = _config(network)
        stored = network.state()
        unused = "mapping.embed.weight"  # of an unconditional StyleGAN-XL
        stored = {k: v for k, v in stored.items() if config.c_dim or k != unused}
    shapes, classes = contents.shapes(stored), config.c_dim

    def cut(tensors: dict[str, Any]) -> dict[str, Any]:
        """Without the rows of classes that the generator does not have."""
        if config.class_embedding:
            tensors[unused] = tensors[unused][:classes]
        return tensors

    generator = filled(
        "stylegan3", config, cut(shapes), lambda: cut(contents.tensors(stored)), contents.what
    )
    extended = config.class_embedding or config.heads
    return Opened(
        generator=generator,
        source="a StyleGAN-XL (autonomousvision)" if extended else "a StyleGAN3 of NVIDIA's",
        licence=""
        if extended
        else "weights that NVIDIA published: Nvidia Source Code License, not for commerce",
        skipped=contents.beside(*KEYS),
    )


READER = Reader(what="a StyleGAN3 or StyleGAN-XL in a pickle", knows=_knows, read=_read)


def _config(network: Module) -> StyleGAN3Config:
    """The architecture; KeyError or ValueError for what is not understood."""
    mapping, synthesis = network["mapping"], network["synthesis"]
    given = dict(synthesis.kwargs)
    known = {field.name for field in fields(StyleGAN3Config)}
    if others := sorted(given.keys() - known - set(_TRAINING)):
        raise ValueError(f"a synthesis network with {', '.join(others)}")
    dense = [part for name, part in mapping.children.items() if re.fullmatch(r"fc\d+", name)]
    clamps = {part.attributes["conv_clamp"] for part in _layers(synthesis)}
    if len(clamps) != 1:
        raise ValueError("layers of different conv_clamp")
    own = "embed_proj" in mapping.children
    sizes = {
        "resolution": given["img_resolution"],
        "img_channels": synthesis.attributes["img_channels"],
        "z_dim": mapping.attributes["z_dim"],
        "w_dim": mapping.attributes["w_dim"],
        "c_dim": mapping.attributes["c_dim"],
        "mapping_layers": len(dense),
        "mapping_lr_multiplier": dense[0].attributes["bias_gain"],
        "class_embedding": shape_of(mapping["embed"].stored["weight"])[1] if own else 0,
        "conv_clamp": clamps.pop(),
    }
    stem = StyleGAN3Config(**{k: v for k, v in given.items() if k in known} | sizes)
    found = _with_heads(stem, synthesis)
    if found is None:
        names = ", ".join(name for name in synthesis.children if name != "input")
        raise ValueError(f"layers of no schedule: {names}")
    return found


def _layers(synthesis: Module) -> list[Module]:
    return [part for name, part in synthesis.children.items() if name != "input"]


def _with_heads(config: StyleGAN3Config, synthesis: Module) -> StyleGAN3Config | None:
    """The architecture with the heads by which it has the layers of the file."""
    names = [name for name in synthesis.children if name != "input"]
    cutoffs = [float(part.attributes["out_cutoff"]) for part in _layers(synthesis)]
    if _agree(config, names, cutoffs, whole=True):
        return config
    if not _agree(config, names, cutoffs, whole=False):
        return None
    for count in range(_FEWEST, len(names) + 1):
        for factor in _FACTORS:
            size = config.resolution * factor
            if size <= synthesis.attributes["img_resolution"]:
                heads = (*config.heads, (count, factor))
                found = _with_heads(replace(config, resolution=size, heads=heads), synthesis)
                if found is not None:
                    return found
    return None


def _agree(config: StyleGAN3Config, names: list[str], cutoffs: list[float], *, whole: bool) -> bool:
    """Whether the layers are those of the file, or those of them that a head leaves its first."""
    own = [layer for layer in config.layers if whole or not layer.critical]
    return (len(own) == len(names) if whole else 0 < len(own) < len(names)) and all(
        layer.name == name and math.isclose(layer.made.cutoff, cutoff, rel_tol=1e-6)
        for layer, name, cutoff in zip(own, names, cutoffs, strict=False)
    )
