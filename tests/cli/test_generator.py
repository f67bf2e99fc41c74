"""`genviews generator`: what a generator is, and the same as a file of our own."""

from __future__ import annotations

import json

import pytest
import torch

from benchmarks.nvidia_files import pytorch_pickle
from genviews.cli import main
from genviews.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from genviews.load.generator import load_generator

TINY = StyleGAN2Config(
    resolution=8,
    img_channels=1,
    z_dim=4,
    w_dim=4,
    c_dim=2,
    mapping_layers=1,
    channels={4: 2, 8: 2},
    ranges={"low": (0, 2), "high": (2, 4)},
)


@pytest.fixture
def net(tmp_path, monkeypatch):
    """A pickle of NVIDIA's in the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.pkl").write_bytes(pytorch_pickle(StyleGAN2(TINY)))
    return tmp_path / "net.pkl"


def test_show(net, capsys):
    assert main(["generator", "show", "net.pkl"]) == 0
    shown = capsys.readouterr().out
    for line in (
        "family      stylegan2",
        "images      8 x 8, 1 channels, [-1, 1]",
        "latents     w+, 4 rows of 4",
        "classes     2",
        "of which nothing was run",
    ):
        assert line in shown
    assert main(["generator", "show", "net.pkl", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["parameters"] == sum(one.numel() for one in StyleGAN2(TINY).parameters())
    assert facts["config"]["channels"] == {"4": 2, "8": 2}


def test_a_converted_generator_is_the_same(net, capsys):
    words = ["generator", "convert", "net.pkl", "--out", "ours.safetensors"]
    named = ["--generator-class-names", "cat,dog"]
    assert main(words + named) == 0
    ours, theirs = load_generator("ours.safetensors"), load_generator("net.pkl")
    assert ours.generator.class_names == ("cat", "dog")
    assert ours.card["licence"] == theirs.card["licence"]
    assert json.loads(net.with_name("ours.card.json").read_text())["name"] == "net"
    latents = torch.randn(2, 4, 4)
    assert torch.equal(ours.generator.synthesize(latents), theirs.generator.synthesize(latents))
    assert main(words) == 2
    assert "expected a new file, got ours.safetensors" in capsys.readouterr().err
    assert main([*words, "--force"]) == 0


def test_named_rows_are_kept(net):
    assert main(["generator", "convert", "fashion32", "--out", "f.safetensors"]) == 0
    ranges = [
        load_generator(word).generator.latent_spec.ranges for word in ("fashion32", "f.safetensors")
    ]
    assert ranges[0] == ranges[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["net.pkl", "--out", "net.pt"], "expected NAME.safetensors, got net.pt"),
        (["math:tau", "--out", "a.safetensors"], "expected a function or module"),
        (["nowhere.pkl", "--out", "a.safetensors"], "nowhere.pkl"),
    ],
)
def test_what_cannot_be_converted(net, words, message, capsys):
    assert main(["generator", "convert", *words]) == 2
    assert message in capsys.readouterr().err
