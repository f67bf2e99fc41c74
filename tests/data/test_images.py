from __future__ import annotations

from collections import Counter
from copy import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genviews.data.images import ImageSet
from genviews.data.source import MemorySource


def make(num=6, labels=None, **changes):
    fields = {
        "images": torch.linspace(-1, 1, num * 4).reshape(num, 1, 2, 2),
        "ids": tuple(f"i{k}" for k in range(num)),
        "labels": None if labels is None else torch.tensor(labels),
        "class_names": ("a", "b", "c"),
    }
    return ImageSet(**(fields | changes))


class TestChecks:
    @pytest.mark.parametrize(
        ("changes", "error", "message"),
        [
            ({"images": torch.zeros(6, 1, 2, 2).byte()}, TypeError, "images: expected a float32"),
            ({"images": torch.zeros(6, 1, 2, 2).double()}, TypeError, "got torch.float64"),
            ({"images": torch.zeros(6, 2, 2)}, ValueError, r"expected shape \(N, C, H, W\)"),
            ({"images": torch.zeros(0, 1, 2, 2), "ids": ()}, ValueError, "at least one image"),
            ({"ids": ("x",)}, ValueError, "image ids: expected 6, one for each image, got 1"),
            ({"ids": tuple("xyzxyw")}, ValueError, "image ids: .* got 'x', 'y' more than once"),
            ({"class_names": ("a", "a")}, ValueError, "class names: .* got 'a' more than once"),
            (
                {"labels": torch.zeros(6)},
                TypeError,
                "labels: expected an int64 .* got torch.float32",
            ),
            ({"labels": torch.zeros(6).int()}, TypeError, r"convert them with `.long\(\)`"),
            ({"labels": torch.zeros(5).long()}, ValueError, r"labels: expected shape \(6,\)"),
            ({"labels": torch.tensor([0, 1, 2, 3, 0, 0])}, ValueError, "indices from 0 to 3"),
            ({"labels": torch.tensor([0, -1, 2, 1, 0, 0])}, ValueError, "indices from -1 to 2"),
            (
                {"labels": torch.zeros(6).long(), "class_names": ()},
                ValueError,
                r"labels: .* in \[0, 0\) for each image, and a class name for each index",
            ),
        ],
    )
    def test_mistakes_are_explained(self, changes, error, message):
        broken = copy(make())
        for name, value in changes.items():
            object.__setattr__(broken, name, value)
        with pytest.raises(error, match=message):
            broken.__post_init__()  # users have no runtime type checks, which would come first here

    def test_values_outside_the_range(self):
        with pytest.raises(
            ValueError, match=r"expected values in \[-1, 1\], got values from 0 to 255"
        ):
            make(images=torch.tensor([0.0, 255.0] * 12).reshape(6, 1, 2, 2))

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
    def test_numbers_that_are_not_finite_name_the_image(self, value):
        images = torch.zeros(6, 1, 2, 2)
        images[4, 0, 1, 1] = value
        with pytest.raises(ValueError, match="finite numbers, got others in i4; leave"):
            make(images=images)

    def test_round_off_is_allowed(self):
        assert len(make(images=torch.full((6, 1, 2, 2), 1.00001))) == 6

    def test_many_duplicates_are_cut_short(self):
        with pytest.raises(ValueError, match="got 'i0', 'i1', 'i2' more than once"):
            make(num=16, ids=tuple(f"i{k % 8}" for k in range(16)))


class TestDescription:
    def test_repr_says_what_it_is_and_no_pixels(self):
        assert repr(make()) == "ImageSet(6 images of 1x2x2, no labels)"
        some = make(labels=[0] * 6, skipped=(("f", "damaged"),))
        assert repr(some) == "ImageSet(6 images of 1x2x2, 3 classes, 1 files skipped)"

    def test_image_spec(self):
        assert make(images=torch.zeros(6, 3, 4, 5)).image_spec.shape == (3, 4, 5)

    def test_fingerprint_follows_content(self):
        prints = {
            make().fingerprint(),
            make(labels=[0] * 6).fingerprint(),
            make(images=torch.zeros(6, 1, 2, 2)).fingerprint(),
            make(images=torch.zeros(6, 1, 1, 4)).fingerprint(),
            make(ids=tuple("uvwxyz")).fingerprint(),
        }
        assert len(prints) == 5
        assert make().fingerprint() == make(skipped=(("f", "damaged"),)).fingerprint()

    def test_fingerprint_ignores_memory_layout(self):
        images = torch.rand(2, 3, 4, 5)
        last = images.contiguous(memory_format=torch.channels_last)
        ids = ("a", "b")
        same = ImageSet(images=images, ids=ids), ImageSet(images=last, ids=ids)
        assert same[0].fingerprint() == same[1].fingerprint()


CHOSEN = [
    ([3, 0], [3, 0]),
    (slice(1, None, 2), [1, 3, 5]),
    (torch.tensor([5, 2]), [5, 2]),
    (torch.tensor([True, False, False, True, False, True]), [0, 3, 5]),
    ([True, False, False, False, False, False], [0]),
]


class TestSelect:
    @pytest.mark.parametrize(("indices", "rows"), CHOSEN)
    def test_rows_ids_and_labels_go_together(self, indices, rows):
        whole = make(labels=[0, 1, 2, 0, 1, 2], skipped=(("f", "damaged"),))
        part = whole.select(indices)
        assert torch.equal(part.images, whole.images[torch.tensor(rows)])
        assert part.ids == tuple(f"i{k}" for k in rows)
        assert part.labels.tolist() == [k % 3 for k in rows]
        assert (part.class_names, part.skipped) == (whole.class_names, whole.skipped)

    @pytest.mark.parametrize(("indices", "rows"), CHOSEN)
    def test_a_part_of_a_source_is_said_in_the_same_way(self, indices, rows):
        part = MemorySource(make(labels=[0, 1, 2, 0, 1, 2])).select(indices)
        assert part.ids == tuple(f"i{k}" for k in rows)
        assert part.labels.tolist() == [k % 3 for k in rows]
        assert torch.equal(part.read([0]).images[0], make().images[rows[0]])

    def test_without_labels(self):
        assert make().select([1]).labels is None

    @pytest.mark.parametrize(
        ("indices", "message"),
        [
            (None, r"indices: expected integers in \[0, 6\), or a mask, got None"),
            ("ab", "indices: expected integers .* got 'ab'"),
            ([0, "b"], "indices: expected integers"),
            ([0, 6], r"integers in \[0, 6\), .* got 2 of torch.int64 from 0 to 6"),
            ([-1], r"integers in \[0, 6\), .* got 1 of torch.int64 from -1"),
            (torch.tensor([0.5]), r"integers in \[0, 6\), .* got 1 of torch.float32"),
            ([2, 2], "image ids: .* got 'i2' more than once"),
            ([], "indices: expected at least one image"),
            (torch.zeros(6).bool(), "indices: expected at least one image"),
            (torch.ones(5).bool(), r"a mask of shape \(6,\), got 5 of torch.bool"),
        ],
    )
    @pytest.mark.as_installed
    def test_mistakes_are_explained(self, indices, message):
        with pytest.raises(ValueError, match=message):
            make().select(indices)
        with pytest.raises(ValueError, match=message.replace("image ids: .* got 'i2'", "got 2")):
            MemorySource(make()).select(indices)


class TestSplitCalibration:
    @settings(max_examples=30, deadline=None)
    @given(
        classes=st.lists(st.integers(0, 2), min_size=2, max_size=40),
        fraction=st.floats(0.05, 0.95),
        order=st.randoms(use_true_random=False),
    )
    def test_is_a_stratified_partition_that_no_order_changes(self, classes, fraction, order):
        whole = make(num=len(classes), labels=classes)
        sizes = Counter(classes)
        if max(sizes.values()) == 1:
            return
        calibration, rest = whole.split_calibration(fraction, seed=3)
        assert set(calibration.ids) | set(rest.ids) == set(whole.ids)
        assert len(calibration) + len(rest) == len(whole)
        counts = Counter(calibration.labels.tolist())
        for label, size in sizes.items():
            assert counts[label] == (
                0 if size == 1 else min(max(round(fraction * size), 1), size - 1)
            )
        rows = list(range(len(whole)))
        order.shuffle(rows)
        shuffled, _ = whole.select(rows).split_calibration(fraction, seed=3)
        assert set(shuffled.ids) == set(calibration.ids)

    def test_keeps_the_order_of_the_set(self):
        calibration, rest = make(num=30, labels=[0, 1, 2] * 10).split_calibration(0.4)
        for part in (calibration, rest):
            numbers = [int(i[1:]) for i in part.ids]
            assert numbers == sorted(numbers)

    def test_seed_changes_it_and_repeats_it(self):
        whole = make(num=40, labels=[0, 1] * 20)
        first = [whole.split_calibration(0.5, seed)[0].ids for seed in (0, 0, 1)]
        assert first[0] == first[1]
        assert first[0] != first[2]

    def test_an_added_image_moves_at_most_one_other(self):
        whole = make(num=41, labels=[0] * 41)
        before = set(whole.select(range(40)).split_calibration(0.5)[0].ids)
        after = set(whole.split_calibration(0.5)[0].ids)
        assert len(before ^ after) <= 2

    def test_without_labels(self):
        calibration, rest = make(num=10).split_calibration(0.3)
        assert (len(calibration), len(rest)) == (3, 7)

    @pytest.mark.parametrize("fraction", [0.0, 1.0, -0.2, 1.5, float("nan")])
    def test_fraction_outside(self, fraction):
        with pytest.raises(ValueError, match="calibration fraction: expected a number strictly"):
            make().split_calibration(fraction)

    def test_too_few_images(self):
        with pytest.raises(ValueError, match="images to split: expected at least two images"):
            make(num=3, labels=[0, 1, 2]).split_calibration()
