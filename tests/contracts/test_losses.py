"""Every training objective against the loss contract.

One of the registry that `LOSSES` does not have is made by its name; a row may say other settings.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from genviews.represent.losses import (
    OBJECTIVES,
    ClassPrediction,
    Decoupled,
    LatentPrediction,
    MultiPositive,
    NTXent,
    Objective,
    SupCon,
    VICReg,
    choose_objective,
)
from genviews.testing import LOSS_CHECKS, LossInputs, check_loss
from tests.contracts.complete import leaves

LOSSES: list[tuple[Objective, dict[str, Any]]] = [
    (NTXent(), {}),
    (NTXent(similarity="multiply", base_temperature=None, temperature=2.0, anchors="first"), {}),
    (SupCon(), {}),
    (SupCon(anchors="first", temperature=0.2), {"num_views": 3}),
    (MultiPositive(), {"num_views": 4}),
    (MultiPositive(base_temperature=0.07), {}),
    (Decoupled(), {}),
    (Decoupled(temperature=0.3), {"num_views": 3}),
    (VICReg(), {}),
    (VICReg(covariance=5.0), {"num_views": 3}),
    (LatentPrediction(z_dim=3), {"width": 3}),
    (LatentPrediction(z_dim=3, num_classes=2, y_weight=0.5), {"width": 5, "num_classes": 2}),
    (ClassPrediction(num_classes=3), {"width": 3, "num_views": 1}),
]
for name, kind in OBJECTIVES.items():
    if kind not in {type(loss) for loss, _ in LOSSES}:
        added = choose_objective(name, z_dim=3, num_classes=3)[0]
        LOSSES.append((added, {} if added.width is None else {"width": added.width}))


def test_the_table_is_complete() -> None:
    assert leaves(Objective) == {type(loss) for loss, _ in LOSSES}


@pytest.mark.parametrize(("loss", "sizes"), LOSSES, ids=lambda value: repr(value)[:60])
def test_loss_contract(loss: Objective, sizes: dict[str, Any]) -> None:
    check_loss(loss, **sizes)


class Broken(Objective):
    """Views of a sample close together, those of a class apart; breaks the law named by `law`."""

    unit = True

    def __init__(self, law: str) -> None:
        self.law = law

    def __describe__(self) -> dict[str, object]:
        return {"law": self.law, "copies": id(self) if self.law == "it_is_described" else 0}

    @property
    def needs(self) -> tuple[str, ...]:
        return ("labels", "z") if self.law == "it_reads_what_it_needs_alone" else ("labels",)

    def terms(self, u, labels=None, z=None) -> dict[str, Tensor]:
        if self.law == "half_precision_does_not_matter":
            close = torch.nn.functional.linear(u[:, 0], u[:, 1]).diagonal().double()
            return {"close": (1 - close).square().sum() + self._apart(u, labels)}
        if self.law == "wrong_lengths_are_refused":
            return self._terms(u, labels, z)
        return super().terms(u, labels, z)

    def _apart(self, u: Tensor, labels: Tensor) -> Tensor:
        centre = u.mean(1)
        other = labels[:, None] != labels
        return ((centre @ centre.T).square() * other).sum()

    def _terms(self, u: Tensor, labels: Tensor, z: Tensor | None) -> dict[str, Tensor]:
        close = (u[:, :1] - u).square().sum() + u[:, :, 0].square().sum()
        value = close + self._apart(u, labels)
        match self.law:
            case "it_is_a_finite_number":
                value = value + torch.rand(())
            case "the_order_of_samples_does_not_matter":
                value = value + u[0, 0, 0]
            case "every_view_has_the_gradient_of_the_number":
                value = value.detach() + u[:, 0].sum()
            case "small_batches_give_a_number_or_an_error":
                rows = u.flatten(0, 1)
                value = value + (rows - rows.mean(0)).square().sum() / (len(rows) - 1)
            case "collapsed_projections_have_a_gradient":
                value = value + (u[:, 0] - u[:, -1]).norm(dim=-1).square().sqrt().sum()
        return {"value": value}


@pytest.mark.parametrize("check", LOSS_CHECKS, ids=lambda check: check.__name__)
def test_a_loss_that_breaks_the_law_is_caught(check) -> None:
    sizes = {"num_views": 2, "width": 5, "num_classes": 3, "z_dim": 3}
    for law, caught in ((check.__name__, True), ("none", False)):
        loss = Broken(law)
        inputs = LossInputs.for_loss(loss, **sizes)
        if caught:
            with pytest.raises((AssertionError, RuntimeError)):
                check(loss, inputs)
        else:
            check(loss, inputs)
