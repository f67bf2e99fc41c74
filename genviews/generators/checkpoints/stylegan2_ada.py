"""StyleGAN2 in a pickle of NVIDIA's PyTorch releases: stylegan2-ada-pytorch, and stylegan3's own.

    {"G": ..., "D": ..., "G_ema": Generator(mapping, synthesis(b4, b8, ...)), "augment_pipe": ...}

`G_ema` is taken, else `G`. The architecture is read off the network's own parts, because the two
releases have other defaults (such as a clamp of 256). Half precision, which both use for the
largest blocks on a GPU, is left out: it changes round-off only.

Source: NVlabs/stylegan2-ada-pytorch d72cc7d and NVlabs/stylegan3 c233a91, files `legacy.py`,
`torch_utils/persistence.py`, `training/networks.py`, `training/networks_stylegan2.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import torch

from genviews.checks import fail
from genviews.described import described_by
from genviews.generators.checkpoints.contents import Contents
from genviews.generators.checkpoints.modules import Module
from genviews.generators.checkpoints.reader import Opened, Reader
from genviews.generators.checkpoints.records import REMEDY
from genviews.generators.checkpoints.strangers import WRITE
from genviews.generators.checkpoints.tensors import shape_of
from genviews.generators.families import filled
from genviews.generators.stylegan2_networks import StyleGAN2Config
from genviews.weights import without_filters

__all__ = ["READER", "checked_options", "no_noise"]

KEYS = ("G_ema", "G")


def _knows(contents: Contents) -> bool:
    network = contents.network(*KEYS)
    synthesis = None if network is None else network.children.get("synthesis")
    return synthesis is not None and "b4" in synthesis.children


def _read(contents: Contents) -> Opened:
    network = contents.network(*KEYS)
    assert network is not None
    with described_by(contents.what, "a StyleGAN2 of NVIDIA", REMEDY):
        config, noisy = _config(network, contents)
    stored = without_filters(network.state())
    shapes = contents.shapes(stored)
    still = {} if noisy else no_noise(config)
    shapes |= {name: value.to("meta") for name, value in still.items()}
    generator = filled(
        "stylegan2", config, shapes, lambda: contents.tensors(stored) | still, contents.what
    )
    return Opened(
        generator=generator,
        source="a StyleGAN2 of NVIDIA's PyTorch releases (stylegan2-ada-pytorch, stylegan3)",
        licence="weights that NVIDIA published: Nvidia Source Code License, not for commerce",
        skipped=contents.beside(*KEYS),
    )


READER = Reader(what="a StyleGAN2 in a pickle of NVIDIA's", knows=_knows, read=_read)


def _config(network: Module, contents: Contents) -> tuple[StyleGAN2Config, bool]:
    """The architecture, and whether it has noise inputs."""
    mapping, synthesis = network["mapping"], network["synthesis"]
    blocks = {int(name[1:]): part for name, part in synthesis.children.items()}
    convs = [part[name] for part in blocks.values() for name in part.children if "conv" in name]
    dense = [part for name, part in mapping.children.items() if re.fullmatch(r"fc\d+", name)]
    options = {
        "architecture": _each(blocks.values(), "architecture"),
        "activation": _each([*convs, *dense], "activation"),
        "use_noise": _each(convs, "use_noise"),
        "conv_clamp": _each(convs, "conv_clamp"),
    }
    noisy = checked_options(options, contents.what)
    filters = [contents.tensor(part.stored["resample_filter"]) for part in blocks.values()]
    taps = filters[0] if filters[0].ndim == 1 else filters[0].sum(0)
    if not all(torch.equal(one, filters[0]) for one in filters):
        raise ValueError("blocks of different resample_filter")
    config = StyleGAN2Config(
        resolution=synthesis.attributes["img_resolution"],
        img_channels=synthesis.attributes["img_channels"],
        z_dim=mapping.attributes["z_dim"],
        w_dim=mapping.attributes["w_dim"],
        c_dim=mapping.attributes["c_dim"],
        mapping_layers=len(dense),
        mapping_lr_multiplier=_each(dense, "bias_gain"),
        channels={r: shape_of(part["conv1"].stored["weight"])[0] for r, part in blocks.items()},
        resample_filter=tuple((taps / taps.sum()).tolist()),
        conv_clamp=options["conv_clamp"],
    )
    return config, noisy


def checked_options(options: dict[str, Any], what: str) -> bool:
    """Return whether there is noise, or raise ValueError for an option that is not built here."""
    known: dict[str, tuple[object, ...]] = {
        "architecture": ("skip",),
        "activation": ("lrelu",),
        "mapping activation": ("lrelu",),
        "use_noise": (True, False),
    }
    for name, values in known.items():
        if name in options and options[name] not in values:
            expected = f"{name} {' or '.join(map(repr, values))}"
            fail(what, expected=expected, got=repr(options[name]), remedy=WRITE)
    return bool(options["use_noise"])


def _each(parts: Iterable[Module], name: str) -> Any:  # noqa: ANN401 (of a file)
    """The attribute that all parts have alike."""
    found = [part.attributes[name] for part in parts]
    if not found or any(type(one) is not type(found[0]) or one != found[0] for one in found):
        raise ValueError(f"layers of different {name}")
    return found[0]


def no_noise(config: StyleGAN2Config) -> dict[str, torch.Tensor]:
    """Noise inputs of strength 0, for a network that has none."""
    still = {}
    for size in config.resolutions:
        for conv in ("conv0", "conv1")[size == 4 :]:
            name = f"synthesis.b{size}.{conv}"
            still[f"{name}.noise_const"] = torch.zeros(size, size)
            still[f"{name}.noise_strength"] = torch.zeros([])
    return still
