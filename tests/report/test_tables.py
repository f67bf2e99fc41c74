from __future__ import annotations

import csv
import io
from dataclasses import fields, replace

import pytest
from rich.console import Console

from genviews.ensemble.result import Row
from genviews.report.tables import (
    cells,
    csv_text,
    is_baseline,
    is_significant,
    p_text,
    percent,
    points,
    terminal_table,
)


@pytest.fixture
def row(make_result):
    return make_result().rows[2]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0123, "+1.23"), (-0.004, "-0.40"), (0.0, "+0.00"), (-0.00001, "+0.00"), (0.1, "+10.00")],
)
def test_points(value, text):
    assert points(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "<0.001"), (0.00099, "<0.001"), (0.0123, "0.012"), (0.9949, "0.995"), (1.0, "1")],
)
def test_p_text(value, text):
    assert p_text(value) == text


def test_percent():
    assert percent(0.91236) == "91.24"
    assert percent(0.91236, 1) == "91.2"


def test_cells(row):
    text = cells(
        replace(
            row,
            accuracy=0.9,
            interval=(0.88, 0.92),
            gain=0.0125,
            gain_interval=(-0.001, 0.02),
            fixed=21,
            broke=8,
            p_value=0.024,
            p_holm=0.0241,
            alpha=0.35,
            oracle_alpha=0.4,
            oracle_accuracy=0.905,
        )
    )
    assert (text.accuracy, text.interval) == ("90.00", "88.0 to 92.0")
    assert (text.gain, text.gain_interval) == ("+1.25", "-0.10 to +2.00")
    assert (text.changed, text.p_value, text.p_holm) == ("21 / 8", "0.024", "0.024")
    assert (text.alpha, text.oracle) == ("0.35", "0.40 (90.50)")
    assert text.verdict == "better"


def test_single_image_is_compared_with_nothing(make_result):
    base = make_result().rows[0]
    text = cells(base)
    assert is_baseline(base)
    assert text.verdict == "baseline"
    assert (text.gain, text.p_value, text.changed) == ("", "", "")


@pytest.mark.parametrize(
    ("p_holm", "gain", "verdict"),
    [(0.049, 0.01, "better"), (0.049, -0.01, "worse"), (0.05, 0.01, "not significant")],
)
def test_verdict_follows_holm(row, p_holm, gain, verdict):
    changed = replace(row, p_holm=p_holm, p_value=0.0001, gain=gain)
    assert cells(changed).verdict == verdict
    assert is_significant(changed) == (verdict != "not significant")


class TestCsv:
    def test_every_value_comes_back(self, make_result):
        rows = make_result().rows
        found = list(csv.DictReader(io.StringIO(csv_text(rows))))
        assert len(found) == len(rows)
        for line, row in zip(found, rows, strict=True):
            for field in fields(Row):
                value = getattr(row, field.name)
                if field.name.endswith("interval"):
                    ends = (line[f"{field.name}_low"], line[f"{field.name}_high"])
                    assert ends == (("", "") if value is None else tuple(map(str, value)))
                elif isinstance(value, tuple):
                    assert tuple(line[field.name].split()) == value
                else:
                    assert line[field.name] == ("" if value is None else str(value))

    def test_awkward_names(self, row):
        name = 'a, "b"\nc'
        found = list(csv.DictReader(io.StringIO(csv_text([replace(row, name=name)]), newline="")))
        assert found[0]["name"] == name

    def test_no_rows_is_a_header(self):
        assert csv_text([]).startswith("name,classifier,group,views,")


class TestTerminal:
    def show(self, result, width, **options):
        console = Console(width=width, file=io.StringIO(), **options)
        console.print(terminal_table(result, "images", width))
        return console.file.getvalue()

    @pytest.mark.parametrize("width", [38, 48, 60, 80, 100, 140])
    def test_fits_and_loses_no_digit(self, make_result, width):
        result = make_result()
        text = self.show(result, width)
        assert max(len(line) for line in text.splitlines()) <= width
        for row in result.rows:
            if row.classifier == "images":
                assert percent(row.accuracy) in text
                assert is_baseline(row) or points(row.gain) in text
        assert "\N{HORIZONTAL ELLIPSIS}" not in text

    def test_wide_has_more_columns(self, make_result):
        narrow, wide = self.show(make_result(), 60), self.show(make_result(), 140)
        assert "oracle" not in narrow
        for header in ("95 % interval", "Holm p", "oracle", "fixed / broke", "alpha"):
            assert header in wide

    def test_significance_shows_without_colour(self, make_result):
        result = make_result()
        rows = [replace(row, p_holm=1.0) for row in result.rows]
        rows[2] = replace(rows[2], gain=0.02, p_holm=0.01)
        text = self.show(replace(result, rows=tuple(rows)), 80, color_system=None)
        assert text.count("+2.00 *") == 1
        assert text.count(" *") == 2  # and once in the explanation

    def test_other_classifiers_and_markup_stay_out(self, make_result):
        result = make_result()
        rows = tuple(replace(row, name="[red]x[/red]") for row in result.rows)
        text = self.show(replace(result, rows=rows), 100)
        assert text.count("[red]x[/red]") == len(rows) / 2
