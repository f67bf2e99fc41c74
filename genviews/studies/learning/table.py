"""The tables and panels of the learning paper as studies, and some of ours.

Source: Jahanian et al. 2022, arXiv:2106.05258, tables 1-6, figures 4-11, appendix D.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from genviews.checks import check_count, fail
from genviews.kit import GeneratorKit
from genviews.represent.plan import SamplePlan
from genviews.represent.stream import StreamedBatches
from genviews.studies.base import Need, Study
from genviews.studies.bench import Bench
from genviews.studies.blocks import Cell, Column, Grid, Images, Note, Picture, Table
from genviews.studies.learning.data import latent_views
from genviews.studies.learning.options import LearningOptions, PanelOptions, RowOptions
from genviews.studies.learning.result import table_result
from genviews.studies.learning.row import LearningRow
from genviews.studies.learning.run import StudyProgress
from genviews.studies.learning.setting import LearningSetting
from genviews.studies.learning.study import compare_rows
from genviews.studies.learning.tables import PANELS, TABLES, LearningTable, table_rows
from genviews.studies.learning.training import learning_setting
from genviews.studies.options import Options
from genviews.studies.result import Result

__all__ = ["STUDIES", "run_panel", "run_table", "view_images"]

SHOWN = (0, 1, 2, 3, 4, 5)  # samples in a picture of views, where --show names none


def run_table(table: str, bench: Bench, options: LearningOptions) -> Result:
    """Learn the encoders of a table's rows, and compare them.

    Args:
        table: a key of `TABLES`.
        bench: with what rows are learnt from and judged on.
        options: which rows, how strong, how trained.

    Raises:
        ValueError: rows that the bench cannot serve; before the first is learnt.
    """
    rows, left_out = _rows(table, bench.inputs.kit, options)
    for note in left_out:
        bench.tell(f"left out: {note}")
    setting = learning_setting(bench, options, rows)
    study = compare_rows(
        table,
        rows,
        setting,
        range(options.seeds),
        bench.place,
        engine=bench.engine,
        report=StudyProgress(bench.progress, rows, options.seeds, setting),
        judges=bench.inputs.judges,
    )
    record = bench.record(options)
    unread = study.facts.get("voc", {}).get("skipped", ())
    skipped = (*record.skipped, *((file, reason) for file, reason in unread))
    record = replace(record, skipped=skipped)
    views = _views(rows, setting, options.show)
    return table_result(study, record=record, left_out=left_out, views=views)


def _views(
    rows: Sequence[LearningRow], setting: LearningSetting, samples: tuple[int, ...] | None
) -> Images | None:
    """The views of each row beside the anchors; None where no row has latent views."""
    shown: dict[tuple[str | None, str], LearningRow] = {}
    for row in rows:
        if row.views is not None:
            shown.setdefault((row.views, row.space), row)
    if not shown:
        return None
    return view_images(list(shown.values()), setting, samples=samples or SHOWN)


def run_panel(name: str, bench: Bench, options: RowOptions) -> Result:
    """Show views of a few samples; nothing is learnt.

    Args:
        name: a key of `PANELS`.
        bench: with a generator.
        options: which kinds and samples, how strong.

    Raises:
        ValueError: a generator that has no classes where these are needed, or views that it cannot
            have.
    """
    panel, kit = PANELS[name], bench.kit
    rows, left_out = _rows(name, kit, options)
    for note in left_out:
        bench.tell(f"left out: {note}")
    named = options.pixels if isinstance(options, PanelOptions) else "none"
    setting = learning_setting(bench, LearningOptions(pixels=named), rows)
    ids = options.show or SHOWN
    views = view_images(rows, setting, samples=ids, views=panel.views)
    pixels = None if setting.pixels is None else repr(setting.pixels)
    facts = {
        "generator": kit.name,
        "samples": list(ids),
        "views": panel.views,
        "rows": [{name: asdict(row)[name] for name in ("name", "views", "space")} for row in rows],
        "pixels": pixels,
        "zoom_law": setting.facts()["zoom_law"],
        "left_out": list(left_out),
    }
    where = {"z": "z", "own": "the generator's own latents"}
    cells: list[tuple[Cell, ...]] = [(row.name, row.views, where[row.space]) for row in rows]
    if setting.pixels is not None:
        cells.append(("T_x", named or setting.pixels.name, "pixels"))
    table = Table(
        title="Kinds of views",
        columns=(Column(name="kind", priority=0), Column(name="views"), Column(name="made in")),
        rows=tuple(cells),
    )
    samples = "1 sample" if len(ids) == 1 else f"{len(ids)} samples"
    kinds = ", ".join(row.name for row in rows)
    beside = "" if pixels is None else ", with pixel views T_x beside each image"
    return Result(
        title=f"{name}: views of {kit.name}",
        verdict=f"{samples} of {kit.name} and their views ({kinds}){beside}.",
        blocks=(views, table, *(Note(text=f"Left out: {note}.") for note in left_out)),
        record=replace(bench.record(options, facts), seed=setting.views_seed),
    )


def _rows(
    name: str, kit: GeneratorKit | None, options: RowOptions
) -> tuple[list[LearningRow], tuple[str, ...]]:
    """The rows of a table or panel that options and generator allow; refuses those they do not."""
    table = {**TABLES, **PANELS}[name]
    if table.classes and kit is not None and kit.generator.num_classes < 2:
        fail(
            f"generator of {name}",
            expected="a class-conditional one",
            got=f"{kit.name}, which has no classes",
            remedy="name one, such as fashion32-classes, or take figure4 or figure10",
        )
    return table_rows(table, options, kit)


def view_images(
    rows: Sequence[LearningRow],
    setting: LearningSetting,
    *,
    samples: int | Sequence[int] = 6,
    views: int = 1,
    seed: int = 0,
) -> Images:
    """Show anchors, then the views of each row, each followed by its pixel view T_x.

    Views and T_x are those of a training with this seed at its first visit of a sample, whether the
    row itself asks for T_x or not. Without pixel views in the setting, the columns of T_x are left
    out.

    Args:
        rows: of generated or mixed data, with latent views. Their anchors are the same images.
        setting: of the study.
        samples: sample ids, a line each, or their number for those from 0.
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
        >>> view_images(rows, setting).grids[0].columns
        ('anchor', 'Gaussian')
    """
    ids = tuple(range(samples)) if isinstance(samples, int) else tuple(samples)
    check_count(len(ids), "number of samples")
    check_count(views, "views")
    check_count(len(rows), "number of rows")
    columns: list[tuple[str, Tensor]] = []
    for row in rows:
        plain, pixels = _images(row, setting, ids, views, seed)
        # Rows differ in the space of their views, not in their samples.
        assert not columns or float((plain[:, 0] - columns[0][1]).abs().mean()) < 0.01
        for view in range(1 if columns else 0, views + 1):
            columns.append((row.name if view else "anchor", plain[:, view]))
            columns += [] if pixels is None else [("T_x", pixels[:, view])]
    count = "a view" if views == 1 else f"{views} views"
    after = "" if setting.pixels is None else ", each followed by T_x, its crop and jitter"
    grid = Grid(
        columns=tuple(name for name, _ in columns),
        rows=tuple(f"sample {one}" for one in ids),
        pictures=tuple(
            tuple(Picture(pixels=images[line]) for _, images in columns) for line in range(len(ids))
        ),
    )
    return Images(
        title="What an encoder is shown",
        grids=(grid,),
        caption=f"A line a sample: the sample itself, then {count} of each kind{after}. An "
        "encoder learns to see that the images of a line belong together.",
    )


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


def _study(
    name: str,
    run: Callable[[str, Bench, Any], Result],
    options: type[Options],
    table: LearningTable,
    needs: tuple[Need, ...],
    uses: tuple[Need, ...] = (),
) -> Study[Any]:
    return Study(
        f"learning/{name}",
        partial(run, name),
        options,
        needs=needs,
        uses=uses,
        source=table.source,
        minutes=table.minutes,
        about=table.about,
        check=partial(_rows, name),
    )


_USES = (Need.KIT, Need.REAL, Need.VOC)
STUDIES = (
    *(
        _study(name, run_table, LearningOptions, table, (Need.PROBES,), _USES)
        for name, table in TABLES.items()
    ),
    *(
        _study(name, run_panel, PanelOptions if panel.pixels else RowOptions, panel, (Need.KIT,))
        for name, panel in PANELS.items()
    ),
)
