"""How an encoder is trained: one frozen object, its optimiser, and the paper's settings by name."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import nn

from genviews.checks import check_count, check_number, check_words, fail, lookup
from genviews.represent.schedule import EpochCosine, Schedule
from genviews.signature import checked

__all__ = ["RepresentationTraining", "published_training"]

# They change what is seen of a training and how often it is saved, not what it learns.
_NOT_LEARNT = {"identity": False}


@dataclass(frozen=True, kw_only=True)
class RepresentationTraining:
    """Settings of `train_representation`.

    Args:
        schedule: the learning rate of each step, and so the number of steps.
        optimizer: "sgd" with momentum, or "adamw".
        momentum: of SGD; 0.9 is the paper's.
        betas: of AdamW.
        weight_decay: 1e-4 is the paper's, for SGD; some 0.05 is usual for AdamW.
        decay_all: decay every parameter, as the authors' code does; False spares biases and norms,
            that is parameters of one axis.
        bfloat16: compute the encoder in bfloat16 by autocast; weights and loss stay float32.
        sync_batch_norm: with several processes, batch norms see the whole batch. Needs GPUs, so on
            CPUs it has to be turned off for an encoder that has batch norms.
        log_every: steps a record; its losses are means over them.
        monitor_every: steps between looks at kNN, alignment, uniformity and rank; None never looks.
            A multiple of `log_every`.
        checkpoint_every: steps between checkpoints; the last step always writes one.
        seed: of dropout; first weights and batches have their own.
        data: what the batches are, in words, where they have no `__describe__`; a checkpoint of
            other data is refused.

    Raises:
        ValueError: an unknown word or a number out of its range.
    """

    schedule: Schedule
    optimizer: Literal["sgd", "adamw"] = "sgd"
    momentum: float = 0.9
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 1e-4
    decay_all: bool = True
    bfloat16: bool = False
    sync_batch_norm: bool = True
    log_every: int = field(default=50, metadata=_NOT_LEARNT)
    monitor_every: int | None = field(default=None, metadata=_NOT_LEARNT)
    checkpoint_every: int = field(default=500, metadata=_NOT_LEARNT)
    seed: int = 0
    data: str = ""

    def __post_init__(self) -> None:
        check_words(self)
        check_count(self.log_every, "log_every")
        check_count(self.checkpoint_every, "checkpoint_every")
        monitored = 0 if self.monitor_every is None else check_count(self.monitor_every, "monitor")
        if monitored % self.log_every:
            fail(
                "monitor_every",
                expected=f"a multiple of log_every, {self.log_every}",
                got=monitored,
                remedy="change one of them",
            )
        for rate in (self.momentum, *self.betas):
            check_number(rate, "momentum or beta", least=0, below=1)
        check_number(self.weight_decay, "weight_decay", least=0)

    @checked
    def make_optimizer(self, module: nn.Module) -> torch.optim.Optimizer:
        """Return the optimiser of a module's parameters, at the rate of the first step."""
        parameters = [p for p in module.parameters() if p.requires_grad]
        decayed = [p for p in parameters if self.decay_all or p.ndim > 1]
        spared = [p for p in parameters if not (self.decay_all or p.ndim > 1)]
        groups = [{"params": decayed, "weight_decay": self.weight_decay}]
        if spared:
            groups.append({"params": spared, "weight_decay": 0.0})
        rate = self.schedule.rate(0)
        if self.optimizer == "sgd":
            return torch.optim.SGD(groups, lr=rate, momentum=self.momentum)
        return torch.optim.AdamW(groups, lr=rate, betas=self.betas)


# Setting -> samples an epoch, epochs.
_PUBLISHED = {
    "imagenet1000": (1_300_000, 20),
    "imagenet100": (130_000, 200),
    "cars": (893_000, 20),
}


def published_training(setting: str, batch: int = 256) -> RepresentationTraining:
    """Return the paper's settings: SGD, rate 0.03, cosine; the same for every objective.

    Args:
        setting: imagenet1000 (1.3 million samples, 20 epochs), imagenet100 (130,000, 200 epochs) or
            cars (893,000, 20 epochs).
        batch: samples a step; 256 in the paper. Above, the code warms up for 10 epochs.

    Raises:
        ValueError: unknown; the closest names are listed.

    Source: Jahanian et al. 2022, arXiv:2106.05258, section 4; the authors' main_unified.py.

    Differs: a released conditional checkpoint names a rate of 0.01; this is the paper's 0.03. The
        last batch of an epoch is whole.

    Example:
        >>> published_training("imagenet1000").schedule.total_steps
        101580
    """
    samples, epochs = lookup(setting, _PUBLISHED, "published setting")
    steps = math.ceil(samples / check_count(batch, "batch"))
    return RepresentationTraining(
        schedule=EpochCosine(epochs=epochs, steps_per_epoch=steps, batch=batch)
    )
