"""Encoders of others' inversions from the tensors of their files: names there, names here.

    pSp, e4e, ReStyle     {state_dict: {encoder.*, decoder.*}, latent_avg, opts}
    Chai et al. 2021      {state_dict: {conv1, bn1, layer1 ... layer5.conv5}}
    In-Domain inversion   block0 ... block{n}

Sizes are read off the tensors. What is not in them is in `opts`: pSp and e4e have the same tensors,
and answer otherwise.

Source: the published layouts, github.com/eladrich/pixel2style2pixel, omertov/encoder4editing,
yuval-alaluf/restyle-encoder, chail/gan-ensembling, genforce/idinvert_pytorch (all MIT).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from genviews.checks import check_file, expanded, fail
from genviews.described import described_by
from genviews.generators.base import Generator
from genviews.generators.checkpoints.contents import Contents, open_contents
from genviews.generators.checkpoints.records import REMEDY
from genviews.generators.checkpoints.rosinality import mean_latents
from genviews.generators.checkpoints.state import State, built, loaded, part_of
from genviews.generators.checkpoints.tensors import as_dict, plain
from genviews.invert.encoder import LatentEncoder
from genviews.invert.encoders import read_encoder
from genviews.invert.psp import Head, PspConfig, PspEncoder
from genviews.invert.published import (
    InDomainConfig,
    InDomainEncoder,
    ResNetEncoder,
    ResNetEncoderConfig,
)
from genviews.weights import bare_names
from genviews.zoo.published import named_weights

__all__ = [
    "encoder_file",
    "in_domain_encoder",
    "load_inversion_encoder",
    "psp_encoder",
    "resnet_encoder",
    "shipped_encoder",
]

# The types of encoder whose rows after the first add to it.
_DELTAS = ("Encoder4Editing", "ProgressiveBackboneEncoder", "ResNetProgressiveBackboneEncoder")
_WHOLE = ("GradualStyleEncoder", "ResNetGradualStyleEncoder")
_LAST = ("BackboneEncoder", "ResNetBackboneEncoder")
_KINDS = (*_DELTAS, *_WHOLE, *_LAST)
_IMPROVED = {
    "shortcut_layer.": "short.",
    "res_layer.0.": "norm1.",
    "res_layer.1.": "conv1.",
    "res_layer.2.": "act.",
    "res_layer.3.": "conv2.",
    "res_layer.4.": "norm2.",
    "res_layer.5.fc1.": "squeeze.0.",
    "res_layer.5.fc2.": "squeeze.2.",
}


_BASIC = {f"{name}.": f"{name}." for name in ("conv1", "bn1", "conv2", "bn2")}
_BASIC |= {"downsample.": "short."}


def encoder_file(word: str | Path, what: str = "encoder") -> Path:
    """Return the file that a word for an encoder of inversions stands for.

    Args:
        word: a path (`~` is the home folder), or the name of published weights.
        what: it is, in messages.

    Raises:
        FileNotFoundError: no such file, or weights that were not downloaded.
    """
    found = named_weights(word, what)
    if found is None:
        check_file(
            word,
            what,
            expected="a file that exists, or the name of a published encoder",
            remedy="correct it; `genviews generator get` lists the names",
        )
    return found or expanded(word)


def load_inversion_encoder(word: str | Path, generator: Generator) -> LatentEncoder:
    """Return the encoder that a word stands for, ours or somebody else's, in eval mode and frozen.

    Args:
        word: path of a file, or the name of a published one that was downloaded; `~` is the home
            folder.
        generator: that it is for: it gives what is not in the file.

    Raises:
        FileNotFoundError: no such file, or weights that were not downloaded.
        ValueError: no encoder in it, or one for latents of another shape or other channels.
    """
    path = encoder_file(word)
    what = f"encoder {path.name}"
    found = read_encoder(path) if path.suffix == ".safetensors" else _of_others(path, generator)
    generator.latent_spec.check(found.mean_latent, f"latents of {what}")
    channels, seen = generator.image_spec.channels, found.config.image_channels
    if seen != channels:
        expected, got = f"one that sees images of {channels} channels", f"one of {seen}"
        fail(what, expected=expected, got=got, remedy="train one with `train_encoder`")
    return found


def _of_others(path: Path, generator: Generator) -> LatentEncoder:
    """The encoder of somebody else's file."""
    contents, what = open_contents(path, "encoder"), f"encoder {path.name}"
    with described_by(what, "an encoder of an inversion", REMEDY):
        found = shipped_encoder(contents, generator) or _alone(contents, generator)
    if found is None:
        fail(
            what,
            expected="an encoder of pSp, e4e, ReStyle, In-Domain inversion or Chai et al. 2021",
            got=f"other names: {', '.join(sorted(map(str, contents.keys()))[:5]) or 'none'}",
            remedy="train one with `train_encoder`",
        )
    return found


def shipped_encoder(contents: Contents, generator: Generator) -> LatentEncoder | None:
    """Return the encoder that ships in the file of a generator; None where there is none."""
    held = contents.keys()
    values = part_of(as_dict(held.get("state_dict")) or held, "encoder.")
    if not values:
        return None
    opts = {str(k): plain(v) for k, v in (as_dict(held.get("opts")) or {}).items()}
    what = f"encoder in {contents.name}"
    rows = generator.latent_spec.num_layers
    with described_by(what, "an encoder of pSp, e4e or ReStyle", REMEDY):
        found = psp_encoder(contents.tensors(values), opts, mean_latents(contents), rows, what)
    _show_mean(found, generator)
    return found


def _alone(contents: Contents, generator: Generator) -> LatentEncoder | None:
    """The encoder of a file that holds nothing else; None of unknown names."""
    held = contents.keys()
    names = bare_names(as_dict(held.get("state_dict")) or held)
    what = f"encoder {contents.name}"
    if "layer5.conv5.weight" in names:
        return resnet_encoder(contents.tensors(names), generator.latent_spec.dim, what)
    if "block1.wscale1.bias" in names:
        return in_domain_encoder(contents.tensors(names), what)
    return None


def psp_encoder(
    tensors: Mapping[str, Tensor],
    opts: Mapping[str, Any],
    latent_avg: Tensor | None,
    num_layers: int,
    what: str,
) -> PspEncoder:
    """Return the encoder of pSp, e4e or ReStyle, in eval mode and frozen.

    Args:
        tensors: of the encoder, without their prefix.
        opts: of the file: `encoder_type`, `start_from_latent_avg`, `dataset_type`.
        latent_avg: (D,) or (L, D) of the file, or None.
        num_layers: L, style rows of the generator.
        what: the file is, for messages.

    Raises:
        ValueError: a tensor is missing, left over or of another shape, or `opts` do not say which
            encoder it is and the tensors leave it open.
    """
    state = State(tensors, what)
    encoder = built(state, lambda: PspEncoder(_psp_config(state, opts, num_layers)))
    c = encoder.config
    weights = {"shown": encoder.shown, "mean_latent": encoder.mean_latent}
    if latent_avg is not None and (c.sees_rendering or opts.get("start_from_latent_avg", True)):
        rows = latent_avg.reshape(-1, latent_avg.shape[-1])
        weights["mean_latent"] = rows.expand(c.num_layers, -1) if len(rows) == 1 else rows
    if "input_layer.0.weight" in state:
        names = {"input_layer.": "stem."}
    else:
        names = {"conv1.": "stem.0.", "bn1.": "stem.1.", "relu.": "stem.2."}
    at = 0
    for group, depth in enumerate(c.depths):
        for i in range(depth):
            inner = _IMPROVED if c.trunk == "improved" else _BASIC
            place = f"groups.{group}.{i}."
            names |= {f"body.{at}.{old}": place + new for old, new in inner.items()}
            at += 1
    for j, count in enumerate(c.halvings):
        convs = {f"styles.{j}.convs.{2 * k}.": f"rows.{j}.convs.{k}." for k in range(count)}
        names |= convs | {f"styles.{j}.linear.": f"rows.{j}.linear."}
    names |= {"latlayer1.": "lateral1.", "latlayer2.": "lateral2.", "linear.": "linear."}
    names |= {"output_layer_2.0.": "norm.", "output_layer_2.3.": "neck."}
    return loaded(state, encoder, weights | state.renamed(names))


def _psp_config(state: State, opts: Mapping[str, Any], num_layers: int) -> PspConfig:
    improved = "input_layer.0.weight" in state
    first = state.take("input_layer.0.weight" if improved else "conv1.weight", 4)
    conv, short = "body.{}.conv2.weight", "body.{}.downsample.0.weight"
    if improved:
        conv, short = "body.{}.res_layer.3.weight", "body.{}.shortcut_layer.0.weight"
    widths: list[int] = []
    depths: list[int] = []
    for i in range(state.count(conv)):
        if i == 0 or short.format(i) in state:
            widths.append(state.take(conv.format(i), 4).shape[0])
            depths.append(0)
        depths[-1] += 1
    rows = state.count("styles.{}.linear.weight")
    found = (state.names(rf"styles\.{j}\.convs\.\d+\.weight") for j in range(rows))
    halvings = tuple(map(len, found))
    head: Head = "flat" if "output_layer_2.3.weight" in state else "mean"
    if rows:
        head = "pyramid" if "latlayer1.weight" in state else "last"
    linear = state.take("styles.0.linear.weight" if rows else "linear.weight", 2)
    kind = str(opts.get("encoder_type", ""))
    if rows and kind not in _KINDS:
        fail(
            state.what,
            expected=f"opts whose encoder_type is one of {', '.join(_KINDS)}",
            got=repr(kind) if kind else "none",
            remedy="its tensors do not say how the rows are read: name the generator alone, and "
            "train an encoder with `train_encoder`",
        )
    return PspConfig(
        num_layers=rows or num_layers,
        dim=linear.shape[0 if head == "mean" else 1],
        size=(192, 256) if opts.get("dataset_type") == "cars_encode" else (256, 256),
        image_channels=3 if first.shape[1] == 6 else first.shape[1],
        sees_rendering=first.shape[1] == 6,
        trunk="improved" if improved else "basic",
        widths=tuple(widths),
        depths=tuple(depths),
        squeeze="body.0.res_layer.5.fc1.weight" in state,
        head=head,
        halvings=halvings,
        deltas=kind in _DELTAS,
    )


@torch.no_grad()
def _show_mean(encoder: LatentEncoder, generator: Generator) -> None:
    """Give an encoder that sees a rendering that of the generator's mean latent, in place."""
    if isinstance(encoder, PspEncoder) and encoder.config.sees_rendering:
        image = generator.images_of(encoder.mean_latent[None].to(generator.device))
        height, width = encoder.config.size
        square = F.interpolate(image, size=(width, width), mode="area")
        above = (width - height) // 2
        encoder.shown.copy_(square[:, :, above : above + height])


def resnet_encoder(tensors: Mapping[str, Tensor], dim: int, what: str) -> ResNetEncoder:
    """Return the encoder of Chai et al. 2021, in eval mode and frozen.

    Args:
        tensors: of the file's `state_dict`.
        dim: D, latent width: 512 in every published file.
        what: the file is, for messages.

    Raises:
        ValueError: a tensor is missing, left over or of another shape.
    """
    state = State(tensors, what)
    groups = len(state.names(r"layer\d+\.0\.conv1\.weight"))

    def make() -> ResNetEncoder:
        first = state.take("conv1.weight", 4)
        last = len(state.take("layer5.conv5.bias", 1))
        if last % dim:
            expected = f"rows of {dim} numbers"
            fail(what, expected=expected, got=f"{last} numbers", remedy="name its generator too")
        each = range(1, groups + 1)
        convs = (state.take(f"layer{i}.0.conv2.weight", 4) for i in each)
        config = ResNetEncoderConfig(
            num_layers=last // dim,
            dim=dim,
            image_channels=min(first.shape[1], 3),
            takes_mask=first.shape[1] == 4,
            widths=tuple(conv.shape[0] for conv in convs),
            depths=tuple(state.count(f"layer{i}.{{}}.conv1.weight") for i in each),
        )
        return ResNetEncoder(config)

    encoder = built(state, make)
    names = {"conv1.": "stem.0.", "bn1.": "stem.1.", "layer5.conv5.": "read_out."}
    for i, depth in enumerate(encoder.config.depths):
        for j in range(depth):
            old, new = f"layer{i + 1}.{j}.", f"groups.{i}.{j}."
            names |= {old + there: new + here for there, here in _BASIC.items()}
    weights = {"mean_latent": encoder.mean_latent} | state.renamed(names)
    return loaded(state, encoder, weights)


def in_domain_encoder(tensors: Mapping[str, Tensor], what: str) -> InDomainEncoder:
    """Return the encoder of In-Domain inversion, in eval mode and frozen.

    Args:
        tensors: of the file.
        what: the file is, for messages.

    Raises:
        ValueError: a tensor is missing, left over or of another shape.
    """
    state = State(tensors, what)
    last = len(state.names(r"block\d+\.wscale2\.bias")) + 1

    def make() -> InDomainEncoder:
        first = state.take("block0.conv.weight", 4)
        outs = (state.take(f"block{i}.wscale2.bias", 1) for i in range(1, last))
        config = InDomainConfig(
            num_layers=2 * last,
            dim=state.take(f"block{last}.fc.weight", 2).shape[0] // (2 * last),
            image_channels=first.shape[1],
            widths=(first.shape[0], *map(len, outs)),
            normalised="block0.bn.bn.weight" in state,
        )
        return InDomainEncoder(config)

    encoder = built(state, make)
    weights = {"mean_latent": encoder.mean_latent}
    weights["weight"] = state.take(f"block{last}.fc.weight")
    names = {"block0.conv.": "first.conv.", "block0.bn.bn.": "first.norm."}
    names |= {f"block{last}.bn.bn.": "norm."}
    for i in range(1, last):
        old, new = f"block{i}.", f"blocks.{i - 1}."
        names |= {f"{old}conv.": f"{new}short.conv.", f"{old}bn.bn.": f"{new}short.norm."}
        for k in (1, 2):
            names |= {
                f"{old}conv{k}.": f"{new}conv{k}.conv.",
                f"{old}wscale{k}.": f"{new}conv{k}.conv.",
                f"{old}bn{k}.bn.": f"{new}conv{k}.norm.",
            }
    return loaded(state, encoder, weights | state.renamed(names))
