"""Choose the images worth looking at.

Fixed and broken images come from the ensemble that did best on calibration; the best and worst
reconstructions show what the generator can and cannot say; typical ones keep the picture honest.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from genviews.ensemble.combine import Evaluation

__all__ = ["Picks", "pick"]


@dataclass(frozen=True, kw_only=True)
class Picks:
    """Rows of the test images to show, and why each is shown."""

    rows: tuple[int, ...]
    kinds: tuple[str, ...]


def pick(single: Evaluation, ensemble: Evaluation, loss: Float[Tensor, " N"], count: int) -> Picks:
    """Choose up to `count` images: fixed, broke, best and worst reconstructions, then typical ones.

    A third is for fixed images (the largest rise of confidence in the ensemble's answer first), a
    sixth each for broken ones, best and worst reconstructions; what is left over goes to images
    whose loss is nearest the median. No image is shown twice, and nothing is drawn by chance.

    Args:
        single: the classifier on the image alone.
        ensemble: what it is compared with.
        loss: inversion loss of each test image; images whose loss is not finite are not shown.
        count: number of images wanted.
    """
    loss = loss.cpu()  # predictions are there; inversions stay where they were made
    finite = torch.isfinite(loss)
    change = (ensemble.proba - single.proba).abs().amax(1)
    far = (loss - loss[finite].median()).abs() if bool(finite.any()) else loss
    sixth = max(1, count // 6)
    queues = (
        ("fixed", 2 * sixth, _ordered(-change, finite & ensemble.correct & ~single.correct)),
        ("broke", sixth, _ordered(-change, finite & single.correct & ~ensemble.correct)),
        ("best reconstruction", sixth, _ordered(loss, finite)),
        ("worst reconstruction", sixth, _ordered(-loss, finite)),
        ("typical", count, _ordered(far, finite)),
    )
    chosen: dict[int, str] = {}
    for kind, quota, rows in queues:
        fresh = [row for row in rows if row not in chosen]
        chosen.update(dict.fromkeys(fresh[: min(quota, count - len(chosen))], kind))
    return Picks(rows=tuple(chosen), kinds=tuple(chosen.values()))


def _ordered(key: Tensor, allowed: Tensor) -> Iterable[int]:
    """Rows that are allowed, smallest key first, equal keys in order."""
    order: list[int] = torch.argsort(key, stable=True).tolist()
    return [row for row in order if bool(allowed[row])]
