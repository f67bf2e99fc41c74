"""The inversion study as a `Result`: what comes after each inversion, steps, tasks, extremes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from genviews.report.words import percent
from genviews.studies.blocks import (
    Block,
    Cell,
    Chart,
    Column,
    Curves,
    Estimate,
    Images,
    Note,
    Series,
    Table,
)
from genviews.studies.result import Claim, Record, Result
from genviews.studies.statistics import SIGNIFICANCE

__all__ = ["result_of"]

Json = Mapping[str, Any]
PAPER = "Chai et al. 2021"


def result_of(found: Json, record: Record, pictures: Sequence[Images] = ()) -> Result:
    """Show the study.

    Args:
        found: "inversions", "table_2", "figure_15" and "figure_10" as JSON values.
        record: of the run; its config holds the accuracies on the images.
        pictures: best and worst reconstructions.
    """
    rows, known = found["inversions"], record.config
    lowest = min(rows, key=lambda row: row["l1"])
    best = max(rows, key=lambda row: row["reconstructions"]["accuracy"])
    blocks: list[Block] = [_quality(rows), _copied(rows), _ensembles(rows)]
    blocks += [_steps_table(found["table_2"]), _steps_curves(found["table_2"])]
    blocks += [_correlations(found["figure_15"]), _tasks(found["figure_15"]), *pictures]
    blocks.append(_extremes(found["figure_10"]))
    return Result(
        title="Inversions compared by what comes after them",
        verdict=(
            f"Lowest error: {lowest['inversion']} (L1 {lowest['l1']:.4f}); highest accuracy on "
            f"reconstructions: {best['inversion']} "
            f"({percent(best['reconstructions']['accuracy'])} %, on the images "
            f"{percent(known['classifier_accuracy_on_images'])} %)."
        ),
        blocks=tuple(blocks),
        claims=_claims(found["figure_15"]),
        record=replace(record, data=found),
    )


def _accuracy(found: Json) -> Estimate:
    return Estimate(found["accuracy"], tuple(found["interval"]))


def _gain(found: Json) -> Estimate:
    return Estimate(found["gain"], tuple(found["gain_interval"]), found["p_value"] < SIGNIFICANCE)


def _share(found: Json) -> Estimate:
    return Estimate(found["share"], tuple(found["interval"]))


def _quality(rows: Sequence[Json]) -> Table:
    columns = (
        Column(name="inversion", priority=0),
        Column(name="L1", kind="number", digits=4, priority=0),
        Column(name="evaluations", kind="count", priority=2),
        Column(name="classifier on reconstructions", kind="percent"),
        Column(name="against images", kind="points", digits=2),
        Column(name="judge on reconstructions", kind="percent", priority=2),
        Column(name="judge against images", kind="points", digits=2, priority=2),
    )
    cells: list[tuple[Cell, ...]] = [
        (
            row["inversion"],
            row["l1"],
            row["evaluations"],
            _accuracy(row["reconstructions"]),
            _gain(row["reconstructions"]),
            _accuracy(row["judge"]),
            _gain(row["judge"]),
        )
        for row in rows
    ]
    return Table(
        title="Reconstructions",
        columns=columns,
        rows=tuple(cells),
        caption="The judge is another kind of classifier, from labels that the first never saw. "
        "Gains are paired, with 95 % intervals.",
    )


def _copied(rows: Sequence[Json]) -> Table:
    names = {
        "agreement": "same answer",
        "kept": "right answers kept",
        "copied": "mistakes copied",
        "corrected": "mistakes corrected",
    }
    return Table(
        title="Mistakes that reconstructions copy",
        columns=(
            Column(name="inversion", priority=0),
            *(Column(name=name, kind="percent") for name in names.values()),
        ),
        rows=tuple(
            (row["inversion"], *(_share(row["fidelity"][name]) for name in names)) for row in rows
        ),
        caption="The trap: an inversion can copy the classifier's mistakes. Of the images that the "
        "classifier gets wrong, the share whose reconstruction gets the same wrong answer, and the "
        "share set right.",
    )


def _ensembles(rows: Sequence[Json]) -> Table:
    names = list(rows[0]["ensembles"])
    columns = [Column(name="views of", priority=0)]
    for name in names:
        columns += [
            Column(name=f"{name}, alpha", kind="number", digits=2),
            Column(name=f"{name}, gain", kind="points", digits=2),
            Column(name=f"{name}, p", kind="p", priority=2),
        ]
    cells: list[tuple[Cell, ...]] = []
    for row in rows:
        found = [row["ensembles"][name] for name in names]
        own = [part for e in found for part in (e["alpha"], _gain(e), e["p_value"])]
        cells.append((row["inversion"], *own))
    return Table(title="Ensembles with views", columns=tuple(columns), rows=tuple(cells))


def _steps_table(table2: Json) -> Table:
    names = list(table2["rows"][0]["distances"])
    return Table(
        title="Steps (Table 2 of the paper)",
        columns=(
            Column(name="steps", kind="count", priority=0),
            *(Column(name=name.upper(), kind="number", digits=4) for name in names),
            Column(name="accuracy", kind="percent"),
            Column(name="against images", kind="points", digits=2),
        ),
        rows=tuple(
            (
                row["steps"],
                *(row["distances"][name] for name in names),
                _accuracy(row["accuracy"]),
                _gain(row["accuracy"]),
            )
            for row in table2["rows"]
        ),
        caption=f"One run of {table2['images']} images with snapshots, no early stop. In the paper "
        "(Smiling, 1024 pixels) L1 goes from .172 over .104 at 50 steps to .073 at 500, and "
        "accuracy from 92.2 over 93.2 to 93.4 %, against 93.6 % on the images.",
    )


def _steps_curves(table2: Json) -> Curves:
    rows = table2["rows"]
    steps = tuple(float(row["steps"]) for row in rows)
    accuracy = [row["accuracy"] for row in rows]
    distances = Chart(
        title="Distance",
        x_label="optimisation steps",
        y_label="mean distance to the images",
        series=tuple(
            Series(name=name.upper(), x=steps, y=tuple(row["distances"][name] for row in rows))
            for name in rows[0]["distances"]
        ),
    )
    answers = Chart(
        title="Accuracy on reconstructions",
        x_label="optimisation steps",
        y_label="accuracy",
        kind="percent",
        series=(
            Series(
                name="reconstructions",
                x=steps,
                y=tuple(one["accuracy"] for one in accuracy),
                low=tuple(one["interval"][0] for one in accuracy),
                high=tuple(one["interval"][1] for one in accuracy),
            ),
        ),
        level=accuracy[0]["accuracy"] - accuracy[0]["gain"],
    )
    return Curves(
        title="Quality by steps",
        charts=(distances, answers),
        caption="Dotted: accuracy on the images themselves.",
    )


def _correlations(figure15: Json) -> Table:
    columns = (
        Column(name="weight of the views", priority=0),
        Column(name="method", priority=0),
        Column(name="r", kind="number", digits=2),
        Column(name="p", kind="p"),
        Column(name="pairs", kind="count", priority=2),
    )
    rows: list[tuple[Cell, ...]] = []
    for kind, text in (("fitted", "chosen on calibration"), ("half", "0.5 for both")):
        for name, found in figure15[kind]["correlation"].items():
            cells = (None, None, None)  # the gains do not vary
            if found is not None:
                r = Estimate(found["r"], tuple(found["interval"]))
                cells = (r, found["p_value"], found["count"])
            rows.append((text, name, *cells))
    return Table(
        title="In-Domain inversion against ours (Fig. 15)",
        columns=columns,
        rows=tuple(rows),
        caption="What generated views gain in telling one class from the rest, against the same "
        "ensemble without them, correlated over the ten classes; empty where the gains do not "
        "vary. The paper has r = 0.69 over 40 face attributes and two methods.",
    )


def _tasks(figure15: Json) -> Curves:
    gains = figure15["half"]["gains"]
    series = tuple(
        Series(
            name=method,
            x=tuple(100 * one["gain"]["gain"] for one in gains["in-domain"][method]),
            y=tuple(one["gain"]["gain"] for one in tasks),
            style="points",
        )
        for method, tasks in gains["pixel"].items()
    )
    chart = Chart(
        x_label="gain with In-Domain inversion, points",
        y_label="gain with ours, points",
        kind="points",
        series=series,
        level=0.0,
    )
    return Curves(title="Gains by task, half of the weight on the views", charts=(chart,))


def _extremes(figure10: Json) -> Note:
    lines = []
    for kind in ("best", "worst"):
        items = figure10[kind]
        listed = [f"{item['class']} ({item['id']}, {item['loss']:.3f})" for item in items]
        lines.append(f"{kind}: {', '.join(listed)}")
    return Note(title="Best and worst reconstructions (Fig. 10)", text="\n".join(lines))


def _claims(figure15: Json) -> tuple[Claim, ...]:
    found = figure15["half"]["correlation"]["pooled"]
    if found is None:
        return ()
    low, high = found["interval"]
    return (
        Claim(
            text="two ways of inverting help the same tasks (half of the weight on the views)",
            said="r = 0.69",
            measured=Estimate(found["r"], (low, high)),
            kind="number",
            outcome="holds" if low > 0 else "contradicted" if high < 0 else "not seen",
            p_value=found["p_value"],
            source=f"{PAPER}, Fig. 15",
        ),
    )
