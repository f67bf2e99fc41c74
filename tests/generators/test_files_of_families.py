"""Pickles of StyleGAN3, StyleGAN-XL, R3GAN and EDM, written as their releases write them."""

from __future__ import annotations

import pickle

import pytest
import torch
from torch import nn

from benchmarks.nvidia_files import named_class, persistence, persistent
from genviews.generators.edm import EDM, EDMConfig
from genviews.generators.r3gan import R3GAN, R3GANConfig
from genviews.generators.stylegan3 import StyleGAN3, StyleGAN3Config
from genviews.load.generator import load_generator
from genviews.rng import Rng

STYLEGAN3 = {"resolution": 16, "z_dim": 6, "w_dim": 8, "channel_max": 4, "num_layers": 5}
STYLEGANS = {
    "t": {},
    "r, classes": {"conv_kernel": 1, "use_radial_filters": True, "c_dim": 2, "conv_clamp": None},
    "xl": {"c_dim": 2, "class_embedding": 3},
    "xl, two heads": {
        "c_dim": 2,
        "class_embedding": 3,
        "resolution": 64,
        "heads": ((3, 2), (4, 2)),
    },
}


class Plain(nn.Module):
    """A network that is pickled as torch does it, by the name of its class."""


def tree(state, make, name=""):
    """A network with tensors of a state dict; `make(name, parts)` makes each part of it."""
    parts = {}
    for key in dict.fromkeys(key.partition(".")[0] for key in state):
        inner = {k[len(key) + 1 :]: v for k, v in state.items() if k.startswith(f"{key}.")}
        parts[key] = tree(inner, make, f"{name}.{key}".strip(".")) if inner else state[key]
    return make(name, parts)


def of_plain(name, parts):
    made = Plain()
    for key, part in parts.items():
        module = isinstance(part, nn.Module)
        made.add_module(key, part) if module else made.register_buffer(key, part)
    return made


def of_stylegan3(generator):
    """With the arguments of the first stage, as a StyleGAN-XL of several keeps them."""
    config = generator.config
    own = {
        "mapping_layers",
        "mapping_lr_multiplier",
        "class_embedding",
        "heads",
        "ranges",
        "resolution",
    }
    given = {k: v for k, v in vars(config).items() if k in type(config).__dataclass_fields__}
    kwargs = {k: v for k, v in given.items() if k not in own | {"z_dim", "c_dim"}}
    kwargs |= {"img_resolution": config.stem_resolution, "num_fp16_res": 4}
    picture = {"img_resolution": config.resolution, "img_channels": config.img_channels}
    layers = {layer.name: layer for layer in config.layers}

    def make(name, parts):
        last = name.rpartition(".")[2]
        if name == "mapping.embed" and config.class_embedding:
            rows = torch.cat([parts["weight"], torch.ones(5, config.class_embedding)])
            return nn.Embedding(*rows.shape, _weight=rows)
        attributes = {
            "mapping": {k: given[k] for k in ("z_dim", "c_dim", "w_dim")},
            "synthesis": picture,
        }.get(name, {"bias_gain": config.mapping_lr_multiplier})
        if last in layers:
            attributes = {"conv_clamp": config.conv_clamp, "out_cutoff": layers[last].made.cutoff}
        return persistent("Part", attributes, parts, kwargs if name == "synthesis" else {})

    return tree(generator.state_dict(), make)


def file_of(folder, **saved):
    path = folder / "net.pkl"
    with persistence(), named_class("training.networks", "Generator", Plain):
        path.write_bytes(pickle.dumps(saved))
    return path


def made(network, config):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return network(config).eval().requires_grad_(False)


def same(path, generator):
    found = load_generator(path).generator
    assert found.config == generator.config
    label = generator.labels_in_turn(range(2))
    latents = generator.map(generator.sample(Rng(0).streams(range(2))), label)
    images = found.synthesize(latents, label)
    torch.testing.assert_close(images, generator.synthesize(latents, label), rtol=0, atol=1e-6)
    return found


@pytest.mark.parametrize("case", STYLEGANS)
def test_a_stylegan3_in_a_pickle(case, tmp_path):
    generator = made(StyleGAN3, StyleGAN3Config(**{**STYLEGAN3, **STYLEGANS[case]}))
    path = file_of(tmp_path, G_ema=of_stylegan3(generator), D={"a": 1})
    notes = " ".join(same(path, generator).notes)
    assert "also holds D" in notes
    assert "source of its classes" in notes


@pytest.mark.parametrize("change", ["a name", "a kernel", "an option"])
def test_a_stylegan3_that_is_not_understood(change, tmp_path):
    generator = made(StyleGAN3, StyleGAN3Config(**STYLEGAN3))
    network = of_stylegan3(generator)
    synthesis = network.synthesis
    if change == "a name":
        synthesis._modules["L9_1_1"] = synthesis._modules.pop("L5_16_3")
    elif change == "a kernel":
        synthesis.L0_36_4.weight = torch.ones(4, 4, 5, 5)
    else:
        synthesis._init_kwargs["wavelets"] = True
    words = {"a name": "L9_1_1", "a kernel": "shape", "an option": "wavelets"}[change]
    with pytest.raises(ValueError, match=rf"net.pkl.*{words}|{words}"):
        load_generator(file_of(tmp_path, G_ema=network))


def official_names(generator):
    """Names of a state dict here -> in the release of R3GAN, the filters with them."""
    config, state = generator.config, generator.state_dict()
    named = {}
    for i, blocks in enumerate(config.blocks):
        stage = f"MainLayers.{i}.Layers"
        if i:
            taps = torch.tensor(config.resample_filter)
            named[f"{stage}.0.Resampler.Kernel"] = torch.outer(taps, taps) / taps.sum() ** 2
        if f"stages.{i}.narrow.weight" in state:
            named[f"{stage}.0.LinearLayer.Layer.weight"] = state[f"stages.{i}.narrow.weight"]
        for j in range(blocks):
            block = f"stages.{i}.blocks.{j}"
            for k in (1, 2, 3):
                weight = state[f"{block}.conv{k}.weight"]
                named[f"{stage}.{j + 1}.LinearLayer{k}.Layer.weight"] = weight
            for k in (1, 2):
                named[f"{stage}.{j + 1}.NonLinearity{k}.Bias"] = state[f"{block}.bias{k}"]
    named["MainLayers.0.Layers.0.Basis"] = state["basis"]
    named["MainLayers.0.Layers.0.LinearLayer.weight"] = state["linear.weight"]
    named["AggregationLayer.Layer.weight"] = state["to_image.weight"]
    if config.c_dim:
        named["EmbeddingLayer.weight"] = state["embedding.weight"]
    return {f"Model.{name}": value for name, value in named.items()}


R3GANS = {
    "plain": {},
    "classes": {"c_dim": 2, "class_width": 3},
    "other filter": {"resample_filter": (1.0, 4.0, 6.0, 4.0, 1.0), "kernel": 5, "expansion": 3},
}


@pytest.mark.parametrize("case", R3GANS)
def test_an_r3gan_in_a_pickle(case, tmp_path):
    small = {"widths": (8, 8, 4), "groups": (4, 2, 1), "blocks": (1, 2, 1), "z_dim": 6}
    generator = made(R3GAN, R3GANConfig(**{**small, **R3GANS[case]}))
    network = tree(official_names(generator), of_plain)
    network.Model.MainLayers.DataType = torch.bfloat16
    same(file_of(tmp_path, G_ema=network, G=None), generator)


def test_an_r3gan_that_is_not_understood(tmp_path):
    small = {"widths": (8, 4), "groups": (4, 2), "blocks": (1, 1), "z_dim": 6}
    state = official_names(made(R3GAN, R3GANConfig(**small)))
    path = file_of(tmp_path, G_ema=tree({**state, "Model.Norm.weight": torch.ones(2)}, of_plain))
    with pytest.raises(ValueError, match=r"net.pkl: .*Norm.weight"):
        load_generator(path)
    state["Model.MainLayers.1.Layers.0.Resampler.Kernel"][0, 0] = 1
    with pytest.raises(ValueError, match=r"net.pkl: .*not separable"):
        load_generator(file_of(tmp_path, G_ema=tree(state, of_plain)))


CLASSES = {"edm": "EDMPrecond", "vp": "VPPrecond", "ve": "VEPrecond", "iddpm": "iDDPMPrecond"}
EDMS = {
    "edm": ({"c_dim": 2}, {"label_dim": 2}, {"augment_dim": 9}),
    "ve": ({"embedding": "fourier", "encoder": "residual"}, {}, {"dropout": 0.13}),
    "iddpm": ({"noise_steps": 30, "cosine": (0.01, 0.008)}, {"M": 30, "C_1": 0.01}, {}),
    "vp": ({"beta_d": 18.0, "attn_resolutions": ()}, {"beta_d": 18.0}, {}),
}


def of_edm(generator, outer, inner):
    config = generator.config
    shape = {"img_resolution": config.resolution, "img_channels": config.img_channels}
    inner = {
        **shape,
        **{"embedding_type": config.embedding, "encoder_type": config.encoder},
        **{"model_channels": 4, "channel_mult": [1, 1], "num_blocks": 1},
        **{"attn_resolutions": list(config.attn_resolutions), **inner},
    }

    def make(name, parts):
        kinds = {"": CLASSES[config.preconditioning], "model": "SongUNet"}
        given = {"": {**shape, "use_fp16": True, **outer}, "model": inner}.get(name, {})
        return persistent(kinds.get(name, "Part"), {}, parts, given)

    return tree(generator.state_dict(), make)


@pytest.mark.parametrize("kind", EDMS)
def test_an_edm_in_a_pickle(kind, tmp_path):
    own, outer, inner = EDMS[kind]
    small = {"resolution": 4, "model_channels": 4, "channel_mult": (1, 1), "num_blocks": 1}
    generator = made(EDM, EDMConfig(**{**small, "preconditioning": kind, **own}))
    network = of_edm(generator, outer, inner)
    network.model.add_module(
        "map_augment", persistent("Linear", {}, {"weight": torch.ones(4, 9)}, {})
    )
    same(file_of(tmp_path, ema=network, loss_fn=None), generator)


@pytest.mark.parametrize("outer", [{"sigma_max": 40.0}, {"wavelets": 1}])
def test_an_edm_that_is_not_understood(outer, tmp_path):
    small = {"resolution": 4, "model_channels": 4, "channel_mult": (1, 1), "num_blocks": 1}
    generator = made(EDM, EDMConfig(**small, attn_resolutions=()))
    with pytest.raises(ValueError, match=r"net.pkl: .*(of its own|wavelets)"):
        load_generator(file_of(tmp_path, ema=of_edm(generator, outer, {})))
