"""Pixels on disk are those of the source, to 8 bits, whatever was killed in between."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest
import torch

from genviews.data import pixels as module
from genviews.data.images import ImageSet
from genviews.data.pixels import StoredPixels
from genviews.data.source import MemorySource
from genviews.represent.real import RealViews


def images(count=7):
    values = torch.randint(0, 256, (count, 3, 4, 5), generator=torch.Generator().manual_seed(0))
    return ImageSet(
        images=values.float() / 127.5 - 1,
        ids=tuple(f"i{n}" for n in range(count)),
        labels=torch.arange(count) % 2,
        class_names=("a", "b"),
        split="train",
    )


class Flaky(MemorySource):
    """Rows 1 and 4 cannot be read; notes what is read, and dies where it is told to."""

    def __init__(self, images, die_at=None):
        super().__init__(images)
        self.seen, self.die_at = [], die_at

    def read(self, rows):
        self.seen.append(tuple(rows))
        if len(self.seen) == self.die_at:
            raise KeyboardInterrupt
        batch = super().read([row for row in rows if row not in (1, 4)])
        return replace(batch, skipped=tuple((self.ids[r], "torn") for r in rows if r in (1, 4)))


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(module, "SHARD", 3)


def test_what_is_beyond_the_range_is_clamped_and_never_wraps_around(tmp_path):
    class Loud(MemorySource):
        def read(self, rows):
            batch = super().read(rows)
            return replace(batch, images=1.5 * batch.images)

    found = StoredPixels(Loud(images()), tmp_path).read(range(7)).images
    assert (found - (1.5 * images().images).clamp(-1, 1)).abs().max() < 0.51 / 127.5


def test_they_are_the_readable_images(tmp_path):
    stored = StoredPixels(Flaky(images()), tmp_path)
    good = [0, 2, 3, 5, 6]
    assert stored.ids == tuple(f"i{n}" for n in good)
    assert dict(stored.skipped) == {"i1": "torn", "i4": "torn"}
    assert (stored.split, stored.class_names) == ("train", ("a", "b"))
    assert stored.labels.tolist() == [n % 2 for n in good]
    batch = stored.read([4, 0, 2, 4])
    assert batch.ids == ("i6", "i0", "i3", "i6")
    assert torch.equal(batch.images, images().images[[6, 0, 3, 6]])  # 8 bits keep their values
    assert batch.hashes == tuple(stored.hashes()[row] for row in (4, 0, 2, 4))
    part = pickle.loads(pickle.dumps(stored)).select([3, 1])
    assert torch.equal(part.read([0]).images[0], images().images[5])


def test_an_image_is_decoded_once(tmp_path):
    killed, source = Flaky(images(), die_at=2), Flaky(images())
    with pytest.raises(KeyboardInterrupt):
        StoredPixels(killed, tmp_path)
    told = []
    StoredPixels(source, tmp_path, progress=lambda *of: told.append(of))
    assert source.seen == [(3, 4, 5), (6,)]
    assert told[0] == ("decode images", "images", 3, 7)
    again = Flaky(images())
    StoredPixels(again, tmp_path)
    assert again.seen == []
    assert (
        StoredPixels(Flaky(images(6)), tmp_path).fingerprint()
        != StoredPixels(again, tmp_path).fingerprint()
    )


def test_none_readable(tmp_path):
    class Torn(MemorySource):
        def read(self, rows):
            batch = super().read([])
            return replace(batch, skipped=tuple((self.ids[row], "is torn") for row in rows))

    with pytest.raises(ValueError, match="one readable image, got none of 7 files: i0 is torn"):
        StoredPixels(Torn(images()), tmp_path)


def test_views_of_them_are_views_of_the_images(tmp_path):
    data = images()
    stored = RealViews(StoredPixels(MemorySource(data), tmp_path), positives=2)
    memory = RealViews(data, positives=2)
    ours, theirs = stored([5, 1]), memory([5, 1])
    assert torch.equal(ours.images, theirs.images)
    assert torch.equal(ours.labels, theirs.labels)
    assert stored.image_spec == memory.image_spec
    with pytest.raises(ValueError, match="real images: expected readable ones, got 'i1', which"):
        RealViews(Flaky(data))([1])
