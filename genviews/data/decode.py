"""One image file, or a picture in memory -> a (C, H, W) tensor in [-1, 1], or the reason why not.

Nothing is converted in silence: an image that is not what the `ImageSpec` asks for is refused with
a reason, unless the caller asked for the conversion.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.nn.functional import interpolate

from genviews.types import ImageSpec

__all__ = ["UnfitImageError", "decode_image", "decode_pixels", "fit_pixels"]

Picture = Path | bytes | Image.Image
"""A file, its bytes, or a picture in memory, which is upright: no EXIF orientation is applied."""

_ALPHA_MODES = ("LA", "La", "PA", "RGBA", "RGBa")
_OTHER_COLOUR = ("CMYK", "YCbCr", "LAB", "HSV")  # no RGB without a colour profile, or only roughly


class UnfitImageError(ValueError):
    """A file that is no image, is damaged, or is not what was asked for; the text says why."""


def decode_image(
    picture: Picture, spec: ImageSpec, *, resize: bool = False, convert: bool = False
) -> Float[Tensor, "C H W"]:
    """Read one image as the spec asks for it.

    EXIF orientation is applied. Grey becomes three equal channels, and three equal channels become
    grey, as the spec has 3 channels or 1. 16-bit grey keeps its precision: value / 32767.5 - 1; all
    else is value / 127.5 - 1 (Pillow reads 16-bit colour as 8-bit). An alpha channel that is opaque
    everywhere is dropped.

    Args:
        picture: of a file the content counts, not the name.
        spec: channels (1 or 3), height and width.
        resize: cut the largest centred box with the spec's aspect ratio and shrink it (bilinear
            with antialiasing, which cannot overshoot the range). Images are never enlarged.
        convert: turn colour into luminance (ITU-R 601) where the spec has one channel, lay
            transparent pixels over black, and turn CMYK and the like into RGB.

    Raises:
        UnfitImageError: anything that keeps this file from being such an image.
    """
    return fit_pixels(decode_pixels(picture, spec.channels, convert=convert), spec, resize=resize)


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
    if isinstance(picture, Image.Image):
        opened, file_format = picture, picture.format
    else:
        opened, file_format = _open(picture)
    return _spread(_pixels(opened, file_format, convert), channels, convert)


def fit_pixels(
    pixels: Float[Tensor, "C h w"], spec: ImageSpec, *, resize: bool = False
) -> Float[Tensor, "C H W"]:
    """Return the pixels at the size that the spec asks for.

    Args:
        pixels: as many channels as the spec has.
        spec: height and width.
        resize: see `decode_image`.

    Raises:
        UnfitImageError: another size and `resize` was not asked for, or too small.
    """
    if pixels.shape == spec.shape:
        return pixels
    height, width = pixels.shape[1:]
    if not resize:
        wanted = f"{spec.width}x{spec.height}"
        raise UnfitImageError(
            f"is {width}x{height} pixels, not {wanted} (resize was not asked for)"
        )
    return _shrink(pixels, spec)


def _open(file: Path | bytes) -> tuple[Image.Image, str | None]:
    """Return the upright picture and the name of its file format."""
    empty = not file if isinstance(file, bytes) else file.is_file() and not file.stat().st_size
    if empty:
        raise UnfitImageError("is an empty file")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of odd metadata, which is not used
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file) as picture:
                frames = getattr(picture, "n_frames", 1)
                file_format = picture.format
                picture.load()
                upright = ImageOps.exif_transpose(picture)
        except UnidentifiedImageError:
            raise UnfitImageError(_what_else(file)) from None
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise UnfitImageError(f"has too many pixels ({error})") from None
        except Exception as error:  # decoders raise nearly anything on damaged data
            raise UnfitImageError(f"is damaged or unreadable ({error})") from None
    if frames > 1:
        raise UnfitImageError(f"has {frames} frames, not 1")
    return upright, file_format


def _what_else(file: Path | bytes) -> str:
    """What a file is that holds no image."""
    start = file[:40] if isinstance(file, bytes) else b""
    if isinstance(file, Path):
        with file.open("rb") as opened:
            start = opened.read(40)
    if start.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS, not the image: fetch it with `git lfs pull`"
    return "is not an image"


def _pixels(picture: Image.Image, file_format: str | None, convert: bool) -> Float[Tensor, "C H W"]:
    """Return 1 or 3 channels, whichever the file has, in [-1, 1]."""
    mode = picture.mode
    if mode.startswith("I;16") or (mode == "I" and file_format == "PNG"):
        if "transparency" in picture.info:
            raise UnfitImageError("has transparent 16-bit pixels")
        return _to_tensor(np.asarray(picture), 65535.0)
    if mode in ("I", "F"):
        raise UnfitImageError(f"has pixels of mode {mode!r}, whose range is not known")
    if mode in _ALPHA_MODES or "transparency" in picture.info:
        picture = _without_alpha(picture, convert)
    elif mode in _OTHER_COLOUR and not convert:
        raise UnfitImageError(f"has {mode} colours (conversion was not asked for)")
    if picture.mode not in ("L", "RGB"):
        picture = picture.convert("L" if picture.mode == "1" else "RGB")
    return _to_tensor(np.asarray(picture), 255.0)


def _without_alpha(picture: Image.Image, convert: bool) -> Image.Image:
    grey = picture.mode in ("L", "LA", "La", "1")
    full = picture.convert("RGBA")
    if full.getchannel("A").getextrema() != (255, 255):
        if not convert:
            raise UnfitImageError("has transparent pixels (conversion was not asked for)")
        full = Image.alpha_composite(Image.new("RGBA", full.size, (0, 0, 0, 255)), full)
    return full.getchannel("R") if grey else full.convert("RGB")


def _to_tensor(values: np.ndarray, top: float) -> Tensor:
    x = torch.from_numpy(values.astype(np.float32)) / (top / 2) - 1
    return x[None] if x.ndim == 2 else x.permute(2, 0, 1).contiguous()


def _spread(pixels: Tensor, channels: int, convert: bool) -> Tensor:
    if pixels.shape[0] == channels:
        return pixels
    if channels == 3:
        return pixels.expand(3, -1, -1).contiguous()
    if bool((pixels[1:] == pixels[:1]).all()):
        return pixels[:1]
    if not convert:
        raise UnfitImageError("is in colour, 1 channel is wanted (conversion was not asked for)")
    weights = pixels.new_tensor([0.299, 0.587, 0.114])[:, None, None]
    return (pixels * weights).sum(0, keepdim=True).clamp(-1, 1)


def _shrink(pixels: Tensor, spec: ImageSpec) -> Tensor:
    height, width = pixels.shape[1:]
    scale = min(height / spec.height, width / spec.width)
    if scale < 1:
        wanted = f"{spec.width}x{spec.height}"
        raise UnfitImageError(
            f"is too small: {width}x{height} pixels, at least {wanted} are needed"
        )
    box_height, box_width = round(spec.height * scale), round(spec.width * scale)
    top, left = (height - box_height) // 2, (width - box_width) // 2
    box = pixels[:, top : top + box_height, left : left + box_width]
    size = (spec.height, spec.width)
    return interpolate(box[None], size, mode="bilinear", antialias=True)[0].clamp(-1, 1)
