"""The evidence of a test-time study: tables, figures, what they say in a sentence, and claims.

A row picked because it looks best on test proves nothing. So the row that a verdict is about is
picked by its calibration accuracy, and its one comparison on test is then tested as it stands. It
is a row with generated views, whatever pixel views may have done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from genviews.ensemble.combine import AlphaCurve, Comparison, Row, best_on_calibration
from genviews.ensemble.significance import GainReport
from genviews.report.words import probability
from genviews.studies.blocks import (
    BarColumn,
    Bars,
    Cell,
    Chart,
    Column,
    Curves,
    Estimate,
    Grid,
    Images,
    Mark,
    Note,
    Picture,
    Series,
    Table,
    Tone,
)
from genviews.studies.result import Claim
from genviews.studies.statistics import (
    MARGIN,
    Gap,
    Standing,
    could_be_seen,
    outcome_of,
    points,
    standing,
    tone_of,
    weigh,
)

__all__ = [
    "HOW_TO_READ",
    "alpha_curves",
    "answer",
    "difference",
    "differences",
    "gain_bars",
    "gain_claim",
    "gain_table",
    "heat_maps",
    "measure_table",
    "row_table",
    "weight_words",
]

RECONSTRUCTION = "reconstruction only"
CELL = 12  # pixels of a side of a heat map's cell
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
        "same classifier on the single image, in percentage points, with an interval for paired "
        "answers (Bonett and Price) that reaches to 0 where the exact test sees no difference.\n"
        "Fixed / broke: test images that the single image got wrong and the ensemble right, and "
        "the reverse. p: exact McNemar test, two-sided; Holm p: corrected for the number of rows "
        "compared. The verdict is about one row, chosen on calibration before test was looked at, "
        "so its own p counts. Whoever picks a row after seeing the table needs the Holm p.\n"
        "Alpha is the weight of the views (0 image alone, 1 views alone), fitted on calibration. "
        "Oracle alpha is the best on test: never used, it shows what the choice of alpha costs."
    ),
    folded=True,
)


_OVER = Column(name="gain over reference", kind="points", digits=2, priority=3)
_COLUMNS = (
    Column(name="predicted from", priority=0),
    Column(name="accuracy", kind="percent", digits=2, help="on test"),
    Column(name="gain", kind="points", digits=2, priority=0, help="over the single image"),
    Column(name="alpha", kind="number", digits=2, help="weight of the views, from calibration"),
    Column(name="fixed / broke", help="test images put right / put wrong"),
    Column(name="Holm p", kind="p", help="exact McNemar test, corrected for the rows compared"),
    Column(name="views", kind="count", priority=2, help="predictions beside that of the image"),
    Column(name="p", kind="p", priority=3, help="exact McNemar test"),
    _OVER,
    Column(name="oracle alpha", kind="number", digits=2, priority=4, help="best on test; not used"),
    Column(name="oracle accuracy", kind="percent", digits=2, priority=4),
)


def row_table(rows: Sequence[Row], *, title: str, chosen: Row | None, caption: str = "") -> Table:
    """All rows of a task.

    Args:
        rows: of one task, the single image first.
        title: of the table.
        chosen: the row that the verdict is about; not marked where its views have no weight.
        caption: one sentence.
    """
    compared = any(row.reference_gain is not None for row in rows)
    kept = [place for place, c in enumerate(_COLUMNS) if compared or c is not _OVER]
    cells = [_cells(row) for row in rows]
    return Table(
        title=title,
        columns=tuple(_COLUMNS[place] for place in kept),
        rows=tuple(tuple(line[place] for place in kept) for line in cells),
        highlight=next((i for i, row in enumerate(rows) if row is chosen and row.alpha != 0), None),
        tones=tuple(map(_tone, rows)),
        breaks=tuple(i for i in range(1, len(rows)) if rows[i].group != rows[i - 1].group),
        caption=caption,
    )


def _cells(row: Row) -> tuple[Cell, ...]:
    over = row.reference_gain
    tested = (_gap(row).estimate, f"{row.fixed} / {row.broke}", row.p_holm, row.p_value)
    gained, changed, holm, p_value = (None,) * 4 if row.group == "image" else tested
    return (
        row.name,
        Estimate(row.accuracy, row.interval),
        gained,
        row.alpha,
        changed,
        holm,
        row.num_views,
        p_value,
        None if over is None else Estimate(over, row.reference_gain_interval),
        row.oracle_alpha,
        row.oracle_accuracy,
    )


def _gap(row: Row) -> Gap:
    """The gain of a row, weighed with all rows that were measured together (`adjust`)."""
    # Whether a row is level is not asked: its test is not corrected for the others.
    return replace(Gap.of(row), p_value=row.p_holm, p_level=None)


def _tone(row: Row) -> Tone:
    return "reference" if row.group == "image" else tone_of(_gap(row))


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


def gain_table(title: str, gains: Mapping[str, GainReport], *, caption: str = "") -> Table:
    """Paired comparisons by name: gain, what changed, and the test, corrected for their number."""
    weighed = weigh([Gap.of(gain) for gain in gains.values()])
    return Table(
        title=title,
        columns=(
            Column(name="comparison", priority=0),
            Column(name="gain", kind="points", digits=2, priority=0),
            Column(name="fixed / broke"),
            Column(name="Holm p", kind="p", help="exact McNemar test, corrected for these rows"),
        ),
        rows=tuple(
            (name, gap.estimate, f"{g.fixed} / {g.broke}", gap.p_value)
            for (name, g), gap in zip(gains.items(), weighed, strict=True)
        ),
        caption=caption,
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


def measure_table(values: Mapping[str, float], ends: str) -> Table:
    """How good the reconstructions are; accuracies as percentages.

    Args:
        values: see `measure_reconstructions`.
        ends: how the inversions ended, in words.
    """
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
        caption="Every view starts from a reconstruction, and can be no better than these allow. "
        f"Of the test inversions {ends}.",
    )


def heat_maps(title: str, gains: Mapping[str, Float[Tensor, "X Y"]], caption: str) -> Images:
    """Maps side by side in one scale of colour, whose strongest is the largest gain or loss.

    White is nothing gained, red is better, blue is worse.

    Args:
        title: of the section.
        gains: name -> gains as shares; the first axis goes to the right, the second down.
        caption: what the axes are.
    """
    most = max(float(gain.abs().max()) for gain in gains.values()) or 1.0
    pictures = tuple(Picture(pixels=_colours(gain / most)) for gain in gains.values())
    return Images(
        title=title,
        grids=(Grid(columns=tuple(gains), pictures=(pictures,)),),
        caption=f"{caption} White: nothing gained; red: better; blue: worse; the strongest colour "
        f"is {100 * most:.2f} points.",
    )


def _colours(share: Float[Tensor, "X Y"]) -> Float[Tensor, "3 H W"]:
    share = share.T.clamp(-1, 1).float()
    fade, full = 1 - 2 * share.abs(), torch.ones_like(share)
    cells = torch.stack([full.where(share >= 0, fade), fade, full.where(share <= 0, fade)])
    return cells.repeat_interleave(CELL, 1).repeat_interleave(CELL, 2)


def answer(
    rows: Sequence[Row], comparisons: Sequence[Comparison], *, num_test: int
) -> tuple[str, Row | None, Tone | None]:
    """Whether generated views helped, with which weight, and what could have been seen at all.

    Args:
        rows: of one task.
        comparisons: its paired tests of combined rows against their pixel views.
        num_test: number of test images.

    Returns:
        One sentence, the row that it is about, and the tone of the sentence, which may be another
        than that of the row: that is compared with the single image, and pixel views may have
        helped. None and None where no generated views were compared.
    """
    generated = [row for row in rows if row.is_generated]
    if not generated:
        return "No generated views were compared.", None, None
    row = best_on_calibration(generated)
    paired = next((c for c in comparisons if c.row == row.name), None)
    against = "the single image" if paired is None else f"{paired.against!r} alone"
    found = paired or row
    tone: Tone = "" if row.alpha == 0 else tone_of(Gap.of(found))
    return _say(row, found, against, num_test), row, tone


def _say(row: Row, found: GainReport, against: str, num_test: int) -> str:
    accuracy, before = (
        f"{100 * share:.2f} %" for share in (row.accuracy, row.accuracy - found.gain)
    )
    limits = could_be_seen(num_test, found.fixed + found.broke)
    if row.alpha == 0:
        none = (
            "Generated views did not help: on the calibration images they earned no "
            "weight (alpha 0), so none is chosen"
        )
        if found is row:
            return f"{none} and the answer is that of {against}, {accuracy}; {limits}."
        return (
            f"{none}. Without them {row.name!r}, which has fewer pixel views, has {accuracy} "
            f"against {before} of {against} on {num_test:,} test images, {_points(Gap.of(found))}; "
            f"{limits}."
        )
    said = standing(Gap.of(found))
    facts = (
        f"{_ANSWERS[said]}: {row.name!r} with weight {row.alpha:.2f} has {accuracy} against "
        f"{before} of {against} on {num_test:,} test images, {_points(Gap.of(found))}"
    )
    return f"{facts}." if said in ("above", "below") else f"{facts}; {limits}."


_ANSWERS: dict[Standing, str] = {
    "above": "Generated views helped",
    "below": "Generated views did harm",
    "level": f"Generated views made less than {100 * MARGIN:g} point of difference",
    "no difference seen": "No help from generated views was seen",
}
_WORDS: dict[Standing, str] = {
    "above": "significantly better",
    "below": "significantly worse",
    "level": f"level within {100 * MARGIN:g} point",
    "no difference seen": "no difference seen",
}


def weight_words(alpha: float) -> str:
    """The weight of generated views, or that they have none: what is measured is then without."""
    return f"weight {alpha:.2f}" if alpha > 0 else "weight 0: on calibration they earned none"


def difference(found: GainReport) -> str:
    """A paired gain in words: "no difference seen, +0.25 points [...] (...)"."""
    return differences([found])[0]


def differences(family: Sequence[GainReport]) -> list[str]:
    """Paired gains that are told together in words, corrected for their number (Holm)."""
    holm = ", Holm" if len(family) > 1 else ""
    weighed = weigh([Gap.of(found) for found in family])
    return [f"{_WORDS[standing(gap)]}, {_points(gap, holm)}" for gap in weighed]


def gain_claim(text: str, found: GainReport, *, said: str = "", source: str = "") -> Claim:
    """A claim that something is more accurate, weighed by one paired comparison."""
    return Claim(
        text=text,
        said=said,
        measured=Estimate(found.gain, found.gain_interval),
        outcome=outcome_of("above", Gap.of(found)),
        p_value=found.p_value,
        source=source,
    )


def _points(gap: Gap, corrected: str = "") -> str:
    assert gap.p_value is not None  # of paired answers
    p = "p < 0.001" if gap.p_value < 0.001 else f"p = {probability(gap.p_value)}"
    return f"{points(gap)} (exact McNemar {p}{corrected})"
