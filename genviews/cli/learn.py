"""`genviews learn`: one encoder from generated views, real images, or a mix of both."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from genviews.checks import check_count, check_fraction, fail
from genviews.cli.images import check_apart, check_exist
from genviews.cli.learn_options import LearnInputs, LearnOptions
from genviews.cli.options import RunOptions, command, plain
from genviews.cli.progress import Stages
from genviews.cli.run import Claim, ResultOutput, run
from genviews.studies.learning.options import TrainingOptions

if TYPE_CHECKING:  # these load torch, which the flags alone do not need
    from genviews.studies.result import Result

__all__ = ["check_inputs", "run_learn"]

WORK = "work"  # subfolder with stored views and the checkpoint, removed at the end
BACKBONE, ENCODER = "backbone.safetensors", "encoder.safetensors"
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

    def job(stages: Stages, claim: Claim) -> Result:
        from genviews.cli.learn_job import LearnJob

        return LearnJob(
            inputs=inputs,
            views=views,
            training=training,
            flags=flags,
            config=config,
            command=command("learn", inputs, views, training),
        ).run(stages, claim)

    output = ResultOutput(products=(BACKBONE, ENCODER), work=(WORK,), scratch=(WORK,))
    return run(config, views.out, flags, output, job)


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
    from genviews.studies.learning.training import check_training

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
