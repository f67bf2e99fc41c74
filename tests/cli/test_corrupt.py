"""`genviews corrupt`: files with the names that the images had, what is beside them, refusals."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from genviews.cli import main
from genviews.load.images import load_images
from genviews.robustness.corruption import corruption
from genviews.robustness.shifted import ShiftedImages
from genviews.types import ImageSpec

DYING = """
from pathlib import Path
from PIL import Image


class Pictures:
    def __len__(self):
        return 260

    def __getitem__(self, index):
        if index == 255 and Path("bad/images").exists() and not Path("died").exists():
            Path("died").touch()
            raise KeyboardInterrupt
        return Image.new("L", (4, 4), index % 256), 0


def pictures():
    return Pictures()
"""

CORRUPT = ["corrupt", "--images", "images", "--out", "bad", "--corruption", "noise:2"]


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png"))


@pytest.fixture
def made(image_folder, begin_with):
    """40 images in two subfolders after two corruptions, one file being no image."""

    def run():
        assert main([*CORRUPT, "--corruption", "fog:3@imagenet-c", "--seed", "5"]) == 0

    return begin_with(run)


class TestFiles:
    def test_each_image_is_there_as_the_corruption_makes_it(self, made, here):
        wanted = [name for name in names(here / "images") if "broken" not in name]
        source = load_images("images", ImageSpec(channels=1, height=8, width=8))
        for word, folder in (
            ("noise:2", "gaussian_noise-2"),
            ("fog:3@imagenet-c", "fog-3-imagenet-c"),
        ):
            place = here / "bad/images" / folder
            assert names(place) == wanted
            made = ShiftedImages(source, corruption(word), 5).read(range(41))  # as studies see them
            assert made.ids == tuple(wanted)
            for name, image in zip(made.ids, made.images, strict=True):
                bits = ((image[0] + 1) * 127.5).round().to(torch.uint8)
                assert np.array_equal(pixels(place / name), bits.numpy())
            assert not (place / "labels.csv").exists()  # the subfolders say them

    def test_a_card_says_what_each_folder_holds(self, made, here):
        card = json.loads((here / "bad/images/fog-3-imagenet-c.json").read_text())
        assert card == {
            "corruption": "fog:3@imagenet-c",
            **{"kind": "fog", "severity": 3, "scale": "imagenet-c", "numbers": [2.5, 1.7]},
            **{"seed": 5, "images": 40, "of": "41 images of images", "shape": [1, 8, 8]},
        }
        assert "40 images" in made.out
        assert "1 left out" in made.out

    def test_a_finished_run_is_not_made_again(self, made, here, capsys):
        again = [*CORRUPT, "--corruption", "fog:3@imagenet-c", "--seed", "5"]
        stamps = {path: path.stat().st_mtime_ns for path in (here / "bad").rglob("*.*")}
        assert main(again) == 0
        assert "nothing to do" in capsys.readouterr().out
        assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
        assert not (here / "bad/work").exists()

    def test_another_seed_or_corruption_is_refused_there(self, made, here, says_in_one_line):
        for words in (["--corruption", "blur:1"], ["--corruption", "fog:3@imagenet-c"]):
            assert main([*CORRUPT, *words]) == 2
            says_in_one_line("choose another folder with --out, or begin anew with --force")

    def test_force_begins_anew(self, made, here):
        assert main([*CORRUPT, "--force"]) == 0
        assert [path.name for path in (here / "bad/images").iterdir() if path.is_dir()] == [
            "gaussian_noise-2"
        ]


class TestOtherImages:
    def test_labels_that_no_folder_says_are_in_a_table(self, here):
        words = ["--images", "fashion32/sample/val", "--out", "out", "--corruption", "blur:2"]
        assert main(["corrupt", *words]) == 0
        spec = ImageSpec(channels=1, height=32, width=32)
        before = load_images("fashion32/sample/val", spec)
        after = load_images("out/images/gaussian_blur-2/labels.csv", spec, columns=["label"])
        labels = dict(zip(after.ids, map(int, after.labels), strict=True))
        names = [after.class_names[labels[f"{name}.png"]] for name in before.ids]
        assert names == [before.class_names[label] for label in before.labels.tolist()]

    def test_size_brings_images_to_it(self, image_folder, here):
        assert main([*CORRUPT, "--size", "6"]) == 0
        place = here / "bad/images/gaussian_noise-2"
        assert {pixels(place / name).shape for name in names(place)} == {(6, 6)}

    def test_dry_run_writes_nothing(self, image_folder, here, capsys):
        assert main([*CORRUPT, "--dry-run"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["verb"], told["corruption"], told["seed"]) == ("corrupt", ["noise:2"], 0)
        assert not (here / "bad").exists()

    def test_a_killed_run_goes_on(self, here, monkeypatch):
        (here / "dying.py").write_text(DYING)
        monkeypatch.syspath_prepend(here)
        words = ["--images", "dying:pictures", "--out", "bad", "--corruption", "noise:2"]
        assert main(["corrupt", *words]) == 130
        place = here / "bad/images/gaussian_noise-2"
        stamps = {path: path.stat().st_mtime_ns for path in place.rglob("*.png")}
        assert len(stamps) == 250
        assert main(["corrupt", *words]) == 0
        assert len(names(place)) == 260
        assert {path: path.stat().st_mtime_ns for path in stamps} == stamps


class TestRefusals:
    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["--corruption", "nois:2"], "--corruption: kind of corruption: expected one of"),
            (["--corruption", "noise:6"], "severity of gaussian_noise: expected an integer"),
            (["--corruption", "noise:2@mine"], "--corruption: scale of a corruption"),
            (["--corruption", "saturate:2"], "--corruption: saturate:2: expected colour images"),
            (["--corruption", "gaussian_noise:2"], "'gaussian_noise:2' more than once"),
            (["--size", "0"], "--size"),
            (["--images", "nowhere"], "nowhere"),
            (["--out", "images/bad"], "a folder apart from --images"),
        ],
    )
    def test_what_cannot_be_done_is_told_before_work(
        self, readable_images, here, words, message, says_in_one_line, with_flags
    ):
        given = CORRUPT if words[0] == "--corruption" else with_flags(CORRUPT, words)
        assert main([*given, *words] if given is CORRUPT else given) == 2
        says_in_one_line(message)
        assert not (here / "bad/images").exists()

    def test_files_of_something_else_are_not_mixed_with(self, readable_images, here, capsys):
        other = here / "bad/images/mine.png"
        other.parent.mkdir(parents=True)
        other.write_bytes(b"mine")
        assert main(CORRUPT) == 2
        assert "those of something else" in " ".join(capsys.readouterr().err.split())
        assert other.read_bytes() == b"mine"
        assert len(list(other.parent.iterdir())) == 1

    def test_no_readable_image(self, here, says_in_one_line):
        (here / "images").mkdir()
        (here / "images/a.png").write_bytes(b"none")
        assert main(CORRUPT) == 2
        says_in_one_line("readable images")
