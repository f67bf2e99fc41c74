"""The main result: do generated views help a classifier of clothes, how much, how surely?

Claim: Chai et al. 2021, Sec. 4: averaging an image with generated views of it raises accuracy a
little; training on views raises it more.
Command: python -m recipes.fashion32.ensemble   (after invert.py and train_on_views.py)
Time: about 25 minutes on 2 cores; predictions are kept shard by shard, a re-run continues.
Split: scales, combinations and alpha on all 5,000 `val` images, figures on 4,000 `test` images (the
first 400 of each class). Classifiers saw 1,200 labelled `train` images.
Expected: accuracy on reconstructions within 3 points of accuracy on images; no promise of a gain.
Writes: results/fashion32/ensemble.json, runs/fashion32/ensemble/report.html.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from genviews import load_generator, load_splits
from genviews.augment.presets import pixel_views
from genviews.classify.task import Task
from genviews.files import write_json
from genviews.kit import GeneratorKit
from genviews.studies.base import run_study
from genviews.studies.bench import Bench
from genviews.studies.ensembling.main import STUDY, MainStudy
from genviews.studies.inputs import Inputs
from genviews.zoo import zoo_classifiers
from genviews.zoo.card import ENTRIES, update_card
from recipes.fashion32.invert import stored
from recipes.recipe import Printed, folder_of, run

RESULT = Path("results/fashion32/ensemble.json")
OPTIONS = MainStudy(num_views=10, scale_views=8, scale_images=1000, gallery_images=32)
PIXELS = ("flip", "crop", "jitter", "flip+crop")


def main(*, out: Path = Path("runs/fashion32/ensemble"), quick: bool = False) -> str:
    """Run the study, write its result and return the verdict; `quick` takes sample images."""
    kit, known, options = load_generator("fashion32"), {}, OPTIONS
    if quick:
        kit = GeneratorKit(kit.generator, inverter=replace(kit.inverter, steps=5))
        sample = load_splits("fashion32/sample", kit.generator.image_spec)
        few = range(0, 500, 10)
        splits = {name: part.select(few) for name, part in sample.parts.items()}
        options = options.quick()
    else:
        found = {"calibration": stored("val"), "test": stored("test")}
        splits = {name: images for name, (images, _) in found.items()}
        known = {name: store for name, (_, store) in found.items()}
    inputs = Inputs(
        kit=kit,
        tasks=tuple(
            Task(name=n, classifier=c, about=f"classifier trained on {n}")
            for n, c in zoo_classifiers("fashion32").items()
        ),
        splits=splits,
        perturbations=load_generator("fashion32").candidates,
        pixel_views=tuple(pixel_views(f"fashion32/{name}") for name in PIXELS),
    )
    title = "fashion32: test-time ensembling with generated views"
    bench = Bench(inputs, title=title, inversions_known=known, watcher=Printed())
    command, place = "python -m recipes.fashion32.ensemble", folder_of(out, quick=quick)
    result = run_study(STUDY, bench, options, place, command=command)
    if not quick:
        write_json(RESULT, result.to_json())
        measured = result.record.data["reconstruction"]
        told = {"ensemble": {"verdict": result.verdict, **measured}}
        update_card("measured", told, ENTRIES / "fashion32")
    return result.verdict


if __name__ == "__main__":
    run(main)
