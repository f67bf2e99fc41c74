"""How accuracy grows with the number of views in the ensemble."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from scipy import special

from genviews.ensemble.combine import ranked
from genviews.ensemble.resample import SIZES, Resampled, ensemble_size_study, pixel_size_study
from genviews.ensemble.significance import gain_report
from genviews.ensemble.views import ViewSet
from genviews.ensemble.weigh import Ensemble
from genviews.studies.base import Study
from genviews.studies.bench import Bench
from genviews.studies.blocks import Column, Curves, Estimate, Table, chart_of
from genviews.studies.ensembling.choose import Fitted
from genviews.studies.ensembling.evidence import difference, gain_claim, weight_words
from genviews.studies.result import Result
from genviews.studies.statistics import MARGIN, SIGNIFICANCE, lasting

__all__ = ["STUDY", "EnsembleSize", "run"]


@dataclass(frozen=True, kw_only=True)
class EnsembleSize(Fitted):
    """Options of the study of ensemble size.

    Args:
        sizes: numbers of views, ascending; 0 is the image alone.
        times: ensembles drawn for each size, with replacement from all views.
    """

    sizes: tuple[int, ...] = SIZES
    times: int = 16

    def quick(self) -> EnsembleSize:
        """Three sizes, drawn twice."""
        return replace(self, sizes=(0, 2, 4), times=2)


def run(bench: Bench, options: EnsembleSize) -> Result:
    """Accuracy against the number of views, for each perturbation and each pixel augmentation.

    Alpha is chosen once, on calibration with as many views as the largest ensemble. Pixel views are
    averaged with the image with equal weight.
    """
    sizes, times, rule, seed = options.sizes, options.times, options.rule, bench.seed
    generated = [ViewSet(perturbation=p) for p in bench.perturbations]
    pixels = [ViewSet(pixels=p).name for p in bench.pixel_views]
    every = [*generated, *(ViewSet(pixels=p) for p in bench.pixel_views)]
    first, last = bench.banks(every, max(sizes))
    curves = {}
    for views in generated:
        curves[views.name] = ensemble_size_study(
            Ensemble(views.name, rule=rule),
            first,
            last,
            sizes=sizes,
            members=max(sizes),
            times=times,
            seed=seed,
        )
    for name in pixels:
        curves[name] = pixel_size_study(
            last, [name], sizes=sizes, times=times, merge=rule.merge, seed=seed
        )
    best = ranked(first, [v.name for v in generated], rule=rule)[0]
    gain = gain_report(best.predict(last) == last.known_labels(), last.correct())
    name, shown = best.views[0], {n: [_estimate(p) for p in own] for n, own in curves.items()}
    columns = (Column(name=n, kind="percent", digits=2, priority=i) for i, n in enumerate(shown))
    table = Table(
        title="Accuracy on test against the number of views",
        columns=(Column(name="views", kind="count", priority=0), *columns),
        rows=tuple(zip(sizes, *shown.values(), strict=True)),
        caption="Mean and 95 % interval over redrawn views; the test images stay the same.",
    )
    chart = chart_of(table, list(shown), y_label="accuracy on test")
    claim = gain_claim(
        "An ensemble with generated views is more accurate than the single image.",
        gain,
        said="a few views help, more help further, then a plateau (near 16)",
        source="Chai et al. 2021, Fig. 6",
    )
    return Result(
        title="How many views are worth making?",
        verdict=f"All views of {name!r} ({weight_words(best.alpha_)}): {difference(gain)} over the "
        f"single image. {_enough(curves[name])}",
        blocks=(table, Curves(title="Accuracy by size", charts=(chart,))),
        claims=(claim,),
        record=bench.record(options),
    )


def _enough(points: Sequence[Resampled]) -> str:
    """From how many views on the curve is level with its end, whatever members are drawn."""
    last = points[-1]
    size = points[lasting([p is last or _is_level(p, last) for p in points])].size
    if size == last.size:
        return f"No smaller ensemble is seen to be level with that of {size}."
    return f"From {size} views on the curve is level with its end, within {100 * MARGIN:g} point."


def _is_level(one: Resampled, last: Resampled) -> bool:
    """Whether two means over draws are surely within the margin (two one-sided t-tests)."""
    error, draws = math.hypot(one.stderr, last.stderr), len(last.accuracies)
    room = MARGIN - abs(one.mean - last.mean)
    if draws < 2 or error == 0 or room <= 0:
        return draws >= 2 and room > 0
    return 2 * float(special.stdtr(draws - 1, -room / error)) < SIGNIFICANCE


def _estimate(point: Resampled) -> Estimate:
    return Estimate(point.mean, point.interval)


STUDY = Study(
    "ensembling/fig6",
    run,
    EnsembleSize,
    source="Chai et al. 2021, Fig. 6 and 18",
    reported="accuracy rises with the number of views and plateaus near 16 (no numbers in text)",
    minutes=6,
)
