"""Views that are no pictures, drawn again: a generator may give NaN or inf for some latents.

Such a view is never stored, shown or averaged: it is drawn again, from a stream of its own for each
attempt, until it is finite. So a view stays a function of its seed, sample and place alone, and
what is drawn is the same distribution, on the latents that the generator can render.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from genviews.checks import fail
from genviews.signature import checked

__all__ = ["REDRAWN", "check_most_finite", "finite_views", "redraw"]

ATTEMPTS = 16
REDRAWN = "views that were not finite and drawn again"
"""Key of how many there were, beside what is kept."""

ENOUGH = 32  # views that say whether most are not finite

Views = tuple[Float[Tensor, "b K L D"], Float[Tensor, "b K C H W"]]
Again = Callable[[list[int], int], Views]
"""Draws and renders all views of some rows again: rows, attempt -> latents, images."""


@checked
def finite_views(images: Float[Tensor, "B K C H W"]) -> Bool[Tensor, "B K"]:
    """Whether each view is finite."""
    # A sum is not finite where a value is not; it takes one pass.
    return images.flatten(2).sum(2, dtype=torch.float32).isfinite()


@checked
def redraw(
    latents: Float[Tensor, "B K L D"], images: Float[Tensor, "B K C H W"], again: Again
) -> tuple[int, Bool[Tensor, "B K"]]:
    """Replace views that are not finite, in place.

    Returns:
        How many were not finite, and which still are not after 16 attempts.
    """
    good = finite_views(images)
    broken = int((~good).sum())
    for attempt in range(1, ATTEMPTS + 1):
        rows = (~good).any(1).nonzero().flatten().tolist()
        if not rows:
            break
        found_latents, found_images = again(rows, attempt)
        taken = ~good[rows] & finite_views(found_images)
        row, view = taken.nonzero(as_tuple=True)
        place = torch.tensor(rows, device=row.device)[row]
        latents[place, view] = found_latents[row, view]
        images[place, view] = found_images[row, view].to(images)
        good[place, view] = True
    return broken, ~good


def check_most_finite(broken: int, left: int, total: int) -> None:
    """Raise ValueError where most of the views are not finite, or some still after redrawing."""
    if left or (total >= ENOUGH and broken > total / 2):
        fail(
            "views of the generator",
            expected="finite images",
            got=f"nan or inf in {broken} of {total}, and in {left} drawn {ATTEMPTS} times again",
            remedy="mend the generator, or its weights; half precision may overflow, and a smaller "
            "strength of the views stays nearer to latents that it can render",
        )
