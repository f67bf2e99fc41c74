"""`genviews generator get`: weights by their names, told, kept and opened."""

from __future__ import annotations

import hashlib

import pytest
import torch

from benchmarks.nvidia_files import pytorch_pickle
from genviews.cli import main
from genviews.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from genviews.invert.published import ResNetEncoder
from genviews.load.generator import load_generator
from tests.generators.naive_others import Weights
from tests.load.naive_encoders import resnet_encoder

NAME = "stylegan2-ada-metfaces"  # nobody states its SHA-256
ENCODER = "chai-cat-encoder"
TINY = StyleGAN2Config(resolution=8, z_dim=4, w_dim=4, mapping_layers=1, channels={4: 2, 8: 2})


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """The folder of weights, and in the current one a file as a browser leaves it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GENVIEWS_WEIGHTS", str(tmp_path / "weights"))
    (tmp_path / "mine.pkl").write_bytes(pytorch_pickle(StyleGAN2(TINY)))
    return tmp_path / "weights"


def test_a_file_of_mine_is_kept_under_its_name_and_opened_by_it(weights, capsys):
    with pytest.raises(FileNotFoundError, match=f"run `genviews generator get {NAME}`"):
        load_generator(NAME)
    assert main(["generator", "get", NAME, "--file", "mine.pkl"]) == 0
    out, error = capsys.readouterr()
    assert out == f"{weights / NAME}.pkl\n"
    digest = hashlib.sha256((weights / f"{NAME}.pkl").read_bytes()).hexdigest()
    assert f"{NAME}: SHA-256 {digest}, unverified: nobody states" in error
    assert f"{NAME}: not for commercial use (Nvidia Source Code License" in error
    assert load_generator(NAME).generator.image_spec.height == 8
    assert main(["generator", "get", NAME]) == 0  # it is here: nothing is downloaded, told once
    assert "commercial" not in capsys.readouterr().err


def test_an_encoder_is_named_as_a_generator_is(weights, capsys):
    drawn = Weights()
    resnet_encoder(drawn, torch.zeros(1, 4, 64, 64), 4, 4, (4, 4, 6, 4), (2, 1, 1, 1))
    torch.save({"state_dict": dict(drawn)}, "mine.pth.tar")
    made = ["generator", "views", "mine.pkl", "--views", "none", "--samples", "2"]
    assert main([*made, "--out", "made"]) == 0
    words = ["invert", "--images", "made/images", "--generator", "mine.pkl", "--steps", "0"]
    words += ["--encoder", ENCODER]
    assert main(words) == 2
    told = f"--encoder: expected weights that are on this machine, got none of the name '{ENCODER}'"
    assert told in capsys.readouterr().err
    assert main(["generator", "get", ENCODER, "--file", "mine.pth.tar"]) == 0
    assert main(words) in (0, 3)
    assert isinstance(load_generator("mine.pkl", encoder=ENCODER).encoder, ResNetEncoder)
    capsys.readouterr()
    assert main(["generator", "show", ENCODER]) == 2
    assert "expected a generator, got an encoder of inversions" in capsys.readouterr().err


def test_the_list(capsys):
    assert main(["generator", "get"]) == 0
    shown = capsys.readouterr().out
    assert f"{NAME}      faces of paintings, 1024 pixels (stylegan2 generator, unverified)" in shown


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["stylegan2-fhq"], 2, "did you mean 'stylegan2-ffhq'"),
        (["stylegan2-car", "--file", "mine.pkl"], 1, "SHA-256 e1618e"),
        (["stylegan2-ffhq", "--file", "mine.pkl"], 2, "381,673,535 bytes"),
        (["stylegan2-ffhq", "--file", "none.pkl"], 2, "no file 'none.pkl'"),
        ([NAME, "--timeout", "0"], 2, "--timeout: expected a finite number above 0"),
    ],
)
def test_what_cannot_be_had_is_told(weights, words, code, message, capsys):
    assert main(["generator", "get", *words]) == code
    assert message in capsys.readouterr().err
    assert not weights.exists()
