"""`genviews generator sample` and `views`: a sheet, and sets that other people's trainers read."""

from __future__ import annotations

import csv
import io
import json
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from genviews.cli import main
from genviews.generators.callable import CallableGenerator, z_space
from genviews.generators.toy import ToyGenerator
from genviews.perturb.noise import Gaussian, Normal
from genviews.represent.prior import Prior
from genviews.represent.views import LatentViews

MODULE = """
from pathlib import Path
from genviews.generators.toy import ToyGenerator

plain, classed = ToyGenerator(), ToyGenerator(num_classes=3)


def build():
    with open("built", "a") as file:
        file.write("once ")
    return plain


def decode(z):
    return plain.synthesize(plain.map(z))


def decode_class(z, c):
    return classed.synthesize(classed.map(z, c.argmax(1)))


def dying(z):
    if Path("set/latents/00000.safetensors").exists() and not Path("alive").exists():
        raise KeyboardInterrupt
    return decode(z)
"""
PLAIN = ["toys:decode", "--z-dim", "8"]
CLASSED = ["toys:decode_class", "--z-dim", "8", "--num-classes", "3"]
NAMED = [*CLASSED, "--generator-class-names", "cat,a/b dog,owl"]
VIEWS = ["generator", "views"]


@pytest.fixture
def toys(here, monkeypatch):
    """A module with generators in the current folder."""
    (here / "toys.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(here))
    monkeypatch.delitem(__import__("sys").modules, "toys", raising=False)
    return here


def pixels(data):
    with Image.open(data) as image:
        return np.asarray(image)


def bits(image):
    return ((image[0] + 1) * 127.5).round().to(torch.uint8).numpy()


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png"))


class TestSample:
    def test_a_sheet_has_the_samples_of_its_seed(self, toys, capsys):
        words = ["generator", "sample", *PLAIN, "--out", "a.png", "--count", "5", "--seed", "3"]
        assert main(words) == 0
        assert capsys.readouterr().out == "wrote a.png\n"
        with Image.open("a.png") as sheet:
            made = json.loads(sheet.text["genviews"])
            shown = np.asarray(sheet.convert("L"))
        assert (made["seed"], made["psi"], made["samples"]) == (3, 1.0, [*"01234"])
        generator = z_space(ToyGenerator())
        images = LatentViews(generator, None, seed=3)(range(5)).images[:, 0]
        # The second row's second picture, each of its 8 pixels drawn 12 wide.
        first = shown[16 + 112 :, 4 + 100 :][6:96:12, 6:96:12]
        assert np.array_equal(first, bits(images[4]))
        assert main(words) == 2
        assert "expected a new file, got a.png" in capsys.readouterr().err

    def test_classes_are_named_and_go_round(self, toys):
        words = ["generator", "sample", *NAMED, "--out", "a.png", "--psi", "0.5", "--count", "3"]
        assert main([*words, "--classes", "owl", "--classes", "0"]) == 0
        with Image.open("a.png") as sheet:
            made = json.loads(sheet.text["genviews"])
        assert made["samples"] == ["0: owl", "1: cat", "2: owl"]

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["--out", "a.jpg"], "--out: expected NAME.png, got a.jpg"),
            (["--out", "a.png", "--count", "0"], "--count"),
            (["--out", "a.png", "--classes", "cat"], "classes: expected none, got cat"),
        ],
    )
    def test_what_cannot_be_shown_is_told(self, toys, words, message, capsys):
        assert main(["generator", "sample", *PLAIN, *words]) == 2
        assert message in capsys.readouterr().err
        assert not (toys / "a.png").exists()


class TestViews:
    def test_folders_hold_each_anchor_beside_its_views(self, toys):
        words = [*VIEWS, *NAMED, "--samples", "7", "--positives", "2", "--seed", "5"]
        assert main([*words, "--out", "set", "--psi", "0.5"]) == 0
        recipe = json.loads((toys / "set/recipe.json").read_text())
        assert recipe["counts"]["anchors"] == 7
        assert recipe["counts"]["views"] == 14
        assert recipe["pixels"] == {"height": 8, "width": 8, "channels": 1}
        assert recipe["perturbation"].startswith("Gaussian(layers='all', std=0.2")
        kept = load_file("set/latents/00000.safetensors")
        homes = ("0000-cat", "0001-a-b-dog", "0002-owl")
        files = [
            f"{homes[label]}/{number:07d}_{word}.png"
            for number, label in enumerate(kept["labels"].tolist())
            for word in ("anchor", "view1", "view2")
        ]
        assert names(toys / "set/images") == sorted(files)
        # The same views from the library, and from what is kept.
        generator = ToyGenerator(num_classes=3)
        decoded = _decoded(generator)
        prior = Prior(noise=Normal.scaled_bound(0.5))  # psi, where there is no mapping
        made = LatentViews(decoded, Gaussian("all", 0.2), prior, positives=2, seed=5)(range(7))
        assert torch.allclose(kept["z"], made.z)
        for row, place in enumerate(range(0, 21, 3)):
            for view in range(3):
                shown = pixels(toys / "set/images" / files[place + view])
                assert np.array_equal(shown, bits(made.images[row, view]))

    def test_shards_are_what_webdataset_reads(self, toys):
        words = [*VIEWS, *CLASSED, "--samples", "5", "--shard-size", "3", "--per-class", "2"]
        assert main([*words, "--out", "set", "--layout", "shards"]) == 0
        found = {}
        for name in ("00000.tar", "00001.tar"):
            with tarfile.open(toys / "set/images" / name) as tar:
                for member in tar:
                    found[name, member.name] = tar.extractfile(member).read()
        order = [name for _, name in found]
        assert order[:4] == [f"0000000.{end}" for end in ("anchor.png", "view1.png", "cls", "json")]
        assert len(found) == 20
        assert ("00001.tar", "0000003.anchor.png") in found
        assert json.loads(found["00001.tar", "0000004.json"]) == {
            "number": 4,
            "class": 2,
            "class_name": "class 2",
        }
        assert [found[key] for key in found if key[1].endswith("cls")] == [
            *map(str.encode, "00112")
        ]
        assert pixels(io.BytesIO(found["00000.tar", "0000001.view1.png"])).shape == (8, 8)

    def test_a_killed_run_goes_on_to_the_same_bytes(self, toys):
        words = [*VIEWS, "toys:dying", "--z-dim", "8", "--samples", "90", "--shard-size", "30"]
        words += ["--layout", "shards", "--batch-size", "16"]
        assert main([*words, "--out", "set"]) == 130
        before = (toys / "set/images/00000.tar").stat().st_mtime_ns
        assert not (toys / "set/recipe.json").exists()
        (toys / "alive").touch()
        assert main([*words, "--out", "set"]) == 0
        assert (toys / "set/images/00000.tar").stat().st_mtime_ns == before
        assert main([*words, "--out", "whole"]) == 0
        for name in ("images/00001.tar", "images/00002.tar", "latents/00001.safetensors"):
            assert (toys / "set" / name).read_bytes() == (toys / "whole" / name).read_bytes()

    def test_anchors_alone_of_a_generator_without_classes(self, toys, capsys):
        words = [*VIEWS, "--generator", *PLAIN, "--samples", "2", "--views", "none"]
        assert main([*words, "--out", "set"]) == 0
        assert "2 anchors are in images/, 8 x 8 pixels." in capsys.readouterr().out
        assert names(toys / "set/images") == [f"00000/000000{i}_anchor.png" for i in range(2)]
        with open("set/results.csv", newline="") as file:
            assert ["anchors", "2"] in [line[-2:] for line in csv.reader(file)]
        assert main([*words, "--out", "set"]) == 0
        assert "nothing to do" in capsys.readouterr().out
        assert main([*words, "--out", "set", "--seed", "1"]) == 2

    def test_the_generator_is_loaded_once(self, toys):
        assert main([*VIEWS, "toys:build", "--samples", "2", "--out", "set"]) == 0
        assert (toys / "built").read_text() == "once "

    def test_truncation_and_own_latents_of_a_generator_with_a_mapping(self, toys):
        words = [*VIEWS, "fashion32", "--samples", "2", "--psi", "0.5"]
        assert main([*words, "--space", "own", "--views", "stylemix_fine", "--out", "a"]) == 0
        assert main([*words, "--views", "independent_all", "--out", "b"]) == 0
        assert len(names(toys / "a/images")) == len(names(toys / "b/images")) == 4

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            ([], "generator (--generator): expected one, got none"),
            ([*PLAIN, "--generator", "toys:decode"], "expected one generator, got both"),
            ([*PLAIN, "--views", "gausian_all_0.2"], "--views"),
            ([*PLAIN, "--views", "stylemix_low"], "--views"),
            ([*PLAIN, "--classes", "cat"], "--classes: classes: expected none, got cat"),
            ([*NAMED, "--classes", "cow"], "expected one of 0, 1, 2, a/b dog, cat, owl"),
            ([*PLAIN, "--samples", "0"], "--samples"),
            ([*PLAIN, "--psi", "nan"], "--psi"),
            ([*PLAIN, "--layout", "zip"], "zip"),
        ],
    )
    def test_what_cannot_be_written_is_told_before_the_work(self, toys, words, message, capsys):
        assert main([*VIEWS, *words, "--out", "set"]) == 2
        assert message in capsys.readouterr().err
        assert not (toys / "set/images").exists()


def _decoded(generator):
    """What `decode_class` of the module is, as a generator."""

    def decode(z, c):
        return generator.synthesize(generator.map(z, c.argmax(1)))

    return CallableGenerator(decode, 8, num_classes=3)
