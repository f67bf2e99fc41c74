"""BigGAN-deep as Hugging Face saves it, and BigGAN (BigBiGAN) as the code of its authors does.

    embeddings.weight, generator.{gen_z, layers.{i}, bn, conv_to_rgb}.*       BigGAN-deep
        weight_orig, weight_u, weight_v; running_means, running_vars (51, C)
    shared.weight, linear.*, blocks.{i}.{0, 1}.*, output_layer.{0, 2}.*       BigGAN, BigBiGAN
        weight, u0, sv0; stored_mean, stored_var

Which blocks of BigGAN-deep double the size is not stored: in each of the three published ones it is
every second. A file of the second layout whose class vectors are all alike has no classes. The
public port of BigBiGAN renders class 0 of its file whatever the others are, see
`biggan_generator`.

Source: the published layouts, github.com/huggingface/pytorch-pretrained-BigGAN (MIT), `model.py`;
github.com/ajbrock/BigGAN-PyTorch (MIT), `BigGAN.py`, `layers.py`;
github.com/lukemelas/pytorch-pretrained-gans, `BigBiGAN/`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from genviews.described import described_by
from genviews.generators.biggan import BigGAN, BigGANConfig
from genviews.generators.biggan_deep import BigGANDeep, BigGANDeepConfig, DeepBlock
from genviews.generators.biggan_layers import spectral
from genviews.generators.checkpoints.contents import Contents
from genviews.generators.checkpoints.reader import Opened, Reader
from genviews.generators.checkpoints.records import REMEDY
from genviews.generators.checkpoints.state import State, family_generator
from genviews.weights import bare_names

__all__ = ["CHUNKED", "DEEP", "biggan_deep_generator", "biggan_generator"]

EPS = 1e-4  # of norms and spectral norms, in every published file


def _knows_deep(contents: Contents) -> bool:
    return "generator.gen_z.weight_orig" in bare_names(contents.keys())


def _read_deep(contents: Contents) -> Opened:
    tensors = contents.tensors(bare_names(contents.keys()))
    return Opened(
        generator=biggan_deep_generator(tensors, contents.what),
        source="a BigGAN-deep in the layout of Hugging Face's pytorch-pretrained-biggan",
    )


def _knows_chunked(contents: Contents) -> bool:
    names = bare_names(contents.keys())
    return {"shared.weight", "blocks.0.0.bn1.gain.weight", "output_layer.0.gain"} <= names.keys()


def _read_chunked(contents: Contents) -> Opened:
    tensors = contents.tensors(bare_names(contents.keys()))
    return Opened(
        generator=biggan_generator(tensors, contents.what),
        source="a BigGAN, or BigBiGAN's generator, in the layout of BigGAN-PyTorch",
    )


DEEP = Reader(what="a BigGAN-deep of Hugging Face's", knows=_knows_deep, read=_read_deep)
CHUNKED = Reader(what="a BigGAN or BigBiGAN", knows=_knows_chunked, read=_read_chunked)


def biggan_deep_generator(
    tensors: Mapping[str, Tensor], what: str, truncation: float = 1.0
) -> BigGANDeep:
    """Return the generator of a file's tensors, in eval mode.

    Args:
        tensors: of the file.
        what: the file is, for messages.
        truncation: whose statistics of the batch norms are used, in (0, 1].

    Raises:
        ValueError: a tensor is missing, left over or of another shape.
    """
    state = State(tensors, what)
    places, attending = _places(state)
    first = _spectral(state, "generator.gen_z")
    classes = state.take("embeddings.weight", 2)
    with described_by(what, "a BigGAN-deep", REMEDY):
        blocks = []
        for i, at in enumerate(places):
            inside = state.take(f"{_layer(at)}.bn_0.running_means", 2).shape[1]
            out = len(state.take(f"{_layer(at)}.conv_3.bias", 1))
            blocks.append(DeepBlock(i % 2 == 1, inside, out))
        config = BigGANDeepConfig(
            blocks=tuple(blocks),
            attention=attending,
            z_dim=first.shape[1] - classes.shape[0],
            class_dim=classes.shape[0],
            num_classes=classes.shape[1],
            statistics=len(state.take("generator.bn.running_means", 2)),
            truncation=truncation,
            eps=EPS,
        )
    weights = {"embed.weight": classes.t(), "start.weight": first}
    weights |= state.renamed(
        {
            "generator.gen_z.bias": "start.bias",
            "generator.bn.weight": "scale",
            "generator.bn.bias": "shift",
            "generator.bn.running_means": "statistics.means",
            "generator.bn.running_vars": "statistics.variances",
        }
    )
    for i, at in enumerate(places):
        for j in range(4):
            weights |= _deep_norm(state, f"{_layer(at)}.bn_{j}", f"blocks.{i}.norms.{j}")
            conv, new = f"{_layer(at)}.conv_{j}", f"blocks.{i}.convs.{j}"
            weights[f"{new}.weight"] = _spectral(state, conv)
            weights[f"{new}.bias"] = state.take(f"{conv}.bias")
    if attending is not None:
        old = _layer(attending)
        names = {"theta": "theta", "phi": "phi", "g": "g", "o": "o_conv"}
        for new, name in names.items():
            weights[f"attention.{new}.weight"] = _spectral(state, f"{old}.snconv1x1_{name}")
        weights["attention.gamma"] = state.take(f"{old}.gamma").reshape(())
    # As many outputs as inputs are stored, and the first three are the image.
    weights["to_image.weight"] = _spectral(state, "generator.conv_to_rgb")[:3]
    weights["to_image.bias"] = state.take("generator.conv_to_rgb.bias")[:3]
    generator = family_generator(state, "biggan-deep", config, weights)
    assert isinstance(generator, BigGANDeep)
    return generator


def biggan_generator(
    tensors: Mapping[str, Tensor], what: str, conditional: bool | None = None
) -> BigGAN:
    """Return the generator of a file's tensors, in eval mode.

    Args:
        tensors: of the file.
        what: the file is, for messages.
        conditional: whether its vectors of classes are classes; False takes the first for every
            image, as the port of BigBiGAN does; None: they are unless all are alike.

    Raises:
        ValueError: a tensor is missing, left over or of another shape.
    """
    state = State(tensors, what)
    shared = state.take("shared.weight", 2)
    alike = bool((shared == shared[:1]).all())
    classes = len(shared) if (not alike if conditional is None else conditional) else 0
    count = state.count("blocks.{}.0.conv1.bias")
    widths = [state.take("blocks.0.0.bn1.stored_mean", 1).shape[0]]
    widths += [len(state.take(f"blocks.{i}.0.conv1.bias", 1)) for i in range(count)]
    start = _divided(state, "linear")
    with described_by(what, "a BigGAN", REMEDY):
        config = BigGANConfig(
            channels=tuple(widths),
            attention=tuple(i for i in range(count) if f"blocks.{i}.1.gamma" in state),
            z_dim=start.shape[1] * len(widths),
            class_dim=shared.shape[1],
            num_classes=classes,
            eps=EPS,
        )
    weights = {"embed.weight": shared[: max(classes, 1)], "start.weight": start}
    weights["start.bias"] = state.take("linear.bias")
    for i in range(count):
        old, new = f"blocks.{i}.0", f"blocks.{i}"
        for norm in ("1", "2"):
            weights |= _biggan_norm(state, f"{old}.bn{norm}", f"{new}.norm{norm}")
        for name, conv in {"conv1": "conv1", "conv2": "conv2", "short": "conv_sc"}.items():
            weights[f"{new}.{name}.weight"] = _divided(state, f"{old}.{conv}")
            weights[f"{new}.{name}.bias"] = state.take(f"{old}.{conv}.bias")
    for i in config.attention:
        for name in ("theta", "phi", "g", "o"):
            weights[f"attention.{i}.{name}.weight"] = _divided(state, f"blocks.{i}.1.{name}")
        weights[f"attention.{i}.gamma"] = state.take(f"blocks.{i}.1.gamma").reshape(())
    weights |= state.renamed(
        {
            "output_layer.0.gain": "last_norm.weight",
            "output_layer.0.bias": "last_norm.bias",
            "output_layer.0.stored_mean": "last_norm.running_mean",
            "output_layer.0.stored_var": "last_norm.running_var",
            "output_layer.2.bias": "to_image.bias",
        }
    )
    weights["last_norm.num_batches_tracked"] = torch.zeros([], dtype=torch.long)
    weights["to_image.weight"] = _divided(state, "output_layer.2")
    generator = family_generator(state, "biggan", config, weights)
    assert isinstance(generator, BigGAN)
    if not alike and classes == 0:
        generator.notes = ("its file has several class vectors: the first is that of every image",)
    return generator


def _layer(at: int) -> str:
    return f"generator.layers.{at}"


def _places(state: State) -> tuple[list[int], int | None]:
    """Numbers of the layers that are blocks, in their order, and of the one that attends."""
    found = [
        int(name.split(".")[2]) for name in state.names(r"generator\.layers\.\d+\.conv_0\.bias")
    ]
    attending = [int(name.split(".")[2]) for name in state.names(r"generator\.layers\.\d+\.gamma")]
    return sorted(found), attending[0] if attending else None


def _spectral(state: State, name: str) -> Tensor:
    """A weight over its singular value, of torch's `spectral_norm`."""
    weight, u, v = (state.take(f"{name}.weight_{part}") for part in ("orig", "u", "v"))
    return spectral(weight, u, v)


def _divided(state: State, name: str) -> Tensor:
    """The same, of the authors' code, which keeps one vector and takes a step at each call."""
    state.ignore(re.escape(f"{name}.sv0"))
    return spectral(state.take(f"{name}.weight"), state.take(f"{name}.u0"), eps=EPS)


def _deep_norm(state: State, old: str, new: str) -> dict[str, Tensor]:
    return {
        f"{new}.statistics.means": state.take(f"{old}.running_means"),
        f"{new}.statistics.variances": state.take(f"{old}.running_vars"),
        f"{new}.norm.scale.weight": _spectral(state, f"{old}.scale"),
        f"{new}.norm.shift.weight": _spectral(state, f"{old}.offset"),
    }


def _biggan_norm(state: State, old: str, new: str) -> dict[str, Tensor]:
    return {
        f"{new}.mean": state.take(f"{old}.stored_mean"),
        f"{new}.variance": state.take(f"{old}.stored_var"),
        f"{new}.norm.scale.weight": _divided(state, f"{old}.gain"),
        f"{new}.norm.shift.weight": _divided(state, f"{old}.bias"),
    }
