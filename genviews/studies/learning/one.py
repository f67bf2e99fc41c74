"""One encoder: learnt from views and images (`genviews learn`), or judged (`genviews probe`).

`learn` is a study of one row: what is kept, and how it goes on, is that of any table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from genviews.checks import fail, for_flag
from genviews.data.images import spread_rows
from genviews.data.source import as_source
from genviews.evaluate.encoders import ProbeData, probe_encoder
from genviews.generators.callable import z_space
from genviews.kit import GeneratorKit
from genviews.perturb.pca import PCA
from genviews.report.words import number, short_range
from genviews.represent.encoder import RepresentationEncoder
from genviews.represent.losses import OBJECTIVES
from genviews.represent.monitor import OnlineKNN
from genviews.studies.base import Need, Study
from genviews.studies.bench import Bench
from genviews.studies.blocks import (
    Block,
    Cell,
    Chart,
    Column,
    Curves,
    Estimate,
    Note,
    Series,
    Table,
)
from genviews.studies.learning.floor import floor_of, floor_words
from genviews.studies.learning.judge import ENCODER, ProbeJudge, extractor_of
from genviews.studies.learning.options import LearnOptions
from genviews.studies.learning.row import LearningRow
from genviews.studies.learning.run import PROBE, StudyProgress, run_rows
from genviews.studies.learning.tables import UNTRAINED
from genviews.studies.learning.training import learning_setting
from genviews.studies.options import Options
from genviews.studies.result import Record, Result

__all__ = ["LEARN", "PROBE_ENCODER", "encoder_result", "learn", "one_row", "probe"]

BACKBONE = "backbone.safetensors"
BANK, QUERIES = 2000, 1000  # images of train and val that are looked at while training
_SHARED = ("space", "objective", "positives", "pool", "share")  # of options and of a row
_GAUSSIAN = "gaussian_all_0.20"  # the paper's for BigBiGAN
# What is looked at while training -> the words of its chart.
_MONITORS = {
    "knn": "nearest neighbours on val, accuracy",
    "rankme": "effective rank of the features",
    "alignment": "distance of two views of a sample (low: alike)",
    "uniformity": "uniformity of the projections (0: collapsed)",
}

Json = Mapping[str, Any]


def learn(bench: Bench, options: LearnOptions) -> Result:
    """Learn an encoder, keep it, and judge it where there are labelled images.

    Raises:
        ValueError: options that do not fit what was given, or features that cannot be judged; the
            weights are kept, so that the next call does not learn again.
    """
    given = bench.inputs.given()
    row = one_row(options, made=Need.KIT in given, real=Need.REAL in given)
    setting = replace(learning_setting(bench, options, [row]), views_seed=options.seed)
    if setting.probe is not None:
        setting = replace(setting, monitor=_monitor(setting.probe))
    seed, floor = [options.seed], None
    if setting.probe is not None:
        (untrained,) = run_rows([UNTRAINED], setting, seed, bench.place)
        floor = floor_of(setting.probe, [untrained.accuracies])
    (found,) = run_rows(
        [row],
        setting,
        seed,
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
        floor=floor,
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
    one_view, views = OBJECTIVES[options.objective].single_view, options.views
    if views is None and made and not (real or one_view):
        views = _GAUSSIAN
    views = None if views == "none" else views
    if views is not None and not made:
        fail("--views", expected="a generator", got="none", remedy="add --generator, or leave out")
    if views is not None and views.partition("_")[0] == "stylemix" and options.space == "z":
        fail(
            "--views",
            expected="views that can be made in z",
            got=views,
            remedy="add --space own: style-mixing acts on the rows behind the mapping",
        )
    if views is None and options.pixels == "none" and not one_view:
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
        pixels=options.pixels != "none",
        **{name: getattr(options, name) for name in _SHARED},
    )


def probe(bench: Bench, options: Options) -> Result:
    """Judge an encoder: a linear probe and nearest neighbours, with intervals, and their floor."""
    show = partial(extractor_of, spec=bench.probe.test.image_spec, batch_size=bench.batch_size)
    scores = probe_encoder(show(bench.encoder), bench.probe)
    fresh = RepresentationEncoder(bench.encoder.config).to(bench.encoder.mean.device)
    floor = probe_encoder(show(fresh, untrained=True), bench.probe).record()
    untrained = {name: score["accuracy"] for name, score in floor.items()}
    bench.note(PROBE)
    return encoder_result(
        bench.title or "An encoder",
        bench.encoder,
        record=replace(bench.record(options), seed=None),
        judged=scores.record(),
        floor=floor_of(bench.probe, [untrained]),
    )


def _monitor(data: ProbeData) -> OnlineKNN:
    """Nearest neighbours on parts of train and val, to be looked at while training."""
    bank, queries = spread_rows(len(data.train), BANK), spread_rows(len(data.val), QUERIES)
    assert data.train.labels is not None  # checked by ProbeData
    assert data.val.labels is not None
    return OnlineKNN(
        bank=as_source(data.train).read(bank).images,
        bank_labels=data.train.labels[bank],
        queries=as_source(data.val).read(queries).images,
        query_labels=data.val.labels[queries],
        neighbours=min(20, len(bank)),
    )


def encoder_result(
    title: str,
    encoder: RepresentationEncoder,
    *,
    record: Record,
    judged: Json,
    floor: Json | None = None,
    facts: Json | None = None,
) -> Result:
    """Sum up an encoder that was trained, or judged, or both.

    Args:
        title: of the result.
        encoder: its config and the width of its features are named.
        record: of the run.
        judged: what was kept of its row (see `RowResult.record`): "linear" and "knn" where there
            were labelled images, "training" where it was trained.
        floor: what probes say where nothing was learnt (`floor_of`); None where nothing is judged.
        facts: of the training, JSON values: what was learnt from, and how.

    Returns:
        The result; its data hold "encoder", "features", "training", "probes" and "floor".
    """
    probes = {name: judged[name] for name in ProbeJudge.measures if name in judged}
    history = judged.get("training", {}).get("history", ())
    data = {
        **record.data,
        "encoder": asdict(encoder.config),
        "features": encoder.features_dim,
        "training": {**(facts or {}), "last": history[-1]} if history else None,
        "probes": probes,
        "floor": floor,
    }
    channels = encoder.config.channels
    size = encoder.config.input_size
    about = (
        f"The encoder, {encoder.config.backbone}, takes {channels} "
        f"{'channel' if channels == 1 else 'channels'} "
        f"{'' if size is None else f'of the central {size} x {size} pixels '}"
        f"and gives {encoder.features_dim:,} features."
    )
    return Result(
        title=title,
        verdict=_verdict(probes, floor, history),
        blocks=(
            _probe_block(probes, floor, about),
            *_training_blocks(history, judged.get("training", {}).get("threads"), floor),
        ),
        record=replace(record, data=data),
    )


def _verdict(probes: Mapping[str, Json], floor: Json | None, history: Sequence[Json]) -> str:
    said = ""
    if history:
        last = history[-1]
        updates = "1 update" if last["step"] == 1 else f"{last['step']:,} updates"
        said = f"Learnt in {updates}, to a loss of {number(last['loss'])}. "
    if not probes:
        return f"{said}No labelled images were given, so its features were not judged."
    told = [
        f"{ProbeJudge.measures[name].inside} {short_range(_accuracy(score), 'percent')}"
        for name, score in probes.items()
    ]
    total = next(iter(probes.values()))["total"]
    under = ""
    if floor is not None:
        under = f" {floor_words(floor, {'this encoder': _accuracy(probes['linear'])})}"
    return f"{said}Right answers on {total:,} test images: {', '.join(told)}.{under}"


def _accuracy(score: Json) -> Estimate:
    low, high = score["interval"]
    return Estimate(score["accuracy"], (low, high))


def _probe_block(probes: Mapping[str, Json], floor: Json | None, about: str) -> Block:
    if not probes:
        return Note(text=f"{about} To judge it, add --data to the command, or run genviews probe.")
    columns = (
        Column(name="probe", priority=0),
        Column(name="test", kind="percent", help="right answers on test"),
        Column(name="mean of classes", kind="percent", priority=3),
        Column(name="val", kind="percent", priority=2, help="where the setting was chosen"),
        Column(name="setting", priority=4),
    )
    rows: list[tuple[Cell, ...]] = [
        (
            ProbeJudge.measures[name].title,
            _accuracy(score),
            score["mean_class_accuracy"],
            score["val"],
            ", ".join(f"{key} {value:g}" for key, value in score["setting"].items()),
        )
        for name, score in probes.items()
    ]
    if floor is not None:
        rows += [
            (f"{ProbeJudge.measures[name].title}, untrained encoder", share, None, None, "")
            for name, share in floor["untrained"].items()
        ]
        most = floor["majority"]
        share = most["mean_class_accuracy"]
        rows.append(("Most frequent class", _accuracy(most), share, None, floor["class"]))
    frozen = "The encoder is frozen; probes are fitted on train, their settings chosen on val."
    return Table(
        title="What the features know",
        columns=columns,
        rows=tuple(rows),
        caption=f"{frozen} {about}",
    )


def _training_blocks(
    history: Sequence[Json], threads: int | None, floor: Json | None
) -> tuple[Block, ...]:
    """The loss and what was looked at beside it, as charts and as a table."""
    if not history:
        return ()
    seen = {"loss": [(one["step"], one["loss"]) for one in history]}
    for name in _MONITORS:
        points = [(one["step"], one["monitors"].get(name)) for one in history]
        seen[name] = [(step, value) for step, value in points if value is not None]
    charts = tuple(
        Chart(
            title=_MONITORS.get(name, name),
            x_label="updates",
            kind="percent" if name == "knn" else "number",
            level=None if name != "knn" or floor is None else floor["unseen"]["knn"],
            series=(
                Series(
                    name=name,
                    x=tuple(float(step) for step, _ in points),
                    y=tuple(value for _, value in points),
                ),
            ),
        )
        for name, points in seen.items()
        if points
    )
    caption = (
        "Everything but the loss was looked at and not learnt from. A falling loss alone does not "
        "show that features are good: some objectives are lowest where all features are equal."
    )
    if floor is not None and seen["knn"]:
        caption += " The line below nearest neighbours is the most frequent class, on test."
    if threads is not None:
        count = "1 thread" if threads == 1 else f"{threads} threads"
        caption += (
            f" Learnt with {count} of torch: another number rounds differently, which training "
            "magnifies until the last digits of every result differ."
        )
    return Curves(title="How it was learnt", charts=charts, caption=caption), _history(history)


def _history(history: Sequence[Json]) -> Table:
    """A line a record; what was not looked at is empty."""
    terms, monitors = (
        list(dict.fromkeys(name for one in history for name in one[part]))
        for part in ("terms", "monitors")
    )
    columns = (
        Column(name="step", kind="count", priority=0),
        Column(name="loss", kind="number", priority=0),
        *(Column(name=f"loss {name}", kind="number") for name in terms),
        Column(name="learning rate", kind="number"),
        Column(name="samples per second", kind="count"),
        Column(name="waiting for views", kind="percent"),
        *(Column(name=name, kind="number") for name in monitors),
    )
    rows: list[tuple[Cell, ...]] = [
        (
            *(one[name] for name in ("step", "loss")),
            *(one["terms"].get(name) for name in terms),
            *(one[name] for name in ("learning_rate", "samples_per_second", "data_share")),
            *(one["monitors"].get(name) for name in monitors),
        )
        for one in history
    ]
    return Table(title="Training", columns=columns, rows=tuple(rows), folded=True)


def _check_views(kit: GeneratorKit | None, options: LearnOptions) -> None:
    """Refuse views that the generator cannot have; principal directions are found later."""
    name = options.views or "none"
    if kit is None or name == "none" or name.startswith(PCA.kind):
        return
    generator = kit.generator
    if options.space == "z" and generator.latent_spec.space != "z":
        generator = z_space(generator)
    with for_flag("--views"):
        GeneratorKit(generator, walks=kit.walks).perturbation(name)


LEARN = Study(
    "learn",
    learn,
    LearnOptions,
    needs=(),
    uses=(Need.KIT, Need.REAL, Need.PROBES),
    products=(BACKBONE, ENCODER),
    keeps_work=False,
    check=_check_views,
)
"""What `genviews learn` runs."""

PROBE_ENCODER = Study("probe", probe, Options, needs=(Need.ENCODER, Need.PROBES), keeps_work=False)
"""What `genviews probe` runs."""
