"""What an inversion came to: errors, how descents ended, and pictures of the best and the worst."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from genviews.data.source import ImageSource
from genviews.gates.pictures import status_gates
from genviews.invert.inverter import Inverter
from genviews.invert.objective import L1, L2, Term
from genviews.invert.quality import ENDED, ImageQuality, Reconstructions, ended, extremes
from genviews.invert.store import spread
from genviews.report.text import csv_text
from genviews.report.words import number
from genviews.studies.blocks import (
    Block,
    Chart,
    Column,
    Curves,
    Grid,
    Images,
    Picture,
    Series,
    Table,
)
from genviews.studies.result import Record, Result
from genviews.types import Status

__all__ = [
    "Inverted",
    "best_and_worst",
    "images_csv",
    "inversion_result",
    "measured_terms",
    "pictures",
]


_NAMES = {
    "loss": "Inversion loss",
    "start_loss": "Inversion loss at the start",
    "l1": "Mean absolute error (pixels span 2)",
    "l2": "Mean squared error",
    "lpips_alex": "LPIPS (AlexNet)",
    "lpips_vgg": "LPIPS (VGG)",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Inverted:
    """One image with its reconstruction, to look at.

    Args:
        quality: of the inversion.
        image: in [-1, 1].
        mask: 1 where a pixel is known; None: all known.
        reconstruction: as the generator drew it.
    """

    quality: ImageQuality
    image: Float[Tensor, "C H W"]
    mask: Float[Tensor, "1 H W"] | None
    reconstruction: Float[Tensor, "C H W"]


def measured_terms(inverter: Inverter) -> tuple[Term, ...]:
    """What is measured of reconstructions: L1, L2, and LPIPS where the objective has it."""
    return (L1(), L2(), *(t for t in inverter.objective.active if t.name.startswith("lpips")))


def inversion_result(
    title: str,
    qualities: Sequence[ImageQuality],
    *,
    shown: Sequence[Images] = (),
    record: Record,
    earlier: int = 0,
    seconds: float = 0.0,
) -> Result:
    """Sum up an inversion.

    Args:
        title: of the result.
        qualities: of every image that could be read, in the order of the source.
        shown: pictures of some.
        record: of the run, with what could not be read.
        earlier: images that earlier runs had inverted.
        seconds: that the inversion took.

    Returns:
        The result; its data hold the number of images by status, the spread of each loss and error,
        and images inverted a second.
    """
    statuses = [one.status for one in qualities]
    finished = [one for one in qualities if one.status != Status.FAILED]
    values: dict[str, list[float]] = {
        "start_loss": [one.start_loss for one in finished],
        "loss": [one.loss for one in finished],
        **{name: [one.errors[name] for one in finished] for name in _errors(qualities)},
    }
    finite = {name: [v for v in own if math.isfinite(v)] for name, own in values.items()}
    measures = {name: spread(np.array(own)) for name, own in finite.items()}
    made = len(qualities) + len(record.skipped) - earlier
    data = {
        **record.data,
        "images": len(qualities) + len(record.skipped),
        "inverted": len(qualities),
        "inverted_by_earlier_runs": earlier,
        "status": {s.name: statuses.count(s) for s in Status if s in statuses},
        **measures,
        "steps_mean": float(np.mean([one.steps for one in finished])) if finished else None,
        "images_per_second": made / seconds if made > 0 and seconds > 0 else None,
    }
    blocks: list[Block] = [_table(measures), *shown]
    if finite["loss"]:
        blocks.insert(1, _histogram(finite["loss"], finite["start_loss"]))
    return Result(
        title=title,
        verdict=_verdict(len(qualities), len(record.skipped), statuses, measures),
        blocks=tuple(blocks),
        record=replace(record, data=data),
    ).behind(status_gates(torch.tensor(statuses)))


def _errors(qualities: Sequence[ImageQuality]) -> tuple[str, ...]:
    return tuple(qualities[0].errors) if qualities else ()


def _verdict(
    count: int,
    skipped: int,
    statuses: Sequence[Status],
    measures: Mapping[str, Mapping[str, float] | None],
) -> str:
    every, loss, start = count + skipped, measures["loss"], measures["start_loss"]
    failed = statuses.count(Status.FAILED)
    made = count - failed
    if not made:
        return f"No image was inverted: {failed:,} of {every:,} failed."
    text = (
        f"{made:,} images inverted" if made == every else f"Inverted {made:,} of {every:,} images"
    )
    if loss and start:
        before, after = number(start["mean"]), number(loss["mean"])
        fell = f"fell from {before} at the start to {after}"
        text += f"; the mean loss {fell if before != after else f'is {after}, as at the start'}"
    return f"{text}; {ended(statuses)}."


def _table(measures: Mapping[str, Mapping[str, float] | None]) -> Table:
    keys = {"mean": "mean", "median": "median", "p90": "90 % are below"}
    return Table(
        title="How well the generator reproduces the images",
        columns=(
            Column(name="measure", priority=0),
            *(Column(name=name, kind="number") for name in keys.values()),
        ),
        rows=tuple(
            (_measure(name), *(found[key] for key in keys))
            for name, found in measures.items()
            if found is not None
        ),
        caption="Views start from reconstructions, and are no better than these numbers allow.",
    )


def _measure(name: str) -> str:
    return _NAMES.get(name, name.replace("_", " ").capitalize())


def _histogram(ends: Sequence[float], starts: Sequence[float]) -> Curves:
    """Images by their loss, at the start and at the end."""
    # One image far off must not press all others into one bar; it is counted in the last.
    top = max(float(np.quantile([*ends, *starts], 0.99)), max(min(ends), 1e-9) * 1.01)
    edges = np.linspace(min(0.0, *ends), top, min(40, 5 + 2 * math.isqrt(len(ends))) + 1)
    drawn: list[tuple[str, Sequence[float], Literal["filled", "steps"]]] = [
        ("after the inversion", ends, "filled"),
        ("at the start", starts, "steps"),
    ]
    series = []
    for name, values, style in drawn:
        counts, _ = np.histogram(np.clip(values, None, top), edges)
        places, heights = tuple(edges.tolist()), tuple(counts.tolist())
        series.append(Series(name=name, x=places, y=heights, style=style))
    chart = Chart(
        x_label="loss of an image; the last bar holds all that is beyond",
        y_label="images",
        kind="count",
        series=tuple(series),
    )
    return Curves(title="Images by their loss", charts=(chart,))


def best_and_worst(
    source: ImageSource, made: Reconstructions, ranked_by: str, count: int
) -> list[Images]:
    """Pictures of the best and of the worst reconstructions by one error (Fig. 10 of the paper)."""
    kinds = zip(("Best", "Worst"), extremes(made.qualities(), ranked_by, count), strict=True)
    found: list[Images] = []
    for kind, chosen in kinds:
        if chosen:
            batch = source.read(source.rows_of(one.id for one in chosen))
            drawn = made.select([one.id for one in chosen])
            shown = [
                Inverted(
                    quality=one,
                    image=batch.images[row],
                    mask=None if batch.masks is None else batch.masks[row],
                    reconstruction=drawn[one.id],
                )
                for row, one in enumerate(chosen)
            ]
            found.append(pictures(f"{kind} reconstructions", shown, ranked_by))
    return found


def pictures(title: str, shown: Sequence[Inverted], ranked_by: str) -> Images:
    """Each image, its reconstruction, and their difference."""
    masked = any(one.mask is not None for one in shown)
    grey = " Pixels that the source does not hold are grey in the image, and count for nothing."
    return Images(
        title=title,
        caption=f"Ranked by: {_measure(ranked_by)}. In the difference, black is none and white "
        f"is half the range of the pixels or more.{grey if masked else ''}",
        grids=tuple(_grid(one) for one in shown),
    )


def _grid(one: Inverted) -> Grid:
    errors = [f"{name.upper().replace('_', ' ')} {v:.3g}" for name, v in one.quality.errors.items()]
    known = torch.ones_like(one.image[:1]) if one.mask is None else one.mask
    image = torch.where(known > 0, one.image, torch.zeros_like(one.image))
    difference = (one.reconstruction - image).abs().clamp(max=1.0) * (known > 0)
    return Grid(
        title=one.quality.id,
        text=f"{ENDED[one.quality.status]}, {one.quality.steps} steps",
        columns=("image", "reconstruction", "difference"),
        pictures=(
            (
                Picture(pixels=image),
                Picture(pixels=one.reconstruction, caption=f"loss {one.quality.loss:.3g}"),
                Picture(pixels=2 * difference - 1, caption=", ".join(errors)),
            ),
        ),
    )


def images_csv(
    qualities: Sequence[ImageQuality],
    skipped: Sequence[tuple[str, str]],
    files: Mapping[str, str] | None = None,
) -> str:
    """One line an image, those that were skipped at the end with status SKIPPED.

    Args:
        qualities: of the others.
        skipped: (id, reason).
        files: of reconstructions, by id; there is a column for them where there are some.
    """
    columns = ["id", "status", "loss", "start_loss", "steps", *_errors(qualities)]
    columns += ["source_hash", "reason", *(["png"] if files else [])]
    rows: list[list[object]] = []
    for one in qualities:
        losses = map(_rounded, (one.loss, one.start_loss))
        errors = map(_rounded, one.errors.values())
        rows.append([one.id, one.status.name, *losses, one.steps, *errors, one.source_hash, None])
    gap: list[object] = [None] * (len(_errors(qualities)) + 4)
    rows += [[name, "SKIPPED", *gap, reason] for name, reason in skipped]
    if files:
        rows = [[*row, files[str(row[0])] if row[1] != "SKIPPED" else None] for row in rows]
    return csv_text(columns, rows)


def _rounded(value: float) -> float | None:
    return float(f"{value:.7g}") if math.isfinite(value) else None
