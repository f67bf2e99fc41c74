"""`--voc` of `genviews study`: from flags to a `VOCTask`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from genviews.checks import check_count, fail
from genviews.cli.images import check_apart
from genviews.cli.learn_options import VOCOptions
from genviews.cli.options import changed_fields, flag_of

if TYPE_CHECKING:  # these load torch, which the flags alone do not need
    from genviews.evaluate.detection import DetectionConfig
    from genviews.studies.learning.voc_task import VOCTask

__all__ = ["check_voc", "voc_task"]


def check_voc(options: VOCOptions, out: Path) -> None:
    """Find mistakes in the flags, before anything is loaded.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: flags about VOC without it, or a count below 1.
    """
    if options.voc is None:
        given = changed_fields(options)
        if given:
            fail(
                ", ".join(map(flag_of, given)),
                expected="--voc, the folder of the photos",
                got="none",
                remedy="add --voc VOCdevkit, or leave out what is about it",
            )
        return
    if not options.voc.is_dir():
        fail(
            "--voc",
            expected="the folder VOCdevkit, or VOC2007 in it",
            got=repr(str(options.voc)),
            remedy="correct the path; nothing is downloaded",
            error=FileNotFoundError,
        )
    check_apart(out, {"--voc": str(options.voc)})
    check_count(options.voc_size, "--voc-size")
    if options.detection_steps is not None:
        check_count(options.detection_steps, "--detection-steps")
        if not options.detection:
            fail("--detection-steps", expected="--detection", got="none", remedy="add it")


def voc_task(options: VOCOptions) -> VOCTask | None:
    """What the flags ask for; None without `--voc`."""
    from genviews.studies.learning.voc_task import VOCTask

    if options.voc is None:
        return None
    return VOCTask(
        path=options.voc,
        protocol=options.voc_protocol,
        size=options.voc_size,
        detection=detection_config(options.detection_steps) if options.detection else None,
    )


def detection_config(steps: int | None) -> DetectionConfig:
    """The papers' fine-tuning; of another length, with warm-up and milestones in proportion.

    Example:
        >>> detection_config(2400).milestones
        (1800, 2200)
    """
    from genviews.evaluate.detection import DetectionConfig

    paper = DetectionConfig()
    if steps is None:
        return paper
    share = steps / paper.steps
    return DetectionConfig(
        steps=steps,
        warmup=round(share * paper.warmup) if share < 1 else paper.warmup,
        milestones=tuple(round(share * step) for step in paper.milestones),
    )
