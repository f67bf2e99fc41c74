"""R3GAN in a pickle of its release: plain modules of torch, without any argument.

    {"G": ..., "D": ..., "G_ema": Generator(Model(MainLayers, AggregationLayer, ...)), ...}

The architecture is read off the shapes of the weights. The release computes its last stages in
bfloat16, by what its modules say; here all is in single precision.

Source: brownvc/R3GAN 19a7ddf, `training/networks.py`, `R3GAN/Networks.py`, `R3GAN/Resamplers.py`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

import torch
from torch import Tensor

from genviews.described import described_by
from genviews.generators.checkpoints.contents import Contents
from genviews.generators.checkpoints.reader import Opened, Reader
from genviews.generators.checkpoints.records import REMEDY
from genviews.generators.families import filled
from genviews.generators.r3gan import R3GANConfig

__all__ = ["READER"]

KEYS = ("G_ema", "G")
_NAMES = {
    r"MainLayers\.0\.Layers\.0\.Basis": "basis",
    r"MainLayers\.0\.Layers\.0\.LinearLayer\.weight": "linear.weight",
    r"MainLayers\.(\d+)\.Layers\.0\.LinearLayer\.Layer\.weight": r"stages.\1.narrow.weight",
    r"MainLayers\.(\d+)\.Layers\.(\d+)\.LinearLayer([123])\.Layer\.weight": "conv{}.weight",
    r"MainLayers\.(\d+)\.Layers\.(\d+)\.NonLinearity([12])\.Bias": "bias{}",
    r"AggregationLayer\.Layer\.weight": "to_image.weight",
    r"EmbeddingLayer\.weight": "embedding.weight",
}
"""Names in the release -> names here; blocks are counted from 1 there."""


def _knows(contents: Contents) -> bool:
    network = contents.network(*KEYS)
    model = None if network is None else network.children.get("Model")
    return model is not None and {"MainLayers", "AggregationLayer"} <= model.children.keys()


def _read(contents: Contents) -> Opened:
    network = contents.network(*KEYS)
    assert network is not None
    with described_by(contents.what, "an R3GAN", REMEDY):
        state = network["Model"].state()
        filters = [value for name, value in state.items() if name.endswith("Resampler.Kernel")]
        taps = _taps([contents.tensor(one) for one in filters])
        stored = {
            _own_name(name): value
            for name, value in state.items()
            if not name.endswith("Resampler.Kernel")
        }
        shapes = contents.shapes(stored)
        config = _config(shapes, taps)
    generator = filled("r3gan", config, shapes, lambda: contents.tensors(stored), contents.what)
    return Opened(
        generator=generator,
        source="an R3GAN (brownvc/R3GAN)",
        skipped=contents.beside(*KEYS),
    )


READER = Reader(what="an R3GAN in a pickle", knows=_knows, read=_read)


def _own_name(name: str) -> str:
    """Raises ValueError for a name that the release does not have."""
    for theirs, ours in _NAMES.items():
        if (found := re.fullmatch(theirs, name)) is None:
            continue
        if "{}" not in ours:
            return found.expand(ours)
        stage, block, part = found.groups()
        return f"stages.{stage}.blocks.{int(block) - 1}.{ours.format(part)}"
    raise ValueError(f"a weight {name!r:.80}")


def _taps(filters: list[Tensor]) -> tuple[float, ...]:
    """The 1-D filter of which all are made."""
    if not filters:
        return (1.0, 3.0, 3.0, 1.0)
    taps = filters[0].sum(0)
    if not all(torch.allclose(one, torch.outer(taps, taps), atol=1e-6) for one in filters):
        raise ValueError("stages of different filters, or such as are not separable")
    return tuple((taps / taps.min()).tolist() if bool((taps > 0).all()) else taps.tolist())


def _config(shapes: Mapping[str, Tensor], taps: tuple[float, ...]) -> R3GANConfig:
    """The architecture of weights by their names here."""
    found = [re.match(r"stages\.(\d+)\.blocks\.(\d+)\.conv1", name) for name in shapes]
    each = Counter(int(one[1]) for one in found if one is not None)  # stage -> its blocks
    first = [shapes[f"stages.{i}.blocks.0.conv1.weight"].shape for i in range(len(each))]
    grouped = [shapes[f"stages.{i}.blocks.0.conv2.weight"].shape for i in range(len(each))]
    embedding = shapes.get("embedding.weight")
    class_width, classes = (0, 0) if embedding is None else embedding.shape
    return R3GANConfig(
        widths=tuple(shape[1] for shape in first),
        groups=tuple(shape[0] // shape[1] for shape in grouped),
        blocks=tuple(each[i] for i in range(len(each))),
        z_dim=shapes["linear.weight"].shape[1] - class_width,
        c_dim=classes,
        class_width=class_width,
        img_channels=shapes["to_image.weight"].shape[0],
        expansion=first[0][0] // first[0][1],
        kernel=grouped[0][2],
        resample_filter=taps,
    )
