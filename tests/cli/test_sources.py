from __future__ import annotations

import json

import pytest
from safetensors.torch import save_file

from genviews.cli.sources import load_source, source_stamp
from genviews.generators import StyleGAN2, StyleGAN2Config
from genviews.invert import EncoderConfig, InversionEncoder

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
            source = load_source(str(path))
            assert source.generator.image_spec.shape == (1, 16, 16)
            assert source.inverter.encoder is None
            assert not source.generator.training

    def test_ranges_give_the_candidates(self, weights):
        names = [p.name for p in load_source(str(weights)).candidates]
        assert "stylemix_fine" in names
        assert "pca_coarse_2.00" in names

    def test_without_ranges_all_rows_are_moved(self, weights):
        (weights.with_suffix(".json")).write_text(json.dumps({**CONFIG, "ranges": {"low": [0, 2]}}))
        names = [p.name for p in load_source(str(weights)).candidates]
        assert names == ["isotropic_all_0.10", "isotropic_all_0.20", "isotropic_all_0.30"]

    @pytest.mark.parametrize("missing", ["net.json", "net.safetensors"])
    def test_a_missing_half_is_named(self, weights, missing):
        (weights.parent / missing).unlink()
        with pytest.raises(FileNotFoundError, match=f"got no {missing}"):
            load_source(str(weights))

    def test_config_without_architecture(self, weights):
        weights.with_suffix(".json").write_text('{"seed": 1}')
        with pytest.raises(ValueError, match=r"net.json: expected .* resolution .*got seed"):
            load_source(str(weights))

    def test_stamp_sees_new_weights(self, weights):
        before = source_stamp(str(weights))
        weights.write_bytes(weights.read_bytes() + b"\0")
        assert source_stamp(str(weights)) != before


class TestCallable:
    def test_function_of_z(self, user_module):
        source = load_source("mine:decode", z_dim=8)
        assert source.generator.image_spec.shape == (1, 8, 8)
        assert source.generator.latent_spec.space == "z"
        assert [p.name for p in source.candidates] == [
            "isotropic_all_0.10",
            "isotropic_all_0.20",
            "isotropic_all_0.30",
        ]

    def test_width_is_asked_for(self, user_module):
        with pytest.raises(ValueError, match="width of its z, got none; add --z-dim"):
            load_source("mine:decode")


class TestChoices:
    def test_unknown_name_lists_the_closest(self):
        with pytest.raises(ValueError, match=r"got 'fashoin32'; did you mean 'fashion32'"):
            load_source("fashoin32")

    def test_named_perturbations(self, weights):
        source = load_source(str(weights))
        found = source.perturbations(("stylemix_coarse", "isotropic_fine_0.25"))
        assert [p.name for p in found] == ["stylemix_coarse", "isotropic_fine_0.25"]
        assert source.perturbations(None) == source.candidates
        assert source.perturbations(()) == source.candidates

    def test_unknown_layers_list_the_closest(self, weights):
        with pytest.raises(ValueError, match="did you mean 'fine'"):
            load_source(str(weights)).perturbations(("stylemix_fnie",))

    def test_steps_and_encoder_replace_the_defaults(self, weights, tmp_path):
        generator = load_source(str(weights)).generator
        encoder = InversionEncoder(EncoderConfig(image_channels=1, size=16, num_layers=6, dim=8))
        encoder.save(tmp_path / "encoder.safetensors")
        source = load_source(str(weights), encoder=tmp_path / "encoder.safetensors", steps=7)
        assert source.inverter.steps == 7
        assert isinstance(source.inverter.encoder, InversionEncoder)
        assert generator.latent_spec.shape == (6, 8)

    def test_negative_steps(self, weights):
        with pytest.raises(ValueError, match="steps: expected an integer of at least 0"):
            load_source(str(weights), steps=-1)
