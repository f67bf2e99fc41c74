"""The optimiser of a classifier's training, and a private source of dropout."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from genviews.checks import fail
from genviews.classify.config import TrainConfig
from genviews.rng import Rng

__all__ = ["make_optimizer", "own_dropout"]


def make_optimizer(module: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """The optimiser, its parameters grouped by rate and decay; `base` is a group's highest rate."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    head = config.head_learning_rate
    found = False
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        is_head = head is not None and f".{name}".find(f".{config.head}.") >= 0
        found |= is_head
        rate = head if head is not None and is_head else config.learning_rate
        decay = config.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    if head is not None and not found:
        names = sorted({n.split(".")[0] for n, _ in module.named_parameters()})
        fail(
            "head",
            expected=f"one of the module's parts {', '.join(names)}",
            got=repr(config.head),
            remedy="name the last layer, or leave head_learning_rate at None",
        )
    ordered = sorted(groups.items(), key=lambda item: item[0][0] != config.learning_rate)
    params = [
        {"params": p, "lr": rate, "weight_decay": decay, "base": rate}
        for (rate, decay), p in ordered
    ]
    if config.optimizer == "sgd":
        return torch.optim.SGD(params, momentum=0.9)
    kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    return kind(params)


@contextmanager
def own_dropout(rng: Rng, device: torch.device) -> Iterator[None]:
    """Give torch's global random numbers a seed of ours for a while, and theirs back afterwards."""
    on_gpu = device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if on_gpu else []):
        seed = rng.torch().initial_seed()
        torch.default_generator.manual_seed(seed)
        if on_gpu:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
