"""One image file, or a picture in memory -> a (C, H, W) tensor in [-1, 1], or the reason why not.

    HEADER -> is it a picture, of this size, that memory holds? -> PIXELS -> resize -> tensor

Nothing is converted in silence: an image that is not what the `ImageSpec` asks for is refused with
a reason, unless the caller asked for the conversion. Files are read as raster formats alone, by
what is in them and not by their name: nothing that a file holds starts a program (Ghostscript would
run a PostScript file) or reaches a network. Metadata never refuses pixels.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float
from PIL import EpsImagePlugin, Image, ImageChops, UnidentifiedImageError
from PIL.ExifTags import Base
from torch import Tensor

from genviews.checks import option, stands_for
from genviews.data.metadata import OpenFile, without_metadata
from genviews.types import ImageSpec, luma

__all__ = ["MOST_BYTES", "UnfitImageError", "decode_image", "decode_pixels", "no_programs"]

Picture = Path | bytes | OpenFile | Image.Image
"""A file, its bytes, or a picture in memory, which is upright: no EXIF orientation is applied."""

MOST_BYTES = 2**29
"""Of a file; a larger one is no picture of a size that is read."""

MOST_MEMORY = 2**28
"""Bytes that decoding may take: some 67 million pixels in colour."""

_RASTER = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM", "TGA", "JPEG2000", "ICO", "AVIF")
_PLUGIN = "HEIF"  # of pillow-heif, where the user has registered it

_BYTES = {"1": 2, "L": 1, "RGB": 4, "P": 5, "I;16": 6, "I;16B": 6, "I;16L": 6}
"""Mode -> bytes a pixel takes, as Pillow holds it and with the copy in another mode; 8 others."""

_WITH_ALPHA = 13  # where it is multiplied with the colours

_BESIDE = {"WEBP": 4, "AVIF": 6, "JPEG2000": 12, "GIF": 4, "TIFF": 4, "ICO": 4, "HEIF": 4}
"""Format -> bytes a pixel takes in its decoder, where that holds the whole picture."""

_ALPHA_MODES = ("LA", "La", "PA", "RGBA", "RGBa")
_OTHER_COLOUR = ("CMYK", "YCbCr", "LAB", "HSV")  # no RGB without a colour profile, or only roughly

# EXIF's orientation -> (rows and columns are exchanged, then x, then y runs the other way).
_TURNS = {2: (0, 1, 0), 3: (0, 1, 1), 4: (0, 0, 1), 5: (1, 0, 0), 6: (1, 1, 0), 7: (1, 1, 1)}
_TURNS |= {8: (1, 0, 1)}

_OTHERS = {
    b"%!PS": "is a PostScript file (EPS), no raster image",
    b"\xc5\xd0\xd3\xc6": "is a PostScript file (EPS), no raster image",
    b"%PDF": "is a PDF file, no raster image",
    b"<?xml": "is not an image but XML, such as SVG, which is no raster image",
    b"<svg": "is not an image but SVG, which is no raster image",
}
"""First bytes -> what it is that holds no picture."""

_NOT_CONVERTED = f"; {option('convert')} was not asked for"

Result = TypeVar("Result")


class UnfitImageError(ValueError):
    """A file that is no image, is damaged, or is not what was asked for; the text says why."""


class _DamagedError(UnfitImageError):
    """Something of it cannot be read, which may be metadata alone."""


def decode_image(
    picture: Picture, spec: ImageSpec, *, resize: bool = False, convert: bool = False
) -> Float[Tensor, "C H W"]:
    """Read one image as the spec asks for it.

    EXIF orientation is applied. Grey becomes three equal channels, and three equal channels become
    grey, as the spec has 3 channels or 1. 16-bit grey keeps its precision: value / 32767.5 - 1; all
    else is value / 127.5 - 1 (Pillow reads 16-bit colour as 8-bit). An alpha channel that is opaque
    everywhere is dropped.

    Args:
        picture: of a file the content counts, not the name. An open file is left open.
        spec: channels (1 or 3), height and width.
        resize: cut the largest centred box with the spec's aspect ratio and bring it to the spec's
            size (bilinear with antialiasing, which cannot overshoot the range), in whole grey
            levels; a smaller picture is enlarged.
        convert: turn colour into luminance (ITU-R 601) where the spec has one channel, lay
            transparent pixels over black, and turn CMYK and the like into RGB.

    Raises:
        UnfitImageError: anything that keeps this file from being such an image. What its header
            tells is refused before a pixel is decoded.
    """
    opened, turn = _loaded(picture, lambda one: _check_header(one, spec, resize))
    upright = opened.size[::-1] if turn[0] else opened.size
    if not resize and upright != (spec.width, spec.height):
        raise _wrong_size(upright, spec)
    pixels = _plain(opened, convert)
    if opened.size != (spec.width, spec.height) or turn[0]:
        box, size = _stored(_central_box(*upright, spec), upright, turn), (spec.width, spec.height)
        pixels = pixels.resize(size[::-1] if turn[0] else size, Image.Resampling.BILINEAR, box)
    return _spread(_upright(_to_tensor(pixels), turn), spec.channels, convert)


def decode_pixels(
    picture: Picture, channels: int, *, convert: bool = False
) -> Float[Tensor, "C h w"]:
    """Read one image at its own size; else as `decode_image`.

    Args:
        picture: see `decode_image`.
        channels: 1 or 3.
        convert: see `decode_image`.

    Raises:
        UnfitImageError: anything that keeps it from being such an image.
    """
    opened, turn = _loaded(picture, _check_header)
    return _spread(_upright(_to_tensor(_plain(opened, convert)), turn), channels, convert)


@contextmanager
def no_programs() -> Iterator[None]:
    """Let Pillow start no program while a `with` block runs code that opens pictures itself.

    Data sets of torchvision, and others, open files of any format; Pillow hands PostScript to
    Ghostscript, and to nothing else.
    """
    before, EpsImagePlugin.gs_binary = EpsImagePlugin.gs_binary, False
    try:
        yield
    finally:
        EpsImagePlugin.gs_binary = before


def _loaded(
    picture: Picture, check: Callable[[Image.Image], None]
) -> tuple[Image.Image, tuple[int, int, int]]:
    """The decoded picture, and how to turn it upright; `check` refuses it by its header."""
    if isinstance(picture, Image.Image):
        check(picture)
        with no_programs():  # it may be of any format, and not loaded yet
            _tried(picture.load)
        return picture, (0, 0, 0)
    file = _file(picture)
    try:
        opened = _from_file(file, check)
    except (_DamagedError, UnidentifiedImageError):
        bare = without_metadata(file)  # that may be what is damaged, or too much of it
        try:
            opened = _from_file(bare or file, check)
        except UnidentifiedImageError:
            raise UnfitImageError(_what_else(file)) from None
    return opened, _turn(opened)


def _file(picture: Path | bytes | OpenFile) -> OpenFile:
    if isinstance(picture, Path):
        if not picture.is_file():  # reading a pipe would wait for ever
            raise UnfitImageError("is no file, or a link to nothing")
        picture = _tried(picture.read_bytes)
    file = io.BytesIO(picture) if isinstance(picture, bytes) else picture
    size = _tried(lambda: file.seek(0, io.SEEK_END))
    if not size:
        raise UnfitImageError("is an empty file")
    if size > MOST_BYTES:
        most = f"pictures of up to {MOST_BYTES / 1e9:.1f} GB are read"
        raise UnfitImageError(f"is a file of {size / 1e9:.1f} GB; {most}")
    return file


def _from_file(file: OpenFile, check: Callable[[Image.Image], None]) -> Image.Image:
    formats = [*_RASTER, *(name for name in (_PLUGIN,) if name in Image.OPEN)]
    file.seek(0)
    opened = _tried(lambda: Image.open(file, formats=formats))
    check(opened)
    # A phone's JPEG may hold a preview, and an icon its sizes; those are no further pictures.
    if opened.format not in ("MPO", "ICO") and _tried(lambda: _has_more(opened)):
        raise UnfitImageError("has several frames, not 1")
    _tried(opened.load)
    return opened


def _tried(read: Callable[[], Result]) -> Result:
    """What Pillow answers, with its errors in our words."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of odd metadata, which is not used
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            return read()
        except UnidentifiedImageError:
            raise
        except MemoryError:
            raise UnfitImageError("takes more memory than there is") from None
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise UnfitImageError(f"has too many pixels ({error})") from None
        except Exception as error:  # decoders raise nearly anything on damaged data
            raise _DamagedError(f"is damaged or unreadable ({error})") from None


def _check_header(opened: Image.Image, spec: ImageSpec | None = None, resize: bool = False) -> None:
    """Refuse what memory does not hold, and another size than is wanted."""
    width, height = opened.size
    has_alpha = opened.mode in _ALPHA_MODES or "transparency" in opened.info
    each = _WITH_ALPHA if has_alpha else _BYTES.get(opened.mode, 8)
    each += _BESIDE.get(opened.format or "", 0)
    needed = width * height * (each + 6 * bool(opened.info.get("progressive")))
    if needed > MOST_MEMORY:
        raise UnfitImageError(
            f"has too many pixels: {width}x{height} take {needed / 1e6:.0f} MB to decode, and up "
            f"to {MOST_MEMORY / 1e6:.0f} MB are read; shrink it first"
        )
    if spec is None or resize:
        return
    if (spec.width, spec.height) not in ((width, height), (height, width)):
        raise _wrong_size(opened.size, spec)


def _has_more(opened: Image.Image) -> bool:
    try:
        opened.seek(1)
    except EOFError:
        return False
    return True


def _wrong_size(size: tuple[int, int], spec: ImageSpec) -> UnfitImageError:
    wanted = f"{spec.width}x{spec.height}"
    return UnfitImageError(
        f"is {size[0]}x{size[1]} pixels, not {wanted}; {option('resize')} was not asked for"
    )


def _turn(opened: Image.Image) -> tuple[int, int, int]:
    """How to turn a picture upright; an orientation that cannot be read is none."""
    try:
        found = _tried(lambda: opened.getexif().get(Base.Orientation))
    except UnfitImageError:
        return 0, 0, 0
    return _TURNS.get(found if isinstance(found, int) else 1, (0, 0, 0))


def _plain(picture: Image.Image, convert: bool) -> Image.Image:
    """The pixels as grey, colour, or 16-bit grey (mode I)."""
    mode = picture.mode
    if mode.startswith("I;16") or (mode == "I" and picture.format == "PNG"):
        if "transparency" in picture.info:
            raise UnfitImageError("has transparent 16-bit pixels")
        return picture.convert("I")
    if mode in ("I", "F"):
        raise UnfitImageError(f"has pixels of mode {mode!r}, whose range is not known")
    if mode in _ALPHA_MODES or "transparency" in picture.info:
        return _without_alpha(picture, convert)
    if mode in _OTHER_COLOUR and not convert:
        raise UnfitImageError(f"has {mode} colours{_NOT_CONVERTED}")
    if mode in ("L", "RGB"):
        return picture
    return picture.convert("L" if mode == "1" else "RGB")


def _without_alpha(picture: Image.Image, convert: bool) -> Image.Image:
    grey = picture.mode in ("L", "LA", "La", "1")
    full = picture if picture.mode == "RGBA" else picture.convert("RGBA")
    alpha, colours = full.getchannel("A"), "R" if grey else "RGB"
    if alpha.getextrema() == (255, 255):
        return full.getchannel("R") if grey else full.convert("RGB")
    if not convert:
        raise UnfitImageError(f"has transparent pixels{_NOT_CONVERTED}")
    bands = [ImageChops.multiply(full.getchannel(one), alpha) for one in colours]  # over black
    return Image.merge("L" if grey else "RGB", bands)


def _central_box(width: int, height: int, spec: ImageSpec) -> tuple[int, int, int, int]:
    """The largest centred box with the spec's aspect ratio: left, top, width and height."""
    scale = min(height / spec.height, width / spec.width)
    box_width = max(min(round(spec.width * scale), width), 1)
    box_height = max(min(round(spec.height * scale), height), 1)
    return (width - box_width) // 2, (height - box_height) // 2, box_width, box_height


def _stored(
    box: tuple[int, int, int, int], upright: tuple[int, int], turn: tuple[int, int, int]
) -> tuple[int, int, int, int]:
    """A box of the upright picture, see `_central_box`, in the stored one: its four sides.

    Resizing before turning copies few pixels.
    """
    left, top, width, height = box
    if turn[1]:
        left = upright[0] - left - width
    if turn[2]:
        top = upright[1] - top - height
    found = left, top, left + width, top + height
    return (top, left, top + height, left + width) if turn[0] else found


def _to_tensor(picture: Image.Image) -> Float[Tensor, "C H W"]:
    """1 or 3 channels in [-1, 1]."""
    half = 32767.5 if picture.mode == "I" else 127.5
    values = np.asarray(picture)
    channels = values[None] if values.ndim == 2 else values.transpose(2, 0, 1)
    found = torch.empty(channels.shape)
    for channel, one in zip(found, channels, strict=True):  # one by one: no copies of all in float
        channel.copy_(torch.from_numpy(np.array(one))).div_(half).sub_(1)
    return found


def _upright(pixels: Tensor, turn: tuple[int, int, int]) -> Tensor:
    if turn[0]:
        pixels = pixels.transpose(1, 2)
    axes = [axis for axis, runs_back in ((2, turn[1]), (1, turn[2])) if runs_back]
    return pixels.flip(axes).contiguous() if axes else pixels.contiguous()


def _spread(pixels: Tensor, channels: int, convert: bool) -> Tensor:
    if pixels.shape[0] == channels:
        return pixels
    if channels == 3:
        return pixels.expand(3, -1, -1).contiguous()
    if bool((pixels[1:] == pixels[:1]).all()):
        return pixels[:1]
    if not convert:
        raise UnfitImageError(f"is in colour, 1 channel is wanted{_NOT_CONVERTED}")
    return luma(pixels).clamp(-1, 1)


def _what_else(file: OpenFile) -> str:
    """What a file is that holds no image."""
    file.seek(0)
    start = file.read(64).removeprefix(b"\xef\xbb\xbf")
    if start[4:8] == b"ftyp" and start[8:12] in HEIC:
        return (
            "is a HEIC picture: register the plugin first (`pip install pillow-heif`, then "
            "`pillow_heif.register_heif_opener()`), or convert it to JPEG or PNG"
        )
    if start[4:8] == b"ftyp" and start[8:12] in AVIF:
        return "is an AVIF picture, which this Pillow was built without: convert it to PNG"
    if (told := stands_for(start)) is not None:
        return f"is {told}, not the image: fetch it, such as with `git lfs pull`"
    lowered = start.lstrip().lower()
    return next(
        (
            said
            for first, said in _OTHERS.items()
            if start.startswith(first) or lowered.startswith(first)
        ),
        "is not an image",
    )


HEIC = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
AVIF = (b"avif", b"avis")
