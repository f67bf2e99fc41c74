"""Images under a shift, as a source: known by what they were and by what was done to them."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from genviews.data.images import ImageSet
from genviews.data.joined_source import JoinedImages
from genviews.data.source import MemorySource
from genviews.rng import Rng
from genviews.robustness.corruption import corruption
from genviews.robustness.restore import restoration
from genviews.robustness.shifted import Restored, RestoredViews, ShiftedImages

NOISE = corruption("noise:3")


def source(count=5, *, names=("a", "b"), masks=False):
    pixels = torch.rand(count, 1, 8, 8, generator=Rng(0, "pixels").torch()) - 0.5
    ids = tuple(f"{i}.png" for i in range(count))
    found = ImageSet(images=pixels, ids=ids, labels=torch.arange(count) % 2, class_names=names)
    return MemorySource(found, torch.ones(count, 1, 8, 8) if masks else None)


class TestShifted:
    def test_is_the_corruption_of_each_image_by_its_own_stream(self):
        plain = source()
        found = ShiftedImages(plain, NOISE, seed=3).read([4, 1])
        streams = Rng(3, "shift").streams(["4.png", "1.png"])
        assert torch.equal(found.images, NOISE(plain.read([4, 1]).images, streams))

    def test_an_image_does_not_depend_on_its_neighbours(self):
        shifted = ShiftedImages(source(), NOISE)
        assert torch.equal(shifted.read([2]).images[0], shifted.read([0, 2, 4]).images[1])

    def test_ids_labels_and_masks_stay(self):
        plain = source(masks=True)
        shifted = ShiftedImages(plain, NOISE)
        assert (shifted.ids, shifted.class_names) == (plain.ids, plain.class_names)
        assert torch.equal(shifted.labels, plain.labels)
        assert torch.equal(shifted.read([1]).masks, plain.read([1]).masks)

    def test_hashes_are_those_of_what_is_read(self):
        shifted = ShiftedImages(source(), NOISE)
        assert shifted.hashes()[1:3] == shifted.read([1, 2]).hashes

    @pytest.mark.parametrize(
        "other",
        [
            lambda: ShiftedImages(source(), corruption("noise:2")),
            lambda: ShiftedImages(source(), NOISE, seed=1),
            lambda: ShiftedImages(source(4), NOISE),
            source,
        ],
    )
    def test_another_shift_seed_or_source_is_another(self, other):
        assert ShiftedImages(source(), NOISE).fingerprint() != other().fingerprint()

    def test_the_same_again_is_the_same(self):
        assert (
            ShiftedImages(source(), NOISE).fingerprint()
            == ShiftedImages(source(), corruption("gaussian_noise:3")).fingerprint()
        )

    def test_a_restored_image_is_restored_after_the_shift(self):
        median, streams = restoration("median:3"), Rng(0, "shift").streams(["0.png"])
        noisy = ShiftedImages(source(1), NOISE)
        both = ShiftedImages(noisy, Restored(median))
        expected = median(NOISE(source(1).read([0]).images, streams))
        assert torch.equal(both.read([0]).images, expected)
        assert both.name == "an array under gaussian_noise:3 under median:3"

    def test_restored_views_are_restorations_of_each(self):
        views = torch.rand(2, 3, 1, 8, 8, generator=Rng(0, "views").torch()) - 0.5
        made = RestoredViews(restoration("median:3")).augment(views, Rng(0).streams(["a", "b"]))
        assert torch.equal(made[1, 2], restoration("median:3")(views[1, 2:3])[0])

    def test_a_shift_that_changes_the_size_is_told(self):
        @dataclass(frozen=True)
        class Half:
            name: str = "half"

            def __call__(self, images, streams):
                return images[..., ::2, ::2]

        with pytest.raises(ValueError, match="images under half: expected shape"):
            ShiftedImages(source(), Half()).read([0])


class TestJoined:
    def test_holds_every_part_in_order(self):
        plain = source(3)
        both = JoinedImages({"": plain, NOISE.name: ShiftedImages(plain, NOISE)})
        assert both.ids[3:] == tuple(f"{i}.png (gaussian_noise:3)" for i in range(3))
        assert both.labels.tolist() == [0, 1, 0, 0, 1, 0]
        found = both.read([4, 0])
        assert torch.equal(found.images[1], plain.read([0]).images[0])
        assert torch.equal(found.images[0], ShiftedImages(plain, NOISE).read([1]).images[0])
        assert found.hashes == (both.hashes()[4], both.hashes()[0])

    def test_a_part_without_masks_is_all_known(self):
        found = JoinedImages({"": source(1, masks=True), "again": source(1)}).read([0, 1])
        assert bool((found.masks == 1).all())

    def test_what_cannot_be_read_is_named_by_its_new_id(self):
        class Broken(MemorySource):
            def read(self, rows):
                from genviews.data.source import SourceBatch

                empty = torch.empty(0, 1, 8, 8)
                skipped = tuple((self.ids[row], "is broken") for row in rows)
                return SourceBatch(images=empty, ids=(), hashes=(), skipped=skipped)

        images = ImageSet(images=torch.zeros(1, 1, 8, 8), ids=("0.png",))
        both = JoinedImages({"": MemorySource(images), "copy": Broken(images)})
        found = both.read([0, 1])
        assert (found.ids, found.skipped) == (("0.png",), (("0.png (copy)", "is broken"),))

    @pytest.mark.parametrize(
        ("parts", "told"),
        [
            (dict, "number of sources to join"),
            (lambda: {"": source(), "b": source(names=("a", "c"))}, "with the same classes"),
            (lambda: {"": source(), "b": torch.zeros(2)}, "an ImageSource"),
        ],
    )
    def test_what_does_not_go_together_is_told(self, parts, told):
        with pytest.raises((ValueError, TypeError), match=told):
            JoinedImages(parts())
