"""`genviews demo`: the main study on what ships with the package."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genviews.checks import check_count, fail
from genviews.cli.flags import DemoFlags, RunFlags
from genviews.cli.run import run_verb

if TYPE_CHECKING:
    from genviews.studies.bench import Inputs

__all__ = ["run_demo"]

ENTRY = "fashion32"
MOST = {"calibration": 500, "test": 1000}  # images that ship


def run_demo(flags: DemoFlags, run: RunFlags) -> int:
    """Run the demo in its folder; returns the exit code."""
    from genviews.studies.ensembling.main import STUDY, MainStudy

    return run_verb(
        "demo",
        STUDY,
        MainStudy(num_views=flags.views, scale_views=min(flags.views, 4)),
        [flags],
        run,
        check=lambda out: _check(flags),
        load=lambda decoding: _load(flags),
        title=f"{ENTRY}: do generated views help this classifier?",
        seed=flags.seed,
    )


def _check(flags: DemoFlags) -> None:
    for name, count in (("calibration", flags.calibration), ("test", flags.test)):
        check_count(count, f"--{name}")
        if count > MOST[name]:
            fail(
                f"--{name}",
                expected=f"at most {MOST[name]} images, which is what ships",
                got=count,
                remedy="for more, see recipes/fashion32/ensemble.py",
            )


def _load(flags: DemoFlags) -> Inputs:
    """The parts that ship; the first images of a sample are as balanced as the sample is."""
    from genviews.classify import Task
    from genviews.data import MemorySource
    from genviews.load.generator import load_generator
    from genviews.studies.bench import Inputs
    from genviews.zoo import zoo_classifiers, zoo_images

    kit = load_generator(ENTRY, steps=flags.steps)
    return Inputs(
        kit=kit,
        tasks=tuple(Task(name=n, classifier=c) for n, c in zoo_classifiers(ENTRY).items()),
        splits={
            "calibration": MemorySource(zoo_images(ENTRY, "val").select(slice(flags.calibration))),
            "test": MemorySource(zoo_images(ENTRY, "test").select(slice(flags.test))),
        },
        perturbations=kit.candidates,
        pixel_views=kit.baselines,
    )
