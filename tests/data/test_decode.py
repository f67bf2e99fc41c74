"""Files made with Pillow, and broken by hand; expected pixels are computed here in float64."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from genviews.data.decode import UnfitImageError, decode_image
from genviews.types import ImageSpec

GREY = ImageSpec(channels=1, height=6, width=8)
COLOUR = ImageSpec(channels=3, height=6, width=8)
rng = np.random.default_rng(0)
grey_pixels = rng.integers(0, 256, (6, 8)).astype(np.uint8)
colour_pixels = rng.integers(0, 256, (6, 8, 3)).astype(np.uint8)


def scaled(pixels: np.ndarray, top: float = 255.0) -> np.ndarray:
    x = pixels.astype(np.float64) / (top / 2) - 1
    return x[None] if x.ndim == 2 else x.transpose(2, 0, 1)


def save(tmp_path, pixels, name="x.png", **options):
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    picture.save(tmp_path / name, **options)
    return tmp_path / name


def close(image: torch.Tensor, wanted: np.ndarray) -> None:
    assert image.dtype == torch.float32
    np.testing.assert_allclose(image.double().numpy(), wanted, atol=1e-6)


class TestPixels:
    @pytest.mark.parametrize("name", ["x.png", "x.bmp", "x.tiff", "x.ppm", "wrong-name.jpg"])
    def test_lossless_formats_are_exact(self, tmp_path, name):
        kind = "png" if name.startswith("wrong") else None
        close(
            decode_image(save(tmp_path, colour_pixels, name, format=kind), COLOUR),
            scaled(colour_pixels),
        )

    def test_webp(self, tmp_path):
        path = save(tmp_path, colour_pixels, "x.webp", lossless=True)
        close(decode_image(path, COLOUR), scaled(colour_pixels))

    def test_jpeg(self, tmp_path):
        path = save(tmp_path, colour_pixels, "x.jpg", quality=95)
        close(decode_image(path, COLOUR), scaled(np.asarray(Image.open(path))))

    def test_grey_for_three_channels_is_repeated(self, tmp_path):
        close(decode_image(save(tmp_path, grey_pixels), COLOUR), scaled(grey_pixels).repeat(3, 0))

    def test_colour_file_with_equal_channels_is_grey(self, tmp_path):
        path = save(tmp_path, np.stack([grey_pixels] * 3, 2))
        close(decode_image(path, GREY), scaled(grey_pixels))

    def test_colour_for_one_channel_only_when_asked(self, tmp_path):
        path = save(tmp_path, colour_pixels)
        with pytest.raises(UnfitImageError, match="is in colour, 1 channel is wanted"):
            decode_image(path, GREY)
        luminance = colour_pixels.astype(np.float64) @ [0.299, 0.587, 0.114]
        close(decode_image(path, GREY, convert=True), scaled(luminance))

    def test_16_bit_grey_keeps_its_precision(self, tmp_path):
        pixels = rng.integers(0, 65536, (6, 8)).astype(np.uint16)
        pixels[0, :2] = 0, 65535
        for name in ("x.png", "x.tiff"):
            image = decode_image(save(tmp_path, pixels, name), GREY)
            close(image, scaled(pixels, 65535.0))
            assert (float(image.min()), float(image.max())) == (-1, 1)

    @pytest.mark.parametrize("kind", [np.int32, np.float32])
    def test_pixels_of_unknown_range(self, tmp_path, kind):
        path = save(tmp_path, np.zeros((6, 8), kind), "x.tiff")
        with pytest.raises(
            UnfitImageError, match=r"pixels of mode '[IF]', whose range is not known"
        ):
            decode_image(path, GREY, convert=True)

    def test_black_and_white(self, tmp_path):
        bits = grey_pixels > 127
        path = save(tmp_path, Image.fromarray(bits))
        close(decode_image(path, GREY), np.where(bits, 1.0, -1.0)[None])

    def test_palette(self, tmp_path):
        picture = Image.fromarray(colour_pixels // 128 * 255).quantize(8)
        path = save(tmp_path, picture)
        with Image.open(path) as opened:
            assert opened.mode == "P"
        close(decode_image(path, COLOUR), scaled(np.asarray(picture.convert("RGB"))))

    def test_cmyk_only_when_asked(self, tmp_path):
        path = save(tmp_path, Image.fromarray(colour_pixels).convert("CMYK"), "x.jpg")
        with pytest.raises(UnfitImageError, match="has CMYK colours"):
            decode_image(path, COLOUR)
        assert decode_image(path, COLOUR, convert=True).shape == COLOUR.shape


class TestAlpha:
    @pytest.mark.parametrize("spec", [GREY, COLOUR])
    @pytest.mark.parametrize("mode", ["LA", "RGBA"])
    def test_opaque_alpha_is_dropped(self, tmp_path, spec, mode):
        path = save(tmp_path, Image.fromarray(grey_pixels).convert(mode))
        close(decode_image(path, spec), scaled(grey_pixels).repeat(spec.channels, 0))

    @pytest.mark.parametrize("mode", ["LA", "RGBA"])
    def test_transparency_over_black_only_when_asked(self, tmp_path, mode):
        picture = Image.fromarray(grey_pixels).convert(mode)
        alpha = np.full((6, 8), 255, np.uint8)
        alpha[:, :4] = 0
        picture.putalpha(Image.fromarray(alpha))
        path = save(tmp_path, picture)
        with pytest.raises(UnfitImageError, match="has transparent pixels"):
            decode_image(path, GREY)
        close(decode_image(path, GREY, convert=True), scaled(np.where(alpha, grey_pixels, 0)))

    def test_half_transparent(self, tmp_path):
        picture = Image.fromarray(np.full((6, 8), 200, np.uint8)).convert("RGBA")
        picture.putalpha(128)
        image = decode_image(save(tmp_path, picture), COLOUR, convert=True)
        np.testing.assert_allclose(image.numpy(), 200 * 128 / 255 / 127.5 - 1, atol=1 / 127)

    @pytest.mark.parametrize("mode", ["L", "RGB", "P"])
    def test_transparent_colour_of_a_png(self, tmp_path, mode):
        pixels = np.where(grey_pixels > 127, 255, 0).astype(np.uint8)
        key = {"L": 0, "RGB": (0, 0, 0), "P": 0}[mode]
        path = save(tmp_path, Image.fromarray(pixels).convert(mode), transparency=key)
        with pytest.raises(UnfitImageError, match="has transparent pixels"):
            decode_image(path, COLOUR)

    def test_transparent_16_bit(self, tmp_path):
        path = save(tmp_path, np.zeros((6, 8), np.uint16), transparency=0)
        with pytest.raises(UnfitImageError, match="has transparent"):
            decode_image(path, GREY)


class TestSize:
    def test_other_size_is_refused_unless_asked(self, tmp_path):
        path = save(tmp_path, np.zeros((12, 20), np.uint8))
        with pytest.raises(UnfitImageError, match=r"is 20x12 pixels, not 8x6 \(resize was not"):
            decode_image(path, GREY)
        assert decode_image(path, GREY, resize=True).shape == (1, 6, 8)

    @pytest.mark.parametrize(("height", "width"), [(5, 20), (20, 7), (1, 1)])
    def test_too_small_is_never_enlarged(self, tmp_path, height, width):
        path = save(tmp_path, np.zeros((height, width), np.uint8))
        message = f"is too small: {width}x{height} pixels, at least 8x6"
        with pytest.raises(UnfitImageError, match=message):
            decode_image(path, GREY, resize=True)

    def test_the_centre_is_kept(self, tmp_path):
        """The centred 6x8 box of 6x20 pixels needs no shrinking, so it is exact."""
        pixels = rng.integers(0, 256, (6, 20)).astype(np.uint8)
        close(decode_image(save(tmp_path, pixels), GREY, resize=True), scaled(pixels[:, 6:14]))
        tall = rng.integers(0, 256, (10, 8)).astype(np.uint8)
        close(decode_image(save(tmp_path, tall), GREY, resize=True), scaled(tall[2:8]))

    def test_shrinking_agrees_with_pillow(self, tmp_path):
        pixels = rng.integers(0, 256, (18, 24)).astype(np.uint8)
        wanted = Image.fromarray(pixels.astype(np.float32)).resize(
            (8, 6), Image.Resampling.BILINEAR
        )
        image = decode_image(save(tmp_path, pixels), GREY, resize=True)
        np.testing.assert_allclose(image[0].numpy(), np.asarray(wanted) / 127.5 - 1, atol=1e-4)

    @settings(
        max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
    )
    @given(height=st.integers(6, 40), width=st.integers(8, 40))
    def test_shrunk_images_stay_in_range(self, tmp_path, height, width):
        pixels = np.tile(np.array([0, 255], np.uint8), height * width)[: height * width]
        path = save(tmp_path, pixels.reshape(height, width))
        image = decode_image(path, GREY, resize=True)
        assert image.shape == (1, 6, 8)
        assert -1 <= float(image.min()) <= float(image.max()) <= 1


class TestOrientation:
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_exif_is_applied(self, tmp_path, orientation):
        turn = {
            1: lambda x: x,
            2: np.fliplr,
            3: lambda x: np.rot90(x, 2),
            4: np.flipud,
            5: np.transpose,
            6: lambda x: np.rot90(x, -1),
            7: lambda x: np.rot90(x, 2).T,
            8: np.rot90,
        }[orientation]
        exif = Image.Exif()
        exif[0x0112] = orientation
        path = save(tmp_path, grey_pixels, exif=exif)
        upright = turn(grey_pixels)
        spec = ImageSpec(channels=1, height=upright.shape[0], width=upright.shape[1])
        close(decode_image(path, spec), scaled(upright))


def encoded(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(colour_pixels).save(buffer, kind)
    return buffer.getvalue()


class TestBrokenFiles:
    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (b"", "is an empty file"),
            (b"just text", "is not an image"),
            (b"<svg></svg>", "is not an image"),
            (encoded("PNG")[:60], "is damaged or unreadable"),
            (encoded("JPEG")[:-40], "is damaged or unreadable"),
            (encoded("PNG")[:8], "is (not an image|damaged)"),
        ],
    )
    def test_reason(self, tmp_path, data, message):
        (tmp_path / "x.png").write_bytes(data)
        with pytest.raises(UnfitImageError, match=message):
            decode_image(tmp_path / "x.png", COLOUR)

    def test_absent_and_dangling(self, tmp_path):
        (tmp_path / "link.png").symlink_to(tmp_path / "nothing.png")
        for name in ("nothing.png", "link.png"):
            with pytest.raises(UnfitImageError, match=r"is damaged or unreadable .*No such file"):
                decode_image(tmp_path / name, COLOUR)

    def test_a_folder(self, tmp_path):
        with pytest.raises(UnfitImageError, match=r"is damaged or unreadable .*directory"):
            decode_image(tmp_path, COLOUR)

    def test_animation(self, tmp_path):
        frames = [Image.fromarray(colour_pixels), Image.fromarray(255 - colour_pixels)]
        frames[0].save(tmp_path / "x.webp", save_all=True, append_images=frames[1:], lossless=True)
        with pytest.raises(UnfitImageError, match="has 2 frames, not 1"):
            decode_image(tmp_path / "x.webp", COLOUR)

    def test_far_too_many_pixels(self, tmp_path, monkeypatch):
        path = save(tmp_path, colour_pixels)
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40)  # 48 pixels: a warning in Pillow
        with pytest.raises(UnfitImageError, match="has too many pixels"):
            decode_image(path, COLOUR)
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)  # more than twice as many: an error
        with pytest.raises(UnfitImageError, match="has too many pixels"):
            decode_image(path, COLOUR)

    @settings(
        max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
    )
    @given(
        kind=st.sampled_from(["PNG", "JPEG", "BMP", "TIFF", "GIF", "WEBP"]),
        cut=st.floats(0, 1),
        flips=st.lists(st.tuples(st.floats(0, 0.999), st.integers(1, 255)), max_size=4),
    )
    def test_no_damage_raises_anything_else(self, tmp_path, kind, cut, flips):
        data = bytearray(encoded(kind))
        for where, mask in flips:
            data[int(where * len(data))] ^= mask
        path = tmp_path / "x"
        path.write_bytes(data[: int(cut * len(data)) + 1])
        try:
            image = decode_image(path, COLOUR, resize=True, convert=True)
        except UnfitImageError:
            return
        assert image.shape == COLOUR.shape
        assert bool(image.abs().le(1).all())
        if kind in ("PNG", "BMP", "TIFF") and not flips:  # cut behind the last pixel, if at all
            close(image, scaled(colour_pixels))
