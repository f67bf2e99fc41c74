"""Tables of the learning arrow as results, from studies made of numbers."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import asdict, replace

import pytest
from rich.console import Console

from genviews.report import show
from genviews.report.terminal import terminal_table
from genviews.report.text import table_csv
from genviews.report.web import render_page
from genviews.report.words import cell_words
from genviews.studies.blocks import Bars, Curves, Note
from genviews.studies.learning.result import SWEEPS, row_words, table_result
from genviews.studies.learning.row import LearningRow
from genviews.studies.learning.tables import TABLES, learning_table
from genviews.studies.result import Record, Result
from tests.pages import shown
from tests.studies.learning.made import REFERENCE, difference, make_study, with_voc


def made(study, **changes):
    return table_result(study, record=Record(command="genviews study"), **changes)


def rows_of(study):
    """Name of a row -> name of a column -> cell."""
    table = made(study).answer
    names = [column.name for column in table.columns]
    return {str(row[0]): dict(zip(names, row, strict=True)) for row in table.rows}


def words_of(study):
    """The same as text."""
    table = made(study).answer
    return {
        str(row[0]): {
            column.name: cell_words(cell, column)
            for cell, column in zip(row, table.columns, strict=True)
        }
        for row in table.rows
    }


def block(study, kind):
    return next((one for one in made(study).blocks if isinstance(one, kind)), None)


@pytest.fixture
def study():
    return make_study()


class TestTable:
    def test_numbers_are_rounded_and_signed(self, study):
        best = words_of(study)["Gaussian + T_x"]
        assert (best["linear probe"].text, best["linear probe"].interval) == (
            "82.0",
            "81.0 to 83.0",
        )
        assert (best["difference"].text, best["difference"].interval) == ("+1.5", "+0.5 to +2.5")
        told = [best[name].text for name in ("neighbours", "images a second", "waiting")]
        assert told == ["79.0", "1,234", "3"]
        assert words_of(study)["untrained"]["images a second"].text == ""
        assert words_of(study)[REFERENCE]["difference"].text == ""

    def test_the_verdict_is_holms(self, study):
        assert made(study).answer.tones[:4] == ("worse", "reference", "", "better")
        stars = [row["difference"] for row in rows_of(study).values()]
        assert [s.significant for s in stars if s is not None][:3] == [True, False, True]

    def test_no_minus_before_nothing(self, study):
        row = replace(
            study.rows[2], against={p: difference(-0.0001, 0.0001) for p in ("linear", "knn")}
        )
        found = words_of(replace(study, rows=(*study.rows[:2], row)))[row.name]["difference"]
        assert found.text == "+0.0"

    def test_an_interval_is_never_a_point(self, study):
        row = replace(
            study.rows[2], against={p: difference(0.0, 0.00002) for p in ("linear", "knn")}
        )
        found = words_of(replace(study, rows=(*study.rows[:2], row)))[row.name]["difference"]
        assert found.interval == "-0.002 to +0.002"

    def test_the_best_on_val_is_highlighted(self, study):
        found = made(study)
        assert found.answer.rows[found.answer.highlight][0] == study.best.name
        assert found.verdict == study.verdict

    def test_nothing_to_compare(self, study):
        found = made(replace(study, rows=(study.rows[1],)))
        assert found.answer.highlight is None
        assert found.verdict == "There is no row to compare."
        assert 'class="badge"' not in render_page(found)

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


class TestBars:
    def test_every_row_by_every_probe(self, study):
        bars = block(study, Bars)
        assert bars.names == tuple(row.name for row in study.rows)
        assert [column.label for column in bars.columns] == ["linear probe", "nearest neighbours"]
        assert bars.columns[0].level == 0.805
        shown = bars.columns[0].values[3]
        assert (shown.value, *shown.interval) == pytest.approx((0.815, 0.805, 0.825))
        assert bars.columns[1].tones[3] == ""  # of its own family

    def test_what_is_untrained_may_lie_beyond(self, study):
        assert [column.beyond for column in block(study, Bars).columns] == [(0,), (0,)]


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
        assert block(make_study(table, learning_table(table)[0].name), Curves) is None

    def test_figure_5(self):
        (chart,) = block(make_study("figure5", "std 0.00"), Curves).charts
        assert [one.name for one in chart.series] == ["linear probe", "nearest neighbours"]
        at = chart.series[0].x.index(0.2)
        assert [one.y[at] for one in chart.series] == pytest.approx([0.815, 0.785])
        assert "deviation of the Gaussian" in chart.x_label

    def test_a_single_row_is_no_curve(self):
        study = make_study("figure5", "std 0.00")
        assert block(replace(study, rows=study.rows[:1]), Curves) is None


class TestShown:
    def test_page_terminal_and_record(self, study):
        found = made(study, left_out=("steered views, which need walks",))
        page = shown(render_page(found))
        for row in study.rows:
            assert f">{row.name}" in page
        assert study.verdict in page
        assert "55,000 of them unique" in page
        assert "Left out: steered views, which need walks." in page
        assert "so that its luck is not in it" not in page
        assert "so that its luck is not in it" in render_page(made(replace(study, seeds=(0,))))
        console = Console(file=io.StringIO(), width=80)
        show(found, console)
        assert "Left out: steered views, which need walks." in console.file.getvalue()
        assert Result.from_json(found.to_json()).to_json() == found.to_json()
        assert found.record.data["rows"][0]["name"] == "untrained"

    def test_a_note_is_there_for_what_is_left_out_alone(self, study):
        assert block(study, Note) is None

    @pytest.mark.parametrize(
        ("p", "mean", "tone"), [(1e-5, 0.85, "better"), (1e-5, 0.79, "worse"), (0.5, 0.85, "")]
    )
    def test_the_page_s_colour_is_about_the_best_on_val(self, study, p, mean, tone):
        best = replace(
            study.rows[2],
            val={"linear": 0.99},
            against={"linear": difference(mean - 0.805, p_value=p), "knn": difference(0.0)},
        )
        rows = (*study.rows[:2], best, *study.rows[3:])
        answer = made(replace(study, rows=rows)).answer
        assert answer.tones[answer.highlight] == tone

    @pytest.mark.parametrize("width", [40, 60, 80, 110, 160])
    @pytest.mark.parametrize("detection", [False, True])
    def test_it_fits_the_terminal(self, width, detection):
        console = Console(file=io.StringIO(), width=width)
        console.print(terminal_table(made(with_voc(detection=detection)).answer, width))
        text = console.file.getvalue()
        assert max(map(len, text.splitlines())) <= width
        assert "VOC07 AP" in " ".join(text.split())


class TestVOC:
    def test_without_it_nothing_is_said_of_it(self):
        page = render_page(made(make_study()))
        assert "VOC" not in page
        assert "AP75" not in page

    def test_numbers_and_stars_are_those_of_voc(self):
        words = list(words_of(with_voc()).values())
        assert [row["VOC07 AP"].text for row in words][:3] == ["40.0", "41.0", "42.0"]
        assert (words[4]["AP difference"].text, words[4]["AP Holm p"].text) == ("+3.0", "<0.001")
        stars = [row["AP difference"].star for row in words]
        assert (stars.index(True), sum(stars)) == (4, 1)
        bars = block(with_voc(), Bars)
        assert bars.columns[2].tones[4] == "better"
        assert bars.columns[2].label == "VOC07 AP"

    def test_detection(self):
        study = with_voc(detection=True)
        found = list(words_of(study).values())[4]["detection AP75"]
        assert (found.text, found.interval) == ("22.0", "20.0 to 24.0")
        page = render_page(made(study))
        assert "over seeds alone" in page
        assert "fitted on train, of 2,510 photos of val" in page
        assert "24,000 steps on trainval, scored on test" in page

    def test_one_seed_has_no_interval_of_detection(self):
        study = with_voc(detection=True, one_seed=True)
        assert "one seed has no interval" in render_page(made(study))
        lines = list(csv.DictReader(io.StringIO(table_csv(made(study).answer))))
        assert (lines[4]["detection_AP"], lines[4]["detection_AP_low"]) != ("", "")
        assert float(lines[4]["VOC07_AP"]) == pytest.approx(0.44)
        assert lines[1]["AP_difference"] == ""  # the reference
