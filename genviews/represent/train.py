"""Train an encoder on views: one loop for every objective, on one process or several.

    batch(step) -> views -> encoder -> h -> head -> u -> objective -> step of the optimiser

Everything random depends on the step, so a training killed at any moment goes on from its last
checkpoint to the same weights, bit for bit. With several processes each sees a part of every
batch, and the loss is that of the whole.
"""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from genviews.checks import fail
from genviews.identity import identify
from genviews.identity.checkpoint import read_checkpoint, write_checkpoint
from genviews.identity.describe import Described
from genviews.modes import gradients, own_dropout
from genviews.represent.batches import Batches, Processes, gather_rows, local_batch
from genviews.represent.config import RepresentationTraining
from genviews.represent.encoder import RepresentationEncoder
from genviews.represent.losses import Objective
from genviews.represent.monitor import OnlineKNN, alignment, rankme, uniformity
from genviews.rng import Rng
from genviews.signature import checked

__all__ = [
    "StepRecord",
    "TrainedRepresentation",
    "TrainingRun",
    "check_alone",
    "train_representation",
]


@dataclass(frozen=True, kw_only=True)
class StepRecord:
    """What the steps since the last record did.

    Args:
        step: number of steps done.
        loss: mean over these steps, of the whole batch.
        terms: means of the loss's summands.
        learning_rate: of the last of them.
        samples_per_second: of all processes together, over all that a step takes.
        data_share: share of the time spent waiting for batches, in [0, 1].
        monitors: after the last of them, where they were due: "alignment" and "uniformity" of the
            projections and "rankme" of the features of its batch, "knn" accuracy.
    """

    step: int
    loss: float
    terms: dict[str, float]
    learning_rate: float
    samples_per_second: float
    data_share: float
    monitors: dict[str, float] = field(default_factory=dict)


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


@gradients()
@checked
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
    if accelerator is None:
        check_alone()


def check_alone() -> None:
    """Raise ValueError where torchrun started this program several times, and nothing joins it."""
    started = os.environ.get("WORLD_SIZE", "1")
    if started.isdecimal() and int(started) > 1:
        fail(
            "training in one process",
            expected="to be the only one",
            got=f"WORLD_SIZE={started}, so that each of these would train on its own",
            remedy="start it without torchrun and unset WORLD_SIZE; a program of your own may call "
            "train_representation with accelerator=accelerate.Accelerator()",
        )


class _Projected(nn.Module):
    """Features and projections in one call, since DDP wraps `forward`."""

    def __init__(self, encoder: RepresentationEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, views: Tensor) -> tuple[Tensor, Tensor]:
        h = self.encoder(views)
        return h.detach(), self.encoder.project(h)


@dataclass
class _Clock:
    """Time and samples since the last record."""

    began: float = field(default_factory=time.perf_counter)
    waited: float = 0.0
    samples: int = 0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.waited += time.perf_counter() - start

    def read(self) -> tuple[float, float]:
        """Samples a second and the share of waiting."""
        passed = max(time.perf_counter() - self.began, 1e-9)
        return self.samples / passed, min(self.waited / passed, 1.0)


class TrainingRun:
    """The state behind `train_representation`, which says what the arguments are."""

    def __init__(
        self,
        encoder: RepresentationEncoder,
        batches: Batches,
        objective: Objective,
        config: RepresentationTraining,
        knn: OnlineKNN | None,
        accelerator: Processes | None,
    ) -> None:
        self.batches, self.objective, self.config, self.knn = batches, objective, config, knn
        self.process = 0 if accelerator is None else accelerator.process_index
        self.processes = 1 if accelerator is None else accelerator.num_processes
        self.device = encoder.mean.device if accelerator is None else accelerator.device
        known = batches if isinstance(batches, Described) else None
        self.identity = identify(config=config, objective=objective, encoder=encoder, batches=known)
        self.encoder = copy.deepcopy(encoder).to(self.device).train()
        if self.processes > 1:
            self.encoder = _share_batch_norms(self.encoder, config, self.device)
        self.model: nn.Module = _Projected(self.encoder)
        if accelerator is not None:
            self.model = accelerator.prepare_model(self.model)
        self.optimizer = config.make_optimizer(self.encoder)
        self.rng = Rng(config.seed, "train representation")
        self.step = 0
        self.history: list[StepRecord] = []
        self._sums: dict[str, Tensor] = {}
        self._summed = 0
        self._clock = _Clock()

    @property
    def finished(self) -> bool:
        """Whether all steps are done."""
        return self.step >= self.config.schedule.total_steps

    def advance(self) -> StepRecord | None:
        """Make one step; return a record when one is due."""
        config = self.config
        rate = config.schedule.rate(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        with self._clock.waiting():
            batch = local_batch(self.batches, self.step, self.device, self.process, self.processes)
        h, u = self._update(batch)
        self._clock.samples += self.processes * len(u)
        self.step += 1
        if self.step % config.log_every and not self.finished:
            return None
        watched = config.monitor_every and self.step % config.monitor_every == 0
        monitors = self._monitor(h, u) if watched else {}
        self.history.append(self._record(rate, monitors))
        return self.history[-1]

    def _update(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """One step of the optimiser; features and projections before it."""
        dropout = self.rng.child(f"dropout/{self.step}/{self.process}")
        autocast = torch.autocast(
            self.device.type, dtype=torch.bfloat16, enabled=self.config.bfloat16
        )
        self.optimizer.zero_grad(set_to_none=True)
        self.model.train()
        with torch.enable_grad():
            with own_dropout(dropout, self.device), autocast:
                h, u = self.model(batch["views"])
            terms = self.objective.terms(u, batch.get("labels"), batch.get("z"))
            torch.stack(list(terms.values())).sum().backward()
        self.optimizer.step()
        for name, value in terms.items():
            self._sums[name] = self._sums.get(name, 0) + value.detach().double()
        self._summed += 1
        return h, u.detach()

    def _monitor(self, h: Tensor, u: Tensor) -> dict[str, float]:
        """Signs of collapse on the whole batch, and kNN; in the main process alone."""
        h, u = gather_rows(h), gather_rows(u)
        if self.process != 0:
            return {}
        found = {"rankme": rankme(h.flatten(0, 1).float())}
        if u.shape[0] > 1:
            found["uniformity"] = uniformity(u[:, 0].float())
        if u.shape[1] > 1:
            found["alignment"] = alignment(u.float())
        if self.knn is not None:
            found["knn"] = self.knn(self.encoder)
        return found

    def _record(self, rate: float, monitors: dict[str, float]) -> StepRecord:
        terms = self._means()
        speed, share = self._clock.read()
        self._sums, self._summed, self._clock = {}, 0, _Clock()
        return StepRecord(
            step=self.step,
            loss=sum(terms.values()),
            terms=terms,
            learning_rate=rate,
            samples_per_second=speed,
            data_share=share,
            monitors=monitors,
        )

    def _means(self) -> dict[str, float]:
        """Mean terms since the last record, which must be finite."""
        terms = {name: float(value) / self._summed for name, value in self._sums.items()}
        if not all(math.isfinite(value) for value in terms.values()):
            fail(
                f"training loss up to step {self.step}",
                expected="finite numbers",
                got=terms,
                remedy="lower the learning rate, and check the views for values that are not "
                "finite; the last checkpoint is from before",
            )
        return terms

    def store(self, path: Path) -> None:
        """Write a checkpoint, whole or not at all; a diverged training is not written."""
        self._means()
        content = {
            "encoder": self.encoder.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "history": [asdict(record) for record in self.history],
            "sums": self._sums,
            "summed": self._summed,
        }
        write_checkpoint(path, self.identity, content)

    def restore(self, path: Path) -> None:
        """Go on from a checkpoint of the same training.

        Raises:
            ValueError: another training's, whose differences are named, or no checkpoint.
        """
        content = read_checkpoint(path, self.identity, self.device)
        self.encoder.load_state_dict(content["encoder"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.step = content["step"]
        self.history = [StepRecord(**record) for record in content["history"]]
        self._sums, self._summed = content["sums"], content["summed"]


def _share_batch_norms(
    encoder: RepresentationEncoder, config: RepresentationTraining, device: torch.device
) -> RepresentationEncoder:
    """Let the batch norms of several processes see the whole batch."""
    kinds = nn.modules.batchnorm._BatchNorm
    if not config.sync_batch_norm or not any(isinstance(m, kinds) for m in encoder.modules()):
        return encoder
    if device.type == "cpu":
        fail(
            "sync_batch_norm",
            expected="GPUs, or a backbone without batch norms",
            got="processes on CPUs",
            remedy="train in one process, or set it to False: each process then has its own "
            "statistics, and results depend on the number of processes",
        )
    shared: RepresentationEncoder = nn.SyncBatchNorm.convert_sync_batchnorm(encoder)
    return shared
