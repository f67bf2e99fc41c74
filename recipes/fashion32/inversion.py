"""Better latents, or only prettier ones? Inversions compared by what comes after them.

Claims: (a) Chai et al. 2021, Table 2: reconstructions and the accuracy on them improve with steps,
most of it in the first 50. (b) Fig. 15: In-Domain inversion and ours help the same tasks (r = 0.69
over 40 face attributes). (c) Ours: an inversion told to match a classifier's features or
predictions keeps more of the class; the trap is that it copies the classifier's mistakes.
Command: python -m recipes.fashion32.inversion
Time: about 40 minutes on 2 cores; shards and banks are kept, a re-run makes what is missing, and
two runs at once share the inversions.
Split: 2,000 images of `val` (the first 200 of each class), halved by `split_calibration(0.5, seed
0)`: alpha on one half, all figures on the other. `test` is not read. The classifier saw 1,200
labelled `train` images, the judge 20,000 others. The optimizer's settings were chosen on 500 images
of `val`, by loss alone.
Expected: no promise; the weights of the network terms were set beforehand and not tuned.
Writes: results/fashion32/inversion.json, and runs/fashion32/inversion/ with tables and figures.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from genviews import GeneratorKit, load_classifier, load_generator, load_images
from genviews.augment import pixel_views
from genviews.classify import Task
from genviews.classify.model import predict_logits
from genviews.data import ImageSet, MemorySource, fashion_mnist, labelled_subset
from genviews.ensemble import Ensemble, PredictionBank, ViewPlan, ViewSet, fill_from_source
from genviews.ensemble.significance import gain_report
from genviews.environment import environment
from genviews.files import write_json
from genviews.identity import describe
from genviews.invert import (
    L1,
    L2,
    EncoderStart,
    Feature,
    FeatureDistance,
    Inverter,
    ModuleFeatures,
    Objective,
    Predictions,
    invert_source,
    inverter_preset,
)
from genviews.memory import keep_freed_memory
from genviews.perturb import StyleMix
from genviews.report import write_result
from genviews.studies.blocks import Grid, Images, Picture
from genviews.studies.fidelity import class_fidelity
from genviews.studies.result import Record, Result
from genviews.studies.steps import quality_by_steps
from genviews.studies.tasks import TaskGain, correlate, task_gains
from genviews.types import Inversion
from recipes.fashion32.inversion_result import result_of

RESULT = Path("results/fashion32/inversion.json")
FOLDER = Path("runs/fashion32/inversion")
STEPS = (0, 5, 10, 20, 50, 100, 150, 200, 250, 500)
PER_CLASS = 200
STEP_IMAGES = 300
VIEWS = 8
JUDGE_IMAGES = slice(10_000, 30_000)  # of `train`; the classifier saw the first 120 of each class
# Fig. 15 at the weight chosen on calibration, and with half of the weight on the views: where no
# weight is chosen, all inversions agree and nothing is seen.
WEIGHTS, FIXED_ALPHA = ("fitted", "half"), 0.5
EXTREMES = 4  # best and worst reconstructions shown, as in the paper's Fig. 10
# Chosen before any result: an LPIPS-like distance counts as much as a pixel term, a nat of the
# predictions as much as a mean error of 0.1, five grey levels in 100.
FEATURE_WEIGHT, PREDICTION_WEIGHT = 1.0, 0.1


@dataclass(frozen=True, kw_only=True)
class Setup:
    """The parts of the study and its two halves of the images."""

    kit: GeneratorKit
    calibration: ImageSet
    report: ImageSet
    folder: Path
    steps: int | None = None  # of every inversion, where a quick run cuts it short

    def inverters(self) -> dict[str, Inverter]:
        """The inversions compared, by what they minimise."""
        encoder, classifier = self.kit.encoder, load_classifier("fashion32")
        assert encoder is not None  # it ships
        seen = FeatureDistance(encoder.features)
        known = FeatureDistance(ModuleFeatures(classifier, ("module.blocks.1", "module.blocks.2")))
        base = Inverter(start=EncoderStart(encoder))

        def ours(*more: object) -> Inverter:
            return replace(base, objective=Objective((L1(), L2(), *more)))

        found = {
            "pixel": ours(),
            "encoder features": ours(Feature(FEATURE_WEIGHT, seen)),
            "classifier features": ours(Feature(FEATURE_WEIGHT, known)),
            "classifier predictions": ours(Predictions(PREDICTION_WEIGHT, classifier)),
            "in-domain": inverter_preset("in-domain", encoder),
        }
        if self.steps is None:
            return found
        return {name: replace(i, steps=self.steps) for name, i in found.items()}


def invert_half(setup: Setup, name: str, inverter: Inverter, half: str) -> Inversion:
    """The inversion of one half, from disk where an earlier run made it."""
    images: ImageSet = getattr(setup, half)
    folder = setup.folder / "latents" / name.replace(" ", "_") / half
    began = time.perf_counter()
    store = invert_source(
        MemorySource(images), setup.kit.generator, inverter, folder, shard_size=250
    )
    found = store.inversion(setup.kit.generator)
    spent, loss = time.perf_counter() - began, float(found.loss.mean())
    print(f"{name}, {half}: loss {loss:.4f}, {spent:.0f} s", flush=True)
    return found


def bank(setup: Setup, name: str, half: str, inversion: Inversion) -> PredictionBank:
    """What the classifier says of images, reconstructions and views."""
    images: ImageSet = getattr(setup, half)
    mixed, flipped = StyleMix("fine", 0.3), pixel_views("fashion32/flip")
    return fill_from_source(
        [Task(name="images", classifier=load_classifier("fashion32"))],
        ViewPlan(
            view_sets=(ViewSet(perturbation=mixed), ViewSet(pixels=flipped)),
            generator=setup.kit.generator,
            num_views=VIEWS,
        ),
        MemorySource(images),
        inversion.latents,
        None if images.labels is None else {"label": images.labels},
        split="calibration" if half == "calibration" else "test",
        folder=setup.folder / "banks" / name.replace(" ", "_"),
    )["images"]


@dataclass(frozen=True, kw_only=True)
class Weighed:
    """Probabilities (N, Y) of an ensemble on the report half, by the weight of generated views."""

    alpha: float
    fitted: Tensor
    without: Tensor
    half: Tensor

    @classmethod
    def of(cls, ensemble: Ensemble, banks: Mapping[str, PredictionBank]) -> Weighed:
        """Alpha from the calibration half; the same ensemble at 0 and at `FIXED_ALPHA`."""
        fitted = ensemble.fit(banks["calibration"])
        alpha, found = fitted.alpha_, {}
        for weight in (alpha, 0.0, FIXED_ALPHA):
            fitted.alpha_ = weight
            found[weight] = fitted.predict_proba(banks["report"])
        return cls(alpha=alpha, fitted=found[alpha], without=found[0.0], half=found[FIXED_ALPHA])


def methods(banks: Mapping[str, PredictionBank]) -> dict[str, Weighed]:
    """Each ensemble: with views of the generator alone, and with flipped images beside them."""
    latent = next(key for key in banks["report"].view_keys if key.startswith("stylemix"))
    ensembles = {
        "stylemix": Ensemble(latent),
        "combined": Ensemble(latent, image_views="flip"),
    }
    return {name: Weighed.of(ensemble, banks) for name, ensemble in ensembles.items()}


def train_judge(setup: Setup, count: slice = JUDGE_IMAGES) -> LogisticRegression:
    """A classifier of another kind, from labels that the first one never saw."""
    train = fashion_mnist("train").select(count)
    assert train.labels is not None
    judge = LogisticRegression(max_iter=1000, C=0.01)
    return judge.fit(train.images.flatten(1).numpy(), train.labels.numpy())


def judged(judge: LogisticRegression, images: Tensor) -> Tensor:
    """The judge's classes."""
    return torch.from_numpy(judge.predict(images.flatten(1).numpy()))


def compare(
    setup: Setup, judge: LogisticRegression
) -> tuple[list[dict[str, object]], dict[str, object], dict[str, Inversion]]:
    """A row for each inversion, the correlation of Fig. 15, and the report half's inversions."""
    report, classifier = setup.report, load_classifier("fashion32")
    labels = report.labels
    assert labels is not None
    said = predict_logits(classifier, report.images).argmax(1)
    judge_right = judged(judge, report.images) == labels
    rows, gains, inversions = [], {}, {}
    for name, inverter in setup.inverters().items():
        halves = {h: invert_half(setup, name, inverter, h) for h in ("calibration", "report")}
        found = inversions[name] = halves["report"]
        banks = {half: bank(setup, name, half, halves[half]) for half in halves}
        single = banks["report"].probs("image")[:, 0]
        right = single.argmax(1) == labels
        ensembles = methods(banks)
        gains[name] = {
            kind: {
                # Against the same ensemble without generated views: else what a flip does to a
                # task would count as an agreement of the inversions.
                method: task_gains(e.without, getattr(e, kind), labels, report.class_names)
                for method, e in ensembles.items()
            }
            for kind in WEIGHTS
        }
        again = predict_logits(classifier, found.reconstructions).argmax(1)
        error = found.reconstructions - report.images
        rows.append(
            {
                "inversion": name,
                "objective": describe(inverter.objective),
                "l1": float(error.abs().double().mean()),
                "l2": float(error.square().double().mean()),
                "evaluations": float(found.evaluations.double().mean()),
                "reconstructions": asdict(gain_report(again == labels, right)),
                "judge": asdict(
                    gain_report(judged(judge, found.reconstructions) == labels, judge_right)
                ),
                "fidelity": asdict(class_fidelity(said, again, labels)),
                "ensembles": {
                    method: {
                        "alpha": e.alpha,
                        **asdict(gain_report(e.fitted.argmax(1) == labels, right)),
                    }
                    for method, e in ensembles.items()
                },
            }
        )
    figure15 = {kind: _figure15(gains["pixel"][kind], gains["in-domain"][kind]) for kind in WEIGHTS}
    return rows, figure15, inversions


def _figure15(
    pixel: Mapping[str, Sequence[TaskGain]], domain: Mapping[str, Sequence[TaskGain]]
) -> dict[str, object]:
    both = {"pixel": pixel, "in-domain": domain}
    return {
        "correlation": {k: v and asdict(v) for k, v in correlate(domain, pixel).items()},
        "gains": {
            name: {method: [asdict(g) for g in tasks] for method, tasks in found.items()}
            for name, found in both.items()
        },
    }


def by_steps(setup: Setup, steps: Sequence[int]) -> list[dict[str, object]]:
    """Table 2 on the report half: one run, no early stop."""
    few = setup.report.select(slice(0, min(STEP_IMAGES, len(setup.report))))
    assert few.labels is not None
    inverter = replace(
        Inverter(start=EncoderStart(setup.kit.encoder), objective=Objective((L1(), L2()))),
        steps=steps[-1],
        snapshots=tuple(steps),
        tolerance=0.0,
    )
    found = invert_half(replace(setup, report=few), "steps", inverter, "report")
    task = Task(name="images", classifier=load_classifier("fashion32"))
    rows = quality_by_steps(found.snapshots, steps, setup.kit.generator, task, MemorySource(few))
    return [asdict(row) for row in rows]


def extremes(setup: Setup, inversion: Inversion) -> dict[str, list[dict[str, object]]]:
    """The best and the worst reconstructions by loss (Fig. 10)."""
    order = inversion.loss.argsort().tolist()
    labels, names = setup.report.labels, setup.report.class_names
    assert labels is not None

    def listed(rows: Sequence[int]) -> list[dict[str, object]]:
        return [
            {
                "id": setup.report.ids[i],
                "class": names[int(labels[i])],
                "loss": float(inversion.loss[i]),
            }
            for i in rows
        ]

    return {"best": listed(order[:EXTREMES]), "worst": listed(order[::-1][:EXTREMES])}


def pictures(setup: Setup, inversion: Inversion) -> tuple[Images, ...]:
    """Best and worst reconstructions below their images."""
    order = inversion.loss.argsort().tolist()
    report, labels = setup.report, setup.report.labels
    assert labels is not None
    found = []
    for title, rows in (("Best", order[:EXTREMES]), ("Worst", order[::-1][:EXTREMES])):
        shown = [
            [
                Picture(
                    pixels=report.images[i],
                    caption=f"{report.class_names[int(labels[i])]}, {float(inversion.loss[i]):.3f}",
                )
                for i in rows
            ],
            [Picture(pixels=inversion.reconstructions[i]) for i in rows],
        ]
        grid = Grid(rows=("image", "reconstruction"), pictures=tuple(map(tuple, shown)))
        found.append(Images(title=f"{title} reconstructions", grids=(grid,)))
    return tuple(found)


def main(*, folder: Path = FOLDER, quick: bool = False) -> Result:
    """Run all three studies; `quick` takes 20 shipped images and 2 steps, and writes no result."""
    kit, steps = load_generator("fashion32"), STEPS
    if quick:
        sample = load_images("fashion32/sample/val", kit.generator.image_spec)
        few = sample.select(range(0, 500, 25)).load()
        calibration, report = few.split_calibration(0.5, seed=0)
        folder, steps = folder.with_name(f"{folder.name}-quick"), (0, 1, 2)
        setup = Setup(kit=kit, calibration=calibration, report=report, folder=folder, steps=2)
        judge = LogisticRegression(max_iter=1000, C=0.01).fit(
            calibration.images.flatten(1).numpy(),
            calibration.labels.numpy(),
        )
    else:
        chosen = labelled_subset(fashion_mnist("val"), per_class=PER_CLASS)
        calibration, report = chosen.split_calibration(0.5, seed=0)
        setup = Setup(kit=kit, calibration=calibration, report=report, folder=folder)
        judge = train_judge(setup)
    folder.mkdir(parents=True, exist_ok=True)
    table2 = by_steps(setup, steps)
    rows, figure15, inversions = compare(setup, judge)
    accuracy = float((judged(judge, report.images) == report.labels).double().mean())
    config = {
        "split": "val, 200 images a class: alpha on one half, figures on the other",
        "calibration": len(calibration),
        "report": len(report),
        "views": VIEWS,
        "judge": "logistic regression on pixels, 20,000 other train images",
        "judge_accuracy_on_images": accuracy,
        "classifier_accuracy_on_images": _accuracy(setup),
        "inverter": describe(setup.inverters()["pixel"]),
        "environment": environment(),
    }
    found = {
        "inversions": rows,
        "table_2": {"images": min(STEP_IMAGES, len(report)), "rows": table2},
        "figure_15": figure15,
        "figure_10": extremes(setup, inversions["pixel"]),
    }
    record = Record(command="python -m recipes.fashion32.inversion", seed=0, config=config)
    shown = pictures(setup, inversions["pixel"])
    result = result_of(json.loads(json.dumps(found)), record, shown)
    write_result(result, folder)
    if not quick:
        write_json(RESULT, result.to_json())
    print(result.verdict)
    return result


def _accuracy(setup: Setup) -> float:
    said = predict_logits(load_classifier("fashion32"), setup.report.images).argmax(1)
    return float((said == setup.report.labels).double().mean())


if __name__ == "__main__":
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true")
    main(quick=parser.parse_args().quick)
