"""How accuracy grows with the number of views in the ensemble (Chai et al. 2021, fig. 6 and 18)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from genviews.checks import check_ascending
from genviews.ensemble.resample import SIZES, Resampled, ensemble_size_study, pixel_size_study
from genviews.ensemble.significance import gain_report
from genviews.ensemble.views import ViewSet
from genviews.ensemble.weigh import Average, Ensemble
from genviews.studies.base import Options, Study
from genviews.studies.bench import Bench
from genviews.studies.blocks import Chart, Column, Curves, Estimate, Table
from genviews.studies.ensembling.tables import series_of
from genviews.studies.ensembling.verdict import difference, gain_claim
from genviews.studies.result import Result

__all__ = ["STUDY", "EnsembleSize", "run"]


@dataclass(frozen=True, kw_only=True)
class EnsembleSize(Options):
    """Options of the study of ensemble size.

    Args:
        sizes: numbers of views, ascending; 0 is the image alone.
        times: ensembles drawn for each size, with replacement from all views.
        average: Over views: probs (reference code) or logits (the paper's formula).
    """

    sizes: tuple[int, ...] = SIZES
    times: int = 16
    average: Average = "probs"

    def quick(self) -> EnsembleSize:
        """Three sizes, drawn twice."""
        return replace(self, sizes=(0, 2, 4), times=2)

    def check(self) -> None:
        """Raise ValueError for sizes that do not ascend."""
        check_ascending(self.sizes, "sizes")


def run(bench: Bench, options: EnsembleSize) -> Result:
    """Accuracy against the number of views, for each perturbation and each pixel augmentation.

    Alpha is chosen once, on calibration with as many views as the largest ensemble. Pixel views are
    averaged with the image with equal weight.
    """
    most, task = max(options.sizes), bench.tasks[0].name
    generated = [ViewSet(perturbation=p) for p in bench.perturbations]
    pixels = [ViewSet(pixels=p) for p in bench.pixel_views]
    first, last = (
        bench.bank(split, [*generated, *pixels], num_views=most)[task]
        for split in ("calibration", "test")
    )
    curves, fitted = {}, []
    for views in generated:
        rule = Ensemble(views.name, average=options.average)
        curves[views.name] = ensemble_size_study(
            rule, first, last, sizes=options.sizes, members=most, times=options.times
        )
        fitted.append(rule.fit(first))
    for views in pixels:
        curves[views.name] = pixel_size_study(
            last, [views.name], sizes=options.sizes, times=options.times, average=options.average
        )
    best = max(fitted, key=lambda rule: rule.accuracy_)
    labels = last.known_labels()
    plain = last.get("image")[:, 0].argmax(-1) == labels
    gain = gain_report(best.predict(last) == labels, plain, seed=bench.seed)
    name, shown = best.views[0], {n: [_estimate(p) for p in own] for n, own in curves.items()}
    return Result(
        title="How many views are worth making?",
        verdict=f"All views of {name!r} (weight {best.alpha_:.2f}): {difference(gain)} over the "
        f"single image. With {_enough(curves[name])} views the curve is as high as it gets.",
        blocks=(
            _table(options.sizes, shown),
            Curves(
                title="Accuracy by size",
                charts=(
                    Chart(
                        x_label="views in the ensemble",
                        y_label="accuracy on test",
                        kind="percent",
                        series=tuple(series_of(n, options.sizes, own) for n, own in shown.items()),
                    ),
                ),
            ),
        ),
        claims=(
            gain_claim(
                "An ensemble with generated views is more accurate than the single image.",
                gain,
                said="a few views help, more help further, then a plateau (near 16)",
                source="Chai et al. 2021, Fig. 6",
            ),
        ),
        record=bench.record(options),
    )


def _enough(points: Sequence[Resampled]) -> int:
    """The least size whose mean is within two standard errors of the largest ensemble's."""
    last = points[-1]
    return next(
        p.size for p in points if last.mean - p.mean <= 2 * math.hypot(p.stderr, last.stderr)
    )


def _table(sizes: Sequence[int], curves: Mapping[str, Sequence[Estimate]]) -> Table:
    columns = [
        Column(name=name, kind="percent", digits=2, priority=i) for i, name in enumerate(curves)
    ]
    return Table(
        title="Accuracy on test against the number of views",
        columns=(Column(name="views", kind="count", priority=0), *columns),
        rows=tuple(zip(sizes, *curves.values(), strict=True)),
        caption="Mean and 95 % interval over redrawn views; the test images stay the same.",
    )


def _estimate(point: Resampled) -> Estimate:
    half = 1.96 * point.stderr
    return Estimate(point.mean, (point.mean - half, point.mean + half))


STUDY = Study(
    "ensembling/fig6",
    run,
    EnsembleSize,
    source="Chai et al. 2021, Fig. 6 and 18",
    reported="accuracy rises with the number of views and plateaus near 16 (no numbers in text)",
    minutes=6,
)
