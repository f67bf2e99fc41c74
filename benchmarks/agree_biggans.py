"""BigGAN-deep against Hugging Face's code, BigGAN and BigBiGAN against that of the public port."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from benchmarks.originals import apart, imported, settled
from genviews.generators.checkpoints.biggans import biggan_deep_generator, biggan_generator
from genviews.rng import Rng

TRUNCATIONS = (1.0, 0.4, 0.58, 0.505, 0.01)
# Channels in multiples of the width, 16 at first and 1 at last; the 128, 256 and 512 pixels of the
# published ones differ in where a block keeps its channels.
LAYERS = [(False, 16, 16), (True, 16, 8), (False, 8, 8), (True, 8, 4), (False, 4, 4), (True, 4, 2)]
LAYERS += [(False, 2, 2), (True, 2, 1)]
DEEP = (
    {"layers": LAYERS, "at": 6},
    {"layers": [(False, 16, 16), (True, 16, 16), *LAYERS], "at": 4},
    {"layers": LAYERS, "at": 0},
)
# What the packages import at once, and only a download would use.
CLOUD = ("boto3", "botocore", "botocore.exceptions")
CHUNKED = (
    {"resolution": 32, "G_attn": "8", "dim_z": 16},
    {"resolution": 64, "G_attn": "16_64", "dim_z": 20},
    {"resolution": 128, "G_attn": "64", "dim_z": 21},
)


@torch.no_grad()
def deep(checkout: Path) -> Iterator[tuple[str, dict[str, float]]]:
    """Configuration and largest difference, at truncations on a measured one and between two."""
    for case in DEEP:
        with imported(checkout, "pytorch_pretrained_biggan", absent=CLOUD) as (module,):
            torch.manual_seed(0)
            config = module.BigGANConfig(
                z_dim=6,
                class_embed_dim=6,
                channel_width=8,
                num_classes=5,
                layers=case["layers"],
                attention_layer_position=case["at"],
            )
            theirs = module.BigGAN(config)
            for key, value in theirs.named_buffers():
                if "running" in key:
                    value.normal_(std=0.2)
                    if key.endswith("vars"):
                        value.abs_().add_(0.7)
            nn.init.normal_(theirs.generator.bn.weight, 1.0, 0.1)
            nn.init.normal_(theirs.generator.bn.bias, 0.0, 0.1)
            label = torch.tensor([0, 4, 2])
            hot = nn.functional.one_hot(label, 5).float()
            for _ in range(20):  # the singular vectors settle, a step at each call
                theirs.train()(torch.zeros(3, 6), hot, 1.0)
            settled(theirs)
            sizes = " ".join(f"{a}-{b}" for _, a, b in case["layers"])
            for truncation in TRUNCATIONS:
                name = f"blocks {sizes}, attention {case['at']}, truncation {truncation}"
                ours = biggan_deep_generator(theirs.state_dict(), name, truncation)
                z = ours.sample(Rng(0).streams(range(3)))
                wanted = theirs(z, hot, truncation)
                yield name, apart(ours.synthesize(ours.map(z, label), label), wanted)


@torch.no_grad()
def chunked(checkout: Path) -> Iterator[tuple[str, dict[str, float]]]:
    """Configuration and largest difference: BigBiGAN's class 0 for all, and a class each."""
    for case in CHUNKED:
        with imported(checkout, "pytorch_pretrained_gans.BigBiGAN", absent=CLOUD) as (module,):
            torch.manual_seed(0)
            published = module.make_biggan_config(128)
            published |= {"n_classes": 4, "G_ch": 8, "shared_dim": 12, **case}
            theirs = module.BigGAN.Generator(**published)
            for key, value in theirs.named_buffers():
                if "stored" in key:
                    value.normal_(std=0.2)
                    if key.endswith("var"):
                        value.abs_().add_(0.7)
            settled(theirs)
            plain = module.GeneratorWrapper(theirs).eval()
            name = ", ".join(f"{key} {value}" for key, value in case.items())
            ours = biggan_generator(theirs.state_dict(), name, conditional=False)
            z = ours.sample(Rng(0).streams(range(3)))
            yield f"BigBiGAN, {name}", apart(ours.synthesize(ours.map(z)), plain(z))
            ours = biggan_generator(theirs.state_dict(), name)
            label = torch.tensor([0, 3, 2])
            wanted = theirs(z, theirs.shared(label))
            images = ours.synthesize(ours.map(z, label), label)
            yield f"BigGAN, {name}, classes", apart(images, wanted)
