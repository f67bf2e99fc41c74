"""Which images are shown, and that they are the very ones that were classified."""

from __future__ import annotations

import inspect
from types import SimpleNamespace

import torch

from genviews.ensemble.choose import pick


def evaluation(correct, sure):
    proba = torch.tensor([[s, 1 - s] for s in sure], dtype=torch.float64)
    return SimpleNamespace(correct=torch.tensor(correct), proba=proba)


def test_kinds_quotas_and_order():
    number = 30
    single = evaluation([i % 5 != 0 for i in range(number)], [0.5] * number)
    # Fixed: 0, 5, 10, 15, 20, 25 with growing confidence; broke: 1 and 2.
    correct = [i not in (1, 2) for i in range(number)]
    sure = [0.5 + i / 100 for i in range(number)]
    loss = torch.linspace(1, 2, number)
    loss[28] = torch.nan
    picks = raw(pick)(single, evaluation(correct, sure), loss, 12)
    kinds = dict(zip(picks.rows, picks.kinds, strict=True))
    assert len(picks.rows) == len(set(picks.rows)) == 12
    assert [r for r, k in kinds.items() if k == "fixed"] == [25, 20, 15, 10]
    assert [r for r, k in kinds.items() if k == "broke"] == [2, 1]
    assert [r for r, k in kinds.items() if k == "best reconstruction"] == [0, 3]
    assert [r for r, k in kinds.items() if k == "worst reconstruction"] == [29, 27]
    typical = [r for r, k in kinds.items() if k == "typical"]
    assert all(12 <= r <= 17 for r in typical)
    assert 28 not in kinds


def test_what_is_missing_goes_to_typical_images():
    same = evaluation([True] * 8, [0.6] * 8)
    picks = raw(pick)(same, same, torch.linspace(0, 1, 8), 6)
    assert sorted(picks.kinds) == ["best reconstruction"] + ["typical"] * 4 + [
        "worst reconstruction"
    ]
    assert len(raw(pick)(same, same, torch.linspace(0, 1, 8), 50).rows) == 8


def raw(function):
    """The function without the runtime check of its annotations."""
    return inspect.unwrap(function)
