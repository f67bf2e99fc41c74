"""Where do generated views pay? The studies of shifts, attacks and few labels on fashion32.

Claim: under corruptions and attacks views of an inversion help, by more than the reconstruction
(Chai et al. 2021, Sec. 4.4, Fig. 7 and 19).
Command: python -m recipes.fashion32.robustness [shifts] [fig7] [adaptive] [few-labels]
         (none: all of them)
         after train_encoder.py, autoencoder.py and shift_classifiers.py
Time: about an hour on one core each, the adaptive one three; what is made is kept, a re-run
         continues.
Split: choices and weights on 500 `val` images, drawn by the seed, corrupted or not as each table
says; 1,000 `test` images a shift, all 10,000 for clean images and three shifts named beforehand.
Expected: no promise. Severities and rivals were fixed before any result was seen. The kind of views
(fine style-mixing) and the three headlines were named after trials of an older kit on 400 `test`
images, some of which are measured here again.
Writes: results/fashion32/robustness_STUDY.json, runs/fashion32/robustness/STUDY/report.html.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from genviews import load_generator, load_splits
from genviews.classify.model import Classifier
from genviews.classify.task import Task
from genviews.data.fashion import fashion_mnist
from genviews.data.images import ImageSet
from genviews.data.source import MemorySource
from genviews.evaluate.encoders import ProbeData
from genviews.files import write_json
from genviews.kit import GeneratorKit
from genviews.robustness.restore import NON_LOCAL, RESTORATIONS
from genviews.studies.base import Options, Study, run_study
from genviews.studies.bench import Bench
from genviews.studies.ensembling import adaptive, few_labels, fig7, shifts
from genviews.studies.inputs import Inputs
from genviews.zoo import zoo_classifiers
from recipes.fashion32 import autoencoder, shift_classifiers
from recipes.recipe import Printed, folder_of, run

FOLDER = Path("runs/fashion32/robustness")
VIEWS = "stylemix_fine"
ATTACKS = ("fgsm:0.05", "fgsm:0.1", "pgd:0.05", "pgd:0.1", "cw")

RIVALS = (*RESTORATIONS, *NON_LOCAL)

STUDIES: dict[str, tuple[Study[Any], Options]] = {
    "shifts": (
        shifts.STUDY,
        shifts.Shifts(attacks=ATTACKS, restorations=RIVALS, steps=(0, 5, 15, 25, 40)),
    ),
    "fig7": (fig7.STUDY, fig7.Defence(num_views=31, attacks=ATTACKS)),
    "adaptive": (adaptive.STUDY, adaptive.Adaptive(perturbation=VIEWS, calibration_images=500)),
    "few-labels": (
        few_labels.STUDY,
        few_labels.FewLabels(attacks=ATTACKS[:-1], restorations=RIVALS, skip_restored=True),
    ),
}


def tasks_of(name: str, kit: GeneratorKit, names: tuple[str, ...], *, quick: bool) -> list[Task]:
    """The standard classifier; for the study of shifts also those that were trained otherwise."""
    standard = zoo_classifiers("fashion32")["images"]
    found = [Task(name="images", classifier=standard, about="the standard classifier")]
    if name != "shifts" or quick:
        return found
    for shown, about in (
        ("plain", "as many other labels, no corruption"),
        ("foreseen", "those labels, and the six kinds of corruption that are tested"),
        ("others", "those labels, and six other kinds"),
    ):
        network = shift_classifiers.classifier_of(shown)
        classifier = Classifier(network, kit.generator.image_spec, names)
        found.append(Task(name=shown, classifier=classifier, about=about))
    views = zoo_classifiers("fashion32")["views"]
    return [*found, Task(name="views", classifier=views, about="trained half on generated views")]


def inputs_of(name: str, *, quick: bool) -> Inputs:
    """What a study is given."""
    kit = load_generator("fashion32")
    if quick:
        kit = GeneratorKit(kit.generator, inverter=replace(kit.inverter, steps=2))
        sample = load_splits("fashion32/sample", kit.generator.image_spec)
        parts = {split: images.select(range(0, 500, 25)) for split, images in sample.parts.items()}
        val, test = (parts[split].load() for split in ("calibration", "test"))
    else:
        val, test = fashion_mnist("val"), fashion_mnist("test")
    rivals = () if quick else (_autoencoder(),)
    if name == "few-labels":
        train = fashion_mnist("train").select(range(200)) if quick else fashion_mnist("train")
        probe = ProbeData(train=train, val=val, test=test)
        return Inputs(kit=kit, probe=probe, restorations=rivals)
    return Inputs(
        kit=kit,
        tasks=tuple(tasks_of(name, kit, val.class_names, quick=quick)),
        splits={"calibration": _split(val, "calibration"), "test": _split(test, "test")},
        perturbations=kit.perturbations([VIEWS]),
        pixel_views=load_generator("fashion32").baselines,
        restorations=rivals,
    )


def _split(images: ImageSet, split: Any) -> MemorySource:  # noqa: ANN401  (one of the names)
    return MemorySource(replace(images, split=split))


def _autoencoder() -> autoencoder.Autoencoded:
    network = autoencoder.Autoencoder.load(autoencoder.FOLDER / "autoencoder.safetensors")
    return autoencoder.Autoencoded(network)


def main(*names: str, out: Path = FOLDER, quick: bool = False) -> str:
    """Run studies, write their results and return the verdicts; `quick` takes sample images."""
    verdicts = []
    for name in names or STUDIES:
        study, options = STUDIES[name]
        work = folder_of(out / "work", quick=quick)  # studies share what is made under a shift
        bench = Bench(inputs_of(name, quick=quick), folder=work, watcher=Printed())
        result = run_study(
            study,
            bench,
            options.quick() if quick else options,
            folder_of(out / name, quick=quick),
            command=f"python -m recipes.fashion32.robustness {name}",
        )
        if not quick:
            path = Path(f"results/fashion32/robustness_{name.replace('-', '_')}.json")
            write_json(path, result.to_json())
        verdicts.append(f"{name}: {result.verdict}")
    return "\n".join(verdicts)


if __name__ == "__main__":
    run(main)
