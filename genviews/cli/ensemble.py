"""`genviews ensemble`: the study on the user's images, classifier and generator."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from genviews.checks import fail
from genviews.cli.images import check_exist
from genviews.cli.options import InputOptions, RunOptions, StudyOptions, command, plain
from genviews.cli.run import say_notes
from genviews.cli.study import run_study_here

if TYPE_CHECKING:
    from genviews.load.splits import Splits
    from genviews.studies.bench import Inputs
    from genviews.types import ImageSpec

__all__ = ["load_inputs", "run_ensemble"]


def run_ensemble(inputs: InputOptions, options: StudyOptions, flags: RunOptions) -> int:
    """Run the study in its folder; returns the exit code."""
    _check_files(inputs)
    from genviews.studies.ensembling.main import STUDY, MainStudy

    return run_study_here(
        STUDY,
        lambda: load_inputs(inputs, options),
        MainStudy(num_views=options.views, average=options.average),
        flags,
        out=options.out,
        config={"verb": "ensemble", **plain(inputs, options)},
        command=command("ensemble", inputs, options),
        title=f"Do views from {Path(inputs.generator).name} help {Path(inputs.classifier).name}?",
        seed=options.seed,
    )


def load_inputs(inputs: InputOptions, options: StudyOptions) -> Inputs:
    """Load what the user named."""
    from genviews.augment import pixel_views
    from genviews.classify import Task
    from genviews.load.classifier import load_classifier
    from genviews.load.generator import load_generator
    from genviews.studies.bench import Inputs

    kit = load_generator(
        inputs.generator,
        z_dim=inputs.z_dim,
        encoder=inputs.encoder,
        walks=inputs.walks,
        steps=options.steps,
        domain=inputs.domain,
    )
    pixels = tuple(map(pixel_views, options.augment)) if options.augment else kit.baselines
    perturbations = kit.perturbations(options.perturb)
    spec = kit.generator.image_spec
    splits = _images(inputs, spec, options.seed)
    notes = (*splits.notes, *kit.notes)
    say_notes(notes)
    calibration, test = splits.calibration, splits.test
    classifier = load_classifier(inputs.classifier, spec, test.class_names, weights=inputs.weights)
    return Inputs(
        kit=kit,
        tasks=(Task(name="images", classifier=classifier),),
        splits={"calibration": calibration, "test": test},
        perturbations=perturbations,
        pixel_views=pixels,
        skipped=tuple(dict.fromkeys((*calibration.skipped, *test.skipped))),
        notes=notes,
    )


def _check_files(inputs: InputOptions) -> None:
    """Name a missing file or folder now, before anything is loaded."""
    from genviews.load.images import kind_of

    kind_of(inputs.images)
    table = None if inputs.labels == "subfolders" else Path(inputs.labels)
    fraction = _fraction(inputs.calibration)
    if fraction is None:
        kind_of(inputs.calibration)
    listed = inputs.class_names in (None, "value", "text")
    check_exist(
        {
            "--labels": table,
            "--calibration-labels": inputs.calibration_labels,
            "--class-names": None if listed else Path(str(inputs.class_names)),
            "--weights": inputs.weights,
            "--encoder": inputs.encoder,
            "--walks": inputs.walks,
        }
    )
    if fraction is not None and inputs.calibration_labels is not None:
        fail(
            "--calibration-labels",
            expected="a folder as --calibration",
            got=f"the fraction {inputs.calibration}",
            remedy="leave one of them out",
        )


def _fraction(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _images(inputs: InputOptions, spec: ImageSpec, seed: int) -> Splits:
    """Calibration and test images."""
    from genviews.load.classes import read_class_names
    from genviews.load.splits import load_splits

    fraction = _fraction(inputs.calibration)
    return load_splits(
        inputs.images,
        spec,
        calibration=inputs.calibration if fraction is None else fraction,
        seed=seed,
        labels=None if inputs.labels == "subfolders" else inputs.labels,
        calibration_labels=inputs.calibration_labels,
        class_names=None if inputs.class_names is None else read_class_names(inputs.class_names),
        resize=inputs.resize,
        convert=inputs.convert,
    )
