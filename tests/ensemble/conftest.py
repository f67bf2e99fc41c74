"""Banks of random predictions, and the noisy toy task."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import nn

from genviews.ensemble.bank import PredictionBank
from tests.problem import Problem, toy_problem

MakeBank = Callable[..., PredictionBank]


@pytest.fixture
def make_bank() -> MakeBank:
    """A bank of random logits in which classes can be told, more or less."""

    def make(
        number: int = 40,
        classes: int = 3,
        keys: Mapping[str, int] | None = None,
        split: str = "calibration",
        seed: int = 0,
        signal: float = 1.0,
    ) -> PredictionBank:
        random = torch.Generator().manual_seed(seed)
        labels = torch.arange(number) % classes
        sizes = {"image": 1, "reconstruction": 1, **({"fine": 5} if keys is None else keys)}
        truth = signal * nn.functional.one_hot(labels, classes)[:, None]
        logits = {
            key: truth + 1.5 * torch.randn(number, k, classes, generator=random)
            for key, k in sizes.items()
        }
        return PredictionBank(
            ids=tuple(f"{split}-{i}" for i in range(number)),
            labels=labels,
            class_names=tuple(f"class {c}" for c in range(classes)),
            split=split,
            logits=logits,
        )

    return make


@pytest.fixture(scope="session")
def task() -> Problem:
    return toy_problem()
