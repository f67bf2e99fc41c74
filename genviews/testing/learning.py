"""The contracts of learning: each loss on projections of views, `Schedule` of rates and `Probe`."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from genviews.evaluate.probe import Probe
from genviews.represent.losses.base import Objective
from genviews.represent.schedule import Schedule
from genviews.rng import Rng
from genviews.testing.laws import (
    Described,
    Laws,
    close,
    equal,
    expect,
    leaves_no_trace,
    refuses,
    sound,
)

__all__ = [
    "LOSS_CHECKS",
    "PROBE_CHECKS",
    "SCHEDULE_CHECKS",
    "LossInputs",
    "check_loss",
    "check_probe",
    "check_schedule",
]

SAMPLES = 6  # that a loss is called on
MOST = 1000  # steps that are looked at
CLASSES, WIDTH = 4, 10  # of the features that a probe is fitted to
CHANCE = 1 / CLASSES
LEARNS = 0.9  # accuracy on classes that hardly overlap


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
        labels = None if self.labels is None else self.labels[rows]
        z = None if self.z is None else self.z[rows][:, :num_views]
        return LossInputs(u=self.u[rows][:, :num_views], labels=labels, z=z)

    def value(self, loss: Objective) -> Tensor:
        """The loss."""
        return loss(self.u, self.labels, self.z)


def _unit(loss: Objective, u: Tensor) -> Tensor:
    return u / u.norm(dim=-1, keepdim=True) if loss.unit else u


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
    LossLaws.check(loss, inputs)


def check_schedule(schedule: Schedule) -> None:
    """Run every check of the contract on one schedule.

    Raises:
        AssertionError: a law is broken; the message says which.

    Example:
        >>> from genviews.represent.schedule import StepCosine
        >>> check_schedule(StepCosine(steps=40, warmup_steps=4))
    """
    ScheduleLaws.check(schedule)


def check_probe(make: Callable[[], Probe]) -> None:
    """Run every check of the contract on one kind of probe.

    Args:
        make: gives a fresh probe, which is fitted to 400 rows of ten features.

    Raises:
        AssertionError: a law is broken; the message says which.

    Example:
        >>> from genviews.evaluate.probe import KNNProbe
        >>> check_probe(lambda: KNNProbe((5, 20)))
    """
    ProbeLaws.check(make)


class LossLaws(Described[Objective]):
    """Six samples of a few views."""

    def __init__(self, loss: Objective, inputs: LossInputs) -> None:
        super().__init__(loss)
        self.inputs = inputs

    def _value(self) -> Tensor:
        return self.inputs.value(self.subject)

    def _value_with(self, name: str, value: Tensor | None) -> Tensor:
        """The loss when one of the inputs is another."""
        changed: dict[str, Any] = {name: value}
        return replace(self.inputs, **changed).value(self.subject)

    def _expect_finite(self, inputs: LossInputs, what: str) -> None:
        u = inputs.u.clone().requires_grad_()
        value = replace(inputs, u=u).value(self.subject)
        sound(value, f"the loss of {what}", ())
        (gradient,) = torch.autograd.grad(value, u)
        sound(gradient, f"the gradient of {what}", u.shape)

    def it_is_a_finite_number(self) -> None:
        """A finite scalar, the sum of its terms, the same at each call."""
        with leaves_no_trace():
            value = self._value()
        sound(value, "the loss", ())
        terms = self.subject.terms(self.inputs.u, self.inputs.labels, self.inputs.z)
        close(torch.stack(list(terms.values())).sum(), value, "the sum of the terms")
        equal(self._value(), value, "the loss of another call")

    def the_order_of_samples_does_not_matter(self) -> None:
        """Samples in another order, with what belongs to them, give the same."""
        moved = self.inputs.rows([3, 1, 5, 0, 4, 2]).value(self.subject)
        close(moved, self._value(), "the loss in another order", 1e-9)

    def every_view_has_the_gradient_of_the_number(self) -> None:
        """The gradient is finite, reaches every view of every sample, and equals differences."""

        def value(raw: Tensor) -> Tensor:
            return self._value_with("u", _unit(self.subject, raw))

        raw = (1.5 * self.inputs.u).requires_grad_()
        (gradient,) = torch.autograd.grad(value(raw), raw)
        sound(gradient, "the gradient", raw.shape)
        expect((gradient != 0).any(-1), "a view has no gradient")
        expect(torch.autograd.gradcheck(value, (raw,)), "the gradient is not that of the loss")

    def half_precision_does_not_matter(self) -> None:
        """Computed in float32 or better: under autocast nothing changes, in float32 round-off."""
        single = self.inputs.u.float()
        value = self._value_with("u", single)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            equal(self._value_with("u", single), value, "the loss under autocast")
        close(value, self._value(), "the loss in float32")

    def it_reads_what_it_needs_alone(self) -> None:
        """What `needs` names is asked for, and matters; what it does not name is not looked at."""
        expect(set(self.subject.needs) <= {"labels", "z"}, f"it needs {self.subject.needs}")
        value = self._value()
        extra = {"labels": torch.arange(SAMPLES), "z": torch.ones(SAMPLES, 2, 4)}
        for name, given in (("labels", self.inputs.labels), ("z", self.inputs.z)):
            if given is None:
                other = self._value_with(name, extra[name])
                equal(other, value, f"the loss with {name}, not in `needs`")
                continue
            for less in (None, given[:-1]):
                call = partial(self._value_with, name, less)
                refuses(call, f"too few {name}", (ValueError, TypeError))
            other = self._value_with(name, given.roll(1, 0))
            expect(not torch.equal(other, value), f"{name} make no difference")

    def small_batches_give_a_number_or_an_error(self) -> None:
        """One sample, one view, no two of a class: a finite loss and gradient, or a ValueError."""
        small = {
            "one view of one sample": self.inputs.rows([0], 1),
            "one sample": self.inputs.rows([0]),
            "one view of each": self.inputs.rows(list(range(SAMPLES)), 1),
        }
        if self.inputs.labels is not None:
            small["two samples of two classes"] = self.inputs.rows([0, SAMPLES - 1], 1)
        for what, few in small.items():
            with suppress(ValueError):
                self._expect_finite(few, what)

    def collapsed_projections_have_a_gradient(self) -> None:
        """All projections equal, or opposed: the loss and its gradient are finite."""
        equals = self.inputs.u[:1, :1].expand_as(self.inputs.u)
        signs = 1.0 - 2.0 * (torch.arange(equals.shape[1]) % 2)
        for what, u in (("equal", equals), ("opposed", equals * signs[:, None].to(equals))):
            self._expect_finite(replace(self.inputs, u=u), f"{what} projections")

    def wrong_lengths_are_refused(self) -> None:
        """Where projections must have length 1, others and those that are not finite are errors."""
        for factor in (0.9, 1.1, torch.nan) if self.subject.unit else ():
            off = self.inputs.u.clone()
            off[2, 0] *= factor
            refuses(partial(self._value_with, "u", off), f"a row of length {factor}")


class ScheduleLaws(Described[Schedule]):
    """Up to a thousand steps, the first and the last among them."""

    def __init__(self, schedule: Schedule) -> None:
        super().__init__(schedule)
        total = schedule.total_steps
        self.steps = sorted({*range(0, total, max(1, total // MOST)), total - 1})

    def every_step_has_a_rate(self) -> None:
        """The rate of each step is a finite number above 0."""
        rates = [self.subject.rate(step) for step in self.steps]
        good = all(math.isfinite(rate) and rate > 0 for rate in rates)
        expect(good, f"rates from {min(rates)} to {max(rates)}")

    def steps_beyond_the_training_are_refused(self) -> None:
        """A step below 0 or from `total_steps` on is an error: the training is over."""
        total = self.subject.total_steps
        for step in (-1, total, 2 * total):
            refuses(partial(self.subject.rate, step), f"step {step} of {total}")

    def the_step_alone_decides(self) -> None:
        """Asked in another order, again, or after pickling, a step has the same rate."""
        rates = [self.subject.rate(step) for step in self.steps]
        again = [self.subject.rate(step) for step in reversed(self.steps)][::-1]
        expect(again == rates, "another rate when asked in another order")
        copied = pickle.loads(pickle.dumps(self.subject))
        expect([copied.rate(step) for step in self.steps] == rates, "another rate after pickling")


class ProbeLaws(Laws[Callable[[], Probe]]):
    """A fresh probe each, on a hundred rows where a law says nothing else."""

    def __init__(self, make: Callable[[], Probe]) -> None:
        super().__init__(make)
        self.make, (self.h, self.y) = make, _features(0, 100)

    def _fitted(self, gap: float = 1.0) -> Probe:
        return self.make().fit(*_features(0, 400, gap)).select(*_features(1, 100, gap))

    def it_learns_what_the_features_know(self) -> None:
        """Classes that are apart are told apart, and the score is that of the predictions."""
        probe, (h, y) = self._fitted(gap=3.0), _features(2, 300, gap=3.0)
        score, hits = probe.score(h, y), int((probe.predict(h) == y).sum())
        expect((score.hits, score.total) == (hits, len(y)), f"{score.hits} hits, not {hits}")
        splits = {"fit": "train", "select": "val", "score": "test"}
        expect(score.splits == splits, f"{score.splits}")
        expect(score.accuracy > LEARNS, f"an accuracy of {score.accuracy:.2f}")

    def features_that_know_nothing_give_chance(self) -> None:
        """Where features and classes are independent, chance is within the interval."""
        low, high = self._fitted(gap=0.0).score(*_features(2, 2000, gap=0.0)).interval
        expect(low < CHANCE < high, f"an accuracy from {low:.2f} to {high:.2f}")

    def the_first_of_the_best_is_selected(self) -> None:
        """`select` takes the setting that does best on its split, of equals the first."""
        probe = self._fitted()
        best = max(probe.curve_)
        wanted = probe.settings_[probe.curve_.index(best)]
        expect(probe.setting == wanted, f"{probe.setting} of {probe.curve_}")
        expect(probe.score(*_features(1, 100), split="x").accuracy == best, "its curve")

    def nothing_is_chosen_on_a_test_split(self) -> None:
        """`fit` and `select` refuse every split that is not one to fit or choose on."""
        fitted = self.make().fit(self.h, self.y)
        for name in ("test", "Test", " test2007 ", "val-report"):
            refuses(partial(self.make().fit, self.h, self.y, split=name), f"fit on {name!r}")
            refuses(partial(fitted.select, self.h, self.y, split=name), f"select on {name!r}")

    def steps_come_in_their_order(self) -> None:
        """Nothing is scored or selected before `fit`, nor with several settings before `select`."""
        refuses(lambda: self.make().score(self.h, self.y), "score before fit")
        refuses(lambda: self.make().select(self.h, self.y), "select before fit")
        fitted = self.make().fit(self.h, self.y)
        if len(fitted.settings_) > 1:
            refuses(lambda: fitted.score(self.h, self.y), "score before select")

    def neighbours_do_not_matter(self) -> None:
        """A row is predicted the same alone, in another order, and by a probe fitted again."""
        probe, h = self._fitted(), _features(2, 50)[0]
        found = probe.predict(h)
        equal(probe.predict(h.flip(0)).flip(0), found, "predictions in another order")
        equal(probe.predict(h[7:8]), found[7:8], "the prediction of a row alone")
        equal(self._fitted().predict(h), found, "predictions of a probe fitted again")

    def labels_may_be_any_integers(self) -> None:
        """Labels with gaps are predicted as they are; one that `fit` did not see is wrong."""
        h, y = _features(0, 200, gap=3.0)
        labels = y * 7 + 3
        probe = self.make().fit(h, labels).select(h, labels)
        expect(set(probe.predict(h).tolist()) <= set(labels.tolist()), "labels that nobody gave")
        unseen = probe.score(h, torch.full_like(y, 5)).accuracy
        expect(unseen == 0.0, "an unseen class was found")

    def input_is_checked(self) -> None:
        """One class, one row again and again, another width and NaN are errors."""
        h, y = self.h, self.y
        holes = torch.where(h > 1, torch.nan, h)
        refuses(lambda: self.make().fit(h, torch.zeros_like(y)), "a single class")
        refuses(lambda: self.make().fit(torch.ones_like(h), y), "features that are all the same")
        refuses(lambda: self.make().fit(holes, y), "features that are NaN")
        probe = self.make().fit(h, y)
        refuses(lambda: probe.select(h[:, :5], y), "features of another width")
        refuses(lambda: probe.select(holes, y), "features that are NaN, in select")

    def nothing_global_changes(self) -> None:
        """No global random number is drawn, of torch or NumPy; the features stay."""
        with leaves_no_trace(self.h):
            self.make().fit(self.h, self.y).select(self.h, self.y).score(self.h, self.y)


def _features(seed: int, num: int, gap: float = 1.0) -> tuple[Tensor, Tensor]:
    """Gaussian classes whose centres are some `gap` deviations apart, and the class of each row."""
    centres = Rng(99, "centres").streams(range(CLASSES)).normal(1, (WIDTH,))[:, 0]
    streams = Rng(seed, "probe contract").streams(range(num))
    y = (streams.child("class").uniform(1, ()).flatten() * CLASSES).long()
    h = gap * centres[y] + streams.normal(1, (WIDTH,))[:, 0]
    return h * torch.logspace(-0.5, 0.5, WIDTH) + 0.3, y


LOSS_CHECKS = LossLaws.checks()
SCHEDULE_CHECKS = ScheduleLaws.checks()
PROBE_CHECKS = ProbeLaws.checks()
