"""`genviews invert`: the latents of a data set, its reconstructions, and how good they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genviews.cli.images import check_apart, check_exist, check_images
from genviews.cli.options import (
    InvertInputs,
    InvertOptions,
    PictureOptions,
    RunOptions,
    command,
    plain,
)
from genviews.cli.progress import Stages
from genviews.cli.run import Claim, ResultOutput, run

if TYPE_CHECKING:  # these load torch, which the flags alone do not need
    from genviews.studies.result import Result

__all__ = ["run_invert"]

LATENTS, RECONSTRUCTIONS, PNG = "latents", "reconstructions", "png"  # subfolders of the run
IMAGES = "images.csv"  # a line an image


def run_invert(
    inputs: InvertInputs, options: InvertOptions, pictures: PictureOptions, flags: RunOptions
) -> int:
    """Invert into a run folder; returns the exit code."""
    _check(inputs, options)
    config = {"verb": "invert", **plain(inputs, options)}

    def job(stages: Stages, claim: Claim) -> Result:
        from genviews.cli.invert_job import InvertJob

        return InvertJob(
            inputs=inputs,
            options=options,
            pictures=pictures,
            flags=flags,
            config=config,
            command=command("invert", inputs, options),
        ).run(stages, claim)

    output = ResultOutput(
        products=(IMAGES, *([PNG] if pictures.png else [])), work=(LATENTS, RECONSTRUCTIONS, PNG)
    )
    return run(config, options.out, flags, output, job)


def _check(inputs: InvertInputs, options: InvertOptions) -> None:
    """Find what is wrong with the flags before anything is loaded."""
    check_images(inputs)
    check_apart(options.out, {"--images": inputs.images, "--start-from": options.start_from})
    check_exist(
        {
            "--encoder": inputs.encoder,
            "--root": inputs.root,
            "--geometry": inputs.geometry,
            "--lpips-weights": options.lpips_weights,
        }
    )
