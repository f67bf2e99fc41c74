"""Fill a view bank: make every view once, show it once to every classifier, keep the logits.

    IMAGES, LATENTS -> perturb -> render -> classify -> LOGITS -> weigh

`view_logits` does so for images in memory. `fill_from_source` does it for a source of images, shard
by shard, with the same result: images are read, and latents with them, a shard at a time; memory
holds a shard's images and every image's logits. In a folder logits are kept under a key of
everything that they depend on, so that a killed run goes on, and the same study started twice is
two workers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from genviews.checks import (
    check_different,
    check_each,
    check_finite,
    check_given,
    fail,
    finite_rows,
    first_reasons,
    option,
)
from genviews.classify.model import predict_logits
from genviews.classify.task import Task, task_classifiers
from genviews.data.source import ImageSource
from genviews.data.split import SplitName
from genviews.engine import Engine
from genviews.ensemble.bank import ViewBank
from genviews.ensemble.views import ViewPlan
from genviews.generators.base import Generator
from genviews.identity import identify, key
from genviews.invert.store import InversionStore
from genviews.memory import images_in_shard
from genviews.perturb.redraw import REDRAWN
from genviews.shard import join_shards
from genviews.signature import checked
from genviews.store import MemoryStore, Shard, ShardStore
from genviews.types import Progress, Status, check_shape
from genviews.user_code import GUIDE
from genviews.work import Tell, run_shards

__all__ = [
    "NO_ANSWER",
    "Answered",
    "answered",
    "conditioning_task",
    "fill_from_source",
    "label_of",
    "refuse_silence",
    "rendered_label",
    "view_logits",
]

NO_ANSWER = "has no answer that is a number"
"""Why an image is left out."""

PLAIN = "a view has no answer that is a number: that to the image stands for those to its views"
NOT_INVERTED = "could not be inverted: the answer to the image stands for those to its views"

SHARD = 250  # images, or fewer where they are large


@checked
def view_logits(
    tasks: Sequence[Task],
    plan: ViewPlan,
    images: Float[Tensor, "N C H W"],
    ids: Sequence[str],
    latents: Float[Tensor, "N L D"] | None = None,
    *,
    tell: Callable[[int, int], None] = lambda done, total: None,
    redrawn: Callable[[int], None] = lambda count: None,
) -> tuple[dict[str, Tensor], ...]:
    """Make the views of images once and ask each of `task_classifiers(tasks)` about them.

    A conditional generator mixes styles of the class that is predicted for the image. A rendered
    view serves all tasks.

    Args:
        tasks: what is asked of each view, all for images of one size.
        plan: the views to make.
        images: in [-1, 1].
        ids: N different ids; they seed the views.
        latents: of the images, by inversion with the plan's generator; None where it has none.
        tell: called with (images done, N).
        redrawn: see `ViewPlan.blocks`.

    Returns:
        Of each classifier (N, K, O) logits on the CPU: "image", "reconstruction" (given a
        generator) and each view set. They may hold numbers that are not finite.

    Raises:
        ValueError: numbers of images, ids and latents that do not fit, pixels or latents that are
            not finite, or a conditional generator of classes that no task tells apart.
    """
    classifiers = task_classifiers(tasks)
    _check_inputs(plan, images, ids, latents)
    asked = None if plan.generator is None else conditioning_task(tasks, plan.generator)
    step = max(1, plan.batch_size // plan.num_views)
    # Of each classifier: key -> first row -> blocks of views.
    logits: list[dict[str, dict[int, list[Tensor]]]] = [defaultdict(dict) for _ in classifiers]
    tell(0, len(ids))
    for start in range(0, len(ids), step):
        rows = slice(start, start + step)
        part = images[rows]
        own = None if latents is None else latents[rows]
        label = None
        if asked is not None and plan.generator is not None:
            shown = plan.shown(part, ids[rows])
            label = predicted_label(asked, plan.generator, shown, plan.batch_size)
        for name, views in plan.blocks(part, ids[rows], own, label, redrawn=redrawn):
            for classifier, found in zip(classifiers, logits, strict=True):
                said = predict_logits(classifier, views, batch_size=plan.batch_size).cpu()
                found[name].setdefault(start, []).append(said)
        tell(min(start + step, len(ids)), len(ids))
    return tuple({name: _in_order(parts) for name, parts in own.items()} for own in logits)


def _in_order(parts: Mapping[int, Sequence[Tensor]]) -> Tensor:
    """Blocks of views side by side, and parts of the images one below the other."""
    return torch.cat([torch.cat(list(blocks), 1) for blocks in parts.values()])


@dataclass(frozen=True, kw_only=True, eq=False)
class Answered:
    """The answers that can be used.

    Args:
        rows: of the images that have one.
        logits: of these, all finite, as `view_logits` has them.
        plain: those of the rows for whose views the image's logits stand, and why.
    """

    rows: list[int]
    logits: tuple[dict[str, Tensor], ...]
    plain: dict[int, str]


def answered(
    logits: Sequence[Mapping[str, Tensor]],
    *,
    bad: Bool[Tensor, " n"] | None = None,
    failed: Bool[Tensor, " n"] | None = None,
) -> Answered:
    """Keep what is finite, so that one image never fails the others.

    An image whose own logits are not finite has no answer. Where those of a view are not, or the
    inversion failed, the image's logits stand for those of all its views: whatever weighs them says
    what the classifier says of the image.

    Args:
        logits: of each classifier (n, K, Y) by key, "image" among them.
        bad: images that are no images; None: none.
        failed: images whose inversion failed; None: none.
    """
    finite = [{k: finite_rows(v) for k, v in own.items()} for own in logits]
    none = torch.zeros_like(finite[0]["image"])
    good = torch.stack([own["image"] for own in finite]).all(0) & ~(none if bad is None else bad)
    usable = [torch.stack(list(own.values())).all(0) for own in finite]
    lost = none if failed is None else failed
    kept = [whole & ~lost for whole in usable]
    rows = good.nonzero().flatten()
    silent = (good & ~torch.stack(kept).all(0)).nonzero().flatten().tolist()
    return Answered(
        rows=rows.tolist(),
        logits=tuple(
            {k: torch.where(whole[:, None, None], v, own["image"])[rows] for k, v in own.items()}
            for own, whole in zip(logits, kept, strict=True)
        ),
        plain={row: NOT_INVERTED if lost[row] else PLAIN for row in silent},
    )


def refuse_silence(notes: Mapping[str, str] | None = None) -> NoReturn:
    """Raise the ValueError for images of which none has an answer, with the first reasons."""
    more = f"{option('resize')} and {option('convert')} accept more"
    remedy = f"check the files ({more}), and what the classifier answers"
    got = f"none: {first_reasons(notes.items())}" if notes else "none"
    fail("images", expected="at least one with an answer", got=got, remedy=remedy)


@checked
def fill_from_source(
    tasks: Sequence[Task],
    plan: ViewPlan,
    source: ImageSource,
    latents: InversionStore | Float[Tensor, "N L D"] | None = None,
    labels: Mapping[str, Int[Tensor, " N"]] | None = None,
    *,
    split: SplitName,
    rows: Sequence[int] | None = None,
    folder: Path | str | None = None,
    engine: str | Engine = "local",
    stage: str | None = None,
    progress: Progress | None = None,
) -> ViewBank:
    """Keep what `view_logits` says of a source of images, as a bank for each task.

    Args:
        tasks: see `view_logits`; their names and labels are no part of the work.
        plan: the views to make.
        source: N images. One that cannot be read, or has no answer, is left out of the bank, see
            `answered`; its notes say why.
        latents: of the source's images: their inversions on disk, or a row for each image; None
            where the plan has no generator.
        labels: (N,) class indices of the source's images by the name of the column, or None.
        split: what the images may be used for.
        rows: of the source, those that are wanted; None for all.
        folder: holds one store for each different call; safe to delete when the study is done.
            None keeps nothing.
        engine: "local" (this process); with a folder also "ray", or an `Engine`.
        stage: what `progress` calls it; None is "views of SPLIT".
        progress: called with (stage, "images", done, N).

    Raises:
        ValueError: as `view_logits`, or no image has an answer.

    Source: Chai et al. 2021, section 3.2; its code's `eval_ensemble` scripts.

    Differs: images are batched; logits are stored.
    """
    wanted = tuple(range(len(source)) if rows is None else rows)
    size = images_in_shard(source.image_spec, SHARD)
    store: MemoryStore | ShardStore = MemoryStore()
    if folder is not None:
        kept_latents = latents.identity if isinstance(latents, InversionStore) else latents
        classifiers, asked = task_classifiers(tasks), None
        if plan.generator is not None:
            asked = conditioning_task(tasks, plan.generator)
        identity = identify(
            source=source,
            rows=key(wanted),
            latents=kept_latents,
            classifiers=classifiers,
            # Which head tells a conditional generator what to render.
            head=asked and (classifiers.index(asked.classifier), asked.outputs, asked.class_names),
            plan=plan,
            shard=size,
        )
        store = ShardStore(f"{str(folder).rstrip('/')}/{split}-{identity.digest}", identity)

    def make(places: range, tell: Tell) -> Shard:
        """The logits of some of the rows; it is sent to workers elsewhere."""
        part = [wanted[place] for place in places]
        batch = source.read(part)
        notes = dict(batch.skipped)
        if not len(batch):
            return Shard(tensors={"0/image": torch.zeros(0, 1, 1)}, ids=(), notes=notes)
        own, failed, chosen = latents, None, source.rows_of(batch.ids, part)
        if isinstance(own, InversionStore):
            found = own.select(chosen, batch.ids)
            own, failed = found["latents"], found["status"] == Status.FAILED
        elif own is not None:
            own = own[chosen]
        redrawn: list[int] = []
        said = view_logits(
            tasks,
            plan,
            batch.images,
            batch.ids,
            own,
            tell=lambda done, total: tell(done),
            redrawn=redrawn.append,
        )
        notes |= {REDRAWN: str(sum(redrawn))} if sum(redrawn) else {}
        kept = answered(said, failed=failed)
        good = set(kept.rows)
        notes |= {name: NO_ANSWER for row, name in enumerate(batch.ids) if row not in good}
        notes |= {batch.ids[row]: why for row, why in kept.plain.items()}
        tensors = {
            f"{place}/{what}": logits.contiguous()
            for place, own in enumerate(kept.logits)
            for what, logits in own.items()
        }
        return Shard(tensors=tensors, ids=tuple(batch.ids[row] for row in kept.rows), notes=notes)

    stage = stage or f"views of {split}"
    run_shards(
        store, len(wanted), make, shard_size=size, stage=stage, engine=engine, progress=progress
    )
    parts = [store.read(index) for index in range(-(-len(wanted) // size))]
    kept = join_shards([part for part in parts if len(part)] or parts[:1], stage)
    notes = {name: text for part in parts for name, text in part.notes.items()}
    notes.pop(REDRAWN, None)
    if not kept.ids:
        refuse_silence(notes)
    logits: list[dict[str, Tensor]] = [{} for _ in task_classifiers(tasks)]
    for name, value in kept.tensors.items():
        place, _, what = name.partition("/")
        logits[int(place)][what] = value
    chosen = source.rows_of(kept.ids)
    return ViewBank(
        tasks=tuple(tasks),
        ids=kept.ids,
        split=split,
        labels={name: column.cpu()[chosen] for name, column in (labels or {}).items()},
        logits=tuple(logits),
        meta=plan.facts,
        notes=notes,
        redrawn=sum(int(part.notes.get(REDRAWN, 0)) for part in parts),
    )


@checked
def conditioning_task(tasks: Sequence[Task], generator: Generator) -> Task | None:
    """The task whose predicted class a conditional generator renders; None for other generators.

    The predicted class, never the true one, which is not known. It is the first task whose classes
    are the generator's, by `Generator.classes_of`.

    Raises:
        ValueError: no task has classes of the generator.
    """
    if generator.num_classes == 0:
        return None
    for task in tasks:
        if generator.classes_of(task.class_names) is not None:
            return task
    names = f": {', '.join(generator.class_names)}" if generator.class_names else ""
    fail(
        "tasks for a conditional generator",
        expected=f"one of its {generator.num_classes} classes{names}, which says what to render",
        got="; ".join(f"{t.name!r} of {t.num_classes}: {', '.join(t.class_names)}" for t in tasks),
        remedy="add the task of a classifier of the generator's classes, or name these as the "
        f"classifier does, with class_names (--generator-class-names; {GUIDE} shows how)",
    )


@checked
def rendered_label(
    tasks: Sequence[Task],
    generator: Generator,
    images: Float[Tensor, "N C H W"],
    *,
    batch_size: int = 256,
) -> Int[Tensor, " N"] | None:
    """Return the generator's class for each image, to invert it with; None where latents carry it.

    Raises:
        ValueError: as `conditioning_task`.
    """
    task = conditioning_task(tasks, generator) if generator.renders_label else None
    return None if task is None else predicted_label(task, generator, images, batch_size).cpu()


def predicted_label(
    task: Task, generator: Generator, images: Float[Tensor, "N C H W"], batch_size: int = 256
) -> Int[Tensor, " N"]:
    """Return the generator's class that a task's classifier predicts for each image."""
    logits = predict_logits(task.classifier, images, batch_size=batch_size)
    return label_of(task, generator, task.answer(logits))


@checked
def label_of(task: Task, generator: Generator, answers: Float[Tensor, "N Y"]) -> Int[Tensor, " N"]:
    """Return the generator's class that the answers to a task say."""
    found = generator.classes_of(task.class_names)
    remedy = "take the task that `conditioning_task` finds"
    expected = "classes of the generator"
    table: Tensor = check_given(found, f"classes of task {task.name!r}", expected, remedy)
    check_shape(answers, ("N", len(table)), "answers", "give those to this task")
    chosen = answers.argmax(-1)
    return table.to(chosen.device)[chosen]


def _check_inputs(
    plan: ViewPlan, images: Tensor, ids: Sequence[str], latents: Tensor | None
) -> None:
    perturbed = len(plan.perturbed())
    if (plan.generator is None) != (latents is None) or (perturbed and latents is None):
        fail(
            "generator and latents",
            expected="both, or neither and no perturbation among the view sets",
            got=f"{'no' if plan.generator is None else 'a'} generator, "
            f"{'no' if latents is None else 'given'} latents, {perturbed} perturbations",
            remedy="invert the images with this generator first",
        )
    check_different(ids, "ids", "give each image its own id, which seeds its views")
    for what, tensor in (("images", images), ("latents", latents)):
        if tensor is not None:
            check_each(tensor, len(ids), what, "id")
            # Found now, not after hours of rendering.
            check_finite(tensor, what, ids, "leave these images out")
