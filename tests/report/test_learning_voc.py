"""Columns of VOC in page, figure, terminal and CSV; without VOC there are none."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest

from genviews.report.learning import render_learning_report
from genviews.report.learning_figures import rows_figure
from genviews.report.learning_tables import study_cells, study_table, voc_words
from genviews.studies.learning.compare import SeedMean
from genviews.studies.learning.result import TableResult
from tests.report.test_learning import REFERENCE, difference, make_study, shown

FACTS = {
    "protocol": "authors",
    "splits": ["train", "val"],
    "photos": [2501, 2510],
    "size": 224,
    "difficult": "positive",
    "detection": None,
    "skipped": [],
}
DETECTORS = {"splits": ["trainval", "test"], "photos": [100, 50], "steps": 24_000}


def seed_mean(mean, *, one_seed=False):
    return SeedMean(
        mean=mean,
        interval=None if one_seed else (mean - 0.02, mean + 0.02),
        p_value=None if one_seed else 0.2,
        per_seed=(mean,) * (1 if one_seed else 3),
    )


def with_voc(*, detection=False, one_seed=False):
    """`make_study` with a VOC AP of 40 % and a point more each row, of which the fifth is sure."""
    study = make_study()
    rows = []
    for place, row in enumerate(study.rows):
        mean = 0.40 + 0.01 * place
        measures = {n: seed_mean(mean / 2, one_seed=one_seed) for n in ("ap", "ap50", "ap75")}
        gaps = {n: seed_mean(0.01 * place, one_seed=one_seed) for n in measures}
        rows.append(
            replace(
                row,
                accuracy={**row.accuracy, "voc": difference(mean)},
                against=row.against and {**row.against, "voc": difference(mean - 0.41)},
                detection=measures if detection else {},
                detection_against=gaps if detection and row.against else None,
            )
        )
    p = {row.name: 0.001 if place == 4 else 0.5 for place, row in enumerate(rows)}
    return replace(
        study,
        rows=tuple(rows),
        seeds=(0,) if one_seed else study.seeds,
        p_holm={**study.p_holm, "voc": {n: v for n, v in p.items() if n != REFERENCE}},
        facts={**study.facts, "voc": {**FACTS, "detection": DETECTORS if detection else None}},
    )


def page(study):
    return " ".join(render_learning_report(TableResult(study=study)).split())


class TestPage:
    def test_without_voc_nothing_is_said_of_it(self):
        text = page(make_study())
        assert "VOC" not in text
        assert "AP75" not in text
        assert "voc" not in rows_figure(make_study()).lower()

    def test_columns_of_classification(self):
        study = with_voc()
        text = page(study)
        assert text.count("VOC07 AP, %") >= 1
        assert "AP75" not in text
        for cells in study_cells(study):
            assert f"<td>{cells.voc}<small>{cells.voc_interval}</small></td>" in text
        assert "SVMs on train, 2,510 photos of val" in text
        assert "VOC07 AP, %" in rows_figure(study)

    def test_columns_of_detection(self):
        study = with_voc(detection=True)
        text = page(study)
        assert "AP75, %" in text
        assert "<td>22.0<small>20.0 to 24.0</small></td>" in text
        assert "its intervals are over seeds alone" in text
        assert "detectors: 24,000 steps on trainval, scored on test" in text

    def test_one_seed_has_no_interval_of_detection(self):
        text = page(with_voc(detection=True, one_seed=True))
        assert "with one seed there is no interval" in text
        assert "None" not in text.split("Files left out")[0]


class TestCells:
    def test_numbers_and_verdict_are_those_of_voc(self):
        cells = study_cells(with_voc())
        assert [one.voc for one in cells][:3] == ["40.0", "41.0", "42.0"]
        assert (cells[4].voc_difference, cells[4].voc_p_holm) == ("+3.0", "0.001")
        found = [one.voc_verdict for one in cells]
        assert (found[1], found[4]) == ("reference", "better")
        assert set(found) == {"reference", "better", "not significant"}

    def test_words(self):
        assert voc_words(make_study()) == ""
        assert voc_words(with_voc()).startswith("VOC AP: VOC07, SVMs on train")


class TestTerminal:
    @pytest.mark.parametrize("width", [44, 60, 80, 110, 160])
    @pytest.mark.parametrize("detection", [False, True])
    def test_it_fits_and_shows_voc_where_there_is_room(self, width, detection):
        text = shown(study_table(with_voc(detection=detection), width), width)
        assert max(map(len, text.splitlines())) <= width
        assert ("VOC AP %" in text) == (width >= 48)
        assert ("44.0 *" in text) == (width >= 48)
        assert ("det. AP/50/75" in text) == (detection and width >= 96)

    def test_without_voc_it_is_as_it_was(self):
        for width in (60, 80, 160):
            assert "VOC" not in shown(study_table(make_study(), width), width)


class TestFile:
    def lines(self, study):
        return list(csv.DictReader(io.StringIO(study.csv_text())))

    def test_a_line_for_each_probe_and_measure(self):
        study = with_voc(detection=True)
        found = self.lines(study)
        kinds = ["linear", "knn", "voc"] + [f"voc_detection_{n}" for n in ("ap", "ap50", "ap75")]
        assert [line["probe"] for line in found] == kinds * len(study.rows)
        voc = [line for line in found if line["probe"] == "voc"]
        assert float(voc[4]["accuracy"]) == pytest.approx(0.44)
        assert {line["val"] for line in voc} == {""}
        detected = [line for line in found if line["probe"] == "voc_detection_ap"]
        assert float(detected[4]["accuracy"]) == pytest.approx(0.22)
        assert detected[1]["p"] == ""  # the reference

    def test_what_one_seed_cannot_say_is_empty(self):
        found = self.lines(with_voc(detection=True, one_seed=True))
        line = next(one for one in found if one["probe"] == "voc_detection_ap")
        assert (line["low"], line["high"]) == ("", "")

    def test_without_voc_there_is_no_line(self):
        assert {line["probe"] for line in self.lines(make_study())} == {"linear", "knn"}
