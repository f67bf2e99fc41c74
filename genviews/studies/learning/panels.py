"""Panels of views: what an encoder is shown of a few samples, a line each.

    anchor, T_x of it | view, T_x of it | view, T_x of it | ...

A column is a tensor first (`view_columns`) and then a part of a picture (`view_panel`).

Source: Jahanian et al. 2022, arXiv:2106.05258, figures 4, 7, 10 and 11.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from genviews.checks import check_count, fail
from genviews.report.draw import INK, MUTED, new_figure
from genviews.report.pictures import tile_size, to_picture
from genviews.represent.plan import SamplePlan
from genviews.represent.stream import ViewStream
from genviews.studies.learning.data import latent_views
from genviews.studies.learning.row import LearningRow
from genviews.studies.learning.setting import LearningSetting

__all__ = ["ViewColumn", "view_columns", "view_panel"]

_DPI = 100
_GAP, _WIDE, _MARGIN = 4, 20, 8  # pixels between columns, between groups of them, and around all
_LINE, _LETTER = 17, 7.5  # pixels of a line of text, and of a letter on average


@dataclass(frozen=True, kw_only=True, eq=False)
class ViewColumn:
    """One column of a panel.

    Args:
        group: "anchor", or the name of the row whose views these are.
        title: of the column in its group.
        images: of each sample, in [-1, 1].
    """

    group: str
    title: str
    images: Float[Tensor, "B C H W"]


def view_panel(
    rows: Sequence[LearningRow],
    setting: LearningSetting,
    *,
    samples: int | Sequence[int] = 6,
    views: int = 1,
    seed: int = 0,
) -> Image.Image:
    """Draw the columns of `view_columns`, which explains the arguments, under their titles.

    Small images are enlarged pixel by pixel, large ones reduced.

    Returns:
        A colour picture with a line for each sample.
    """
    return _draw(view_columns(rows, setting, samples=samples, views=views, seed=seed))


def view_columns(
    rows: Sequence[LearningRow],
    setting: LearningSetting,
    *,
    samples: int | Sequence[int] = 6,
    views: int = 1,
    seed: int = 0,
) -> list[ViewColumn]:
    """Return anchors, then the views of each row, each followed by its pixel view T_x.

    Views and T_x are those of a training with this seed at its first visit of a sample, whether the
    row itself asks for T_x or not. Without pixel views in the setting, the columns of T_x are left
    out.

    Args:
        rows: of generated or mixed data, with latent views. Their anchors are the same images.
        setting: of the study.
        samples: B sample ids, or B alone for those from 0 to B - 1.
        views: how many of an anchor's positives are shown, the first of its pool.
        seed: of T_x.

    Raises:
        ValueError: no row or sample, a row without latent views, no generator, or views that it
            cannot have.

    Example:
        >>> from genviews import ToyGenerator
        >>> from genviews.represent.config import RepresentationTraining
        >>> from genviews.represent.schedule import StepCosine
        >>> setting = LearningSetting(
        ...     training=lambda n: RepresentationTraining(schedule=StepCosine(steps=n, peak=0.03)),
        ...     updates=1,
        ...     base=8,
        ...     generator=ToyGenerator(),
        ... )
        >>> rows = [LearningRow(name="Gaussian", views="gaussian_all_0.20")]
        >>> [(c.group, c.title) for c in view_columns(rows, setting)]
        [('anchor', 'image'), ('Gaussian', 'view')]
    """
    ids = tuple(range(samples)) if isinstance(samples, int) else tuple(samples)
    check_count(len(ids), "number of samples")
    check_count(views, "views")
    check_count(len(rows), "number of rows")
    columns: list[ViewColumn] = []
    for row in rows:
        plain, pixels = _images(row, setting, ids, views, seed)
        if not columns:
            columns += _pair("anchor", "image", 0, plain, pixels)
        # Rows differ in the space of their views, not in their samples.
        assert float((plain[:, 0] - columns[0].images).abs().mean()) < 0.01
        for view in range(1, views + 1):
            title = "view" if views == 1 else f"view {view}"
            columns += _pair(row.name, title, view, plain, pixels)
    return columns


def _images(
    row: LearningRow, setting: LearningSetting, ids: Sequence[int], views: int, seed: int
) -> tuple[Tensor, Tensor | None]:
    """Anchors and views (B, 1+K, C, H, W) as they are rendered, and with T_x."""
    if row.views is None:
        fail(
            f"row {row.name!r}",
            expected="latent views",
            got=f"{row.data} data without",
            remedy="leave the row out, its anchors and T_x are the first columns",
        )
    # A batch is filled up to its size, and each sample is rendered by itself below.
    small = replace(setting, render_batch=1 + views)
    made = latent_views(replace(row, positives=views, pool=None), small)
    plain = made(ids).images
    if setting.pixels is None:
        return plain, None
    seen: list[Tensor] = []
    for one in ids:  # a batch of one has the number of its sample
        plan = SamplePlan(batch_size=1)
        with ViewStream(
            made, plan, start=one, pixels=setting.pixels, prefetch=0, pixel_seed=seed
        ) as stream:
            seen.append(next(stream).images)
    return plain, torch.cat(seen)


def _pair(
    group: str, title: str, view: int, plain: Tensor, pixels: Tensor | None
) -> list[ViewColumn]:
    found = [ViewColumn(group=group, title=title, images=plain[:, view])]
    if pixels is not None:
        title = f"$T_x$({title})"  # as matplotlib sets formulas
        found.append(ViewColumn(group=group, title=title, images=pixels[:, view]))
    return found


def _draw(columns: Sequence[ViewColumn]) -> Image.Image:
    tile_width, tile_height = tile_size(columns[0].images.shape[-1], columns[0].images.shape[-2])
    groups = [(name, list(part)) for name, part in groupby(columns, key=lambda c: c.group)]
    spans = [len(part) * (tile_width + _GAP) - _GAP for _, part in groups]
    names = [
        textwrap.wrap(name, max(8, int(span / _LETTER)))
        for (name, _), span in zip(groups, spans, strict=True)
    ]
    head = _MARGIN + _LINE * (max(map(len, names)) + 1)
    samples = len(columns[0].images)
    width = 2 * _MARGIN + sum(spans) + _WIDE * (len(groups) - 1)
    height = head + samples * (tile_height + _GAP) - _GAP + _MARGIN
    sheet = _Sheet(width, height)
    left = _MARGIN
    for (_, part), span, lines in zip(groups, spans, names, strict=True):
        for place, line in enumerate(reversed(lines), start=2):
            sheet.text(line, left + span / 2, head - _LINE * place, bold=True)
        for column in part:
            sheet.text(column.title, left + tile_width / 2, head - _LINE)
            for row, image in enumerate(column.images):
                top = head + row * (tile_height + _GAP)
                sheet.picture(to_picture(image), left, top, tile_width, tile_height)
            left += tile_width + _GAP
        left += _WIDE - _GAP
    return sheet.image()


class _Sheet:
    """A figure that is addressed in pixels from its top left corner."""

    def __init__(self, width: int, height: int) -> None:
        self._width, self._height = width, height
        self._figure: Figure = new_figure(width / _DPI, height / _DPI)

    def text(self, words: str, centre: float, top: float, *, bold: bool = False) -> None:
        """Write one line; its base is the same for all words."""
        self._figure.text(
            centre / self._width,
            1 - (top + 0.75 * _LINE) / self._height,
            words,
            ha="center",
            va="baseline",
            fontsize=9,
            fontweight="bold" if bold else "normal",
            color=INK if bold else MUTED,
            parse_math=not bold,  # a row's name may hold a dollar
        )

    def picture(self, picture: Image.Image, left: int, top: int, width: int, height: int) -> None:
        """Draw a picture into a box, as large as its shape allows."""
        bottom = self._height - top - height
        box = (
            left / self._width,
            bottom / self._height,
            width / self._width,
            height / self._height,
        )
        axes = self._figure.add_axes(box)
        axes.set_axis_off()
        axes.imshow(np.asarray(picture.convert("RGB")))

    def image(self) -> Image.Image:
        """The figure as a picture."""
        out = io.BytesIO()
        self._figure.savefig(out, format="png", dpi=_DPI, facecolor="white")
        return Image.open(out).convert("RGB")
