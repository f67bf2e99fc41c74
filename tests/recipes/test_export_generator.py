from __future__ import annotations

import json
from dataclasses import asdict

import pytest
import torch
from safetensors.torch import load_file, save_file

from genviews import GeneratorKit, StyleGAN2, StyleGAN2Config
from genviews.files import save_tensors
from genviews.zoo.card import read_card, save_part, update_card
from recipes import recipe
from recipes.fashion32 import export_generator


@pytest.fixture
def weights(tmp_path):
    """Weights of a small generator, with their facts beside them."""
    config = StyleGAN2Config(
        resolution=32,
        img_channels=1,
        z_dim=4,
        w_dim=4,
        mapping_layers=1,
        channels={4: 4, 8: 4, 16: 4, 32: 4},
    )
    generator = StyleGAN2(config)
    facts = asdict(config) | {"family": "stylegan2", "parameters": 1, "training": {"seed": 0}}
    (tmp_path / "w.json").write_text(json.dumps(facts))
    save_tensors(tmp_path / "w.safetensors", generator.state_dict())
    return tmp_path / "w.safetensors"


def run(weights, folder, check=None):
    return export_generator.main(weights, check=check, folder=folder)


def test_entry_can_be_loaded(weights, tmp_path):
    told = run(weights, tmp_path / "entry")
    assert told == "wrote generator.safetensors, generator_check.safetensors and card.json"
    kit = GeneratorKit.load(tmp_path / "entry")
    known = load_file(tmp_path / "entry/generator_check.safetensors")
    assert known["image"].shape == (4, 1, 32, 32)
    assert torch.equal(kit.generator.synthesize(kit.generator.map(known["z"])), known["image"])
    assert kit.card["ranges"] == {"coarse": [0, 3], "middle": [3, 5], "fine": [5, 8]}
    assert kit.card["generator"]["training"] == {"seed": 0}
    assert str(tmp_path) not in (tmp_path / "entry/card.json").read_text()


def test_images_of_another_implementation_are_compared_and_kept(weights, tmp_path):
    run(weights, tmp_path / "entry")
    known = load_file(tmp_path / "entry/generator_check.safetensors")
    known["image"] = known["image"] + 5e-5
    save_file(known, tmp_path / "near.safetensors")
    run(weights, tmp_path / "entry", tmp_path / "near.safetensors")
    kept = load_file(tmp_path / "entry/generator_check.safetensors")
    assert torch.equal(kept["image"], known["image"])
    before = (tmp_path / "entry/card.json").read_bytes()
    known["image"][2, 0, 3, 3] += 1e-3
    save_file(known, tmp_path / "far.safetensors")
    with pytest.raises(ValueError, match=r"within 0\.0001, got a difference of 0\.001"):
        run(weights, tmp_path / "entry", tmp_path / "far.safetensors")
    assert (tmp_path / "entry/card.json").read_bytes() == before


def test_another_generator_keeps_measurements_and_names_stale_parts(weights, tmp_path):
    entry = tmp_path / "entry"
    run(weights, entry)
    update_card("ranges", {"coarse": [0, 2]}, entry)
    update_card("measured", {"fid": 1.0}, entry)
    save_part(
        entry,
        "pca.safetensors",
        {"x": torch.ones(1)},
        what="x",
        made_with=["generator.safetensors"],
    )
    assert "make it again" not in run(weights, entry)
    state = load_file(weights)
    state["mapping.w_avg"] += 1
    save_file(state, weights)
    assert "made with another generator, make it again: pca.safetensors" in run(weights, entry)
    card = read_card(entry)
    assert card["ranges"]["coarse"] == [0, 2]
    assert card["measured"] == {"fid": 1.0}


def test_mistakes_end_with_status_1(weights, tmp_path):
    state = load_file(weights)
    del state["mapping.w_avg"]
    save_file(state, weights)
    words = [str(weights), "--folder", str(tmp_path / "entry")]
    with pytest.raises(SystemExit, match=r"missing mapping\.w_avg"):  # its text goes to stderr
        recipe.run(export_generator.main, words)
    weights.with_suffix(".json").unlink()
    with pytest.raises(SystemExit, match=r"w\.json"):
        recipe.run(export_generator.main, words)
    assert not (tmp_path / "entry").exists()
