"""R3GAN against the equations of the paper in float64 numpy, one sample at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import signal

from genviews.generators.r3gan import R3GAN, R3GANConfig
from genviews.rng import Rng

CASES = {
    "plain": {},
    "classes": {"c_dim": 3, "class_width": 4},
    "odd": {"expansion": 3, "kernel": 5, "resample_filter": (1.0, 2.0, 1.0), "img_channels": 1},
    "one stage": {"widths": (4,), "groups": (1,), "blocks": (0,)},
}


def random_generator(**options):
    small = {"widths": (8, 8, 4), "groups": (4, 2, 1), "blocks": (1, 2, 1), "z_dim": 5}
    generator = R3GAN(R3GANConfig(**{**small, **options})).eval().requires_grad_(False)
    draw = Rng(0, "weights").torch()
    for parameter in generator.parameters():
        parameter.copy_(0.4 * torch.randn(parameter.shape, generator=draw))
    return generator


def leaky(x):
    return np.where(x >= 0, x, 0.2 * x)


def convolve(x, weight, groups=1):
    """Cross-correlation with as many zeros around as keep the size, group by group."""
    parts = np.split(x, groups)
    out = []
    for kernel, given in zip(
        weight, np.repeat(np.arange(groups), len(weight) // groups), strict=True
    ):
        planes = zip(parts[given], kernel, strict=True)
        out.append(sum(signal.correlate2d(plane, k, mode="same") for plane, k in planes))
    return np.stack(out)


def grow(x, taps):
    """Zeros between the samples, then the filter with a gain of 4; its centre is on the sample."""
    n, f = len(taps), np.outer(taps, taps) / np.sum(taps) ** 2 * 4
    wide = np.zeros((len(x), 2 * x.shape[1], 2 * x.shape[2]))
    wide[:, ::2, ::2] = x
    wide = np.pad(wide, ((0, 0), ((n + 1) // 2, (n - 2) // 2), ((n + 1) // 2, (n - 2) // 2)))
    return np.stack([signal.convolve2d(plane, f, mode="valid") for plane in wide])


def naive(generator, z, label):
    p = {k: v.double().numpy() for k, v in generator.state_dict().items()}
    config = generator.config
    if label is not None:
        z = np.concatenate([z, p["embedding.weight"] @ np.eye(config.c_dim)[label]])
    x = p["basis"] * (p["linear.weight"] @ z)[:, None, None]
    for i, blocks in enumerate(config.blocks):
        if f"stages.{i}.narrow.weight" in p:
            x = np.einsum("oi,iyx->oyx", p[f"stages.{i}.narrow.weight"][:, :, 0, 0], x)
        x = grow(x, config.resample_filter) if i else x
        for j in range(blocks):
            of = {
                k.rpartition(f"blocks.{j}.")[2]: v for k, v in p.items() if f"{i}.blocks.{j}." in k
            }
            y = leaky(convolve(x, of["conv1.weight"]) + of["bias1"][:, None, None])
            y = convolve(y, of["conv2.weight"], config.groups[i]) + of["bias2"][:, None, None]
            x = x + convolve(leaky(y), of["conv3.weight"])
    return convolve(x, p["to_image.weight"])


@pytest.mark.parametrize("case", CASES)
def test_images_are_those_of_the_equations(case):
    generator = random_generator(**CASES[case])
    z, label = generator.sample(Rng(1).streams(range(3))), generator.labels_in_turn(range(3))
    images = generator.synthesize(generator.map(z, label), label)
    for i in range(3):
        wanted = naive(generator, z[i].double().numpy(), None if label is None else int(label[i]))
        assert np.abs(images[i].numpy() - wanted).max() < 1e-5 * max(1, np.abs(wanted).max())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"blocks": (1,)}, "blocks: expected 2"),
        ({"groups": (99, 1)}, "groups of a stage"),
        ({"c_dim": 3}, "class_width"),
        ({"resample_filter": (1.0, -1.0)}, "resample_filter"),
    ],
)
def test_an_impossible_architecture_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        R3GANConfig(**{"widths": (4, 4), "groups": (1, 1), "blocks": (1, 1), **options})
