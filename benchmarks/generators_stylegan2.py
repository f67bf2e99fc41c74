"""StyleGAN2 of NVIDIA's three releases against the originals: see `benchmarks.generators`."""

from __future__ import annotations

import importlib
import pickle
import pickletools
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.functional import one_hot

from benchmarks.agreement import Comparison, Section, difference, original, randomised
from benchmarks.nvidia_files import SOURCE, pytorch_pickle, tensorflow_pickle
from genviews.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from genviews.load.generator import load_generator

__all__ = ["SECTIONS"]

_SMALL: dict[str, Any] = {"z_dim": 16, "c_dim": 0, "w_dim": 24, "img_channels": 3}
_ORDER = ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels")
_CHANNELS: dict[str, Any] = {"channel_base": 512, "channel_max": 32}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "unconditional": ({"img_resolution": 32}, {}, {}),
    "conditional": ({"img_resolution": 16, "c_dim": 4}, {}, {}),
    "8 pixels, one channel": ({"img_resolution": 8, "img_channels": 1}, {}, {}),
    "64 pixels, two layers of mapping": ({"img_resolution": 64}, {"num_layers": 2}, {}),
    "narrow": ({"img_resolution": 32}, {}, {"channel_base": 128, "channel_max": 16}),
    "wide at the end": ({"img_resolution": 16}, {}, {"channel_base": 1024, "channel_max": 64}),
    "clamped": ({"img_resolution": 32}, {}, {"conv_clamp": 2.0}),
    "half precision": ({"img_resolution": 32}, {}, {"conv_clamp": 256, "num_fp16_res": 4}),
    "another filter": ({"img_resolution": 16}, {}, {"resample_filter": [1, 2, 1]}),
    "a long filter": ({"img_resolution": 16}, {}, {"resample_filter": [1, 3, 5, 7, 7, 5, 3, 1]}),
    "no noise inputs": ({"img_resolution": 16}, {}, {"use_noise": False}),
    "another learning rate": ({"img_resolution": 16}, {"lr_multiplier": 0.1}, {}),
    "a wide z": ({"img_resolution": 8, "z_dim": 40, "c_dim": 2}, {}, {}),
}
"""Name -> arguments of the generator, of its mapping, and of its synthesis."""
SEED = 0


def _cases(quick: bool) -> Iterator[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]]:
    for name, (whole, mapping, synthesis) in list(CASES.items())[: 2 if quick else None]:
        mapping = {"num_layers": 3, "lr_multiplier": 0.01, **mapping}
        whole = {**_SMALL, **whole}
        yield name, {key: whole[key] for key in _ORDER}, mapping, {**_CHANNELS, **synthesis}


def _pytorch(
    module: str, nested: bool, checkout: Path, folder: Path, quick: bool
) -> Iterator[Comparison]:
    """A release for PyTorch: its generator, as its own `pickle.dump` writes it."""
    with original(checkout):
        networks = importlib.import_module(module)
        for name, whole, mapping, synthesis in _cases(quick):
            torch.manual_seed(SEED)
            options = {"synthesis_kwargs": synthesis} if nested else synthesis
            theirs = networks.Generator(**whole, mapping_kwargs=mapping, **options)
            randomised(theirs, SEED)
            path = folder / "net.pkl"
            saved = {"G": theirs, "D": nn.Linear(2, 2), "G_ema": theirs, "augment_pipe": None}
            path.write_bytes(pickle.dumps(saved))
            found = _compared(name, whole, mapping, synthesis, theirs, path)
            plain = not {"resample_filter", "use_noise", "num_fp16_res"} & synthesis.keys()
            if nested and plain and whole["img_resolution"] > 8:  # there the writer knows the base
                others = {"opcodes": _opcodes_that_differ(theirs, path)}
                found = replace(found, differences={**found.differences, **others})
            yield found


def _opcodes_that_differ(theirs: nn.Module, path: Path) -> float:
    """Of their file and of that which `benchmarks.nvidia_files` writes of the same network.

    Source text and the bytes of storages, in which there are addresses of memory, are left out.
    """
    read = load_generator(path).generator
    assert isinstance(read, StyleGAN2)
    ours = StyleGAN2(replace(read.config, resample_filter=(1, 3, 3, 1)))
    ours.load_state_dict(read.state_dict())
    files = (
        pickle.dumps({"G": theirs, "D": None, "G_ema": theirs, "augment_pipe": None}),
        pytorch_pickle(ours),
    )
    first, second = ([*_plain_opcodes(data)] for data in files)
    return sum(one != other for one, other in zip_longest(first, second))


def _plain_opcodes(data: bytes) -> Iterator[tuple[str, object]]:
    for opcode, value, _ in pickletools.genops(data):
        source = isinstance(value, str) and (len(value) > 1000 or value == SOURCE)
        if opcode.name != "FRAME":
            named = "source" if source else opcode.name
            yield named, None if source or isinstance(value, bytes) else value


def _compared(
    name: str,
    whole: Mapping[str, Any],
    mapping: Mapping[str, Any],
    synthesis: Mapping[str, Any],
    theirs: Any,  # noqa: ANN401 (their network)
    path: Path,
) -> Comparison:
    """Their network, and ours out of the file."""
    ours = load_generator(path).generator
    assert isinstance(ours, StyleGAN2)
    draw = torch.Generator().manual_seed(SEED + 1)
    z = torch.randn(3, ours.z_dim, generator=draw)
    label = torch.arange(3) % ours.num_classes if ours.num_classes else None
    condition = torch.zeros(3, 0) if label is None else one_hot(label, ours.num_classes).float()
    most = {"latents": 0.0, "images": 0.0}
    for psi, cutoff in ((1.0, None), (0.5, None), (0.7, 3)):
        wanted = theirs.mapping(z, condition, truncation_psi=psi, truncation_cutoff=cutoff)
        latents = ours.map(z, label, psi=psi, cutoff=cutoff)
        most["latents"] = max(most["latents"], difference(latents, wanted))
        for noise in ("const", "none"):
            images = theirs.synthesis(wanted, noise_mode=noise, force_fp32=True)
            found = ours.synthesis(latents, noise=noise)
            most["images"] = max(most["images"], difference(found, images))
    config = {**whole, "mapping_kwargs": mapping, "synthesis_kwargs": synthesis}
    return Comparison(case=name, config=config, seed=SEED, differences=most)


def _tensorflow(checkout: Path, folder: Path, quick: bool) -> Iterator[Comparison]:
    """A pickle of TensorFlow, as the conversion of the PyTorch release reads it.

    TensorFlow is not installed: the file is written here, with the names and shapes of its source.
    """
    with original(checkout):
        legacy = importlib.import_module("legacy")
        for name, config in list(_TENSORFLOW.items())[: 2 if quick else None]:
            path = folder / "tensorflow.pkl"
            path.write_bytes(tensorflow_pickle(config, SEED))
            with open(path, "rb") as file:
                theirs = legacy.convert_tf_generator(legacy._LegacyUnpickler(file).load()[2])
            yield _compared(name, asdict(config), {}, {}, theirs, path)


_TENSORFLOW = {
    "unconditional": StyleGAN2Config(
        resolution=32, z_dim=16, w_dim=24, mapping_layers=3, channels={4: 32, 8: 32, 16: 32, 32: 16}
    ),
    "conditional": StyleGAN2Config(
        resolution=16, z_dim=16, w_dim=24, c_dim=4, channels={4: 32, 8: 32, 16: 16}
    ),
    "clamped, another filter": StyleGAN2Config(
        resolution=16,
        img_channels=1,
        z_dim=16,
        w_dim=24,
        mapping_layers=2,
        conv_clamp=2.0,
        channels={4: 32, 8: 32, 16: 16},
        resample_filter=(1, 2, 1),
    ),
}

SECTIONS: dict[str, Section] = {
    "stylegan2_ada": Section(
        repository="NVlabs/stylegan2-ada-pytorch",
        compare=partial(_pytorch, "training.networks", True),
    ),
    "stylegan2_of_stylegan3": Section(
        repository="NVlabs/stylegan3",
        compare=partial(_pytorch, "training.networks_stylegan2", False),
    ),
    "stylegan2_tensorflow": Section(repository="NVlabs/stylegan2-ada-pytorch", compare=_tensorflow),
}
