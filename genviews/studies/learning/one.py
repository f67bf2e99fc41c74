"""One encoder: learnt from views and images (`genviews learn`), or judged (`genviews probe`).

`learn` is a study of one row: what is kept, and how it goes on, is that of any table.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from genviews.checks import fail
from genviews.data.source import as_source
from genviews.evaluate.encoders import ProbeData, probe_encoder
from genviews.evaluate.extractor import FeatureExtractor
from genviews.represent.losses.choose import OBJECTIVES
from genviews.represent.monitor import OnlineKNN
from genviews.studies.base import Need, Study
from genviews.studies.bench import Bench
from genviews.studies.learning.encoder_result import encoder_result
from genviews.studies.learning.judge import ENCODER
from genviews.studies.learning.options import LearnOptions
from genviews.studies.learning.progress import PROBE, StudyProgress
from genviews.studies.learning.row import LearningRow
from genviews.studies.learning.run import run_rows
from genviews.studies.learning.training import learning_setting
from genviews.studies.options import Options
from genviews.studies.result import Result

__all__ = ["LEARN", "PROBE_ENCODER", "learn", "one_row", "probe"]

BACKBONE = "backbone.safetensors"
BANK, QUERIES = 2000, 1000  # images of train and val that are looked at while training
_GAUSSIAN = "gaussian_all_0.20"  # the paper's for BigBiGAN


def learn(bench: Bench, options: LearnOptions) -> Result:
    """Learn an encoder, keep it, and judge it where there are labelled images.

    Raises:
        ValueError: options that do not fit what was given, or features that cannot be judged; the
            weights are kept, so that the next call does not learn again.
    """
    given = bench.inputs.given()
    row = one_row(options, made=Need.KIT in given, real=Need.REAL in given)
    setting = learning_setting(bench, options, [row])
    if setting.probe is not None:
        setting = replace(setting, monitor=_monitor(setting.probe))
    (found,) = run_rows(
        [row],
        setting,
        [options.seed],
        bench.place,
        engine=bench.engine,
        report=StudyProgress(bench.progress, [row], 1, setting),
    )
    images = "x".join(str(n) for n in setting.image_spec.shape)
    about = {"images": images, "generator": bench.kit.name if Need.KIT in given else "none"}
    encoder = found.encoder()
    encoder.save(bench.products / ENCODER, about)
    encoder.export_backbone(bench.products / BACKBONE, about)
    facts = {"row": row.fields, "images": images, "samples": setting.base}
    return encoder_result(
        bench.title or "An encoder",
        encoder,
        record=replace(bench.record(options), seed=options.seed),
        judged=found.record,
        facts={**facts, **setting.facts(options.seed)},
    )


def one_row(options: LearnOptions, *, made: bool, real: bool) -> LearningRow:
    """The row that options ask for.

    Args:
        options: of the encoder.
        made: whether there is a generator.
        real: whether there are real images.

    Raises:
        ValueError: options that do not go together, or not with what there is.
    """
    if not (made or real):
        fail(
            "what to learn from",
            expected="--generator, --real or both",
            got="neither",
            remedy="name a generator, or images",
        )
    both = made and real
    if both != (options.share is not None):
        fail(
            "--share",
            expected="a part of generated samples, for --generator together with --real",
            got="none" if both else "a part, and only one of the two",
            remedy="add --share 0.5, or leave one of the two out" if both else "leave it out",
        )
    views = _views(options, alone=made and not real)
    if views is not None and not made:
        fail("--views", expected="a generator", got="none", remedy="add --generator, or leave out")
    if views is not None and views.partition("_")[0] == "stylemix" and options.space == "z":
        fail(
            "--views",
            expected="views that can be made in z",
            got=views,
            remedy="add --space own: style-mixing acts on the rows behind the mapping",
        )
    if views is None and options.pixels == "none" and not OBJECTIVES[options.objective].single_view:
        fail(
            "--views and --pixels",
            expected="views that tell two pictures of a sample apart",
            got="none of either",
            remedy="leave one of the two flags out",
        )
    return LearningRow(
        name="learned",
        data="mixed" if both else "generated" if made else "real",
        views=views,
        space=options.space,
        pixels=options.pixels != "none",
        objective=options.objective,
        positives=options.positives,
        pool=options.pool,
        share=options.share,
    )


def _views(options: LearnOptions, *, alone: bool) -> str | None:
    """The latent views that are asked for, or those that suit data and objective."""
    if options.views is not None:
        return None if options.views == "none" else options.views
    return _GAUSSIAN if alone and not OBJECTIVES[options.objective].single_view else None


def probe(bench: Bench, options: Options) -> Result:
    """Judge an encoder: a linear probe and nearest neighbours, with intervals."""
    extractor = FeatureExtractor(bench.encoder, batch_size=bench.batch_size)
    scores = probe_encoder(extractor, bench.probe)
    bench.note(PROBE)
    return encoder_result(
        bench.title or "An encoder",
        bench.encoder,
        record=replace(bench.record(options), seed=None),
        judged=scores.record(),
    )


def _monitor(data: ProbeData) -> OnlineKNN:
    """Nearest neighbours on parts of train and val, to be looked at while training."""
    bank, queries = _spread(len(data.train), BANK), _spread(len(data.val), QUERIES)
    assert data.train.labels is not None  # checked by ProbeData
    assert data.val.labels is not None
    return OnlineKNN(
        bank=as_source(data.train).read(bank.tolist()).images,
        bank_labels=data.train.labels[bank],
        queries=as_source(data.val).read(queries.tolist()).images,
        query_labels=data.val.labels[queries],
        neighbours=min(20, len(bank)),
    )


def _spread(count: int, most: int) -> torch.Tensor:
    """Rows spread evenly over a set, which may be sorted by class."""
    return torch.linspace(0, count - 1, min(count, most)).round().long()


LEARN = Study(
    "learn",
    learn,
    LearnOptions,
    needs=(),
    uses=(Need.KIT, Need.REAL, Need.PROBES),
    products=(BACKBONE, ENCODER),
    keeps_work=False,
)
"""What `genviews learn` runs."""

PROBE_ENCODER = Study("probe", probe, Options, needs=(Need.ENCODER, Need.PROBES), keeps_work=False)
"""What `genviews probe` runs."""
