"""What a telephone shows: nothing that is cut without a sign of it, and figures that can be read.

A page 390 pixels wide has 361 for what it shows (`padding` of the body on both sides). These tests
read the page; how it looks was seen in Chromium at 390 and 1,200 pixels.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from importlib.resources import files

import pytest
import torch

from genviews.report.draw import bars_svg, chart_svg
from genviews.report.web import render_page
from genviews.studies.blocks import (
    BarColumn,
    Bars,
    Chart,
    Column,
    Estimate,
    Grid,
    Images,
    Picture,
    Series,
    Table,
)
from tests.studies.results import BARS, CURVES, TABLE, result

ROOM = 361  # pixels
POINT = 4 / 3  # pixels
STYLE = files("genviews.report").joinpath("style.css").read_text()
LONG = Chart(
    title="t",
    x_label="share of the images that are seen with their generated views",
    y_label="accuracy on test",
    kind="percent",
    series=tuple(
        Series(name=f"a rather long name of series {i}", x=(0, 0.123, 1), y=(0.8, 0.85, 0.8 + i))
        for i in range(3)
    ),
)
NAMES = Bars(
    title="Gains",
    names=("style-mix, three positives and pixel views of them all", "b"),
    columns=(BarColumn(label="gain on test", values=(Estimate(-0.5, (-0.9, -0.1)), None)),),
)


@pytest.mark.parametrize(
    "draw",
    [
        *(partial(bars_svg, BARS, column) for column in BARS.columns),
        partial(bars_svg, NAMES, NAMES.columns[0]),
        *(partial(chart_svg, chart) for chart in CURVES.charts),
    ],
)
def test_figures_are_of_eleven_points_on_a_telephone(draw):
    svg = draw()
    (width,) = re.findall(r'<svg [^>]*?viewBox="0 0 ([\d.]+) [\d.]+"', svg)
    scale = min(1.0, ROOM / float(width))  # as `width: 100%` does it
    sizes = [float(size) * scale for size in re.findall(r"font-size: ([\d.]+)px", svg)]
    assert sizes
    assert min(sizes) >= 0.99 * 11 * POINT


def test_a_long_legend_costs_little():
    (width,) = re.findall(r'viewBox="0 0 ([\d.]+) [\d.]+"', chart_svg(LONG))
    assert float(width) < 1.35 * ROOM


@pytest.mark.parametrize(
    ("interval", "arrows"),
    [((-0.9, 0.02), 1), ((-0.9, 0.9), 2), ((-0.001, 0.012), 0), ((0.005, 0.9), 1)],
)
def test_an_interval_that_passes_the_axis_has_an_arrow(interval, arrows):
    inside = tuple(Estimate(0.01, (-0.01, 0.02)) for _ in range(2))
    column = BarColumn(
        label="gain", values=(*inside, Estimate(0.006, interval)), kind="points", beyond=(2,)
    )
    bars = Bars(title=f"of {interval}", names=("a", "b", "c"), columns=(column,))
    plain = replace(column, values=(*inside, Estimate(0.006, (-0.001, 0.012))))
    drawn, without = (bars_svg(bars, one).count("<use ") for one in (column, plain))
    assert drawn - without == arrows


def test_nothing_has_a_fixed_width_above_a_telephone():
    for name, number, unit in re.findall(
        r"((?<!max-)\b(?:min-)?width): ([\d.]+)(px|rem|em)", STYLE
    ):
        assert float(number) * (1 if unit == "px" else 16) <= ROOM, name


def test_what_is_wider_scrolls_and_says_so():
    wide = Table(
        title="w",
        columns=tuple(Column(name=f"column {i}") for i in range(9)),
        rows=(("word",) * 9,),
        caption="Said of the table.",
    )
    words = replace(wide, columns=wide.columns[:3], rows=(("word",) * 3,))
    two = Table(title="n", columns=(Column(name="a"), Column(name="b", kind="p")), rows=())
    cue = "Scroll the table sideways for"
    assert f"{cue} 3 columns" in render_page(result(blocks=(words,), claims=()))
    assert cue not in render_page(result(blocks=(two,), claims=()))
    tiles = Grid(pictures=((Picture(pixels=torch.zeros(1, 64, 64)),) * 12,))
    page = render_page(result(blocks=(wide, Images(title="i", grids=(tiles,)), TABLE, BARS)))
    assert "Scroll the table sideways for 9 columns." in page
    assert "Scroll sideways for 12 pictures a row." in page
    # Every table is in a box that scrolls, but those of two columns.
    for before in re.findall(r"([^\n]*\n[^\n]*\n?)<table class=\"(?:results|tiles|text)\"", page):
        assert '<div class="scroll" tabindex="0" role="region"' in before
    # What is said of a table does not scroll with it.
    for box in re.findall(r'<table class="results".*?</table>', page, flags=re.DOTALL):
        assert "<caption>" not in box
    assert page.index("Said of the table.") < page.index("column 8")
    # The line takes no room where its table does: a width in percent is of what scrolls.
    assert "(100% - var(--room) - 2px)" in STYLE
    narrow = STYLE[STYLE.index("@media (max-width: 40rem)") :]
    assert narrow.count("--room: calc(100vw - ") == 2  # of the page, and of a card
    assert "position: sticky; left: 0" in narrow  # names of rows stay
    assert "scroll, scroll" in STYLE  # the shadow where there is more


def test_a_page_of_160_pictures_of_noise_is_below_two_megabytes():
    rng = torch.Generator().manual_seed(0)
    some = [Picture(pixels=torch.rand(3, 128, 128, generator=rng) * 2 - 1) for _ in range(4)]
    blocks = [Images(title=f"part {i}", grids=(Grid(pictures=((*some,) * 20,)),)) for i in range(2)]
    page = render_page(result(blocks=(TABLE, *blocks, BARS, CURVES)))
    assert len(page) < 2_000_000
    shown = [int(width) for width in re.findall(r"aspect-ratio: (\d+) /", page)]
    assert min(shown) >= 64  # noise is what a JPEG can do least with


def test_fewer_pictures_are_shown_larger():
    smooth = torch.nn.functional.interpolate(
        torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1, size=256
    )[0]
    grid = Grid(pictures=((Picture(pixels=smooth),) * 10,) * 6)  # figure 4: six anchors
    page = render_page(result(blocks=(Images(title="i", grids=(grid,)),)))
    assert int(re.findall(r"aspect-ratio: (\d+) /", page)[0]) >= 128
