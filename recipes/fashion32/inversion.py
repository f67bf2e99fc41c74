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
Writes: results/fashion32/inversion.json, and runs/fashion32/inversion/ with pages, tables, figures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from genviews import GeneratorKit, load_classifier, load_generator, load_images
from genviews.augment.presets import pixel_views
from genviews.classify.model import Classifier
from genviews.classify.task import Task
from genviews.data.fashion import fashion_mnist, labelled_subset
from genviews.data.images import ImageSet
from genviews.data.source import MemorySource
from genviews.files import write_json
from genviews.invert.inverter import Inverter
from genviews.invert.start import EncoderStart
from genviews.perturb.stylemix import StyleMix
from genviews.studies.base import run_study
from genviews.studies.bench import Bench
from genviews.studies.ensembling import inverters, table2
from genviews.studies.inputs import Inputs
from genviews.studies.result import Result
from recipes.recipe import Printed, folder_of, run

COMMAND = "python -m recipes.fashion32.inversion"
RESULT = Path("results/fashion32/inversion.json")
PER_CLASS, STEP_IMAGES = 200, 300
JUDGE_IMAGES = slice(10_000, 30_000)  # of `train`; the classifier saw the first 120 of each class
# Chosen before any result: an LPIPS-like distance counts as much as a pixel term, a nat of the
# predictions as much as a mean error of 0.1, five grey levels in 100.
OPTIONS = inverters.Inverters(
    features=("module.blocks.1", "module.blocks.2"),
    feature_weight=1.0,
    prediction_weight=0.1,
    num_views=8,
)
STEPS = table2.Steps(steps=(0, 5, 10, 20, 50, 100, 150, 200, 250, 500), num_views=8)


def judge_of(images: ImageSet) -> Classifier:
    """A classifier of another kind: logistic regression on pixels."""
    assert images.labels is not None
    pixels, labels = images.images.flatten(1).numpy(), images.labels.numpy()
    found = LogisticRegression(max_iter=1000, C=0.01).fit(pixels, labels)
    linear = nn.Linear(*reversed(found.coef_.shape))
    linear.weight.data = torch.from_numpy(found.coef_).float()
    linear.bias.data = torch.from_numpy(found.intercept_).float()
    spec = load_classifier("fashion32").image_spec
    return Classifier(nn.Sequential(nn.Flatten(), linear), spec, images.class_names)


def bench_of(splits: Mapping[str, ImageSet], judge: Classifier, steps: int | None) -> Bench:
    """Our inverter on both halves, and the views that ensembles take."""
    kit, base = load_generator("fashion32"), Inverter()
    ours = replace(base, start=EncoderStart(kit.encoder), steps=steps or base.steps)
    inputs = Inputs(
        kit=GeneratorKit(kit.generator, inverter=ours),
        tasks=(
            Task(name="images", classifier=load_classifier("fashion32")),
            Task(name="judge", classifier=judge),
        ),
        splits={name: MemorySource(images) for name, images in splits.items()},
        perturbations=(StyleMix("fine", 0.3),),
        pixel_views=(pixel_views("fashion32/flip"),),
    )
    return Bench(inputs, watcher=Printed())


def main(*, folder: Path = Path("runs/fashion32/inversion"), quick: bool = False) -> Result:
    """Run both studies; `quick` takes 20 shipped images and few steps, and writes no result."""
    place = folder_of(folder, quick=quick)
    if quick:
        spec = load_generator("fashion32").generator.image_spec
        sample = [load_images(f"fashion32/sample/{part}", spec).load() for part in ("val", "test")]
        chosen, known = (labelled_subset(images, per_class=2) for images in sample)
    else:
        chosen = labelled_subset(fashion_mnist("val"), per_class=PER_CLASS)
        known = fashion_mnist("train").select(JUDGE_IMAGES)
    halves = dict(zip(("calibration", "test"), chosen.split_calibration(0.5, seed=0), strict=True))
    judge, most = judge_of(known), 1 if quick else None
    options, steps = (OPTIONS.quick(), STEPS.quick()) if quick else (OPTIONS, STEPS)
    few = {name: half.select(range(min(STEP_IMAGES, len(half)))) for name, half in halves.items()}
    by_steps = run_study(
        table2.STUDY, bench_of(few, judge, most), steps, place / "steps", command=COMMAND
    )
    found = run_study(
        inverters.STUDY, bench_of(halves, judge, most), options, place, command=COMMAND
    )
    record = replace(found.record, data={**found.record.data, "table_2": by_steps.record.data})
    result = replace(found, blocks=(*found.blocks, *by_steps.blocks), record=record)
    if not quick:
        write_json(RESULT, result.to_json())
    return result


if __name__ == "__main__":
    run(main)
