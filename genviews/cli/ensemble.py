"""`genviews ensemble`: the study on the user's images, classifier and generator."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from genviews.checks import fail
from genviews.cli.folder import stamp, stamps
from genviews.cli.images import check_exist
from genviews.cli.options import InputOptions, RunOptions, StudyOptions, command, plain
from genviews.cli.progress import Stages
from genviews.cli.run import run
from genviews.cli.study import StudyOutput

if TYPE_CHECKING:
    from genviews.data.images import ImageSet
    from genviews.ensemble.result import StudyResult
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
    augmentations = pixel_augmentations(options.augment)
    kit = load_generator(
        inputs.generator,
        z_dim=inputs.z_dim,
        encoder=inputs.encoder,
        walks=inputs.walks,
        steps=options.steps,
    )
    perturbations = kit.perturbations(options.perturb)
    spec = kit.generator.image_spec
    calibration, test = _images(inputs, spec, options.seed)
    classifier = load_classifier(inputs.classifier, spec, test.class_names, weights=inputs.weights)
    job = Job(
        title=f"Do views from {Path(inputs.generator).name} help {Path(inputs.classifier).name}?",
        command=command("ensemble", inputs, options),
        config=config,
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
    table = None if inputs.labels == "subfolders" else Path(inputs.labels)
    folder = None if _fraction(inputs.calibration) is not None else Path(inputs.calibration)
    check_exist(
        {
            "--images": inputs.images,
            "--labels": table,
            "--calibration": folder,
            "--calibration-labels": inputs.calibration_labels,
            "--class-names": inputs.class_names,
            "--weights": inputs.weights,
            "--encoder": inputs.encoder,
            "--walks": inputs.walks,
        }
    )
    if folder is None and inputs.calibration_labels is not None:
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
        "images": inputs.images,
        "labels": Path(inputs.labels),
        "calibration": Path(inputs.calibration),
        "calibration_labels": inputs.calibration_labels,
        "class_names": inputs.class_names,
        "classifier": Path(inputs.classifier),
        "weights": inputs.weights,
        "encoder": inputs.encoder,
        "walks": inputs.walks,
    }
    return {**stamps(paths), "generator": " ".join(map(stamp, generator_files(inputs.generator)))}


def _images(inputs: InputOptions, spec: ImageSpec, seed: int) -> tuple[ImageSet, ImageSet]:
    """Calibration and test images."""
    from genviews.data.folder import load_folder

    names = None
    if inputs.class_names is not None:
        lines = inputs.class_names.read_text(encoding="utf-8").splitlines()
        names = [line.strip() for line in lines if line.strip()]
    table = None if inputs.labels == "subfolders" else Path(inputs.labels)
    how = {"resize": inputs.resize, "convert": inputs.convert}
    images = load_folder(inputs.images, spec, table, names, **how)
    if images.labels is None:
        fail(
            "labels",
            expected=f"a class for each image of {inputs.images}",
            got="images without subfolders",
            remedy="sort them into one subfolder a class, or give --labels FILE.csv",
        )
    fraction = _fraction(inputs.calibration)
    if fraction is not None:
        return images.split_calibration(fraction, seed)
    known = names or images.class_names
    folder = Path(inputs.calibration)
    return load_folder(folder, spec, inputs.calibration_labels, known, **how), images
