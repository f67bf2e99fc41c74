"""Where do generated views pay? Clean images and images under shifts, with every cheap rival.

Under a shift (noise, blur, compression, light) inversion pulls an image back to what the generator
knows, and views that take their fine rows from the prior lose more of the shift than the
reconstruction does. So do filters, which cost nothing. One table has them all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import TypeVar

from genviews.checks import fail
from genviews.ensemble.combine import ranked
from genviews.ensemble.rule import EnsembleRule
from genviews.kit import GeneratorKit
from genviews.perturb.base import Perturbation
from genviews.robustness.attack import attack
from genviews.robustness.corruption import Corruption, corruption
from genviews.robustness.restore import RESTORATIONS, restoration
from genviews.studies.base import Study
from genviews.studies.bench import Bench
from genviews.studies.ensembling.calibrated import calibrate
from genviews.studies.ensembling.choose import Viewed
from genviews.studies.ensembling.instant import Timed, by_time, time_blocks
from genviews.studies.ensembling.shift_answer import answer, count_claim
from genviews.studies.ensembling.shift_tables import (
    gain_bars,
    other_classifiers,
    pay_table,
    rival_table,
    together_table,
    weight_table,
)
from genviews.studies.ensembling.strips import strips
from genviews.studies.ensembling.under_shift import CLEAN, Measured, Rivals, measure
from genviews.studies.result import Result
from genviews.studies.under import under, under_attack

__all__ = ["KINDS", "STUDY", "Shifts", "UnderShifts", "measure_shifts", "run"]

KINDS = ("gaussian_noise", "impulse_noise", "gaussian_blur", "jpeg", "brightness", "contrast")
"""Of the corruptions that are measured."""

TABLE = tuple(f"{kind}:{severity}@imagenet-c" for kind in KINDS for severity in (1, 3, 5))
"""Six corruptions at three severities, fixed before any result was seen."""

HEADLINES = tuple(
    f"{kind}:3@imagenet-c" for kind in ("gaussian_noise", "gaussian_blur", "brightness")
)


MILD = tuple(f"{kind}:1@imagenet-c" for kind in ("gaussian_noise", "gaussian_blur", *KINDS[3:]))
"""The mildest severity of the table's scale; blur serves noise, which serves all others."""

Own = TypeVar("Own", bound="UnderShifts")


@dataclass(frozen=True, kw_only=True)
class UnderShifts(Viewed):
    """What is measured on clean images and under shifts.

    Args:
        num_views: Generated views of an image, and pixel views.
        shifts: Corruptions NAME:SEVERITY, on the scale of CIFAR-10-C or, as
            NAME:SEVERITY@imagenet-c, on the stronger one of ImageNet-C.
        attacks: Attacks NAME:BUDGET on the first classifier, which know of no views; budgets are in
            units of images in [-1, 1].
        fit_on: Mild shifts to fit on besides clean images, where the shift is not known: one weight
            on the first of another kind than the shift's, weights that notice on all of them. Of
            several kinds of views one is chosen for all shifts, on clean images and the first.
        calibration_images: Calibration images of each shift. Without it: all.
        test_images: Test images of each shift; clean ones are all measured. Without it: all.
        restorations: Rivals that restore an image, of which calibration chooses under each shift.
        skip_restored: Do not invert restored images as well.
        scale_images: Calibration images on which strengths of views compete.
    """

    num_views: int = 10
    shifts: tuple[str, ...] = TABLE
    attacks: tuple[str, ...] = ("fgsm:0.05", "pgd:0.05", "pgd:0.1")
    fit_on: tuple[str, ...] = MILD
    calibration_images: int | None = 500
    test_images: int | None = 1000
    restorations: tuple[str, ...] = RESTORATIONS
    skip_restored: bool = False
    scale_images: int = 250

    def quick(self: Own) -> Own:
        """Two shifts, few views and images."""
        return replace(
            self,
            num_views=2,
            shifts=("gaussian_noise:3",),
            attacks=("fgsm:0.05",),
            calibration_images=16,
            test_images=16,
            scale_images=8,
            fit_on=self.fit_on[:2],
            restorations=("median:3", "stretch"),
        )

    def check(self) -> None:
        """Raise ValueError for unknown shifts, or no other mild shift."""
        super().check()
        for name in (*self.shifts, *self.fit_on):
            corruption(name)
        for name in self.restorations:
            restoration(name)
        for name in self.attacks:
            attack(name).check_installed()
        for name in self.shifts:
            self.milds(name)

    @property
    def whole(self) -> tuple[str, ...]:
        """What is measured on all test images."""
        return (CLEAN,)

    def counts(self, name: str) -> dict[str, int]:
        """How many images of each split, where not all."""
        known = self.few.items()
        return {split: most for split, most in known if split != "test" or name not in self.whole}

    @property
    def few(self) -> dict[str, int]:
        """How many images of each split, where not all."""
        few = {"calibration": self.calibration_images, "test": self.test_images}
        return {split: most for split, most in few.items() if most is not None}

    def milds(self, name: str) -> list[str]:
        """What may be fitted on for a shift: never its own kind."""
        kind = corruption(name).kind if name in self.shifts else ""
        found = [one.name for one in map(corruption, self.fit_on) if one.kind != kind]
        if not found:
            fail(
                "--fit-on",
                expected="for each shift a mild one of another kind",
                got=f"{', '.join(self.fit_on) or 'none'} for {name}",
                remedy="name a second one, such as gaussian_blur:1@imagenet-c",
            )
        return found


@dataclass(frozen=True, kw_only=True)
class Shifts(UnderShifts):
    """Options of the study of shifts.

    Args:
        attack_each: Attack every classifier for itself, and not the first for all.
        all_rivals: Show pixel views and restorations to all classifiers, not to the first alone.
        headlines: Shifts that are measured on all test images, as clean images are.
        steps: Numbers of optimisation steps after which ensembles are measured, and timed, on clean
            images and under the headlines; without headlines nothing is timed.
        gallery_images: Test images shown of each shift; 0 shows none.
    """

    attack_each: bool = False
    all_rivals: bool = False
    headlines: tuple[str, ...] = HEADLINES
    steps: tuple[int, ...] = (0, 5, 15, 40)
    gallery_images: int = field(default=2, metadata={"least": 0})

    def quick(self) -> Shifts:
        """Two shifts, few views and images."""
        few = super().quick()
        return replace(few, headlines=few.shifts, steps=(0, 2), gallery_images=1)

    def check(self) -> None:
        """Raise ValueError for headlines that are no shifts too."""
        super().check()
        if strange := [name for name in self.headlines if name not in self.shifts]:
            remedy = "name them among the shifts as well"
            fail("--headlines", expected="some of --shifts", got=strange[0], remedy=remedy)

    @property
    def whole(self) -> tuple[str, ...]:
        """Clean images and headlines."""
        return (CLEAN, *self.headlines)


def check(kit: GeneratorKit | None, options: UnderShifts) -> None:
    """Refuse shifts that the generator's images cannot have, such as of colour for grey ones."""
    if kit is not None:
        for name in (*options.shifts, *options.fit_on):
            corruption(name).check(kit.generator.image_spec)


def run(bench: Bench, options: Shifts) -> Result:
    """Measure the classifier, its rivals and ensembles of views on clean and shifted images.

    Source: Chai et al. 2021, section 4.4 and figures 7 and 19: corrupted images are inverted,
        alpha is chosen on corrupted validation images.

    Differs: other corruptions, on published scales; rivals; weights that were chosen without
        knowledge of the shift.
    """
    each = options.attack_each
    rivals, found = measure_shifts(bench, options, attack_each=each, all_rivals=options.all_rivals)
    benches = _benches(bench, options, attack_each=each) if options.gallery_images else ()
    shown = [
        strips(bench, own, name, rivals.perturbation, options.gallery_images)
        for name, own in benches
    ]
    timed = list[Timed]()
    for name in ("", *options.headlines) if options.headlines else ():
        shift = corruption(name) if name else None
        timed += by_time(bench, rivals, shift, options.steps, options.few)
    main = bench.tasks[0].name
    own = [one for one in found if one.task == main]
    verdict, tone = answer(found, options.attacks)
    return Result(
        title=bench.title or "Where do generated views pay?",
        verdict=verdict,
        tone=tone,
        blocks=(
            pay_table(own),
            gain_bars(own),
            weight_table(own),
            rival_table(own),
            *together_table(own),
            *other_classifiers(
                found,
                {task.name: task.title for task in bench.tasks},
                attacked_each=each,
            ),
            *time_blocks(timed),
            *shown,
        ),
        claims=count_claim(found, options.shifts),
        record=bench.record(
            options,
            data={
                "views": rivals.views,
                "milds": {one: options.milds(one) for one in (CLEAN, *options.shifts)},
                "rows": [asdict(one) for one in found],
                "timed": [asdict(one) for one in timed],
            },
        ),
    )


def measure_shifts(
    bench: Bench, options: UnderShifts, *, attack_each: bool, all_rivals: bool
) -> tuple[Rivals, list[Measured]]:
    """What is compared, and every row of every task on clean images and under each shift.

    Args:
        bench: of clean images.
        options: what is measured.
        attack_each: see `Shifts`.
        all_rivals: see `Shifts`.
    """
    milds = [corruption(word) for word in options.fit_on]
    rivals = _rivals(bench, options, milds[0], all_rivals=all_rivals)
    views, count = [rivals.perturbation], options.num_views
    calibrated = calibrate(bench, views, milds, options.few, num_views=count)
    found = list[Measured]()
    for name, own in _benches(bench, options, attack_each=attack_each):
        found += measure(own, name, rivals, calibrated, options.milds(name))
    return rivals, found


def _benches(
    bench: Bench, options: UnderShifts, *, attack_each: bool
) -> Iterator[tuple[str, Bench]]:
    """Clean images, and those under each shift and attack."""
    yield CLEAN, under(bench, None, counts=options.counts(CLEAN))
    for name in options.shifts:
        yield name, under(bench, corruption(name), counts=options.counts(name))
    asked = [[task] for task in bench.tasks] if attack_each else [list(bench.tasks)]
    for name in options.attacks:
        for tasks in asked:
            own = under_attack(bench, attack(name), tasks[0], counts=options.few, tasks=tasks)
            yield name, own


def _rivals(bench: Bench, options: UnderShifts, mild: Corruption, *, all_rivals: bool) -> Rivals:
    """What is compared, with the perturbation that does best on clean and mildly shifted images."""
    candidates = bench.perturbations
    chosen = candidates[0] if len(candidates) == 1 else _best(bench, options, mild)
    return Rivals(
        perturbation=chosen,
        pixel_views=bench.pixel_views,
        restorations=tuple(map(restoration, options.restorations)),
        others=bench.inputs.restorations,
        for_all=all_rivals,
        inverted=not options.skip_restored,
        num_views=options.num_views,
        rule=options.rule,
    )


def _best(bench: Bench, options: UnderShifts, mild: Corruption) -> Perturbation:
    """The one whose ensemble does best, by log-loss, on clean and mildly shifted images."""
    few = {"calibration": options.scale_images}
    task, named = bench.tasks[0], {one.name: one for one in bench.perturbations}
    count = max(1, options.num_views // 2)
    known = calibrate(bench, bench.perturbations, [mild], few, num_views=count, tasks=[task])
    bank, _ = known.joined(task.name, [mild.name])
    rule = EnsembleRule(merge=options.merge, choose_by="log-loss")
    return named[ranked(bank, list(named), rule=rule)[0].views[0]]


STUDY = Study(
    "ensembling/shifts",
    run,
    Shifts,
    source="Chai et al. 2021, Fig. 7 and 19; rivals and weights are ours",
    reported="faces: reconstruction alone recovers much of what attacks take, ensembling more in "
    "most cases; of 12 untargeted corruptions ensembling helps 6 (no numbers in text)",
    minutes=40,
    check=check,
)
