"""By command line, as a user meets it: a result is used again only for what it was made from."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from genviews.cli import main
from genviews.invert.encoder import EncoderConfig, InversionEncoder
from genviews.perturb.walks import Walks
from genviews.perturb.warps import directions_of
from tests.opened import SETTLED, opened_images
from tests.processes import LONG, start


def inputs(name="one", images="images", steps="2"):
    generator = ("--generator", f"mine:{name}", "--z-dim", "4", "--steps", steps)
    return (*generator, "--images", images, "--out", "run")


def invert(*more, **named):
    return main(["invert", *inputs(**named), *more])


def read(name, *, whole=False):
    found = json.loads(Path("run", name).read_text())
    return found if whole else found["record"]["data"]


def ensemble(*more, augment=("fashion32/flip",), **named):
    words = ["--classifier", "mine:network", "--num-views", "2", "--perturb", "isotropic_all_0.1"]
    words += [word for name in augment for word in ("--augment", name)]
    return main(["ensemble", *inputs(**named), *words, *more])


def give_weight(views):
    """Let the views of a run have weight, whatever it found."""
    found = read("results.json", whole=True)
    found["record"]["data"]["ensemble"] |= {"alpha": 0.5, "perturbation": views, "num_views": 2}
    Path("run", "results.json").write_text(json.dumps(found))


def predict(out, *more):
    return main(["predict", "--ensemble", "run", "--images", "images", "--out", out, *more])


def learn_walks(step):
    names = directions_of(1)
    directions = torch.full((len(names), 1, 4), step)
    Walks(directions=directions, names=names).save("walks.safetensors")


class TestGenerators:
    def test_two_functions_in_one_folder(self, write, images, capsys):
        write()
        assert invert() == 0
        assert invert(name="two") == 2
        error = capsys.readouterr().err
        assert 'inputs.generator.function.function: "mine:one" in the store' in error
        assert "choose another folder with --out, or begin anew with --force" in error

    @pytest.mark.parametrize("name", ["one", "closure", "bound"])
    def test_code_edited_behind_a_name(self, name, write, images, capsys):
        write()
        assert invert(name=name) == 0
        write(-1.0)
        assert invert(name=name) == 2
        error = capsys.readouterr().err
        assert "expected what it was made from" in error
        if name == "one":
            assert "generator mine:one as it was then: it now renders other images" in error
        write()
        assert invert(name=name) == 0
        assert "nothing to do" in capsys.readouterr().out

    def test_force_makes_everything_anew(self, write, images):
        write()
        assert invert() == 0
        before = read("results.json")["loss"]
        write(-1.0)
        assert invert("--force") == 0
        assert read("results.json")["loss"] != before
        assert sorted(os.listdir(".")) == ["images", "mine.py", "run"]


class TestParts:
    def test_inversion_encoder_swapped_behind_a_name(self, write, images, capsys):
        write()
        shape = EncoderConfig(
            image_channels=1, size=4, num_layers=1, dim=4, widths=(4,), blocks=(1,)
        )
        flags = ("--encoder", "encoder.safetensors")
        one, other = InversionEncoder(shape), InversionEncoder(shape)
        one.save("encoder.safetensors")
        assert invert(*flags) == 0
        one.save("encoder.safetensors")
        assert invert(*flags) == 0
        assert "nothing to do" in capsys.readouterr().out
        with torch.no_grad():
            for ours, theirs in zip(other.parameters(), one.parameters(), strict=True):
                ours.copy_(theirs + 0.1)
        other.save("encoder.safetensors")
        assert invert(*flags) == 2
        error = capsys.readouterr().err
        assert "expected what it was made from" in error
        assert "inverter.start.network.weights" in error

    def test_walks_learnt_again_behind_a_name(self, write, images, capsys):
        write()
        flags = ("--walks", "walks.safetensors", "--perturb", "steer-zoom_all_0.50")
        learn_walks(0.05)
        assert ensemble(*flags) == 0
        learn_walks(0.06)
        assert ensemble(*flags) == 2
        error = capsys.readouterr().err
        assert "expected what it was made from" in error
        assert "walks" in error

    def test_a_saved_ensemble_is_not_used_with_other_walks(self, write, images, capsys):
        write()
        flags = ("--walks", "walks.safetensors", "--perturb", "steer-zoom_all_0.50")
        learn_walks(0.05)
        assert ensemble(*flags) == 0
        give_weight("steer-zoom_all_0.50")
        assert predict("one") == 0
        learn_walks(0.06)
        assert predict("two") == 2
        error = " ".join(capsys.readouterr().err.split())
        assert "the ensemble of 'run': expected perturbations as they were then" in error
        assert "behind the name 'steer-zoom_all_0.50'" in error

    def test_answers_of_other_transforms_share_a_folder_and_no_result(self, write, images):
        write()
        flags, texts = ("--photo-transform", "--render-transform"), set()
        for more in ((), *((flag, "fashion32/crop") for flag in flags)):
            assert ensemble("--force", *more) == 0
            give_weight("isotropic_all_0.10")
            assert predict("shared", "--force", "--work", "work") == 0
            text = Path("shared", "predictions.csv").read_text()
            assert predict("alone", "--force") == 0
            assert Path("alone", "predictions.csv").read_text() == text
            texts.add(text)
        assert len(texts) == 3

    def test_two_generators_share_a_folder_of_work_and_no_result(self, write, images):
        """Beside the work of another generator a run finds what it finds alone."""
        write(0.5)

        def numbers(name: str, *more: str) -> object:
            assert ensemble("--force", *more, name=name) == 0
            return read("results.json")

        first = numbers("one", "--work", "work")
        beside = numbers("two", "--work", "work")
        assert beside == numbers("two")
        assert beside != first

    def test_two_runs_with_other_flags_that_begin_at_once(self, write, images, tmp_path):
        write()
        copies = {
            steps: start(invert_in, str(tmp_path), steps, printed=tmp_path / f"{steps}.txt")
            for steps in ("2", "3")
        }
        for copy in copies.values():
            copy.join(LONG)
        printed = {steps: (tmp_path / f"{steps}.txt").read_text() for steps in copies}
        refused = [steps for steps, text in printed.items() if "exit code 2" in text]
        done = [steps for steps, text in printed.items() if "exit code 0" in text]
        assert (len(refused), len(done)) == (1, 1), printed
        assert "expected what it was made from" in printed[refused[0]]
        assert f"--steps {done[0]}" in read("results.json", whole=True)["record"]["command"]


def invert_in(folder: str, steps: str) -> None:
    """A run in a process of its own; says its exit code."""
    os.chdir(folder)
    sys.path.insert(0, folder)
    sys.stdout.write(f"exit code {invert(steps=steps)}\n")


class TestClassifiers:
    def test_code_edited_behind_a_name(self, write, images, capsys):
        write()
        assert ensemble() == 0
        assert ensemble() == 0
        assert "nothing to do" in capsys.readouterr().out
        text = (images.parent / "mine.py").read_text()
        edited = text.replace("1.0 * images.mean", "-2.0 * images.mean")
        assert edited != text
        (images.parent / "mine.py").write_text(edited)
        sys.modules.pop("mine", None)
        assert ensemble() == 2
        assert "it now gives other answers" in capsys.readouterr().err

    def test_labels_edited(self, write, images, capsys):
        write()
        assert ensemble() == 0
        shutil.move(images / "dark" / "0.png", images / "light" / "0.png")
        assert ensemble() == 2
        assert "expected what it was made from" in capsys.readouterr().err


class TestAugmentations:
    def test_two_of_one_short_name_are_two_rows(self, write, images):
        """Each has the numbers that it has alone."""
        write()
        # Barely light: the black border that one of the two crops brings in makes them dark.
        for i, path in enumerate(sorted((images / "light").iterdir())):
            Image.fromarray(np.full((4, 4), 130 + i, np.uint8)).save(path)
        both = ("fashion32/crop", "celebahq/crop")

        def rows(*augment: str) -> dict[str, dict[str, object]]:
            assert ensemble("--force", augment=augment) == 0
            found = read("results.json")["rows"]
            compared = ("accuracy", "alpha", "fixed", "broke", "p_value", "gain_interval")
            return {row["name"]: {k: row[k] for k in compared} for row in found}

        together = rows(*both)
        page = Path("run", "report.html").read_text(encoding="utf-8")
        for name in both:
            assert name in page
            assert together[name] == rows(name)["crop"]
        assert together[both[0]] != together[both[1]]
        assert "crop" not in together


class TestData:
    def test_pixels_changed_under_the_same_name_size_and_time(self, write, images, capsys):
        write()
        assert invert() == 0
        path = images / "dark" / "0.png"
        status = path.stat()
        data = bytearray(path.read_bytes())
        data[-20] ^= 1
        path.write_bytes(bytes(data))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert path.stat().st_size == status.st_size
        assert invert() == 2
        assert "inputs.images.images" in capsys.readouterr().err

    def test_a_moved_folder_and_a_touched_file_are_no_difference(self, write, images, capsys):
        write()
        assert invert() == 0
        (images / "dark" / "0.png").touch()
        (images / "dark" / ".DS_Store").write_bytes(b"finder")
        assert invert() == 0
        assert "nothing to do" in capsys.readouterr().out
        shutil.copytree(images, images.parent / "elsewhere")
        assert invert(images="elsewhere") == 0
        assert "nothing to do" in capsys.readouterr().out

    def test_a_second_start_opens_no_image(self, write, images, capsys):
        write()
        time.sleep(SETTLED)
        with opened_images() as opened:
            assert invert() == 0
        assert set(opened) == {f"{i}.png" for i in range(8)}
        with opened_images() as opened:
            assert invert() == 0
        assert opened == []
        assert "nothing to do" in capsys.readouterr().out
        shutil.rmtree("run")
        assert ensemble() == 0
        with opened_images() as opened:
            assert ensemble() == 0
        assert opened == []

    def test_how_it_is_run_is_no_difference(self, write, images, capsys):
        write()
        assert invert() == 0
        assert invert("--batch-size", "3", "--device", "cpu") == 0
        assert "nothing to do" in capsys.readouterr().out


class TestForce:
    def test_a_mistake_costs_nothing(self, write, images, capsys):
        write()
        assert invert() == 0
        before = sorted(p.name for p in (images.parent / "run").iterdir())
        assert invert("--force", name="absent") == 2
        assert sorted(p.name for p in (images.parent / "run").iterdir()) == before
        assert invert() == 0
        assert "nothing to do" in capsys.readouterr().out

    def test_a_run_that_fails_leaves_the_old_results_aside(self, write, images, monkeypatch):
        write()
        assert invert() == 0

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr("genviews.studies.base.write_result", full)
            assert invert("--force", steps="3") == 1
        assert (images.parent / "run" / "before-1" / "results.json").exists()
        assert not (images.parent / "run" / "results.json").exists()
        assert invert(steps="3") == 0
        assert not (images.parent / "run" / "before-1").exists()
