"""Better latents, or only prettier ones? Inversions compared by what comes after them.

An inversion that is told to please a classifier reproduces its predictions, the wrong ones too.
Then accuracy on reconstructions rises towards accuracy on images, and nothing is gained: views that
repeat a mistake cannot correct it. So mistakes are counted apart: how many are copied, how many
corrected, and what judges say that took no part in the inversion.

Source: Chai et al. 2021, Fig. 15: gains of two inversions over 40 face attributes, r = 0.69.
Differs: without attributes a task is one class against the rest, whose gain is over the same
ensemble without generated views. The authors' notebook pools the methods and counts the average as
one more task; here each method has its own r, the pooled one stands beside it, and an average is no
task.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from torch import Tensor

from genviews.checks import fail, option
from genviews.ensemble.bank import PredictionBank
from genviews.ensemble.combine import Evaluation, Method, Row, evaluate
from genviews.ensemble.merge import find_merge
from genviews.ensemble.significance import GainReport, gain_report
from genviews.ensemble.views import ViewSet
from genviews.ensemble.weigh import mix
from genviews.identity import describe
from genviews.invert.features import Feature, FeatureDistance, ModuleFeatures, Predictions
from genviews.invert.inverter import Inverter, inverter_preset
from genviews.invert.objective import L1, L2, Objective, Term
from genviews.invert.quality import reconstruct
from genviews.studies.base import Study
from genviews.studies.bench import SPLITS, Bench
from genviews.studies.blocks import (
    Block,
    Cell,
    Chart,
    Column,
    Curves,
    Estimate,
    Series,
    Table,
)
from genviews.studies.ensembling.choose import Viewed
from genviews.studies.ensembling.copied import (
    Correlation,
    Gains,
    Share,
    class_fidelity,
    correlate,
    correlation_claims,
    correlation_table,
    task_gains,
)
from genviews.studies.ensembling.evidence import differences
from genviews.studies.ensembling.reconstruct import distances
from genviews.studies.inverted import best_and_worst, measured_terms
from genviews.studies.result import Result
from genviews.studies.statistics import Gap, accuracy_of, gains_of, weigh

__all__ = ["STUDY", "Inverters", "run"]

COMPARED = ("pixel", "in-domain")  # task by task
EXTREMES = 4  # best and worst reconstructions shown, as in the paper's Fig. 10
KEPT = {
    "agreement": "same answer",
    "kept": "right answers kept",
    "copied": "mistakes copied",
    "corrected": "mistakes corrected",
}


@dataclass(frozen=True, kw_only=True)
class Inverters(Viewed):
    """Options of the comparison of inversions.

    Args:
        features: Modules of the classifier whose feature maps one inversion matches; none: there is
            no such inversion.
        feature_weight: Of a distance of features, beside L1 and L2.
        prediction_weight: Of the distance of predictions.
        fixed_alpha: Weight of the views with which tasks are compared beside the chosen one: where
            no weight is chosen, all inversions agree and nothing is seen.
    """

    features: tuple[str, ...] = ()
    feature_weight: float = 1.0
    prediction_weight: float = 0.1
    fixed_alpha: float = 0.5

    def quick(self) -> Inverters:
        """Few views."""
        return replace(self, num_views=4)


@dataclass(frozen=True, kw_only=True)
class _Row:
    """What comes after one inversion.

    Args:
        inversion: its name.
        objective: what it minimises, as JSON values.
        distances: of reconstructions to images, by term.
        evaluations: of loss and gradient, mean over images.
        reconstructions: accuracy on them, against that on the images.
        over_first: the same against those of the first inversion; None for itself.
        judges: the same of classifiers that took no part.
        fidelity: see `class_fidelity`.
        ensembles: method -> its gain over the single image, and the weight of the views.
        gains: "chosen" and "fixed" weight of the views -> gains by method and task, of the two
            inversions that are compared.
    """

    inversion: str
    objective: Any
    distances: Mapping[str, float]
    evaluations: float
    reconstructions: GainReport
    over_first: GainReport | None
    judges: Mapping[str, GainReport]
    fidelity: Mapping[str, Share]
    ensembles: Mapping[str, Row]
    gains: Mapping[str, Gains]


def run(bench: Bench, options: Inverters) -> Result:
    """Compare what is minimised: pixels, and features and predictions beside them.

    Views are those of the first perturbation; the method "combined" has the first pixel views of
    the image beside them. The first task's classifier is the one that inversions may please; other
    tasks with its labels are judges.
    """
    ways = _inverters(bench, options)
    rows, first = list[_Row](), None
    for name, inverter in ways.items():
        row, again = _row(bench, options, name, inverter, first)
        first = again if first is None else first
        rows.append(row)
    blocks: list[Block] = [_quality(rows), _copied(rows), _ensembles(rows)]
    domain = next((row for row in rows if row.inversion == "in-domain"), None)
    figure15: dict[str, dict[str, Correlation | None]] = {}
    if domain is not None:
        figure15 = {w: correlate(domain.gains[w], own) for w, own in rows[0].gains.items()}
        blocks += [correlation_table(figure15, options.fixed_alpha), _tasks(rows[0], domain)]
    store = bench.inversions("test", ways["pixel"])
    made = reconstruct(
        store,
        bench.images("test"),
        bench.kit.generator,
        bench.place / "reconstructions" / store.identity.digest,
        batch_size=bench.batch_size,
        engine=bench.engine,
        progress=bench.progress,
    )
    return Result(
        title="Inversions compared by what comes after them",
        verdict=_verdict(rows),
        blocks=(*blocks, *best_and_worst(bench.images("test"), made, "l1", EXTREMES)),
        claims=correlation_claims(figure15),
        record=bench.record(
            options,
            {
                "inversions": [asdict(row) for row in rows],
                "figure_15": {
                    weight: {name: r and asdict(r) for name, r in found.items()}
                    for weight, found in figure15.items()
                },
            },
        ),
    )


def _inverters(bench: Bench, options: Inverters) -> dict[str, Inverter]:
    """The inversions compared, by what they minimise; "in-domain" has settings of its own."""
    base, classifier, given = bench.kit.inverter, bench.tasks[0].classifier, bench.inputs
    encoder, weight = base.encoder, options.feature_weight
    more: dict[str, tuple[Term, ...]] = {"pixel": ()}
    if encoder is not None:
        more["encoder features"] = (Feature(weight, FeatureDistance(encoder.features)),)
    if options.features:
        if given.photo_transform is not None or given.render_transform is not None:
            fail(
                "features of the classifier",  # of a crop, whose maps lie elsewhere than the masks
                expected="images that it is shown as they are",
                got="images that go through a transform",
                remedy=f"leave {option('features')} out; its predictions are compared all the same",
            )
        known = FeatureDistance(ModuleFeatures(classifier, options.features))
        more["classifier features"] = (Feature(weight, known),)
    term = Predictions(
        options.prediction_weight,
        classifier,
        photo_transform=given.photo_transform,
        render_transform=given.render_transform,
    )
    more["classifier predictions"] = (term,)
    found = {
        name: replace(base, objective=Objective((L1(), L2(), *terms)))
        for name, terms in more.items()
    }
    if encoder is not None:
        published = inverter_preset("in-domain", encoder)
        found["in-domain"] = replace(published, steps=min(base.steps, published.steps))
    return found


def _verdict(rows: Sequence[_Row]) -> str:
    """Which error is lowest, and how accuracies stand to that of the first inversion."""
    first, errors = rows[0], {row.inversion: row.distances.get("l1", math.inf) for row in rows}
    own, lowest = first.reconstructions.accuracy, min(errors, key=errors.__getitem__)
    text = (
        f"Lowest error: {lowest} (L1 {errors[lowest]:.4f}). Accuracy on the "
        f"reconstructions of {first.inversion} is {100 * own:.1f} %, on the images "
        f"{100 * (own - first.reconstructions.gain):.1f} %"
    )
    family = {row.inversion: row.over_first for row in rows if row.over_first is not None}
    told = zip(family, differences(list(family.values())), strict=True)
    return f"{text}; of {'; of '.join(f'{name}: {words}' for name, words in told)}."


def _row(
    bench: Bench, options: Inverters, name: str, inverter: Inverter, first_right: Tensor | None
) -> tuple[_Row, Tensor]:
    """One inversion, and where the classifier is right on its reconstructions."""
    stores = {split: bench.inversions(split, inverter) for split in SPLITS}
    perturbation = bench.perturbations[0]
    sets = [ViewSet(perturbation=perturbation)]
    sets += [ViewSet(pixels=pixels) for pixels in bench.pixel_views[:1]]
    banks = [
        bench.bank(split, sets, num_views=options.num_views, latents=store)
        for split, store in stores.items()
    ]
    task, rule = bench.tasks[0].name, options.rule
    first, last = (bank[task] for bank in banks)
    on_images, again = last.correct(), last.correct("reconstruction")
    judges = {}
    for judge in bench.tasks[1:]:
        if judge.labels == bench.tasks[0].labels:
            own = banks[1][judge.name]
            judges[judge.name] = gain_report(own.correct("reconstruction"), own.correct())
    mixed, *pixels = [views.name for views in sets]
    methods = [Method(name=perturbation.kind, group="latent", views=(mixed,), weighing="alpha")]
    methods += [
        replace(methods[0], name="combined", group="combined", image_views=(key,)) for key in pixels
    ]
    found = [
        evaluate(method, first, last, task=task, baseline=on_images, rule=rule)
        for method in methods
    ]
    spent = stores["test"].columns("evaluations")["evaluations"]
    before, after = (last.get(key)[:, 0].argmax(-1) for key in ("image", "reconstruction"))
    compared = bench.kit.inverter.encoder is not None and name in COMPARED
    row = _Row(
        inversion=name,
        objective=describe(inverter.objective),
        distances=distances(bench, stores["test"], last.ids, measured_terms(inverter)),
        evaluations=float(spent.double().mean()),
        reconstructions=gain_report(again, on_images),
        over_first=None if first_right is None else gain_report(again, first_right),
        judges=judges,
        fidelity=class_fidelity(before, after, last.known_labels()),
        ensembles={one.row.name: one.row for one in found},
        gains=_gains(found, last, options) if compared else {},
    )
    return row, again


def _gains(
    found: Sequence[Evaluation], last: PredictionBank, options: Inverters
) -> dict[str, dict[str, dict[str, GainReport]]]:
    """Weight of the views -> method -> task -> gain over the same ensemble without them.

    Over the image alone, what a flip does to a task would count as an agreement of the inversions.
    """
    gains: dict[str, dict[str, dict[str, GainReport]]] = {"chosen": {}, "fixed": {}}
    for one in found:
        ensemble = one.method.ensemble(options.rule)
        assert ensemble is not None  # its views are weighed
        terms = ensemble.terms(last)
        probs = find_merge(options.merge).probs
        without, fixed = (probs(mix(*terms, alpha)) for alpha in (0.0, options.fixed_alpha))
        for weight, proba in (("chosen", one.proba), ("fixed", fixed)):
            own = task_gains(without, proba, last.known_labels(), last.class_names)
            gains[weight][one.row.name] = own
    return gains


def _table(
    title: str, rows: Sequence[_Row], columns: Mapping[Column, Sequence[Cell]], caption: str = ""
) -> Table:
    """A line for each inversion."""
    names = [row.inversion for row in rows]
    return Table(
        title=title,
        columns=(Column(name="inversion", priority=0), *columns),
        rows=tuple(zip(names, *columns.values(), strict=True)),
        caption=caption,
    )


def _quality(rows: Sequence[_Row]) -> Table:
    columns: dict[Column, Sequence[Cell]] = {
        Column(name="L1", kind="number", digits=4, priority=0): [
            r.distances.get("l1") for r in rows
        ],
        Column(name="evaluations", kind="count", priority=2): [r.evaluations for r in rows],
        Column(name="classifier on reconstructions", kind="percent"): [
            accuracy_of(r.reconstructions) for r in rows
        ],
        Column(name="against images", kind="points", digits=2): gains_of(
            [r.reconstructions for r in rows]
        ),
    }
    for name in rows[0].judges:
        said = [row.judges[name] for row in rows]
        shown = Column(name=f"{name} on reconstructions", kind="percent", priority=2)
        columns[shown] = [accuracy_of(one) for one in said]
        against = Column(name=f"{name} against images", kind="points", digits=2, priority=2)
        columns[against] = gains_of(said)
    caption = (
        "Classifiers but the first took no part. Gains are paired, with 95 % intervals, the tests "
        "of each column corrected for its rows (Holm)."
    )
    return _table("Reconstructions", rows, columns, caption)


def _copied(rows: Sequence[_Row]) -> Table:
    return _table(
        "Mistakes that reconstructions copy",
        rows,
        {
            Column(name=text, kind="percent"): [
                Estimate(row.fidelity[name].share, row.fidelity[name].interval) for row in rows
            ]
            for name, text in KEPT.items()
        },
        "The trap: an inversion can copy the classifier's mistakes. Of the images that the "
        "classifier gets wrong, the share whose reconstruction gets the same wrong answer, and the "
        "share set right.",
    )


def _ensembles(rows: Sequence[_Row]) -> Table:
    columns: dict[Column, Sequence[Cell]] = {}
    for name in rows[0].ensembles:
        gains = [row.ensembles[name] for row in rows]
        alpha = Column(name=f"{name}, alpha", kind="number", digits=2)
        columns[alpha] = [row.ensembles[name].alpha for row in rows]
        weighed = weigh([Gap.of(gain) for gain in gains])
        gained = Column(name=f"{name}, gain", kind="points", digits=2)
        columns[gained] = [gap.estimate for gap in weighed]
        columns[Column(name=f"{name}, Holm p", kind="p", priority=2)] = [g.p_value for g in weighed]
    return _table("Ensembles with views", rows, columns)


def _tasks(ours: _Row, domain: _Row) -> Curves:
    series = tuple(
        Series(
            name=method,
            x=tuple(100 * gain.gain for gain in domain.gains["fixed"][method].values()),
            y=tuple(gain.gain for gain in gains.values()),
            style="points",
        )
        for method, gains in ours.gains["fixed"].items()
    )
    chart = Chart(
        x_label="gain with In-Domain inversion, points",
        y_label="gain with ours, points",
        kind="points",
        series=series,
        level=0.0,
    )
    return Curves(title="Gains by task, the same weight on the views", charts=(chart,))


STUDY = Study(
    "ensembling/inverters",
    run,
    Inverters,
    source="Chai et al. 2021, Fig. 10 and 15",
    reported="gains of In-Domain inversion and theirs over 40 face attributes: r = 0.69",
    minutes=20,
)
