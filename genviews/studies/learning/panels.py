"""Panels of views: what an encoder is shown of a few samples, a line each.

    anchor, T_x of it | view, T_x of it | view, T_x of it | ...

A column is a tensor first (`view_columns`) and then a part of a block (`view_images`).

Source: Jahanian et al. 2022, arXiv:2106.05258, figures 4, 7, 10 and 11.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from genviews.checks import check_count, fail
from genviews.represent.plan import SamplePlan
from genviews.represent.stream import StreamedBatches
from genviews.studies.blocks import Cell, Column, Grid, Images, Note, Picture, Table
from genviews.studies.learning.data import latent_views
from genviews.studies.learning.row import LearningRow
from genviews.studies.learning.setting import LearningSetting
from genviews.studies.result import Record, Result

__all__ = ["ViewColumn", "panel_result", "view_columns", "view_images"]


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


def view_images(
    rows: Sequence[LearningRow],
    setting: LearningSetting,
    *,
    samples: int | Sequence[int] = 6,
    views: int = 1,
    seed: int = 0,
) -> Images:
    """Show the columns of `view_columns`, which explains the arguments, a line a sample."""
    ids = tuple(range(samples)) if isinstance(samples, int) else tuple(samples)
    columns = view_columns(rows, setting, samples=ids, views=views, seed=seed)
    count = "a view" if views == 1 else f"{views} views"
    pixels = "" if setting.pixels is None else ", each followed by T_x, its crop and jitter"
    grid = Grid(
        columns=tuple("T_x" if c.title.startswith("T_x") else c.group for c in columns),
        rows=tuple(f"sample {one}" for one in ids),
        pictures=tuple(
            tuple(Picture(pixels=column.images[line]) for column in columns)
            for line in range(len(ids))
        ),
    )
    return Images(
        title="What an encoder is shown",
        grids=(grid,),
        caption=f"A line a sample: the sample itself, then {count} of each kind{pixels}. An "
        "encoder learns to see that the images of a line belong together.",
    )


def panel_result(
    name: str,
    generator: str,
    rows: Sequence[LearningRow],
    views: Images,
    *,
    pixels: str | None,
    record: Record,
    left_out: Sequence[str] = (),
) -> Result:
    """Views of a few samples as a result: the pictures, and what they are.

    Args:
        name: of the figure.
        generator: as it was named.
        rows: whose views are shown.
        views: of `view_images`.
        pixels: T_x in words; None where it is not shown.
        record: of the run.
        left_out: kinds of views that were left out, and what they need.
    """
    kinds = ", ".join(row.name for row in rows)
    count = len(views.grids[0].pictures)
    samples = "1 sample" if count == 1 else f"{count} samples"
    beside = "" if pixels is None else ", with pixel views T_x beside each image"
    where = {"z": "z", "own": "the generator's own latents"}
    cells: list[tuple[Cell, ...]] = [(row.name, row.views, where[row.space]) for row in rows]
    cells += [] if pixels is None else [("T_x", pixels, "pixels")]
    table = Table(
        title="Kinds of views",
        columns=(Column(name="kind", priority=0), Column(name="views"), Column(name="made in")),
        rows=tuple(cells),
    )
    return Result(
        title=f"{name}: views of {generator}",
        verdict=f"{samples} of {generator} and their views ({kinds}){beside}.",
        blocks=(views, table, *(Note(text=f"Left out: {note}.") for note in left_out)),
        record=record,
    )


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
    batches = StreamedBatches(
        made, SamplePlan(batch_size=1), setting.pixels, prefetch=0, pixel_seed=seed
    )
    seen = [batches.batch(one)["views"] for one in ids]  # a batch of one has its sample's number
    return plain, torch.cat([one for one in seen if one is not None])


def _pair(
    group: str, title: str, view: int, plain: Tensor, pixels: Tensor | None
) -> list[ViewColumn]:
    found = [ViewColumn(group=group, title=title, images=plain[:, view])]
    if pixels is not None:
        title = f"T_x({title})"
        found.append(ViewColumn(group=group, title=title, images=pixels[:, view]))
    return found
