"""StyleGAN3 and StyleGAN-XL against the originals: see `benchmarks.generators`."""

from __future__ import annotations

import contextlib
import importlib
import io
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from benchmarks.agreement import Comparison, Section, difference, gradient_difference, original
from genviews.load.generator import load_generator

__all__ = ["SECTIONS"]

SEED = 0
_SMALL: dict[str, Any] = {
    "z_dim": 12,
    "w_dim": 16,
    "img_channels": 3,
    "c_dim": 0,
    "channel_base": 512,
    "channel_max": 16,
}
_T: dict[str, Any] = {"conv_kernel": 3, "use_radial_filters": False}
_R: dict[str, Any] = {"conv_kernel": 1, "use_radial_filters": True}
CASES: dict[str, dict[str, Any]] = {
    "t, 32 pixels": {**_T, "img_resolution": 32},
    "r, 32 pixels": {**_R, "img_resolution": 32},
    "t, classes": {**_T, "img_resolution": 16, "c_dim": 4},
    "r, classes, 64 pixels": {**_R, "img_resolution": 64, "c_dim": 3, "num_layers": 8},
    "t, 128 pixels, narrow": {**_T, "img_resolution": 128, "channel_base": 128},
    "8 pixels, grey, few layers": {
        **_T,
        "img_resolution": 8,
        "img_channels": 1,
        "num_layers": 4,
    },
    "one critical layer": {**_R, "img_resolution": 32, "num_layers": 6, "num_critical": 1},
    "another schedule": {
        **_T,
        "img_resolution": 64,
        "first_cutoff": 4,
        "first_stopband": 7.0,
        "last_stopband_rel": 1.5,
        "margin_size": 4,
        "output_scale": 1,
        "num_layers": 6,
    },
    "other filters, clamped": {
        **_R,
        "img_resolution": 32,
        "filter_size": 4,
        "lrelu_upsampling": 4,
        "conv_clamp": 0.5,
        "num_layers": 5,
    },
    "no clamp, no finer grid, kernel of 5": {
        "img_resolution": 32,
        "conv_kernel": 5,
        "conv_clamp": None,
        "lrelu_upsampling": 1,
        "num_layers": 5,
    },
    "deep mapping": {
        **_T,
        "img_resolution": 16,
        "num_layers": 4,
        "mapping_kwargs": {"num_layers": 5, "lr_multiplier": 0.1},
    },
}
XL: dict[str, tuple[dict[str, Any], tuple[tuple[int, int], ...]]] = {
    "stem": ({**_T, "c_dim": 5}, ()),
    "stem without classes": ({**_T}, ()),
    "one head": ({**_T, "c_dim": 5}, ((7, 2),)),
    "two heads": ({**_T, "c_dim": 3}, ((5, 2), (4, 2))),
    "radial, a head of four times the size": ({**_R, "c_dim": 5}, ((5, 4),)),
    "radial, two heads": ({**_R, "c_dim": 2}, ((4, 2), (3, 2))),
}


def stirred(network: nn.Module, seed: int) -> nn.Module:
    """The network with everything random but its filters, in eval mode and frozen."""
    draw = torch.Generator().manual_seed(seed)
    state = {}
    for name, value in network.state_dict().items():
        random = torch.randn(value.shape, generator=draw)
        if name.endswith("filter"):
            random.zero_()
        elif name.endswith("transform"):
            random[2] = 0  # an affine map
            random *= 0.2
        elif ".fc" in name and name.endswith("bias"):
            random *= 30
        elif name.endswith("magnitude_ema"):
            random = random.abs()
        state[name] = value + 0.3 * random
    # The first layer starts blind to w.
    key = "synthesis.input.affine.weight"
    state[key] = torch.randn(state[key].shape, generator=draw)
    network.load_state_dict(state)
    return network.eval().requires_grad_(False)


def _stylegan3(checkout: Path, folder: Path, quick: bool) -> Iterator[Comparison]:
    with original(checkout):
        networks = importlib.import_module("training.networks_stylegan3")
        for name, case in list(CASES.items())[: 1 if quick else None]:
            config = {**_SMALL, **case}
            torch.manual_seed(SEED)
            yield _compared(name, config, stirred(networks.Generator(**config), SEED), folder)


def _stylegan_xl(checkout: Path, folder: Path, quick: bool) -> Iterator[Comparison]:
    """Heads are put upon stems as the release does it: out of a pickle."""
    with original(checkout), contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()):
        torch.manual_seed(SEED)
        path = Path("in_embeddings/tf_efficientnet_lite0.pkl")
        path.parent.mkdir()
        path.write_bytes(pickle.dumps({"embed": nn.Embedding(7, 10)}))
        networks = importlib.import_module("training.networks_stylegan3_resetting")
        for name, (case, heads) in list(XL.items())[: 1 if quick else None]:
            config = {**_SMALL, "img_resolution": 16, "num_layers": 5, **case}
            torch.manual_seed(SEED)
            theirs = stirred(networks.Generator(**config), SEED)
            size = config["img_resolution"]
            for layers, factor in heads:
                stem = Path("stem.pkl")
                stem.write_bytes(pickle.dumps(_saved(theirs)))
                size *= factor
                theirs = networks.SuperresGenerator(
                    img_resolution=size,
                    path_stem=str(stem.absolute()),
                    head_layers=layers,
                    up_factor=factor,
                )
                stirred(theirs, SEED)
            yield _compared(name, {**config, "heads": heads}, theirs, folder)


def _saved(theirs: nn.Module) -> dict[str, Any]:
    others = {"D": None, "training_set_kwargs": None, "augment_pipe": None}
    return {"G": theirs, "G_ema": theirs, **others}


def _compared(name: str, config: dict[str, Any], theirs: Any, folder: Path) -> Comparison:  # noqa: ANN401 (their network)
    """Their network, and ours out of the file that their pickle is."""
    path = folder / "net.pkl"
    path.write_bytes(pickle.dumps(_saved(theirs)))
    ours = load_generator(path).generator
    draw = torch.Generator().manual_seed(SEED + 1)
    z = torch.randn(3, ours.z_dim, generator=draw)
    label = torch.arange(3) % ours.num_classes if ours.num_classes else None
    condition = torch.zeros(3, 0) if label is None else one_hot(label, ours.num_classes).float()
    most = {"latents": 0.0, "images": 0.0}
    for psi, cutoff in ((1.0, None), (0.5, None), (0.7, 3)):
        wanted = theirs.mapping(z, condition, truncation_psi=psi, truncation_cutoff=cutoff)
        latents = ours.map(z, label, psi=psi, cutoff=cutoff)
        most["latents"] = max(most["latents"], difference(latents, wanted))
        images = theirs.synthesis(wanted, noise_mode="const", force_fp32=True)
        most["images"] = max(most["images"], difference(ours.synthesize(latents), images))

    def render(latents: Tensor) -> Tensor:
        found: Tensor = theirs.synthesis(latents, noise_mode="const", force_fp32=True)
        return found

    rows = wanted + 0.3 * torch.randn(wanted.shape, generator=draw)  # another w on each row
    most["images"] = max(most["images"], difference(ours.synthesize(rows), render(rows)))
    most["gradients"] = gradient_difference(ours.synthesize, render, rows)
    return Comparison(case=name, config=config, seed=SEED, differences=most)


SECTIONS: dict[str, Section] = {
    "stylegan3": Section(repository="NVlabs/stylegan3", compare=_stylegan3),
    "stylegan_xl": Section(repository="autonomousvision/stylegan-xl", compare=_stylegan_xl),
}
