"""Paths that users write: a home folder that is nobody's is a path like any other."""

from __future__ import annotations

import re

import pytest

from genviews import load_classifier, load_encoder, load_generator, load_images, load_splits
from genviews.align.table import read_geometry
from genviews.kit import GeneratorKit
from genviews.load.files import read_class_names
from genviews.types import ImageSpec

SPEC = ImageSpec(channels=1, height=8, width=8)
NOBODY = "~nobody-of-this-name"
READERS = {
    "generator": lambda: load_generator(f"{NOBODY}/x.safetensors"),
    "encoder of an inversion": lambda: load_generator("fashion32", encoder=f"{NOBODY}/x"),
    "walks": lambda: load_generator("fashion32", walks=f"{NOBODY}/x"),
    "kit": lambda: GeneratorKit.load(f"{NOBODY}/x"),
    "classifier": lambda: load_classifier(f"{NOBODY}/x.safetensors", SPEC, ("a", "b")),
    "weights": lambda: load_classifier("torch.nn:Identity", SPEC, ("a", "b"), weights=NOBODY),
    "encoder": lambda: load_encoder(f"{NOBODY}/x"),
    "images": lambda: load_images(f"{NOBODY}/x", SPEC),
    "table of images": lambda: load_images(f"{NOBODY}/x.csv", SPEC),
    "labels": lambda: load_images(".", SPEC, labels=f"{NOBODY}/x.csv"),
    "masks": lambda: load_images(".", SPEC, masks=f"{NOBODY}/x").load(),
    "data set": lambda: load_images(f"torchvision:FashionMNIST:{NOBODY}:test", SPEC),
    "splits": lambda: load_splits(f"{NOBODY}/x", SPEC),
    "class names": lambda: read_class_names(f"{NOBODY}/x.txt"),
    "geometry": lambda: read_geometry(f"{NOBODY}/x.csv"),
}


@pytest.mark.parametrize("reader", READERS)
def test_a_home_that_is_nobodys_is_named_in_one_sentence(reader, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((OSError, ValueError), match=re.escape(NOBODY)):
        READERS[reader]()
    assert list(tmp_path.iterdir()) == []
