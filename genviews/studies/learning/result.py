"""A table of the learning arrow as a result: rows beside the reference, by every judge."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from genviews.gates.gate import Gate
from genviews.studies.blocks import (
    BarColumn,
    Bars,
    Block,
    Cell,
    Chart,
    Column,
    Curves,
    Images,
    Note,
    Series,
    Table,
    Tone,
)
from genviews.studies.learning.compare import RowSummary
from genviews.studies.learning.floor import is_above
from genviews.studies.learning.judge import ProbeJudge
from genviews.studies.learning.study import LearningStudy
from genviews.studies.learning.voc import DetectionJudge, SVMJudge
from genviews.studies.result import Record, Result
from genviews.studies.statistics import tone_of

__all__ = ["SWEEPS", "row_words", "table_result"]

MEASURES = {**ProbeJudge.measures, **SVMJudge.measures, **DetectionJudge.measures}

Definition = Mapping[str, Any]


def _std(row: Definition) -> float:
    return float(row["views"].rpartition("_")[2]) if row["views"] else 0.0


def _share(row: Definition) -> float:
    ends = {"real": 0.0, "generated": 1.0}
    return ends[row["data"]] if row["share"] is None else float(row["share"])


# Table -> the words under the axis, a row's place on it, and whether it is logarithmic.
SWEEPS: Mapping[str, tuple[str, Callable[[Definition], float], bool]] = {
    "figure5": ("deviation of the Gaussian step; 0 is no latent view", _std, False),
    "figure6": ("unique samples, times the base", lambda row: float(row["ratio"]), True),
    "figure8": ("unique samples, times the base", lambda row: float(row["ratio"]), True),
    "figure9": ("share of generated samples", _share, False),
    "training-time": ("share of the updates", lambda row: float(row["updates"]), False),
    "pool": ("different views of each sample", lambda row: float(row["pool"] or 1), True),
}


def table_result(
    study: LearningStudy,
    *,
    record: Record,
    left_out: Sequence[str] = (),
    views: Images | None = None,
) -> Result:
    """Show a study: its table, a figure, its sweep where it is one, and what encoders are shown.

    Args:
        study: the rows compared.
        record: of the run.
        left_out: kinds of rows that were left out, and what they need.
        views: of each row beside their anchors; None where none has latent views.

    Returns:
        The result; its data are those of `LearningStudy.record`.
    """
    blocks: list[Block] = [_table(study), *_sweep(study), _bars(study)]
    blocks += [] if views is None else [views]
    blocks += [Note(text=f"Left out: {note}.") for note in left_out]
    return Result(
        title=f"{study.name}: ways to learn, against {study.reference}",
        verdict=study.verdict,
        tone=_verdict_tone(study),
        blocks=tuple(blocks),
        claims=study.claims,
        gates=tuple(
            Gate(
                name=f"row {row}",
                found=f"Row {row} failed and is left out: {reason}",
                threshold="a result of every row and seed",
                remedy="Change the row, or leave it out; the others are kept.",
                passed=False,
                decides=False,
            )
            for row, reason in study.facts.get("failed", {}).items()
        ),
        record=replace(record, data={**study.record(), "left_out": list(left_out)}),
    )


def _verdict_tone(study: LearningStudy) -> Tone | None:
    """That of the row which the verdict is about; None where it has no difference to tell."""
    best = study.best
    if best is None:
        return None
    tone = _tone(study, best, "linear")
    above = is_above(study.facts.get("floor"), best.accuracy["linear"].estimate)
    return tone if above or tone else None


def _tone(study: LearningStudy, row: RowSummary, what: str) -> Tone:
    if row.against is None:
        return "reference"
    return tone_of(study.weighed[what][row.name])


def _table(study: LearningStudy) -> Table:
    best, floor = study.best, _floor_cells(study)
    none: Tone = ""
    return Table(
        title="What each row learns",
        columns=_columns(study),
        rows=(*(_cells(study, row) for row in study.rows), *floor),
        tones=(*(_tone(study, row, "linear") for row in study.rows), *[none] * len(floor)),
        highlight=None if best is None else study.rows.index(best),
        breaks=(len(study.rows),) if floor else (),
        caption=_caption(study),
    )


def _columns(study: LearningStudy) -> tuple[Column, ...]:
    """The columns of what was measured, between what was learnt from and how."""
    one = len(study.seeds) == 1
    luck = ", of which there is one here, so that its luck is not in it" if one else ""
    words = {
        "over": f"over test images and seeds{luck}",
        "reference": study.reference,
        "alone": "; one seed has no interval" if one else "",
    }
    measured = [
        replace(column, help=column.help.format(**words, **study.facts))
        for what in study.probes
        for column in (MEASURES[what].column, *MEASURES[what].against)
    ]
    return (
        Column(name="learnt from", priority=0),
        *measured,
        Column(
            name="images a second",
            kind="count",
            priority=5,
            help="samples that the training used, each seen with its views",
        ),
        Column(
            name="waiting",
            kind="percent",
            digits=0,
            priority=5,
            help="part of the training's time in which no view was ready",
        ),
        Column(name="what it is", priority=6, help="data, views and loss"),
    )


def _cells(study: LearningStudy, row: RowSummary) -> tuple[Cell, ...]:
    cells: list[Cell] = [row.name]
    for what in study.probes:
        cells.append(row.accuracy[what].estimate)
        if MEASURES[what].against:
            found = study.weighed[what].get(row.name)
            cells += [None, None] if found is None else [found.estimate, found.p_value]
    words = row_words(study.facts["definitions"][row.name])
    return (*cells, row.samples_per_second, row.waiting_for_views, words)


def _floor_cells(study: LearningStudy) -> list[tuple[Cell, ...]]:
    """The floor under each judge; an untrained row of the table is not said twice."""
    floor = study.facts.get("floor")
    if floor is None:
        return []

    def cells(name: str, numbers: Mapping[str, float], words: str) -> tuple[Cell, ...]:
        found: list[Cell] = [name]
        for what in study.probes:
            found += [numbers.get(what), *[None] * len(MEASURES[what].against)]
        return (*found, None, None, words)

    alone = all(row["data"] != "none" for row in study.facts["definitions"].values())
    rows = [cells("untrained encoder", floor["untrained"], "first weights")] if alone else []
    words = f"the most frequent class ({floor['class']})"
    words += ", each class's frequency on VOC07" if "voc" in study.probes else ""
    return [*rows, cells("no encoder", floor["unseen"], words)]


def _caption(study: LearningStudy) -> str:
    known, seeds = study.facts, len(study.seeds)
    channels = known["encoder"]["channels"]
    steered = any((row["views"] or "").startswith("steer") for row in known["definitions"].values())
    other = steered and known.get("zoom_law") == "magnify"
    pixels = any(row["pixels"] for row in known["definitions"].values())
    law = " The walks' zoom enlarges where the published one shrinks (zoom_law 'magnify')."
    return (
        f"{study.test_images:,} test images, {seeds} {'seed' if seeds == 1 else 'seeds'}; "
        f"{known['updates']:,} updates of {known['batch']:,} samples, {known['base']:,} of them "
        f"unique; encoder {known['encoder']['backbone']}, {channels} "
        f"{'channel' if channels == 1 else 'channels'}. Differences are to {study.reference}."
        f"{' T_x are pixel views: crops, flips, jitter.' if pixels else ''}{law if other else ''}"
        f"{_below_the_floor(study)}"
    )


def _below_the_floor(study: LearningStudy) -> str:
    """Which rows no further judge tells from the floor; of the linear probe the verdict says it."""
    kinds = {name: row["data"] for name, row in study.facts["definitions"].items()}
    said = ""
    for what in study.probes:
        low = [
            row.name
            for row in study.rows
            if kinds[row.name] != "none"
            and not is_above(study.facts.get("floor"), row.accuracy[what].estimate, what)
        ]
        if low and what not in ProbeJudge.measures:
            said += (
                f" Not surely above the floor by {MEASURES[what].column.name}: {', '.join(low)}."
            )
    return said


def row_words(row: Definition) -> str:
    """What a row is, whatever it is called: "generated, gaussian_all_0.20 in z, T_x, nt-xent"."""
    if row["data"] == "none":
        return "first weights"
    data = row["data"]
    if row["share"] is not None:
        data = f"{100 * row['share']:g} % generated, the rest real"
    parts = [data]
    if row["views"]:
        parts.append(f"{row['views']} in {'z' if row['space'] == 'z' else 'its own latents'}")
    if row["positives"] > 1:
        parts.append(f"{row['positives']} positives")
    if row["pool"]:
        parts.append(f"of {row['pool']} views")
    parts += ["T_x"] if row["pixels"] else []
    parts.append(row["objective"])
    parts += [f"{row['ratio']:g} times the samples"] if row["ratio"] != 1 else []
    parts += [f"{row['updates']:g} of the updates"] if row["updates"] != 1 else []
    return ", ".join(parts)


def _bars(study: LearningStudy) -> Bars:
    """Every row by every probe; the reference is a line."""
    kinds = {name: row["data"] for name, row in study.facts["definitions"].items()}
    reference = next(row for row in study.rows if row.name == study.reference)
    return Bars(
        title="Rows against the reference",
        names=tuple(row.name for row in study.rows),
        columns=tuple(
            BarColumn(
                label=MEASURES[probe].inside,
                kind="percent",
                values=tuple(row.accuracy[probe].estimate for row in study.rows),
                level=reference.accuracy[probe].mean,
                tones=tuple(_tone(study, row, probe) for row in study.rows),
                beyond=tuple(i for i, r in enumerate(study.rows) if kinds[r.name] == "none"),
            )
            for probe in study.probes
            if MEASURES[probe].title
        ),
        caption=f"On test, with 95 % intervals; the line is {study.reference}. A filled dot "
        "differs from it significantly (Holm), a hollow one does not.",
    )


def _sweep(study: LearningStudy) -> list[Curves]:
    """Accuracy of both probes against what a table sweeps; nothing where it sweeps nothing."""
    if study.name not in SWEEPS or len(study.rows) < 2:
        return []
    label, place, logarithmic = SWEEPS[study.name]
    definitions = study.facts["definitions"]
    rows = sorted(study.rows, key=lambda row: place(definitions[row.name]))

    def series(probe: str, **style: Any) -> Series:  # noqa: ANN401  (one of the line styles)
        found = [row.accuracy[probe] for row in rows]
        return Series(
            name=MEASURES[probe].inside,
            x=tuple(place(definitions[row.name]) for row in rows),
            y=tuple(one.mean for one in found),
            low=tuple(one.interval[0] for one in found if one.interval),
            high=tuple(one.interval[1] for one in found if one.interval),
            **style,
        )

    chart = Chart(
        x_label=label,
        y_label="accuracy",
        kind="percent",
        log_x=logarithmic,
        series=(series("linear"), series("knn", style="dashed")),
    )
    return [Curves(title="Along the sweep", charts=(chart,), caption="95 % intervals.")]
