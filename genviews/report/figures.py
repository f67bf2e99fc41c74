"""The report's figures as inline SVG: gains with intervals, and accuracy against alpha.

Matplotlib draws with placeholder colours that are then replaced by CSS variables, so that one
figure reads well on a light page, a dark page and paper. Text stays text: it can be searched, read
aloud and scaled.
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Sequence
from html import escape

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from genviews.ensemble.result import AlphaCurve, Row
from genviews.report.tables import cells, is_significant, percent, points

__all__ = [
    "alpha_figure",
    "gain_figure",
    "gain_limits",
    "new_figure",
    "style_axes",
    "svg_element",
]

# Placeholder colours, one for each CSS variable of page.css.
_VARIABLES = {"ink": "#010101", "muted": "#020202", "line": "#030303"}
_VARIABLES |= {"accent": "#040404", "good": "#050505", "bad": "#060606", "paper": "#070707"}
INK, MUTED, LINE = _VARIABLES["ink"], _VARIABLES["muted"], _VARIABLES["line"]
ACCENT, GOOD, BAD, PAPER = (_VARIABLES[name] for name in ("accent", "good", "bad", "paper"))


def gain_limits(rows: Sequence[Row]) -> tuple[float, float]:
    """Common limits of the gain axis in points: every interval and zero, with room at both ends.

    "Reconstruction only" is a control that usually falls far behind; it does not stretch the axis,
    or the rows that matter would shrink to a dot.
    """
    ends = [
        100 * end for row in rows for end in row.gain_interval if row.views != ("reconstruction",)
    ]
    low, high = min([*ends, 0.0]), max([*ends, 0.0])
    margin = max(0.08 * (high - low), 0.1)
    return low - margin, high + margin


def gain_figure(rows: Sequence[Row], limits: tuple[float, float]) -> str:
    """A dot and its 95 % interval for each row, against the single image at zero.

    A filled dot is significant after Holm's correction, a hollow one is not: the reading does not
    hang on colour.

    Args:
        rows: the rows of one classifier that are compared with its single image.
        limits: of the axis, in percentage points, from `gain_limits` over all classifiers.

    Returns:
        An `<svg>` element.
    """
    figure = new_figure(6.4, 0.62 + 0.28 * len(rows))
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    style_axes(axes)
    axes.axvline(0.0, color=MUTED, linewidth=1.0, zorder=1)
    for place, row in enumerate(rows):
        _draw_gain(axes, place, row, limits)
    axes.set_yticks(range(len(rows)), [_short(row.name) for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(*limits)
    axes.set_xlabel("gain over the single image, percentage points")
    axes.grid(axis="x", color=LINE, linewidth=0.6)
    axes.tick_params(axis="y", length=0)
    texts = "; ".join(
        f"{row.name} {points(row.gain)}, interval {cells(row).gain_interval}" for row in rows
    )
    who = rows[0].classifier if rows else "nothing"
    return svg_element(
        figure, f"Gains of the classifier trained on {who}, in points: {texts}.", fit=True
    )


def _draw_gain(axes: Axes, place: int, row: Row, limits: tuple[float, float]) -> None:
    color = MUTED
    if is_significant(row):
        color = GOOD if row.gain > 0 else BAD
    low, high = (100 * end for end in row.gain_interval)
    axes.plot(
        [low, high], [place, place], color=color, linewidth=2.0, zorder=2, solid_capstyle="butt"
    )
    face = color if is_significant(row) else PAPER
    gain = 100 * row.gain
    marker = "<" if gain < limits[0] else ">" if gain > limits[1] else "o"
    shown = min(max(gain, limits[0]), limits[1])
    axes.plot([shown], [place], marker, ms=7, color=color, mfc=face, zorder=3, clip_on=False)
    axes.annotate(
        points(row.gain),
        xy=(1.0, place),
        xycoords=("axes fraction", "data"),
        xytext=(6, 0),
        textcoords="offset points",
        va="center",
        color=INK if is_significant(row) else MUTED,
        fontweight="bold" if is_significant(row) else "normal",
    )


def alpha_figure(curve: AlphaCurve, row: Row | None) -> str:
    """Accuracy against alpha on calibration (dashed) and test (solid), the chosen alpha marked.

    Args:
        curve: the two curves.
        row: the table's row of that curve, for the chosen alpha; None draws the curves alone.

    Returns:
        An `<svg>` element.
    """
    figure = new_figure(4.1, 2.6)
    axes = figure.add_axes((0.165, 0.19, 0.815, 0.7))
    style_axes(axes)
    calibration, test = ([100 * v for v in values] for values in (curve.calibration, curve.test))
    axes.plot(curve.alphas, calibration, color=MUTED, linewidth=1.4, dashes=(4, 2.5))
    axes.plot(curve.alphas, test, color=ACCENT, linewidth=1.8)
    chosen = "no alpha was chosen"
    if row is not None and row.alpha is not None:
        _mark_alpha(axes, row.alpha, 100 * row.accuracy, calibration + test)
        chosen = f"chosen alpha {row.alpha:.2f}, test accuracy {percent(row.accuracy)} %"
    axes.set_xlim(-0.03, 1.03)
    axes.set_xticks([0.0, 0.25, 0.5, 0.75, 1.0], ["0", "0.25", "0.5", "0.75", "1"])
    axes.set_xlabel("alpha: 0 image alone, 1 views alone")
    axes.set_ylabel("accuracy, %")
    axes.grid(axis="y", color=LINE, linewidth=0.6)
    spread = max(calibration + test) - min(calibration + test)
    axes.margins(y=0.12)
    if spread < 0.2:  # a flat line in the middle, not magnified rounding
        middle = (max(calibration + test) + min(calibration + test)) / 2
        axes.set_ylim(middle - 0.5, middle + 0.5)
    ends = f"test {percent(curve.test[0])} % at alpha 0 and {percent(curve.test[-1])} % at alpha 1"
    who = f"{curve.row}, classifier trained on {curve.classifier}"
    return svg_element(figure, f"Accuracy against alpha for {who}: {ends}; {chosen}.")


def _mark_alpha(axes: Axes, alpha: float, accuracy: float, values: Sequence[float]) -> None:
    axes.axvline(alpha, color=INK, linewidth=1.0, dashes=(1.5, 2), zorder=1)
    axes.plot([alpha], [accuracy], "o", markersize=6, color=ACCENT, markeredgecolor=PAPER, zorder=4)
    left = alpha > 0.55
    axes.annotate(
        f"chosen {alpha:.2f}",
        xy=(alpha, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(-4 if left else 4, 3),
        textcoords="offset points",
        ha="right" if left else "left",
        va="bottom",
        color=INK,
    )


def _short(text: str, most: int = 34) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of this size in inches, for SVG."""
    figure = Figure(figsize=(width, height), facecolor="none")
    FigureCanvasSVG(figure)
    return figure


def style_axes(axes: Axes) -> None:
    """Give the axes the page's colours and no box."""
    axes.set_facecolor("none")
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(MUTED)
    axes.tick_params(colors=INK, labelsize=10.5, length=3, color=MUTED)
    for axis in (axes.xaxis, axes.yaxis):
        axis.label.set_color(MUTED)
        axis.label.set_fontsize(10)


def svg_element(figure: Figure, description: str, *, fit: bool = False) -> str:
    """Save as an `<svg>` element with the page's colour variables and ids of its own."""
    out = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": description, "font.size": 10.5}):
        # Fitting the box to the labels draws everything twice.
        box = "tight" if fit else None
        figure.savefig(out, format="svg", bbox_inches=box, pad_inches=0.06, metadata=nothing)
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
    label = escape(description, quote=True)
    return re.sub(r"<svg ", f'<svg role="img" aria-label="{label}" ', text, count=1).strip()


def _longhand(found: re.Match[str]) -> str:
    """`font: bold 9px 'DejaVu Sans', ...` as weight and size, without the family."""
    weight = "bold" if "bold" in found[1] or "700" in found[1] else "normal"
    return f"font-weight: {weight}; font-size: {found[2]}"
