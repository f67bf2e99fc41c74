from __future__ import annotations

import hashlib

import pytest
import torch

from genviews.data.content import content_hash
from genviews.data.images import ImageSet
from genviews.data.source import ImageSource, MemorySource, SourceBatch
from genviews.types import ImageSpec


def image_set(count=4, **changes):
    images = torch.rand(count, 1, 4, 6, generator=torch.Generator().manual_seed(count)) * 2 - 1
    values = {"images": images, "ids": tuple(f"i{i}" for i in range(count)), **changes}
    return ImageSet(**values)


@pytest.fixture
def masks():
    return (torch.arange(4 * 24).reshape(4, 1, 4, 6) % 3 > 0).float()


class TestMemorySource:
    def test_reads_the_rows_asked_for(self, masks):
        whole = image_set()
        source = MemorySource(whole, masks)
        batch = source.read([2, 0])
        assert (batch.ids, len(batch), len(source)) == (("i2", "i0"), 2, 4)
        assert torch.equal(batch.images, whole.images[[2, 0]])
        assert torch.equal(batch.masks, masks[[2, 0]])
        assert batch.skipped == ()
        assert source.image_spec == ImageSpec(channels=1, height=4, width=6)
        assert MemorySource(whole).read(range(4)).masks is None
        assert len(source.read([])) == 0

    def test_hash_is_that_of_the_pixels(self, masks):
        whole = image_set()
        wanted = [
            hashlib.blake2b(image.numpy().tobytes(), digest_size=16).hexdigest()
            for image in whole.images
        ]
        assert list(MemorySource(whole).read(range(4)).hashes) == wanted
        assert list(MemorySource(whole, masks).read(range(4)).hashes) == wanted

    def test_skipped_files_are_passed_on(self):
        skipped = (("broken.png", "cannot be read"),)
        assert MemorySource(image_set(skipped=skipped)).skipped == skipped

    def test_fingerprint_is_of_the_content(self, masks):
        one = MemorySource(image_set()).fingerprint()
        same = image_set(labels=torch.zeros(4, dtype=torch.long), class_names=("a",))
        assert MemorySource(same).fingerprint() == one
        assert len(one) == 32
        pixel = image_set().images.clone()
        pixel[3, 0, 3, 5] += 1e-6
        others = {
            MemorySource(image_set(images=pixel)).fingerprint(),
            MemorySource(image_set(ids=("i0", "i1", "i2", "j3"))).fingerprint(),
            MemorySource(image_set(images=image_set().images.reshape(4, 1, 6, 4))).fingerprint(),
            MemorySource(image_set(), masks).fingerprint(),
            MemorySource(image_set(), 1 - masks).fingerprint(),
            MemorySource(image_set().select([1, 0, 2, 3])).fingerprint(),
        }
        assert len(others | {one}) == 7

    def test_masks_of_another_shape(self):
        with pytest.raises(ValueError, match=r"masks: expected shape \(4, 1, 4, 6\), got \(3,"):
            MemorySource(image_set(), torch.ones(3, 1, 4, 6))


@pytest.mark.parametrize("change", [{"ids": ("a",)}, {"hashes": ()}])
def test_a_batch_has_one_of_each(change):
    values = {"images": torch.zeros(2, 1, 4, 4), "ids": ("a", "b"), "hashes": ("0", "1"), **change}
    with pytest.raises(ValueError, match="batch of a source: expected an id, a hash and a mask"):
        SourceBatch(**values)


def test_content_hash_of_values_is_that_of_their_bytes():
    values = torch.arange(6, dtype=torch.uint8).reshape(2, 3)
    assert content_hash(values) == content_hash(bytes(range(6)))
    assert content_hash(values.T.contiguous().T) == content_hash(values)


def test_a_source_is_abstract():
    with pytest.raises(TypeError, match="abstract"):
        ImageSource()
