"""Whole runs of both verbs on toys."""

from __future__ import annotations

import csv
import importlib
import json
import os
import shutil

import pytest
from PIL import Image

from genviews.cli import main
from genviews.studies.ensembling.demo_shift import SHIFT
from genviews.studies.result import Result
from tests.folders import names
from tests.pages import read_page

FILES = {
    "predictions.csv",
    "figures",
    "identity.json",
    "identity.safetensors",
    "log.txt",
    "pictures",
    "report.html",
}
FILES |= {"results.csv", "results.json", "tables", "work"}
DEMO = ["demo", "--out", "run", "--num-views", "4", "--calibration", "24", "--test", "24"]


class TestDemo:
    @pytest.fixture
    def done(self, here, toy_entry, begin_with):
        """A finished run: its folder and what the terminal showed."""

        def run():
            assert main(DEMO) == 0

        shown = begin_with(run)
        return here / "run", shown

    def test_run_folder(self, done):
        folder, _ = done
        assert names(folder) == FILES
        result = Result.load(folder)
        text = (folder / "results.csv").read_text(encoding="utf-8")
        rows = list(csv.DictReader(text.splitlines()))
        assert [row["images"] for row in rows] == ["clean", SHIFT]
        found = [r for r in result.record.data["shifts"]["rows"] if r["row"] == "single image"]
        single = [r["accuracy"] for r in found if r["task"] == "images"]
        assert [float(row["single_image"]) for row in rows] == single
        clean = {r["name"] for r in result.record.data["rows"] if r["task"] == "images"}
        assert {"single image", "flip", "stylemix fine", "isotropic fine"} <= clean
        assert result.record.command == (
            "genviews demo --seed 0 --num-views 4 --calibration 24 --test 24 --out run"
        )
        assert {"invert calibration images", "invert test images"} <= set(result.record.seconds)
        assert result.verdict in read_page(folder)
        assert "done in " in (folder / "log.txt").read_text()

    def test_terminal_shows_stages_table_verdict_and_report(self, done):
        folder, (out, error) = done
        verdict = json.loads((folder / "results.json").read_text())["verdict"]
        assert verdict in " ".join(out.split())
        assert "generated views" in out
        assert f"Report: {os.path.join('run', 'report.html')}" in out
        stages = [line.split(":")[0] for line in error.splitlines()]
        assert stages[:3] == ["load", "look for copies", "check"]
        assert stages[3:5] == ["invert calibration images", "views of calibration"]
        assert all(" images/s" in line for line in error.splitlines()[3:5])

    def test_same_run_again_does_nothing(self, done, capsys):
        folder, _ = done
        files = [p for p in folder.rglob("*") if p.is_file() and p.name != "log.txt"]
        before = {p: p.stat().st_mtime_ns for p in files}
        assert main(DEMO) == 0
        assert "nothing to do (--force runs it again)" in capsys.readouterr().out
        assert {p: p.stat().st_mtime_ns for p in files} == before

    def test_another_run_in_the_folder_is_refused(self, done, capsys):
        assert main([*DEMO, "--seed", "1"]) == 2
        error = capsys.readouterr().err
        assert "seed" in error
        assert "Traceback" not in error

    def test_bad_folder_is_refused_before_the_work(self, here, toy_entry, capsys):
        (here / "file").write_text("")
        assert main(["demo", "--out", "file/run"]) == 1
        answer = capsys.readouterr()
        assert "choose another folder with --out" in answer.err
        assert "load" not in answer.err

    def test_a_killed_run_goes_on_from_its_predictions(self, here, toy_entry):
        """Killed before the pages are made: the next run inverts and predicts nothing again."""

        def killed(*_: object) -> None:
            raise KeyboardInterrupt

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("genviews.studies.base.write_result", killed)
            assert main(DEMO) == 130
        kept = [here / "run" / "work" / name for name in ("inversions", "predictions")]
        before = {p: p.stat().st_mtime_ns for k in kept for p in k.rglob("*.safetensors")}
        assert len(before) >= 5  # two splits inverted; scales, calibration and test predicted
        assert main(DEMO) == 0
        after = {p: p.stat().st_mtime_ns for k in kept for p in k.rglob("*.safetensors")}
        assert after == before

    def test_unknown_device(self, here, toy_entry, capsys):
        assert main([*DEMO, "--device", "gpu9"]) == 2
        assert (
            "device (--device): expected auto, cpu, or a device of this machine"
            in capsys.readouterr().err
        )


class TestEnsemble:
    @pytest.fixture
    def words(self, image_folder, user_module):
        """A command on 40 images, the user's classifier and generator."""
        return [
            "ensemble",
            *("--images", "images", "--classifier", "mine:network"),
            *("--generator", "mine:decode", "--z-dim", "8", "--steps", "4"),
            *("--num-views", "3", "--out", "run"),
        ]

    @pytest.fixture
    def done(self, words, begin_with):
        """What the terminal showed of a finished run."""

        def run():
            assert main(words) == 0

        return begin_with(run)

    def test_folder_with_subfolders(self, done, here):
        assert names(here / "run") == FILES | {"hashes.json"}
        result = json.loads((here / "run" / "results.json").read_text())
        assert [file for file, _ in result["record"]["skipped"]] == ["dark/broken.png"]
        rows = result["record"]["data"]["rows"]
        assert rows[0]["accuracy"] > 0.8  # the classifier was trained on nothing
        assert any(row["name"] == "isotropic all" for row in rows)
        assert "broken.png" in (here / "run" / "report.html").read_text()

    def test_csv_labels_and_calibration_folder(self, words, here, image_folder):
        lines = ["file,label"]
        lines += [f"{p.parent.name}/{p.name},{p.parent.name}" for p in image_folder.rglob("*.png")]
        (here / "labels.csv").write_text("\n".join(lines))
        other = here / "other"
        for name in ("dark", "light"):
            (other / name).mkdir(parents=True)
            for path in sorted((image_folder / name).glob("1*.png")):
                path.rename(other / name / path.name)
        kept = [line for line in lines if not (line.split("/")[-1].startswith("1"))]
        (here / "labels.csv").write_text("\n".join(kept))
        more = [
            "--labels",
            "labels.csv",
            "--calibration",
            "other",
            "--perturb",
            "isotropic_all_0.20",
        ]
        assert main([*words, *more]) == 0
        result = json.loads((here / "run" / "results.json").read_text())
        assert "On 30 test images" in result["blocks"][0]["caption"]
        rows = result["record"]["data"]["rows"]
        assert ["isotropic_all_0.20"] in [row["views"] for row in rows]

    def test_a_column_a_split_and_a_generator_of_classes(
        self, words, here, image_folder, capsys, with_flags
    ):
        (image_folder / "dark" / "broken.png").unlink()
        names = sorted(p.relative_to(image_folder) for p in image_folder.rglob("*.png"))
        lines = [f"{name},{name.parent},{i % 3}" for i, name in enumerate(names)]
        (here / "labels.csv").write_text("\n".join(["file,tone,label", *lines]))
        more = ("--labels", "labels.csv", "--label-column", "tone", "--split-seed", "7")
        made = ("--generator", "mine:decode_class", "--num-classes", "2")
        more = (*more, *made, "--perturb", "isotropic_all_0.20")
        assert main(with_flags(words, more)) == 0
        assert "cut off the images by seed 7" in " ".join(capsys.readouterr().err.split())
        rows = json.loads((here / "run" / "results.json").read_text())["record"]["data"]["rows"]
        assert rows[0]["accuracy"] > 0.8

    def test_what_was_taken_for_want_of_a_setting_is_said(self, done, here):
        error = " ".join(done[1].split())
        assert "note: strengths of views: measured on mine:decode" in error
        assert "note: calibration: 20 images, cut off the images by seed 0" in error
        assert "measured on mine:decode" in (here / "run" / "results.json").read_text()

    def test_the_folder_that_probe_takes(self, words, here, readable_data, with_flags):
        more = ["--images", "data", "--perturb", "isotropic_all_0.20"]
        assert main(with_flags(words, more)) == 0
        result = json.loads((here / "run" / "results.json").read_text())
        assert "On 32 test images" in result["blocks"][0]["caption"]

    def test_classes_in_another_order_end_without_a_verdict(self, words, here, capsys):
        """Red lines above the result, in every form, and an exit code; again when it is shown."""
        more = ["--output-names", "light", "dark", "--perturb", "isotropic_all_0.20"]
        for _ in range(2):
            assert main([*words, *more]) == 3
            lines = capsys.readouterr().out.splitlines()
            place = next(i for i, line in enumerate(lines) if line.startswith("Not to be trusted:"))
            assert place < 2  # below "already holds the results" at most
            assert lines[place + 1].startswith("1. The classes seem to be in another order: ")
            assert any(line.startswith("   To do: Name the classifier's outputs") for line in lines)
        found = json.loads((here / "run" / "results.json").read_text())
        (gate,) = [gate for gate in found["gates"] if not gate["passed"]]
        assert {"name", "found", "threshold", "remedy"} <= gate.keys()
        assert found["verdict"].startswith("No verdict: ")
        page = (here / "run" / "report.html").read_text()
        assert page.index("Not to be trusted: 1 of") < page.index("No verdict: ")

    def test_changed_images_are_another_run(self, done, words, image_folder, capsys):
        next(iter((image_folder / "light").glob("*.png"))).unlink()
        assert main(words) == 2
        assert "splits" in capsys.readouterr().err

    def test_dry_run(self, words, here, capsys):
        assert main([*words, "--dry-run"]) == 0
        config = json.loads(capsys.readouterr().out)
        assert config["verb"] == "ensemble"
        assert config["calibration"] == "0.5"
        assert config["images"] == "images"
        assert not (here / "run").exists()

    @pytest.mark.parametrize(
        ("more", "message"),
        [
            (["--walks", "pointer.safetensors"], "got a pointer of Git LFS; fetch the file"),
            (["--encoder", "pointer.safetensors"], "--encoder: expected the file itself, got a"),
            (["--weights", "pointer.pt"], "--weights: expected the file itself, got a pointer of"),
            (["--classifier", "pointer.safetensors"], "classifier 'pointer.safetensors': expected"),
            (["--engine", "ray", "--ray-address", "127.0.0.1:1"], "where nobody answers"),
            (["--perturb", "pca_all_1.0"], "take isotropic_all_1.00"),
            (["--perturb", "steer_all_1.0"], "(--walks)"),
            (["--classifier", "mine:Broken"], "Broken"),
            (["--work", "s3://bucket/x"], "--work: expected a folder of this machine, got 's3:/"),
            (["--encoder", "gs://b/e.safetensors"], "--encoder: expected a file of this machine"),
            (["--class-names", "s3://b/names.txt"], "--class-names: expected a file of this"),
            (["--device", "tpu"], "use --device cpu"),
        ],
    )
    def test_a_dry_run_tries_the_models(
        self, words, with_flags, here, says_in_one_line, more, message
    ):
        for name in ("pointer.safetensors", "pointer.pt"):
            (here / name).write_text("version https://git-lfs.github.com/spec/v1\n")
        with (here / "mine.py").open("a") as file:
            file.write("\n\ndef Broken():\n    raise KeyError('layers')\n")
        importlib.reload(importlib.import_module("mine"))
        assert main([*with_flags(words, more), "--dry-run"]) == 2
        says_in_one_line(message)
        assert not (here / "run").exists()

    @pytest.mark.parametrize("value", [["--domain", ""], ["--domain="]])
    def test_a_value_that_is_empty_is_none(self, words, capsys, value):
        assert main([*words, *value]) == 2
        assert "--domain: expected a value, got nothing" in capsys.readouterr().err

    def test_files_of_other_work_are_not_written_over(self, words, here, says_in_one_line):
        (here / "run").mkdir()
        (here / "run" / "report.html").write_text("mine")
        assert main(words) == 2
        says_in_one_line("expected no files but our own of the names of results, got report.html")
        assert (here / "run" / "report.html").read_text() == "mine"

    def test_a_copy_in_another_kind_of_file_is_found(self, words, here, says_in_one_line):
        shutil.rmtree(here / "images")
        for split in ("val", "test"):
            for number, name in enumerate(("dark", "bright")):
                (here / "images" / split / name).mkdir(parents=True)
                picture = Image.new("L", (8, 8), 9 + 200 * number)
                picture.putpixel((0, 0), 50 if split == "val" or number else 51)
                suffix = "png" if split == "val" else "bmp"
                picture.save(here / "images" / split / name / f"a.{suffix}")
        assert main(words) == 2
        says_in_one_line(
            "images of calibration and test: expected other images in each split, got 1"
        )

    @pytest.mark.parametrize(
        ("more", "message"),
        [
            (["--images", "imagse"], "images 'imagse': expected a folder, a .csv"),
            (["--labels", "labels.csv"], "--labels: expected a file or folder that exists"),
            (["--label-column", "tone"], "expected a table, got a folder"),
            (["--calibration", "1.5"], "strictly between 0 and 1, or other images, got 1.5"),
            (["--calibration", "nan"], "strictly between 0 and 1, or other images, got nan"),
            (["--work", "images/work"], "--work: expected a folder apart from --images"),
            (["--work", "mine.py"], "--work: expected a folder, got the file 'mine.py'"),
            (["--align", "xx"], "--align"),
            (["--calibration-labels", "mine.py"], "expected a folder as --calibration"),
            (["--generator", "fashoin32"], "did you mean 'fashion32'"),
            (["--generator", "mine:decoed"], "it has"),
            (["--classifier", "mine:netwrok"], "expected an attribute 'netwrok' of mine"),
            (["--classifier", "nowhere:net"], "no module named 'nowhere'"),
            (["--perturb", "isotropic_fine_0.1"], "layer range"),
            (["--perturb", "isotropc_all_0.1"], "did you mean 'isotropic'"),
            (["--augment", "fashion32/flp"], "did you mean 'fashion32/flip'"),
            (["--perturb", "isotropic_all_nan"], "--perturb: sigma of Isotropic: expected"),
            (["--perturb", "stylemix_all,isotropic_all_0.1"], "write --perturb stylemix_all --"),
            (["--output-names", "dark,light"], "write --output-names dark --output-names light"),
            (["--photo-transform", "car/vla"], "--photo-transform: pixel views: expected one"),
            (["--domain", "horse"], "--domain: expected one of car, cat"),
            (["--calibration", "nowhere"], "--calibration: images 'nowhere': expected a folder"),
            (["--z-dim", "-8"], "--z-dim: expected an integer of at least 0, got -8"),
            (["--num-views", "0"], "--num-views: expected an integer of at least 1"),
        ],
    )
    def test_mistakes_are_one_clear_line(self, words, with_flags, says_in_one_line, more, message):
        assert main(with_flags(words, more)) == 2
        says_in_one_line(message)

    def test_unlabelled_images_say_what_is_needed(self, words, here, image_folder, capsys):
        for path in list(image_folder.rglob("*.png")):
            path.rename(image_folder / path.name)
        assert main(words) == 2
        assert "labels" in capsys.readouterr().err
