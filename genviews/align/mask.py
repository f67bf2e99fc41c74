"""Which pixels of an aligned image are known: a matter of geometry, never of colour.

A pixel of the output is known where its centre lies inside the source image. Colour says nothing:
black, grey and white pixels of a photo are as known as any other.

Differs: the code released by Chai et al. guesses the mask of aligned cats from the picture (red
channel near mid-grey = unknown), which hides grey pixels of the cat and keeps the black fill.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from genviews.align.affine import Affine

__all__ = ["hide_unknown", "known_pixels", "pixels_within"]


def known_pixels(
    to_source: Affine, size: tuple[int, int], source_size: tuple[int, int]
) -> Bool[Tensor, "H W"]:
    """Return, for each pixel of an output of `size`, whether its centre is in the source image.

    Args:
        to_source: continuous positions in the output -> positions in the source image.
        size: (H, W) of the output.
        source_size: (height, width) of the source, which covers [0, width) x [0, height).

    Returns:
        A mask on the CPU.
    """
    x, y = to_source.of_pixels(size)
    return (x >= 0) & (x < source_size[1]) & (y >= 0) & (y < source_size[0])


def pixels_within(
    to_output: Affine, size: tuple[int, int], mask: Float[Tensor, "1 H W"]
) -> Bool[Tensor, "h w"]:
    """Return, for each pixel of a source of `size`, whether it lies in a known output pixel.

    Args:
        to_output: continuous positions in the source -> positions in the output.
        size: (h, w) of the source.
        mask: 1 = known, of the output's size.

    Returns:
        A mask on the device of `mask`.
    """
    height, width = mask.shape[1:]
    x, y = to_output.of_pixels(size)
    inside = known_pixels(to_output, size, (height, width)).to(mask.device)
    rows = y.floor().clamp(0, height - 1).to(device=mask.device, dtype=torch.int64)
    columns = x.floor().clamp(0, width - 1).to(device=mask.device, dtype=torch.int64)
    return inside & (mask[0, rows, columns] > 0)


def hide_unknown(
    image: Float[Tensor, "C H W"], known: Bool[Tensor, "H W"]
) -> Float[Tensor, "C H W"]:
    """Return the image with every unknown pixel set to 0, whatever it held (NaN too)."""
    return torch.where(known.to(image.device), image, image.new_zeros(()))
