"""Curves and bars as SVG, for a page whose style sheet sets the colours, or as files of their own.

Matplotlib draws with placeholder colours that are then replaced by CSS variables, so that one
figure reads well on a light page, a dark page and paper. Text stays text: it can be searched, read
aloud and scaled.
"""

from __future__ import annotations

import io
import itertools
import math
import re
import zlib
from dataclasses import replace
from functools import lru_cache
from html import escape
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG, RendererSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox

from genviews.report.words import value_words
from genviews.studies.blocks import BarColumn, Bars, Chart, Kind, Mark, Series
from genviews.text import printable

__all__ = ["bars_svg", "chart_svg", "standalone"]

# Placeholder colours, one for each CSS variable of the style sheet.
_VARIABLES = {"ink": "#010101", "muted": "#020202", "line": "#030303"}
_VARIABLES |= {"accent": "#040404", "good": "#050505", "bad": "#060606", "paper": "#070707"}
INK, MUTED, LINE = _VARIABLES["ink"], _VARIABLES["muted"], _VARIABLES["line"]
ACCENT, GOOD, BAD, PAPER = (_VARIABLES[name] for name in ("accent", "good", "bad", "paper"))
_LIGHT = {"ink": "#16191d", "muted": "#58616c", "line": "#d9dde2", "accent": "#1f5fbf"}
_LIGHT |= {"good": "#14713a", "bad": "#b3261e", "paper": "#ffffff"}
_LINES = (ACCENT, GOOD, BAD, INK)  # of the first series, the second, ...
_TONES = {"better": GOOD, "worse": BAD, "reference": INK}
_UNITS: dict[Kind, str] = {"percent": ", %", "points": ", percentage points"}
_DRAWN = 64  # figures that are kept: a page and its files show the same ones
_SVG_DPI = 72  # at which matplotlib draws an SVG
# Of a telephone's 390 pixels a page has 361: there a figure has its own size, and its words 11 pt.
_WIDTH, _WORDS = 360 / _SVG_DPI, 14.7
_ROW, _FOOT = 0.56, 0.75  # inches of a row of bars, and of the axis below them
_TICKS = 5  # at most, or their numbers touch
_FLAT = {"percent": 0.2, "points": 0.2}  # a spread below which a curve is a flat line
_STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "axes.labelcolor": MUTED,
    "axes.labelsize": _WORDS,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.facecolor": "none",
    "font.size": _WORDS,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "legend.fontsize": _WORDS,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "svg.fonttype": "none",
    "text.color": INK,
    "text.parse_math": False,
    **{f"{axis}tick.color": MUTED for axis in "xy"},
    **{f"{axis}tick.labelcolor": INK for axis in "xy"},
    **{f"{axis}tick.labelsize": _WORDS for axis in "xy"},
    **{f"{axis}tick.major.size": 3 for axis in "xy"},
}


@lru_cache(_DRAWN)
def bars_svg(bars: Bars, column: BarColumn) -> str:
    """A dot and its 95 % interval for each row of a measure, the row's name above.

    A filled dot stands for a difference that chance does not explain, a hollow one does not: the
    reading does not hang on colour. A triangle at the edge stands for a value or an end of an
    interval that lies beyond the axis.

    Args:
        bars: the rows.
        column: the measure, one of theirs.

    Returns:
        An `<svg>` element.
    """
    height = _ROW * len(bars.names) + _FOOT
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, height))
        axes = figure.add_axes((0.03, _FOOT / height, 0.77, 1 - _FOOT / height))
        limits = _limits(column)
        if column.level is not None:
            level = _scaled(column.level, column.kind)
            axes.axvline(level, color=MUTED, linewidth=1.0, zorder=1)
        for place, name in enumerate(bars.names):
            _draw_bar(axes, place, column, limits)
            at, ground = (0.0, place - 0.42), {"facecolor": PAPER, "edgecolor": "none", "pad": 0.5}
            axes.annotate(
                _short(name), at, xycoords=("axes fraction", "data"), va="center", bbox=ground
            )
        axes.set(xlim=limits, ylim=(len(bars.names) - 0.4, -0.75), yticks=())
        axes.set_xlabel(column.label + _UNITS.get(column.kind, ""))
        axes.xaxis.set_major_locator(MaxNLocator(_TICKS - 1))
        axes.grid(axis="x")
        told = "; ".join(
            f"{name} {column.label} {value_words(value.value, column.kind)}"
            for name, value in zip(bars.names, column.values, strict=True)
            if value is not None
        )
        return _svg_element(figure, f"{bars.title}: {told}.")


def _draw_bar(axes: Axes, place: int, column: BarColumn, limits: tuple[float, float]) -> None:
    found = column.values[place]
    if found is None:
        return
    tone = column.tones[place] if column.tones else "reference"
    color = _TONES.get(tone, MUTED)
    value = _scaled(found.value, column.kind)
    if found.interval is not None:
        ends = [_scaled(end, column.kind) for end in found.interval]
        low, high = (min(max(end, limits[0]), limits[1]) for end in ends)
        axes.hlines(place, low, high, color=color, linewidth=2.0, zorder=2)
        for end, edge, arrow in ((ends[0], limits[0], "<"), (ends[1], limits[1], ">")):
            if (end < edge) if arrow == "<" else (end > edge):
                axes.plot([edge], [place], arrow, ms=7, color=color, zorder=3, clip_on=False)
    marker = "<" if value < limits[0] else ">" if value > limits[1] else "o"
    shown = min(max(value, limits[0]), limits[1])
    face = color if tone in _TONES else PAPER
    axes.plot([shown], [place], marker, ms=7, color=color, mfc=face, zorder=3, clip_on=False)
    axes.annotate(
        value_words(found.value, column.kind),
        xy=(1.0, place),
        xycoords=("axes fraction", "data"),
        xytext=(8, 0),
        textcoords="offset points",
        va="center",
        color=INK if tone in _TONES else MUTED,
        fontweight="bold" if tone in ("better", "worse") else "normal",
    )


def _limits(column: BarColumn) -> tuple[float, float]:
    """Of the axis: every interval and the level, with room at both ends; controls may lie beyond.

    A control that falls far behind does not stretch the axis, or the rows that matter would shrink
    to a dot.
    """
    known = {place: value for place, value in enumerate(column.values) if value is not None}
    inside = {place: value for place, value in known.items() if place not in column.beyond}
    ends = [
        _scaled(end, column.kind)
        for value in (inside or known).values()
        for end in (value.value, *(value.interval or ()))
    ]
    ends += [] if column.level is None else [_scaled(column.level, column.kind)]
    low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
    margin = max(0.08 * (high - low), 1e-3 * max(abs(low), abs(high)), 1e-9)
    margin = max(margin, 0.1) if column.kind in _UNITS else margin
    return low - margin, high + margin


@lru_cache(_DRAWN)
def chart_svg(chart: Chart) -> str:
    """Lines over one pair of axes, named below it where there are several.

    Returns:
        An `<svg>` element.
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, 0.7 * _WIDTH), dpi=_SVG_DPI)
        axes = figure.add_axes((0.21, 0.2, 0.76, 0.7))
        if chart.log_x:
            axes.set_xscale("log")
        if chart.level is not None:
            level = _scaled(chart.level, chart.kind)
            axes.axhline(level, color=MUTED, linewidth=1.0, dashes=(1, 2))
        solid = itertools.cycle(_LINES)
        for place, series in enumerate(chart.series):
            quiet = series.style in ("dashed", "steps")  # there to be compared with
            color = MUTED if quiet else next(solid)
            _draw_series(axes, replace(series, x=_beside(chart, place)), chart.kind, color)
        for mark in chart.marks:
            _draw_mark(axes, mark, chart.kind)
        axes.set_xlabel(chart.x_label)
        unit = "%" if chart.kind == "percent" else ""
        axes.set_ylabel(", ".join(filter(None, (chart.y_label, unit))))
        axes.grid(axis="y")
        axes.yaxis.set_major_locator(MaxNLocator(_TICKS))
        if not chart.log_x:
            axes.xaxis.set_major_locator(MaxNLocator(_TICKS))
        _set_ticks(axes, chart)
        _set_flat(axes, chart)
        if len(chart.series) > 1:
            _draw_legend(axes, len(chart.series), _renderer(figure))
        told = "; ".join(
            f"{one.name} from {value_words(one.y[0], chart.kind)} at {one.x[0]:g} to "
            f"{value_words(one.y[-1], chart.kind)} at {one.x[-1]:g}"
            for one in chart.series
            if one.y
        )
        name = f"{chart.title or chart.y_label} against {chart.x_label}"
        return _svg_element(figure, f"{name}: {told}.", fit=True)


def _beside(chart: Chart, place: int) -> tuple[float, ...]:
    """The places of a line, moved by a hair where intervals of two lines would hide each other."""
    x = chart.series[place].x
    if not chart.series[place].low or len(chart.series) < 2:
        return x
    side = 0.004 * (2 * place - len(chart.series) + 1)
    if chart.log_x:
        return tuple(value * (max(x) / min(x)) ** side for value in x)
    return tuple(value + side * (max(x) - min(x)) for value in x)


def _draw_series(axes: Axes, series: Series, kind: Kind, color: str) -> None:
    values = [_scaled(value, kind) for value in series.y]
    if series.style in ("steps", "filled"):
        filled = series.style == "filled"
        axes.stairs(values, series.x, fill=filled, color=color, linewidth=1.4, label=series.name)
        return
    if series.low:
        low, high = ([_scaled(v, kind) for v in ends] for ends in (series.low, series.high))
        axes.vlines(series.x, low, high, color=color, linewidth=1.2, zorder=2)
    marker = "o" if series.style == "points" or series.low or len(series.x) < 9 else ""
    (line,) = axes.plot(
        series.x, values, color=color, linewidth=1.7, marker=marker, ms=4, label=series.name
    )
    if series.style == "points":
        line.set_linestyle("none")
    elif series.style == "dashed":
        line.set_dashes((4, 2.5))


def _draw_mark(axes: Axes, mark: Mark, kind: Kind) -> None:
    axes.axvline(mark.x, color=INK, linewidth=1.0, dashes=(1.5, 2), zorder=1)
    if mark.y is not None:
        at = _scaled(mark.y, kind)
        axes.plot([mark.x], [at], "o", ms=6, color=ACCENT, mec=PAPER, zorder=4)
    low, high = axes.get_xlim()
    left = mark.x > low + 0.55 * (high - low)
    axes.annotate(
        mark.label,
        xy=(mark.x, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(-4 if left else 4, 3),
        textcoords="offset points",
        ha="right" if left else "left",
        va="bottom",
    )


def _draw_legend(axes: Axes, names: int, renderer: RendererSVG) -> None:
    """Below the axis and its label, where no line can be; in one row, where the names fit."""
    foot = axes.xaxis.get_tightbbox(renderer)
    assert foot is not None
    for columns in range(names, 0, -1):
        legend = axes.legend(
            loc="upper left",
            bbox_to_anchor=(0.0, (foot.y0 - axes.bbox.y0) / axes.bbox.height),
            borderaxespad=0.3,
            columnspacing=1.2,
            handlelength=1.6,
            ncols=columns,
        )
        if legend.get_window_extent(renderer).width <= axes.bbox.width:
            return


def _set_ticks(axes: Axes, chart: Chart) -> None:
    """A tick at each place that was measured, where there are few; labels never touch."""
    places = sorted({x for series in chart.series for x in series.x})
    drawn = {series.style for series in chart.series}
    if not 1 < len(places) < 9 or drawn & {"steps", "filled", "points"}:
        return
    at = [math.log(x) for x in places] if chart.log_x else places
    last, labels = -math.inf, []
    for value, place in zip(places, at, strict=True):
        free = place - last >= 0.12 * (at[-1] - at[0])
        labels.append(f"{value:g}" if free else "")
        last = place if free else last
    axes.set_xticks(places, labels)
    axes.minorticks_off()


def _set_flat(axes: Axes, chart: Chart) -> None:
    """A flat line in the middle, not magnified round-off."""
    values = [_scaled(v, chart.kind) for one in chart.series for v in one.y]
    if not values:
        return
    low, high = min(values), max(values)
    if high - low < _FLAT.get(chart.kind, 1e-6 * max(1.0, abs(high))):
        middle, half = (low + high) / 2, 0.5
        axes.set_ylim(middle - half, middle + half)


def _scaled(value: float, kind: Kind) -> float:
    return 100 * value if kind in _UNITS else value


def _short(text: str, most: int = 36) -> str:
    text = printable(text)
    return text if len(text) <= most else text[: most - 3] + "..."


def _svg_element(figure: Figure, description: str, *, fit: bool = False) -> str:
    """Save as an `<svg>` element with the page's colour variables and ids of its own."""
    out = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    FigureCanvasSVG(figure)
    with mpl.rc_context({"svg.hashsalt": description}):
        box = _fitted(figure) if fit else None
        figure.savefig(out, format="svg", dpi=_SVG_DPI, bbox_inches=box, metadata=nothing)
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text)  # HTML knows the namespaces
    text = text.replace("xlink:href", "href")
    for name, color in _VARIABLES.items():
        text = text.replace(color, f"var(--{name})")
    text = re.sub(r"font-family: [^;\"]*;? ?", "", text)  # the page's font
    text = re.sub(r"font: ([^;\"]*?)([\d.]+px) [^;\"]*", _longhand, text)
    prefix = f"f{zlib.crc32(description.encode()):x}-"
    text = re.sub(r' id="([^"]+)"', rf' id="{prefix}\1"', text)
    text = re.sub(r'(href="#|url\(#)', rf"\g<1>{prefix}", text)
    label = escape(printable(description), quote=True)
    return re.sub(r"<svg ", f'<svg role="img" aria-label="{label}" ', text, count=1).strip()


def _fitted(figure: Figure) -> Bbox:
    """The box of all that is drawn, in inches; matplotlib's own "tight" would draw it twice."""
    return figure.get_tightbbox(_renderer(figure)).padded(0.06)


def _renderer(figure: Figure) -> RendererSVG:
    """What measures words as they will be drawn."""
    # matplotlib does not annotate its renderers.
    return RendererSVG(*figure.bbox.size, io.StringIO())  # type: ignore[no-untyped-call]


def _longhand(found: re.Match[str]) -> str:
    """`font: bold 9px 'DejaVu Sans', ...` as weight and size, without the family."""
    weight = "bold" if "bold" in found[1] or "700" in found[1] else "normal"
    return f"font-weight: {weight}; font-size: {found[2]}"


def standalone(svg: str) -> str:
    """An `<svg>` element of a page as a file of its own, on white."""
    for name, color in _LIGHT.items():
        svg = svg.replace(f"var(--{name})", color)
    spaces = 'xmlns="http://www.w3.org/2000/svg" font-family="sans-serif"'
    svg = re.sub(r"<svg ", f"<svg {spaces} ", svg, count=1)
    head, _, body = svg.partition(">")
    ground = f'<rect width="100%" height="100%" fill="{_LIGHT["paper"]}"/>'
    return f'<?xml version="1.0" encoding="utf-8"?>\n{head}>{ground}{body}\n'
