from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import torch
from PIL import Image

from genviews.align.aligners import CARS, CentreBox, Frame
from genviews.align.base import Box, UnalignableError
from genviews.identity import describe

SMALL = Frame(height=32, width=32, content_height=24, content_width=32)
ODD = Frame(height=37, width=41, content_height=21, content_width=33)


def noise(height, width, channels=3):
    generator = torch.Generator().manual_seed(height * 1000 + width)
    return torch.rand(channels, height, width, generator=generator) * 2 - 1


def naive(resized, box, ratio, frame, vacated):
    """The recipe pixel by pixel: shift within the outline, cut the middle, lay on the canvas."""
    channels, height, width = resized.shape
    x0, y0, x1, y1 = (int(edge * ratio) for edge in (box.x0, box.y0, box.x1, box.y1))
    move_x, move_y = width // 2 - (x0 + x1) // 2, height // 2 - (y0 + y1) // 2
    shifted = np.full_like(resized, vacated)
    known = np.zeros((height, width), resized.dtype)
    for row in range(height):
        for column in range(width):
            i, j = row - move_y, column - move_x
            if 0 <= i < height and 0 <= j < width:
                shifted[:, row, column] = resized[:, i, j]
                known[row, column] = 1
    cut_y = max(0, (height - frame.content_height) // 2)
    cut_x = max(0, (width - frame.content_width) // 2)
    rows = slice(cut_y, cut_y + frame.content_height)
    columns = slice(cut_x, cut_x + frame.content_width)
    cut, cut_known = shifted[:, rows, columns], known[rows, columns]
    canvas = np.zeros((channels, frame.height, frame.width), resized.dtype)
    mask = np.zeros((1, frame.height, frame.width), resized.dtype)
    top = (frame.height - cut.shape[1]) // 2
    left = (frame.width - cut.shape[2]) // 2
    canvas[:, top : top + cut.shape[1], left : left + cut.shape[2]] = cut
    mask[0, top : top + cut.shape[1], left : left + cut.shape[2]] = cut_known
    return canvas, mask


def resize_floats(image, size):
    """Pillow's Lanczos on floats, an axis and a channel at a time, clipped as 8-bit pixels are."""
    planes = image.numpy()
    for target in ((size[1], image.shape[1]), size[::-1]):
        pictures = [Image.fromarray(c).resize(target, Image.Resampling.LANCZOS) for c in planes]
        planes = np.clip(np.stack([np.asarray(picture) for picture in pictures]), -1, 1)
    return planes


# Boxes by the place of their centre: each side of the image, its corners, fractions.
BOXES = [
    (0.1, 0.2, 0.9, 0.8),
    (0.0, 0.0, 0.3, 0.2),
    (0.8, 0.9, 1.0, 1.0),
    (0.7, 0.01, 0.95, 0.1),
    (0.02, 0.7, 0.11, 1.0),
    (-0.2, -0.3, 0.5, 1.4),
    (0.31415, 0.27182, 0.57721, 0.61803),
]


class TestPixelExact:
    """Images as wide as the content: nothing is resampled, every pixel must be equal."""

    @pytest.mark.parametrize(
        ("frame", "height"),
        [(SMALL, 10), (SMALL, 23), (SMALL, 24), (SMALL, 25), (SMALL, 61), (ODD, 20), (ODD, 44)],
    )
    def test_equals_the_naive_loop(self, frame, height):
        width = frame.content_width
        image = noise(height, width)
        for box, vacated in itertools.product(BOXES, (-1.0, 0.0)):
            there = Box(box[0] * width, box[1] * height, box[2] * width, box[3] * height)
            got = CentreBox(frame, vacated).align(image, there)
            canvas, mask = naive(image.numpy(), there, 1.0, frame, vacated)
            np.testing.assert_array_equal(got.image.numpy(), canvas, str((box, vacated)))
            np.testing.assert_array_equal(got.mask.numpy(), mask, str((box, vacated)))

    def test_cars(self):
        image, box = noise(400, 512), Box(3, 200.7, 120.2, 390)
        got = CentreBox(CARS, vacated=-1.0).align(image, box)
        canvas, mask = naive(image.numpy(), box, 1.0, CARS, -1.0)
        np.testing.assert_array_equal(got.image.numpy(), canvas)
        np.testing.assert_array_equal(got.mask.numpy(), mask)
        assert set(np.unique(mask)) == {0, 1}

    def test_shifts_of_known_pixels_by_hand(self):
        frame = Frame(height=4, width=4, content_height=2, content_width=4)
        image = torch.tensor([[[0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.7, 0.8]]])
        got = CentreBox(frame, -1.0).align(image, Box(0, 0, 2, 2))  # centre (1, 1) -> (2, 1)
        wanted = torch.zeros(1, 4, 4)
        wanted[0, 1] = torch.tensor([-1, 0.1, 0.2, 0.3])
        wanted[0, 2] = torch.tensor([-1, 0.5, 0.6, 0.7])
        assert torch.equal(got.image, wanted)
        assert got.mask[0].tolist() == [[0] * 4, [0, 1, 1, 1], [0, 1, 1, 1], [0] * 4]


class TestResized:
    @pytest.mark.parametrize("box", BOXES)
    @pytest.mark.parametrize("size", [(47, 63), (101, 45), (30, 200), (9, 13)])
    def test_equals_the_naive_loop_on_pillows_resize(self, box, size):
        height, width = size
        image = noise(height, width)
        there = Box(box[0] * width, box[1] * height, box[2] * width, box[3] * height)
        ratio = 32 / width
        resized = resize_floats(image, (int(ratio * height), 32))
        canvas, mask = naive(resized, there, ratio, SMALL, 0.0)
        got = CentreBox(SMALL).align(image, there)
        np.testing.assert_allclose(got.image.numpy(), canvas, atol=2e-6)
        np.testing.assert_array_equal(got.mask.numpy(), mask)

    def test_within_rounding_of_the_8_bit_recipe(self):
        rng = np.random.default_rng(0)
        smooth = rng.integers(0, 256, (6, 8, 3), np.uint8)
        photo = Image.fromarray(smooth).resize((90, 70), Image.Resampling.BILINEAR)
        image = torch.from_numpy(np.asarray(photo) / np.float32(127.5) - 1).permute(2, 0, 1)
        box, ratio = Box(10, 5, 50, 60), 32 / 90
        small = photo.resize((32, int(ratio * 70)), Image.Resampling.LANCZOS)
        resized = (np.asarray(small) / np.float32(127.5) - 1).transpose(2, 0, 1)
        canvas, _ = naive(resized, box, ratio, SMALL, -1.0)
        got = CentreBox(SMALL, -1.0).align(image, box)
        assert np.abs(got.image.numpy() - canvas).max() < 1.5 / 127.5  # rounded once for each axis

    def test_height_is_rounded_down_as_the_floats_say(self):
        frame = Frame(height=40, width=33, content_height=40, content_width=33)
        for width in range(1, 90):
            got = CentreBox(frame).align(torch.zeros(1, width, width), Box(0, 0, width, width))
            rows = int(got.mask[0].amax(1).sum())
            assert rows == int((33 / width) * width)


class TestUnknown:
    @pytest.mark.parametrize("value", [-1.0, 0.0, 1.0])
    def test_colour_does_not_change_the_mask(self, value):
        box = Box(1, 2, 9, 11)
        mask = CentreBox(SMALL).align(noise(40, 50), box).mask
        flat = CentreBox(SMALL).align(torch.full((3, 40, 50), value), box)
        assert torch.equal(flat.mask, mask)
        assert 0 < mask.mean() < 1

    def test_unknown_pixels_are_zero(self):
        got = CentreBox(SMALL).align(torch.ones(3, 40, 50), Box(1, 2, 9, 11))
        assert torch.equal(got.image[0] == 0, got.mask[0] == 0)

    def test_mask_is_where_the_source_is(self):
        """The map to the source says so too, but for the bands that the content leaves."""
        got = CentreBox(SMALL).align(noise(40, 50), Box(1, 2, 9, 11))
        for row in range(32):
            for column in range(32):
                x, y = got.to_source.at(column + 0.5, row + 0.5)
                there = 0 <= x < 50 and 0 <= y < 40 and 4 <= row < 28
                assert bool(got.mask[0, row, column]) == there


class TestErrors:
    @pytest.mark.parametrize(
        "box",
        [
            Box(3, 3, 3, 8),
            Box(3, 8, 9, 8),
            Box(9, 3, 3, 8),
            Box(float("nan"), 0, 3, 3),
            Box(0, 0, float("inf"), 3),
        ],
    )
    def test_box_without_area(self, box):
        with pytest.raises(UnalignableError, match=r"^has a box without area: Box\(x0="):
            CentreBox(SMALL).align(noise(10, 12), box)

    @pytest.mark.parametrize("box", [Box(13, 2, 30, 4), Box(1, -9, 4, -2), Box(0, 0, 300, 200)])
    def test_box_elsewhere(self, box):
        with pytest.raises(UnalignableError, match=r"^has a box outside its 12x10 pixels"):
            CentreBox(SMALL).align(noise(10, 12), box)

    def test_image_of_no_height(self):
        with pytest.raises(UnalignableError, match=r"^is too wide: 200x2 pixels"):
            CentreBox(SMALL).align(noise(2, 200), Box(0, 0, 5, 2))

    def test_not_finite(self):
        image = noise(10, 12)
        image[0, 0, 0] = float("nan")
        with pytest.raises(UnalignableError, match=r"^has pixels that are no finite number"):
            CentreBox(SMALL).align(image, Box(0, 0, 5, 2))

    def test_landmarks_are_no_box(self):
        with pytest.raises(TypeError, match=r"geometry of CentreBox: expected a Box, got Tensor"):
            CentreBox(SMALL).align(noise(10, 12), torch.zeros(5, 2))

    def test_content_larger_than_the_canvas(self):
        with pytest.raises(
            ValueError,
            match=r"content width of the frame: .* of at most 8, got 9; the content lies within",
        ):
            Frame(height=8, width=8, content_height=8, content_width=9)
        with pytest.raises(ValueError, match="height of the frame: expected an integer"):
            Frame(height=0, width=8, content_height=8, content_width=8)

    def test_vacated_out_of_range(self):
        with pytest.raises(ValueError, match="value of vacated pixels"):
            CentreBox(SMALL, 255.0)


class TestObject:
    def test_prints_as_its_call(self):
        assert eval(repr(CentreBox(SMALL, -1.0))) == CentreBox(SMALL, -1.0)

    def test_describes_itself_in_json(self):
        described = describe(CentreBox(SMALL))
        assert json.loads(json.dumps(described)) == described
        assert described == {
            "type": "genviews:CentreBox",
            "frame": {
                "type": "genviews:Frame",
                "height": 32,
                "width": 32,
                "content_height": 24,
                "content_width": 32,
            },
            "vacated": 0,
        }
