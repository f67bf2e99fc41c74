"""Pages of the learning arrow: a table of rows compared, and one encoder.

Each is one self-contained HTML file that computes nothing: every number is in the JSON beside it.
"""

from __future__ import annotations

import base64

from markupsafe import Markup

from genviews.report.draw import standalone
from genviews.report.learning_figures import (
    rows_figure,
    sweep_figure,
    training_figures,
)
from genviews.report.learning_tables import (
    probe_cells,
    row_verdict,
    signed,
    study_cells,
    voc_words,
)
from genviews.report.page import DASH, Fact, how_made, render_page
from genviews.report.tables import percent, percent_range
from genviews.studies.learning.result import EncoderResult, PanelResult, TableResult, probe_name
from genviews.studies.learning.study import LearningStudy

__all__ = [
    "learning_figure",
    "render_encoder_report",
    "render_learning_report",
    "render_panel_report",
]

_BADGES = {
    "better": "Significantly above the reference",
    "worse": "Significantly below the reference",
    "not significant": "No significant difference to the reference",
    "": "Nothing was compared",
}


def render_learning_report(result: TableResult) -> str:
    """The page of a table: verdict, figure, table, views, and how it was made."""
    study = result.study
    best = study.best
    verdict = "" if best is None else row_verdict(study, best, "linear")
    return render_page(
        "learning.html",
        title=f"{study.name}: ways to learn, against {study.reference}",
        tone=verdict if verdict in ("better", "worse") else "",
        badge=_BADGES[verdict],
        verdict=study.verdict,
        facts=_study_facts(study),
        rows=study_cells(study),
        best="" if best is None else best.name,
        reference=study.reference,
        figure=Markup(rows_figure(study)),
        sweep=Markup(sweep_figure(study)),
        panel=_data_uri(result.panel),
        left_out=result.left_out,
        num_test=f"{study.test_images:,}",
        one_seed=len(study.seeds) == 1,
        voc=voc_words(study),
        detection=bool(study.rows[0].detection),
        skipped=result.skipped,
        dash=DASH,
        **how_made(result.command, result.seconds, result.versions, result.config),
    )


def learning_figure(study: LearningStudy) -> str:
    """The figure of a table as an SVG file: the sweep where it is one, else its rows."""
    return standalone(sweep_figure(study) or rows_figure(study))


def render_encoder_report(result: EncoderResult) -> str:
    """The page of one encoder: its probes, its training if it was trained, how it was made."""
    return render_page(
        "encoder.html",
        title=result.title,
        verdict=result.verdict,
        facts=_encoder_facts(result),
        probes=probe_cells(result),
        curves=[(caption, Markup(svg)) for caption, svg in training_figures(result.history)],
        skipped=result.skipped,
        **how_made(result.command, result.seconds, result.versions, result.config),
    )


def render_panel_report(result: PanelResult) -> str:
    """The page of a panel of views: the picture, what is in it, and how it was made."""
    return render_page(
        "panel.html",
        title=f"{result.name}: views of {result.generator}",
        verdict=result.verdict,
        facts=[],
        picture=_data_uri(result.picture),
        rows=[(row["name"], row["views"], row["space"]) for row in result.rows],
        samples=", ".join(map(str, result.samples)),
        views=result.views,
        pixels=result.pixels,
        seed=result.seed,
        left_out=result.left_out,
        **how_made(result.command, result.seconds, result.versions, result.config),
    )


def _study_facts(study: LearningStudy) -> list[Fact]:
    facts, best = [], study.best
    reference = next(row for row in study.rows if row.name == study.reference)
    if best is not None and best.against is not None:
        gap = best.against["linear"]
        low, high = (signed(end) for end in gap.interval)
        value = f"{percent(best.accuracy['linear'].mean, 1)} %"
        facts.append(Fact(name=best.name, value=value, note="linear probe, best on val"))
        facts.append(
            Fact(name="Difference", value=signed(gap.mean), note=f"points ({low} to {high})")
        )
    value = f"{percent(reference.accuracy['linear'].mean, 1)} %"
    facts.append(Fact(name=reference.name, value=value, note="linear probe, the reference"))
    known = study.facts
    facts.append(
        Fact(
            name="Updates",
            value=f"{known['updates']:,}",
            note=f"of {known['batch']:,} samples, {known['base']:,} unique",
        )
    )
    facts.append(
        Fact(
            name="Encoder",
            value=known["encoder"]["backbone"],
            note=_channels(known["encoder"]["channels"]),
        )
    )
    facts.append(
        Fact(
            name="Seeds",
            value=f"{len(study.seeds)}",
            note=f"of each row, {study.test_images:,} test images",
        )
    )
    return facts


def _encoder_facts(result: EncoderResult) -> list[Fact]:
    facts = [
        Fact(
            name=probe_name(name),
            value=f"{percent(score.accuracy, 1)} %",
            note=f"{percent_range(score.interval)}, {score.total:,} test images",
        )
        for name, score in result.probes().items()
    ]
    if result.history:
        last, known = result.history[-1], result.facts
        facts.append(Fact(name="Loss", value=f"{last.loss:.4g}", note=known["row"]["objective"]))
        facts.append(
            Fact(
                name="Updates",
                value=f"{last.step:,}",
                note=f"of {known['batch']:,} samples, {known['samples']:,} unique",
            )
        )
        speeds = sorted(record.samples_per_second for record in result.history)
        waits = sorted(record.data_share for record in result.history)
        facts.append(
            Fact(
                name="Images a second",
                value=f"{speeds[len(speeds) // 2]:,.0f}",
                note=f"{100 * waits[len(waits) // 2]:.0f} % of the time waiting for views",
            )
        )
    config, features = result.encoder.config, f"{result.encoder.features_dim:,} features"
    facts.append(
        Fact(
            name="Encoder", value=config.backbone, note=f"{features}, {_channels(config.channels)}"
        )
    )
    return facts


def _channels(count: int) -> str:
    return "1 channel" if count == 1 else f"{count} channels"


def _data_uri(png: bytes | None) -> str:
    return "" if png is None else "data:image/png;base64," + base64.b64encode(png).decode()
