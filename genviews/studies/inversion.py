"""What an inversion came to: its verdict, the spread of losses and errors, the best and the worst.

Every view starts from a reconstruction, so views can be no better than these numbers allow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from genviews.invert.job import spread
from genviews.invert.quality import ImageQuality
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
from genviews.studies.result import Gate, Record, Result
from genviews.types import Status

__all__ = ["Inverted", "images_csv", "inversion_result"]

_NAMES = {
    "loss": "Inversion loss",
    "start_loss": "Inversion loss at the start",
    "l1": "Mean absolute error (pixels span 2)",
    "l2": "Mean squared error",
    "lpips_alex": "LPIPS (AlexNet)",
    "lpips_vgg": "LPIPS (VGG)",
}
_STATUS = {
    Status.CONVERGED: "converged",
    Status.STEP_LIMIT: "used every step",
    Status.START_KEPT: "kept the start",
    Status.FAILED: "failed",
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


def inversion_result(
    title: str,
    qualities: Sequence[ImageQuality],
    *,
    ranked_by: str,
    best: Sequence[Inverted] = (),
    worst: Sequence[Inverted] = (),
    record: Record,
    earlier: int = 0,
    seconds: float = 0.0,
) -> Result:
    """Sum up an inversion.

    Args:
        title: of the result.
        qualities: of every image that could be read, in the order of the source.
        ranked_by: the error that tells the best from the worst.
        best: best first.
        worst: worst first.
        record: of the run, with what could not be read.
        earlier: images that earlier runs had inverted.
        seconds: that the inversion took.

    Returns:
        The result; its data hold the number of images by status, the spread of each loss and error,
        and images inverted a second.
    """
    measures = {name: _spread_of(qualities, name) for name in _measured(qualities)}
    statuses = [one.status for one in qualities]
    made = len(qualities) + len(record.skipped) - earlier
    data = {
        **record.data,
        "images": len(qualities) + len(record.skipped),
        "inverted": len(qualities),
        "inverted_by_earlier_runs": earlier,
        "status": {s.name: statuses.count(s) for s in Status if s in statuses},
        **measures,
        "steps_mean": _mean([one.steps for one in _finished(qualities)]),
        "images_per_second": made / seconds if made > 0 and seconds > 0 else None,
    }
    blocks: list[Block] = [_table(measures), *_histogram(qualities)]
    blocks += [
        block
        for name, shown in (("Best reconstructions", best), ("Worst reconstructions", worst))
        for block in _pictures(name, shown, ranked_by)
    ]
    return Result(
        title=title,
        verdict=_verdict(qualities, record.skipped, measures),
        blocks=tuple(blocks),
        gates=_gates(statuses),
        record=Record(**{**vars(record), "data": data}),
    )


def _measured(qualities: Sequence[ImageQuality]) -> tuple[str, ...]:
    return ("start_loss", "loss", *(qualities[0].errors if qualities else ()))


def _finished(qualities: Sequence[ImageQuality]) -> list[ImageQuality]:
    return [one for one in qualities if one.status != Status.FAILED]


def _value(one: ImageQuality, name: str) -> float:
    own = {"loss": one.loss, "start_loss": one.start_loss}
    return own[name] if name in own else one.errors[name]


def _spread_of(qualities: Sequence[ImageQuality], name: str) -> dict[str, float] | None:
    """Mean, median and 90th percentile; images that failed do not count."""
    values = [_value(one, name) for one in _finished(qualities)]
    return spread(np.array([v for v in values if math.isfinite(v)]))


def _mean(values: Sequence[int]) -> float | None:
    return float(np.mean(values)) if values else None


def _verdict(
    qualities: Sequence[ImageQuality],
    skipped: Sequence[tuple[str, str]],
    measures: Mapping[str, Mapping[str, float] | None],
) -> str:
    count, every = len(qualities), len(qualities) + len(skipped)
    loss, start = measures["loss"], measures["start_loss"]
    text = f"Inverted {count:,} of {every:,} images" if skipped else f"{count:,} images inverted"
    if loss and start:
        before, after = number(start["mean"]), number(loss["mean"])
        fell = f"fell from {before} at the start to {after}"
        text += f"; the mean loss {fell if before != after else f'is {after}, as at the start'}"
    failed = len(qualities) - len(_finished(qualities))
    return text + (f"; {failed:,} failed" if failed else "") + "."


def _gates(statuses: Sequence[Status]) -> tuple[Gate, ...]:
    """Signs of an inversion that did nothing."""
    total, gates = len(statuses), []
    for status, what in (
        (Status.FAILED, "failed: the generator or the loss gave numbers that are not finite"),
        (Status.START_KEPT, "kept their start: no step of the optimisation made them better"),
    ):
        count = statuses.count(status)
        gates.append(Gate(text=f"{count:,} of {total:,} images {what}.", passed=2 * count <= total))
    return tuple(gates)


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


def _histogram(qualities: Sequence[ImageQuality]) -> list[Curves]:
    """Images by their loss, at the start and at the end."""
    ends, starts = (
        [v for v in (_value(one, name) for one in _finished(qualities)) if math.isfinite(v)]
        for name in ("loss", "start_loss")
    )
    if not ends:
        return []
    # One image far off must not press all others into one bar; it is counted in the last.
    top = max(float(np.quantile(ends + starts, 0.99)), max(min(ends), 1e-9) * 1.01)
    edges = np.linspace(min(0.0, *ends), top, min(40, 5 + 2 * math.isqrt(len(ends))) + 1)
    places = tuple(edges.tolist())

    # ANN401: `style` is one of the literals of `Series.style`.
    def series(name: str, values: Sequence[float], style: Any) -> Series:  # noqa: ANN401
        counts, _ = np.histogram(np.clip(values, None, top), edges)
        return Series(name=name, x=places, y=tuple(counts.tolist()), style=style)

    chart = Chart(
        x_label="loss of an image; the last bar holds all that is beyond",
        y_label="images",
        kind="count",
        series=(
            series("after the inversion", ends, "filled"),
            series("at the start", starts, "steps"),
        ),
    )
    return [Curves(title="Images by their loss", charts=(chart,))]


def _pictures(title: str, shown: Sequence[Inverted], ranked_by: str) -> list[Images]:
    if not shown:
        return []
    masked = any(one.mask is not None for one in shown)
    grey = " Pixels that the source does not hold are grey in the image, and count for nothing."
    return [
        Images(
            title=title,
            caption=f"Ranked by: {_measure(ranked_by)}. In the difference, black is none and white "
            f"is half the range of the pixels or more.{grey if masked else ''}",
            grids=tuple(_grid(one) for one in shown),
        )
    ]


def _grid(one: Inverted) -> Grid:
    errors = [f"{name.upper().replace('_', ' ')} {v:.3g}" for name, v in one.quality.errors.items()]
    captions = ("", f"loss {one.quality.loss:.3g}", ", ".join(errors))
    return Grid(
        title=one.quality.id,
        text=f"{_STATUS[one.quality.status]}, {one.quality.steps} steps",
        columns=("image", "reconstruction", "difference"),
        pictures=(
            tuple(
                Picture(pixels=pixels, caption=caption)
                for pixels, caption in zip(_three(one), captions, strict=True)
            ),
        ),
    )


def _three(one: Inverted) -> tuple[Float[Tensor, "C H W"], ...]:
    """Image, reconstruction, and their difference: black is none, white is 1 (half the range)."""
    known = torch.ones_like(one.image[:1]) if one.mask is None else one.mask
    image = torch.where(known > 0, one.image, torch.zeros_like(one.image))
    difference = (one.reconstruction - image).abs().clamp(max=1.0) * (known > 0)
    return image, one.reconstruction, 2 * difference - 1


def images_csv(qualities: Sequence[ImageQuality], skipped: Sequence[tuple[str, str]]) -> str:
    """One line an image, those that were skipped at the end with status SKIPPED."""
    errors = tuple(qualities[0].errors) if qualities else ()
    names = ("loss", "start_loss", *errors)
    columns = ["id", "status", "loss", "start_loss", "steps", *errors, "source_hash", "reason"]
    rows: list[list[object]] = []
    for one in qualities:
        loss, start, *rest = (_rounded(_value(one, name)) for name in names)
        rows.append([one.id, one.status.name, loss, start, one.steps, *rest, one.source_hash, None])
    gap: list[object] = [None] * (len(columns) - 3)
    rows += [[name, "SKIPPED", *gap, reason] for name, reason in skipped]
    return csv_text(columns, rows)


def _rounded(value: float) -> float | None:
    return float(f"{value:.7g}") if math.isfinite(value) else None
