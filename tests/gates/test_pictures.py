"""Gates of what a generator draws, and of how inversions ended."""

from __future__ import annotations

import pytest
import torch

from genviews.gates.pictures import (
    copies_gate,
    finite_gate,
    likeness_gate,
    picture_gate,
    range_gate,
    redrawn_gate,
    status_gates,
)
from genviews.types import Status

IMAGES = torch.rand(32, 1, 4, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1


def pictures(made, images=IMAGES):
    return picture_gate(made, images, "samples", "")


def spoilt(count, bad):
    images = torch.zeros(count, 1, 2, 2)
    images[:bad, 0, 1, 1] = torch.tensor([torch.nan, torch.inf]).repeat(bad)[:bad]
    return images


@pytest.mark.parametrize(
    ("bad", "count", "passed"),
    [(0, 16, True), (1, 16, True), (6, 16, True), (7, 16, False), (16, 16, False), (2, 2, False)],
)
def test_pictures_that_are_not_finite(bad, count, passed):
    """A few are drawn again; more than one in ten, surely, is a generator that is not finite."""
    gate = finite_gate(spoilt(count, bad))
    assert gate.passed is passed
    assert gate.found.startswith(f"{bad} of {count} samples of the generator have pixels")


@pytest.mark.parametrize(("bad", "passed"), [(1, True), (1000, True), (1200, False)])
def test_views_that_were_drawn_again(bad, passed):
    """Up to a tenth a note, beyond it a red line that takes the verdict."""
    gate = redrawn_gate(bad, 10_000, "test images")
    assert gate.found.startswith(f"{bad:,} of 10,000 generated views of test images had pixels")
    assert (gate.passed, gate.noted, gate.decides) == (passed, True, True)


def test_nothing_to_say_of_views_that_are_all_finite():
    assert redrawn_gate(0, 100, "test images") is None


class TestPictures:
    def test_one_picture(self):
        assert not pictures(IMAGES[:1].expand(16, -1, -1, -1)).passed
        assert not pictures(IMAGES[:1] + 0.01 * IMAGES).passed
        assert pictures(0.2 * IMAGES).passed  # blurred, and still different

    def test_pictures_that_are_not_finite_are_left_to_their_own_gate(self):
        bad = IMAGES.clone()
        bad[:8] = torch.nan
        assert pictures(bad).passed

    def test_nothing_is_asked_of_images_that_are_alike(self):
        assert pictures(IMAGES, IMAGES[:1].expand(16, -1, -1, -1)) is None
        assert pictures(IMAGES[:2]) is None


class TestLikeness:
    @pytest.mark.parametrize("noise", [0.0, 0.1, 0.3])
    def test_blurred_and_noisy_reconstructions_are_of_their_images(self, noise):
        random = torch.Generator().manual_seed(1)
        made = 0.3 * IMAGES + noise * torch.randn(IMAGES.shape, generator=random)
        assert likeness_gate(made, IMAGES).passed

    @pytest.mark.parametrize("count", [4, 32])
    def test_reconstructions_of_other_images(self, count):
        gate = likeness_gate(IMAGES[:count].roll(1, 0), IMAGES[:count])
        assert gate.passed is (count < 20)  # of a few that tells nothing
        assert gate.found.startswith(f"For 0 of {count} images their own reconstruction is")

    def test_images_that_are_one_or_reconstructions_that_are_none(self):
        assert likeness_gate(IMAGES[:8], IMAGES[:1].expand(8, -1, -1, -1)) is None
        assert likeness_gate(IMAGES * torch.nan, IMAGES) is None
        assert likeness_gate(IMAGES[:1], IMAGES[:1]) is None


class TestMasks:
    """Of a masked image the known pixels tell; the others hold anything, even what is no number."""

    KNOWN = (torch.rand(32, 1, 4, 4, generator=torch.Generator().manual_seed(2)) < 0.6).float()
    WITHIN = torch.where(KNOWN > 0, IMAGES, torch.nan)

    @pytest.mark.parametrize("unknown", [torch.nan, 3.0])
    def test_reconstructions_differ_where_pixels_are_known(self, unknown):
        images = torch.where(self.KNOWN > 0, IMAGES, unknown)
        own = {"masks": self.KNOWN, "made_masks": self.KNOWN}
        same = torch.where(self.KNOWN > 0, 0.0, IMAGES)  # they differ in unknown pixels alone
        assert picture_gate(0.3 * IMAGES, images, "reconstructions", "", **own).passed
        assert not picture_gate(same, images, "reconstructions", "", **own).passed
        alike = torch.where(self.KNOWN > 0, 0.0, IMAGES)
        assert picture_gate(IMAGES, alike, "samples", "", masks=self.KNOWN) is None

    @pytest.mark.parametrize("what", ["image", "reconstruction"])
    def test_spread_against_a_naive_loop(self, what):
        values = [
            float(torch.tensor(seen, dtype=torch.float64).std())
            for pixel in self.WITHIN.flatten(1).T.tolist()
            if len(seen := [v for v in pixel if v == v]) > 1
        ]
        ratio = IMAGES.double().std(0).mean() * len(values) / sum(values)
        given = (IMAGES, self.WITHIN) if what == "image" else (self.WITHIN.nan_to_num(9), IMAGES)
        masks = {"masks": self.KNOWN} if what == "image" else {"made_masks": self.KNOWN}
        found = picture_gate(*given, "samples", "", **masks).found
        ratio = ratio if what == "image" else 1 / ratio
        assert f"by {100 * ratio:.2g} % of what" in found

    def test_likeness_is_that_of_known_pixels(self):
        made = torch.where(self.KNOWN > 0, IMAGES, IMAGES.roll(1, 0))
        gate = likeness_gate(made, self.WITHIN, self.KNOWN)
        assert gate.found.startswith("For 32 of 32 images")
        other = torch.where(self.KNOWN > 0, IMAGES.roll(1, 0), IMAGES)
        assert not likeness_gate(other, IMAGES, self.KNOWN).passed

    def test_range_is_that_of_known_pixels(self):
        unit = torch.where(self.KNOWN > 0, (IMAGES + 1) / 2, -1.0)
        assert range_gate(IMAGES, unit).passed
        assert not range_gate(IMAGES, unit, self.KNOWN).passed


@pytest.mark.parametrize(
    ("copies", "count", "passed"), [(0, 3, True), (1, 3, True), (20, 200, True), (180, 200, False)]
)
def test_copies(copies, count, passed):
    assert copies_gate(copies, count, "test images").passed is passed


class TestRange:
    @pytest.mark.parametrize("turned", [False, True])
    def test_one_of_the_two_in_unit_range(self, turned):
        unit = (IMAGES + 1) / 2
        gate = range_gate(IMAGES, unit) if turned else range_gate(unit, IMAGES)
        assert not gate.passed
        assert ("images look like" if turned else "pictures look like") in gate.found

    def test_light_images_of_a_light_generator(self):
        light = IMAGES.abs()
        assert range_gate(light, light).passed
        assert range_gate(IMAGES, IMAGES).passed


class TestStatus:
    def shut(self, *counts):
        """Names of closed gates for so many of each status, in the order of `Status`."""
        status = torch.cat([torch.full((n,), int(s)) for s, n in zip(Status, counts, strict=True)])
        return [gate.name.partition(" of ")[0] for gate in status_gates(status) if not gate.passed]

    @pytest.mark.parametrize(
        ("counts", "expected"),
        [
            ((10, 10, 0, 0), []),
            ((5, 5, 9, 1), []),
            ((0, 2, 3, 0), ["starts"]),
            ((0, 0, 0, 1), ["failed inversions"]),
            ((2, 0, 0, 1), []),  # one bad image is no fault of the generator
            ((70, 0, 0, 30), ["failed inversions"]),
            ((0, 0, 30, 70), ["failed inversions"]),
        ],
    )
    def test_most(self, counts, expected):
        assert self.shut(*counts) == expected
