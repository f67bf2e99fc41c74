"""The evidence of a test-time study as blocks: rows, gains, curves over alpha, reconstructions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from genviews.ensemble.combine import AlphaCurve, Comparison, Row
from genviews.ensemble.significance import SIGNIFICANCE, GainReport
from genviews.studies.blocks import (
    BarColumn,
    Bars,
    Cell,
    Chart,
    Column,
    Curves,
    Estimate,
    Mark,
    Note,
    Series,
    Table,
    Tone,
)

__all__ = [
    "HOW_TO_READ",
    "alpha_curves",
    "comparison_table",
    "gain_bars",
    "gain_table",
    "measure_table",
    "row_table",
    "series_of",
]

_COLUMNS = (
    Column(name="predicted from", priority=0),
    Column(name="accuracy", kind="percent", digits=2, help="on test"),
    Column(name="gain", kind="points", digits=2, priority=0, help="over the single image"),
    Column(name="alpha", kind="number", digits=2, help="weight of the views, from calibration"),
    Column(name="fixed / broke", help="test images put right / put wrong"),
    Column(name="Holm p", kind="p", help="exact McNemar test, corrected for the rows compared"),
    Column(name="views", kind="count", priority=2, help="predictions beside that of the image"),
    Column(name="p", kind="p", priority=3, help="exact McNemar test"),
    Column(name="gain over reference", kind="points", digits=2, priority=3),
    Column(name="oracle alpha", kind="number", digits=2, priority=4, help="best on test; not used"),
    Column(name="oracle accuracy", kind="percent", digits=2, priority=4),
)
_MEASURES = {
    "encoder_l1": "Mean absolute pixel error after the encoder alone (pixels span 2)",
    "l1": "Mean absolute pixel error after optimisation (pixels span 2)",
    "loss": "Inversion loss, mean",
    "start_loss": "Inversion loss at the start, mean",
    "failed": "Images that could not be inverted",
    "accuracy_on_images": "Accuracy on the images",
    "accuracy_on_reconstructions": "Accuracy on their reconstructions",
}
HOW_TO_READ = Note(
    title="How to read the table",
    text=(
        "Accuracy is on test, with its Wilson interval. Gain is test accuracy minus that of the "
        "same classifier on the single image, in percentage points, with a paired bootstrap "
        "interval.\n"
        "Fixed / broke: test images that the single image got wrong and the ensemble right, and "
        "the reverse. p: exact McNemar test, two-sided; Holm p: corrected for the number of rows "
        "compared. The verdict is about one row, chosen on calibration before test was looked at, "
        "so its own p counts. Whoever picks a row after seeing the table needs the Holm p.\n"
        "Alpha is the weight of the views (0 image alone, 1 views alone), fitted on calibration. "
        "Oracle alpha is the best on test: never used, it shows what the choice of alpha costs."
    ),
    folded=True,
)


def row_table(rows: Sequence[Row], *, title: str, chosen: Row | None, caption: str = "") -> Table:
    """All rows of a task.

    Args:
        rows: of one task, the single image first.
        title: of the table.
        chosen: the row that the verdict is about.
        caption: one sentence.
    """
    breaks = [i for i in range(1, len(rows)) if rows[i].group != rows[i - 1].group]
    compared = any(row.reference_gain is not None for row in rows)
    kept = [c for c in _COLUMNS if compared or c.name != "gain over reference"]
    cells = [_cells(row) for row in rows]
    return Table(
        title=title,
        columns=tuple(kept),
        rows=tuple(tuple(line[column.name] for column in kept) for line in cells),
        highlight=next((i for i, row in enumerate(rows) if row is chosen), None),
        tones=tuple(map(_tone, rows)),
        breaks=tuple(breaks),
        caption=caption,
    )


def _cells(row: Row) -> dict[str, Cell]:
    single = row.group == "image"
    over = row.reference_gain
    return {
        "predicted from": row.name,
        "accuracy": Estimate(row.accuracy, row.interval),
        "gain": None
        if single
        else Estimate(row.gain, row.gain_interval, row.p_holm < SIGNIFICANCE),
        "alpha": row.alpha,
        "fixed / broke": None if single else f"{row.fixed} / {row.broke}",
        "Holm p": None if single else row.p_holm,
        "views": row.num_views,
        "p": None if single else row.p_value,
        "gain over reference": None
        if over is None
        else Estimate(over, row.reference_gain_interval),
        "oracle alpha": row.oracle_alpha,
        "oracle accuracy": row.oracle_accuracy,
    }


def _tone(row: Row) -> Tone:
    if row.group == "image":
        return "reference"
    if row.p_holm >= SIGNIFICANCE:
        return ""
    return "better" if row.gain > 0 else "worse"


def gain_bars(rows: Sequence[Row], *, title: str) -> Bars:
    """The gain of each row over the single image, with its interval."""
    compared = [row for row in rows if row.group != "image"]
    return Bars(
        title=title,
        names=tuple(row.name for row in compared),
        columns=(
            BarColumn(
                label="gain on test",
                values=tuple(Estimate(row.gain, row.gain_interval) for row in compared),
                kind="points",
                level=0.0,
                tones=tuple(map(_tone, compared)),
                beyond=tuple(i for i, row in enumerate(compared) if row.name == RECONSTRUCTION),
            ),
        ),
        caption="A filled dot is significant after Holm's correction, a hollow dot is not.",
    )


RECONSTRUCTION = "reconstruction only"


def comparison_table(comparisons: Sequence[Comparison]) -> Table:
    """Rows against other rows of the same task."""
    several = len({c.task for c in comparisons}) > 1
    return gain_table(
        "Do generated views add to pixel views?",
        {
            f"{c.row} against {c.against}" + (f" ({c.task})" if several else ""): c
            for c in comparisons
        },
    )


def gain_table(title: str, gains: Mapping[str, GainReport]) -> Table:
    """Paired comparisons by name: gain, what changed, and the test."""
    return Table(
        title=title,
        columns=(
            Column(name="comparison", priority=0),
            Column(name="gain", kind="points", digits=2, priority=0),
            Column(name="fixed / broke"),
            Column(name="p", kind="p"),
        ),
        rows=tuple(
            (
                name,
                Estimate(g.gain, g.gain_interval, g.p_value < SIGNIFICANCE),
                f"{g.fixed} / {g.broke}",
                g.p_value,
            )
            for name, g in gains.items()
        ),
    )


def series_of(name: str, x: Sequence[float], values: Sequence[Estimate]) -> Series:
    """A line with the intervals of its values."""
    ends = [(v.value, v.value) if v.interval is None else v.interval for v in values]
    return Series(
        name=name,
        x=tuple(map(float, x)),
        y=tuple(v.value for v in values),
        low=tuple(low for low, _ in ends),
        high=tuple(high for _, high in ends),
    )


def alpha_curves(curves: Sequence[AlphaCurve], rows: Sequence[Row], *, title: str) -> Curves:
    """Accuracy against the weight of the views, a chart a row."""
    named = {(row.task, row.name): row for row in rows}
    return Curves(
        title=title,
        charts=tuple(_curve(curve, named[curve.task, curve.row]) for curve in curves),
        caption="Alpha was chosen on calibration alone; the dot is the test accuracy that counts.",
    )


def _curve(curve: AlphaCurve, row: Row) -> Chart:
    marks = () if row.alpha is None else (Mark(x=row.alpha, label="chosen", y=row.accuracy),)
    return Chart(
        title=curve.row,
        x_label="alpha",
        y_label="accuracy",
        kind="percent",
        series=(
            Series(name="calibration", x=curve.alphas, y=curve.calibration, style="dashed"),
            Series(name="test", x=curve.alphas, y=curve.test),
        ),
        marks=marks,
    )


def measure_table(values: Mapping[str, float]) -> Table:
    """How good the reconstructions are; accuracies as percentages."""
    return Table(
        title="How well the generator reproduces the images",
        columns=(
            Column(name="measure", priority=0),
            Column(name="value", kind="number", priority=0),
        ),
        rows=tuple(
            (_MEASURES.get(name, name.replace("_", " ").capitalize()), value)
            for name, value in values.items()
        ),
        caption="Every view starts from a reconstruction, and can be no better than these allow.",
    )
