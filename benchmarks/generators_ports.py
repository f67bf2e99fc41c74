"""StyleGAN2 of rosinality, StyleGAN of 2019 and the BigGANs, against the code that saves them.

See `benchmarks.generators`.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.functional import one_hot

from benchmarks.agreement import Comparison, Section, difference
from benchmarks.settled import imported, settled
from genviews.generators.base import Generator
from genviews.generators.checkpoints.biggans import biggan_deep_generator, biggan_generator
from genviews.generators.stylegan1 import StyleGAN1, StyleGAN1Config
from genviews.load.generator import load_generator
from genviews.load.inversion_encoder import load_inversion_encoder
from genviews.rng import Rng

__all__ = ["SECTIONS", "opened", "taking"]

SEED = 0
# The port has one table of channels, which the multiplier scales from 64 pixels on.
ROSINALITY: dict[str, dict[str, Any]] = {
    "8 pixels": {"size": 8, "style_dim": 16, "n_mlp": 2},
    "16 pixels": {"size": 16, "style_dim": 24, "n_mlp": 8},
    "32 pixels": {"size": 32, "style_dim": 16, "n_mlp": 3},
    "narrow": {"size": 64, "style_dim": 16, "n_mlp": 2, "channel_multiplier": 1},
    "wide": {"size": 64, "style_dim": 16, "n_mlp": 2, "channel_multiplier": 2},
    "128 pixels": {"size": 128, "style_dim": 16, "n_mlp": 2, "channel_multiplier": 1},
}
_IN_DOMAIN = {"repeat_w": False, "final_tanh": True}
_SMALL = {"fmaps_base": 128, "fmaps_max": 24, "z_space_dim": 16, "w_space_dim": 12}
STYLEGAN1: dict[str, dict[str, Any]] = {
    "in-domain": {"resolution": 16, "num_mapping_layers": 8, **_IN_DOMAIN},
    "one w": {"resolution": 16, "num_mapping_layers": 3},
    "classes": {"resolution": 32, "num_mapping_layers": 2, "label_size": 5, **_IN_DOMAIN},
    "transposed": {"resolution": 32, "num_mapping_layers": 2, "fused_scale": True, **_IN_DOMAIN},
    "neighbours": {"resolution": 32, "num_mapping_layers": 2, "fused_scale": False},
    "grey": {"resolution": 8, "num_mapping_layers": 1, "image_channels": 1, **_IN_DOMAIN},
    "256 pixels": {"resolution": 256, "num_mapping_layers": 2, **_IN_DOMAIN, "fmaps_base": 2048},
}
IN_DOMAIN_ENCODERS: dict[str, dict[str, Any]] = {
    "encoder": {"resolution": 16, "w_space_dim": 12, "use_bn": True},
    "encoder without norms": {"resolution": 32, "w_space_dim": 16, "use_bn": False},
    "grey encoder": {"resolution": 64, "w_space_dim": 8, "use_bn": True, "image_channels": 1},
}
# Channels in multiples of the width, 16 at first and 1 at last.
_LAYERS = [(False, 16, 16), (True, 16, 8), (False, 8, 8), (True, 8, 4), (False, 4, 4), (True, 4, 2)]
_LAYERS += [(False, 2, 2), (True, 2, 1)]
DEEP: dict[str, dict[str, Any]] = {
    "as 128 pixels": {"layers": _LAYERS, "at": 6},
    "one map more": {"layers": [(False, 16, 16), (True, 16, 16), *_LAYERS], "at": 4},
    "attention at once": {"layers": _LAYERS, "at": 0},
}
TRUNCATIONS = (1.0, 0.4, 0.58, 0.505, 0.01)  # measured ones, and between two
CHUNKED: dict[str, dict[str, Any]] = {
    "32 pixels": {"resolution": 32, "G_attn": "8", "dim_z": 16},
    "64 pixels, attention twice": {"resolution": 64, "G_attn": "16_64", "dim_z": 20},
    "128 pixels, as published": {"resolution": 128, "G_attn": "64", "dim_z": 21},
}


def _of(cases: Mapping[str, dict[str, Any]], quick: bool) -> list[tuple[str, dict[str, Any]]]:
    return list(cases.items())[: 1 if quick else None]


def opened(folder: Path, content: object) -> Generator:
    """The generator of a file of torch.save with this content."""
    torch.save(content, folder / "net.pt")
    return load_generator(folder / "net.pt").generator


def _rosinality(checkout: Path, folder: Path, quick: bool) -> Iterator[Comparison]:
    """Converted files, those of training, and old ones; images of z, of truncated ones, of W+."""
    for name, config in _of(ROSINALITY, quick):
        with imported(checkout, "model") as (model,):
            torch.manual_seed(SEED)
            theirs = settled(model.Generator(**config))
            mean, state = theirs.mean_latent(64)[0], theirs.state_dict()
            ours = opened(folder, {"g_ema": state, "latent_avg": mean})
            streams = Rng(SEED).streams(range(3))
            z = ours.sample(streams)
            plain, _ = theirs([z], randomize_noise=False)
            cut, _ = theirs([z], randomize_noise=False, truncation=0.6, truncation_latent=mean)
            latents = streams.child("w+").normal(1, ours.latent_spec.shape)[:, 0]
            free, _ = theirs([latents], input_is_latent=True, randomize_noise=False)
            found = {
                "images": difference(ours.synthesize(ours.map(z)), plain),
                "images of psi 0.6": difference(ours.synthesize(ours.map(z, psi=0.6)), cut),
                "images of W+": difference(ours.synthesize(latents), free),
            }
            training = {"g": state, "d": {}, "g_ema": state, "args": Namespace(r1=10.0)}
            trained = opened(folder, training)
            found["images of a file of training"] = difference(trained.synthesize(latents), free)
            less = {k: v for k, v in state.items() if "kernel" not in k}
            old = opened(folder, {"g_ema": less, "latent_avg": mean.expand(4, -1).clone()})
            found["images of a file without kernels"] = difference(old.synthesize(latents), free)
            yield Comparison(case=name, config=config, seed=SEED, differences=found)


def _idinvert(checkout: Path, folder: Path, quick: bool) -> Iterator[Comparison]:
    """Images, plain, truncated as published and of W+; and latents of the encoder."""
    for name, case in _of(STYLEGAN1, quick):
        config = {**_SMALL, **case}
        with imported(checkout, "models.stylegan_generator_network") as (module,):
            torch.manual_seed(SEED)
            theirs = settled(module.StyleGANGeneratorNet(**config))
            theirs.truncation.w_avg.normal_(std=0.3)
            theirs.synthesis.lod.data.zero_()
            ours = opened(folder, theirs.state_dict())
            rows, w_dim = ours.latent_spec.shape
            streams = Rng(SEED).streams(range(3))
            z, label = ours.sample(streams), ours.labels_in_turn(range(3))
            hot = None if label is None else one_hot(label, ours.num_classes).float()
            each = theirs.mapping(z, hot).unflatten(1, (-1, w_dim)).expand(-1, rows, -1)
            latents = streams.child("w+").normal(1, ours.latent_spec.shape)[:, 0]
            cut = ours.map(z, label, psi=0.7, cutoff=min(8, rows))
            found = {
                "latents": difference(ours.map(z, label), each),
                "images": difference(ours.synthesize(each), theirs.synthesis(each)),
                "images of psi 0.7": difference(ours.synthesize(cut), theirs(z, hot)),
                "images of W+": difference(ours.synthesize(latents), theirs.synthesis(latents)),
            }
            yield Comparison(case=name, config=config, seed=SEED, differences=found)
    for name, config in _of(IN_DOMAIN_ENCODERS, quick):
        with imported(checkout, "models.stylegan_encoder_network") as (module,):
            torch.manual_seed(SEED)
            channels, side = config.get("image_channels", 3), config["resolution"]
            images = torch.rand(4, channels, side, side) * 2 - 1
            sizes = {"encoder_channels_base": 8, "encoder_channels_max": 24}
            theirs = settled(module.StyleGANEncoderNet(**config, **sizes), images)
            torch.save(theirs.state_dict(), folder / "encoder.pth")
            wanted = theirs(images).unflatten(1, (-1, config["w_space_dim"]))
            target = taking(*wanted.shape[1:], channels)
            ours = load_inversion_encoder(folder / "encoder.pth", target)
            found = {"latents of the encoder": difference(ours(images), wanted)}
            yield Comparison(case=name, config=config, seed=SEED, differences=found)


def taking(rows: int, dim: int, channels: int = 3) -> Generator:
    """A generator of such images, whose latents have an even number of rows and this width."""
    widths = {4 << i: 1 for i in range(rows // 2)}
    sizes = {"z_dim": 1, "w_dim": dim, "hidden": 1, "mapping_layers": 1}
    config = StyleGAN1Config(channels=widths, img_channels=channels, **sizes)
    return StyleGAN1(config)


def _deep(checkout: Path, folder: Path, quick: bool) -> Iterator[Comparison]:
    for name, case in _of(DEEP, quick):
        config = {"z_dim": 6, "class_embed_dim": 6, "channel_width": 8, "num_classes": 5}
        config |= {"layers": case["layers"], "attention_layer_position": case["at"]}
        with imported(checkout, "pytorch_pretrained_biggan") as (module,):
            torch.manual_seed(SEED)
            theirs = module.BigGAN(module.BigGANConfig(**config))
            nn.init.ones_(theirs.generator.bn.weight)  # made without values
            nn.init.zeros_(theirs.generator.bn.bias)
            label = torch.tensor([0, 4, 2])
            hot = one_hot(label, 5).float()
            for _ in range(20):  # the singular vectors settle, a step at each call
                theirs.train()(torch.zeros(3, 6), hot, 1.0)
            settled(theirs)
            ours = opened(folder, theirs.state_dict())
            z = ours.sample(Rng(SEED).streams(range(3)))
            found = {}
            for truncation in TRUNCATIONS:
                made = ours
                if truncation != 1.0:
                    made = biggan_deep_generator(theirs.state_dict(), name, truncation)
                images = made.synthesize(made.map(z, label), label)
                wanted = theirs(z, hot, truncation)
                found[f"images of truncation {truncation}"] = difference(images, wanted)
            yield Comparison(case=name, config=config, seed=SEED, differences=found)


def _chunked(checkout: Path, folder: Path, quick: bool) -> Iterator[Comparison]:
    """BigBiGAN, which renders the first class of its file, and BigGAN with the classes."""
    for name, case in _of(CHUNKED, quick):
        with imported(checkout, "pytorch_pretrained_gans.BigBiGAN") as (module,):
            torch.manual_seed(SEED)
            config = module.make_biggan_config(128)
            config |= {"n_classes": 4, "G_ch": 8, "shared_dim": 12, **case}
            theirs = settled(module.BigGAN.Generator(**config))
            ours = opened(folder, theirs.state_dict())
            label, z = torch.tensor([0, 3, 2]), ours.sample(Rng(SEED).streams(range(3)))
            images = ours.synthesize(ours.map(z, label), label)
            found = {"images of classes": difference(images, theirs(z, theirs.shared(label)))}
            plain = module.GeneratorWrapper(theirs).eval()
            first = biggan_generator(theirs.state_dict(), name, conditional=False)
            found["images"] = difference(first.synthesize(first.map(z)), plain(z))
            kept = {k: v for k, v in config.items() if not isinstance(v, nn.Module)}
            yield Comparison(case=name, config=kept, seed=SEED, differences=found)


SECTIONS: dict[str, Section] = {
    "stylegan2_rosinality": Section(repository="rosinality/stylegan2-pytorch", compare=_rosinality),
    "stylegan1_idinvert": Section(repository="genforce/idinvert_pytorch", compare=_idinvert),
    "biggan_deep": Section(repository="huggingface/pytorch-pretrained-BigGAN", compare=_deep),
    "bigbigan": Section(repository="lukemelas/pytorch-pretrained-gans", compare=_chunked),
}
