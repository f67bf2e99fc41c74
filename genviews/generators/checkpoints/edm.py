"""EDM in a pickle of its release: the network that was averaged in training, with what it scales.

    {"ema": EDMPrecond(model=SongUNet(...)), "loss_fn": ..., "augment_pipe": ..., ...}

The architecture is read off the arguments of the outer network, which go to the inner one. Weights
for augmented images are left out: no augmentation is asked for. The sampler is that of the release,
18 steps of Heun.

Source: NVlabs/edm 008a4e5, `training/networks.py`, `generate.py`.
"""

from __future__ import annotations

import math
from typing import Any

from genviews.described import described_by
from genviews.generators.checkpoints.contents import Contents
from genviews.generators.checkpoints.modules import Module
from genviews.generators.checkpoints.reader import Opened, Reader
from genviews.generators.checkpoints.records import REMEDY
from genviews.generators.edm_config import EDMConfig
from genviews.generators.families import filled
from genviews.weights import without_filters

__all__ = ["READER"]

KEYS = ("ema",)
_KINDS = {"EDMPrecond": "edm", "VPPrecond": "vp", "VEPrecond": "ve", "iDDPMPrecond": "iddpm"}
_NETWORKS = {"SongUNet": "song", "DhariwalUNet": "adm"}
_AUGMENTATION = "model.map_augment.weight"

# Names here -> names of the arguments, of the outer and of the inner network. Where the release has
# another default than our config, it is written down: those of the "adm" network, and of "iddpm".
_OUTER = {
    "resolution": "img_resolution",
    "img_channels": "img_channels",
    "c_dim": "label_dim",
    "sigma_data": "sigma_data",
    "beta_d": "beta_d",
    "beta_min": "beta_min",
    "noise_steps": "M",
}
_INNER = {
    "model_channels": "model_channels",
    "channel_mult": "channel_mult",
    "channel_mult_emb": "channel_mult_emb",
    "num_blocks": "num_blocks",
    "attn_resolutions": "attn_resolutions",
    "channel_mult_noise": "channel_mult_noise",
    "embedding": "embedding_type",
    "encoder": "encoder_type",
    "decoder": "decoder_type",
    "resample_filter": "resample_filter",
}
_DEFAULTS_OF_ADM = {
    "model_channels": 192,
    "channel_mult": (1, 2, 3, 4),
    "num_blocks": 3,
    "attn_resolutions": (32, 16, 8),
}
# Arguments that change how a network trains, or in which precision it computes, not what.
_TRAINING = {"use_fp16", "model_type", "augment_dim", "dropout", "label_dropout"}
_TRAINING |= {"in_channels", "out_channels", "C_1", "C_2"}
_RANGES: dict[str, dict[str, float]] = {
    "edm": {"sigma_min": 0, "sigma_max": math.inf},
    "vp": {"epsilon_t": 1e-5},
    "ve": {"sigma_min": 0.02, "sigma_max": 100},
    "iddpm": {},
}
"""Noise that a network was trained for, by its arguments; no file was seen with another."""


def _knows(contents: Contents) -> bool:
    network = contents.network(*KEYS)
    return network is not None and network.kind in _KINDS and "model" in network.children


def _read(contents: Contents) -> Opened:
    network = contents.network(*KEYS)
    assert network is not None
    with described_by(contents.what, "an EDM network", REMEDY):
        config = _config(network)
    stored = without_filters(network.state())
    stored.pop(_AUGMENTATION, None)
    shapes = contents.shapes(stored)
    generator = filled("edm", config, shapes, lambda: contents.tensors(stored), contents.what)
    return Opened(
        generator=generator,
        source="an EDM of NVIDIA's (NVlabs/edm)",
        licence="weights that NVIDIA published: CC BY-NC-SA 4.0, not for commerce",
        skipped=contents.beside(*KEYS),
    )


READER = Reader(what="an EDM in a pickle of NVIDIA's", knows=_knows, read=_read)


def _config(network: Module) -> EDMConfig:
    """The architecture; KeyError or ValueError for what is not understood."""
    model = network["model"]
    given: dict[str, Any] = {**network.kwargs, **model.kwargs}
    kind, ranges = _KINDS[network.kind], _RANGES[_KINDS[network.kind]]
    known = {*_OUTER.values(), *_INNER.values(), *_TRAINING, *ranges}
    if others := sorted(given.keys() - known):
        raise ValueError(f"a network with {', '.join(others)}")
    if any(given.get(name, value) != value for name, value in ranges.items()):
        raise ValueError(f"{', '.join(ranges)} of its own")
    values: dict[str, Any] = dict(_DEFAULTS_OF_ADM if model.kind == "DhariwalUNet" else {})
    for ours, theirs in {**_OUTER, **_INNER}.items():
        if theirs in given:
            values[ours] = tuple(v) if isinstance(v := given[theirs], list) else v
    values["cosine"] = (given.get("C_1", 0.001), given.get("C_2", 0.008))
    values |= {"preconditioning": kind, "network": _NETWORKS[model.kind]}
    return EDMConfig(**values)
