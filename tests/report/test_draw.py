from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest

from genviews.report.draw import bars_svg, chart_svg, standalone
from genviews.studies.blocks import BarColumn, Bars, Chart, Estimate, Series
from tests.studies.results import BARS, CURVES


def words(svg):
    return set(re.findall(r">([^<>]+)<", svg))


def test_bars_name_rows_measure_and_values():
    svg = bars_svg(BARS, BARS.columns[0])
    assert "combined gain +1.9" in svg
    shown = words(standalone(svg))
    assert {"crop", "combined", "reconstruction only", "+1.9", "-0.2"} <= shown
    assert any("gain, percentage points" in text for text in shown)
    assert "80.0" in words(bars_svg(BARS, BARS.columns[1]))


def test_controls_do_not_stretch_the_axis():
    def ticks(column):
        svg = bars_svg(BARS, column)
        numbers = [t.replace("\N{MINUS SIGN}", "-") for t in words(svg)]
        values = {"-30.0"}  # beside its bar, wherever the axis ends
        return [float(n) for n in numbers if re.fullmatch(r"-?\d+(\.\d+)?", n) and n not in values]

    assert min(ticks(BARS.columns[0])) > -5
    assert min(ticks(replace(BARS.columns[0], beyond=()))) < -20


def test_bars_without_a_single_value():
    column = BarColumn(label="l", values=(None,))
    svg = bars_svg(Bars(title="t", names=("a",), columns=(column,)), column)
    ElementTree.fromstring(standalone(svg))


@pytest.mark.parametrize("chart", CURVES.charts)
def test_charts_are_whole_files(chart):
    svg = chart_svg(chart)
    ElementTree.fromstring(standalone(svg))
    assert {series.name for series in chart.series} <= words(svg)


def test_a_flat_line_is_flat():
    chart = Chart(
        y_label="accuracy", kind="percent", series=(Series(name="a", x=(0, 1), y=(0.9, 0.9001)),)
    )
    assert any(text.startswith("90.") for text in words(chart_svg(chart)))
    assert not any("90.00" in text for text in words(chart_svg(chart)))


def test_logarithmic_places_are_named():
    chart = Chart(x_label="x", log_x=True, series=(Series(name="a", x=(0.1, 1, 10), y=(1, 2, 3)),))
    assert {"0.1", "1", "10"} <= words(chart_svg(chart))


def test_figures_say_what_they_show_and_take_the_page_s_colours():
    svg = chart_svg(CURVES.charts[0])
    assert 'role="img" aria-label="combined against alpha: calibration from 80.0 at 0' in svg
    assert "var(--accent)" in svg
    assert "var(--" not in standalone(svg)
    assert "http" not in svg


def test_two_figures_share_no_id():
    ids = [set(re.findall(r' id="([^"]+)"', chart_svg(chart))) for chart in CURVES.charts]
    assert not ids[0] & ids[1]
    one, other = (
        set(re.findall(r' id="([^"]+)"', bars_svg(BARS, column))) for column in BARS.columns
    )
    assert not one & other


def test_a_name_with_a_dollar_is_no_formula():
    column = BarColumn(label="l", values=(Estimate(1.0),))
    bars = Bars(title="t", names=("a$b$",), columns=(column,))
    assert "a$b$" in words(bars_svg(bars, column))


def lowest(svg, text):
    """How far down a word stands, in points."""
    return float(re.search(rf' y="([\d.]+)"[^<>]*>{text}<', svg)[1])


@pytest.mark.parametrize("label", ["alpha", ""])
@pytest.mark.parametrize("style", ["line", "dashed", "points", "steps"])
def test_names_of_lines_stand_where_no_line_can_be(style, label):
    """Whatever the lines: they fill the whole of this chart."""
    x = tuple(place / 40 for place in range(41))
    up, down = (tuple((place + odd) % 2 for place in range(41)) for odd in (0, 1))
    y = (up, down) if style != "steps" else (up[1:], down[1:])
    lines = tuple(Series(name=f"line {n}", x=x, y=y[n], style=style) for n in range(2))
    svg = chart_svg(Chart(title=f"{style} {label}", x_label=label, series=lines))
    above = lowest(svg, label or r"0\.5\d*")
    assert lowest(svg, "line 0") == lowest(svg, "line 1") > above + 10


def test_long_names_of_lines_stand_below_each_other():
    names = ("style-mixing of the fine layers", "and pixel views of them beside")
    chart = Chart(series=tuple(Series(name=name, x=(0.0, 1.0), y=(0.0, 1.0)) for name in names))
    first, second = (lowest(chart_svg(chart), name) for name in names)
    assert second > first + 10
