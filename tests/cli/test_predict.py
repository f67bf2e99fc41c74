"""`genviews predict`: a run's ensemble on images without labels, and what it refuses."""

from __future__ import annotations

import csv
import json
import shutil

import pytest
from PIL import Image

from genviews.classify.settings import ClassifierSettings
from genviews.cli import main
from genviews.cli.flags import DemoFlags, ModelFlags, PredictFlags
from genviews.cli.saved import models_of
from genviews.studies.result import Record, Result

PREDICT = ["predict", "--ensemble", "run", "--images", "images", "--out", "answers"]


def lines(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def pictures(here):
    return sorted((here / "images").rglob("*.png"))


@pytest.fixture
def fitted(image_folder, user_module, begin_with):
    """A run of `ensemble` on 40 images, of which 20 chose its alpha."""

    def run():
        words = [
            "ensemble",
            *("--images", "images", "--classifier", "mine:network", "--perturb"),
            *("isotropic_all_0.20", "--augment", "fashion32/flip"),
            *("--generator", "mine:decode", "--z-dim", "8", "--steps", "3"),
            *("--num-views", "2", "--out", "run"),
            *("--merge", "gmean", "--choose-by", "log-loss"),
        ]
        assert main(words) == 0

    return begin_with(run)


@pytest.mark.parametrize(
    ("command", "wanted"),
    [
        ("genviews demo --seed 0 --out x", DemoFlags()),
        ("genviews demo --seed 1 --steps 9 --num-views 3 --out x", DemoFlags(seed=1, steps=9)),
        (
            "genviews study ensembling/main --images a --seed 0 --classifier b:c --generator d:e "
            "--z-dim 8 --mean -0.5 0.4 --generator-range -1..1 --scale-views 3 --out x",
            ModelFlags(
                images="a",
                classifier="b:c",
                generator="d:e",
                z_dim=8,
                generator_range="-1..1",
                settings=ClassifierSettings(mean=(-0.5, 0.4)),
            ),
        ),
    ],
)
def test_a_command_says_which_models_it_ran_with(tmp_path, command, wanted):
    Result(title="", verdict="", record=Record(command=command)).save(tmp_path)
    found = models_of(PredictFlags(ensemble=tmp_path, images="y"))
    names = ("seed", "steps", "generator", "classifier", "z_dim", "generator_range", "settings")
    kept = [(name, getattr(found, name, None)) for name in names]
    assert kept == [(name, getattr(wanted, name, None)) for name in names]


class TestPredict:
    def test_says_of_the_same_images_what_the_run_said(self, fitted, here):
        results = here / "run" / "results.json"
        record = json.loads(results.read_text())
        record["record"]["data"]["ensemble"]["alpha"] = 0.5  # so that the views have weight
        results.write_text(json.dumps(record))
        assert main(PREDICT) == 0
        wanted = {line.pop("id"): line for line in lines(here / "run" / "predictions.csv")}
        found = {line.pop("id"): line for line in lines(here / "answers" / "predictions.csv")}
        assert len(wanted) == 40
        verdict = Result.load(here / "answers").verdict
        assert "of 20 with a known label" in verdict  # the others are no test of the weight
        assert "the labels of 20 are left out, as they chose the weight" in verdict
        assert {line.pop("split") for line in wanted.values()} == {"calibration", "test"}
        assert found["dark/broken.png"].pop("note") == "is not an image"
        for name, line in wanted.items():
            told = found[name]
            assert told.pop("note") == ""
            del told["ensemble"], told["confidence"], line["ensemble"], line["confidence"]
            assert told == line
            assert list(told) == list(line)
            assert list(told)[:2] == ["label", "single"], list(told)

    def test_a_run_without_a_verdict_has_answers_without_one(self, fitted, here, capsys):
        """What was wrong when it was fitted stands above its answers, and in the exit code."""
        results = here / "run" / "results.json"
        record = json.loads(results.read_text())
        record["gates"][0] |= {"passed": False, "found": "Classes are exchanged.", "remedy": "Do."}
        results.write_text(json.dumps(record))
        for said in ("1 of 4 checks failed", "nothing to do"):
            assert main(PREDICT) == 3
            out = capsys.readouterr().out
            assert said in out
            assert "Classes are exchanged." in out
        assert Result.load(here / "answers").is_withheld

    @pytest.mark.parametrize("count", [0, 1])
    def test_pixel_views_of_the_image_count_as_in_the_run(self, fitted, here, count):
        results = here / "run" / "results.json"
        record = json.loads(results.read_text())
        record["record"]["data"]["ensemble"] |= {
            **{"pixels": "flip", "num_pixel_views": count, "alpha": 0.5, "num_views": 1},
            "perturbation": "isotropic_all_0.20",
        }
        results.write_text(json.dumps(record))
        assert main(PREDICT) == 0
        columns = list(lines(here / "answers" / "predictions.csv")[0])[5:-1]
        wanted = ["flip", "reconstruction", "flip+isotropic_all_0.20"]
        assert columns == wanted[1 - count :]

    def test_takes_images_without_labels_and_goes_on(self, fitted, here, capsys):
        flat = here / "flat"
        flat.mkdir()
        for path in sorted((here / "images").rglob("*.png"))[:6]:
            shutil.copy(path, flat / f"={path.parent.name}-{path.name}")
        words = [*PREDICT, "--images", "flat"]
        words = ["flat" if word == "images" else word for word in PREDICT]
        assert main(words) == 0
        text = (here / "answers" / "predictions.csv").read_text()
        assert {line["label"] for line in lines(here / "answers" / "predictions.csv")} == {""}
        assert "\n'=dark" in text  # no formula for a spreadsheet
        capsys.readouterr()
        assert main(words) == 0
        assert "nothing to do" in capsys.readouterr().out

    def test_images_of_which_none_has_an_answer(self, fitted, here, capsys):
        (here / "large").mkdir()
        Image.new("L", (9, 9)).save(here / "large" / "a.png")
        assert main(["large" if word == "images" else word for word in PREDICT]) == 2
        error = " ".join(capsys.readouterr().err.split())
        assert "expected at least one with an answer, got none: a.png is 9x9 pixels" in error
        assert main(["large" if word == "images" else word for word in [*PREDICT, "--resize"]]) == 0

    def test_another_classifier_or_generator_is_refused(self, fitted, here, capsys):
        code = (here / "mine.py").read_text()
        (here / "other.py").write_text(code.replace("[-mean, mean]", "[mean, -mean]"))
        assert main([*PREDICT, "--classifier", "other:network"]) == 2
        error = " ".join(capsys.readouterr().err.split())
        assert "the ensemble of 'run': expected what it was made from" in error
        assert "--classifier" in error
        assert not (here / "answers" / "predictions.csv").exists()
        (here / "moved.py").write_text(code)
        moved = ["--generator", "moved:decode", "--classifier", "moved:network"]
        assert main([*PREDICT, *moved, "--dry-run"]) == 0
        (here / "third.py").write_text(code.replace("toy.map(z)", "toy.map(2 * z)"))
        assert main([*PREDICT, "--generator", "third:decode"]) == 2
        assert "generator" in capsys.readouterr().err

    def test_takes_masks_and_boxes(self, fitted, here, capsys):
        shutil.copytree(here / "images", here / "masks")
        for picture in (here / "masks").rglob("*.png"):
            known = Image.new("L", (8, 8), 255)
            known.paste(0, (0, 0, 2, 8))  # black: unknown
            known.save(picture)
        assert main([*PREDICT, "--mask", "masks"]) == 0
        rows = [
            "file,x0,y0,x1,y1",
            *(f"{p.relative_to(here / 'images')},0,0,8,8" for p in pictures(here)),
        ]
        (here / "boxes.csv").write_text("\n".join(rows))
        framed = [*PREDICT[:-1], "framed", "--align", "centre", "--geometry", "boxes.csv"]
        assert main(framed) == 0
        assert main([*framed, "--mask", "masks"]) == 2
        assert "--mask: expected no --align" in capsys.readouterr().err

    def test_a_classifier_of_another_size_than_the_generator(
        self, here, image_folder, user_module, capsys
    ):
        for path in pictures(here)[::2]:
            path.unlink()  # twenty will do
        words = [
            *("ensemble", "--images", "images", "--classifier", "mine:network", "--perturb"),
            *("isotropic_all_0.20", "--generator", "mine:decode", "--z-dim", "8", "--steps", "1"),
            *("--num-views", "1", "--augment", "car/val", "--out", "run"),
        ]
        assert main(words) == 2
        assert "those of val after 'val'; bring them to its size" in " ".join(
            capsys.readouterr().err.split()
        )
        words += ["--photo-transform", "car/val", "--render-transform", "car/val"]
        assert main(words) == 0
        assert main(PREDICT) == 0

    def test_what_is_no_run_is_refused(self, here, image_folder, capsys):
        assert main(PREDICT) == 2
        assert "--ensemble: expected the run folder of a finished" in capsys.readouterr().err
        (here / "run").mkdir()
        (here / "run" / "results.json").write_text(json.dumps({"title": 1}))
        assert main(PREDICT) == 2
        assert "Traceback" not in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"task": "other"}, "task of the ensemble: expected one of images, got 'other'"),
            ({"more": 1}, "--ensemble 'run': expected what a run writes"),
            ({"seed": "x"}, "seed: expected an integer"),
        ],
    )
    def test_results_that_were_edited_end_in_a_sentence(
        self, change, message, fitted, here, says_in_one_line
    ):
        results = here / "run" / "results.json"
        record = json.loads(results.read_text())
        record["record"]["data"]["ensemble"] |= change
        results.write_text(json.dumps(record))
        assert main(PREDICT) == 2
        says_in_one_line(message)
