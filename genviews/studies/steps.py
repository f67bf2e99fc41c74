"""Quality and downstream accuracy against optimisation steps, from one run with snapshots.

Source: Chai et al. 2021, Table 2 (L1, LPIPS and accuracy after 0, 50, ..., 500 steps).
Differs: the paper's rows; here each accuracy has an interval, and a paired comparison with the
accuracy on the images themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from genviews.checks import fail
from genviews.classify.model import predict_logits
from genviews.classify.task import Task
from genviews.data.source import ImageSource
from genviews.ensemble.significance import GainReport, gain_report
from genviews.generators.base import Generator
from genviews.invert.objective import L1, L2, Objective, Term
from genviews.render import render

__all__ = ["StepRow", "quality_by_steps"]


@dataclass(frozen=True, kw_only=True)
class StepRow:
    """The reconstructions after so many steps.

    Args:
        steps: optimisation steps made, at most.
        distances: mean distance to the images by the name of its term, e.g. "l1" and "l2".
        accuracy: of the classifier on the reconstructions, against its accuracy on the images.
    """

    steps: int
    distances: Mapping[str, float]
    accuracy: GainReport


def quality_by_steps(
    snapshots: Float[Tensor, "N T L D"] | None,
    steps: Sequence[int],
    generator: Generator,
    task: Task,
    source: ImageSource,
    *,
    label: Int[Tensor, " N"] | None = None,
    perceptual: Sequence[Term] = (),
    batch_size: int = 256,
) -> tuple[StepRow, ...]:
    """Return a row for each snapshot of an inversion.

    Args:
        snapshots: of an inversion of the source's images with `Inverter(snapshots=steps)`.
        steps: of the snapshots.
        generator: that renders them.
        task: whose classifier judges them.
        source: the images that were inverted, all of which can be read, with the task's labels.
        label: class that each is rendered with, for a generator that renders it.
        perceptual: further distances, e.g. `LPIPS()`; L1 and L2 are always measured.
        batch_size: images at once.

    Raises:
        ValueError: the inversion has other snapshots, or other images.
    """
    if snapshots is None or snapshots.shape[1] != len(steps) or len(snapshots) != len(source):
        fail(
            "snapshots of the inversion",
            expected=f"{len(steps)}, after {list(steps)} steps, for each of {len(source)} images",
            got="none" if snapshots is None else f"{snapshots.shape[1]} for {len(snapshots)}",
            remedy=f"invert these images with Inverter(snapshots={tuple(steps)})",
        )
    measure, parts = Objective((L1(), L2(), *perceptual)), []
    for start in range(0, len(source), batch_size):
        rows = range(len(source))[start : start + batch_size]
        images = source.read(rows).images.to(generator.device)
        labels = source.columns[task.labels].values[list(rows)]
        answers = [_correct(task, images, labels, batch_size)]
        errors: list[dict[str, Tensor]] = []
        for column in range(len(steps)):
            latents = snapshots[list(rows), column].to(generator.device)
            own = None if label is None else label[list(rows)].to(generator.device)
            rendered = render(generator, latents, label=own, batch_size=batch_size)
            answers.append(_correct(task, rendered, labels, batch_size))
            errors.append(_distances(measure, images, rendered, latents))
        parts.append((answers, errors))
    right = [torch.cat(found) for found in zip(*(answers for answers, _ in parts), strict=True)]
    return tuple(
        StepRow(
            steps=count,
            distances={
                name: float(torch.cat([errors[place][name] for _, errors in parts]).double().mean())
                for name in parts[0][1][place]
            },
            accuracy=gain_report(right[place + 1], right[0]),
        )
        for place, count in enumerate(steps)
    )


def _correct(task: Task, images: Tensor, labels: Tensor, batch_size: int) -> Tensor:
    logits = task.answer(predict_logits(task.classifier, images, batch_size))
    return (logits.argmax(1) == labels.to(logits.device)).cpu()


@torch.no_grad()
def _distances(
    measure: Objective, images: Tensor, rendered: Tensor, latents: Tensor
) -> dict[str, Tensor]:
    target = measure.target(images, torch.ones_like(images[:, :1]), latents)
    found = measure.parts(target, rendered, latents)
    return {name: values.cpu() for name, values in found.items()}
