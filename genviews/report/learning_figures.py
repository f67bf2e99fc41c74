"""Figures of the learning arrow as inline SVG: rows with intervals, sweeps, and a training.

As those of `genviews.report.figures`, in colours that the page sets.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

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
from genviews.report.learning_tables import row_verdict
from genviews.report.tables import percent
from genviews.represent.run import StepRecord
from genviews.studies.learning.compare import RowSummary
from genviews.studies.learning.result import probe_name
from genviews.studies.learning.study import LearningStudy

__all__ = ["SWEEPS", "rows_figure", "sweep_figure", "training_figures"]

_LETTER = 0.078  # inches of a letter of a row's name, on average

Definition = Mapping[str, Any]


def _std(row: Definition) -> float:
    return float(row["views"].rpartition("_")[2]) if row["views"] else 0.0


def _share(row: Definition) -> float:
    ends = {"real": 0.0, "generated": 1.0}
    return ends[row["data"]] if row["share"] is None else float(row["share"])


# Table -> the words under the axis, a row's place on it, and whether it is logarithmic.
SWEEPS: Mapping[str, tuple[str, Callable[[Definition], float], bool]] = {
    "figure5": ("deviation of the Gaussian step; 0 is no latent view", _std, False),
    "figure6": ("unique samples, times the base", lambda row: float(row["ratio"]), True),
    "figure8": ("unique samples, times the base", lambda row: float(row["ratio"]), True),
    "figure9": ("share of generated samples", _share, False),
    "training-time": ("share of the updates", lambda row: float(row["updates"]), False),
    "pool": ("different views of each sample", lambda row: float(row["pool"] or 1), True),
}


def rows_figure(study: LearningStudy) -> str:
    """A dot and its 95 % interval for each row: the linear probe, beside it neighbours and VOC.

    The reference is a line. A filled dot differs from it significantly after Holm's correction, a
    hollow one does not: the reading does not hang on colour. What was never trained does not
    stretch the axis; it may lie beyond.

    Returns:
        An `<svg>` element.
    """
    height = 0.75 + 0.28 * len(study.rows)
    names = max(len(row.name) for row in study.rows) * _LETTER + 0.2
    panels, gap = len(study.probes), 0.75
    width = max(2.2 + 3.6 * panels, names + 2.75 * panels)
    figure = new_figure(width, height)
    panel = (width - names - panels * gap) / panels
    told = []
    for place, probe in enumerate(study.probes):
        left = (names + place * (panel + gap)) / width
        axes = figure.add_axes((left, 0.5 / height, panel / width, 1 - 0.75 / height))
        _draw_rows(axes, study, probe, names=place == 0)
        told += [
            f"{row.name} {probe_name(probe, inside=True)} {percent(row.accuracy[probe].mean, 1)} %"
            for row in study.rows
        ]
    return svg_element(figure, f"{study.name}, accuracy on test: {'; '.join(told)}.")


def _draw_rows(axes: Axes, study: LearningStudy, probe: str, *, names: bool) -> None:
    style_axes(axes)
    limits = _limits(study, probe)
    reference = next(row for row in study.rows if row.name == study.reference)
    axes.axvline(100 * reference.accuracy[probe].mean, color=MUTED, linewidth=1.0, zorder=1)
    for place, row in enumerate(study.rows):
        _draw_row(axes, place, row, probe, row_verdict(study, row, probe), limits)
    axes.set_yticks(
        range(len(study.rows)),
        [row.name for row in study.rows] if names else [""] * len(study.rows),
    )
    axes.set_ylim(len(study.rows) - 0.4, -0.6)
    axes.set_xlim(*limits)
    axes.set_xlabel(f"{probe_name(probe, inside=True)}, %")
    axes.grid(axis="x", color=LINE, linewidth=0.6)
    axes.tick_params(axis="y", length=0, pad=9)  # room for a marker at the edge


def _draw_row(
    axes: Axes,
    place: int,
    row: RowSummary,
    probe: str,
    verdict: str,
    limits: tuple[float, float],
) -> None:
    color = {"better": GOOD, "worse": BAD, "reference": INK}.get(verdict, MUTED)
    found = row.accuracy[probe]
    low, high = (min(max(100 * end, limits[0]), limits[1]) for end in found.interval)
    axes.plot(
        [low, high], [place, place], color=color, linewidth=2.0, zorder=2, solid_capstyle="butt"
    )
    value = 100 * found.mean
    marker = "<" if value < limits[0] else ">" if value > limits[1] else "o"
    face = PAPER if verdict == "not significant" else color
    shown = min(max(value, limits[0]), limits[1])
    axes.plot([shown], [place], marker, ms=7, color=color, mfc=face, zorder=3, clip_on=False)
    axes.annotate(
        percent(found.mean, 1),
        xy=(1.0, place),
        xycoords=("axes fraction", "data"),
        xytext=(8, 0),
        textcoords="offset points",
        va="center",
        color=MUTED if verdict == "not significant" else INK,
        fontweight="bold" if verdict in ("better", "worse") else "normal",
    )


def _limits(study: LearningStudy, probe: str) -> tuple[float, float]:
    """Of the axis in percent: the intervals of all that was trained, with room at both ends."""
    kinds = {name: row["data"] for name, row in study.facts["definitions"].items()}
    trained = [row for row in study.rows if kinds[row.name] != "none"] or list(study.rows)
    ends = [100 * end for row in trained for end in row.accuracy[probe].interval]
    margin = max(0.08 * (max(ends) - min(ends)), 0.1)
    return min(ends) - margin, max(ends) + margin


def sweep_figure(study: LearningStudy) -> str:
    """Accuracy of both probes against what a table sweeps; "" for a table that sweeps nothing.

    Returns:
        An `<svg>` element.
    """
    if study.name not in SWEEPS or len(study.rows) < 2:
        return ""
    label, place, logarithmic = SWEEPS[study.name]
    definitions = study.facts["definitions"]
    rows = sorted(study.rows, key=lambda row: place(definitions[row.name]))
    at = [place(definitions[row.name]) for row in rows]
    figure = new_figure(6.4, 3.4)
    axes = figure.add_axes((0.095, 0.155, 0.765, 0.8))
    style_axes(axes)
    if logarithmic:
        axes.set_xscale("log")
    lines = (("linear", ACCENT, (1, 0), -1), ("knn", MUTED, (4, 2.5), 1))
    for probe, color, dashes, side in lines:
        means = [100 * row.accuracy[probe].mean for row in rows]
        low = [100 * (row.accuracy[probe].mean - row.accuracy[probe].interval[0]) for row in rows]
        high = [100 * (row.accuracy[probe].interval[1] - row.accuracy[probe].mean) for row in rows]
        axes.errorbar(
            _beside(at, side, logarithmic=logarithmic),
            means,
            yerr=[low, high],
            color=color,
            dashes=dashes,
            marker="o",
            markersize=5,
            linewidth=1.6,
            elinewidth=1.2,
            capsize=2.5,
        )
        _name_line(axes, means[-1], "linear probe" if probe == "linear" else "neighbours", color)
    axes.set_xticks(at, _tick_labels(at, logarithmic=logarithmic))
    axes.minorticks_off()
    axes.set_xlabel(label)
    axes.set_ylabel("accuracy, %")
    axes.grid(axis="y", color=LINE, linewidth=0.6)
    told = "; ".join(
        f"{value:g}: {percent(row.accuracy['linear'].mean, 1)} and "
        f"{percent(row.accuracy['knn'].mean, 1)} %"
        for value, row in zip(at, rows, strict=True)
    )
    return svg_element(figure, f"Linear probe and neighbours against {label}: {told}.")


def _beside(at: Sequence[float], side: int, *, logarithmic: bool) -> list[float]:
    """Places moved by a hair, so that the intervals of two lines do not hide each other."""
    if logarithmic:
        return [value * (max(at) / min(at)) ** (0.004 * side) for value in at]
    return [value + 0.004 * side * (max(at) - min(at)) for value in at]


def _tick_labels(at: Sequence[float], *, logarithmic: bool) -> list[str]:
    """A label for each ascending place, empty where it would touch the last one."""
    places = [math.log(value) for value in at] if logarithmic else list(at)
    span, last, labels = places[-1] - places[0], -math.inf, []
    for value, place in zip(at, places, strict=True):
        free = place - last >= 0.06 * span
        labels.append(f"{value:g}" if free else "")
        last = place if free else last
    return labels


def _name_line(axes: Axes, end: float, name: str, color: str) -> None:
    axes.annotate(
        name,
        xy=(1.0, end),
        xycoords=("axes fraction", "data"),
        xytext=(4, 0),
        textcoords="offset points",
        va="center",
        color=color,
    )


# What is looked at while training -> the words of its figure.
_MONITORS = {
    "knn": "nearest neighbours on val, accuracy",
    "rankme": "effective rank of the features",
    "alignment": "distance of two views of a sample (low: alike)",
    "uniformity": "uniformity of the projections (0: collapsed)",
}


def training_figures(history: Sequence[StepRecord]) -> list[tuple[str, str]]:
    """The loss of a training, and what was looked at beside it, against updates.

    Returns:
        A caption and an `<svg>` element each.
    """
    if not history:
        return []
    lines = {"loss": [(record.step, record.loss) for record in history]}
    for name in _MONITORS:
        found = [(r.step, r.monitors[name]) for r in history if name in r.monitors]
        lines |= {name: found} if found else {}
    return [
        (_MONITORS.get(name, name), _line_figure(name, points)) for name, points in lines.items()
    ]


def _line_figure(name: str, points: Sequence[tuple[int, float]]) -> str:
    figure = new_figure(4.1, 2.4)
    axes = figure.add_axes((0.165, 0.2, 0.8, 0.75))
    style_axes(axes)
    steps, values = [step for step, _ in points], [value for _, value in points]
    marker = "o" if len(points) < 8 else ""
    axes.plot(steps, values, color=ACCENT, linewidth=1.6, marker=marker, markersize=4)
    axes.set_xlabel("updates")
    axes.set_xlim(left=0)
    axes.grid(axis="y", color=LINE, linewidth=0.6)
    finite = [value for value in values if math.isfinite(value)]
    if finite and max(finite) - min(finite) < 1e-6:  # a flat line, not magnified round-off
        axes.set_ylim(min(finite) - 0.5, max(finite) + 0.5)
    words = _MONITORS.get(name, name)
    return svg_element(
        figure, f"{words}: {values[0]:.4g} after {steps[0]}, {values[-1]:.4g} after {steps[-1]}."
    )
