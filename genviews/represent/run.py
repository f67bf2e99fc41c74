"""One training in progress: its step, its records, and its checkpoints."""

from __future__ import annotations

import copy
import io
import math
import pickle
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from genviews.checks import fail
from genviews.classify.optimizer import own_dropout
from genviews.files import atomic_write_bytes
from genviews.identity import identify
from genviews.identity.describe import Described
from genviews.represent.batches import Batches, Processes, local_batch
from genviews.represent.config import RepresentationTraining
from genviews.represent.encoder import RepresentationEncoder
from genviews.represent.gather import gather_rows
from genviews.represent.losses import Objective
from genviews.represent.monitor import OnlineKNN, alignment, rankme, uniformity
from genviews.rng import Rng

__all__ = ["StepRecord", "TrainingRun"]


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
            "identity": self.identity.pack(),
            "encoder": self.encoder.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "history": [asdict(record) for record in self.history],
            "sums": self._sums,
            "summed": self._summed,
        }
        buffer = io.BytesIO()
        torch.save(content, buffer)
        atomic_write_bytes(path, buffer.getvalue())

    def restore(self, path: Path) -> None:
        """Go on from a checkpoint of the same training.

        Raises:
            ValueError: another training's, whose differences are named, or no checkpoint.
        """
        content = _read(path, self.device)
        self.identity.check_packed(content["identity"], f"checkpoint {path.name}")
        self.encoder.load_state_dict(content["encoder"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.step = content["step"]
        self.history = [StepRecord(**record) for record in content["history"]]
        self._sums, self._summed = content["sums"], content["summed"]


def _read(path: Path, device: torch.device) -> dict[str, Any]:
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except (pickle.UnpicklingError, EOFError, RuntimeError) as error:
        # Not torch's own text, which advises to unpickle the file without restriction.
        content = type(error).__name__
    if not isinstance(content, dict) or "identity" not in content:
        fail(
            f"checkpoint {path.name}",
            expected="a file that this training wrote",
            got=content if isinstance(content, str) else "something else",
            remedy="remove it, or name another file",
        )
    return content


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
