"""What time buys: accuracy under a shift against seconds an image, from no optimisation step on.

With an encoder an inversion of no steps is one pass of a network: the instant mode.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from genviews.ensemble.fill import rendered_label, view_logits
from genviews.ensemble.significance import GainReport, gain_report
from genviews.ensemble.views import ViewSet
from genviews.ensemble.weigh import Ensemble
from genviews.invert.optimize import invert
from genviews.robustness.shifted import Shift
from genviews.studies.bench import SPLITS, Bench
from genviews.studies.blocks import Block, Chart, Column, Curves, Series, Table
from genviews.studies.ensembling.under_shift import CLEAN, Rivals
from genviews.studies.statistics import accuracy_of, gains_of
from genviews.studies.under import under

__all__ = ["Timed", "by_time", "time_blocks"]

TIMED = 32  # images whose inversion and views are timed
TIMES = 3


@dataclass(frozen=True, kw_only=True)
class Timed(GainReport):
    """An ensemble of generated views after so many steps, over the single image.

    Args:
        shift: name of it.
        steps: of optimisation, at most.
        alpha: weight of the views, chosen on calibration images under the shift.
        seconds: an image takes, inversion and views and answers, on the machine of the run.
    """

    shift: str
    steps: int
    alpha: float
    seconds: float


def by_time(
    bench: Bench,
    rivals: Rivals,
    shift: Shift | None,
    steps: Sequence[int],
    counts: Mapping[str, int],
) -> list[Timed]:
    """Measure ensembles after each number of steps, all from one inversion.

    Args:
        bench: of clean images.
        rivals: whose generated views are made.
        shift: None for none.
        steps: ascending.
        counts: of splits, how many images.
    """
    own, task = under(bench, shift, counts=counts), bench.tasks[0]
    inverter = replace(bench.kit.inverter, steps=max(steps), snapshots=tuple(steps), tolerance=0.0)
    stores = {split: own.inversions(split, inverter) for split in SPLITS}
    sets, found = [ViewSet(perturbation=rivals.perturbation)], list[Timed]()
    for place, most in enumerate(steps):
        first, last = (
            own.bank(
                split,
                sets,
                num_views=rivals.num_views,
                tasks=[task],
                latents=stores[split].at(place),
                stage=f"views of {split} after {most} steps",
            )[task.name]
            for split in SPLITS
        )
        fitted = Ensemble(rivals.views, rule=rivals.rule).fit(first)
        right = fitted.predict(last) == last.known_labels()
        found.append(
            Timed(
                **vars(gain_report(right, last.correct())),
                shift=CLEAN if shift is None else shift.name,
                steps=most,
                alpha=fitted.alpha_,
                seconds=_seconds(own, rivals, most),
            )
        )
    return found


def _seconds(bench: Bench, rivals: Rivals, steps: int) -> float:
    """Median seconds an image, of a few images at once."""
    source, task = bench.images("test"), bench.tasks[0]
    batch = source.read(range(min(TIMED, len(source))))
    generator, spent = bench.kit.generator, list[float]()
    inverter = replace(bench.kit.inverter, steps=steps, tolerance=0.0)
    plan = bench.plan([ViewSet(perturbation=rivals.perturbation)], rivals.num_views)
    images = batch.images.to(bench.device)
    masks = None if batch.masks is None else batch.masks.to(bench.device)
    for _ in range(TIMES):
        begun = time.perf_counter()
        label = rendered_label([task], generator, plan.shown(images, batch.ids))
        latents = invert(generator, images, masks, inverter=inverter, label=label).latents
        view_logits([task], plan, images, batch.ids, latents)
        spent.append((time.perf_counter() - begun) / len(batch))
    return statistics.median(spent)


def time_blocks(found: Sequence[Timed]) -> list[Block]:
    """A figure and a table; none where nothing was timed."""
    if not found:
        return []
    shifts = list(dict.fromkeys(one.shift for one in found))
    series = []
    for shift in shifts:
        own = sorted((one for one in found if one.shift == shift), key=lambda one: one.seconds)
        series.append(
            Series(
                name=shift,
                x=tuple(one.seconds for one in own),
                y=tuple(one.accuracy for one in own),
                low=tuple(one.interval[0] for one in own),
                high=tuple(one.interval[1] for one in own),
            )
        )
    chart = Chart(
        x_label="seconds an image, on the machine of this run",
        y_label="accuracy on test",
        kind="percent",
        series=tuple(series),
        log_x=True,
    )
    table = Table(
        title="Accuracy after optimisation steps",
        columns=(
            Column(name="images", priority=0),
            Column(name="steps", kind="count", priority=0),
            Column(name="accuracy", kind="percent", digits=1, priority=0),
            Column(name="gain", kind="points", digits=1, help="over the single image"),
            Column(name="alpha", kind="number", digits=2, priority=2),
            Column(name="an image takes", kind="seconds"),
        ),
        rows=tuple(
            (one.shift, one.steps, accuracy_of(one), gain, one.alpha, one.seconds)
            for one, gain in zip(found, gains_of(found), strict=True)
        ),
        caption="Generated views, weighed under the shift. 0 steps is the encoder alone, or the "
        "start where there is none. A star: significant, this table corrected together (Holm).",
    )
    return [Curves(title="What time buys", charts=(chart,)), table]
