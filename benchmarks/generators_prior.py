"""R3GAN and EDM, whose latent is z, against the originals: see `benchmarks.generators`."""

from __future__ import annotations

import importlib
import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from benchmarks.agreement import Comparison, Section, difference, gradient_difference, original
from genviews.generators.base import Generator
from genviews.generators.edm import EDM
from genviews.load.generator import load_generator

__all__ = ["SECTIONS"]

SEED = 0
R3GAN: dict[str, dict[str, Any]] = {
    "16 pixels": {},
    "classes": {"c_dim": 5, "ConditionEmbeddingDimension": 6},
    "widths that change, 32 pixels": {
        "WidthPerStage": [24, 16, 16, 8],
        "CardinalityPerStage": [6, 4, 8, 2],
        "BlocksPerStage": [2, 1, 3, 1],
    },
    "another expansion, kernel and filter": {
        "ExpansionFactor": 3,
        "KernelSize": 5,
        "ResamplingFilter": [1, 3, 3, 1],
    },
    "256 pixels": {
        "WidthPerStage": [16, 16, 16, 16, 8, 8, 4],
        "CardinalityPerStage": [4, 4, 4, 4, 2, 2, 1],
        "BlocksPerStage": [1] * 7,
    },
}
_SMALL_R3GAN: dict[str, Any] = {
    "NoiseDimension": 12,
    "c_dim": 0,
    "img_resolution": 16,
    "FP16Stages": [],
    "WidthPerStage": [16, 16, 8],
    "CardinalityPerStage": [4, 4, 2],
    "BlocksPerStage": [2, 2, 2],
    "ExpansionFactor": 2,
}

_DDPM: dict[str, Any] = {"model_type": "SongUNet"}
_NCSN: dict[str, Any] = {
    "model_type": "SongUNet",
    "embedding_type": "fourier",
    "encoder_type": "residual",
    "channel_mult_noise": 2,
    "resample_filter": [1, 3, 3, 1],
}
_ADM: dict[str, Any] = {"model_type": "DhariwalUNet", "model_channels": 64, "channel_mult": [1, 1]}
_SAMPLED: dict[str, Any] = {"num_steps": 5}
# Class, its arguments, and those of the sampler.
EDMS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "edm, ddpm++": ("EDMPrecond", _DDPM, _SAMPLED),
    "edm, ddpm++, classes, 18 steps": ("EDMPrecond", {**_DDPM, "label_dim": 4}, {"num_steps": 18}),
    "edm, ncsn++, augmented": ("EDMPrecond", {**_NCSN, "augment_dim": 9}, _SAMPLED),
    "edm, ncsn++, skips": (
        "EDMPrecond",
        {**_NCSN, "encoder_type": "skip", "decoder_type": "skip", "label_dim": 3},
        _SAMPLED,
    ),
    "edm, adm, classes": ("EDMPrecond", {**_ADM, "label_dim": 4}, _SAMPLED),
    "edm, adm, Euler": ("EDMPrecond", _ADM, {**_SAMPLED, "solver": "euler"}),
    "another deviation, grey": (
        "EDMPrecond",
        {**_DDPM, "sigma_data": 0.8, "img_channels": 1},
        _SAMPLED,
    ),
    "other steps": (
        "EDMPrecond",
        _DDPM,
        {"num_steps": 4, "sigma_max": 20, "sigma_min": 0.1, "rho": 3},
    ),
    "vp": ("VPPrecond", {**_DDPM, "beta_d": 15.0, "beta_min": 0.2, "M": 500}, _SAMPLED),
    "ve": ("VEPrecond", _NCSN, _SAMPLED),
    "iddpm": ("iDDPMPrecond", {**_ADM, "label_dim": 2}, _SAMPLED),
    "iddpm, shorter": ("iDDPMPrecond", {**_DDPM, "M": 100, "C_1": 0.01, "C_2": 0.02}, _SAMPLED),
}
_SMALL_EDM: dict[str, Any] = {
    "img_resolution": 8,
    "img_channels": 3,
    "model_channels": 8,
    "channel_mult": [1, 2],
    "num_blocks": 1,
    "attn_resolutions": [4],
    "channel_mult_emb": 2,
}


def stirred(network: nn.Module, seed: int) -> nn.Module:
    """The network with every weight random, in eval mode and frozen; some start at 0."""
    draw = torch.Generator().manual_seed(seed)
    for _, value in network.named_parameters():
        scale = 0.3 if value.ndim < 2 else value[0].numel() ** -0.5
        value.data += torch.randn(value.shape, generator=draw) * scale
    return network.eval().requires_grad_(False)


def _r3gan(checkout: Path, folder: Path, quick: bool) -> Iterator[Comparison]:
    """In single precision, without the bfloat16 of the release's last stages."""
    with original(checkout):
        networks = importlib.import_module("training.networks")
        for name, case in list(R3GAN.items())[: 2 if quick else None]:
            config = {**_SMALL_R3GAN, **case}
            torch.manual_seed(SEED)
            theirs = stirred(networks.Generator(**config), SEED)
            ours = _opened({"G_ema": theirs}, folder)
            yield _compared(name, config, ours, theirs)


def _edm(checkout: Path, folder: Path, quick: bool) -> Iterator[Comparison]:
    with original(checkout):
        networks = importlib.import_module("training.networks")
        samplers = importlib.import_module("generate")
        for name, (kind, case, sampled) in list(EDMS.items())[: 2 if quick else None]:
            config = {**_SMALL_EDM, **case}
            torch.manual_seed(SEED)
            theirs = stirred(getattr(networks, kind)(**config), SEED)
            ours = _opened({"ema": theirs, "loss_fn": None, "augment_pipe": None}, folder)
            assert isinstance(ours, EDM)
            ours = _sampling(ours, sampled)
            sampler = samplers.ablation_sampler if "solver" in sampled else samplers.edm_sampler
            render = partial(_sampled, sampler, theirs, ours.image_spec.shape, sampled)
            whole = {"class": kind, **config, "sampler": sampled}
            yield _compared(name, whole, ours, render)


def _sampling(ours: EDM, sampled: dict[str, Any]) -> EDM:
    """The same network with another sampler."""
    names = {"num_steps": "steps"}
    options = {names.get(name, name): value for name, value in sampled.items()}
    made = EDM(replace(ours.config, **options)).eval().requires_grad_(False)
    made.load_state_dict(ours.state_dict())
    return made


def _sampled(
    sampler: Callable[..., Tensor],
    theirs: nn.Module,
    shape: tuple[int, ...],
    sampled: dict[str, Any],
    z: Tensor,
    condition: Tensor | None,
) -> Tensor:
    return sampler(theirs, z.unflatten(1, shape), condition, **sampled).float()


def _opened(saved: dict[str, Any], folder: Path) -> Generator:
    path = folder / "net.pkl"
    path.write_bytes(pickle.dumps({"G": None, **saved}))
    return load_generator(path).generator


def _compared(
    name: str,
    config: dict[str, Any],
    ours: Generator,
    theirs: Callable[[Tensor, Tensor | None], Tensor],
) -> Comparison:
    draw = torch.Generator().manual_seed(SEED + 1)
    z = torch.randn(3, ours.z_dim, generator=draw)
    label = torch.arange(3) % ours.num_classes if ours.num_classes else None
    condition = None if label is None else one_hot(label, ours.num_classes).float()
    images = ours.synthesize(ours.map(z, label), label)
    gradients = gradient_difference(
        lambda z: ours.synthesize(z[:, None], label), lambda z: theirs(z, condition), z
    )
    most = {"images": difference(images, theirs(z, condition)), "gradients": gradients}
    return Comparison(case=name, config=config, seed=SEED, differences=most)


SECTIONS: dict[str, Section] = {
    "r3gan": Section(repository="brownvc/R3GAN", compare=_r3gan),
    "edm": Section(repository="NVlabs/edm", compare=_edm),
}
