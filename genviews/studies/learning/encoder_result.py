"""One encoder as a result: what probes read from its features, and how it was learnt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from genviews.report.words import number, short_range
from genviews.represent.encoder import RepresentationEncoder
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
from genviews.studies.learning.judge import ProbeJudge
from genviews.studies.result import Record, Result

__all__ = ["encoder_result"]

# What is looked at while training -> the words of its chart.
_MONITORS = {
    "knn": "nearest neighbours on val, accuracy",
    "rankme": "effective rank of the features",
    "alignment": "distance of two views of a sample (low: alike)",
    "uniformity": "uniformity of the projections (0: collapsed)",
}

Json = Mapping[str, Any]


def encoder_result(
    title: str,
    encoder: RepresentationEncoder,
    *,
    record: Record,
    judged: Json,
    facts: Json | None = None,
) -> Result:
    """Sum up an encoder that was trained, or judged, or both.

    Args:
        title: of the result.
        encoder: its config and the width of its features are named.
        record: of the run.
        judged: what was kept of its row (see `RowResult.record`): "linear" and "knn" where there
            were labelled images, "training" where it was trained.
        facts: of the training, JSON values: what was learnt from, and how.

    Returns:
        The result; its data hold "encoder", "features", "training" and "probes".
    """
    probes = {name: judged[name] for name in ProbeJudge.measures if name in judged}
    history = judged.get("training", {}).get("history", ())
    data = {
        **record.data,
        "encoder": asdict(encoder.config),
        "features": encoder.features_dim,
        "training": {**(facts or {}), "last": history[-1]} if history else None,
        "probes": probes,
    }
    channels = encoder.config.channels
    about = (
        f"The encoder, {encoder.config.backbone}, takes {channels} "
        f"{'channel' if channels == 1 else 'channels'} and gives {encoder.features_dim:,} features."
    )
    return Result(
        title=title,
        verdict=_verdict(probes, history),
        blocks=(_probe_block(probes, about), *_training_blocks(history)),
        record=replace(record, data=data),
    )


def _verdict(probes: Mapping[str, Json], history: Sequence[Json]) -> str:
    said = ""
    if history:
        last = history[-1]
        said = f"Learnt in {last['step']:,} updates, to a loss of {number(last['loss'])}. "
    if not probes:
        return f"{said}No labelled images were given, so its features were not judged."
    told = [
        f"{ProbeJudge.measures[name].inside} {short_range(_accuracy(score), 'percent')}"
        for name, score in probes.items()
    ]
    total = next(iter(probes.values()))["total"]
    return f"{said}Right answers on {total:,} test images: {', '.join(told)}."


def _accuracy(score: Json) -> Estimate:
    low, high = score["interval"]
    return Estimate(score["accuracy"], (low, high))


def _probe_block(probes: Mapping[str, Json], about: str) -> Block:
    if not probes:
        return Note(text=f"{about} To judge it, add --data to the command, or run genviews probe.")
    columns = (
        Column(name="probe", priority=0),
        Column(name="test", kind="percent", help="right answers on test"),
        Column(name="mean of classes", kind="percent", priority=3),
        Column(name="val", kind="percent", priority=2, help="where the setting was chosen"),
        Column(name="setting", priority=4),
    )
    rows = tuple(
        (
            ProbeJudge.measures[name].title,
            _accuracy(score),
            score["mean_class_accuracy"],
            score["val"],
            ", ".join(f"{key} {value:g}" for key, value in score["setting"].items()),
        )
        for name, score in probes.items()
    )
    frozen = "The encoder is frozen; probes are fitted on train, their settings chosen on val."
    return Table(
        title="What the features know", columns=columns, rows=rows, caption=f"{frozen} {about}"
    )


def _training_blocks(history: Sequence[Json]) -> list[Block]:
    """The loss and what was looked at beside it, as charts and as a table."""
    if not history:
        return []
    lines = {"loss": [(one["step"], one["loss"]) for one in history]}
    for name in _MONITORS:
        seen = [(one["step"], one["monitors"][name]) for one in history if name in one["monitors"]]
        lines |= {name: seen} if seen else {}
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
    return [Curves(title="How it was learnt", charts=charts, caption=caption), _history(history)]


def _history(history: Sequence[Json]) -> Table:
    """A line a record; what was not looked at is empty."""
    terms = _names(one["terms"] for one in history)
    monitors = _names(one["monitors"] for one in history)
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
            one["step"],
            one["loss"],
            *(one["terms"].get(name) for name in terms),
            *(one[name] for name in ("learning_rate", "samples_per_second", "data_share")),
            *(one["monitors"].get(name) for name in monitors),
        )
        for one in history
    ]
    return Table(title="Training", columns=columns, rows=tuple(rows), folded=True)


def _names(parts: Iterable[Json]) -> list[str]:
    return list(dict.fromkeys(name for part in parts for name in part))
