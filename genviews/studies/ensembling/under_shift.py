"""What is measured under one shift: the classifier alone, its rivals, and ensembles of views.

Every row is fitted on calibration images and measured on test images once. What was known of the
shift when it was fitted makes a *protocol*:

- "known shift": calibration images under the same shift, with labels, as in the paper;
- "unlabelled": images under the same shift without labels, and clean ones with labels;
- "clean": clean calibration images alone;
- "one weight": clean images and copies under one mild shift of another kind;
- "noticing": clean images, which count for half, and copies under mild shifts of all other kinds.

Rivals (pixel views, restorations) are always chosen by the first, which favours them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from genviews.augment.base import PixelViews
from genviews.classify.model import predict_logits
from genviews.classify.task import Task
from genviews.data.images import spread_rows
from genviews.ensemble.bank import PredictionBank, ViewBank
from genviews.ensemble.choose import shared_budget
from genviews.ensemble.combine import Method, score
from genviews.ensemble.notice import NoticingEnsemble, alpha_without_labels
from genviews.ensemble.rule import EnsembleRule
from genviews.ensemble.significance import GainReport, gain_report
from genviews.ensemble.views import ViewSet
from genviews.ensemble.weigh import Ensemble
from genviews.memory import images_in_shard
from genviews.perturb.base import Perturbation
from genviews.robustness.batch_statistics import batch_norms, with_batch_statistics
from genviews.robustness.restore import Restoration
from genviews.robustness.shifted import Restored, RestoredViews
from genviews.studies.bench import SPLITS, Bench
from genviews.studies.ensembling.calibrated import Calibrated
from genviews.studies.under import under

__all__ = [
    "AT_ONCE",
    "BEST",
    "CLEAN",
    "TOGETHER",
    "Measured",
    "Protocol",
    "Rivals",
    "alone",
    "averaged",
    "best_of",
    "measure",
    "with_views",
]

AT_ONCE = 1000
"""Images, or fewer where they are large, that batch statistics are taken from."""

CLEAN = "clean"
"""The name of no shift."""

BEST = "best rival"
"""Of pixel views and all that restores, the one that calibration under the shift chose."""

TOGETHER = "batch statistics"
"""The rival that answers for all test images at once, which nothing else may."""

_WITH_VIEWS = {
    "pixel views": "both",
    "restoration": "restored, then views",
    TOGETHER: "batch statistics and views",
}


def with_views(rival: str) -> str:
    """The row of a rival together with generated views."""
    return _WITH_VIEWS.get(rival, f"{rival}, then views")


Protocol = Literal["known shift", "unlabelled", "clean", "one weight", "noticing"]


@dataclass(frozen=True, kw_only=True)
class Measured(GainReport):
    """One way to answer for images under a shift, compared with the single image.

    Args:
        shift: name of it.
        task: whose classifier answers.
        row: what is put together, such as "generated views".
        protocol: what was known of the shift when it was fitted; "" where nothing is fitted.
        chosen: what was chosen on calibration, such as "median:3"; "" where there was no choice.
        alpha: weight of the views; the mean of the weights where each image has its own; None where
            nothing is weighed.
        against: row -> this one compared with that, on the same images. Of the first classifier
            also task -> compared with the classifier of that task alone, where the others are
            rivals, trained otherwise.
    """

    shift: str
    task: str
    row: str
    protocol: str = ""
    chosen: str = ""
    alpha: float | None = None
    against: Mapping[str, GainReport]


@dataclass(frozen=True, kw_only=True)
class Rivals:
    """What generated views are compared with, and what they are.

    Args:
        perturbation: that makes the views.
        pixel_views: of the image.
        restorations: of the image, each to be classified in its place.
        others: further restorations, each with a row of its own.
        for_all: whether pixel views and restorations are shown to all classifiers; else to the
            first alone, and the others are rivals of it.
        inverted: whether restored images are inverted and viewed as well, those of the best
            restoration and of each of the others.
        num_views: generated views, and pixel views, of an image.
        rule: how predictions become one, and what is best.
    """

    perturbation: Perturbation
    pixel_views: tuple[PixelViews, ...]
    restorations: tuple[Restoration, ...]
    others: tuple[Restoration, ...]
    for_all: bool
    inverted: bool
    num_views: int
    rule: EnsembleRule

    @property
    def of_pixels(self) -> list[ViewSet]:
        """Pixel views, and each restoration as one."""
        restored = map(RestoredViews, (*self.restorations, *self.others))
        return [ViewSet(pixels=views) for views in (*self.pixel_views, *restored)]

    def chosen(self, first: PredictionBank) -> Rivals:
        """The pixel views and the restoration that do best on calibration, besides all others."""
        pixels, instead = (
            best_of(methods, first, self.rule)
            for methods in (
                [averaged(one.name) for one in self.pixel_views],
                [alone(one.name) for one in self.restorations],
            )
        )
        return replace(
            self,
            pixel_views=tuple(
                one for one in self.pixel_views if pixels and one.name == pixels.name
            ),
            restorations=tuple(
                one for one in self.restorations if instead and one.name == instead.name
            ),
        )

    @property
    def views(self) -> str:
        """Key of the generated views."""
        return self.perturbation.name


def measure(
    bench: Bench, name: str, rivals: Rivals, calibrated: Calibrated, milds: Sequence[str]
) -> list[Measured]:
    """Measure every row of every task under a shift, the single image first.

    Args:
        bench: of images under the shift.
        name: of the shift.
        rivals: what is compared.
        calibrated: what protocols without knowledge of the shift fit on.
        milds: of it, the mild shifts that they may: the first for one weight, all for weights that
            notice.
    """
    found, none = list[Measured](), replace(rivals, pixel_views=(), restorations=(), others=())
    few = bench.tasks if rivals.for_all else bench.tasks[:1]
    views = [ViewSet(perturbation=rivals.perturbation)]
    first, last = (bench.bank(split, views, num_views=rivals.num_views) for split in SPLITS)
    known = _beside(bench, first.of(few), rivals)
    loss = bench.inversions("test").loss_of(last.ids)
    labels, main = last[few[0].name].known_labels(), bench.tasks[0]
    trained = {
        task.name: last[task.name].get("image")[:, 0].argmax(-1) == labels
        for task in bench.tasks[1:]
        if not rivals.for_all and task.labels == main.labels
    }
    for task in bench.tasks:
        # Test images are shown as the chosen rivals have them, and as no others.
        own = rivals.chosen(known[task.name]) if task in few else none
        asked = known if task in few else first
        rows = _Rows(name, task, asked[task.name], _beside(bench, last.of([task]), own)[task.name])
        _plain_rows(rows, own)
        _batch_statistics(rows, rivals, bench)
        _weighed_rows(rows, own, calibrated, milds, loss)
        if rivals.inverted and task is main:
            for row, restorations in (("restoration", own.restorations), ("", own.others)):
                for one in restorations:
                    _restored_row(rows, rivals, row or one.name, under(bench, Restored(one)))
        found += rows.measured(trained if task is main else {})
    return found


def _beside(bench: Bench, bank: ViewBank, rivals: Rivals) -> ViewBank:
    """A bank with what the same classifiers say of the rivals' images."""
    if not (sets := rivals.of_pixels):
        return bank
    return bank.merge(bench.bank(bank.split, sets, num_views=rivals.num_views, tasks=bank.tasks))


class _Rows:
    """Answers of one task under one shift, each as rights and wrongs on test."""

    def __init__(self, shift: str, task: Task, first: PredictionBank, last: PredictionBank) -> None:
        self.shift, self.task, self.first, self.last = shift, task, first, last
        self.correct: dict[tuple[str, str], Tensor] = {}
        self.facts: dict[tuple[str, str], tuple[str, float | None]] = {}

    def add(
        self,
        row: str,
        proba: Tensor,
        *,
        protocol: str = "",
        chosen: str = "",
        alpha: float | None = None,
    ) -> None:
        self.correct[row, protocol] = proba.argmax(-1) == self.last.known_labels()
        self.facts[row, protocol] = chosen, alpha

    def measured(self, trained: Mapping[str, Tensor]) -> list[Measured]:
        """Each row, with its comparisons with the rows that have no weight, and with others.

        Args:
            trained: task -> where that classifier alone is right.
        """
        single = self.correct["single image", ""]
        same = ("single image", BEST)  # the best rival is one of those that have rows
        plain = {
            row: own
            for (row, protocol), own in self.correct.items()
            if protocol == "" and row not in same
        } | dict(trained)
        return [
            Measured(
                **vars(gain_report(right, single)),
                shift=self.shift,
                task=self.task.name,
                row=row,
                protocol=protocol,
                chosen=self.facts[row, protocol][0],
                alpha=self.facts[row, protocol][1],
                against={
                    name: gain_report(right, other) for name, other in plain.items() if protocol
                },
            )
            for (row, protocol), right in self.correct.items()
        ]


def _plain_rows(rows: _Rows, rivals: Rivals) -> None:
    """What has no weight, of chosen rivals."""
    rule, first, last = rivals.rule, rows.first, rows.last
    rows.add("single image", Method(name="", group="image").fixed_proba(last, rule))
    pixels = [averaged(one.name) for one in rivals.pixel_views]
    instead = [alone(one.name) for one in rivals.restorations]
    others = [alone(one.name) for one in rivals.others]
    for row, methods in (("pixel views", pixels), ("restoration", instead)):
        for one in methods:
            rows.add(row, one.fixed_proba(last, rule), chosen=one.name)
    for one in others:
        rows.add(one.name, one.fixed_proba(last, rule))
    if (best := best_of([*pixels, *instead, *others], first, rule)) is not None:
        rows.add(BEST, best.fixed_proba(last, rule), chosen=best.name)
    rows.add("reconstruction", alone("reconstruction").fixed_proba(last, rule))


def _batch_statistics(rows: _Rows, rivals: Rivals, bench: Bench) -> None:
    """The classifier with the statistics of a split's images, where it has batch norms.

    Once alone, and once weighed with what the classifier as it is says of generated views.
    """
    if not batch_norms(rows.task.classifier):
        return
    first, last = (
        replace(bank, logits={**bank.logits, "image": _adapted(rows.task, bench, bank)[:, None]})
        for bank in (rows.first, rows.last)
    )
    rows.add(TOGETHER, last.logits["image"][:, 0].double().softmax(-1))
    fitted = Ensemble(rivals.views, rule=rivals.rule).fit(first)
    proba, alpha = fitted.predict_proba(last), fitted.alpha_
    rows.add(with_views(TOGETHER), proba, protocol="known shift", alpha=alpha)


def _adapted(task: Task, bench: Bench, bank: PredictionBank) -> Float[Tensor, "N Y"]:
    """Logits of the images of a bank, by the classifier with their statistics."""
    source, plan = bench.images(bank.split), bench.plan()
    places, size = source.rows_of(bank.ids), images_in_shard(source.image_spec, AT_ONCE)
    spread = [places[i] for i in spread_rows(len(places), size)]

    def shown(part: Sequence[int]) -> Tensor:
        batch = source.read(part)
        return plan.shown(batch.images, batch.ids).to(bench.device)

    adapted = with_batch_statistics(task.classifier, shown(spread))
    parts = [places[start : start + size] for start in range(0, len(places), size)]
    # As a view of each: a shift may leave nothing darker than grey, which looks like another range
    # where a set of different images is judged.
    said = [
        predict_logits(adapted, shown(part)[:, None], batch_size=bench.batch_size)[:, 0]
        for part in parts
    ]
    return task.answer(torch.cat(said)).cpu()


def _weighed_rows(
    rows: _Rows,
    rivals: Rivals,
    calibrated: Calibrated,
    milds: Sequence[str],
    loss: Float[Tensor, " N"],
) -> None:
    """Generated views, weighed by each protocol; and both kinds of views at the same budget."""
    rule, first, last, name = rivals.rule, rows.first, rows.last, rows.task.name
    clean, _ = calibrated.joined(name, [])
    mixed, _ = calibrated.joined(name, milds[:1])
    finer = replace(rule, choose_by="log-loss")
    ensemble, views = Ensemble(rivals.views, rule=rule), "generated views"
    fitted = {
        "known shift": Ensemble(rivals.views, rule=rule).fit(first).alpha_,
        "unlabelled": alpha_without_labels(ensemble, clean, first),
        "clean": Ensemble(rivals.views, rule=rule).fit(clean).alpha_,
        "one weight": Ensemble(rivals.views, rule=finer).fit(mixed).alpha_,
    }
    for protocol, alpha in fitted.items():
        proba = Ensemble(rivals.views, rule=rule, alpha=alpha).predict_proba(last)
        rows.add(views, proba, protocol=protocol, alpha=alpha)
    noticing = NoticingEnsemble(ensemble)
    noticing.fit(*calibrated.joined(name, milds), counts=calibrated.counts(milds))
    proba, mean = noticing.predict_proba(last, loss), noticing.weights(last, loss).mean()
    rows.add(views, proba, protocol="noticing", alpha=float(mean))
    chosen = rows.facts.get(("pixel views", ""), ("", None))[0]
    if chosen:
        size, count = shared_budget(first, rivals.views, chosen)
        both = Ensemble(rivals.views, image_views=chosen, image_size=size, rule=rule)
        both.fit(first.fewer_views(rivals.views, count))
        rows.add(
            "both",
            both.predict_proba(last.fewer_views(rivals.views, count)),
            protocol="known shift",
            chosen=chosen,
            alpha=both.alpha_,
        )


def _restored_row(rows: _Rows, rivals: Rivals, rival: str, bench: Bench) -> None:
    """Generated views of the restored image, weighed against it."""
    sets = [ViewSet(perturbation=rivals.perturbation)]
    first, last = (
        bench.bank(split, sets, num_views=rivals.num_views, tasks=[rows.task])[rows.task.name]
        for split in ("calibration", "test")
    )
    fitted = Ensemble(rivals.views, rule=rivals.rule).fit(first)
    # An image that has no answer once it is restored keeps that to the image as it came.
    answers = dict(zip(last.ids, fitted.predict_proba(last), strict=True))
    plain = rows.last.probs("image")[:, 0]
    each = [answers.get(name, own) for name, own in zip(rows.last.ids, plain, strict=True)]
    rows.add(
        with_views(rival),
        torch.stack(each),
        protocol="known shift",
        chosen=rows.facts[rival, ""][0],
        alpha=fitted.alpha_,
    )


def best_of(methods: Sequence[Method], bank: PredictionBank, rule: EnsembleRule) -> Method | None:
    """The one that a calibration bank chooses, the first of equal ones; None of none."""
    return max(methods, key=lambda one: score(one, bank, rule=rule), default=None)


def averaged(name: str) -> Method:
    """The image and its pixel views, all alike."""
    return Method(name=name, group="pixel", views=(name,), weighing="equal")


def alone(name: str) -> Method:
    """The first view of a set in the place of the image."""
    return Method(name=name, group="pixel", views=(name,), weighing="none")
