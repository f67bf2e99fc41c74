"""Choose the images worth looking at, and make their views again: what the report shows.

Fixed and broken images come from the ensemble that did best on calibration; the best and worst
reconstructions show what the generator can and cannot say; typical ones keep the picture honest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from genviews.ensemble.bank import PredictionBank
from genviews.ensemble.combine import Evaluation
from genviews.ensemble.result import Gallery
from genviews.ensemble.views import ViewSet, make_views
from genviews.generators.base import Generator

__all__ = ["Picks", "make_gallery", "pick"]


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


def make_gallery(
    picks: Picks,
    *,
    bank: PredictionBank,
    ensemble: Evaluation,
    generator: Generator,
    images: Float[Tensor, "N C H W"],
    latents: Float[Tensor, "N L D"],
    loss: Float[Tensor, " N"],
    view_sets: Sequence[ViewSet],
    num_views: int,
    seed: int,
    conditions: Int[Tensor, " N"] | None = None,
) -> Gallery:
    """Make the views of the picked images again and put them beside the bank's predictions.

    Args:
        picks: which images.
        bank: predictions on test.
        ensemble: the evaluation that "fixed" and "broke" are about.
        generator: renders the views.
        images: all test images.
        latents: of all test images.
        loss: of all test images.
        view_sets: of the bank, with the same seed.
        num_views: views shown of each set.
        seed: of the bank's views.
        conditions: predicted classes, for a conditional generator.
    """
    rows = torch.tensor(picks.rows)
    ids = [bank.ids[i] for i in picks.rows]
    some = bank.select(rows)
    views = make_views(
        generator,
        images[rows],
        ids,
        latents[rows],
        view_sets,
        num_views=num_views,
        seed=seed,
        conditions=None if conditions is None else conditions[rows],
    )
    shown = {view_set.name: views[view_set.name][:, :num_views].cpu() for view_set in view_sets}
    return Gallery(
        ids=tuple(ids),
        images=images[rows].cpu(),
        reconstructions=views["reconstruction"][:, 0].cpu(),
        views=shown,
        image_probs=some.probs("image")[:, 0].float(),
        reconstruction_probs=some.probs("reconstruction")[:, 0].float(),
        view_probs={key: some.probs(key)[:, : v.shape[1]].float() for key, v in shown.items()},
        ensemble_probs=ensemble.proba[rows].float(),
        labels=some.labels,
        kind=picks.kinds,
        loss=loss[rows].cpu(),
        ensemble=ensemble.row.name,
    )


def _ordered(key: Tensor, allowed: Tensor) -> Iterable[int]:
    """Rows that are allowed, smallest key first, equal keys in order."""
    order: list[int] = torch.argsort(key, stable=True).tolist()
    return [row for row in order if bool(allowed[row])]
