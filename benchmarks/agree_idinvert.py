"""StyleGAN of 2019 and the encoder of In-Domain inversion against its code."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks.originals import apart, imported, settled
from genviews.generators.checkpoints.idinvert import idinvert_generator
from genviews.load.encoders import in_domain_encoder
from genviews.rng import Rng

IN_DOMAIN = {"repeat_w": False, "final_tanh": True}
SMALL = {"fmaps_base": 128, "fmaps_max": 24, "z_space_dim": 16, "w_space_dim": 12}
GENERATORS = (
    {"resolution": 16, "num_mapping_layers": 8, **IN_DOMAIN, **SMALL},
    {"resolution": 16, "num_mapping_layers": 3, **SMALL},
    {"resolution": 32, "num_mapping_layers": 2, "label_size": 5, **IN_DOMAIN, **SMALL},
    {"resolution": 32, "num_mapping_layers": 2, "fused_scale": True, **IN_DOMAIN, **SMALL},
    {"resolution": 32, "num_mapping_layers": 2, "fused_scale": False, **SMALL},
    {"resolution": 8, "num_mapping_layers": 1, "image_channels": 1, **IN_DOMAIN, **SMALL},
    {"resolution": 256, "num_mapping_layers": 2, **IN_DOMAIN, **SMALL, "fmaps_base": 2048},
)
ENCODERS = (
    {"resolution": 16, "w_space_dim": 12, "use_bn": True},
    {"resolution": 32, "w_space_dim": 16, "use_bn": False},
    {"resolution": 64, "w_space_dim": 8, "use_bn": True, "image_channels": 1},
)


@torch.no_grad()
def generators(checkout: Path) -> Iterator[tuple[str, dict[str, float]]]:
    """Configuration and largest difference: plain, truncated as published, and W+ latents."""
    for case in GENERATORS:
        name = ", ".join(f"{key} {value}" for key, value in case.items() if key not in SMALL)
        with imported(checkout, "models.stylegan_generator_network") as (module,):
            torch.manual_seed(0)
            theirs = settled(module.StyleGANGeneratorNet(**case))
            theirs.truncation.w_avg.normal_(std=0.3)
            theirs.synthesis.lod.data.zero_()
            for key, tensor in theirs.named_parameters():
                if key.endswith("apply_noise.weight"):
                    tensor.data.normal_(std=0.2)
            state = {k: v for k, v in theirs.state_dict().items() if k != "truncation.truncation"}
            ours = idinvert_generator(state, name)
            streams = Rng(0).streams(range(3))
            z, label = ours.sample(streams), ours.labels_in_turn(range(3))
            hot = None
            if label is not None:
                hot = torch.nn.functional.one_hot(label, ours.num_classes).float()
            yield (
                f"{name}, psi 0.7 of 8 rows",
                apart(
                    ours.synthesize(ours.map(z, label, psi=0.7, cutoff=min(8, ours.config.num_ws))),
                    theirs(z, hot),
                ),
            )
            plain = theirs.mapping(z, hot)
            every = plain.unflatten(1, (-1, ours.config.w_dim)).expand(-1, ours.config.num_ws, -1)
            wanted = theirs.synthesis(every)
            yield name, apart(ours.synthesize(ours.map(z, label)), wanted)
            latents = streams.child("w+").normal(1, ours.latent_spec.shape)[:, 0]
            yield f"{name}, w+", apart(ours.synthesize(latents), theirs.synthesis(latents))


@torch.no_grad()
def encoders(checkout: Path) -> Iterator[tuple[str, dict[str, float]]]:
    """Configuration and largest difference of the latents."""
    for case in ENCODERS:
        channels, side = case.get("image_channels", 3), case["resolution"]
        name = "encoder, " + ", ".join(f"{key} {value}" for key, value in case.items())
        with imported(checkout, "models.stylegan_encoder_network") as (module,):
            torch.manual_seed(0)
            sizes = {"encoder_channels_base": 8, "encoder_channels_max": 24}
            images = torch.rand(4, channels, side, side) * 2 - 1
            theirs = settled(module.StyleGANEncoderNet(**case, **sizes), images)
            ours = in_domain_encoder(theirs.state_dict(), name)
            wanted = theirs(images).unflatten(1, (-1, case["w_space_dim"]))
            yield name, apart(ours(images), wanted)
