"""`genviews ensemble`: the main study on the user's images, classifier and generator."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from genviews.cli.check import check_images, check_models, fraction
from genviews.cli.flags import EnsembleFlags, ImageFlags, ModelFlags, RunFlags
from genviews.cli.run import run_verb

if TYPE_CHECKING:
    from genviews.studies.bench import Inputs

__all__ = ["check_ensemble", "load_inputs", "run_ensemble", "title_of"]


def run_ensemble(
    images: ImageFlags, models: ModelFlags, flags: EnsembleFlags, run: RunFlags
) -> int:
    """Run the study in its folder; returns the exit code."""
    from genviews.studies.ensembling.main import STUDY, MainStudy

    return run_verb(
        "ensemble",
        STUDY,
        MainStudy(num_views=flags.views, average=flags.average),
        [images, models, flags],
        run,
        check=lambda out: check_ensemble(images, models, out),
        load=lambda decoding: load_inputs(images, models),
        title=title_of(models),
        seed=images.seed,
    )


def title_of(models: ModelFlags) -> str:
    """The question, with the names of the models."""
    return f"Do views from {Path(models.generator).name} help {Path(models.classifier).name}?"


def check_ensemble(images: ImageFlags, models: ModelFlags, out: Path) -> None:
    """Find what is wrong before anything is loaded."""
    check_images(images, out)
    check_models(models)


def load_inputs(images: ImageFlags, models: ModelFlags) -> Inputs:
    """Load what the user named."""
    from genviews.augment import pixel_views_apart
    from genviews.classify import Task
    from genviews.load.classes import read_class_names
    from genviews.load.classifier import load_classifier
    from genviews.load.generator import load_generator
    from genviews.load.splits import load_splits
    from genviews.studies.bench import Inputs

    kit = load_generator(
        models.generator,
        z_dim=models.z_dim,
        encoder=models.encoder,
        walks=models.walks,
        steps=models.steps,
        domain=models.domain,
    )
    pixels = pixel_views_apart(models.augment) if models.augment else kit.baselines
    perturbations = kit.perturbations(models.perturb)
    spec, part = kit.generator.image_spec, fraction(images.calibration)
    splits = load_splits(
        images.images,
        spec,
        calibration=images.calibration if part is None else part,
        seed=images.seed,
        labels=None if images.labels == "subfolders" else images.labels,
        calibration_labels=images.calibration_labels,
        class_names=None if images.class_names is None else read_class_names(images.class_names),
        resize=images.resize,
        convert=images.convert,
    )
    calibration, test = splits.calibration, splits.test
    classifier = load_classifier(models.classifier, spec, test.class_names, weights=models.weights)
    return Inputs(
        kit=kit,
        tasks=(Task(name="images", classifier=classifier),),
        splits={"calibration": calibration, "test": test},
        perturbations=perturbations,
        pixel_views=pixels,
        skipped=tuple(dict.fromkeys((*calibration.skipped, *test.skipped))),
        notes=(*splits.notes, *kit.notes),
    )
