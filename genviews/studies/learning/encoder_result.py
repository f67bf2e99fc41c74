"""One encoder as a result: what probes read from its features, and how it was learnt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from genviews.evaluate.encoders import EncoderScores
from genviews.evaluate.probe import ProbeScore
from genviews.report.words import number, short_range
from genviews.represent.encoder import RepresentationEncoder
from genviews.represent.train import StepRecord
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
from genviews.studies.learning.probes import probe_name
from genviews.studies.result import Record, Result

__all__ = ["encoder_result"]

# What is looked at while training -> the words of its chart.
_MONITORS = {
    "knn": "nearest neighbours on val, accuracy",
    "rankme": "effective rank of the features",
    "alignment": "distance of two views of a sample (low: alike)",
    "uniformity": "uniformity of the projections (0: collapsed)",
}


def encoder_result(
    title: str,
    encoder: RepresentationEncoder,
    *,
    record: Record,
    scores: EncoderScores | None = None,
    history: Sequence[StepRecord] = (),
    facts: Mapping[str, Any] | None = None,
) -> Result:
    """Sum up an encoder that was trained, or judged, or both.

    Args:
        title: of the result.
        encoder: its config and the width of its features are named.
        record: of the run.
        scores: of the probes; None where there were no labelled images.
        history: of the training; empty where the encoder was only judged.
        facts: of the training, JSON values: what was learnt from, and how.

    Returns:
        The result; its data hold "encoder", "features", "training" and "probes".
    """
    probes = {} if scores is None else {"linear": scores.linear, "knn": scores.knn}
    val = {} if scores is None else scores.val
    last = history[-1] if history else None
    data = {
        **record.data,
        "encoder": asdict(encoder.config),
        "features": encoder.features_dim,
        "training": None if last is None else {**(facts or {}), "last": asdict(last)},
        "probes": {name: {**asdict(score), "val": val[name]} for name, score in probes.items()},
    }
    channels = encoder.config.channels
    about = (
        f"The encoder, {encoder.config.backbone}, takes {channels} "
        f"{'channel' if channels == 1 else 'channels'} and gives {encoder.features_dim:,} features."
    )
    return Result(
        title=title,
        verdict=_verdict(probes, last),
        blocks=(*_probe_blocks(probes, val, about), *_training_blocks(history)),
        record=replace(record, data=data),
    )


def _verdict(probes: Mapping[str, ProbeScore], last: StepRecord | None) -> str:
    parts = []
    if last is not None:
        parts.append(f"Learnt in {last.step:,} updates, to a loss of {number(last.loss)}.")
    if not probes:
        parts.append("No labelled images were given, so its features were not judged.")
    else:
        told = [
            f"{probe_name(name, inside=True)} "
            f"{short_range(Estimate(s.accuracy, s.interval), 'percent')}"
            for name, s in probes.items()
        ]
        total = next(iter(probes.values())).total
        parts.append(f"Right answers on {total:,} test images: {', '.join(told)}.")
    return " ".join(parts)


def _probe_blocks(
    probes: Mapping[str, ProbeScore], val: Mapping[str, float], about: str
) -> list[Block]:
    if not probes:
        return [
            Note(text=f"{about} To judge it, add --data to the command, or run genviews probe.")
        ]
    columns = (
        Column(name="probe", priority=0),
        Column(name="test", kind="percent", help="right answers on test"),
        Column(name="mean of classes", kind="percent", priority=3),
        Column(name="val", kind="percent", priority=2, help="where the setting was chosen"),
        Column(name="setting", priority=4),
    )
    rows = tuple(
        (
            probe_name(name),
            Estimate(score.accuracy, score.interval),
            score.mean_class_accuracy,
            val[name],
            ", ".join(f"{key} {value:g}" for key, value in score.setting.items()),
        )
        for name, score in probes.items()
    )
    frozen = "The encoder is frozen; probes are fitted on train, their settings chosen on val."
    return [
        Table(
            title="What the features know",
            columns=columns,
            rows=rows,
            caption=f"{frozen} {about}",
        )
    ]


def _training_blocks(history: Sequence[StepRecord]) -> list[Block]:
    """The loss and what was looked at beside it, as charts and as a table."""
    if not history:
        return []
    lines = {"loss": [(record.step, record.loss) for record in history]}
    for name in _MONITORS:
        found = [(r.step, r.monitors[name]) for r in history if name in r.monitors]
        lines |= {name: found} if found else {}
    charts = tuple(
        Chart(
            title=_MONITORS.get(name, name),
            x_label="updates",
            kind="percent" if name == "knn" else "number",
            series=(
                Series(
                    name=name,
                    x=tuple(float(step) for step, _ in points),
                    y=tuple(value for _, value in points),
                ),
            ),
        )
        for name, points in lines.items()
    )
    caption = (
        "Everything but the loss was looked at and not learnt from. A falling loss alone does not "
        "show that features are good: some objectives are lowest where all features are equal."
    )
    return [
        Curves(title="How it was learnt", charts=charts, caption=caption),
        _history(history),
    ]


def _history(history: Sequence[StepRecord]) -> Table:
    """A line a record; what was not looked at is empty."""
    terms = _names(record.terms for record in history)
    monitors = _names(record.monitors for record in history)
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
            record.step,
            record.loss,
            *(record.terms.get(name) for name in terms),
            record.learning_rate,
            record.samples_per_second,
            record.data_share,
            *(record.monitors.get(name) for name in monitors),
        )
        for record in history
    ]
    return Table(title="Training", columns=columns, rows=tuple(rows), folded=True)


def _names(records: Iterable[Mapping[str, float]]) -> list[str]:
    return list(dict.fromkeys(name for record in records for name in record))
