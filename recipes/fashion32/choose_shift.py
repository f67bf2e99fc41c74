"""Which shift does the demo show? Chosen on calibration images of the study of shifts.

Claim: under some shift generated views beat the image, as many pixel views, the reconstruction and
the best filter.
Command: python -m recipes.fashion32.choose_shift   (after robustness.py shifts, whose work it has)
Time: a minute.
Split: the 500 calibration images of each shift, of `val`. Weights, pixel views and filters are
chosen on one half and measured on the other, then the other way round.
Rule, set before it was run: of all shifts of the table, the one whose least gain over the four, in
its paired standard errors, is the largest.
Writes: results/fashion32/choose_shift.json.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from genviews.augment.base import PixelViews
from genviews.ensemble.bank import PredictionBank
from genviews.ensemble.combine import Method
from genviews.ensemble.rule import EnsembleRule
from genviews.ensemble.significance import gain_report
from genviews.ensemble.views import ViewSet
from genviews.ensemble.weigh import Ensemble
from genviews.robustness.corruption import corruption
from genviews.robustness.restore import RESTORATIONS, restoration
from genviews.robustness.shifted import RestoredViews
from genviews.studies.bench import Bench
from genviews.studies.ensembling.shifts import Shifts
from genviews.studies.ensembling.under_shift import alone, averaged, best_of
from genviews.studies.under import under
from recipes.fashion32.robustness import FOLDER, RIVALS, STUDIES, inputs_of
from recipes.recipe import Printed, finish, folder_of, run

RESULT = Path("results/fashion32/choose_shift.json")
RULE = EnsembleRule()


def crossed(
    bank: PredictionBank, views: str, pixels: list[str], filters: list[str]
) -> dict[str, Tensor]:
    """Row -> which images it is right on, each half answered by what the other half chose."""
    halves = [torch.arange(len(bank)) % 2 == part for part in (0, 1)]
    right: dict[str, Tensor] = {}
    for own, other in (halves, halves[::-1]):
        first, last = bank.select(other), bank.select(own)
        said = {
            "single image": Method(name="", group="image").fixed_proba(last, RULE),
            "generated views": Ensemble(views, rule=RULE).fit(first).predict_proba(last),
            "reconstruction": alone("reconstruction").fixed_proba(last, RULE),
        }
        for row, methods in (
            ("pixel views", [averaged(name) for name in pixels]),
            ("best filter", [alone(name) for name in filters]),
        ):
            best = best_of(methods, first, RULE)
            assert best is not None
            said[row] = best.fixed_proba(last, RULE)
        for row, proba in said.items():
            found = right.setdefault(row, torch.zeros(len(bank), dtype=torch.bool))
            found[own] = proba.argmax(-1) == last.known_labels()
    return right


def standard_errors(right: Tensor, other: Tensor) -> float:
    """The paired gain over its standard error; 0 where no answer differs."""
    gap = right.double() - other.double()
    spread = float(gap.std()) / math.sqrt(len(gap))
    return float(gap.mean()) / spread if spread else 0.0


def main(out: Path = FOLDER, *, quick: bool = False) -> str:
    """Measure every shift of the table on calibration images, and name the shift of the demo."""
    options = STUDIES["shifts"][1]
    assert isinstance(options, Shifts)
    options = options.quick() if quick else options
    work = folder_of(out / "work", quick=quick)
    bench = Bench(inputs_of("shifts", quick=quick), folder=work, watcher=Printed())
    names = options.restorations if quick else RIVALS
    beside: list[PixelViews] = [RestoredViews(restoration(name)) for name in names]
    beside += [RestoredViews(other) for other in bench.inputs.restorations]
    sets = [ViewSet(pixels=one) for one in (*bench.pixel_views, *beside)]
    (mixed,) = bench.perturbations
    found = []
    for name in options.shifts:
        own = under(bench, corruption(name), counts=options.few)
        generated = own.bank(
            "calibration", [ViewSet(perturbation=mixed)], num_views=options.num_views
        )
        tasks = bench.tasks[:1]
        pixels = own.bank("calibration", sets, num_views=options.num_views, tasks=tasks)
        bank = generated.of(tasks).merge(pixels)[tasks[0].name]
        plain = [views.name for views in bench.pixel_views]
        filters = [name for name in RESTORATIONS if name in bank.view_keys]
        right = crossed(bank, mixed.name, plain, filters)
        ours = right.pop("generated views")
        found.append(
            {
                "shift": name,
                "accuracy": float(ours.double().mean()),
                "gains": {row: gain_report(ours, other).gain for row, other in right.items()},
                "least": min(standard_errors(ours, other) for other in right.values()),
            }
        )
    best = max(found, key=lambda one: float(str(one["least"])))
    config = {"restorations": list(RESTORATIONS), "images": options.calibration_images}
    facts = {"seed": bench.seed, "config": config, "shifts": found, "chosen": best["shift"]}
    finish("choose_shift", facts, None if quick else RESULT)
    return f"{best['shift']}: at least {best['least']:.1f} standard errors above each of the four."


if __name__ == "__main__":
    run(main)
