"""The verbs: each runs one study on what its flags name.

`run` checks the flags (`check`), loads what they name (`inputs`) and shows the answer. Nothing
heavy is imported before a verb runs: help must answer at once.
"""

from __future__ import annotations

from pathlib import Path

from genviews.cli.flags import (
    CorruptFlags,
    DemoFlags,
    EnsembleFlags,
    InvertFlags,
    ModelFlags,
    PredictFlags,
    RunFlags,
)
from genviews.cli.learning_flags import LearnFlags, ObjectiveFlags, ProbeFlags
from genviews.cli.run import run_verb
from genviews.studies.learning.options import LearnOptions

__all__ = ["corrupt", "demo", "ensemble", "invert", "learn", "predict", "probe", "title_of"]

_DEMO, _ENSEMBLE, _RUN = DemoFlags(), EnsembleFlags(), RunFlags()
_LEARNT_FROM, _OBJECTIVE = LearnFlags(), LearnOptions()


def demo(flags: DemoFlags = _DEMO, *, run: RunFlags = _RUN) -> int:
    """Try it: the whole study on images and weights that ship with the package, no download.

    Inverts real images, as they are and under a corruption, makes views of them, chooses weights on
    calibration images, measures gains on test images, and writes a report.
    """
    from genviews.studies.ensembling.demo import STUDY, Demo

    return run_verb(
        "demo",
        STUDY,
        Demo(num_views=flags.num_views, scale_views=min(flags.num_views, 4), shifts=flags.shifts),
        [flags],
        run,
        title="fashion32: do generated views help this classifier?",
        seed=flags.seed,
    )


def ensemble(models: ModelFlags, *, flags: EnsembleFlags = _ENSEMBLE, run: RunFlags = _RUN) -> int:
    """Find out whether generated views make your classifier better on your images.

    The images need labels: alpha is chosen on one part of them, the gain is measured on the other.
    A killed run started again continues where it was.
    """
    from genviews.studies.ensembling.main import STUDY, MainStudy

    return run_verb(
        "ensemble",
        STUDY,
        MainStudy(**vars(flags)),
        [models, flags],
        run,
        title=title_of(models),
        seed=models.seed,
    )


def predict(flags: PredictFlags, *, run: RunFlags = _RUN) -> int:
    """Classify images with an ensemble that was fitted: one line for each in predictions.csv.

    A line has the id, the label if it is known, what the classifier says of the image alone, what
    the ensemble says, and the answer for each view. A killed run started again continues where it
    was; memory does not grow with the number of images.
    """
    from genviews.cli.saved import saved_ensemble
    from genviews.studies.predict import STUDY

    saved = saved_ensemble(flags.ensemble)
    return run_verb(
        "predict",
        STUDY,
        saved,
        [flags],
        run,
        title=f"{flags.images} by the ensemble of {flags.ensemble}",
        seed=saved.seed,
    )


def title_of(models: ModelFlags) -> str:
    """The question, with the names of the models."""
    return f"Do views from {Path(models.generator).name} help {Path(models.classifier).name}?"


def invert(flags: InvertFlags, *, run: RunFlags = _RUN) -> int:
    """Find the latents that reproduce your images, and see how well they do.

    Writes stores of latents and of reconstructions, a table and a summary of their quality, and a
    page with the best and the worst. A killed run started again continues where it was.
    """
    from genviews.studies.invert import STUDY, InvertOptions

    return run_verb(
        "invert",
        STUDY,
        InvertOptions(lpips_weights=flags.lpips_weights, png=flags.png),
        [flags],
        run,
        title=f"Inversion of {flags.images} with {Path(flags.generator).name}",
    )


def learn(
    flags: LearnFlags = _LEARNT_FROM,
    *,
    options: ObjectiveFlags = _OBJECTIVE,
    run: RunFlags = _RUN,
) -> int:
    """Learn an encoder from generated views, from real images, or from a mix.

    Writes the encoder, its backbone with the key names of torchvision or timm, the history of the
    training and a page. With --data a linear probe and nearest neighbours judge it. A killed run
    started again continues where it was. The same command gives the same numbers on one machine;
    another number of threads (OMP_NUM_THREADS) rounds differently, which training magnifies.
    """
    from genviews.studies.learning.one import LEARN, one_row

    options.check()
    made, real = flags.generator is not None, flags.real is not None
    row = one_row(options, made=made, real=real)
    parts = [f"views of {Path(flags.generator).name}"] if flags.generator is not None else []
    parts += [f"images of {flags.real}"] if real else []
    return run_verb(
        "learn",
        LEARN,
        options,
        [flags, options],
        run,
        title=f"An encoder learnt from {' and '.join(parts)}",
        about={"views": row.views},
    )


def probe(flags: ProbeFlags, *, run: RunFlags = _RUN) -> int:
    """Judge an encoder on labelled images: a linear probe and nearest neighbours, with intervals.

    The encoder is frozen. Probes are fitted on train, their settings chosen on val, and accuracies
    are of test.
    """
    from genviews.studies.learning.one import PROBE_ENCODER
    from genviews.studies.options import Options

    return run_verb(
        "probe",
        PROBE_ENCODER,
        Options(),
        [flags],
        run,
        title=f"What {flags.encoder.name} knows of {flags.data}",
    )


def corrupt(flags: CorruptFlags, *, run: RunFlags = _RUN) -> int:
    """Write images as a poor camera, the weather or a small file would leave them.

    One folder of PNG files for each corruption, with the names and subfolders that the images had,
    and a card that says kind, severity, scale and seed. A killed run started again continues where
    it was.
    """
    from genviews.studies.corrupt import STUDY, CorruptOptions

    return run_verb(
        "corrupt",
        STUDY,
        CorruptOptions(corruption=flags.corruption),
        [flags],
        run,
        title=f"{flags.images} after {', '.join(flags.corruption)}",
        seed=flags.seed,
    )
