"""Images to train on, where no generator says what they are like."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from genviews.cli.learn_options import LearnInputs
from genviews.cli.real import check_real, real_images, real_spec, real_stamp
from genviews.types import ImageSpec


def save(path, *shape, value=100):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(shape, value, np.uint8)).save(path)


class TestSpec:
    def test_the_first_that_can_be_read_says_the_size(self, here):
        (here / "images").mkdir()
        (here / "images" / "a.png").write_bytes(b"no image")
        save(here / "images" / "b.png", 6, 8)
        save(here / "images" / "c.png", 7, 7)
        spec = real_spec(LearnInputs(real="images"))
        assert spec == ImageSpec(channels=1, height=6, width=8)
        spec = real_spec(LearnInputs(real="images", size=4))
        assert spec == ImageSpec(channels=1, height=4, width=4)

    def test_one_in_colour_makes_all_of_them_so(self, here):
        save(here / "images" / "a.png", 6, 6)
        picture = np.zeros((6, 6, 3), np.uint8)
        picture[..., 0] = 200
        Image.fromarray(picture).save(here / "images" / "b.png")
        for convert in (False, True):
            spec = real_spec(LearnInputs(real="images", convert=convert))
            assert spec.channels == 3
        found, skipped = real_images(LearnInputs(real="images"), spec)
        assert found.images.shape == (2, 3, 6, 6)
        assert skipped == ()
        assert found.labels is None

    def test_a_data_set_of_tensors(self, here, monkeypatch):
        (here / "sets.py").write_text(
            "import torch\n"
            "def pictures():\n"
            "    return [(torch.full((3, 4, 5), i, dtype=torch.uint8), i) for i in range(3)]\n"
        )
        monkeypatch.syspath_prepend(here)
        inputs = LearnInputs(real="sets:pictures")
        spec = real_spec(inputs)
        assert spec.shape == (3, 4, 5)
        found, _ = real_images(inputs, spec)
        assert torch.allclose(found.images[2], torch.tensor(2 / 127.5 - 1))

    def test_fashion32_is_known(self):
        assert real_spec(LearnInputs(real="fashion32")).shape == (1, 32, 32)
        with pytest.raises(ValueError, match="--size: expected 32, for fashion32"):
            check_real(LearnInputs(real="fashion32", size=28))

    def test_nothing_readable(self, here):
        (here / "images").mkdir()
        (here / "images" / "a.png").write_bytes(b"no image")
        with pytest.raises(ValueError, match="none among the first 16"):
            real_spec(LearnInputs(real="images"))


class TestClasses:
    def test_are_the_subfolders_where_every_image_is_in_one(self, here):
        save(here / "images" / "cat" / "a.png", 4, 4)
        save(here / "images" / "dog" / "a.png", 4, 4)
        spec = ImageSpec(channels=1, height=4, width=4)
        found, _ = real_images(LearnInputs(real="images"), spec)
        assert (found.class_names, found.labels.tolist()) == (("cat", "dog"), [0, 1])
        save(here / "images" / "loose.png", 4, 4)
        found, _ = real_images(LearnInputs(real="images"), spec)
        assert (found.labels, len(found)) == (None, 3)

    def test_without_the_flag_there_is_nothing(self):
        spec = ImageSpec(channels=1, height=4, width=4)
        assert real_images(LearnInputs(generator="g"), spec) == (None, ())
        assert real_stamp(LearnInputs(generator="g")) == ""


class TestMistakes:
    def test_messages_name_the_flag(self, here):
        with pytest.raises(FileNotFoundError, match=r"^--real: expected a folder"):
            check_real(LearnInputs(real="nowhere"))

    def test_a_store_does_not_say_its_size(self, here):
        (here / "store").mkdir()
        (here / "store" / "00000.safetensors").write_bytes(b"")
        check_real(LearnInputs(real="store", generator="g"))
        with pytest.raises(ValueError, match="where no generator says the size"):
            check_real(LearnInputs(real="store"))

    def test_a_changed_file_changes_the_stamp(self, here):
        save(here / "images" / "a.png", 4, 4)
        before = real_stamp(LearnInputs(real="images"))
        save(here / "images" / "a.png", 4, 6)
        assert before != real_stamp(LearnInputs(real="images")) != ""
