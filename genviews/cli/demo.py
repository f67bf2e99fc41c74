"""`genviews demo`: the main study on what ships with the package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from genviews.checks import check_count, fail
from genviews.cli.options import DemoOptions, RunOptions, command, plain
from genviews.cli.study import run_study_here

if TYPE_CHECKING:
    from genviews.data.source import ImageSource
    from genviews.studies.bench import Inputs

__all__ = ["run_demo"]

ENTRY = "fashion32"


def run_demo(options: DemoOptions, flags: RunOptions) -> int:
    """Run the demo in its folder; returns the exit code."""
    from genviews.studies.ensembling.main import STUDY, MainStudy

    return run_study_here(
        STUDY,
        lambda: _load(options),
        MainStudy(num_views=options.views, scale_views=min(options.views, 4)),
        flags,
        out=options.out,
        config={"verb": "demo", **plain(options)},
        command=command("demo", options),
        title=f"{ENTRY}: do generated views help this classifier?",
        seed=options.seed,
    )


def _load(options: DemoOptions) -> Inputs:
    """The parts that ship."""
    from genviews.classify import Task
    from genviews.load.generator import load_generator
    from genviews.studies.bench import Inputs
    from genviews.zoo import zoo_classifiers

    kit = load_generator(ENTRY, steps=options.steps)
    return Inputs(
        kit=kit,
        tasks=tuple(Task(name=n, classifier=c) for n, c in zoo_classifiers(ENTRY).items()),
        splits={
            "calibration": _first("val", options.calibration, "calibration"),
            "test": _first("test", options.test, "test"),
        },
        perturbations=kit.candidates,
        pixel_views=kit.baselines,
    )


def _first(split: Literal["val", "test"], count: int, what: str) -> ImageSource:
    """The first images of a sample, as balanced as the sample is."""
    from genviews.data.source import MemorySource
    from genviews.zoo import zoo_images

    images = zoo_images(ENTRY, split)
    check_count(count, f"--{what}")
    if count > len(images):
        fail(
            f"--{what}",
            expected=f"at most {len(images)} images, which is what ships",
            got=count,
            remedy="for more, see recipes/fashion32/ensemble.py",
        )
    return MemorySource(images.select(slice(0, count)))
