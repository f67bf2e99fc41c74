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
from genviews.ensemble.significance import GainReport, gain_report
from genviews.generators.base import Generator
from genviews.invert.objective import L1, L2, Objective
from genviews.invert.term import Term
from genviews.render import render
from genviews.types import Inversion

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
    inversion: Inversion,
    steps: Sequence[int],
    generator: Generator,
    task: Task,
    images: Float[Tensor, "N C H W"],
    labels: Int[Tensor, " N"],
    *,
    perceptual: Sequence[Term] = (),
    batch_size: int = 256,
) -> tuple[StepRow, ...]:
    """Return a row for each snapshot of an inversion.

    Args:
        inversion: made with `Inverter(snapshots=steps)`.
        steps: of the snapshots.
        generator: that renders them.
        task: whose classifier judges them.
        images: that were inverted, in [-1, 1].
        labels: their classes.
        perceptual: further distances, e.g. `LPIPS()`; L1 and L2 are always measured.
        batch_size: images at once.

    Raises:
        ValueError: the inversion has other snapshots.
    """
    if inversion.snapshots is None or inversion.snapshots.shape[1] != len(steps):
        fail(
            "snapshots of the inversion",
            expected=f"{len(steps)}, after {list(steps)} steps",
            got="none" if inversion.snapshots is None else inversion.snapshots.shape[1],
            remedy=f"invert with Inverter(snapshots={tuple(steps)})",
        )
    on_images = _correct(task, images, labels, batch_size)
    measure = Objective((L1(), L2(), *perceptual))
    rows = []
    for column, count in enumerate(steps):
        latents = inversion.snapshots[:, column]
        rendered = render(generator, latents, label=inversion.label, batch_size=batch_size)
        correct = _correct(task, rendered, labels, batch_size)
        rows.append(
            StepRow(
                steps=count,
                distances=_distances(measure, images, rendered, latents, batch_size),
                accuracy=gain_report(correct, on_images),
            )
        )
    return tuple(rows)


def _correct(task: Task, images: Tensor, labels: Tensor, batch_size: int) -> Tensor:
    logits = task.answer(predict_logits(task.classifier, images, batch_size))
    return (logits.argmax(1) == labels.to(logits.device)).cpu()


@torch.no_grad()
def _distances(
    measure: Objective, images: Tensor, rendered: Tensor, latents: Tensor, batch_size: int
) -> dict[str, float]:
    totals: dict[str, list[Tensor]] = {}
    for start in range(0, len(images), batch_size):
        rows = slice(start, start + batch_size)
        known = torch.ones_like(images[rows, :1])
        target = measure.target(images[rows], known, latents[rows])
        for name, values in measure.parts(target, rendered[rows], latents[rows]).items():
            totals.setdefault(name, []).append(values)
    return {name: float(torch.cat(parts).double().mean()) for name, parts in totals.items()}
