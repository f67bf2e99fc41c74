"""A strip of pictures for a shift: clean, shifted, reconstruction, views, and answers to each."""

from __future__ import annotations

import torch

from genviews.classify.model import predict_logits
from genviews.ensemble.fill import conditioning_task, predicted_label
from genviews.ensemble.views import ViewSet
from genviews.perturb.base import Perturbation
from genviews.studies.bench import Bench
from genviews.studies.blocks import Grid, Images, Picture, Tone
from genviews.studies.ensembling.pictures import predicted
from genviews.studies.ensembling.under_shift import CLEAN

__all__ = ["strips"]

VIEWS = 4  # shown of each image


def strips(bench: Bench, own: Bench, name: str, perturbation: Perturbation, images: int) -> Images:
    """Some test images that could be read, with the views that were made of them.

    Args:
        bench: of clean images.
        own: of those that were measured.
        name: of the shift.
        perturbation: that makes the views.
        images: how many are shown, spread over the split.
    """
    source, task = own.images("test"), bench.tasks[0]
    rows = torch.linspace(0, len(source) - 1, min(images, len(source))).long().unique().tolist()
    batch, every = source.read(rows), bench.images("test")
    before = every.read(every.rows_of(batch.ids))
    kept = source.rows_of(batch.ids, rows)
    latents = own.inversions("test").select(kept, batch.ids)["latents"]
    generator, label = bench.kit.generator, None
    asked = conditioning_task(bench.tasks, generator)
    plan = own.plan([ViewSet(perturbation=perturbation)], VIEWS)
    shown = plan.shown(batch.images, batch.ids)
    if asked is not None:
        label = predicted_label(asked, generator, shown, bench.batch_size)
    made = dict(plan.views(batch.images, batch.ids, latents, label))
    first = {image: row for row, image in enumerate(before.ids)}
    labels = source.columns[task.labels].values[kept].tolist()
    grids = []
    for place, image in enumerate(batch.ids):
        pixels = [
            ("as shifted", made["image"][place]),
            ("reconstruction", made["reconstruction"][place]),
        ]
        if name != CLEAN and image in first:
            was = plan.shown(before.images[[first[image]]], [image])
            pixels.insert(0, ("clean", was))
        pixels.append(("views", made[perturbation.name][place]))
        pictures, columns = list[Picture](), list[str]()
        for word, views in pixels:
            said = task.answer(predict_logits(task.classifier, views[None])[0]).cpu().softmax(-1)
            for view, probs in zip(views.cpu(), said, strict=True):
                tone: Tone = "right" if int(probs.argmax()) == labels[place] else "wrong"
                caption = predicted(probs, task.class_names)
                pictures.append(Picture(pixels=view, caption=caption, tone=tone))
                columns.append("image" if name == CLEAN and word == "as shifted" else word)
        title = f"{image}: {task.class_names[labels[place]]}"
        grids.append(Grid(title=title, columns=tuple(columns), pictures=(tuple(pictures),)))
    return Images(
        title=f"What becomes of images: {name}",
        grids=tuple(grids),
        caption="Under each picture: the predicted class and the classifier's confidence.",
        folded=True,
    )
