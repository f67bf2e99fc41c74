from __future__ import annotations

import pytest
import torch

from genviews.data.fashion import CLASS_NAMES, pad_pixels
from genviews.data.images import ImageSet
from genviews.zoo import zoo_images
from genviews.zoo.card import read_card, start_card
from recipes.fashion32 import export_samples


def whole(split, count):
    generator = torch.Generator().manual_seed(count)
    pixels = torch.randint(0, 256, (count, 28, 28), generator=generator, dtype=torch.uint8)
    return ImageSet(
        images=pad_pixels(pixels),
        ids=tuple(f"{split}-{i:05d}" for i in range(count)),
        labels=torch.arange(count) // 3 % 10,
        class_names=CLASS_NAMES,
    )


def test_first_of_each_class_come_back_as_they_were(tmp_path, monkeypatch):
    monkeypatch.setattr(export_samples, "PER_CLASS", {"val": 2, "test": 3})
    start_card(tmp_path, {"image": {"class_names": list(CLASS_NAMES)}})
    sets = {"val": whole("val", 60), "test": whole("test", 90)}
    export_samples.export(sets, tmp_path)
    for split, per_class in (("val", 2), ("test", 3)):
        rows = [3 * c + i for c in range(10) for i in range(per_class)]
        assert zoo_images(tmp_path, split).fingerprint() == sets[split].select(rows).fingerprint()
    assert "20 of val (2 a class)" in read_card(tmp_path)["files"]["samples.safetensors"]["what"]


def test_images_that_were_not_padded_are_refused(tmp_path):
    sets = {"val": whole("val", 600), "test": whole("test", 1200)}
    sets["val"].images[0, 0, 0, 0] = 0.5
    with pytest.raises(AssertionError):
        export_samples.export(sets, tmp_path)


def test_absent_data_say_what_to_install(tmp_path):
    with pytest.raises(FileNotFoundError, match="install the Debian package"):
        export_samples.main(root=tmp_path, folder=tmp_path)
