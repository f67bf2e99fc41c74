"""The test-time study: do the generator's views make this classifier better on these images?

The whole test-time arrow after inversion, for one or more tasks at once. Scales and what is
combined are chosen on calibration; then both splits' views are made, alpha is fitted on calibration
and every row measured on test. The demo, the `ensemble` verb and the recipes all call `run_study`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from genviews.augment import PixelViews
from genviews.checks import fail, lookup
from genviews.classify.task import Task, task_classifiers
from genviews.data.images import ImageSet
from genviews.data.source import MemorySource, check_leakage
from genviews.engine import Engine
from genviews.ensemble.bench import Bench, Split, pixel_sets, reconstruction_measures
from genviews.ensemble.choose import group_candidates
from genviews.ensemble.combine import adjust
from genviews.ensemble.result import StudyResult
from genviews.ensemble.settings import StudySettings
from genviews.ensemble.verdict import verdict
from genviews.environment import versions
from genviews.generators.base import Generator
from genviews.perturb import Perturbation
from genviews.types import Inversion, Progress, silent

__all__ = ["StudySettings", "run_study"]


def run_study(
    tasks: Sequence[Task],
    generator: Generator,
    calibration: ImageSet,
    test: ImageSet,
    calibration_inversion: Inversion,
    test_inversion: Inversion,
    perturbations: Sequence[Perturbation],
    pixel_views: Sequence[PixelViews] = (),
    *,
    settings: StudySettings | None = None,
    title: str = "Test-time ensembling with generated views",
    command: str = "",
    measures: Mapping[str, float] | None = None,
    progress: Progress | None = None,
    keep: Path | None = None,
    engine: str | Engine = "local",
) -> StudyResult:
    """Measure test-time ensembles against the single image: table, curves, gallery and verdict.

    Args:
        tasks: e.g. "images" and "views", by what each classifier was trained on.
        generator: renders the views.
        calibration: labelled images on which scales and alpha are chosen.
        test: labelled images on which results are reported, other ones than those of `calibration`.
        calibration_inversion: latents of the calibration images, in their order.
        test_inversion: latents of the test images, in their order.
        perturbations: candidates; those of one kind and layer range compete, listed the mildest
            first.
        pixel_views: pixel augmentations to compare and combine with.
        settings: the knobs; None takes the defaults.
        title: of the result.
        command: that made it, for the record.
        measures: more numbers on the reconstructions to report, e.g. {"encoder_l1": 0.1}.
        progress: called with (stage, unit, done, total).
        keep: a folder for finished predictions: a killed study that is run again goes on from them.
        engine: where predictions are made: "local" (this process); with `keep` also "ray".

    Returns:
        For each task the rows single image, each pixel augmentation, reconstruction only,
        image + reconstruction, each perturbation at its chosen scale, and combined.

    Raises:
        ValueError: missing labels, other classes, inversions that do not fit, or an image in both
            splits.

    Source: Chai et al. 2021, section 4 and figures 5, 8 and 16.

    Differs: intervals and tests are over test images, paired; p-values are adjusted over the table
        (Holm). `genviews.ensemble.resample` has the reference's error bars.
    """
    settings = _with_reference(settings or StudySettings(), tasks)
    reference = str(settings.reference)
    first, last = (
        Split(name="calibration", images=calibration, inversion=calibration_inversion),
        Split(name="test", images=test, inversion=test_inversion),
    )
    _check(tasks, first, last)
    bench = Bench(
        tasks=tuple(tasks),
        generator=generator,
        settings=settings,
        reference=reference,
        progress=progress or silent,
        keep=keep,
        engine=engine,
    )
    clock = _Clock()
    with clock.stage("choose scales"):
        latents, scores = bench.choose_latents(first, group_candidates(perturbations))
    with clock.stage("calibration views"):
        chosen, banks = bench.choose_combined(first, latents, pixel_sets(pixel_views, calibration))
    with clock.stage("test views"):
        test_banks = bench.fill(last, bench.union(chosen))
    with clock.stage("evaluate"):
        found = bench.evaluate(chosen, banks, test_banks)
        comparisons = bench.compare(chosen, found)
    with clock.stage("gallery"):
        gallery = bench.gallery(last, chosen[reference], found[reference], test_banks)
    evaluations = [e for own in found.values() for e in own]
    rows = adjust([e.row for e in evaluations])
    return StudyResult(
        title=title,
        class_names=tuple(calibration.class_names),
        rows=rows,
        curves=tuple(e.curve for e in evaluations if e.curve is not None),
        gallery=gallery,
        reconstruction={**reconstruction_measures(last, test_banks[reference]), **(measures or {})},
        num_calibration=len(calibration),
        num_test=len(test),
        skipped=tuple(dict.fromkeys((*calibration.skipped, *test.skipped))),
        config={
            **asdict(settings),
            "tasks": [task.name for task in tasks],
            "pixel_views": [repr(p) for p in pixel_views],
            "perturbations": [p.name for p in perturbations],
            "scale_accuracies": scores,
        },
        versions=versions(),
        command=command,
        seconds=clock.seconds,
        seed=settings.seed,
        verdict=verdict(rows, comparisons, reference=reference, num_test=len(test)),
        comparisons=comparisons,
    )


@dataclass(frozen=True)
class _Clock:
    """Seconds of each stage."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a block."""
        began = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - began


def _with_reference(settings: StudySettings, tasks: Sequence[Task]) -> StudySettings:
    """The settings with the reference task's name filled in."""
    task_classifiers(tasks)  # refuses none, or two of one name
    name = tasks[0].name if settings.reference is None else settings.reference
    lookup(name, {task.name: task for task in tasks}, "reference task")
    return replace(settings, reference=name)


def _check(tasks: Sequence[Task], calibration: Split, test: Split) -> None:
    for split in (calibration, test):
        _check_split(tasks, split)
    check_leakage({split.name: MemorySource(split.images) for split in (calibration, test)})


def _check_split(tasks: Sequence[Task], split: Split) -> None:
    images, columns = split.images, split.labels
    if not columns:
        fail(
            f"{split.name} images",
            expected="labels",
            got="none",
            remedy="a study needs them; without labels use `GenerativeTTA` with a known alpha",
        )
    for task in tasks:
        lookup(task.labels, columns, f"labels of the {split.name} images for task {task.name!r}")
        if task.class_names != tuple(images.class_names):
            fail(
                f"class names of the {split.name} images",
                expected=f"those of task {task.name!r}: {', '.join(task.class_names)}",
                got=", ".join(images.class_names),
                remedy="give both the same names in the same order",
            )
    if len(split.inversion) != len(images):
        fail(
            f"{split.name} inversion",
            expected=f"{len(images)} latents, one an image",
            got=len(split.inversion),
            remedy="invert these images, in this order",
        )
