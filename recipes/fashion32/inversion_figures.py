"""Figures of the inversion study: quality by steps, tasks of two inversions, best and worst."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

from genviews.data import ImageSet
from genviews.files import atomic_write_bytes
from genviews.types import Inversion

__all__ = ["draw"]

POINTS = 100.0  # per unit of accuracy


def draw(
    record: Mapping[str, Any], images: ImageSet, inversion: Inversion, folder: Path
) -> dict[str, Path]:
    """Write the figures as PNG into a folder; returns name -> path."""
    figures = {
        "steps": _steps(record["table_2"]["rows"]),
        "tasks": _tasks(record["figure_15"]["half"]),
        "extremes": _extremes(record["figure_10"], images, inversion),
    }
    paths = {}
    for name, figure in figures.items():
        data = io.BytesIO()
        figure.savefig(data, format="png", dpi=150, bbox_inches="tight")
        paths[name] = folder / f"{name}.png"
        atomic_write_bytes(paths[name], data.getvalue())
    return paths


def _steps(rows: list[dict[str, Any]]) -> Figure:
    figure = Figure(figsize=(8, 3))
    left, right = figure.subplots(1, 2)
    steps = [row["steps"] for row in rows]
    for name in rows[0]["distances"]:
        left.plot(steps, [row["distances"][name] for row in rows], marker=".", label=name.upper())
    left.set(xlabel="optimisation steps", ylabel="mean distance to the images", ylim=(0, None))
    left.legend(frameon=False)
    accuracy = [POINTS * row["accuracy"]["accuracy"] for row in rows]
    low, high = zip(*(row["accuracy"]["interval"] for row in rows), strict=True)
    right.plot(steps, accuracy, marker=".")
    right.fill_between(steps, [POINTS * x for x in low], [POINTS * x for x in high], alpha=0.2)
    first = rows[0]["accuracy"]
    right.axhline(POINTS * (first["accuracy"] - first["gain"]), linestyle="--", color="0.4")
    right.annotate(
        "on the images",
        (steps[-1], POINTS * (first["accuracy"] - first["gain"])),
        ha="right",
        va="bottom",
        color="0.4",
    )
    right.set(xlabel="optimisation steps", ylabel="accuracy on reconstructions, %")
    return _plain(figure)


def _tasks(figure15: Mapping[str, Any]) -> Figure:
    figure = Figure(figsize=(4, 3.6))
    axes = figure.subplots()
    for method, tasks in figure15["gains"]["pixel"].items():
        ours = [POINTS * task["gain"]["gain"] for task in tasks]
        theirs = [POINTS * t["gain"]["gain"] for t in figure15["gains"]["in-domain"][method]]
        r = figure15["correlation"][method]
        label = method
        if r is not None:
            low, high = r["interval"]
            label = f"{method}: r = {r['r']:.2f} [{low:.2f}, {high:.2f}]"
        axes.plot(theirs, ours, "o", label=label, alpha=0.7)
    axes.axhline(0, color="0.8", zorder=0)
    axes.axvline(0, color="0.8", zorder=0)
    axes.set(
        xlabel="gain with In-Domain inversion, points",
        ylabel="gain with our inversion, points",
        title="views with half of the weight",
    )
    axes.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.18))
    return _plain(figure)


def _extremes(found: Mapping[str, Any], images: ImageSet, inversion: Inversion) -> Figure:
    figure = Figure(figsize=(8, 4))
    place = {name: i for i, name in enumerate(images.ids)}
    columns = len(found["best"])
    grid = figure.subplots(4, columns, squeeze=False)
    for row, kind in enumerate(("best", "worst")):
        for column, item in enumerate(found[kind]):
            index = place[item["id"]]
            for offset, picture in enumerate(
                (images.images[index], inversion.reconstructions[index])
            ):
                axes = grid[2 * row + offset, column]
                shown = ((picture.detach().cpu() + 1) / 2).clamp(0, 1).movedim(0, -1)
                axes.imshow(torch.squeeze(shown, -1).numpy(), cmap="gray", vmin=0, vmax=1)
                axes.set(xticks=[], yticks=[])
                if offset == 0:
                    axes.set_title(f"{item['class']}, {item['loss']:.3f}", fontsize=8)
        grid[2 * row, 0].set_ylabel(f"{kind}:\nimage", fontsize=8)
        grid[2 * row + 1, 0].set_ylabel("recon-\nstruction", fontsize=8)
    return _plain(figure)


def _plain(figure: Figure) -> Figure:
    for axes in figure.axes:
        if axes.get_xlabel():
            axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    return figure
