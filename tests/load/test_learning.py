"""Images to learn from are none of those that encoders are judged on, under whatever name."""

from __future__ import annotations

import shutil

import pytest

from genviews.load.learning import load_probe, load_real
from tests.load.test_splits import SPEC, fill


@pytest.fixture
def probe(tmp_path):
    for name, count in (("train", 4), ("val", 3), ("test", 3)):
        fill(tmp_path / "data" / name, count)
    return load_probe(tmp_path / "data", SPEC)


@pytest.mark.parametrize(
    ("split", "left"), [("train", ()), ("val", ("0.png", "1.png", "2.png")), ("test", ("0.png",))]
)
def test_copies_of_judged_images_are_left_out(split, left, probe, tmp_path):
    """Those of train may be learnt from; labels of others are not seen, their pixels are."""
    fill(tmp_path / "real", 2)
    for name in left or ("0.png",):
        shutil.copy(tmp_path / "data" / split / "cat" / name, tmp_path / "real" / f"copy {name}")
    found = load_real(tmp_path / "real", SPEC, probe)
    assert sum("copy" in name for name in found.ids) == (0 if left else 1)
    assert sum("of data (--data): left out" in note for note in found.notes) == bool(left)
    assert len(found) == 4 + (not left)


def test_none_is_left(probe, tmp_path):
    shutil.copytree(tmp_path / "data" / "test" / "dog", tmp_path / "real" / "any")
    with pytest.raises(ValueError, match=r"all of them in val or test of data \(--data\)"):
        load_real(tmp_path / "real", SPEC, probe)
