"""The work of both verbs once everything is loaded: invert both splits, then run the study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from genviews.augment import PixelViews, pixel_views
from genviews.checks import fail
from genviews.classify.model import Classifier
from genviews.classify.task import Task
from genviews.cli.inversions import invert_images
from genviews.cli.progress import Stages
from genviews.data.images import ImageSet
from genviews.engine import Engine
from genviews.ensemble.result import StudyResult
from genviews.ensemble.settings import StudySettings
from genviews.ensemble.study import run_study
from genviews.generators import Generator
from genviews.invert import InversionEncoder
from genviews.kit import GeneratorKit
from genviews.memory import keep_freed_memory
from genviews.perturb import Perturbation

__all__ = ["Job", "find_device", "pixel_augmentations", "work"]


@dataclass(frozen=True, kw_only=True)
class Job:
    """A study, ready to run.

    Args:
        title: of the report.
        command: that asks for it.
        config: its resolved options, kept with the result.
        kit: generator and inverter.
        classifiers: name -> classifier; the first is the reference.
        calibration: images to choose on.
        test: images to measure on.
        perturbations: candidates.
        augmentations: pixel views.
        settings: of the study.
        folder: the run folder; finished inversions and predictions are kept in it.
        device: where to compute.
        engine: of the shards of inversions and predictions, both kept in the run folder.
    """

    title: str
    command: str
    config: Mapping[str, Any]
    kit: GeneratorKit
    classifiers: Mapping[str, Classifier]
    calibration: ImageSet
    test: ImageSet
    perturbations: Sequence[Perturbation]
    augmentations: Sequence[PixelViews]
    settings: StudySettings
    folder: Path
    device: torch.device
    engine: Engine


def work(job: Job, stages: Stages) -> StudyResult:
    """Run a job and tell its progress.

    Returns:
        The study's result, with the times of all stages, the resolved options and the command.
    """
    keep_freed_memory()
    kit = job.kit.to(job.device)
    generator, inverter = kit.generator, kit.inverter
    tasks = [
        Task(name=name, classifier=classifier.to(job.device))
        for name, classifier in job.classifiers.items()
    ]
    inversions = {
        name: invert_images(
            generator,
            images,
            inverter,
            job.folder / "inversions",
            batch_size=job.settings.batch_size,
            engine=job.engine,
            stage=f"invert {name} images",
            progress=stages,
        )
        for name, images in (("calibration", job.calibration), ("test", job.test))
    }
    measures = {}
    if inverter.encoder is not None:
        measures["encoder_l1"] = _encoder_error(generator, inverter.encoder, job)
    result = run_study(
        tasks,
        generator,
        job.calibration,
        job.test,
        inversions["calibration"],
        inversions["test"],
        job.perturbations,
        job.augmentations,
        settings=job.settings,
        title=job.title,
        command=job.command,
        measures=measures,
        progress=stages,
        keep=job.folder / "predictions",
        engine=job.engine,
    )
    return replace(
        result,
        config={**result.config, "options": dict(job.config)},
        seconds={**{k: v for k, v in stages.seconds.items() if "invert" in k}, **result.seconds},
    )


def find_device(name: str) -> torch.device:
    """The device that `--device` names.

    Raises:
        ValueError: no such device, or not on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        fail(
            "device",
            expected="auto, cpu, or a device of this machine",
            got=f"{name!r} ({str(error).splitlines()[0]})",
            remedy="use --device cpu",
        )
    return device


def pixel_augmentations(kit: GeneratorKit, names: Sequence[str] | None) -> tuple[PixelViews, ...]:
    """The named pixel views, or those that suit the generator.

    Raises:
        ValueError: an unknown name; the closest are listed.
    """
    return tuple(map(pixel_views, names)) if names else kit.baselines


@torch.no_grad()
def _encoder_error(generator: Generator, encoder: InversionEncoder, job: Job) -> float:
    """Mean absolute pixel error of the encoder alone, on test."""
    errors = []
    for images in job.test.images.split(job.settings.batch_size):
        known = torch.ones_like(images[:, :1])
        found = encoder(images.to(job.device), known.to(job.device))
        errors.append((generator.synthesize(found).cpu() - images).abs().flatten(1).mean(1))
    return float(torch.cat(errors).double().mean())
