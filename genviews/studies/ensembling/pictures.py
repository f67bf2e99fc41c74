"""Images worth looking at, with their views and what was predicted: fixed, broken, typical.

Fixed and broken images show the views that counted in the ensemble, and no others: a view of weight
0 has fixed nothing. The best and worst reconstructions show what the generator can and cannot say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from genviews.ensemble.bank import PredictionBank, ViewBank
from genviews.ensemble.choose import Picks, pick
from genviews.ensemble.combine import Evaluation, best_on_calibration
from genviews.ensemble.fill import conditioning_task, label_of
from genviews.ensemble.views import ViewSet
from genviews.studies.bench import Bench
from genviews.studies.blocks import Grid, Images, Picture

__all__ = ["pictures", "predicted"]

# Kind of picked image -> title of its block, and what is said where there is none.
_KINDS = {
    "fixed": ("Fixed by the ensemble", "The ensemble put no wrong prediction right."),
    "broke": ("Broken by the ensemble", "The ensemble put no right prediction wrong."),
    "best reconstruction": ("Best reconstructions", ""),
    "worst reconstruction": ("Worst reconstructions", ""),
    "typical": ("Typical images", ""),
}


_CAPTION = "Under each picture: the predicted class and the classifier's confidence."
_WEIGHTED = " Shown are the views that have weight in the ensemble."


@dataclass(frozen=True, kw_only=True, eq=False)
class _Gallery:
    """Picked test images, their views made again, and predictions.

    Args:
        picks: which images, and why each is shown.
        bank: predictions for the picked images, in their order.
        ensemble: the evaluation that "fixed" and "broke" are about.
        views: bank key -> the first views of each picked image, "image" and "reconstruction" among
            them.
        loss: (M,) of the inversions.
    """

    picks: Picks
    bank: PredictionBank
    ensemble: Evaluation
    views: Mapping[str, Float[Tensor, "M _ C H W"]]
    loss: Float[Tensor, " M"]


def pictures(
    bench: Bench,
    view_sets: Sequence[ViewSet],
    found: Sequence[Evaluation],
    test: ViewBank,
    *,
    images: int,
    views: int,
) -> list[Images]:
    """A block for each kind of image; that none was fixed or broken is news, too.

    "Fixed" and "broke" are about the ensemble that did best on calibration.

    Args:
        bench: generator, images and inversions.
        view_sets: to show; their views are made again.
        found: evaluations of one task, the single image first.
        test: predictions.
        images: most images.
        views: most views of a set.
    """
    gallery, blocks = _gallery(bench, view_sets, found, test, images, views), []
    for kind, (title, empty) in _KINDS.items():
        places = [i for i, k in enumerate(gallery.picks.kinds) if k == kind]
        if not places and not empty:
            continue
        judged, weighted = kind in ("fixed", "broke"), gallery.ensemble.weighted
        keys = [k for k in gallery.views if k in weighted or not judged]
        block = Images(
            title=title,
            grids=tuple(_grid(gallery, place, keys) for place in places),
            caption=empty if not places else _CAPTION + (_WEIGHTED if judged else ""),
            folded=not judged,
        )
        blocks.append(block)
    return blocks


def _gallery(
    bench: Bench,
    view_sets: Sequence[ViewSet],
    found: Sequence[Evaluation],
    test: ViewBank,
    images: int,
    views: int,
) -> _Gallery:
    ensembles = [e for e in found if e.method.weighing != "none"]
    best = best_on_calibration([e.row for e in ensembles])
    ensemble = next(e for e in ensembles if e.row is best)
    inverted, source, bank = bench.inversions("test"), bench.images("test"), test[best.task]
    picks = pick(found[0], ensemble, inverted.loss_of(bank.ids), images)
    rows = torch.tensor(picks.rows)
    asked = conditioning_task(bench.tasks, bench.kit.generator)
    ids = [bank.ids[row] for row in picks.rows]
    places = source.rows_of(ids)
    label = None
    if asked is not None:
        label = label_of(asked, bench.kit.generator, test[asked.name].get("image")[rows, 0])
    latents = inverted.select(places, ids)["latents"]
    made = bench.plan(view_sets, views).views(source.read(places).images, ids, latents, label)
    bank = bank.select(rows)
    return _Gallery(
        picks=picks,
        bank=bank,
        ensemble=ensemble,
        views={key: v[:, : min(views, bank.get(key).shape[1])].cpu() for key, v in made},
        loss=inverted.loss_of(ids),
    )


def _grid(gallery: _Gallery, place: int, keys: Sequence[str]) -> Grid:
    bank, proba = gallery.bank, gallery.ensemble.proba[gallery.picks.rows[place]]
    names, label = bank.class_names, int(bank.known_labels()[place])
    rows = ["image", *(key for key in keys if key != "image")]
    return Grid(
        title=f"Image {bank.ids[place]}: {names[label]}",
        text=f"Single image: {predicted(bank.probs('image')[place, 0], names)}. "
        f"Ensemble ({gallery.ensemble.row.name}): {predicted(proba, names)}. "
        f"Reconstruction loss {float(gallery.loss[place]):.4g}.",
        rows=tuple(row.replace("_", " ") for row in rows),
        pictures=tuple(
            tuple(
                Picture(
                    pixels=view,
                    caption=predicted(probs, names),
                    tone="right" if int(probs.argmax()) == label else "wrong",
                )
                for view, probs in zip(
                    gallery.views[key][place], bank.probs(key)[place], strict=False
                )
            )
            for key in rows
        ),
    )


def predicted(probs: Tensor, names: Sequence[str]) -> str:
    """The predicted class and its probability; never "100 %" for less than certainty."""
    value, guess = torch.max(probs, 0)
    share = ">99 %" if 0.995 <= float(value) < 1 else f"{100 * float(value):.0f} %"
    return f"{names[int(guess)]} {share}"
