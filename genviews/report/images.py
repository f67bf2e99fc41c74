"""Image tensors as pictures, and as PNG data URIs, so that a page needs no other file."""

from __future__ import annotations

import base64
import io

import numpy as np
from jaxtyping import Float
from PIL import Image
from torch import Tensor

__all__ = ["png_data_uri", "tile_size", "to_picture"]

_SMALL, _LARGE = 96, 256  # pixels of a tile's longest side, see `tile_size`


def to_picture(image: Float[Tensor, "C H W"]) -> Image.Image:
    """Return the picture with 8 bits a channel of an image in [-1, 1]; see `png_data_uri`."""
    array = image.detach().cpu().float().nan_to_num(0.0).clamp(-1.0, 1.0).numpy()
    pixels = np.rint((array + 1.0) * 127.5).astype(np.uint8).transpose(1, 2, 0)
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def tile_size(width: int, height: int) -> tuple[int, int]:
    """Return width and height of a tile of a sheet for a picture of this size.

    A small picture is enlarged by a whole number, to 96 pixels at most, so that its pixels stay
    squares; a large one is reduced to 256 (both chosen by us).

    Example:
        >>> tile_size(32, 32), tile_size(100, 80), tile_size(1024, 512)
        ((96, 96), (100, 80), (256, 128))
    """
    longest = max(width, height)
    scale = min(max(1, _SMALL // longest), _LARGE / longest)
    return max(1, round(scale * width)), max(1, round(scale * height))


def png_data_uri(image: Float[Tensor, "C H W"], *, largest: int = 128) -> str:
    """Encode one image as `data:image/png;base64,...`.

    Small images keep their pixels, and the page enlarges them with `image-rendering: pixelated`;
    large ones are reduced, or a page of 1024-pixel views would weigh hundreds of megabytes.

    Args:
        image: (C, H, W) in [-1, 1]; values outside are clamped, what is not a number becomes
            mid-grey. One channel is grey, two grey with alpha, three RGB, four RGBA.
        largest: longest side of the encoded image in pixels (chosen by us: tiles are shown at 88).
    """
    picture = to_picture(image)
    if max(picture.size) > largest:
        picture.thumbnail((largest, largest), Image.Resampling.BOX)
    out = io.BytesIO()
    picture.save(out, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()
