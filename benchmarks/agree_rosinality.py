"""StyleGAN2 of rosinality's port against the port itself, at small configurations.

The port has one table of channels, which the multiplier scales from 64 pixels on.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks.originals import apart, imported, settled
from genviews.generators.checkpoints.rosinality import rosinality_generator
from genviews.rng import Rng

CASES = (
    {"size": 8, "style_dim": 16, "n_mlp": 2},
    {"size": 16, "style_dim": 24, "n_mlp": 8},
    {"size": 32, "style_dim": 16, "n_mlp": 3},
    {"size": 64, "style_dim": 16, "n_mlp": 2, "channel_multiplier": 1},
    {"size": 64, "style_dim": 16, "n_mlp": 2, "channel_multiplier": 2},
    {"size": 128, "style_dim": 16, "n_mlp": 2, "channel_multiplier": 1},
)


@torch.no_grad()
def rosinality(checkout: Path) -> Iterator[tuple[str, dict[str, float]]]:
    """Configuration and largest difference, of images of z, of truncated ones and of W+ latents."""
    for case in CASES:
        with imported(checkout, "model") as (model,):
            torch.manual_seed(0)
            theirs = settled(model.Generator(**case))
            for name, tensor in theirs.named_parameters():
                if name.endswith("noise.weight"):
                    tensor.data.fill_(0.2)
            mean = theirs.mean_latent(64)[0]
            state = theirs.state_dict()
            streams = Rng(0).streams(range(3))
            name = ", ".join(f"{key} {value}" for key, value in case.items())
            ours = rosinality_generator(state, mean, name)
            z = ours.sample(streams)
            wanted, _ = theirs([z], randomize_noise=False)
            yield name, apart(ours.synthesize(ours.map(z)), wanted)
            wanted, _ = theirs([z], randomize_noise=False, truncation=0.6, truncation_latent=mean)
            yield f"{name}, psi 0.6", apart(ours.synthesize(ours.map(z, psi=0.6)), wanted)
            latents = streams.child("w+").normal(1, ours.latent_spec.shape)[:, 0]
            wanted, _ = theirs([latents], input_is_latent=True, randomize_noise=False)
            yield f"{name}, w+", apart(ours.synthesize(latents), wanted)
            if case is CASES[0]:
                less = {k: v for k, v in state.items() if "kernel" not in k}
                again = rosinality_generator(less, mean.repeat(4, 1), name)
                wanted = ours.synthesize(latents)
                yield (
                    f"{name}, without kernels, a mean a row",
                    apart(again.synthesize(latents), wanted),
                )
