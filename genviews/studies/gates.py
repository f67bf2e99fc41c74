"""Which gates a study has: they follow from its inputs and from what was made of them.

    INPUTS -> gates of models -> study -> gates of INVERSIONS -> a verdict, or none

A study declares nothing. Gates look at the images that it was given: one that changes its images
(shifts, attacks) is judged by how its models do on the unchanged ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from genviews.classify.model import predict_logits
from genviews.classify.task import Task, task_classifiers
from genviews.data.images import spread_rows
from genviews.data.leakage import ALIKE, check_leakage
from genviews.data.source import ImageSource, as_source
from genviews.data.split import SplitName
from genviews.ensemble.fill import conditioning_task
from genviews.gates.answers import classes_gate, prediction_gates
from genviews.gates.gate import LEVEL, Gate
from genviews.gates.models import batch_gate, chance_gate, form_gate
from genviews.gates.pictures import (
    copies_gate,
    finite_gate,
    likeness_gate,
    picture_gate,
    range_gate,
    redrawn_gate,
    status_gates,
)
from genviews.gates.views import class_gate, drawn_gate, number_gate
from genviews.invert.quality import Reconstructions
from genviews.invert.store import InversionStore
from genviews.memory import images_in_shard
from genviews.render import render
from genviews.rng import Rng
from genviews.types import Progress, silent

if TYPE_CHECKING:
    from genviews.studies.bench import Bench

__all__ = ["gates_of_copies", "gates_of_inputs", "gates_of_inversions", "gates_of_reconstructions"]

LOOKED_AT = 1000
"""Calibration images that a classifier is asked about."""

TRIED = 200
"""Of them, or fewer where they are large, those that it is given in other forms."""

COMPARED = 64
"""Images, or fewer where they are large, that pictures of the generator are compared with."""

FEW, MANY = 16, 64
"""Images that are asked about one by one, or large pictures that the generator draws; and small."""

SMALL = 128 * 128
"""Pixels of a picture that takes no time to draw, as a rule."""

_COLLAPSED = "The generator draws nothing but it: check its weights, and the scale of its latents."
STUCK = (
    "Invert for more steps (--steps), from random samples or an encoder (--encoder), or take a "
    "generator of these images."
)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Asked:
    """Images of a split, what the classifiers say of them, and the first of their pixels.

    Args:
        rows: of the source.
        logits: of each classifier.
        images: as many as are small enough to keep.
        masks: of the images, where there are any and the classifiers see the images as they are.
    """

    rows: list[int]
    logits: tuple[Float[Tensor, "N _"], ...]
    images: Float[Tensor, "n C H W"]
    masks: Float[Tensor, "n 1 H W"] | None


def gates_of_copies(
    splits: Mapping[str, ImageSource], progress: Progress = silent
) -> tuple[Gate, ...]:
    """The gates of copies within a split, and a note of pictures of two splits that may be copies.

    Args:
        splits: the images by the name of their split.
        progress: see `check_leakage`.

    Raises:
        ValueError: one image in two splits, see `check_leakage`.
    """
    copies, alike = check_leakage(splits, pixels=True, progress=progress)
    within = [
        copies_gate(*found, f"{split} images")
        for split, found in copies.items()
        if split != "train"  # what is fitted to copies is measured on others
    ]
    gate = Gate(
        name="pictures of two splits that are alike",
        found=alike,
        threshold=f"more than {ALIKE} of 255 signs of their slowest waves differ",
        remedy="Remove copies from one of the splits.",
        passed=True,
        noted=True,
    )
    return (*within, gate) if alike else tuple(within)


def gates_of_inputs(bench: Bench) -> tuple[Gate, ...]:
    """The gates of classifiers and generator, asked before the work.

    Args:
        bench: of a study that may have any inputs. Without labelled images a classifier is not
            asked; without images a generator is only asked for numbers.
    """
    given, found = bench.inputs, list[Gate | None]()
    asked, measured = (_ask(bench, split) for split in ("calibration", "test"))
    if asked is not None:
        for task in given.tasks:
            own = _gates_of_task(bench, task, asked)
            found += own
            if measured is not None and all(gate.passed for gate in own):
                found += _gates_of_answers(bench, task, measured, "test")
        if measured is not None and len({task.labels for task in given.tasks}) == 1:
            task = given.tasks[0]  # of many attributes some are so rare that a split has none
            first = _answers(bench, task, asked, "calibration")[1]
            last = _answers(bench, task, measured, "test")[1]
            found.append(classes_gate(first, last, task.class_names))
        for classifier in task_classifiers(given.tasks):
            few = asked.images[:FEW]
            found += [chance_gate(classifier, few), batch_gate(classifier, few)]
    if given.kit is not None:
        made = _samples(bench)
        found.append(finite_gate(made))
        images, masks = _images(bench) if asked is None else (asked.images, asked.masks)
        if images is not None:
            found.append(range_gate(made, images, masks))
            what = "samples of the generator"
            found.append(picture_gate(made, images, what, _COLLAPSED, masks=masks))
    return _told(found)


def gates_of_reconstructions(source: ImageSource, made: Reconstructions) -> tuple[Gate, ...]:
    """The gate of pictures that are there: whether they differ as their images do."""
    _, ids, images, masks = _read(source, _inverted(source, made.inversions))
    drawn = made.select(ids)
    pictures = torch.stack([drawn[name] for name in ids])
    return _told(_gates_of_pictures(pictures, images, masks))


def _gates_of_pictures(
    made: Float[Tensor, "n C H W"],
    images: Float[Tensor, "n C H W"],
    masks: Float[Tensor, "n 1 H W"] | None,
) -> list[Gate | None]:
    """Whether reconstructions differ as their images do and, if so, are of their images."""
    differ = picture_gate(made, images, "reconstructions", STUCK, masks=masks, made_masks=masks)
    if differ is not None and not differ.passed:  # each is as near as any
        return [differ]
    return [differ, likeness_gate(made, images, masks)]


def gates_of_inversions(bench: Bench) -> tuple[Gate, ...]:
    """The gates of the inversions that a study has made of its calibration and test images.

    Of images under a shift it is only asked whether there are inversions and answers: what the
    shift has made of the pictures is what the study is about.
    """
    found, given = list[Gate | None](), bench.inputs
    for one in (bench, *bench.benches_under):
        for split, plain in one.plain_answers.items():
            what = f"{split} images{one.where}"
            found.append(number_gate(len(plain), len(one.images(split)), what))
        for split, counts in one.redrawn.items():
            found.append(redrawn_gate(*counts, f"{split} images{one.where}"))
        for (split, _), store in one.inversions_made.items():
            status = store.columns("status")["status"]
            found += status_gates(status, f"{split} images{one.where}")
    for (split, _), store in bench.inversions_made.items():
        if split != "calibration":
            continue
        source = bench.images(split)
        rows, ids, images, masks = _read(source, _inverted(source, store))
        kept = store.select(rows, ids)
        label, latents = kept.get("label"), kept["latents"].to(bench.kit.generator.device)
        with torch.no_grad():
            made = render(bench.kit.generator, latents, label=label, batch_size=bench.batch_size)
        made = made.cpu()
        own = _gates_of_pictures(made, images, masks)
        found += own
        # One picture has one class; what is not finite has none.
        told = bool(made.isfinite().all()) and (own[0] is None or own[0].passed)
        plan = bench.plan()
        asked = conditioning_task(given.tasks, bench.kit.generator) if told else None
        for task in given.tasks if told else ():
            before, after = (
                task.answer(predict_logits(task.classifier, part, batch_size=bench.batch_size))
                for part in (plan.shown(images, ids), plan.shown(made, ids, rendered=True))
            )
            names, level = task.class_names, _level(bench)
            whole = (before + after).isfinite().all(-1)
            before, after = before[whole].argmax(-1), after[whole].argmax(-1)
            if not len(after):
                continue
            found.append(class_gate(before, after, names, level=level))
            if label is not None and task is asked:
                found.append(drawn_gate(before, after, names, level=level))
    return _told(found)


def _told(found: Sequence[Gate | None]) -> tuple[Gate, ...]:
    """Each gate once: where several inversions pass the same one, or fail it, the first is told."""
    told = dict[tuple[str, bool, str], Gate]()
    for gate in found:
        if gate is not None:
            told.setdefault((gate.name, gate.passed, "" if gate.passed else gate.found), gate)
    return tuple(told.values())


def _ask(bench: Bench, split: SplitName) -> _Asked | None:
    """Ask the classifiers about images spread over a split; None where none has an answer."""
    source = bench.inputs.splits.get(split)
    if source is None or not bench.inputs.tasks:
        return None
    classifiers = task_classifiers(bench.inputs.tasks)
    keep = images_in_shard(source.image_spec, TRIED)
    rows, logits = list[int](), [list[Tensor]() for _ in classifiers]
    images, known = list[Tensor](), list[Tensor]()
    wanted = spread_rows(len(source), LOOKED_AT)
    for start in range(0, len(wanted), bench.batch_size):
        part, ids, seen, masks = _read(source, wanted[start : start + bench.batch_size])
        if not part:
            continue
        seen = bench.plan().shown(seen, ids)
        answers = [predict_logits(c, seen, batch_size=bench.batch_size) for c in classifiers]
        whole = torch.cat(answers, -1).isfinite().all(-1)  # the study leaves the others out
        for said, answer in zip(logits, answers, strict=True):
            said.append(answer[whole])
        images.append(seen[whole.to(seen.device)][: max(0, keep - len(rows))])
        if masks is not None and bench.inputs.photo_transform is None:
            known.append(masks[whole.to(masks.device)][: len(images[-1])])
        rows += [row for row, kept in zip(part, whole.tolist(), strict=True) if kept]
    if not rows:
        return None
    return _Asked(
        rows=rows,
        logits=tuple(map(torch.cat, logits)),
        images=torch.cat(images),
        masks=torch.cat(known) if known else None,
    )


def _gates_of_task(bench: Bench, task: Task, asked: _Asked) -> list[Gate]:
    """What the answers for one column of labels tell."""
    found = _gates_of_answers(bench, task, asked, "calibration")
    if found[0].passed and not task.outputs:  # else it says already why answers are wrong
        logits, labels = _answers(bench, task, asked, "calibration")
        few, level = slice(len(asked.images)), _level(bench)
        form = form_gate(task.classifier, asked.images, labels[few], logits[few], level=level)
        found += [] if form is None else [form]
    return found


def _gates_of_answers(bench: Bench, task: Task, asked: _Asked, split: SplitName) -> list[Gate]:
    """What they tell by themselves: first the order of the classes."""
    tasks, (logits, labels) = bench.inputs.tasks, _answers(bench, task, asked, split)
    what = f"{split} images" + (f" for {task.name!r}" if len(tasks) > 1 else "")
    return prediction_gates(logits, labels, task.class_names, what=what, level=_level(bench))


def _answers(
    bench: Bench, task: Task, asked: _Asked, split: SplitName
) -> tuple[Float[Tensor, "N Y"], Int[Tensor, " N"]]:
    """What was answered, and what is true."""
    own = asked.logits[task_classifiers(bench.inputs.tasks).index(task.classifier)]
    return task.answer(own), bench.images(split).columns[task.labels].values[asked.rows].cpu()


def _level(bench: Bench) -> float:
    return LEVEL / max(1, len(bench.inputs.tasks))


@torch.no_grad()
def _samples(bench: Bench) -> Float[Tensor, "n C H W"]:
    generator = bench.kit.generator
    spec = generator.image_spec
    drawn = range(MANY if spec.height * spec.width <= SMALL else FEW)
    label = generator.labels_in_turn(drawn)
    latents = generator.latents_of(generator.sample(Rng(0, "gates").streams(drawn)), label)
    rendered = label if generator.renders_label else None
    return render(generator, latents, label=rendered, batch_size=bench.batch_size).cpu()


def _images(
    bench: Bench,
) -> tuple[Float[Tensor, "n C H W"] | None, Float[Tensor, "n 1 H W"] | None]:
    """Some of the real images that a study without classifiers has, and their masks."""
    given = bench.inputs
    labelled = None if given.probe is None else given.probe.train
    every = next((one for one in (given.images, given.real, labelled) if one is not None), None)
    if every is None:
        return None, None
    source = as_source(every)
    _, _, images, masks = _read(source, _few(source, range(len(source))))
    same = images.shape[1:] == bench.kit.generator.image_spec.shape
    return (images, masks) if same else (None, None)


def _read(
    source: ImageSource, rows: Sequence[int]
) -> tuple[list[int], tuple[str, ...], Float[Tensor, "n C H W"], Float[Tensor, "n 1 H W"] | None]:
    """Those of the rows that can be read, with ids, images and masks if any, on the CPU."""
    batch = source.read(rows)
    masks = None if batch.masks is None else batch.masks.cpu()
    return source.rows_of(batch.ids, rows), batch.ids, batch.images.cpu(), masks


def _inverted(source: ImageSource, store: InversionStore) -> list[int]:
    """Some rows of those that could be read when they were inverted."""
    unread = dict(store.skipped)
    return _few(source, [row for row, name in enumerate(source.ids) if name not in unread])


def _few(source: ImageSource, rows: Sequence[int]) -> list[int]:
    places = spread_rows(len(rows), images_in_shard(source.image_spec, COMPARED))
    return [rows[place] for place in places]
