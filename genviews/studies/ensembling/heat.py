"""A heat map of gains: white is nothing gained, red is better, blue is worse."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from genviews.studies.blocks import Grid, Images, Picture

__all__ = ["heat_maps"]

CELL = 12  # pixels of a side


def heat_maps(title: str, gains: Mapping[str, Float[Tensor, "X Y"]], caption: str) -> Images:
    """Maps side by side in one scale of colour, whose strongest is the largest gain or loss.

    Args:
        title: of the section.
        gains: name -> gains as shares; the first axis goes to the right, the second down.
        caption: what the axes are.
    """
    most = max(float(gain.abs().max()) for gain in gains.values()) or 1.0
    pictures = tuple(Picture(pixels=_colours(gain / most)) for gain in gains.values())
    return Images(
        title=title,
        grids=(Grid(columns=tuple(gains), pictures=(pictures,)),),
        caption=f"{caption} White: nothing gained; red: better; blue: worse; the strongest colour "
        f"is {100 * most:.2f} points.",
    )


def _colours(share: Float[Tensor, "X Y"]) -> Float[Tensor, "3 H W"]:
    share = share.T.clamp(-1, 1).float()
    fade, full = 1 - 2 * share.abs(), torch.ones_like(share)
    cells = torch.stack([full.where(share >= 0, fade), fade, full.where(share <= 0, fade)])
    return cells.repeat_interleave(CELL, 1).repeat_interleave(CELL, 2)
