"""`genviews demo`: the study on what ships with the package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genviews.cli.options import DemoOptions, RunOptions, command, plain
from genviews.cli.progress import Stages
from genviews.cli.run import run

if TYPE_CHECKING:
    from genviews.ensemble.result import StudyResult

__all__ = ["run_demo"]

ENTRY = "fashion32"


def run_demo(options: DemoOptions, flags: RunOptions) -> int:
    """Run the demo in its folder; returns the exit code."""
    from genviews.cli.folder import stamp
    from genviews.zoo import load

    config = {"verb": "demo", **plain(options), "weights": stamp(load(ENTRY).folder / "card.json")}
    return run(config, options.out, flags, lambda stages: study(options, flags, config, stages))


def study(
    options: DemoOptions, flags: RunOptions, config: dict[str, Any], stages: Stages
) -> StudyResult:
    """Load the parts that ship and run the study."""
    from genviews.cli.job import Job, find_device, pixel_augmentations, work
    from genviews.cli.sources import load_source
    from genviews.ensemble.settings import StudySettings
    from genviews.zoo import load

    device = find_device(flags.device)
    settings = StudySettings(
        num_views=options.views, seed=options.seed, batch_size=flags.batch_size
    )
    entry, source = load(ENTRY), load_source(ENTRY)
    job = Job(
        title=f"{ENTRY}: do generated views help this classifier?",
        command=command("demo", options),
        config=config,
        source=source,
        classifiers=entry.classifiers(),
        calibration=entry.samples("val"),
        test=entry.samples("test"),
        perturbations=source.candidates,
        augmentations=pixel_augmentations(None),
        settings=settings,
        folder=options.out,
        device=device,
    )
    stages.note("load")
    return work(job, stages)
