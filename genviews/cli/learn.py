"""`genviews learn`: one encoder from generated views, real images, or a mix of both."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from genviews.checks import check_count, check_fraction, fail
from genviews.cli.images import check_apart, check_exist
from genviews.cli.learn_options import LearnInputs, LearnOptions, TrainingOptions
from genviews.cli.options import RunOptions, command, plain
from genviews.cli.progress import Stages
from genviews.cli.run import Claim, Output, run, say_skipped

if TYPE_CHECKING:  # these load torch, which the flags alone do not need
    from genviews.studies.learning.result import EncoderResult

__all__ = ["LearnOutput", "check_inputs", "run_learn"]

WORK = "work"  # subfolder with stored views and the checkpoint, removed at the end
_GAUSSIAN = "gaussian_all_0.20"  # the paper's for BigBiGAN
_ONE_VIEW = ("inverter", "classifier")  # objectives that look at one view of a sample


def run_learn(
    inputs: LearnInputs, views: LearnOptions, training: TrainingOptions, flags: RunOptions
) -> int:
    """Learn into a run folder; returns the exit code."""
    _check(inputs, views, training)
    check_inputs(inputs, training, views.out)
    config = {
        "verb": "learn",
        **plain(inputs, views, training),
        "views": views_of(inputs, views),
    }

    def job(stages: Stages, claim: Claim) -> EncoderResult:
        from genviews.cli.learn_job import LearnJob

        return LearnJob(
            inputs=inputs,
            views=views,
            training=training,
            flags=flags,
            config=config,
            command=command("learn", inputs, views, training),
        ).run(stages, claim)

    return run(config, views.out, flags, LearnOutput(inputs.generator), job)


class LearnOutput(Output["EncoderResult"]):
    """Page, history, both forms of the encoder, and summary.

    Args:
        generator: that views were made with, for the encoder's file.
    """

    files = (
        "report.html",
        "training.csv",
        "training.json",
        "backbone.safetensors",
        "encoder.safetensors",
        "summary.json",
    )
    work = (WORK,)

    def __init__(self, generator: str | None = None) -> None:
        self._generator = Path(generator).name if generator else "none"

    def verdict(self, result: EncoderResult) -> str:
        """See `Output`."""
        return result.verdict

    def save(self, result: EncoderResult, folder: Path) -> None:
        """See `Output`."""
        from genviews.files import write_json
        from genviews.report import write_atomic
        from genviews.report.learning import render_encoder_report

        # The weights first: whatever befalls the page, no hour of work is lost.
        about = {"images": str(result.facts["images"]), "generator": self._generator}
        result.encoder.save(folder / "encoder.safetensors", about)
        result.encoder.export_backbone(folder / "backbone.safetensors", about)
        write_atomic(folder / "training.csv", result.history_csv())
        write_json(folder / "training.json", result.history_records())
        write_atomic(folder / "report.html", render_encoder_report(result))
        write_json(folder / "summary.json", result.summary())
        shutil.rmtree(folder / WORK, ignore_errors=True)

    def show(self, result: EncoderResult, console: Console) -> None:
        """See `Output`."""
        show_encoder(result, console)


def show_encoder(result: EncoderResult, console: Console) -> None:
    """Print the probes of an encoder and the verdict."""
    from genviews.report.learning_tables import probe_table

    console.print()
    if result.scores is not None:
        console.print(probe_table(result))
        console.print()
    console.print(result.verdict, markup=False, highlight=False)
    say_skipped(console, result.skipped)


def views_of(inputs: LearnInputs, views: LearnOptions) -> str | None:
    """The latent views that are asked for, or those that suit data and objective."""
    if views.views is not None:
        return None if views.views == "none" else views.views
    alone = inputs.generator is not None and inputs.real is None
    return _GAUSSIAN if alone and views.objective not in _ONE_VIEW else None


def _check(inputs: LearnInputs, views: LearnOptions, training: TrainingOptions) -> None:
    """Find what is wrong with the flags of one encoder, before anything is loaded."""
    if inputs.generator is None and inputs.real is None:
        fail(
            "what to learn from",
            expected="--generator, --real or both",
            got="neither",
            remedy="name a generator, or images",
        )
    both = inputs.generator is not None and inputs.real is not None
    if both != (views.share is not None):
        fail(
            "--share",
            expected="a part of generated samples, for --generator together with --real",
            got="none" if both else "a part, and only one of the two",
            remedy="add --share 0.5, or leave one of the two out" if both else "leave it out",
        )
    if views.share is not None:
        check_fraction(views.share, "--share")
    check_count(views.positives, "--positives")
    if views.pool is not None:
        check_count(views.pool, "--pool", least=views.positives)
    found = views_of(inputs, views)
    if found is not None and inputs.generator is None:
        fail("--views", expected="a generator", got="none", remedy="add --generator, or leave out")
    kind = "" if found is None else found.partition("_")[0]
    if kind == "stylemix" and views.space == "z":
        fail(
            "--views",
            expected="views that can be made in z",
            got=found,
            remedy="add --space own: style-mixing acts on the rows behind the mapping",
        )
    if found is None and training.pixels == "none" and views.objective not in _ONE_VIEW:
        fail(
            "--views and --pixels",
            expected="views that tell two pictures of a sample apart",
            got="none of either",
            remedy="leave one of the two flags out",
        )


def check_inputs(inputs: LearnInputs, training: TrainingOptions, out: Path) -> None:
    """Find what is wrong with the flags of inputs and training, before anything is loaded."""
    _check_words(inputs)
    check_apart(out, {"--real": inputs.real, "--data": inputs.data})
    check_exist({"--walks": inputs.walks}, folders=False)
    if inputs.walks is not None and inputs.generator is None:
        fail("--walks", expected="a generator", got="none", remedy="leave it out")
    from genviews.cli.learn_setting import check_training

    check_training(training)


def _check_words(inputs: LearnInputs) -> None:
    """Find what is wrong with the images that are named, before anything is loaded."""
    from genviews.load.images import kind_of

    kinds = {word: kind_of(word) for word in (inputs.real, inputs.data) if word is not None}
    if inputs.size is not None:
        check_count(inputs.size, "--size")
        if inputs.generator is not None:
            fail(
                "--size",
                expected="no generator: images have the size that it makes",
                got=inputs.size,
                remedy="leave it out; --resize shrinks larger images",
            )
    if inputs.real is None:
        return
    kind = kinds[inputs.real]
    if kind == "fashion32" and inputs.size not in (None, 32):
        fail("--size", expected="32, for fashion32", got=inputs.size, remedy="leave it out")
    if kind == "store" and (inputs.resize or inputs.convert):
        fail(
            "--resize and --convert",
            expected="files or a data set as --real",
            got="a store, whose images are taken as they are",
            remedy="leave them out",
        )
    if kind == "store" and inputs.generator is None:
        fail(
            "--real",
            expected="a folder, a table or a data set, where no generator says the size",
            got="a store",
            remedy="name the generator that the images are of the size of",
        )
