"""The report's figures as inline SVG: gains with intervals, and accuracy against alpha."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from genviews.ensemble.result import AlphaCurve, Row
from genviews.report.draw import (
    ACCENT,
    BAD,
    GOOD,
    INK,
    LINE,
    MUTED,
    PAPER,
    new_figure,
    style_axes,
    svg_element,
)
from genviews.report.tables import cells, is_significant, percent, points

__all__ = ["alpha_figure", "gain_figure", "gain_limits"]


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
