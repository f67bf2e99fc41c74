"""The folder that one verb takes, every verb takes: splits that are there, and those cut."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from genviews.data.split import FITTED, check_fit
from genviews.load.learning import load_probe, load_real
from genviews.load.splits import load_splits
from genviews.types import ImageSpec

SPEC = ImageSpec(channels=1, height=4, width=4)
ENSEMBLE, PROBE = ("calibration", "test"), ("train", "val", "test")


def put(folder, *names):
    """Images of different content, by their names."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        seed = sum(ord(letter) * (place + 1) for place, letter in enumerate(str(path)))
        values = np.random.default_rng(seed).integers(0, 256, (4, 4), np.uint8)
        Image.fromarray(values).save(path)


def fill(folder, count=10, classes=("cat", "dog")):
    put(folder, *(f"{name}/{i}.png" for name in classes for i in range(count)))


def sizes(splits):
    return {part.split: len(part) for part in splits}


class TestThere:
    @pytest.mark.parametrize("val", ["val", "valid", "Validation", "calibration"])
    def test_three_folders_serve_every_verb(self, tmp_path, val):
        for name, count in (("train", 6), (val, 3), ("test", 4)):
            fill(tmp_path / name, count)
        assert sizes(load_splits(tmp_path, SPEC, needs=PROBE)) == {"train": 12, "val": 6, "test": 8}
        found = load_splits(tmp_path, SPEC, needs=ENSEMBLE)
        assert sizes(found) == {"calibration": 6, "test": 8}
        assert found.notes == ("the 12 images of the split train are left alone",)
        assert found.test.ids[0] == "test/cat/0.png"
        assert found.class_names == ("cat", "dog")
        assert found.calibration.labels.tolist() == [0, 0, 0, 1, 1, 1]

    def test_train_and_test(self, tmp_path):
        fill(tmp_path / "train", 10)
        fill(tmp_path / "test", 4)
        found = load_splits(tmp_path, SPEC, needs=PROBE, seed=3)
        assert sizes(found) == {"train": 16, "val": 4, "test": 8}
        (note,) = found.notes
        assert note.startswith("val: 4 images, cut off the split train by seed 3, 0.2 of each")
        found = load_splits(tmp_path, SPEC, needs=ENSEMBLE, calibration=0.25)
        assert sizes(found) == {"calibration": 2, "test": 6}
        assert all(name.startswith("test/") for part in found for name in part.ids)

    def test_train_and_val(self, tmp_path):
        fill(tmp_path / "train", 10)
        fill(tmp_path / "val", 4)
        found = load_splits(tmp_path, SPEC, needs=PROBE)
        assert sizes(found) == {"train": 16, "val": 4, "test": 8}
        assert found.notes[0] == "test: the split val, as there is no other"

    def test_one_folder(self, tmp_path):
        fill(tmp_path, 10)
        found = load_splits(tmp_path, SPEC, needs=PROBE)
        assert sizes(found) == {"train": 12, "val": 4, "test": 4}
        assert len({name for part in found for name in part.ids}) == 20
        assert all(part.labels.bincount().tolist() == [len(part) // 2] * 2 for part in found)
        found = load_splits(tmp_path, SPEC, needs=ENSEMBLE, calibration=0.3)
        assert sizes(found) == {"calibration": 6, "test": 14}

    def test_seed_and_order_of_files(self, tmp_path):
        fill(tmp_path, 10)
        first, again, other = (load_splits(tmp_path, SPEC, seed=seed) for seed in (0, 0, 1))
        assert first.test.ids == again.test.ids != other.test.ids

    def test_the_cut_is_that_of_an_image_set(self, tmp_path):
        from genviews.load.images import load_images

        fill(tmp_path, 10)
        one, two = load_images(tmp_path, SPEC).load().split_calibration(0.4, seed=5)
        found = load_splits(tmp_path, SPEC, calibration=0.4, seed=5)
        assert (one.ids, two.ids) == (found.calibration.ids, found.test.ids)
        assert (one.split, two.split) == ("calibration", "test")

    def test_column_of_a_table(self, tmp_path):
        put(tmp_path, *(f"{i}.png" for i in range(9)))
        names = ("train", "Val", "test") * 3
        lines = [f"{i}.png,{split},{'ab'[i > 4]}" for i, split in enumerate(names)]
        table = tmp_path / "all.csv"
        table.write_text("\n".join(["file,split,label", *lines]))
        found = load_splits(table, SPEC, needs=PROBE)
        assert found.val.ids == ("1.png", "4.png", "7.png")
        assert found.val.labels.tolist() == [0, 0, 1]
        same = load_splits(tmp_path, SPEC, needs=PROBE, labels=table)
        assert [part.ids for part in same] == [part.ids for part in found]

    def test_other_images_calibrate(self, tmp_path):
        fill(tmp_path / "photos", 4)
        fill(tmp_path / "more", 3)
        found = load_splits(tmp_path / "photos", SPEC, calibration=tmp_path / "more")
        assert sizes(found) == {"calibration": 6, "test": 8}
        fill(tmp_path / "both/train", 2)
        fill(tmp_path / "both/test", 2)
        found = load_splits(tmp_path / "both", SPEC, calibration=str(tmp_path / "more"))
        assert sizes(found) == {"calibration": 6, "test": 4}

    def test_a_class_may_be_called_train(self, tmp_path):
        fill(tmp_path, 4, ("train", "bus", "car"))
        assert load_splits(tmp_path, SPEC).class_names == ("bus", "car", "train")

    def test_what_ships(self):
        spec = ImageSpec(channels=1, height=32, width=32)
        assert sizes(load_splits("fashion32/sample", spec)) == {"calibration": 500, "test": 1000}
        found = load_splits("fashion32/sample", spec, needs=PROBE)
        assert sizes(found) == {"train": 400, "val": 100, "test": 1000}


@pytest.mark.parametrize("word", ["fashion32", "fashion32/sample"])
@pytest.mark.parametrize("kind", [str, Path])
def test_what_exists_comes_before_what_ships(word, kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fill(Path(word) / "train")
    fill(Path(word) / "test", 3)
    found = load_splits(kind(word), SPEC, needs=PROBE)
    assert sizes(found) == {"train": 16, "val": 4, "test": 6}
    data = load_probe(kind(word), SPEC)
    assert [len(part) for part in (data.train, data.val, data.test)] == [16, 4, 6]


class TestRefused:
    def make(self, tmp_path, kind):
        fill(tmp_path / "train", 3)
        fill(tmp_path / "test", 3)
        if kind == "stray folder":
            fill(tmp_path / "old", 1)
        elif kind == "lacking class":
            put(tmp_path, "test/emu/1.png")
        elif kind == "loose":
            put(tmp_path, "test/1.png")
        elif kind == "copy":
            shutil.copy(tmp_path / "train/cat/0.png", tmp_path / "test/dog/copy.png")
        elif kind == "links":
            (tmp_path / "val").symlink_to(tmp_path / "test")

    @pytest.mark.parametrize(
        ("kind", "message"),
        [
            ("stray folder", "folders called train, .*, got also 'old'"),
            ("lacking class", "'emu' in test alone, none in train"),
            ("loose", "every image in a subfolder, .*'test/1.png'"),
            (
                "copy",
                "images of train and test: .* got 1 with the same content in both: "
                "'train/cat/0.png' is 'test/dog/copy.png'; remove them",
            ),
            ("links", "images of val and test: .* got 6 with the same content"),
        ],
    )
    def test_mistakes(self, tmp_path, kind, message):
        self.make(tmp_path, kind)
        with pytest.raises(ValueError, match=message):
            load_splits(tmp_path, SPEC, needs=PROBE)

    def test_no_labels(self, tmp_path):
        put(tmp_path, "a.png", "b.png")
        with pytest.raises(ValueError, match=r"one subfolder a class, or give a CSV file"):
            load_splits(tmp_path, SPEC)

    def test_two_classes_at_two_places(self, tmp_path):
        fill(tmp_path / "one", 2)
        fill(tmp_path / "two", 2, ("cat", "emu"))
        with pytest.raises(ValueError, match=r"class of two: .* got 'emu'"):
            load_splits(tmp_path / "one", SPEC, calibration=tmp_path / "two")


def test_copies_in_one_folder_stay_on_one_side(tmp_path):
    fill(tmp_path, 8)
    for name in ("cat", "dog"):
        for i in range(8):
            shutil.copy(tmp_path / f"{name}/{i}.png", tmp_path / f"{name}/copy{i}.png")
    found = load_splits(tmp_path, SPEC)
    assert sizes(found) == {"calibration": 16, "test": 16}
    for part in found:
        plain = {name.replace("copy", "") for name in part.ids}
        assert len(plain) == 8


def test_copies_among_images_to_learn_from_are_told(tmp_path):
    fill(tmp_path, 3)
    assert load_real(tmp_path, SPEC).notes == ()
    shutil.copy(tmp_path / "cat/0.png", tmp_path / "dog/again.png")
    (note,) = load_real(tmp_path, SPEC).notes
    assert note.startswith("1 of the 7 images of real (--real) are copies of others")


@pytest.mark.parametrize("split", ["test", "predict", "val-report", "tests", "Test", " test"])
def test_nothing_is_fitted_to_what_is_no_such_split(split):
    """Law 4 reads the property, not its spelling."""
    with pytest.raises(ValueError, match="split"):
        check_fit(split)
    for name in FITTED:
        check_fit(name)


def test_damaged_files_are_left_out_when_they_are_read(tmp_path):
    fill(tmp_path, 4)
    (tmp_path / "cat/9.png").write_bytes(b"no image")
    found = load_splits(tmp_path, SPEC, seed=1)
    loaded = [part.load() for part in found]
    assert sum(len(images) for images in loaded) == 8
    assert {name for images in loaded for name, _ in images.skipped} == {"cat/9.png"}
    assert torch.cat([images.labels for images in loaded]).bincount().tolist() == [4, 4]
