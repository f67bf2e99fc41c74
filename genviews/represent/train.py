"""Train an encoder on views: one loop for every objective, on one process or several.

    batch(step) -> views -> encoder -> h -> head -> u -> objective -> step of the optimiser

Everything random depends on the step, so a training killed at any moment goes on from its last
checkpoint to the same weights, bit for bit. With several processes each sees a part of every
batch, and the loss is that of the whole.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from genviews.checks import fail
from genviews.represent.batches import Batches, Processes
from genviews.represent.config import RepresentationTraining
from genviews.represent.encoder import RepresentationEncoder
from genviews.represent.losses import Objective
from genviews.represent.monitor import OnlineKNN
from genviews.represent.run import StepRecord, TrainingRun

__all__ = ["StepRecord", "TrainedRepresentation", "train_representation"]

Report = Callable[[StepRecord], None]


@dataclass(frozen=True, kw_only=True)
class TrainedRepresentation:
    """A trained encoder and how it came about.

    Args:
        encoder: in eval mode, on the device where training ran.
        history: a record every `log_every` steps, and one of the last step.
    """

    encoder: RepresentationEncoder
    history: tuple[StepRecord, ...]


def train_representation(
    encoder: RepresentationEncoder,
    batches: Batches,
    objective: Objective,
    config: RepresentationTraining,
    *,
    knn: OnlineKNN | None = None,
    checkpoint: str | Path | None = None,
    report: Report | None = None,
    accelerator: Processes | None = None,
) -> TrainedRepresentation:
    """Return a trained copy of an encoder; the encoder itself is left as it is.

    Args:
        encoder: with its first weights. Training runs on its device, or on the accelerator's.
        batches: `batch(step)` gives views in [-1, 1], augmented, and what the objective needs, as
            `StreamedBatches` does. What its `describe` says, if it has one, names the training.
        objective: one of `genviews.represent.losses`.
        config: how to train.
        knn: held-out labelled images, looked at every `monitor_every` steps.
        checkpoint: a file written every `checkpoint_every` steps, whole or not at all; where it
            exists training goes on from it. With several processes, on a disk that all see.
        report: called with each record; with several processes, in the main one.
        accelerator: an `accelerate.Accelerator` in a program started by torchrun: the batch is
            split over its processes, gradients are averaged by DDP. None trains in this process.

    Returns:
        The encoder after the last step, and the history.

    Raises:
        ValueError: an objective that does not fit the encoder or the batches, a checkpoint of
            another training, a loss that is not finite; several processes without accelerator, or
            batch norms that cannot be synchronised on CPUs.

    Source: Jahanian et al. 2022, arXiv:2106.05258, section 4; the authors' main_unified.py.

    Differs: the authors' loop splits the backbone over GPUs by DataParallel, with statistics of
        each GPU in batch norms unless told otherwise; here they are those of the whole batch. A
        checkpoint holds no Python objects, and one of another setting is refused.

    Example:
        >>> from genviews import ToyGenerator
        >>> from genviews.represent.encoder import RepresentationConfig
        >>> from genviews.represent.losses import NTXent
        >>> from genviews.represent.plan import SamplePlan
        >>> from genviews.represent.schedule import StepCosine
        >>> from genviews.represent.stream import StreamedBatches
        >>> from genviews.represent.views import LatentViews
        >>> views = LatentViews(ToyGenerator())
        >>> batches = StreamedBatches(views, SamplePlan(batch_size=8), prefetch=0)
        >>> config = RepresentationTraining(schedule=StepCosine(steps=2), log_every=1)
        >>> encoder = RepresentationEncoder(RepresentationConfig(channels=1))
        >>> trained = train_representation(encoder, batches, NTXent(), config)
        >>> [record.step for record in trained.history]
        [1, 2]
    """
    _check(encoder, objective, accelerator)
    main = accelerator is None or accelerator.is_main_process
    run = TrainingRun(encoder, batches, objective, config, knn, accelerator)
    path = None if checkpoint is None else Path(checkpoint)
    if path is not None and path.exists():
        run.restore(path)
    while not run.finished:
        record = run.advance()
        due = run.finished or run.step % config.checkpoint_every == 0
        if path is not None and due and main:
            run.store(path)
        if record is not None and report is not None and main:
            report(record)
    if accelerator is not None:
        accelerator.wait_for_everyone()  # nobody leaves before the last checkpoint is written
    trained = copy.deepcopy(encoder).to(run.device)
    trained.load_state_dict(run.encoder.state_dict())  # without what was wrapped around it
    return TrainedRepresentation(encoder=trained.eval(), history=tuple(run.history))


def _check(
    encoder: RepresentationEncoder, objective: Objective, accelerator: Processes | None
) -> None:
    if objective.unit != encoder.config.normalize:
        fail(
            f"encoder for {type(objective).__name__}",
            expected=f"normalize={objective.unit} in its config",
            got=f"normalize={encoder.config.normalize}",
            remedy="make the encoder with it",
        )
    if accelerator is None and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        fail(
            "training in several processes",
            expected="accelerator=accelerate.Accelerator()",
            got="none, so that every process would train on its own",
            remedy="pass one",
        )
