"""The recipes of the embedded default run through in their quick mode and ship nothing there."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from genviews.studies.ensembling.demo_shift import SHIFT
from genviews.zoo.card import ENTRIES
from recipes.fashion32 import (
    autoencoder,
    choose_shift,
    choose_steps,
    choose_views,
    compare_losses,
    fidelity,
    invert,
    learn,
    learn_bfloat16,
    robustness,
    shift_classifiers,
    train_classifier,
    train_encoder,
    train_on_views,
    train_walks,
)


@pytest.fixture(autouse=True)
def nothing_shipped(monkeypatch):
    before = {p.name: p.stat().st_mtime_ns for p in (ENTRIES / "fashion32").iterdir()}
    yield
    after = {p.name: p.stat().st_mtime_ns for p in (ENTRIES / "fashion32").iterdir()}
    assert after == before


def test_train_encoder(tmp_path):
    result = train_encoder.main(out=tmp_path, quick=True)
    errors = result["l1"]["generator_samples"]
    assert 0 < errors["encoder"] < errors["mean_latent"]
    assert (tmp_path.with_name(f"{tmp_path.name}-quick") / "encoder.safetensors").exists()


def test_steps_are_chosen_by_the_least_work_that_is_good_enough():
    found = choose_steps.main(quick=True)
    assert set(found["encoders"]["shipped"]) == {"0", "adam 1", "lbfgs 1"}
    rows = {
        name: {"clean": {"accuracy": accuracy, "evaluations": evaluations}}
        for name, accuracy, evaluations in (
            ("0", 0.8, 1.0),
            ("a", 0.896, 16.0),
            ("b", 0.897, 18.0),
            ("c", 0.9, 41.0),
        )
    }
    assert choose_steps.chosen(rows) == "a"


def test_the_shift_of_the_demo_is_chosen_by_halves_of_what_the_study_of_shifts_made(tmp_path):
    assert robustness.main("shifts", out=tmp_path, quick=True).startswith("shifts: ")
    made = {path for path in tmp_path.rglob("*.safetensors") if "predictions" in path.parts}
    said = choose_shift.main(out=tmp_path, quick=True)
    assert said.startswith("gaussian_noise:3: at least ")
    assert json.loads(choose_shift.RESULT.read_text())["chosen"] == SHIFT
    assert made == {path for path in tmp_path.rglob("*.safetensors") if "predictions" in path.parts}
    ours, level = torch.tensor([1, 1, 1, 0]).bool(), torch.tensor([0, 1, 0, 0]).bool()
    assert choose_shift.standard_errors(ours, ours) == 0
    assert abs(choose_shift.standard_errors(ours, level) - 3**0.5) < 1e-12  # 1/2 over 1/12 ** 1/2


@pytest.mark.parametrize("name", ["fig7", "adaptive", "few-labels"])
def test_studies_under_attacks_run_through(name, tmp_path):
    assert robustness.main(name, out=tmp_path, quick=True).startswith(f"{name}: ")


def test_an_autoencoder_goes_on_from_its_checkpoint(tmp_path):
    first = autoencoder.main(out=tmp_path / "a", quick=True)
    assert autoencoder.main(out=tmp_path / "a", quick=True)["val"] == first["val"]
    network = autoencoder.Autoencoder.load(tmp_path / "a-quick" / "autoencoder.safetensors")
    images = torch.linspace(-1, 1, 3 * 32 * 32).view(3, 1, 32, 32)
    made = autoencoder.Autoencoded(network)(images)
    assert made.shape == images.shape
    assert made.abs().max() <= 1
    assert torch.allclose(autoencoder.Autoencoded(network)(images[1:2]), made[1:2], atol=1e-5)


def test_classifiers_for_shifts_are_trained_once(tmp_path):
    first = shift_classifiers.main(out=tmp_path / "s", quick=True)["classifiers"]
    assert [row["shown"] for row in first] == ["plain", "foreseen", "others"]
    shift_classifiers.classifier_of("others", tmp_path / "s-quick")
    stamps = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.safetensors")}
    again = shift_classifiers.main(out=tmp_path / "s", quick=True)["classifiers"]
    assert json.loads(json.dumps(again)) == json.loads(json.dumps(first))
    assert stamps == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.safetensors")}


def test_train_classifier(tmp_path):
    result = train_classifier.main(out=tmp_path, quick=True)
    assert result["val"]["accuracy"] > 0.8
    assert set(result["val"]["by_class"]) == {"bright", "dark"}


def test_invert_makes_only_what_is_missing(tmp_path):
    invert.main(folder=tmp_path, quick=True)
    shards = sorted(tmp_path.rglob("[0-9]*.safetensors"))
    assert len(shards) == 1
    stamp = shards[0].stat().st_mtime_ns
    invert.main(folder=tmp_path, quick=True)
    assert shards[0].stat().st_mtime_ns == stamp


def test_plans_cover_reconstructions_and_views():
    from genviews import load_generator

    plans = train_on_views.plans(load_generator("fashion32"))
    assert {p.row["kind"] for p in plans} == {"reconstructions", "views"}
    assert len({p.file for p in plans}) == len(plans)
    assert {p.fine_tuned for p in plans} == {True, False}


def test_views_are_chosen_in_ranges_that_fill_the_rows():
    found = choose_views.main(quick=True)
    ends = [tuple(rows) for rows in found["ranges"].values()]
    assert (ends[0][0], ends[-1][1]) == (0, 8)
    assert all(one[1] == other[0] for one, other in pairwise(ends))
    assert set(found["kept"]) == set(found["perturbations"]) == set(choose_views.GRIDS)


def test_nearest_strengths_are_the_closest_to_each_target():
    shares = {0.1: 0.99, 0.2: 0.97, 0.3: 0.94, 0.5: 0.88, 1.0: 0.5}
    # 0.98: a tie between 0.1 and 0.2, the milder wins; 0.95: 0.3; 0.9: 0.5.
    assert choose_views.nearest(shares) == [0.1, 0.3, 0.5]


def test_recipes_write_no_machine_paths():
    for path in Path("results").rglob("*.json"):
        text = path.read_text()
        assert "/tmp/" not in text, path
        assert "/home/" not in text, path


def test_learn_runs_a_table_once(tmp_path):
    study = learn.run_table("table6", quick=True, seeds=1, folder=tmp_path / "learn")
    assert [row[0] for row in study.answer.rows] == [
        "classifier, real + T_x",
        "classifier, generated + T_x",
        "untrained encoder",  # with the next, the floor
        "no encoder",
    ]
    made = sorted(tmp_path.rglob("row.json"))
    assert len(made) == 3  # and an untrained encoder, the floor
    stamps = [path.stat().st_mtime_ns for path in made]
    again = learn.run_table("table6", quick=True, seeds=1, folder=tmp_path / "learn")
    assert again.record.data == json.loads(json.dumps(study.record.data))
    assert [path.stat().st_mtime_ns for path in made] == stamps


def test_train_walks(tmp_path):
    result = train_walks.main(out=tmp_path / "walks", quick=True)
    assert set(result["measured"]) == {"shiftx", "shifty", "zoom", "rot2d", "rot3d", "colour0"}


def test_fidelity_ranks_real_images_first():
    measured = fidelity.main(quick=True).record.data
    assert set(measured) == {"fashion32", "fashion32-classes", "images of train"}
    assert measured["images of train"]["fid"] == min(row["fid"] for row in measured.values())


def test_losses_are_compared_at_each_quarter_and_the_comparison_is_taken_up(tmp_path, monkeypatch):
    first = compare_losses.main(out=tmp_path, images=64, quick=True)
    assert list(first["measured"]) == [
        "non-saturating-0.02",
        "relativistic-0.02",
        "relativistic-0.1",
        "relativistic-0.5",
    ]
    for rows in first["measured"].values():
        assert [row["images_shown"] for row in rows] == [16, 32, 48, 64]
        assert all(row["fid"] > 0 for row in rows)
    trainings = first["config"]["trainings"]
    assert {name: (t["loss"], t["r1_gamma"]) for name, t in trainings.items()} == {
        name: (name.rpartition("-")[0], float(name.rpartition("-")[2])) for name in trainings
    }
    made = sorted((tmp_path / "measured").glob("relativistic-*.json"))
    assert len(made) == 12
    lost = made[-1].read_bytes()
    stamps = [path.stat().st_mtime_ns for path in made[:-1]]
    made[-1].unlink()
    assert compare_losses.main(out=tmp_path, images=64, quick=True)["measured"] == first["measured"]
    assert made[-1].read_bytes() == lost
    assert [path.stat().st_mtime_ns for path in made[:-1]] == stamps
    monkeypatch.setattr(compare_losses, "SEED", 1)
    with pytest.raises(ValueError, match=r"fidelity measured in .*seed.*another folder"):
        compare_losses.main(out=tmp_path, images=64, quick=True)


def test_bfloat16_is_compared_row_by_row_with_the_same_seeds(tmp_path):
    found = learn_bfloat16.main(quick=True, seeds=1, folder=tmp_path / "learn").record
    assert found.config["training"]["bfloat16"]
    assert list(found.data) == list(learn_bfloat16.ROWS)
    for row in found.data.values():
        assert row["float32"]["against"] is None
        gap = row["bfloat16"]["against"]["linear"]
        each = zip(*(row[p]["accuracy"]["linear"]["per_seed"] for p in row), strict=True)
        assert gap["per_seed"] == pytest.approx([half - single for single, half in each])
        assert row["bfloat16"]["accuracy"] != row["float32"]["accuracy"]
