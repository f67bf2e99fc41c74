from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image

from genviews.align.warp import Affine, resize_lanczos, warp


def noise(*shape, dtype=torch.float32):
    return torch.rand(shape, generator=torch.Generator().manual_seed(1), dtype=dtype) * 2 - 1


class TestLanczos:
    @pytest.mark.parametrize(
        ("before", "after"),
        [((13, 17), (7, 9)), ((13, 17), (26, 40)), ((40, 9), (5, 30)), ((3, 100), (3, 1))],
    )
    def test_equals_pillow(self, before, after):
        """On floats, which Pillow keeps outside of the range: clipped after each axis."""
        image = noise(2, *before)
        ours = resize_lanczos(image, after)
        for channel, got in zip(image, ours, strict=True):
            theirs = channel.numpy()
            for size in ((after[1], before[0]), after[::-1]):
                resized = Image.fromarray(theirs).resize(size, Image.Resampling.LANCZOS)
                theirs = np.clip(np.asarray(resized), -1, 1)
            np.testing.assert_allclose(got.numpy(), theirs, atol=2e-6)

    @pytest.mark.parametrize(
        ("before", "after"),
        # The last two have rows alone, and columns alone, to resize.
        [((40, 60), (90, 80)), ((64, 48), (16, 12)), ((20, 33), (20, 45)), ((33, 20), (45, 20))],
    )
    @pytest.mark.parametrize("channels", [1, 3])
    def test_equals_pillow_on_pixels_that_overshoot(self, before, after, channels):
        """Black and white pixels, in one call of Pillow's: what differs is its rounding alone."""
        pixels = (noise(*before, channels) > 0).mul(255).to(torch.uint8)
        picture = Image.fromarray(pixels.squeeze(-1).numpy())
        wanted = np.asarray(picture.resize(after[::-1], Image.Resampling.LANCZOS), float)
        ours = resize_lanczos(pixels.permute(2, 0, 1) / 127.5 - 1.0, after)
        got = (ours.permute(1, 2, 0) + 1.0).numpy() * 127.5
        assert np.abs(got - wanted.reshape(got.shape)).max() < 1.5  # of 255: rounded twice

    def test_overshoot_is_clamped(self):
        edge = torch.ones(1, 4, 8)
        edge[..., :4] = -1
        assert resize_lanczos(edge, (4, 32)).abs().max() == 1

    def test_same_size_is_the_identity(self):
        image = noise(1, 5, 6)
        assert torch.equal(resize_lanczos(image, (5, 6)), image)


class TestWarp:
    def test_whole_pixel_moves_are_exact(self):
        image = noise(3, 6, 7)
        moved = warp(image, Affine.shift(2.0, 1.0), (4, 5))
        assert torch.equal(moved, image[:, 1:5, 2:7])

    def test_quarter_turns_are_exact(self):
        image = noise(1, 6, 6)
        turned = warp(image, Affine(0.0, 1.0, 0.0, -1.0, 0.0, 6.0), (6, 6))
        assert torch.equal(turned, torch.rot90(image, -1, (1, 2)))

    def test_enlarging_equals_pillow(self):
        """Pillow's affine transform gives 0 outside the image, where ours repeats the edge."""
        image = noise(1, 9, 11)
        to_image = Affine(0.4, 0.2, 0.7, -0.2, 0.4, 3.9)
        terms = (0.4, 0.2, 0.7, -0.2, 0.4, 3.9)
        picture = Image.fromarray(image[0].numpy())
        wanted = np.asarray(
            picture.transform(
                (16, 14), Image.Transform.AFFINE, terms, resample=Image.Resampling.BILINEAR
            )
        )
        inside = wanted != 0
        assert inside.sum() > 100
        got = warp(image, to_image, (14, 16))[0].numpy()
        np.testing.assert_allclose(got[inside], wanted[inside], atol=1e-5)

    def test_beyond_the_edge_its_pixels_are_repeated(self):
        image = noise(1, 3, 3)
        wide = warp(image, Affine.shift(-2.0, 0.0), (3, 7))
        assert torch.equal(wide[0, :, :3], image[0, :, :1].expand(3, 3))
        assert torch.equal(wide[0, :, 4:], image[0, :, 2:].expand(3, 3))

    def test_shrinking_averages_fine_stripes(self):
        """Sampled without a filter, stripes of two pixels would be moiré of full contrast."""
        stripes = torch.ones(1, 60, 60)
        stripes[..., ::2] = -1
        turn = math.radians(20)
        a, b = 4.3 * math.cos(turn), 4.3 * math.sin(turn)
        small = warp(stripes, Affine(a, -b, 15.0, b, a, 5.0), (8, 8))
        assert small.abs().max() < 0.05

    def test_shrinking_is_near_the_mean_of_each_footprint(self):
        """Oracle: the mean of 24x24 samples of the picture below each output pixel."""

        def picture(x, y):
            return torch.sin(x / 7) * torch.cos(y / 9)

        grid = torch.arange(80, dtype=torch.float64) + 0.5
        image = picture(grid[None, :], grid[:, None])[None]
        to_image = Affine(3.0, -0.8, 20.0, 0.8, 3.0, 10.0)
        got = warp(image, to_image, (12, 12))[0]
        fine = Affine.scaling(1 / 24, 1 / 24)
        x, y = to_image.after(fine).of_pixels((12 * 24, 12 * 24))
        wanted = picture(x, y).reshape(12, 24, 12, 24).mean((1, 3))
        assert (got - wanted).abs().max() < 0.05  # the triangle filter is a little wider

    def test_dtype_and_gradient(self):
        image = noise(1, 8, 8, dtype=torch.float64).requires_grad_()
        out = warp(image, Affine(1.5, 0.1, 0.0, -0.1, 1.5, 0.0), (5, 5))
        assert out.dtype == torch.float64
        out.sum().backward()
        assert image.grad.abs().sum() > 0
