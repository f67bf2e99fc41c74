"""One self-contained page for an inversion: numbers, histogram, best and worst reconstructions."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from markupsafe import Markup
from matplotlib.ticker import MaxNLocator
from PIL import Image
from torch import Tensor

from genviews.invert.result import InversionResult, Picture
from genviews.report.draw import ACCENT, LINE, MUTED, new_figure, style_axes, svg_element
from genviews.report.images import png_data_uri
from genviews.report.output import write_atomic
from genviews.report.page import Fact, how_made, render_page
from genviews.report.pictures import tile_size, to_picture
from genviews.types import Status

__all__ = [
    "contact_sheet",
    "inversion_measures",
    "render_inversion_report",
    "write_inversion_report",
]

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
_GAP = 2  # pixels between the pictures of a contact sheet


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One picture with its prediction."""

    uri: str
    alt: str
    tone: str  # "right", "wrong", or "plain" without labels
    mark: str
    name: str
    confidence: str


@dataclass(frozen=True, kw_only=True)
class TileSet:
    """Pictures of one origin, e.g. the views of one perturbation."""

    title: str
    tiles: tuple[Tile, ...]


def write_inversion_report(result: InversionResult, path: str | Path) -> None:
    """Write the page of an inversion as one HTML file, atomically.

    Raises:
        OSError: the file cannot be written; no part of it is left.
    """
    write_atomic(path, render_inversion_report(result))


def render_inversion_report(result: InversionResult) -> str:
    """The page as text."""
    return render_page(
        "inversion.html",
        title=result.title,
        verdict=result.verdict,
        facts=_facts(result),
        measures=inversion_measures(result),
        histogram=Markup(_histogram(result)),
        groups=[
            ("Best reconstructions", _articles(result.best)),
            ("Worst reconstructions", _articles(result.worst)),
        ],
        ranked_by=_measure(result.ranked_by),
        masked=any(p.mask is not None for p in (*result.best, *result.worst)),
        skipped=result.skipped,
        **how_made(result.command, result.seconds, result.versions, result.config),
    )


def _measure(name: str) -> str:
    return _NAMES.get(name, name.replace("_", " ").capitalize())


def contact_sheet(result: InversionResult) -> bytes:
    """Best and worst reconstructions as one PNG: columns are images, the worst to the right.

    The rows are image, reconstruction and difference; a wider gap parts best from worst.
    """
    best, worst = ([_three(p) for p in group] for group in (result.best, result.worst))
    tiles = [[_sheet_tile(pixels) for pixels in pictures] for pictures in (*best, *worst)]
    width, height = tiles[0][0].size if tiles else (1, 1)
    gap = 4 * _GAP if best and worst else 0
    size = (max(1, len(tiles)) * (width + _GAP) + gap - _GAP, 3 * (height + _GAP) - _GAP)
    sheet = Image.new("RGB", size, "white")
    for column, pictures in enumerate(tiles):
        x = column * (width + _GAP) + (gap if column >= len(best) else 0)
        for row, tile in enumerate(pictures):
            sheet.paste(tile, (x, row * (height + _GAP)))
    out = io.BytesIO()
    sheet.save(out, "PNG", optimize=True)
    return out.getvalue()


def _sheet_tile(pixels: Tensor) -> Image.Image:
    """A picture of `tile_size`: small ones are enlarged pixel by pixel, large ones reduced."""
    picture = to_picture(pixels).convert("RGB")
    size = tile_size(*picture.size)
    method = Image.Resampling.BOX if size < picture.size else Image.Resampling.NEAREST
    return picture.resize(size, method, reducing_gap=2.0)


def _facts(result: InversionResult) -> list[Fact]:
    loss, start = result.spread_of("loss"), result.spread_of("start_loss")
    facts = [
        Fact(
            name="Images",
            value=f"{len(result.qualities):,}",
            note=f"{len(result.skipped):,} left out",
        )
    ]
    if loss and start:
        facts.append(Fact(name="Loss", value=f"{loss['mean']:.4g}", note="mean"))
        facts.append(Fact(name="Loss at the start", value=f"{start['mean']:.4g}", note="mean"))
    ranked = result.spread_of(result.ranked_by)
    if ranked:
        name = result.ranked_by.upper().replace("_", " ")
        facts.append(Fact(name=name, value=f"{ranked['mean']:.4g}", note="mean, known pixels"))
    if result.rate is not None:
        rate = f"{result.rate:,.0f}" if result.rate >= 10 else f"{result.rate:.2g}"
        facts.append(Fact(name="Images a second", value=rate, note="inverted in this run"))
    return facts


def inversion_measures(result: InversionResult) -> list[tuple[str, tuple[str, str, str]]]:
    """Each loss and error in words, with mean, median and 90th percentile as text."""
    rows = []
    for name in ("start_loss", "loss", *result.errors()):
        found = result.spread_of(name)
        if found is not None:
            numbers = [f"{found[key]:.4g}" for key in ("mean", "median", "p90")]
            rows.append((_measure(name), (numbers[0], numbers[1], numbers[2])))
    return rows


def _histogram(result: InversionResult) -> str:
    """Loss of the images at the start (outline) and at the end (filled)."""
    good = [one for one in result.qualities if one.status != Status.FAILED]
    ends = [one.loss for one in good if math.isfinite(one.loss)]
    starts = [one.start_loss for one in good if math.isfinite(one.start_loss)]
    if not ends:
        return ""
    # One image far off must not press all others into one bar; it is counted in the last.
    top = max(float(np.quantile(ends + starts, 0.99)), max(min(ends), 1e-9) * 1.01)
    bars = min(40, 5 + 2 * math.isqrt(len(ends)))
    edges = np.linspace(min(0.0, *ends), top, bars + 1)
    figure = new_figure(6.4, 2.4)
    axes = figure.add_axes((0.09, 0.2, 0.89, 0.75))
    style_axes(axes)
    axes.hist(np.clip(ends, None, top), edges.tolist(), color=ACCENT)
    axes.hist(
        np.clip(starts, None, top), edges.tolist(), histtype="step", color=MUTED, linewidth=1.4
    )
    axes.set_xlabel("loss of an image; the last bar holds all that is beyond")
    axes.set_ylabel("images")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y", color=LINE, linewidth=0.6)
    mean = f"mean {np.mean(ends):.4g} at the end, {np.mean(starts):.4g} at the start"
    return svg_element(figure, f"Histogram of the loss of {len(ends)} images: {mean}.")


def _articles(pictures: Sequence[Picture]) -> list[tuple[str, str, tuple[TileSet, ...]]]:
    """Title, text and pictures of each image."""
    names = ("image", "reconstruction", "difference")
    return [
        (
            one.quality.id,
            f"{_STATUS[one.quality.status]}, {one.quality.steps} steps",
            tuple(
                TileSet(title=name, tiles=(_tile(pixels, f"{name} of {one.quality.id}", text),))
                for name, pixels, text in zip(names, _three(one), _words(one), strict=True)
            ),
        )
        for one in pictures
    ]


def _words(one: Picture) -> tuple[str, str, str]:
    errors = [f"{name.upper().replace('_', ' ')} {v:.3g}" for name, v in one.quality.errors.items()]
    return "", f"loss {one.quality.loss:.3g}", ", ".join(errors)


def _tile(pixels: Tensor, alt: str, text: str) -> Tile:
    uri = png_data_uri(pixels)
    return Tile(uri=uri, alt=alt, tone="plain", mark="", name="", confidence=text)


def _three(one: Picture) -> tuple[Float[Tensor, "C H W"], ...]:
    """Image, reconstruction, and their difference: black is none, white is 1 (half the range)."""
    known = torch.ones_like(one.image[:1]) if one.mask is None else one.mask
    image = torch.where(known > 0, one.image, torch.zeros_like(one.image))
    difference = (one.reconstruction - image).abs().clamp(max=1.0) * (known > 0)
    return image, one.reconstruction, 2 * difference - 1
