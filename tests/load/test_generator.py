from __future__ import annotations

import json
import sys
import warnings

import pytest
import torch
from safetensors.torch import save_file

from genviews.domains import DOMAINS
from genviews.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from genviews.generators.toy import ToyGenerator
from genviews.invert.encoder import EncoderConfig, InversionEncoder
from genviews.kit import GeneratorKit
from genviews.load.generator import check_generator, load_generator
from genviews.perturb.pca import PCAStatistics
from genviews.perturb.train_steer import SteerTraining, train_walks

CONFIG = {"resolution": 16, "img_channels": 1, "z_dim": 8, "w_dim": 8, "mapping_layers": 2}
CONFIG |= {"channels": {"4": 8, "8": 8, "16": 8}, "resample_filter": [1, 3, 3, 1]}


@pytest.fixture
def weights(tmp_path):
    """A small StyleGAN2 on disk: weights and config side by side."""
    config = StyleGAN2Config(
        **{**CONFIG, "channels": {4: 8, 8: 8, 16: 8}, "resample_filter": (1, 3, 3, 1)}
    )
    weights = {name: tensor.contiguous() for name, tensor in StyleGAN2(config).state_dict().items()}
    save_file(weights, tmp_path / "net.safetensors")
    ranges = {"coarse": [0, 2], "fine": [4, 6]}
    text = json.dumps({**CONFIG, "ranges": ranges, "training": {"seed": 0}})
    (tmp_path / "net.json").write_text(text)
    return tmp_path / "net.safetensors"


class TestFile:
    def test_either_name(self, weights):
        for path in (weights, weights.with_suffix(".json")):
            kit = load_generator(str(path))
            assert kit.generator.image_spec.shape == (1, 16, 16)
            assert kit.inverter.encoder is None
            assert not kit.generator.training

    def test_strengths_are_those_of_the_domain_or_measured(self, weights):
        assert load_generator(weights, domain="face").domain is DOMAINS["face"]
        kit = load_generator(weights)
        assert {p.layers for p in kit.candidates} <= {"coarse", "fine"}
        assert "measured on net" in kit.notes[0]

    @pytest.mark.parametrize("missing", ["net.json", "net.safetensors"])
    def test_a_missing_half_is_named(self, weights, missing):
        (weights.parent / missing).unlink()
        with pytest.raises(FileNotFoundError, match=f"got no file .*{missing}"):
            load_generator(str(weights))

    def test_config_without_architecture(self, weights):
        weights.with_suffix(".json").write_text('{"seed": 1}')
        with pytest.raises(ValueError, match=r"net.json: expected .* resolution .*got seed"):
            load_generator(str(weights))

    def test_a_word_is_checked_without_reading_weights(self, weights):
        weights.write_bytes(b"no weights")
        for word in (weights, weights.with_suffix(".json"), "fashion32", "math:tau"):
            check_generator(word)
        with pytest.raises(ValueError, match="did you mean 'fashion32'"):
            check_generator("fashoin32")
        weights.unlink()
        with pytest.raises(FileNotFoundError, match=r"got no file .*net\.safetensors"):
            check_generator(weights)

    def test_home_folder(self, weights, monkeypatch):
        monkeypatch.setenv("HOME", str(weights.parent))
        assert load_generator("~/net.safetensors").generator.z_dim == 8


@pytest.fixture
def user_module(tmp_path, monkeypatch):
    """The user's own module, with a generator."""
    (tmp_path / "mine.py").write_text(
        "def decode(z):\n    return z.tanh().reshape(-1, 1, 2, 4).repeat(1, 1, 4, 2)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield "mine"
    sys.modules.pop("mine", None)


class TestWalks:
    def test_of_a_file(self, tmp_path):
        toy = ToyGenerator(seed=2)
        few = PCAStatistics.measure(toy, 100)
        GeneratorKit(toy, directions=few).save(tmp_path / "toy")
        walks = train_walks(toy, SteerTraining(samples=16, lr=0.05, edits=("zoom",)))
        walks.save(tmp_path / "walks.safetensors")
        kit = load_generator(tmp_path / "toy", walks=tmp_path / "walks.safetensors")
        assert kit.perturbation("steer_all_1.00").name == "steer_all_1.00"
        third = ToyGenerator(seed=3)
        few = PCAStatistics.measure(third, 100)
        GeneratorKit(third, directions=few).save(tmp_path / "other")
        other = load_generator(tmp_path / "other", walks=tmp_path / "walks.safetensors")
        with pytest.raises(ValueError, match=r"walks: .* it now renders other images"):
            other.perturbation("steer_all_1.00")


class TestCallable:
    def test_function_of_z(self, user_module):
        kit = load_generator("mine:decode", z_dim=8)
        assert kit.generator.image_spec.shape == (1, 8, 8)
        assert kit.generator.latent_spec.space == "z"
        assert {p.name.rpartition("_")[0] for p in kit.candidates} == {"isotropic_all"}

    def test_width_is_asked_for(self, user_module):
        with pytest.raises(ValueError, match=r"width of its z, got none; add z_dim \(--z-dim\)"):
            load_generator("mine:decode")


class TestChoices:
    def test_unknown_name_lists_the_closest(self):
        with pytest.raises(ValueError, match=r"got 'fashoin32'; did you mean 'fashion32'"):
            load_generator("fashoin32")

    def test_named_perturbations(self, weights):
        kit = load_generator(str(weights))
        found = kit.perturbations(("stylemix_coarse", "isotropic_fine_0.25"))
        assert [p.name for p in found] == ["stylemix_coarse", "isotropic_fine_0.25"]

    def test_none_named_are_all_candidates(self, user_module):
        kit = load_generator(f"{user_module}:decode", z_dim=8)
        assert kit.perturbations(None) == kit.candidates
        assert kit.perturbations(()) == kit.candidates

    def test_unknown_layers_list_the_closest(self, weights):
        with pytest.raises(ValueError, match="did you mean 'fine'"):
            load_generator(str(weights)).perturbations(("stylemix_fnie",))

    def test_steps_and_encoder_replace_the_defaults(self, weights, tmp_path):
        generator = load_generator(str(weights)).generator
        encoder = InversionEncoder(EncoderConfig(image_channels=1, size=16, num_layers=6, dim=8))
        encoder.save(tmp_path / "encoder.safetensors")
        kit = load_generator(str(weights), encoder=tmp_path / "encoder.safetensors", steps=7)
        assert kit.inverter.steps == 7
        assert isinstance(kit.inverter.encoder, InversionEncoder)
        assert generator.latent_spec.shape == (6, 8)

    def test_negative_steps(self, weights):
        with pytest.raises(ValueError, match="steps: expected an integer of at least 0"):
            load_generator(str(weights), steps=-1)


class TestOtherThings:
    """What is no generator, in a sentence that says what it is and what to name."""

    @pytest.fixture
    def others(self, tmp_path, monkeypatch):
        """Files and folders that users mix up with a generator, in the current folder."""
        monkeypatch.chdir(tmp_path)
        toy = ToyGenerator()
        InversionEncoder(EncoderConfig.for_generator(toy)).save("encoder.safetensors")
        train_walks(toy, SteerTraining(samples=2, batch=2)).save("walks.safetensors")
        GeneratorKit(toy, directions=PCAStatistics.measure(toy, 50)).save("kit")
        (tmp_path / "hf").mkdir()
        torch.save({"weight": torch.zeros(2)}, "hf/pytorch_model.bin")
        weights = {"layer5.conv5.weight": torch.zeros(2)}
        torch.save({"state_dict": weights}, "chai.pth.tar")
        torch.save(dict.fromkeys(("block0.conv.weight", "block1.wscale1.bias"), 0), "domain.pth")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it is out of date, as are the files that it wrote
            torch.jit.trace(torch.nn.Tanh(), torch.zeros(1, 2)).save("net.ts")
        return tmp_path

    @pytest.mark.parametrize(
        ("word", "told"),
        [
            ("encoder.safetensors", r"got InversionEncoder; .* and this one as encoder \(--enc"),
            ("walks.safetensors", r"got walks; name its generator, and this one as walks \(--walk"),
            ("chai.pth.tar", r"got an encoder of inversions, or .* this one as encoder \(--enc"),
            ("domain.pth", r"got an encoder of In-Domain inversion; .* encoder \(--encoder\)"),
            ("kit/pca.safetensors", "got a part of a kit; name the folder of the kit, kit"),
            ("hf", "neither, but pytorch_model.bin; name the .* such as hf/pytorch_model.bin"),
            ("net.ts", r"got a TorchScript file; .* that returns torch\.jit\.load"),
            ("https://a.b/net.pkl", "expected a file of this machine, got .*, a URL; copy it"),
            ("stylegan2-fhq", "did you mean 'stylegan2-ffhq'"),
        ],
    )
    def test_it_is_named(self, others, word, told):
        with pytest.raises((ValueError, FileNotFoundError), match=told):
            load_generator(word)

    def test_the_current_folder_has_a_name(self, others, monkeypatch):
        monkeypatch.chdir(others / "kit")
        assert load_generator(".").name == "kit"

    def test_a_colon_in_the_name_of_a_file(self, others):
        (others / "chai.pth.tar").rename("run:1.pkl")
        with pytest.raises(ValueError, match=r"generator run:1\.pkl"):
            load_generator("run:1.pkl")
