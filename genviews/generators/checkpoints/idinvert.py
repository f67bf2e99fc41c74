"""The StyleGAN of 2019 as genforce saves it: In-Domain inversion's generators of 256 pixels.

    mapping.dense{i}.{fc.weight, wscale.bias}    truncation.{w_avg, truncation}    synthesis.lod
    synthesis.layer{i}.{const | conv.weight | weight}    synthesis.output{i}.{conv.weight, bias}
        .epilogue.{apply_noise.{noise, weight}, bias, style_mod.dense.{fc.weight, wscale.bias}}

From 128 pixels on, the convolution that doubles is stored for a transposed convolution (height,
width, in, out), below for an ordinary one; the former is the latter turned by 180 degrees.
Whether the image passes through tanh is not stored: the published networks with a w for each row
have it, those with one w do not.

Source: the published layout, github.com/genforce/idinvert_pytorch (MIT) ce866b0,
`models/stylegan_generator_network.py` and `models/model_settings.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from genviews.checks import fail
from genviews.described import described_by
from genviews.generators.checkpoints.contents import Contents
from genviews.generators.checkpoints.reader import Opened, Reader
from genviews.generators.checkpoints.records import REMEDY
from genviews.generators.checkpoints.state import State, family_generator
from genviews.generators.modulation import GAIN
from genviews.generators.stylegan1 import StyleGAN1, StyleGAN1Config
from genviews.weights import bare_names

__all__ = ["READER", "idinvert_generator"]


def _knows(contents: Contents) -> bool:
    names = bare_names(contents.keys())
    return "synthesis.layer0.epilogue.style_mod.dense.fc.weight" in names


def _read(contents: Contents) -> Opened:
    tensors = contents.tensors(bare_names(contents.keys()))
    return Opened(
        generator=idinvert_generator(tensors, contents.what),
        source="a StyleGAN of 2019 in genforce's layout (In-Domain inversion)",
    )


READER = Reader(what="a StyleGAN of 2019 in genforce's layout", knows=_knows, read=_read)


def idinvert_generator(tensors: Mapping[str, Tensor], what: str) -> StyleGAN1:
    """Return the generator of a file's tensors, in eval mode.

    Args:
        tensors: of the file.
        what: the file is, for messages.

    Raises:
        ValueError: a tensor is missing, left over or of another shape, or the network is half
            grown.
    """
    state = State(tensors, what)
    with described_by(what, "a StyleGAN of genforce's layout", REMEDY):
        config = _config(state)
    if (lod := float(state.take("synthesis.lod"))) != 0.0:
        fail(
            what,
            expected="a finished network (lod 0)",
            got=f"one that is still growing (lod {lod:g})",
            remedy="name the last checkpoint of its training",
        )
    state.ignore("truncation.truncation", r"synthesis\.layer\d+\.blur\.kernel")
    weights = {"mapping.w_avg": state.take("truncation.w_avg")}
    if config.c_dim:
        weights["mapping.embed"] = state.take("mapping.label_weight")
    for i in range(config.mapping_layers):
        weights[f"mapping.fc{i}.weight"] = state.take(f"mapping.dense{i}.fc.weight")
        # Here the gain multiplies weight and bias; there the weight alone.
        weights[f"mapping.fc{i}.bias"] = state.take(f"mapping.dense{i}.wscale.bias") / GAIN
    for i in range(config.num_ws):
        weights |= _layer(state, i)
    last = len(config.channels) - 1
    weights["synthesis.to_image.weight"] = state.take(f"synthesis.output{last}.conv.weight")
    weights["synthesis.to_image.bias"] = state.take(f"synthesis.output{last}.bias")
    state.ignore(r"synthesis\.output\d+\.(conv\.weight|bias)")  # of the sizes it grew through
    generator = family_generator(state, "stylegan1", config, weights)
    assert isinstance(generator, StyleGAN1)
    return generator


def _config(state: State) -> StyleGAN1Config:
    sizes = state.count("synthesis.output{}.bias")
    depth = state.count("mapping.dense{}.fc.weight")
    first = state.take("mapping.dense0.fc.weight", 2)
    last = state.take(f"mapping.dense{max(depth - 1, 0)}.fc.weight", 2)
    w_dim = len(state.take("truncation.w_avg", 1))
    labels = state.take("mapping.label_weight", 2) if "mapping.label_weight" in state else None
    every = last.shape[0] != w_dim
    if last.shape[0] not in (w_dim, w_dim * 2 * sizes):
        fail(
            state.what,
            expected=f"a mapping to one w of {w_dim} or to {2 * sizes} of them",
            got=f"one to {last.shape[0]} numbers",
            remedy="name a whole file of this kind of network",
        )
    bias = "synthesis.layer{}.epilogue.bias"
    return StyleGAN1Config(
        channels={4 << i: len(state.take(bias.format(2 * i), 1)) for i in range(sizes)},
        img_channels=len(state.take(f"synthesis.output{max(sizes - 1, 0)}.bias", 1)),
        z_dim=first.shape[1] if labels is None else labels.shape[1],
        w_dim=w_dim,
        hidden=last.shape[1],
        mapping_layers=depth,
        c_dim=0 if labels is None else labels.shape[0],
        w_for_each_row=every,
        tanh=every,
    )


def _layer(state: State, row: int) -> dict[str, Tensor]:
    old, new = f"synthesis.layer{row}", f"synthesis.layer{row}"
    found = state.renamed(
        {
            f"{old}.epilogue.apply_noise.weight": f"{new}.noise_strength",
            f"{old}.epilogue.bias": f"{new}.bias",
            f"{old}.epilogue.style_mod.dense.fc.weight": f"{new}.style.weight",
            f"{old}.epilogue.style_mod.dense.wscale.bias": f"{new}.style.bias",
        }
    )
    found[f"{new}.noise"] = state.take(f"{old}.epilogue.apply_noise.noise", 4)[0, 0]
    if row == 0:
        found[f"{new}.const"] = state.take(f"{old}.const", 4)[0]
    elif f"{old}.weight" in state:
        transposed = state.take(f"{old}.weight", 4)
        found[f"{new}.weight"] = transposed.permute(3, 2, 0, 1).flip(2, 3)
    else:
        found[f"{new}.weight"] = state.take(f"{old}.conv.weight", 4)
    return found
