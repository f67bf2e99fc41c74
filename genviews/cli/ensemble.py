"""`genviews ensemble`: the study on the user's images, classifier and generator."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from genviews.checks import fail
from genviews.cli.folder import stamp, stamps
from genviews.cli.images import check_exist, images_stamp
from genviews.cli.options import InputOptions, RunOptions, StudyOptions, command, plain
from genviews.cli.progress import Stages
from genviews.cli.run import run, say_notes
from genviews.cli.study import StudyOutput

if TYPE_CHECKING:
    from genviews.ensemble.result import StudyResult
    from genviews.load.splits import Splits
    from genviews.types import ImageSpec

__all__ = ["run_ensemble"]


def run_ensemble(inputs: InputOptions, options: StudyOptions, flags: RunOptions) -> int:
    """Run the study in its folder; returns the exit code."""
    _check_files(inputs)
    config = {"verb": "ensemble", **plain(inputs, options), "stamps": _stamps(inputs)}
    return run(
        config,
        options.out,
        flags,
        StudyOutput(),
        lambda stages: study(inputs, options, flags, config, stages),
    )


def study(
    inputs: InputOptions,
    options: StudyOptions,
    flags: RunOptions,
    config: dict[str, Any],
    stages: Stages,
) -> StudyResult:
    """Load what the user named and run the study."""
    from genviews.cli.engine import run_engine
    from genviews.cli.job import Job, find_device, pixel_augmentations, work
    from genviews.ensemble.settings import StudySettings
    from genviews.load.classifier import load_classifier
    from genviews.load.generator import load_generator

    device = find_device(flags.device)
    settings = StudySettings(
        num_views=options.views,
        seed=options.seed,
        average=options.average,
        batch_size=flags.batch_size,
    )
    kit = load_generator(
        inputs.generator,
        z_dim=inputs.z_dim,
        encoder=inputs.encoder,
        walks=inputs.walks,
        steps=options.steps,
        domain=inputs.domain,
    )
    augmentations = pixel_augmentations(kit, options.augment)
    perturbations = kit.perturbations(options.perturb)
    spec = kit.generator.image_spec
    splits = _images(inputs, spec, options.seed)
    notes = (*splits.notes, *kit.notes)
    say_notes(notes)
    calibration, test = splits.calibration.load(), splits.test.load()
    classifier = load_classifier(inputs.classifier, spec, test.class_names, weights=inputs.weights)
    job = Job(
        title=f"Do views from {Path(inputs.generator).name} help {Path(inputs.classifier).name}?",
        command=command("ensemble", inputs, options),
        config={**config, "notes": list(notes)},
        kit=kit,
        classifiers={"images": classifier},
        calibration=calibration,
        test=test,
        perturbations=perturbations,
        augmentations=augmentations,
        settings=settings,
        folder=options.out,
        device=device,
        engine=run_engine(flags, device),
    )
    stages.note("load")
    return work(job, stages)


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


def _stamps(inputs: InputOptions) -> dict[str, str]:
    """What changes when a file changes: the same command on other data is another run."""
    from genviews.load.generator import generator_files

    paths = {
        "labels": Path(inputs.labels),
        "calibration_labels": inputs.calibration_labels,
        "class_names": Path(inputs.class_names or "value"),
        "classifier": Path(inputs.classifier),
        "weights": inputs.weights,
        "encoder": inputs.encoder,
        "walks": inputs.walks,
    }
    other = None if _fraction(inputs.calibration) is not None else inputs.calibration
    return {
        **stamps(paths),
        "images": images_stamp(inputs.images),
        "calibration": images_stamp(other),
        "generator": " ".join(map(stamp, generator_files(inputs.generator))),
    }


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
