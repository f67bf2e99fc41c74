"""Fill a view bank: make every view once, show it once to every classifier, keep the logits.

In the test-time arrow this is perturb, render and classify in one pass over the images, batched
across images and views.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from genviews.checks import check_count, fail
from genviews.classify.model import predict_logits
from genviews.classify.task import Task, task_classifiers
from genviews.data.split import SplitName
from genviews.ensemble.view_bank import ViewBank
from genviews.ensemble.views import Chunk, Plan, ViewSet, plan_views, streams_of_views
from genviews.generators.base import Generator
from genviews.types import Progress, silent

__all__ = ["conditioning_task", "fill_bank", "predicted_label", "rendered_label"]


def fill_bank(
    tasks: Sequence[Task],
    generator: Generator | None,
    images: Float[Tensor, "N C H W"],
    ids: Sequence[str],
    labels: Mapping[str, Int[Tensor, " N"]] | None,
    latents: Float[Tensor, "N L D"] | None,
    view_sets: Sequence[ViewSet],
    *,
    split: SplitName,
    num_views: int = 32,
    seed: int = 0,
    batch_size: int = 256,
    progress: Progress | None = None,
) -> ViewBank:
    """Make the views of every image once and classify them for all tasks.

    A conditional generator mixes styles of the class that is predicted for the image.

    Args:
        tasks: what is asked of each view; all for images of one size. A classifier that several
            tasks share runs once.
        generator: renders the latents; None when no view set perturbs latents.
        images: in [-1, 1].
        ids: N different sample ids; they seed the views.
        labels: class indices by the name of their column, or None.
        latents: of the images, by inversion; None together with `generator`.
        view_sets: the views to make; their names become the keys of the banks.
        split: what the images may be used for; recorded, and refused by what fits unless it may.
        num_views: K of each view set that does not say itself; 32 as in the reference code.
        seed: another seed, other views.
        batch_size: views in flight at a time (memory), no effect on the result but float round-off.
        progress: called with ("views of SPLIT", "images", done, N).

    Returns:
        A bank for each task, with logits for "image", "reconstruction" (given a generator) and
        each view set, on the CPU.

    Raises:
        ValueError: shapes, ids or names that do not fit, pixels or latents that are not finite, or
            a conditional generator of classes that no task tells apart.

    Source: Chai et al. 2021, section 3.2; its code's `eval_ensemble` scripts.

    Differs: each image's views come from its id, not from its place in the data set or in the
        batch; images are batched; logits are stored; a rendered view serves all tasks.
    """
    check_count(batch_size, "batch_size")
    check_count(num_views, "num_views")
    classifiers = task_classifiers(tasks)
    plan = plan_views(generator, view_sets, num_views, batch_size)
    _check_inputs(plan, images, ids, latents)
    conditioning = None if generator is None else conditioning_task(tasks, generator)
    streams = streams_of_views(seed, ids)
    device = images.device if generator is None else generator.device
    step = max(1, batch_size // num_views)
    logits: list[dict[str, list[Tensor]]] = [defaultdict(list) for _ in classifiers]
    tell = partial(progress or silent, f"views of {split}", "images")
    tell(0, len(ids))
    for start in range(0, len(ids), step):
        rows = slice(start, start + step)
        part = images[rows].to(device)
        chunk = Chunk(
            images=part,
            latents=None if latents is None else latents[rows].to(device),
            streams=streams[rows],
            label=None if conditioning is None else predicted_label(conditioning, part),
        )
        for key, views in plan.views(chunk):
            for classifier, found in zip(classifiers, logits, strict=True):
                found[key].append(predict_logits(classifier, views, batch_size=batch_size).cpu())
        tell(min(start + step, len(ids)), len(ids))
    return ViewBank(
        tasks=tuple(tasks),
        ids=tuple(ids),
        split=split,
        labels={name: column.cpu() for name, column in (labels or {}).items()},
        logits=tuple({key: torch.cat(parts) for key, parts in own.items()} for own in logits),
        meta={"seed": seed, "num_views": num_views},
    )


def conditioning_task(tasks: Sequence[Task], generator: Generator) -> Task | None:
    """The task whose predicted class a conditional generator renders; None for other generators.

    The predicted class, never the true one, which is not known. It is the first task with as many
    classes as the generator.

    Raises:
        ValueError: no task has as many classes as the generator.
    """
    if generator.num_classes == 0:
        return None
    for task in tasks:
        if task.num_classes == generator.num_classes:
            return task
    fail(
        "tasks for a conditional generator",
        expected=f"one of its {generator.num_classes} classes, which says what to render",
        got=", ".join(f"{task.name!r} of {task.num_classes}" for task in tasks),
        remedy="add the task of a classifier of the generator's classes, in their order",
    )


def rendered_label(
    tasks: Sequence[Task],
    generator: Generator,
    images: Float[Tensor, "N C H W"],
    *,
    batch_size: int = 256,
) -> Int[Tensor, " N"] | None:
    """Return the predicted class of each image, to invert it with; None where latents carry it.

    Raises:
        ValueError: as `conditioning_task`.
    """
    task = conditioning_task(tasks, generator) if generator.renders_label else None
    if task is None:
        return None
    parts = images.split(batch_size)
    return torch.cat([predicted_label(task, part.to(generator.device)).cpu() for part in parts])


def predicted_label(task: Task, images: Float[Tensor, "N C H W"]) -> Int[Tensor, " N"]:
    """Return the class that a task's classifier predicts for each image."""
    logits = predict_logits(task.classifier, images, batch_size=len(images))
    return task.answer(logits).argmax(-1)


def _check_inputs(plan: Plan, images: Tensor, ids: Sequence[str], latents: Tensor | None) -> None:
    if (plan.generator is None) != (latents is None) or (plan.latent_sets and latents is None):
        fail(
            "generator and latents",
            expected="both, or neither and no perturbation among the view sets",
            got=f"{'no' if plan.generator is None else 'a'} generator, "
            f"{'no' if latents is None else 'given'} latents, "
            f"{len(plan.latent_sets)} perturbations",
            remedy="invert the images with this generator first",
        )
    if len(set(ids)) != len(ids):
        twice = sorted(i for i, n in Counter(ids).items() if n > 1)[:3]
        fail(
            "ids",
            expected="all different",
            got=f"{twice} more than once",
            remedy="give each image its own id, which seeds its views",
        )
    for what, tensor in (("images", images), ("latents", latents)):
        if tensor is None:
            continue
        if len(tensor) != len(ids):
            fail(
                what, expected=f"{len(ids)}, one for each id", got=len(tensor), remedy="align them"
            )
        # Found now, not after hours of rendering when the bank refuses logits that are not finite.
        bad = torch.nonzero(~torch.isfinite(tensor).flatten(1).all(1)).flatten().tolist()
        if bad:
            got = f"others in {', '.join(ids[i] for i in bad[:5])}"
            fail(what, expected="finite numbers", got=got, remedy="leave these images out")
