"""One self-contained HTML page for a study: no script, and no request to anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from genviews.ensemble.result import Comparison, Row, StudyResult
from genviews.ensemble.verdict import SIGNIFICANCE, best_on_calibration
from genviews.report.figures import alpha_figure, gain_figure, gain_limits
from genviews.report.gallery import MARKS, gallery_groups
from genviews.report.output import write_atomic
from genviews.report.page import DASH, Fact, how_made, render_page
from genviews.report.tables import (
    Cells,
    cells,
    classifiers,
    is_baseline,
    p_text,
    percent,
    points,
)

__all__ = ["render_report", "write_report"]

_BADGES = {
    "better": "Significant gain",
    "worse": "Significant loss",
    "same": "No significant difference",
    "single": "No ensemble did better on calibration",
    "": "Nothing was compared",
}
_MEASURES = {
    "encoder_l1": "Mean absolute pixel error after the encoder alone (pixels span 2)",
    "l1": "Mean absolute pixel error after optimisation (pixels span 2)",
    "loss": "Inversion loss, mean",
    "start_loss": "Inversion loss at the start, mean",
    "failed": "Images that could not be inverted",
    "accuracy_on_images": "Accuracy on the images, %",
    "accuracy_on_reconstructions": "Accuracy on their reconstructions, %",
}


def write_report(result: StudyResult, path: str | Path) -> Path:
    """Write the page of a study as one HTML file, atomically.

    Args:
        result: the study.
        path: the file to write; missing folders are made.

    Returns:
        The path.

    Raises:
        OSError: the file cannot be written; no part of it is left.
    """
    target = Path(path)
    write_atomic(target, render_report(result))
    return target


def render_report(result: StudyResult) -> str:
    """The page of a study as text: verdict, table, figures, pictures, and how it was made."""
    pixel = {key for row in result.rows if row.group == "pixel" for key in row.views}
    groups = gallery_groups(result.gallery, result.class_names, pixel)
    best = _headline(result)
    tone = _tone(best)
    return render_page(
        "page.html",
        title=result.title,
        tone=tone,
        badge=_BADGES[tone],
        verdict=result.verdict,
        facts=_facts(result, best),
        sections=_sections(result.rows),
        curves=_curves(result),
        groups=groups,
        labelled=result.gallery is not None and result.gallery.labels is not None,
        marks=MARKS,
        reconstruction=[
            (_measure(name), _number(name, v)) for name, v in result.reconstruction.items()
        ],
        skipped=result.skipped,
        num_test=f"{result.num_test:,}",
        num_calibration=f"{result.num_calibration:,}",
        seed=result.seed,
        dash=DASH,
        reference=_reference(result),
        comparisons=[_comparison(c) for c in result.comparisons],
        **how_made(
            result.command,
            {name.replace("_", " "): value for name, value in result.seconds.items()},
            result.versions,
            result.config,
        ),
    )


@dataclass(frozen=True, kw_only=True)
class _Line:
    cells: Cells
    chosen: bool
    first_of_group: bool


@dataclass(frozen=True, kw_only=True)
class _Section:
    classifier: str
    reference: bool  # whether a row has a gain over the classifier trained on images
    rows: tuple[_Line, ...]
    figure: Markup


@dataclass(frozen=True, kw_only=True)
class _Curves:
    classifier: str
    figures: tuple[tuple[str, Markup], ...]  # (title, figure)


def _sections(rows: Sequence[Row]) -> list[_Section]:
    limits = gain_limits(rows)
    return [_section(rows, name, limits) for name in classifiers(rows)]


def _section(rows: Sequence[Row], classifier: str, limits: tuple[float, float]) -> _Section:
    own = [row for row in rows if row.classifier == classifier]
    best = best_on_calibration(own)  # own is never empty
    compared = [row for row in own if not is_baseline(row)]
    lines = tuple(
        _Line(
            cells=cells(row),
            chosen=row is best,
            first_of_group=place > 0 and row.group != own[place - 1].group,
        )
        for place, row in enumerate(own)
    )
    return _Section(
        classifier=classifier,
        reference=any(row.reference_gain is not None for row in own),
        rows=lines,
        figure=Markup(gain_figure(compared, limits)) if compared else Markup(""),
    )


def _curves(result: StudyResult) -> list[_Curves]:
    rows = {(row.classifier, row.name): row for row in result.rows}
    return [
        _Curves(
            classifier=name,
            figures=tuple(
                (curve.row, Markup(alpha_figure(curve, rows.get((name, curve.row)))))
                for curve in result.curves
                if curve.classifier == name
            ),
        )
        for name in dict.fromkeys(curve.classifier for curve in result.curves)
    ]


def _headline(result: StudyResult) -> Row | None:
    """The row that the verdict is about: the reference classifier's best on calibration."""
    name = _reference(result)
    own = [row for row in result.rows if row.classifier == name]
    return best_on_calibration(own) if own else None


def _reference(result: StudyResult) -> str:
    """The classifier that others are compared with: the study names it, else the first."""
    names = classifiers(result.rows)
    named = result.config.get("reference")
    return str(named) if named in names else next(iter(names), "")


def _tone(best: Row | None) -> str:
    """The verdict in a word. It is about one row, chosen beforehand: no correction for many."""
    if best is None:
        return ""
    if is_baseline(best):
        return "single"
    if best.p_value >= SIGNIFICANCE:
        return "same"
    return "better" if best.gain > 0 else "worse"


def _facts(result: StudyResult, best: Row | None) -> list[Fact]:
    facts = []
    name = _reference(result)
    single = next((row for row in result.rows if is_baseline(row) and row.classifier == name), None)
    if single is not None:
        facts.append(
            Fact(name="Single image", value=f"{percent(single.accuracy)} %", note="test accuracy")
        )
    if best is not None and not is_baseline(best):
        text = cells(best)
        facts.append(Fact(name=best.name, value=f"{text.accuracy} %", note="test accuracy"))
        facts.append(
            Fact(name="Gain", value=points(best.gain), note=f"points ({text.gain_interval})")
        )
        facts.append(Fact(name="Fixed / broke", value=text.changed, note="test images"))
        facts.append(
            Fact(name="Weight of the views", value=text.alpha or DASH, note="alpha, on calibration")
        )
    facts.append(
        Fact(
            name="Test images",
            value=f"{result.num_test:,}",
            note=f"{result.num_calibration:,} for calibration",
        )
    )
    return facts


def _comparison(pair: Comparison) -> dict[str, str]:
    low, high = (points(end) for end in pair.interval)
    return {
        "row": pair.row,
        "against": pair.against,
        "classifier": pair.classifier,
        "gain": points(pair.gain),
        "interval": f"{low} to {high}",
        "changed": f"{pair.fixed} / {pair.broke}",
        "p_value": p_text(pair.p_value),
    }


def _measure(name: str) -> str:
    return _MEASURES.get(
        name, name.replace("_", " ").capitalize() + (", %" if "accuracy" in name else "")
    )


def _number(name: str, value: float) -> str:
    return percent(value) if "accuracy" in name else f"{value:.4g}"
