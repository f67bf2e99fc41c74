"""A strip of pictures for a shift: clean, shifted, reconstruction, views, and answers to each."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from genviews.classify.model import predict_logits
from genviews.ensemble.fill import conditioning_task, predicted_label
from genviews.ensemble.views import ViewSet
from genviews.robustness.shifted import Shift
from genviews.studies.bench import Bench
from genviews.studies.blocks import Grid, Images, Picture, Tone
from genviews.studies.ensembling.pictures import predicted
from genviews.studies.ensembling.under_shift import CLEAN, Rivals
from genviews.studies.under import under

__all__ = ["strips"]

VIEWS = 4  # shown of each image


def strips(
    bench: Bench, rivals: Rivals, shift: Shift | None, counts: Mapping[str, int], images: int
) -> Images:
    """The first test images that could be read, with the views that were made of them.

    Args:
        bench: of clean images.
        rivals: whose generated views are shown.
        shift: None for none.
        counts: of splits, how many images were measured.
        images: how many are shown, spread over the split.
    """
    own, clean = under(bench, shift, counts=counts), under(bench, None, counts=counts)
    source, task = own.images("test"), bench.tasks[0]
    rows = torch.linspace(0, len(source) - 1, min(images, len(source))).long().unique().tolist()
    batch, before = source.read(rows), clean.images("test").read(rows)
    kept = source.rows_of(batch.ids, rows)
    latents = own.inversions("test").select(kept, batch.ids)["latents"]
    generator, label = bench.kit.generator, None
    asked = conditioning_task(bench.tasks, generator)
    plan = own.plan([ViewSet(perturbation=rivals.perturbation)], VIEWS)
    shown = plan.shown(batch.images, batch.ids)
    if asked is not None:
        label = predicted_label(asked, generator, shown, bench.batch_size)
    made = dict(plan.views(batch.images, batch.ids, latents, label))
    first = {name: row for row, name in enumerate(before.ids)}
    labels = source.columns[task.labels].values[kept].tolist()
    grids = []
    for place, name in enumerate(batch.ids):
        pixels = [
            ("as shifted", made["image"][place]),
            ("reconstruction", made["reconstruction"][place]),
        ]
        if shift is not None and name in first:
            was = plan.shown(before.images[[first[name]]], [name])
            pixels.insert(0, ("clean", was))
        pixels.append(("views", made[rivals.views][place]))
        pictures, columns = list[Picture](), list[str]()
        for word, views in pixels:
            said = task.answer(predict_logits(task.classifier, views)).cpu().softmax(-1)
            for view, probs in zip(views.cpu(), said, strict=True):
                tone: Tone = "right" if int(probs.argmax()) == labels[place] else "wrong"
                caption = predicted(probs, task.class_names)
                pictures.append(Picture(pixels=view, caption=caption, tone=tone))
                columns.append("image" if shift is None and word == "as shifted" else word)
        title = f"{name}: {task.class_names[labels[place]]}"
        grids.append(Grid(title=title, columns=tuple(columns), pictures=(tuple(pictures),)))
    return Images(
        title=f"What becomes of images: {CLEAN if shift is None else shift.name}",
        grids=tuple(grids),
        caption="Under each picture: the predicted class and the classifier's confidence.",
        folded=True,
    )
