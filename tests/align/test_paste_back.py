"""The way back: edited pixels at their place in the source, and nothing else touched."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from genviews.align.aligners import CAT_FACE, CentreBox, FaceQuad, Frame, Similarity
from genviews.align.base import Box, stack

HEIGHT, WIDTH = 120, 110
FIVE = torch.tensor([(40, 50), (70, 50), (55, 66), (44, 82), (66, 82)], dtype=torch.float64)
WIDE = Frame(height=128, width=128, content_height=100, content_width=128)
NARROW = Frame(height=64, width=64, content_height=48, content_width=64)
SAME = Frame(height=WIDTH, width=WIDTH, content_height=70, content_width=WIDTH)


def turned(degrees, scale=1.0):
    """The face turned and scaled around (55, 60)."""
    a, b = scale * math.cos(math.radians(degrees)), scale * math.sin(math.radians(degrees))
    centre = torch.tensor([55.0, 60.0], dtype=torch.float64)
    return (FIVE - centre) @ torch.tensor([[a, b], [-b, a]], dtype=torch.float64) + centre


def smooth(channels=3):
    y = torch.arange(HEIGHT)[:, None] / HEIGHT
    x = torch.arange(WIDTH)[None, :] / WIDTH
    waves = [torch.sin(5 * x + k) * torch.cos(4 * y - k) for k in range(channels)]
    return torch.stack(waves) * 0.9


def noise():
    generator = torch.Generator().manual_seed(5)
    return torch.rand(3, HEIGHT, WIDTH, generator=generator) * 2 - 1


CASES = [
    (CentreBox(SAME), Box(10, 20, 50, 90)),
    (CentreBox(WIDE), Box(60, 5, 109, 60)),
    (CentreBox(NARROW), Box(0, 0, 9, 9)),
    (FaceQuad(160), turned(0, 0.51)),
    (FaceQuad(128), turned(35)),
    (FaceQuad(300), turned(-120, 0.4)),
    (FaceQuad(64), turned(10, 1.5)),
    (Similarity(CAT_FACE, 96), turned(20)[[0, 1, 4]]),
]
IDS = [f"{type(aligner).__name__}-{i}" for i, (aligner, _) in enumerate(CASES)]


REGIONS = {}


def region(aligned):
    """Source pixels whose centre falls into a known output pixel, in a plain loop, once a case."""
    case = (str(aligned.to_source), aligned.mask.shape, int(aligned.mask.sum()))
    if case not in REGIONS:
        REGIONS[case] = slow_region(aligned)
    return REGIONS[case]


def slow_region(aligned):
    back = aligned.to_source.inverse()
    there = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    height, width = aligned.mask.shape[1:]
    for row in range(HEIGHT):
        for column in range(WIDTH):
            x, y = back.at(column + 0.5, row + 0.5)
            if 0 <= x < width and 0 <= y < height:
                there[row, column] = bool(aligned.mask[0, math.floor(y), math.floor(x)])
    return there


def eroded(there, by):
    """The region without the pixels within `by` of its outside or of the image's border."""
    outside = torch.nn.functional.pad((~there).float()[None], [by] * 4, value=1.0)
    return torch.nn.functional.max_pool2d(outside, 2 * by + 1, stride=1)[0] == 0


@pytest.mark.parametrize(("aligner", "geometry"), CASES, ids=IDS)
class TestEachAligner:
    def test_round_trip(self, aligner, geometry):
        """Aligned and pasted back, a smooth image is itself within the error of resampling.

        A pixel's step is up to 0.041. Away from the border of the region, the error is within a
        quarter of that; at the border, where there is nothing to interpolate with on one side, it
        is that of half a pixel of the coarser image, along both axes.
        """
        source = smooth()
        aligned = aligner.align(source, geometry)
        error = (aligned.paste_back(aligned.image, source) - source).abs().amax(0)
        there = region(aligned)
        coarse = max(1.0, aligned.to_source.scale)
        inner = eroded(there, round(coarse))
        assert inner.sum() > 1500
        assert error[inner].max() < 0.01
        assert error.max() < 0.03 * coarse
        assert (error[there] > 0).any() == (aligner != CentreBox(SAME))

    def test_only_its_place_is_touched(self, aligner, geometry):
        source = noise()
        aligned = aligner.align(source, geometry)
        before = source.clone()
        result = aligned.paste_back(torch.full_like(aligned.image, 0.25), source)
        there = region(aligned)
        assert torch.equal(result[:, ~there], source[:, ~there])
        assert (result[:, there] - 0.25).abs().max() < 1e-5
        assert torch.equal(source, before)

    def test_a_batch_equals_one_by_one(self, aligner, geometry):
        sources = [smooth(), noise(), smooth().flip(0)]
        images, masks = stack([aligner.align(source, geometry) for source in sources])
        assert images.shape[:2] == (3, 3)
        assert masks.shape == (3, 1, *images.shape[2:])
        for source, image, mask in zip(sources, images, masks, strict=True):
            alone = aligner.align(source, geometry)
            assert torch.equal(alone.image, image)
            assert torch.equal(alone.mask, mask)


def test_a_face_beyond_the_border_is_pasted_up_to_it():
    source = smooth()
    aligned = FaceQuad(96).align(source, turned(30, 2.5))
    assert 0.1 < aligned.mask.mean() < 0.3
    result = aligned.paste_back(torch.full_like(aligned.image, 0.5), source)
    pasted = ((result - 0.5).abs() < 1e-5).all(0)
    assert 0.95 < pasted.float().mean() < 1  # not in output pixels centred beyond the border
    assert pasted[4:-4, 4:-4].all()


def test_a_gradient_reaches_the_edited_image():
    aligned = FaceQuad(64).align(smooth(), turned(30, 2.0))
    edited = aligned.image.clone().requires_grad_()
    aligned.paste_back(edited, smooth()).sum().backward()
    assert edited.grad.isfinite().all()
    assert edited.grad[:, aligned.mask[0] == 0].abs().max() == 0
    assert edited.grad.abs().max() > 0


def test_sizes_are_checked():
    aligned = FaceQuad(32).align(smooth(), FIVE)
    with pytest.raises(ValueError, match=r"edited image of paste_back: expected shape \(3, 32, 32"):
        aligned.paste_back(torch.zeros(3, 32, 31), smooth())
    with pytest.raises(ValueError, match=r"source image of paste_back: .* got \(3, 119, 110\)"):
        aligned.paste_back(aligned.image, smooth()[:, 1:])


def test_stack_needs_one_shape():
    one = FaceQuad(32).align(smooth(), FIVE)
    other = FaceQuad(33).align(smooth(), FIVE)
    with pytest.raises(ValueError, match=r"aligned images to stack: .* got shapes \[\(3, 32, 32\)"):
        stack([one, other])
    with pytest.raises(ValueError, match=r"aligned images to stack: .* got none"):
        stack([])


def test_aligned_is_a_value():
    one = FaceQuad(32).align(smooth(), FIVE)
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.mask = one.image
