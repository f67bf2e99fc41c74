"""Masks of files: which pixels an inversion may look at."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from genviews.load.images import load_images
from genviews.types import ImageSpec

SPEC = ImageSpec(channels=3, height=8, width=8)


@pytest.fixture
def folders(tmp_path):
    """Two images, one in a subfolder, and their masks with an unknown top row."""
    known = np.full((8, 8), 255, np.uint8)
    known[0] = 0
    for name in ("a.jpg", "dog/b.png"):
        for place in ("images", "masks"):
            (tmp_path / place / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "images" / name)
        Image.fromarray(known).save((tmp_path / "masks" / name).with_suffix(".png"))
    return tmp_path


def test_a_mask_has_the_name_of_its_image(folders):
    source = load_images(folders / "images", SPEC, masks=folders / "masks")
    wanted = torch.ones(2, 1, 8, 8)
    wanted[:, :, 0] = 0
    assert torch.equal(source.read([0, 1]).masks, wanted)


def test_an_image_without_a_mask_is_left_out_and_another_mask_is_another_source(folders):
    before = load_images(folders / "images", SPEC, masks=folders / "masks").fingerprint()
    (folders / "masks" / "a.png").unlink()
    source = load_images(folders / "images", SPEC, masks=folders / "masks")
    assert source.read([0, 1]).skipped == (("a.jpg", "has no mask 'a.jpg' in 'masks'"),)
    assert source.fingerprint() != before
    assert load_images(folders / "images", SPEC).fingerprint() != before


@pytest.mark.parametrize("size", [(4, 4), (16, 16)])
def test_a_mask_of_another_size_follows_resize(folders, size):
    Image.new("L", size, 255).save(folders / "masks" / "a.png")
    strict = load_images(folders / "images", SPEC, masks=folders / "masks")
    assert strict.read([0]).skipped[0][1].startswith("has a mask that")
    free = load_images(folders / "images", SPEC, masks=folders / "masks", resize=True)
    assert bool((free.read([0]).masks == 1).all())
