"""`genviews invert`: the latents of a data set, its reconstructions, and how good they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

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
from genviews.cli.run import Claim, Output, run, say_skipped

if TYPE_CHECKING:  # these load torch, which the flags alone do not need
    from genviews.invert.result import InversionResult

__all__ = ["InvertOutput", "run_invert"]

LATENTS, RECONSTRUCTIONS, PNG = "latents", "reconstructions", "png"  # subfolders of the run


def run_invert(
    inputs: InvertInputs, options: InvertOptions, pictures: PictureOptions, flags: RunOptions
) -> int:
    """Invert into a run folder; returns the exit code."""
    _check(inputs, options)
    config = {"verb": "invert", **plain(inputs, options)}

    def job(stages: Stages, claim: Claim) -> InversionResult:
        from genviews.cli.invert_job import InvertJob

        return InvertJob(
            inputs=inputs,
            options=options,
            pictures=pictures,
            flags=flags,
            config=config,
            command=command("invert", inputs, options),
        ).run(stages, claim)

    return run(config, options.out, flags, InvertOutput(png=pictures.png), job)


class InvertOutput(Output["InversionResult"]):
    """Page, contact sheet, table and summary; the stores and the PNG files are the job's.

    Args:
        png: whether each reconstruction is wanted as a PNG file.
    """

    work = (LATENTS, RECONSTRUCTIONS, PNG)

    def __init__(self, *, png: bool = False) -> None:
        files = ("report.html", "best_worst.png", "summary.csv", "summary.json")
        self.files = (*files[:3], *([PNG] if png else []), files[3])

    def verdict(self, result: InversionResult) -> str:
        """See `Output`."""
        return result.verdict

    def save(self, result: InversionResult, folder: Path) -> None:
        """See `Output`."""
        from genviews.files import write_json
        from genviews.report import contact_sheet, write_atomic, write_inversion_report

        write_atomic(folder / "summary.csv", result.csv_text())
        write_atomic(folder / "best_worst.png", contact_sheet(result))
        write_inversion_report(result, folder / "report.html")
        write_json(folder / "summary.json", result.summary())

    def show(self, result: InversionResult, console: Console) -> None:
        """See `Output`."""
        from rich.table import Table

        from genviews.report import inversion_measures

        table = Table("Measure", box=None, pad_edge=False, header_style="bold")
        for name in ("mean", "median", "90 % are below"):
            table.add_column(name, justify="right")
        for name, numbers in inversion_measures(result):
            table.add_row(name, *numbers)
        console.print()
        console.print(table)
        console.print()
        console.print(result.verdict, markup=False, highlight=False)
        say_skipped(console, result.skipped)


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
