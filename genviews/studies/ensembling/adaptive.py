"""Do generated views withstand somebody who attacks the ensemble, and knows of it?

Beside the attack on the classifier alone, which every defence looks good against, stand those that
follow the gradient through encoder, optimiser steps and generator. What counts is what withstands
all of them, image by image, where no sign of a masked gradient was seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from genviews.checks import check_number, fail
from genviews.ensemble.notice import NoticingEnsemble
from genviews.ensemble.rule import EnsembleRule
from genviews.ensemble.significance import gain_report
from genviews.ensemble.views import ViewSet
from genviews.ensemble.weigh import Ensemble
from genviews.identity import identify
from genviews.kit import GeneratorKit
from genviews.record_store import RecordStore
from genviews.robustness.adaptive import AdaptiveAttack, attack_defence, view_streams
from genviews.robustness.corruption import corruption
from genviews.robustness.defence import Preprocessed, Undefended, ViewsDefence
from genviews.robustness.gradient import PGD
from genviews.robustness.masking import MaskingReport, check_masking
from genviews.shard import key_text
from genviews.studies.base import Options, Study
from genviews.studies.bench import Bench
from genviews.studies.ensembling.adaptive_tables import (
    CLEAN,
    EXACT,
    NAIVE,
    WORST,
    Row,
    shown,
    with_signs,
)
from genviews.studies.result import Result
from genviews.studies.under import under
from genviews.work import Tell, run_shards

__all__ = ["STUDY", "Adaptive", "run"]

ALONE, VIEWS = "reconstruction", "views alone"
NOTICING, BOTH = "a weight for each image", "image and views"


@dataclass(frozen=True, kw_only=True)
class Adaptive(Options):
    """Options of the study of adaptive attacks.

    Args:
        perturbation: Of the views. Without it: stylemix_fine, or isotropic_all of a generator
            without fine rows.
        num_views: Views of the defence, K, beside the reconstruction.
        budgets: Largest change of a pixel, ascending, in units of images in [-1, 1].
        steps: Steps of each attack.
        repeats: Attacks from other random starts, of which the worst counts for each image.
        optimizer_steps: Steps of the inversion, ascending, of one defence each; 0 is the encoder
            alone.
        unroll: First steps of the inversion through which the gradient is exact; later ones pass
            it on.
        gradient_views: Views in each gradient, drawn anew for each step.
        fit_on: Corruption of the calibration images on which, and on clean ones, the weight of the
            views is fitted by log-loss.
        calibration_images: For that.
        test_images: That are attacked.
        masking_images: Of them, on which masked gradients are looked for.
    """

    perturbation: str | None = None
    num_views: int = 10
    budgets: tuple[float, ...] = (0.05, 0.1)
    steps: int = 20
    repeats: int = 2
    optimizer_steps: tuple[int, ...] = (0, 10)
    unroll: int = 10
    gradient_views: int = 3
    fit_on: str = "gaussian_noise:2"
    calibration_images: int = 250
    test_images: int = 200
    masking_images: int = 50

    def quick(self) -> Adaptive:
        """Few images, steps and views."""
        return replace(
            self,
            num_views=2,
            budgets=(0.1,),
            steps=1,
            repeats=1,
            optimizer_steps=(0,),
            unroll=1,
            gradient_views=1,
            calibration_images=6,
            test_images=6,
            masking_images=4,
        )

    def check(self) -> None:
        """Raise ValueError for an unknown corruption and a budget of 0 too."""
        super().check()
        corruption(self.fit_on)
        check_number(self.budgets[0], "--budgets", above=0, remedy="try 0.05")


@dataclass(frozen=True, kw_only=True, eq=False)
class _Images:
    """Some images of a split, with their classes."""

    images: Tensor
    labels: Tensor
    ids: tuple[str, ...]

    def first(self, count: int) -> _Images:
        return _Images(images=self.images[:count], labels=self.labels[:count], ids=self.ids[:count])


_Defence = ViewsDefence | Undefended | Preprocessed


@dataclass(frozen=True, kw_only=True, eq=False)
class _Target:
    """A defence, and what its gradient is taken of."""

    name: str
    defence: _Defence
    followed: _Defence


def check(kit: GeneratorKit | None, options: Adaptive) -> None:
    """Refuse a perturbation that the generator does not have, or a corruption of other images."""
    if kit is not None:
        corruption(options.fit_on).check(kit.generator.image_spec)
        kit.generator.check_differentiable("adaptive attacks")
        if options.perturbation is not None:
            kit.perturbation(options.perturbation)


def run(bench: Bench, options: Adaptive) -> Result:
    """Accuracy of the classifier and of ensembles under attacks that know of them, and that do not.

    The classifier is that of the first task. Beside it stand the bench's restorations, and after
    each number of steps the reconstruction, the views alone, and image and views with the weight
    that was fitted on calibration; after the fewest also a weight for each image, fitted on the
    same.
    """
    if bench.inputs.photo_transform is not None or bench.inputs.render_transform is not None:
        got, remedy = "a transform", "leave it out: no gradient is known of it"
        fail("images of this study", expected="shown as they are", got=got, remedy=remedy)
    test = _some(bench, options.test_images)
    targets, alphas = _targets(bench, options)
    rows, right = list[Row](), dict[tuple[str, float], dict[str, Tensor]]()
    for target in targets:
        for budget in options.budgets:
            found = _attacked(bench, options, targets[0], target, budget, test)
            right[target.name, budget] = found
            plain = right[targets[0].name, budget]
            rows.append(
                Row(
                    defence=target.name,
                    budget=budget,
                    alpha=alphas.get(target.name),
                    reports={way: gain_report(own, plain[CLEAN]) for way, own in found.items()},
                    against=gain_report(found[WORST], plain[WORST]),
                )
            )
    masking = _masking(bench, options, targets, right, test.first(options.masking_images))
    masking = with_signs(rows, masking, len(test.ids))
    facts = {"weights": alphas, "images": len(test.ids), "rows": [row.to_json() for row in rows]}
    told = {
        name: {**vars(one), "attack": way, "words": one.words}
        for name, (way, one) in masking.items()
    }
    return shown(rows, masking, bench.record(options, {**facts, "masking": told}))


def _some(bench: Bench, most: int) -> _Images:
    """Test images, drawn by their ids."""
    source, task = bench.images("test"), bench.tasks[0]
    rows = bench.drawn(source, most)
    batch = source.read(rows)
    if batch.masks is not None and not bool((batch.masks == 1).all()):
        got, remedy = "unknown ones", "leave out the alignment that makes them"
        fail("pixels of images to attack", expected="all known", got=got, remedy=remedy)
    labels = source.columns[task.labels].values[source.rows_of(batch.ids, rows)]
    return _Images(
        images=batch.images.to(bench.device), labels=labels.to(bench.device), ids=batch.ids
    )


def _targets(bench: Bench, options: Adaptive) -> tuple[list[_Target], dict[str, float | None]]:
    """The classifier, restorations, then each ensemble; and the weights of the views in them.

    The ensemble that gives each image a weight of its own stands at the fewest steps alone.
    """
    kit, classifier = bench.kit, bench.tasks[0].classifier
    plain = Undefended(model=classifier)
    found = [_Target(name="classifier", defence=plain, followed=plain)]
    for one in bench.inputs.restorations:
        restored = Preprocessed(model=classifier, process=one, through="own")
        found.append(_Target(name=one.name, defence=restored, followed=restored))
    alphas = dict[str, float | None]()
    name = options.perturbation
    if name is None:
        fine = any(rows.name == "fine" for rows in kit.generator.latent_spec.ranges)
        name = "stylemix_fine" if fine else "isotropic_all"
    for steps in options.optimizer_steps:
        alone = ViewsDefence(
            classifier=classifier,
            generator=kit.generator,
            inverter=replace(kit.inverter, steps=steps),
            perturbation=kit.perturbation(name),
            num_views=options.num_views,
            unroll=options.unroll,
        )
        alpha, noticing = _fitted(bench, options, alone)
        told = f"{ALONE}, {steps} steps"
        again = replace(alone, perturbation=None, alpha=1.0)
        found.append(_Target(name=told, defence=again, followed=again))
        alphas[told] = 1.0
        weights: dict[str, float | NoticingEnsemble] = {VIEWS: 1.0, BOTH: alpha}
        if steps == options.optimizer_steps[0]:  # for its cost
            weights = {VIEWS: 1.0, NOTICING: noticing, BOTH: alpha}
        for what, weight in weights.items():
            told, defence = f"{what}, {steps} steps", replace(alone, alpha=weight)
            followed = replace(defence, num_views=min(options.gradient_views, options.num_views))
            found.append(_Target(name=told, defence=defence, followed=followed))
            alphas[told] = weight if isinstance(weight, float) else None
    return found, alphas


def _fitted(bench: Bench, options: Adaptive, alone: ViewsDefence) -> tuple[float, NoticingEnsemble]:
    """Weights of the views with the least log-loss on clean images and corrupted copies.

    One for all images, and one for each.
    """
    assert alone.perturbation is not None
    own = under(
        bench,
        None,
        fit_on=[corruption(options.fit_on)],
        counts={"calibration": options.calibration_images},
    )
    inverted, task = own.inversions("calibration", alone.inverter), bench.tasks[0]
    bank = own.bank(
        "calibration",
        [ViewSet(perturbation=alone.perturbation)],
        num_views=options.num_views,
        tasks=[task],
        latents=inverted,
    )[task.name]
    ensemble = Ensemble(alone.perturbation.name, rule=EnsembleRule(choose_by="log-loss")).fit(bank)
    return ensemble.alpha_, NoticingEnsemble(ensemble).fit(bank, inverted.loss_of(bank.ids))


def _ways(
    options: Adaptive, plain: _Target, target: _Target, budget: float
) -> dict[str, tuple[AdaptiveAttack, _Defence]]:
    """The attacks on a defence by name, with what each follows the gradient of."""
    once = PGD(budget, steps=options.steps)
    most = replace(once, restarts=options.repeats)
    found: dict[str, tuple[AdaptiveAttack, _Defence]] = {
        NAIVE: (AdaptiveAttack(attack=once), plain.followed)
    }
    for loss in EXACT:
        found[loss] = AdaptiveAttack(attack=replace(most, loss=loss)), target.followed
    single = AdaptiveAttack(attack=replace(once, loss="margin"))
    if isinstance(target.followed, Preprocessed):
        found["pixels"] = (single, replace(target.followed, through="identity"))
    if isinstance(target.defence, ViewsDefence) and isinstance(target.followed, ViewsDefence):
        if target.defence.perturbation is not None:
            found["known draws"] = (replace(single, randomness="fixed"), target.defence)
        found["pixels"] = (single, replace(target.followed, through="pixels"))
        if (inverter := target.defence.inverter).steps:
            # A descent whose steps have one length whatever the slope, as Adam's, hides the slope.
            found["encoder"] = (single, replace(target.followed, unroll=0))
            instant = replace(target.followed, inverter=replace(inverter, steps=0))
            found["instant mode"] = (single, instant)
    return found


def _attacked(
    bench: Bench, options: Adaptive, plain: _Target, target: _Target, budget: float, test: _Images
) -> dict[str, Tensor]:
    """Where a defence is right: clean, after each attack, and after all of them."""
    right = dict[str, Tensor]()
    for way, (attack, followed) in _ways(options, plain, target, budget).items():
        found = attack_defence(
            target.defence,
            test.images,
            test.labels,
            test.ids,
            attack,
            gradient_of=followed,
            seed=bench.seed,
            folder=bench.place / "adaptive",
            engine=bench.engine,
            stage=f"attack {target.name} by {budget:g}, {way}",
            progress=bench.progress,
        )
        right[CLEAN] = found.clean_right
        right[way] = found.right
    return {**right, WORST: torch.stack(list(right.values())).all(0)}


def _strongest(
    options: Adaptive, plain: _Target, target: _Target, right: Mapping[str, Tensor]
) -> tuple[str, AdaptiveAttack, _Defence]:
    """The attack that knows the defence and found most at the smallest budget, without repeats."""
    ways = _ways(options, plain, target, options.budgets[0])
    way = min((name for name in ways if name != NAIVE), key=lambda name: int(right[name].sum()))
    attack, followed = ways[way]
    assert isinstance(attack.attack, PGD)
    return way, replace(attack, attack=replace(attack.attack, restarts=1)), followed


def _masking(
    bench: Bench,
    options: Adaptive,
    targets: list[_Target],
    right: Mapping[tuple[str, float], Mapping[str, Tensor]],
    test: _Images,
) -> dict[str, tuple[str, MaskingReport]]:
    """What tells of masked gradients, of each defence under the attack that found most."""
    plain, least = targets[0], options.budgets[0]
    strongest = [_strongest(options, plain, one, right[one.name, least]) for one in targets]
    identities = [
        identify(
            defence=one.defence,
            gradient_of=followed,
            attack=attack,
            images=test.images,
            ids=list(test.ids),
            budgets=options.budgets,
            seed=bench.seed,
        )
        for one, (_, attack, followed) in zip(targets, strongest, strict=True)
    ]
    store = RecordStore(
        [bench.place / "masking" / f"{identity.digest}.json" for identity in identities],
        [key_text(identity.exact) for identity in identities],
        [f"masked gradients of {one.name}" for one in targets],
    )

    def make(rows: range, tell: Tell) -> dict[str, Any]:
        target, (_, attack, followed) = targets[rows.start], strongest[rows.start]
        found = check_masking(
            target.defence,
            test.images,
            test.labels,
            view_streams(test.ids, bench.seed),
            attack,
            budgets=options.budgets,
            gradient_of=followed,
            transfer_from=None if target is plain else plain.defence,
        )
        return dict(vars(found))

    run_shards(
        store,
        len(targets),
        make,
        shard_size=1,
        stage="look for masked gradients",
        unit="defences",
        progress=bench.progress,
    )
    return {
        one.name: (way, _report(store.read(place)))
        for place, (one, (way, *_)) in enumerate(zip(targets, strongest, strict=True))
    }


def _report(kept: Mapping[str, Any]) -> MaskingReport:
    lists = {name: tuple(value) for name, value in kept.items() if isinstance(value, list)}
    return MaskingReport(**{**{n: v for n, v in kept.items() if n != "key"}, **lists})


STUDY = Study(
    "ensembling/adaptive",
    run,
    Adaptive,
    source="ours; the question is Athalye et al. 2018, arXiv 1802.00420, and arXiv 2411.16598",
    reported="of defences by generative models, hardly any withstood attacks that know of them",
    minutes=190,
    check=check,
)
