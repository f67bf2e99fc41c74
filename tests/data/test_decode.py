"""Files made with Pillow, and broken by hand; expected pixels are computed here in float64."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

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


def close(image: torch.Tensor, wanted: np.ndarray, atol: float = 1e-6) -> None:
    assert image.dtype == torch.float32
    np.testing.assert_allclose(image.double().numpy(), wanted, atol=atol)


def bilinear(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """The centred box of so many pixels, brought to 6x8 with triangle weights.

    Where it is enlarged at an edge of the box, its neighbours outside are seen.
    """
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2

    def weights(whole: int, first: int, size: int, out: int) -> np.ndarray:
        step = size / out
        centres = first + (np.arange(out) + 0.5) * step
        distance = np.abs(np.arange(whole)[None] + 0.5 - centres[:, None]) / max(step, 1)
        triangle = np.maximum(1 - distance, 0)
        return triangle / triangle.sum(1, keepdims=True)

    rows = weights(pixels.shape[0], top, height, 6)
    return rows @ pixels.astype(np.float64) @ weights(pixels.shape[1], left, width, 8).T


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
        with pytest.raises(
            UnfitImageError, match=r"is 20x12 pixels, not 8x6; resize \(--resize\) was not"
        ):
            decode_image(path, GREY)
        assert decode_image(path, GREY, resize=True).shape == (1, 6, 8)

    @pytest.mark.parametrize(("height", "width"), [(3, 4), (5, 20), (20, 7), (1, 1)])
    def test_smaller_pictures_are_enlarged_when_asked(self, tmp_path, height, width):
        pixels = rng.integers(0, 256, (height, width)).astype(np.uint8)
        image = decode_image(save(tmp_path, pixels), GREY, resize=True)
        scale = min(height / 6, width / 8)
        wanted = bilinear(pixels, max(round(6 * scale), 1), max(round(8 * scale), 1))
        # Each axis is rounded to whole grey levels.
        inner = np.abs(image[0].double().numpy() - (wanted / 127.5 - 1))
        assert inner.max() <= 1.01 / 127.5

    def test_the_centre_is_kept(self, tmp_path):
        """The centred 6x8 box of 6x20 pixels needs no shrinking, so it is exact."""
        pixels = rng.integers(0, 256, (6, 20)).astype(np.uint8)
        close(decode_image(save(tmp_path, pixels), GREY, resize=True), scaled(pixels[:, 6:14]))
        tall = rng.integers(0, 256, (10, 8)).astype(np.uint8)
        close(decode_image(save(tmp_path, tall), GREY, resize=True), scaled(tall[2:8]))

    def test_shrinking_weighs_by_distance_in_whole_levels(self, tmp_path):
        """Against triangle weights in float64; each axis is rounded to a grey level."""
        pixels = rng.integers(0, 256, (18, 24)).astype(np.uint8)
        image = decode_image(save(tmp_path, pixels), GREY, resize=True)
        wanted = bilinear(pixels, 18, 24)
        assert np.abs(image[0].double().numpy() - (wanted / 127.5 - 1)).max() <= 1.01 / 127.5

    def test_resized_16_bit_keeps_its_precision(self, tmp_path):
        pixels = rng.integers(0, 65536, (18, 24)).astype(np.uint16)
        image = decode_image(save(tmp_path, pixels), GREY, resize=True)
        close(image, scaled(bilinear(pixels, 18, 24), 65535.0), atol=1.01 / 32767.5)

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

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_resized_and_turned_as_one_that_is_stored_upright(self, tmp_path, orientation):
        """A centred box that lies off the middle by half a pixel, mirrored with the picture."""
        exif = Image.Exif()
        exif[0x0112] = orientation
        pixels = rng.integers(0, 256, (13, 21)).astype(np.uint8)
        turned = save(tmp_path, pixels, exif=exif)
        upright = save(tmp_path, ImageOps.exif_transpose(Image.open(turned)), "y.png", exif=b"")
        image, wanted = (decode_image(path, GREY, resize=True) for path in (turned, upright))
        torch.testing.assert_close(image, wanted, atol=1.01 / 127.5, rtol=0)


def encoded(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(colour_pixels).save(buffer, kind)
    return buffer.getvalue()


def png_chunk(name: bytes, data: bytes) -> bytes:
    crc = struct.pack(">I", zlib.crc32(name + data))
    return struct.pack(">I", len(data)) + name + data + crc


def with_chunks(*chunks: bytes) -> bytes:
    """A PNG file with chunks behind its header."""
    data = encoded("PNG")
    return data[:33] + b"".join(chunks) + data[33:]


def with_segment(marker: int, content: bytes) -> bytes:
    """A JPEG file with a segment at its start."""
    data = encoded("JPEG")
    return (
        data[:2] + bytes([255, marker]) + struct.pack(">H", len(content) + 2) + content + data[2:]
    )


def odd_exif() -> bytes:
    """A resolution and an exposure of 0/0, in EXIF of big-endian TIFF."""
    entries = [(282, 5, 1, 50), (283, 5, 1, 50), (296, 3, 1, 2 << 16), (33434, 5, 1, 50)]
    table = b"".join(struct.pack(">HHII", *entry) for entry in entries)
    return b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 4) + table + bytes(12)


METADATA = {
    "rationals of 0/0": lambda: with_segment(0xE1, odd_exif()),
    "EXIF that breaks off": lambda: with_segment(0xE1, odd_exif()[:24]),
    "a profile that is none": lambda: with_segment(0xE2, b"ICC_PROFILE\0" + b"x" * 60_000),
    "a preview that is not there": lambda: with_segment(
        0xE2, b"MPF\0MM\0*" + struct.pack(">IH", 8, 60_000)
    ),
    "Photoshop's block that breaks off": lambda: with_segment(
        0xED, b"Photoshop 3.0\0" + b"8BIM\x04\xed\0\0"
    ),
    "much compressed text": lambda: with_chunks(
        png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(3 << 20)))
    ),
    "much text": lambda: with_chunks(*[png_chunk(b"tEXt", b"a\0" + b"b" * 2_000_000)] * 40),
    "text that is no UTF-8": lambda: with_chunks(png_chunk(b"iTXt", b"a\0\1\0\0\0" + b"\xff" * 40)),
    "a large profile": lambda: with_chunks(
        png_chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(3 << 20)))
    ),
    "a time with a wrong sum": lambda: with_chunks(png_chunk(b"tIME", bytes(7))[:-1] + b"?"),
    "EXIF that is none": lambda: with_chunks(png_chunk(b"eXIf", b"no TIFF")),
}


class TestMetadata:
    @pytest.mark.parametrize("make", METADATA.values(), ids=list(METADATA))
    def test_never_refuses_pixels(self, make):
        data = make()
        plain = encoded("PNG" if data[:1] == b"\x89" else "JPEG")
        assert len(data) > len(plain)
        torch.testing.assert_close(decode_image(data, COLOUR), decode_image(plain, COLOUR))

    def test_a_phones_jpeg_with_a_preview_is_its_picture(self, tmp_path):
        first, preview = Image.fromarray(colour_pixels), Image.new("RGB", (4, 3))
        first.save(tmp_path / "x.jpg", "MPO", save_all=True, append_images=[preview], quality=75)
        torch.testing.assert_close(
            decode_image(tmp_path / "x.jpg", COLOUR), decode_image(encoded("JPEG"), COLOUR)
        )


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
            with pytest.raises(UnfitImageError, match="is no file, or a link to nothing"):
                decode_image(tmp_path / name, COLOUR)

    def test_a_folder(self, tmp_path):
        with pytest.raises(UnfitImageError, match="is no file"):
            decode_image(tmp_path, COLOUR)

    def test_animation(self, tmp_path):
        frames = [Image.fromarray(colour_pixels), Image.fromarray(255 - colour_pixels)]
        frames[0].save(tmp_path / "x.webp", save_all=True, append_images=frames[1:], lossless=True)
        with pytest.raises(UnfitImageError, match="has several frames, not 1"):
            decode_image(tmp_path / "x.webp", COLOUR)

    @pytest.mark.parametrize(
        ("name", "data", "message"),
        [
            ("x.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 6\nshowpage\n", "PostScript"),
            ("x.jpg", b"\xc5\xd0\xd3\xc6" + bytes(40), "PostScript"),
            ("x.png", b"%PDF-1.4\n1 0 obj", "is a PDF file"),
            ("x.png", b"\n<!DOCTYPE HTML><html>404</html>", "is a web page"),
            ("x.png", b"SIMPLE  =                    T / FITS", "is not an image"),
            ("x.png", b"\x00\x00\x00\x20ftypheic\x00\x00", "HEIC.*pillow-heif"),
            ("x.png", b"\x00\x00\x00\x20ftypisom\x00\x00", "is not an image"),
            ("x.png", b"version https://git-lfs.github.com/spec/v1\n", "pointer of Git LFS"),
        ],
    )
    def test_what_it_is_in_place_of_a_picture(self, tmp_path, name, data, message):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UnfitImageError, match=message):
            decode_image(tmp_path / name, COLOUR)

    @pytest.mark.parametrize("options", [{}, {"resize": True}])
    def test_huge_pictures_are_refused_by_their_header(self, tmp_path, options):
        """Of such a file nothing but the header is there."""
        head = b"IHDR" + struct.pack(">IIBBBBB", 9400, 9400, 8, 2, 0, 0, 0)
        data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head
        data += struct.pack(">I", zlib.crc32(head)) + struct.pack(">I", 2**30) + b"IDAT"
        (tmp_path / "x.png").write_bytes(data)
        message = "has too many pixels: 9400x9400 take 353 MB"
        with pytest.raises(UnfitImageError, match=message):
            decode_image(tmp_path / "x.png", COLOUR, **options)

    def test_a_huge_file_is_not_read(self, tmp_path):
        with (tmp_path / "x.png").open("wb") as file:
            file.truncate(8 * 10**9)  # takes no room on the disk
        with (tmp_path / "x.png").open("rb") as file:
            with pytest.raises(UnfitImageError, match=r"is a file of 8\.0 GB"):
                decode_image(file, COLOUR)
            assert not file.closed

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
