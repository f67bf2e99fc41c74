"""Families of generators: config and weights to a file, and back."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
import torch

from genviews.files import load_tensors, save_tensors
from genviews.generators.biggan import BigGANConfig
from genviews.generators.biggan_deep import BigGANDeepConfig
from genviews.generators.edm import EDMConfig
from genviews.generators.families import FAMILIES, config_from, family_of, save_generator
from genviews.generators.r3gan import R3GANConfig
from genviews.generators.stylegan1 import StyleGAN1Config
from genviews.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from genviews.generators.stylegan3 import StyleGAN3Config
from genviews.generators.toy import ToyGenerator
from genviews.load.generator import check_generator, load_generator
from genviews.rng import Rng

SMALL = {
    "stylegan2": StyleGAN2Config(
        resolution=8,
        img_channels=1,
        z_dim=6,
        w_dim=8,
        c_dim=2,
        mapping_layers=2,
        channels={4: 8, 8: 4},
        conv_clamp=2.0,
    ),
    "stylegan3": StyleGAN3Config(
        resolution=16,
        z_dim=6,
        w_dim=8,
        c_dim=2,
        class_embedding=3,
        channel_max=4,
        num_layers=3,
        heads=((3, 2),),
    ),
    "stylegan1": StyleGAN1Config(
        channels={4: 8, 8: 4}, z_dim=6, w_dim=8, c_dim=2, w_for_each_row=True
    ),
    "biggan-deep": BigGANDeepConfig(
        blocks=((False, 16, 16), (True, 16, 8)), z_dim=6, class_dim=4, num_classes=2, attention=1
    ),
    "biggan": BigGANConfig(channels=(8, 8), z_dim=6, class_dim=4, num_classes=2, attention=(0,)),
    "r3gan": R3GANConfig(
        widths=(8, 4), groups=(4, 2), blocks=(1, 2), z_dim=6, c_dim=2, class_width=3
    ),
    "edm": EDMConfig(
        resolution=4,
        img_channels=1,
        c_dim=2,
        preconditioning="iddpm",
        model_channels=4,
        channel_mult=(1, 1),
        num_blocks=1,
        noise_steps=20,
        steps=3,
    ),
}
WIDTHS = {"edm": "channel_mult_emb"}


@pytest.fixture(params=SMALL)
def generator(request):
    family = FAMILIES[request.param]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return family.network(SMALL[request.param]).eval()


def test_every_family_is_here():
    assert SMALL.keys() == FAMILIES.keys()


def test_a_file_holds_all_of_it(generator, tmp_path):
    path = tmp_path / "net.safetensors"
    save_generator(path, generator, {"licence": "MIT"})
    check_generator(path)
    again = load_generator(path).generator
    assert type(again) is type(generator)
    assert again.config == generator.config
    label = torch.tensor([0, 1])
    latents = generator.map(generator.sample(Rng(0).streams(range(2))), label)
    assert torch.equal(again.synthesize(latents, label), generator.synthesize(latents, label))
    assert load_tensors(path)[1]["licence"] == "MIT"


def test_a_config_is_json_and_back(generator):
    name, values = family_of(generator)
    config = config_from(name, json.loads(json.dumps(values)), "config")
    assert asdict(config) == asdict(generator.config)


def test_a_file_of_another_config_is_refused(generator, tmp_path):
    path, (name, values) = tmp_path / "net.safetensors", family_of(generator)
    width = WIDTHS.get(name, "z_dim")
    for config, message in (
        ({**values, width: 7}, f"{width}|shape"),
        ({**values, width: 10**9}, "far larger"),
        ({}, "among them, got nothing"),
    ):
        header = {"network": name, "config": json.dumps(config)}
        save_tensors(path, generator.state_dict(), header)
        with pytest.raises(ValueError, match=rf"net.safetensors: .*({message})"):
            load_generator(path)


def test_a_generator_of_no_family(tmp_path):
    assert family_of(ToyGenerator()) is None
    with pytest.raises(ValueError, match=r"one of a family .* got ToyGenerator"):
        save_generator(tmp_path / "toy.safetensors", ToyGenerator())


def test_official_filters_may_be_there(tmp_path):
    made = StyleGAN2(SMALL["stylegan2"])
    path = tmp_path / "net.safetensors"
    extra = {"synthesis.b8.resample_filter": torch.ones(4, 4)}
    save_tensors(path, {**made.state_dict(), **extra})
    path.with_suffix(".json").write_text(json.dumps(family_of(made)[1]))
    load_generator(path)
