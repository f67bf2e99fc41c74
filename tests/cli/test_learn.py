"""`genviews learn` on toys: whole runs, killed and resumed ones, and mistakes."""

from __future__ import annotations

import json

import pytest
from PIL import Image
from safetensors.torch import load_file

from genviews.cli import main
from genviews.cli.inputs import load_inputs
from genviews.cli.learning_flags import LearnFlags
from genviews.data.pixels import IN_MEMORY
from genviews.generators.callable import load_callable
from genviews.perturb.train_steer import SteerTraining, train_walks
from genviews.represent.losses import OBJECTIVES
from genviews.studies.learning.one import one_row
from genviews.studies.learning.options import LearnOptions, TrainingOptions
from genviews.studies.learning.training import encoder_config, pixel_preset, training
from genviews.types import ImageSpec
from tests.folders import findings, names, numbers
from tests.pages import read_page

FILES = {"identity.json", "identity.safetensors", "log.txt", "report.html", "results.json"}
FILES |= {"tables", "figures", "encoder.safetensors", "backbone.safetensors"}
GENERATOR = ("--generator", "mine:decode", "--z-dim", "8")
SMALL = ("--samples", "16", "--batch", "8", "--updates", "6", "--out", "run")


@pytest.fixture
def go(user_module, with_flags):
    """Learn from the toy generator in six updates; a function of further flags."""
    return lambda *more: main(with_flags(["learn", *GENERATOR, *SMALL], more))


@pytest.fixture
def go_real(image_folder, with_flags):
    """Learn from 40 real images (and a file that is none) without a generator."""
    return lambda *more: main(with_flags(["learn", "--real", "images", *SMALL], more))


def weights(folder):
    return load_file(folder / "encoder.safetensors")


def equal(one, other):
    return one.keys() == other.keys() and all(bool((one[k] == other[k]).all()) for k in one)


class TestRun:
    def test_folder_terminal_and_second_call(self, go, here, readable_data, capsys):
        assert go("--data", "data") == 0
        run = here / "run"
        assert names(run) == FILES | {"hashes.json", "results.csv"}
        summary, history = findings(run), numbers(run / "tables" / "training.csv")
        assert [record["step"] for record in history] == [1, 2, 3, 4, 5, 6]
        last = summary["training"]["last"]
        assert (last["step"], last["loss"]) == (6, history[-1]["loss"])
        assert summary["training"]["row"]["views"] == "gaussian_all_0.20"
        assert summary["training"]["samples"] == 16
        assert summary["config"]["options"]["updates"] == 6
        assert summary["command"].startswith("genviews learn --z-dim 8 --generator mine:decode")
        decoded = {f"decode {split}" for split in ("train", "val", "test")}
        stages = {"load", "look for copies", "check", "render views", "train", "probe"}
        assert stages | decoded == set(summary["seconds"])
        assert {"alignment", "uniformity", "rankme", "knn"} == set(last["monitors"])
        assert history[-1]["knn"] == last["monitors"]["knn"]

        for probe, score in summary["probes"].items():
            assert score["total"] == 32
            assert score["interval"][0] <= score["accuracy"] <= score["interval"][1], probe
            assert score["splits"] == {"fit": "train", "select": "val", "score": "test"}
        assert set(summary["floor"]["untrained"]) == {"linear", "knn"}
        assert "The floor: an untrained encoder" in summary["verdict"]
        page = read_page(run)
        assert summary["verdict"] in page
        assert page.count("<svg") == 5  # the loss and four monitors
        assert "<script" not in page

        backbone = load_file(run / "backbone.safetensors")
        whole = {name: value for name, value in weights(run).items() if "head" not in name}
        assert equal({f"backbone.{name}": value for name, value in backbone.items()}, whole)

        out, error = capsys.readouterr()
        assert summary["verdict"] in " ".join(out.split())
        assert "Report: run/report.html" in out
        lines = {line.split(":")[0]: line for line in error.splitlines()}
        assert lines["render views"].startswith("render views: 32 in")  # an image and a view each
        assert "images/s" in lines["render views"]
        assert lines["train"].startswith("train: 48 in")
        assert f"loss {history[-1]['loss']:.4g}" in lines["train"]

        before = {p: p.stat().st_mtime_ns for p in run.rglob("*")}
        assert go("--data", "data") == 0
        assert "nothing to do (--force runs it again)" in capsys.readouterr().out
        assert {p: p.stat().st_mtime_ns for p in run.rglob("*")} == before
        assert go("--data", "data", "--seed", "1") == 2
        assert "options.seed: 0 in the store, 1 asked" in capsys.readouterr().err

    def test_a_killed_run_goes_on_to_the_same_weights(
        self, go, here, killed_after, trained, capsys
    ):
        with killed_after(4):
            assert go() == 130
        assert "the same command again continues" in capsys.readouterr().err
        assert list((here / "run" / "work").rglob("checkpoint.pt"))
        assert not names(here / "run") & {"results.json", "encoder.safetensors"}
        assert go("--seed", "1") == 2
        assert "options.seed: 0 in the store, 1 asked" in capsys.readouterr().err

        trained.clear()
        assert go() == 0
        assert trained == [4, 5]
        assert "32 of them done before" in capsys.readouterr().err
        assert names(here / "run") == FILES
        history = numbers(here / "run" / "tables" / "training.csv")
        assert [r["step"] for r in history] == [1, 2, 3, 4, 5, 6]
        assert go("--out", "whole", "--work", "shared") == 0
        assert equal(weights(here / "run"), weights(here / "whole"))
        before = set((here / "shared").rglob("*.safetensors"))
        assert go("--out", "other", "--seed", "1", "--work", "shared") == 0
        assert not equal(weights(here / "run"), weights(here / "other"))
        # Another seed draws other samples as well: theirs lie beside those of the first.
        views = [p for p in (here / "shared").rglob("*.safetensors") if "views" in p.parts]
        assert before & set(views)
        assert set(views) - before


class TestData:
    def test_real_images_alone(self, go_real, here, capsys):
        assert go_real() == 0
        summary = findings(here / "run")
        assert summary["training"]["row"]["data"] == "real"
        assert summary["training"]["images"] == "1x8x8"
        assert [file for file, _ in summary["skipped"]] == ["dark/broken.png"]
        assert summary["probes"] == {}
        assert "so its features were not judged" in " ".join(capsys.readouterr().out.split())

    def test_classes_of_a_folder_are_learnt_from(self, go_real, here):
        assert go_real("--objective", "classifier") == 0
        assert findings(here / "run")["encoder"]["projection"] == 2

    def test_a_csv_has_no_classes(self, go_real, here, capsys):
        (here / "images" / "dark" / "broken.png").unlink()
        files = sorted(p.relative_to(here) for p in (here / "images").rglob("*.png"))
        (here / "list.csv").write_text("file\n" + "".join(f"{f.as_posix()}\n" for f in files))
        assert go_real("--real", "list.csv") == 0
        assert go_real("--real", "list.csv", "--objective", "supcon", "--out", "x") == 2
        assert "expected data with two classes or more, got none" in capsys.readouterr().err

    def test_a_mix(self, go, here, image_folder):
        mix = ("--real", "images", "--share", "0.5", "--updates", "2")
        assert go(*mix) == 0
        assert (
            findings(here / "run")["training"]["row"]
            | {
                "data": "mixed",
                "share": 0.5,
                "views": None,
            }
            == findings(here / "run")["training"]["row"]
        )
        assert go(*mix, "--share", "0", "--out", "real") == 0
        assert go("--out", "made", "--views", "none", "--updates", "2") == 0
        found = [weights(here / name) for name in ("run", "real", "made")]
        assert not equal(found[0], found[1])
        assert not equal(found[0], found[2])

    def test_streamed_views_are_stored_ones_but_for_eight_bits(self, go, here, capsys):
        assert go("--updates", "1") == 0
        assert go("--updates", "1", "--stream", "--out", "streamed") == 0
        assert "render views" not in capsys.readouterr().err.splitlines()[-2]
        stored, streamed = (
            numbers(here / n / "tables" / "training.csv")[0] for n in ("run", "streamed")
        )
        assert stored["loss"] == pytest.approx(streamed["loss"], abs=0.02)
        assert stored["loss"] != streamed["loss"]

    def test_what_was_found_of_the_generator_is_said_beside_the_splits(
        self, user_module, labelled_data
    ):
        flags = LearnFlags(generator="mine:holes", z_dim=8, data="data")
        notes = load_inputs([flags], IN_MEMORY, lambda kit: None).notes
        assert "samples are not finite" in notes[0]

    def test_steered_views_need_the_walks_of_the_generator(self, go, with_flags, here, capsys):
        decode = load_callable("mine:decode", 8)
        learnt = train_walks(decode, SteerTraining(samples=32, lr=0.05))
        learnt.save(here / "walks.safetensors")
        steered = ("--views", "steer_all_1.00", "--walks", "walks.safetensors", "--updates", "1")
        assert go(*steered) == 0
        other = ["learn", "--generator", "fashion32", *SMALL]
        assert main(with_flags(other, [*steered, "--out", "other"])) == 2
        assert "learn walks for this generator" in capsys.readouterr().err

    def test_larger_images_need_resize(self, go_real, here, capsys):
        for file in (here / "images").glob("*/[0-9]*.png"):
            Image.open(file).resize((16, 16)).save(file)
        assert go_real("--size", "8") == 2
        assert "at least one readable image, got none of 41" in capsys.readouterr().err
        assert not (here / "run" / "work").exists()  # nothing that stands in the way
        assert go_real("--size", "8", "--resize", "--updates", "1") == 0
        assert findings(here / "run")["training"]["images"] == "1x8x8"


class TestMistakes:
    def test_dry_run(self, go, here, capsys):
        assert go("--dry-run", "--device", "cpu") == 0
        config = json.loads(capsys.readouterr().out)
        assert (config["verb"], config["updates"], config["objective"]) == ("learn", 6, "nt-xent")
        assert config["views"] == "gaussian_all_0.20"
        assert not {"device", "batch_size"} & set(config)
        assert not (here / "run").exists()

    @pytest.mark.parametrize(
        ("more", "message"),
        [
            (["--generator", "fashoin32"], "did you mean 'fashion32'"),
            (
                ["--real", "nowhere", "--share", "0.5"],
                "images 'nowhere': expected a folder, a .csv",
            ),
            (["--real", "images"], "add --share 0.5, or leave one of the two out"),
            (["--share", "0.5"], "--share: expected a part of generated samples"),
            (["--real", "images", "--share", "1.5"], "--share: expected a number in [0, 1]"),
            (
                ["--real", "fashion32", "--share", "0.5"],
                "expected a generator or an encoder of 32x32 grey",
            ),
            (["--data", "nowhere"], "images 'nowhere': expected a folder"),
            (["--walks", "nowhere"], "--walks: expected a file that exists"),
            (
                ["--walks", "images"],
                "--walks: expected a file that exists, got no file 'images', but a folder",
            ),
            (["--views", "gausian_all_0.2"], "did you mean 'gaussian'"),
            (["--views", "gaussian_fine_0.20"], "layer range: expected one of all"),
            (["--views", "steer_all_1.00"], "learnt walks of the generator"),
            (["--views", "stylemix_fine"], "add --space own"),
            (["--views", "none", "--pixels", "none"], "--views and --pixels: expected views"),
            (["--views", "gaussian_all_0.20", "--objective", "inverter"], "no latent views"),
            (["--objective", "supcon"], "expected data with two classes or more"),
            (["--positives", "0"], "--positives: expected an integer of at least 1"),
            (["--positives", "2"], "take the objective 'multi-positive'"),
            (["--positives", "3", "--pool", "2"], "--pool: expected an integer of at least 3"),
            (["--pixels", "fashion32/simclr-weka"], "did you mean 'fashion32/simclr-weak'"),
            (["--backbone", "compct"], "did you mean 'compact'"),
            (["--views", "gausian_all_0.2"], "--views: kind of perturbation: expected one of"),
            (["--views", "gaussian_all_-1"], "--views: std of Gaussian: expected a finite"),
            (["--views", "gaussian_fine_0.2"], "--views: layer range: expected one of all"),
            (["--updates", "0"], "--updates: expected an integer of at least 1"),
            (["--samples", "7"], "--samples: expected an integer of at least 8"),
            (["--lr", "-1"], "--lr: expected a finite number above 0"),
            (["--size", "8"], "--size: expected no generator"),
            (["--out", "images/run", "--real", "images", "--share", "0.5"], "apart from --real"),
            (["--device", "gpu9"], "(--device): expected auto, cpu"),
        ],
    )
    def test_each_is_one_clear_line(
        self, go, here, readable_images, says_in_one_line, more, message
    ):
        assert go(*more) == 2
        says_in_one_line(message)
        assert not (here / "run" / "work").exists()

    def test_nothing_to_learn_from(self, here, capsys):
        assert main(["learn"]) == 2
        assert "expected --generator, --real or both, got neither" in capsys.readouterr().err


def test_help_names_every_objective():
    told = LearnOptions.__doc__
    assert all(name in told for name in OBJECTIVES)


class TestDefaults:
    def test_views_suit_the_data(self):
        def views(made=True, real=False, **options):
            share = 0.5 if made and real else None
            return one_row(LearnOptions(share=share, **options), made=made, real=real).views

        assert views() == "gaussian_all_0.20"
        assert views(real=True) is None
        assert views(made=False, real=True) is None
        assert views(objective="inverter") is None
        assert views(views="none") is None
        assert views(real=True, views="steer_all_1.00") == "steer_all_1.00"

    @pytest.mark.parametrize(
        ("shape", "size", "grey"),
        [((1, 32, 32), 32, True), ((1, 64, 48), 48, True), ((3, 128, 128), 112, False)],
    )
    def test_pixel_views_suit_the_images(self, shape, size, grey):
        spec = ImageSpec(channels=shape[0], height=shape[1], width=shape[2])
        found = pixel_preset(None, spec)
        assert (found.size, found.saturation == found.grey == 0.0) == (size, grey)
        assert pixel_preset("none", spec) is None

    @pytest.mark.parametrize(
        ("side", "flags", "backbone", "stem"),
        [
            (32, {}, "compact", "imagenet"),
            (65, {}, "resnet50", "imagenet"),
            (30, {}, "resnet50", "small"),  # not what the compact one takes
            (32, {"backbone": "resnet18"}, "resnet18", "small"),
            (32, {"backbone": "resnet18", "stem": "imagenet"}, "resnet18", "imagenet"),
        ],
    )
    def test_encoder_suits_the_images(self, side, flags, backbone, stem):
        spec = ImageSpec(channels=3, height=side, width=side)
        found = encoder_config(TrainingOptions(**flags), spec)
        assert (found.backbone, found.stem, found.channels) == (backbone, stem, 3)

    @pytest.mark.parametrize("updates", [1, 6, 350, 2000, 101_580])
    @pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
    def test_training(self, updates, optimizer):
        found = training(TrainingOptions(optimizer=optimizer))(updates)
        assert found.schedule.total_steps == updates
        peak = max(found.schedule.rate(s) for s in range(0, updates, max(1, updates // 50)))
        assert peak <= (0.03 if optimizer == "sgd" else 1e-3)
        assert updates // found.log_every >= min(40, updates)
        assert found.checkpoint_every % found.log_every == 0  # a resumed stage counts by records
        assert found.checkpoint_every <= 500
        assert found.decay_all == (optimizer == "sgd")

    def test_sgd_starts_at_the_papers_rate(self):
        assert training(TrainingOptions())(350).schedule.rate(0) == 0.03

    def test_precision(self):
        assert not training(TrainingOptions())(10).bfloat16
        assert training(TrainingOptions(bfloat16=True))(10).bfloat16

    def test_a_batch_of_one_has_no_negative(self):
        with pytest.raises(ValueError, match="--batch: expected an integer of at least 2"):
            TrainingOptions(batch=1).check()
