"""StyleGAN2 as rosinality's PyTorch port saves it: how e4e, pSp, ReStyle and many others come.

    {g_ema, latent_avg}                                       converted from TensorFlow
    {g, d, g_ema, g_optim, d_optim, args, ada_aug_p}          in training: no latent_avg
    {state_dict: {decoder.*, encoder.*}, latent_avg, opts}    with an encoder

Size, channels, taps of the low-pass filter and depth of the mapping network are read off the
tensors; its learning-rate multiplier, 0.01, is that of every published file.

Source: the published layout, github.com/rosinality/stylegan2-pytorch (MIT) bef283a, `model.py`,
`convert_weight.py`; github.com/omertov/encoder4editing (MIT) 99ea505, `models/psp.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from genviews.checks import fail
from genviews.described import described_by
from genviews.generators.checkpoints.contents import Contents
from genviews.generators.checkpoints.reader import Opened, Reader
from genviews.generators.checkpoints.records import REMEDY
from genviews.generators.checkpoints.state import State, family_generator, part_of
from genviews.generators.checkpoints.strangers import WRITE
from genviews.generators.checkpoints.tensors import as_dict, is_tensor
from genviews.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from genviews.rng import Rng
from genviews.weights import bare_names

__all__ = ["READER", "mean_latents", "rosinality_generator"]

_MEAN_SAMPLES = 4096  # what the port's own `generate.py` measures the mean with
_KERNEL = r"(?:.*\.)?(?:blur|upsample)\.kernel"
_SIGN = "to_rgb1.conv.modulation.weight"


def _table(contents: Contents) -> tuple[str, Mapping[str, Any]] | None:
    """The key under which a generator is, and its tensors by their own names; None without one."""
    held = contents.keys()
    places = [(key, as_dict(held.get(key)) or {}) for key in ("g_ema", "g")]
    inner = as_dict(held.get("state_dict")) or held
    for key, table in (*places, ("state_dict", part_of(inner, "decoder.")), ("", held)):
        if _SIGN in bare_names(table):
            return key, table
    return None


def _knows(contents: Contents) -> bool:
    return _table(contents) is not None


def _read(contents: Contents) -> Opened:
    found = _table(contents)
    assert found is not None
    key, table = found
    generator = rosinality_generator(contents.tensors(table), mean_latents(contents), contents.what)
    skipped = tuple(one for one in contents.beside(key) if one not in ("opts", "args"))
    return Opened(
        generator=generator,
        source="a StyleGAN2 in the layout of rosinality's PyTorch port",
        skipped=skipped if key else (),
    )


READER = Reader(what="a StyleGAN2 of rosinality's PyTorch port", knows=_knows, read=_read)


def mean_latents(contents: Contents) -> Tensor | None:
    """The mean w of a file, (D,) or (L, D); None where it holds none."""
    value = contents.keys().get("latent_avg")
    return contents.tensor(value) if is_tensor(value) or isinstance(value, Tensor) else None


def rosinality_generator(
    tensors: Mapping[str, Tensor], latent_avg: Tensor | None, what: str
) -> StyleGAN2:
    """Return the generator of a file's tensors, in eval mode.

    Args:
        tensors: of `g_ema`, or of `decoder`.
        latent_avg: (D,) or (L, D) mean w of the file; None measures it.
        what: the file is, for messages.

    Raises:
        ValueError: a tensor is missing, left over or of another shape.
    """
    state = State(tensors, what)
    notes: list[str] = []
    with described_by(what, "a StyleGAN2 of rosinality's port", REMEDY):
        config = _config(state)
        weights = _weights(state, config, notes)
    weights["mapping.w_avg"] = torch.zeros(config.w_dim)
    generator = family_generator(state, "stylegan2", config, weights)
    assert isinstance(generator, StyleGAN2)
    with torch.no_grad(), described_by(what, f"a mean w of {config.w_dim}", REMEDY):
        generator.mapping.w_avg.copy_(_mean_w(generator, latent_avg, notes))
    generator.notes = tuple(notes)
    return generator


def _config(state: State) -> StyleGAN2Config:
    doublings = state.count("to_rgbs.{}.bias")
    widths = {4: state.take("input.input", 4).shape[1]}
    for i in range(doublings):
        widths[8 << i] = state.take(f"convs.{2 * i}.conv.weight", 5).shape[1]
    first = state.take("style.1.weight", 2)
    return StyleGAN2Config(
        resolution=4 << doublings,
        img_channels=state.take("to_rgb1.bias", 4).shape[1],
        z_dim=first.shape[1],
        w_dim=first.shape[0],
        mapping_layers=len(state.names(r"style\.\d+\.weight")),
        channels=widths,
        resample_filter=_taps(state),
    )


def _taps(state: State) -> tuple[float, ...]:
    """The 1-D filter of all the kernels, which are its outer product times a gain."""
    found = [state.take(name, 2).double() for name in state.names(_KERNEL)]
    if not found:
        return (1.0, 3.0, 3.0, 1.0)
    kernels = [kernel / kernel.sum() for kernel in found]
    taps = kernels[0].sum(0)
    product = torch.outer(taps, taps)
    if not all(one.shape == product.shape and one.allclose(product) for one in kernels):
        got = "kernels that differ from each other, or along the two axes"
        fail(state.what, expected="one low-pass filter", got=got, remedy=WRITE)
    return tuple(round(tap, 4) for tap in (taps / taps[taps > 0].min()).tolist())


def _weights(state: State, config: StyleGAN2Config, notes: list[str]) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = {}
    for i in range(config.mapping_layers):
        for part in ("weight", "bias"):
            weights[f"mapping.fc{i}.{part}"] = state.take(f"style.{i + 1}.{part}")
    weights["synthesis.b4.const"] = state.take("input.input")[0]
    layers = [("conv1", "synthesis.b4.conv1")]
    images = [("to_rgb1", "synthesis.b4.torgb")]
    for i, r in enumerate(config.resolutions[1:]):
        layers.append((f"convs.{2 * i}", f"synthesis.b{r}.conv0"))
        layers.append((f"convs.{2 * i + 1}", f"synthesis.b{r}.conv1"))
        images.append((f"to_rgbs.{i}", f"synthesis.b{r}.torgb"))
    for old, new in layers:
        weights |= _layer(state, old, new)
    fields = _noise(state, config, notes)
    weights |= {f"{new}.noise_const": field for (_, new), field in zip(layers, fields, strict=True)}
    for old, new in images:
        weights[f"{new}.weight"] = state.take(f"{old}.conv.weight", 5)[0]
        weights[f"{new}.bias"] = state.take(f"{old}.bias").flatten()
        for part in ("weight", "bias"):
            weights[f"{new}.affine.{part}"] = state.take(f"{old}.conv.modulation.{part}")
    return weights


def _layer(state: State, old: str, new: str) -> dict[str, Tensor]:
    """A modulated convolution. Its weights are scaled here where the port scales at run time."""
    weight = state.take(f"{old}.conv.weight", 5)[0]
    return {
        f"{new}.weight": weight / math.sqrt(weight[0].numel()),
        f"{new}.bias": state.take(f"{old}.activate.bias"),
        f"{new}.noise_strength": state.take(f"{old}.noise.weight").reshape(()),
        f"{new}.affine.weight": state.take(f"{old}.conv.modulation.weight"),
        f"{new}.affine.bias": state.take(f"{old}.conv.modulation.bias"),
    }


def _noise(state: State, config: StyleGAN2Config, notes: list[str]) -> list[Tensor]:
    """The fixed noise of each layer; of a file of the port's first months, which holds none, drawn.

    Files of that time are rendered with noise that is drawn for each image.
    """
    sizes = [size for size in config.resolutions for _ in range(1 + (size > 4))]
    if state.names(r"noises\..*"):
        return [state.take(f"noises.noise_{i}", 4)[0, 0] for i in range(len(sizes))]
    if sum(size**2 for size in sizes) > 2**22 + sum(t.numel() for t in state.tensors.values()):
        raise ValueError(f"the tensors of a far smaller network than one of {sizes[-1]} pixels")
    notes.append("the file holds no noise: it was drawn once, from seed 0")
    draw = [Rng(0, f"noise {i}").torch() for i in range(len(sizes))]
    return [torch.randn(s, s, generator=g) for s, g in zip(sizes, draw, strict=True)]


def _mean_w(generator: StyleGAN2, latent_avg: Tensor | None, notes: list[str]) -> Tensor:
    if latent_avg is None:
        notes.append(f"the file holds no mean w: measured on {_MEAN_SAMPLES:,} samples")
        z = generator.sample(Rng(0, "mean w").streams(range(_MEAN_SAMPLES)))
        measured: Tensor = generator.mapping(z).mean(0)
        return measured
    rows = latent_avg.reshape(-1, generator.config.w_dim)
    if not bool(rows.isfinite().all()):
        raise ValueError("numbers that are not finite")
    if (rows - rows[0]).abs().max() > 1e-4:
        notes.append("the file's mean latents differ between rows: psi pulls towards their mean")
    return rows.mean(0)
