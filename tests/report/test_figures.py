from __future__ import annotations

import re
from dataclasses import replace

import matplotlib as mpl
import pytest

from genviews.report.figures import alpha_figure, gain_figure, gain_limits


@pytest.fixture
def rows(make_result):
    found = make_result(classifiers=("images",)).rows[1:]
    return [replace(row, p_holm=1.0) for row in found]


def test_limits_hold_every_interval_and_zero(rows):
    low, high = gain_limits(rows)
    kept = [row for row in rows if row.views != ("reconstruction",)]
    assert low < min(100 * row.gain_interval[0] for row in kept)
    assert high > max(100 * row.gain_interval[1] for row in kept)
    positive = [replace(row, gain=0.02, gain_interval=(0.01, 0.03)) for row in kept]
    assert gain_limits(positive)[0] < 0 < gain_limits(positive)[1]


def test_limits_ignore_the_reconstruction_alone(rows):
    far = [
        replace(row, gain_interval=(-0.9, -0.8)) if row.views == ("reconstruction",) else row
        for row in rows
    ]
    assert gain_limits(far) == gain_limits(rows)


def test_limits_without_rows():
    low, high = gain_limits([])
    assert low < 0 < high


def test_names_values_and_description(rows):
    text = gain_figure(rows, gain_limits(rows))
    for row in rows:
        assert f">{row.name}</text>" in text
        assert f"{row.name} {100 * row.gain:+.2f}, interval" in text


def test_filled_dot_only_where_significant(rows):
    limits = gain_limits(rows)
    hollow = "fill: var(--paper); stroke: var(--"
    plain = gain_figure(rows, limits)
    assert "var(--good)" not in plain
    assert "var(--bad)" not in plain
    assert hollow in plain
    marked = gain_figure([replace(rows[0], gain=0.01, p_holm=0.01)], limits)
    assert "fill: var(--good)" in marked
    assert hollow not in marked
    assert "var(--bad)" in gain_figure([replace(rows[0], gain=-0.01, p_holm=0.01)], limits)


def test_value_beyond_the_axis_is_drawn_at_its_edge(rows):
    inside = gain_figure([replace(rows[0], gain=0.0)], (-1.0, 1.0))
    outside = gain_figure([replace(rows[0], gain=-0.5, gain_interval=(-0.6, -0.4))], (-1.0, 1.0))
    assert "-50.00" in outside
    assert inside.count("C ") > outside.count("C ")  # a circle has curves, a triangle has none


def test_alpha_curve(make_result):
    result = make_result(classifiers=("images",))
    curve = result.curves[0]
    row = next(r for r in result.rows if r.name == curve.row)
    text = alpha_figure(curve, row)
    assert f">chosen {row.alpha:.2f}</text>" in text
    assert "stroke-dasharray" in text
    assert "chosen" not in re.sub(r"aria-label=\"[^\"]*\"", "", alpha_figure(curve, None))


def test_flat_curve_is_not_magnified(make_result):
    curve = make_result().curves[0]
    flat = replace(curve, calibration=(0.9,) * 21, test=(0.9,) * 21)
    text = alpha_figure(flat, None)
    ticks = [float(t) for t in re.findall(r">(\d\d\.?\d*)</text>", text)]
    assert max(ticks) - min(ticks) > 0.5


def test_svg_is_clean(rows):
    text = gain_figure(rows, gain_limits(rows))
    assert text.startswith("<svg ")
    assert text.endswith("</svg>")
    for part in ("http", "<?xml", "DOCTYPE", "metadata", "#010101", "#070707", "DejaVu"):
        assert part not in text


def test_global_settings_stay(rows):
    before = dict(mpl.rcParams)
    gain_figure(rows, gain_limits(rows))
    assert dict(mpl.rcParams) == before
