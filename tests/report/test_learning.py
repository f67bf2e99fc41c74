"""Pages, figures and tables of the learning arrow, from results made of numbers."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from dataclasses import asdict, replace

import pytest
import torch
from rich.console import Console

from genviews.evaluate.encoders import EncoderScores
from genviews.evaluate.probe import score_predictions
from genviews.report.learning import (
    learning_figure,
    render_encoder_report,
    render_learning_report,
)
from genviews.report.learning_figures import (
    SWEEPS,
    _tick_labels,
    rows_figure,
    sweep_figure,
    training_figures,
)
from genviews.report.learning_tables import (
    probe_table,
    row_words,
    study_cells,
    study_table,
)
from genviews.represent.encoder import RepresentationConfig, RepresentationEncoder
from genviews.represent.run import StepRecord
from genviews.studies.learning import (
    TABLES,
    Difference,
    LearningRow,
    LearningStudy,
    RowSummary,
    learning_table,
)
from genviews.studies.learning.result import EncoderResult, TableResult

REFERENCE = "real + T_x"


def difference(mean, half=0.01):
    return Difference(
        mean=mean, interval=(mean - half, mean + half), p_value=0.5, seeds=3, per_seed=(mean,) * 3
    )


def make_study(table="table1", reference=REFERENCE, **changes):
    """Accuracies of 60 % for what is untrained, else 80 % and half a point more each row."""
    rows, p_values = learning_table(table), {}
    summaries = []
    for place, row in enumerate(rows):
        mean = 0.60 if row.data == "none" else 0.80 + 0.005 * place
        against = None
        if row.name != reference:
            against = {p: difference(mean - 0.805) for p in ("linear", "knn")}
            p_values[row.name] = 0.001 if place % 3 == 0 else 0.4
        summaries.append(
            RowSummary(
                name=row.name,
                accuracy={"linear": difference(mean), "knn": difference(mean - 0.03)},
                against=against,
                val={"linear": mean, "knn": mean},
                samples_per_second=None if row.data == "none" else 1234.5,
                waiting_for_views=None if row.data == "none" else 0.034,
            )
        )
    fields = {
        "name": table,
        "rows": tuple(summaries),
        "reference": reference,
        "test_images": 10_000,
        "seeds": (0, 1, 2),
        "p_holm": {"linear": p_values, "knn": dict.fromkeys(p_values, 1.0)},
        "facts": {
            "definitions": {row.name: asdict(row) for row in rows},
            "updates": 350,
            "batch": 256,
            "base": 55_000,
            "encoder": asdict(RepresentationConfig(channels=1)),
        },
    }
    return LearningStudy(**{**fields, **changes})


@pytest.fixture
def study():
    return make_study()


def shown(table, width=140):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(table)
    return console.file.getvalue()


class TestCells:
    def test_numbers_are_rounded_and_signed(self, study):
        cells = {row.name: row for row in study_cells(study)}
        best = cells["Gaussian + T_x"]
        assert (best.linear, best.linear_interval) == ("82.0", "81.0 to 83.0")
        assert (best.difference, best.difference_interval) == ("+1.5", "+0.5 to +2.5")
        assert (best.knn, best.rate, best.waiting) == ("79.0", "1,234", "3 %")
        assert cells["untrained"].rate == ""
        assert cells[REFERENCE].difference == ""

    def test_the_verdict_is_holms(self, study):
        found = [row.verdict for row in study_cells(study)]
        assert found[:4] == ["worse", "reference", "not significant", "better"]

    def test_no_minus_before_nothing(self):
        study = make_study()
        row = replace(study.rows[2], against={"linear": difference(-0.0001, 0.0001)})
        cells = study_cells(replace(study, rows=(row,)))[0]
        assert (cells.difference, cells.difference_interval) == ("+0.0", "+0.0 to +0.0")

    @pytest.mark.parametrize(
        ("row", "words"),
        [
            ({"data": "none"}, "first weights"),
            ({"data": "real", "pixels": True}, "real, T_x, nt-xent"),
            ({"views": "gaussian_all_0.20"}, "generated, gaussian_all_0.20 in z, nt-xent"),
            (
                {"views": "stylemix_fine", "space": "own", "positives": 3, "pool": 5},
                "generated, stylemix_fine in its own latents, 3 positives, of 5 views, nt-xent",
            ),
            (
                {"data": "mixed", "share": 0.05, "pixels": True},
                "5 % generated, the rest real, T_x, nt-xent",
            ),
            (
                {"pixels": True, "ratio": 0.1, "updates": 0.5},
                "generated, T_x, nt-xent, 0.1 times the samples, 0.5 of the updates",
            ),
        ],
    )
    def test_a_row_in_words(self, row, words):
        assert row_words(asdict(LearningRow(name="x", **row))) == words


class TestTerminal:
    def test_wide(self, study):
        text = shown(study_table(study, 140))
        line = next(line for line in text.splitlines() if line.startswith("Gaussian "))
        wanted = "Gaussian 81.5 80.5 to 82.5 +1.0 * +0.0 to +2.0 0.001 78.5 77.5 to 79.5 1,234 3 %"
        assert " ".join(line.split()) == wanted
        assert "table1: 10,000 test images, 3 seeds" in text

    @pytest.mark.parametrize("width", [40, 60, 80, 100, 120])
    def test_narrow_ones_lose_columns_and_no_digits(self, study, width):
        lines = shown(study_table(study, width), width).splitlines()
        assert max(len(line.rstrip()) for line in lines) <= width
        line = next(line for line in lines if line.startswith("steered "))
        assert "82.5" in line

    def test_a_name_is_no_markup(self, study):
        row = replace(study.rows[0], name="[red]x[/red]")
        facts = {**study.facts, "definitions": {"[red]x[/red]": asdict(LearningRow(name="y"))}}
        odd = replace(
            study,
            rows=(row,),
            facts=facts,
            p_holm={"linear": {"[red]x[/red]": 1.0}, "knn": {}},
        )
        assert "[red]x[/red]" in shown(study_table(odd, 100))


def texts(svg):
    return re.findall(r">([^<>]+)</text>", svg)


class TestRowsFigure:
    def test_names_and_values_are_there(self, study):
        svg = rows_figure(study)
        found = texts(svg)
        for row in study.rows:
            assert found.count(row.name) == 1  # beside the first of two panels
            assert f"{100 * row.accuracy['linear'].mean:.1f}" in found
            assert f"{100 * row.accuracy['knn'].mean:.1f}" in found
        assert {"linear probe, %", "nearest neighbours, %"} <= set(found)
        assert 'role="img"' in svg

    def test_filled_where_significant_and_hollow_where_not(self, study):
        hollow = "fill: var(--paper); stroke: var(--muted)"
        assert rows_figure(study).count(hollow) > 5
        sure = dict.fromkeys(study.p_holm["linear"], 0.001)
        assert hollow not in rows_figure(replace(study, p_holm={"linear": sure, "knn": sure}))

    def test_what_is_untrained_does_not_stretch_the_axis(self, study):
        ticks = [float(t) for t in texts(rows_figure(study)) if re.fullmatch(r"\d\d", t)]
        assert min(ticks) > 70

    def test_where_nothing_was_trained_there_is_a_figure_all_the_same(self):
        study = make_study(reference="untrained")
        alone = replace(study, rows=(study.rows[0],))
        assert "60.0" in texts(rows_figure(alone))


class TestSweep:
    @pytest.mark.parametrize("table", SWEEPS)
    def test_every_place_is_right(self, table):
        rows = {row.name: asdict(row) for row in learning_table(table)}
        _, place, _ = SWEEPS[table]
        numbers = [float(re.search(r"[\d.]+", name)[0]) for name in rows]  # as rows are called
        scale = 100 if table == "figure9" else 1
        assert [scale * place(row) for row in rows.values()] == pytest.approx(numbers)

    @pytest.mark.parametrize("table", sorted(set(TABLES) - set(SWEEPS)))
    def test_other_tables_have_no_curve(self, table):
        assert sweep_figure(make_study(table, learning_table(table)[0].name)) == ""

    def test_figure_5(self):
        study = make_study("figure5", "std 0.00")
        svg = sweep_figure(study)
        assert {"linear probe", "neighbours", "accuracy, %"} <= set(texts(svg))
        assert "0.2: 81.5 and 78.5 %" in svg

    def test_a_single_row_is_no_curve(self):
        study = make_study("figure5", "std 0.00")
        assert sweep_figure(replace(study, rows=study.rows[:1])) == ""

    def test_labels_do_not_touch(self):
        assert _tick_labels([0, 0.01, 0.5, 1], logarithmic=False) == ["0", "", "0.5", "1"]
        assert _tick_labels([0.1, 0.2, 1, 10], logarithmic=True) == ["0.1", "0.2", "1", "10"]


class TestFile:
    @pytest.mark.parametrize("table", ["table1", "figure5"])
    def test_it_is_xml_with_colours_of_its_own(self, table):
        text = learning_figure(make_study(table, learning_table(table)[1].name))
        root = ET.fromstring(text)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert "var(" not in text
        assert "#ffffff" in text

    def test_a_sweep_is_drawn_as_one(self):
        assert "deviation of the Gaussian" in learning_figure(make_study("figure5", "std 0.00"))
        assert "deviation of the Gaussian" not in learning_figure(make_study())


class TestPage:
    def page(self, study, **changes):
        fields = {"command": "genviews study", "seconds": {"train": 90.0}, "config": {"a": 1}}
        return render_learning_report(TableResult(study=study, **{**fields, **changes}))

    def test_it_holds_rows_verdict_and_facts(self, study):
        page = self.page(study)
        for row in study_cells(study):
            assert f">{row.name}" in page
            assert row.linear_interval in page
        assert study.verdict in page
        assert "55,000 unique" in page
        assert "90 seconds" not in page.split("<main>")[0]
        assert "<script" not in page
        assert not re.search(r'(src|href)="(?!#|data:)', page)

    @pytest.mark.parametrize(
        ("p", "mean", "badge"),
        [
            (0.001, 0.85, "Significantly above the reference"),
            (0.001, 0.79, "Significantly below the reference"),
            (0.5, 0.85, "No significant difference to the reference"),
        ],
    )
    def test_the_badge_is_about_the_best_on_val(self, study, p, mean, badge):
        best = replace(
            study.rows[2],
            val={"linear": 0.99},
            against={"linear": difference(mean - 0.805), "knn": difference(0.0)},
        )
        rows = (*study.rows[:2], best, *study.rows[3:])
        sure = {**study.p_holm["linear"], best.name: p}
        page = self.page(replace(study, rows=rows, p_holm={"linear": sure, "knn": sure}))
        assert badge in page
        assert f"{best.name} <small>(best on val)</small>" in page

    def test_what_is_missing_is_said(self, study):
        page = self.page(study, left_out=("steered views, which need walks",))
        assert "Left out: steered views, which need walks." in page
        assert "What the encoders are shown" not in page
        assert "so that its luck is not in it" not in page
        assert "so that its luck is not in it" in self.page(replace(study, seeds=(0,)))

    def test_the_panel(self, study):
        assert "data:image/png;base64,YWJj" in self.page(study, panel=b"abc")

    def test_nothing_to_compare(self, study):
        alone = replace(study, rows=(study.rows[1],))
        page = self.page(alone)
        assert "Nothing was compared" in page
        assert "There is no row to compare." in page

    def test_names_are_text(self, study):
        row = replace(study.rows[1], name="<b>x</b>")
        facts = {**study.facts, "definitions": {"<b>x</b>": asdict(LearningRow(name="y"))}}
        odd = replace(study, rows=(row,), facts=facts, reference="<b>x</b>")
        assert "<b>x</b>" not in self.page(odd)


def scores():
    labels = torch.arange(20) % 2
    right = torch.where(torch.arange(20) < 15, labels, 1 - labels)
    splits = {"fit": "train", "select": "val", "score": "test"}
    linear = score_predictions(right, labels, setting={"cost": 0.1}, splits=splits)
    knn = score_predictions(labels, labels, setting={"neighbours": 10.0}, splits=splits)
    answers = {"linear": right, "knn": labels}
    return EncoderScores(linear=linear, knn=knn, val={"linear": 0.7, "knn": 0.9}, answers=answers)


def history(count=12):
    return tuple(
        StepRecord(
            step=10 * (i + 1),
            loss=5.0 / (i + 1),
            terms={"contrast": 5.0 / (i + 1)},
            learning_rate=0.03,
            samples_per_second=100.0 + i,
            data_share=0.02,
            monitors={"rankme": 30.0 + i, "knn": 0.5} if i % 2 else {},
        )
        for i in range(count)
    )


@pytest.fixture
def encoder_result():
    return EncoderResult(
        title="An encoder",
        encoder=RepresentationEncoder(RepresentationConfig(channels=1)),
        history=history(),
        scores=scores(),
        facts={"row": {"objective": "nt-xent"}, "batch": 16, "samples": 64},
        skipped=(("a.png", "is not an image"),),
        seconds={"train": 3.0},
    )


class TestEncoderPage:
    def test_probes_curves_and_facts(self, encoder_result):
        page = render_encoder_report(encoder_result)
        assert encoder_result.verdict in page
        assert "linear probe 75.0 % [53.1, 88.8]" in page  # Wilson's, of 15 of 20
        assert page.count("<svg") == 3  # loss, rank and neighbours
        assert "is not an image" in page
        assert "64 unique" in page
        assert "128 features, 1 channel" in page

    def test_without_labels(self, encoder_result):
        page = render_encoder_report(replace(encoder_result, scores=None))
        assert "nobody judged it" in page

    def test_without_training(self, encoder_result):
        page = render_encoder_report(replace(encoder_result, history=(), facts={}))
        assert "How it was learnt" not in page
        assert page.count("<svg") == 0

    def test_terminal(self, encoder_result):
        text = shown(probe_table(encoder_result))
        assert "Linear probe" in text
        assert "53.1 to 88.8" in text
        assert "neighbours 10" in text


class TestTrainingFigures:
    def test_one_for_the_loss_and_each_monitor(self):
        captions = [caption for caption, _ in training_figures(history())]
        assert captions[0] == "loss"
        assert len(captions) == 3

    def test_none_of_nothing(self):
        assert training_figures(()) == []

    def test_a_flat_line_is_not_magnified(self):
        flat = training_figures(history())[1][1]
        ticks = [float(t.replace("\N{MINUS SIGN}", "-")) for t in texts(flat) if t[-1].isdigit()]
        assert min(ticks) < 0.3

    def test_a_single_record_is_a_dot(self):
        (_, svg), *_ = training_figures(history(1))
        assert "<use" in svg or "<path" in svg


class TestResultFiles:
    def test_history_csv_leaves_empty_what_was_not_looked_at(self, encoder_result):
        lines = encoder_result.history_csv().splitlines()
        assert lines[0] == (
            "step,loss,loss_contrast,learning_rate,samples_per_second,waiting_for_views,rankme,knn"
        )
        assert lines[1] == "10,5.0,5.0,0.03,100.0,0.02,,"
        assert lines[2].endswith(",31.0,0.5")

    def test_probe_csv(self, encoder_result):
        lines = encoder_result.probe_csv().splitlines()
        assert lines[1].startswith("linear,0.75,0.531")
        assert lines[1].endswith(",0.75,0.7,15,20,cost=0.1")

    def test_summary_of_what_was_only_judged(self, encoder_result):
        judged = replace(encoder_result, history=(), facts={})
        assert judged.summary()["training"] is None
        assert judged.verdict.startswith("Right answers on 20 test images: linear probe 75.0 %")
        assert judged.history_csv().startswith("step,loss")
