"""`genviews demo`: the study on what ships with the package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genviews.checks import check_count, fail
from genviews.cli.options import DemoOptions, RunOptions, command, plain
from genviews.cli.progress import Stages
from genviews.cli.run import run
from genviews.cli.study import StudyOutput

if TYPE_CHECKING:
    from genviews.data.images import ImageSet
    from genviews.ensemble.result import StudyResult

__all__ = ["run_demo"]

ENTRY = "fashion32"


def run_demo(options: DemoOptions, flags: RunOptions) -> int:
    """Run the demo in its folder; returns the exit code."""
    from genviews.cli.folder import stamp
    from genviews.zoo import entry_folder

    card = entry_folder(ENTRY) / "card.json"
    config = {"verb": "demo", **plain(options), "weights": stamp(card)}
    return run(
        config,
        options.out,
        flags,
        StudyOutput(),
        lambda stages: study(options, flags, config, stages),
    )


def study(
    options: DemoOptions, flags: RunOptions, config: dict[str, Any], stages: Stages
) -> StudyResult:
    """Load the parts that ship and run the study."""
    from genviews.cli.engine import run_engine
    from genviews.cli.job import Job, find_device, pixel_augmentations, work
    from genviews.ensemble.settings import StudySettings
    from genviews.load.generator import load_generator
    from genviews.zoo import zoo_classifiers, zoo_images

    device = find_device(flags.device)
    settings = StudySettings(
        num_views=options.views,
        scale_views=min(options.views, 4),
        seed=options.seed,
        batch_size=flags.batch_size,
    )
    kit = load_generator(ENTRY, steps=options.steps)
    job = Job(
        title=f"{ENTRY}: do generated views help this classifier?",
        command=command("demo", options),
        config=config,
        kit=kit,
        classifiers=zoo_classifiers(ENTRY),
        calibration=first(zoo_images(ENTRY, "val"), options.calibration, "calibration"),
        test=first(zoo_images(ENTRY, "test"), options.test, "test"),
        perturbations=kit.candidates,
        augmentations=pixel_augmentations(kit, None),
        settings=settings,
        folder=options.out,
        device=device,
        engine=run_engine(flags, device),
    )
    stages.note("load")
    return work(job, stages)


def first(images: ImageSet, count: int, what: str) -> ImageSet:
    """The first images of a sample, as balanced as the sample is."""
    check_count(count, f"--{what}")
    if count > len(images):
        fail(
            f"--{what}",
            expected=f"at most {len(images)} images, which is what ships",
            got=count,
            remedy="for more, see recipes/fashion32/ensemble.py",
        )
    return images.select(slice(0, count))
