"""Image tensors as pictures, and as PNG data URIs, so that a page needs no other file."""

from __future__ import annotations

import base64
import io

from jaxtyping import Float
from PIL import Image
from torch import Tensor

from genviews.report.pictures import to_picture

__all__ = ["png_data_uri"]


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
