"""The contract of a training objective: the laws that each loss on projections of views keeps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from genviews.represent.losses.base import Objective
from genviews.rng import Rng
from genviews.testing.laws import (
    described_apart,
    expect,
    laws_of,
    leaves_no_trace,
    refuses,
    run_laws,
    same,
)

__all__ = ["LOSS_CHECKS", "LossInputs", "check_loss"]

SAMPLES = 6


@dataclass(frozen=True, kw_only=True)
class LossInputs:
    """What a loss is called on; `LossInputs.for_loss` draws it.

    Args:
        u: (B, V, P) projections in float64, of length 1 where the loss wants them so.
        labels: (B,) classes, or None where the loss needs none.
        z: (B, V, Z) prior latents, or None where it needs none.
    """

    u: Tensor
    labels: Tensor | None
    z: Tensor | None

    @classmethod
    def for_loss(
        cls, loss: Objective, *, num_views: int, width: int, num_classes: int, z_dim: int
    ) -> LossInputs:
        """Six samples; those of a class follow one another, two or more for up to 3 classes."""
        streams = Rng(0, "loss contract").streams(range(SAMPLES))
        u = streams.child("u").normal(num_views, (width,)).double()
        z = streams.child("z").normal(num_views, (z_dim,)).double()
        labels = torch.arange(SAMPLES) * num_classes // SAMPLES
        return cls(
            u=_unit(loss, u),
            labels=labels if "labels" in loss.needs else None,
            z=z if "z" in loss.needs else None,
        )

    def rows(self, rows: list[int], num_views: int | None = None) -> LossInputs:
        """Some of the samples, and the first of their views."""
        return LossInputs(
            u=self.u[rows][:, :num_views],
            labels=None if self.labels is None else self.labels[rows],
            z=None if self.z is None else self.z[rows][:, :num_views],
        )

    def value(self, loss: Objective) -> Tensor:
        """The loss."""
        return loss(self.u, self.labels, self.z)


def check_loss(
    loss: Objective,
    *,
    num_views: int = 2,
    width: int = 5,
    num_classes: int = 3,
    z_dim: int = 3,
) -> None:
    """Run every check of the contract on one loss.

    Args:
        loss: of `genviews.represent.losses`, or your own.
        num_views: V that it takes.
        width: P that it takes.
        num_classes: labels are below this, where it needs them.
        z_dim: Z, where it needs latents.

    Raises:
        AssertionError: a law is broken; the message says which.

    Example:
        >>> from genviews.represent.losses import ClassPrediction, NTXent
        >>> check_loss(NTXent())
        >>> check_loss(ClassPrediction(num_classes=3), width=3)
    """
    inputs = LossInputs.for_loss(
        loss, num_views=num_views, width=width, num_classes=num_classes, z_dim=z_dim
    )
    run_laws(LOSS_CHECKS, loss, inputs)


def it_is_a_finite_number(loss: Objective, inputs: LossInputs) -> None:
    """A finite scalar, the sum of its terms, the same at each call."""
    with leaves_no_trace():
        value = inputs.value(loss)
    expect(value.shape == (), f"its shape is {tuple(value.shape)}")
    expect(bool(value.isfinite()), f"it is {value.item()}")
    terms = loss.terms(inputs.u, inputs.labels, inputs.z)
    same(torch.stack(list(terms.values())).sum(), value, "the sum of the terms")
    expect(torch.equal(inputs.value(loss), value), "it differs from call to call")


def the_order_of_samples_does_not_matter(loss: Objective, inputs: LossInputs) -> None:
    """Samples in another order, with what belongs to them, give the same."""
    moved = inputs.rows([3, 1, 5, 0, 4, 2])
    same(moved.value(loss), inputs.value(loss), "the loss in another order", 1e-9)


def every_view_has_the_gradient_of_the_number(loss: Objective, inputs: LossInputs) -> None:
    """The gradient is finite, reaches every view of every sample, and equals differences."""

    def value(raw: Tensor) -> Tensor:
        return replace(inputs, u=_unit(loss, raw)).value(loss)

    raw = (1.5 * inputs.u).requires_grad_()
    (gradient,) = torch.autograd.grad(value(raw), raw)
    expect(bool(gradient.isfinite().all()), "the gradient is not finite")
    expect(bool((gradient != 0).any(-1).all()), "a view has no gradient")
    expect(torch.autograd.gradcheck(value, (raw,)), "the gradient is not that of the loss")


def half_precision_does_not_matter(loss: Objective, inputs: LossInputs) -> None:
    """Computed in float32 or better: under autocast nothing changes, in float32 only round-off."""
    single = replace(inputs, u=inputs.u.float())
    value = single.value(loss)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expect(torch.equal(single.value(loss), value), "autocast changes it")
    same(value, inputs.value(loss), "the loss in float32")


def it_reads_what_it_needs_alone(loss: Objective, inputs: LossInputs) -> None:
    """What `needs` names is asked for, and matters; what it does not name makes no difference."""
    expect(set(loss.needs) <= {"labels", "z"}, f"it needs {loss.needs}")
    value = inputs.value(loss)
    for name in ("labels", "z"):
        given = getattr(inputs, name)
        if given is None:
            extra = torch.arange(SAMPLES) if name == "labels" else torch.ones(SAMPLES, 2, 4)
            other = _value_with(loss, inputs, name, extra)
            expect(torch.equal(other, value), f"{name} make a difference, but are not in `needs`")
            continue
        for less in (None, given[:-1]):
            call = partial(_value_with, loss, inputs, name, less)
            refuses(call, f"too few {name}", (ValueError, TypeError))
        other = _value_with(loss, inputs, name, given.roll(1, 0))
        expect(not torch.equal(other, value), f"{name} make no difference")


def small_batches_give_a_number_or_an_error(loss: Objective, inputs: LossInputs) -> None:
    """One sample, one view, no two of a class: a finite loss with a gradient, or a ValueError."""
    every = list(range(SAMPLES))
    small = {
        "one view of one sample": inputs.rows([0], 1),
        "one sample": inputs.rows([0]),
        "one view of each": inputs.rows(every, 1),
    }
    if inputs.labels is not None:
        small["two samples of two classes"] = inputs.rows([0, SAMPLES - 1], 1)
    for what, few in small.items():
        try:
            _expect_finite(loss, few, what)
        except ValueError:
            continue


def collapsed_projections_have_a_gradient(loss: Objective, inputs: LossInputs) -> None:
    """All projections equal, or opposed: the loss and its gradient are finite."""
    equal = inputs.u[:1, :1].expand_as(inputs.u)
    signs = torch.where(torch.arange(inputs.u.shape[1]) % 2 == 0, 1.0, -1.0)
    _expect_finite(loss, replace(inputs, u=equal), "equal projections")
    opposed = equal * signs[:, None].to(equal)
    _expect_finite(loss, replace(inputs, u=opposed), "opposed projections")


def wrong_lengths_are_refused(loss: Objective, inputs: LossInputs) -> None:
    """Where projections must have length 1, others and those that are not finite are errors."""
    if not loss.unit:
        return
    for factor in (0.9, 1.1, torch.nan):
        off = inputs.u.clone()
        off[2, 0] *= factor
        refuses(partial(_value_with, loss, inputs, "u", off), f"a row of length {factor}")


def it_is_described(loss: Objective, inputs: LossInputs) -> None:
    """A copy has the same key for stored results."""
    described_apart(loss)


LOSS_CHECKS = laws_of(globals())


def _unit(loss: Objective, u: Tensor) -> Tensor:
    return u / u.norm(dim=-1, keepdim=True) if loss.unit else u


def _value_with(loss: Objective, inputs: LossInputs, name: str, value: Tensor | None) -> Tensor:
    given: dict[str, Any] = {"u": inputs.u, "labels": inputs.labels, "z": inputs.z, name: value}
    return loss(given["u"], given["labels"], given["z"])


def _expect_finite(loss: Objective, inputs: LossInputs, what: str) -> None:
    u = inputs.u.clone().requires_grad_()
    value = replace(inputs, u=u).value(loss)
    expect(bool(value.isfinite()), f"{what}: the loss is {value.item()}")
    (gradient,) = torch.autograd.grad(value, u)
    expect(bool(gradient.isfinite().all()), f"{what}: the gradient is not finite")
