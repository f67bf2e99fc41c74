"""Banks of photos: read some, invert them, show their views to the classifier, keep its answers.

    PHOTOS -> invert -> latent -> perturb -> render -> classify -> BANKS -> weigh

No more photos than the plan has in a batch are in memory at once. One that has no answer is in no
bank, and one that was given several times is asked about once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from genviews.classify.model import Classifier
from genviews.classify.task import Task
from genviews.data.split import SplitName
from genviews.ensemble.bank import PredictionBank
from genviews.ensemble.fill import (
    answered,
    refuse_silence,
    rendered_label,
    view_logits,
)
from genviews.ensemble.photos import Photos, Read
from genviews.ensemble.views import ViewPlan
from genviews.invert.inverter import Inverter
from genviews.invert.optimize import invert
from genviews.signature import checked
from genviews.types import Progress, Status, silent
from genviews.work import Tell

__all__ = ["PhotoBank", "joined_bank", "photo_banks"]


@dataclass(frozen=True, kw_only=True, eq=False)
class PhotoBank:
    """What is said of some photos.

    Args:
        rows: of the photos.
        bank: holds them in this order.
        notes: id -> why the answer to the image stands for those to its views.
        redrawn: how many views of the photos were not finite, and drawn again.
    """

    rows: list[int]
    bank: PredictionBank
    notes: Mapping[str, str]
    redrawn: int = 0


@checked
def photo_banks(
    photos: Photos,
    classifier: Classifier,
    plan: ViewPlan,
    inverter: Inverter | None,
    *,
    split: SplitName,
    progress: Progress | None = None,
) -> Iterator[PhotoBank]:
    """Yield a bank of up to `plan.batch_size` photos at a time, in their order.

    Args:
        photos: those with equal ids are one.
        classifier: is asked.
        plan: the views, with a generator, on whose device the work is done.
        inverter: finds the latents; None leaves out all that the generator makes.
        split: see `PredictionBank`.
        progress: called with ("calibrate" or "predict", "images", done, all).
    """
    task, rows = Task(name="classifier", classifier=classifier), photos.rows
    assert plan.generator is not None
    place = plan.generator.place
    shown = plan
    if inverter is None:
        sets = tuple(views for views in plan.view_sets if views.perturbation is None)
        shown = replace(plan, generator=None, view_sets=sets)
    stage = "calibrate" if split == "calibration" else "predict"
    tell = partial(progress or silent, stage, "images")

    def halfway(before: int, done: int) -> None:
        tell(before + done // 2, len(rows))  # inversion is half of the work

    tell(0, len(rows))
    for start in range(0, len(rows), plan.batch_size):
        part = photos.read(rows[start : start + plan.batch_size])
        if part.rows:
            part = replace(part, images=place(part.images))
            ids = [photos.ids[row] for row in part.rows]
            latents, failed = None, torch.zeros_like(part.bad)
            if inverter is not None:
                done = partial(halfway, start)
                latents, failed = _inverted(part, ids, task, plan, inverter, done)
            redrawn: list[int] = []
            told = redrawn.append
            said = view_logits([task], shown, part.images, ids, latents, redrawn=told)
            kept = answered(said, bad=part.bad, failed=failed)
            if kept.rows:
                bank = PredictionBank(
                    ids=tuple(ids[place] for place in kept.rows),
                    labels=None,
                    class_names=task.class_names,
                    split=split,
                    logits=kept.logits[0],
                    meta=shown.facts,
                )
                yield PhotoBank(
                    rows=[part.rows[place] for place in kept.rows],
                    bank=bank,
                    notes={ids[place]: why for place, why in kept.plain.items()},
                    redrawn=sum(redrawn),
                )
        tell(min(start + plan.batch_size, len(rows)), len(rows))


def _inverted(
    part: Read, ids: list[str], task: Task, plan: ViewPlan, inverter: Inverter, tell: Tell
) -> tuple[Float[Tensor, "n L D"], Bool[Tensor, " n"]]:
    """Latents, and where the inversion failed."""
    generator = plan.generator
    assert generator is not None
    shown = plan.shown(part.images, ids)
    found = invert(
        generator,
        part.images,
        part.masks,
        inverter=inverter,
        label=rendered_label([task], generator, shown, batch_size=plan.batch_size),
        batch_size=plan.batch_size,
        strictly=True,
        rows=part.rows,
        progress=lambda stage, unit, done, total: tell(done),
    )
    return found.latents, (found.status == Status.FAILED).cpu()


def joined_bank(
    photos: Photos, banks: Iterable[PhotoBank], labels: Int[Tensor, " N"] | None = None
) -> PredictionBank:
    """One bank of all photos that have an answer; one that comes again has a line of its own.

    Raises:
        ValueError: no photo has an answer.
    """
    parts = list(banks)
    if not parts:
        refuse_silence()
    place = {row: place for place, row in enumerate(row for part in parts for row in part.rows)}
    copies, taken = photos.copies, set(photos.ids)
    rows = [row for row, original in enumerate(copies) if original in place]
    chosen = [place[copies[row]] for row in rows]
    ids = [photos.ids[row] for row in rows]
    for at, row in enumerate(rows):
        while copies[row] != row and ids[at] in taken:
            ids[at] += f"#{row}"
    whole = PredictionBank.concatenate([part.bank for part in parts])
    return replace(
        whole,
        ids=tuple(ids),
        labels=None if labels is None else labels[rows],
        logits={key: logits[chosen] for key, logits in whole.logits.items()},
    )
