"""Fill view banks from a source of images: shard by shard, kept on disk, shared and resumed.

    SOURCE, LATENTS ON DISK -> perturb -> render -> classify -> LOGITS ON DISK -> weigh

Same result as `fill_bank` of all images at once. Images are read, and latents with them, a shard at
a time; memory holds a shard's images and every image's logits, so it does not grow with the images.
Logits are kept under a key of everything that they depend on; the same study started twice is two
workers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from genviews.classify.task import Task, task_classifiers
from genviews.data.source import ImageSource
from genviews.data.split import SplitName
from genviews.engine import Engine
from genviews.ensemble.fill import fill_bank
from genviews.ensemble.view_bank import ViewBank
from genviews.ensemble.views import ViewSet
from genviews.generators.base import Generator
from genviews.identity import Identity, identify, key
from genviews.invert.store import InversionStore
from genviews.memory import images_in_shard
from genviews.shard import join_shards
from genviews.store import MemoryStore, Shard, ShardStore
from genviews.types import Progress
from genviews.work import Tell, run_shards

__all__ = ["fill_from_source"]

SHARD = 250  # images, or fewer where they are large


def fill_from_source(
    tasks: Sequence[Task],
    generator: Generator | None,
    source: ImageSource,
    latents: InversionStore | Float[Tensor, "N L D"] | None,
    labels: Mapping[str, Int[Tensor, " N"]] | None,
    view_sets: Sequence[ViewSet],
    *,
    split: SplitName,
    rows: Sequence[int] | None = None,
    folder: Path | str | None = None,
    num_views: int = 32,
    seed: int = 0,
    batch_size: int = 256,
    engine: str | Engine = "local",
    progress: Progress | None = None,
) -> ViewBank:
    """Make the views of every image once and classify them with every task's classifier.

    Args:
        tasks: see `fill_bank`; their names and labels are no part of the work.
        generator: renders the latents; None when no view set perturbs latents.
        source: N images. What cannot be read is left out of the bank.
        latents: of the source's images: their inversions on disk, or a row for each image; None
            together with `generator`.
        labels: (N,) class indices of the source's images by the name of their column, or None.
        view_sets: the views to make.
        split: what the images may be used for.
        rows: of the source, those that are wanted; None for all.
        folder: holds one store for each different call; safe to delete when the study is done.
            None keeps nothing.
        num_views: K.
        seed: of the views.
        batch_size: views in flight at a time.
        engine: "local" (this process); with a folder also "ray", or an `Engine`.
        progress: called with ("views of SPLIT", "images", done, N).

    Raises:
        ValueError: as `fill_bank`.
    """
    wanted = range(len(source)) if rows is None else list(rows)
    size = images_in_shard(source.image_spec, SHARD)
    work = _Work(
        tasks=tuple(tasks),
        generator=generator,
        source=source,
        latents=latents,
        view_sets=tuple(view_sets),
        rows=tuple(wanted),
        split=split,
        num_views=num_views,
        seed=seed,
        batch_size=batch_size,
    )
    store: MemoryStore | ShardStore = MemoryStore()
    if folder is not None:
        identity = work.identity(size)
        store = ShardStore(f"{str(folder).rstrip('/')}/{split}-{identity.digest}", identity)
    run_shards(
        store,
        len(wanted),
        work.make,
        shard_size=size,
        stage=f"views of {split}",
        engine=engine,
        progress=progress,
    )
    parts = [store.read(index) for index in range(-(-len(wanted) // size))]
    kept = join_shards([part for part in parts if len(part)] or parts[:1], f"views of {split}")
    logits: list[dict[str, Tensor]] = [{} for _ in task_classifiers(tasks)]
    for name, value in kept.tensors.items():
        place, _, what = name.partition("/")
        logits[int(place)][what] = value
    places = {name: row for row, name in enumerate(source.ids)}
    chosen = torch.tensor([places[name] for name in kept.ids], dtype=torch.long)
    return ViewBank(
        tasks=tuple(tasks),
        ids=kept.ids,
        split=split,
        labels={column: values.cpu()[chosen] for column, values in (labels or {}).items()},
        logits=tuple(logits),
        meta={"seed": seed, "num_views": num_views},
    )


@dataclass(frozen=True, kw_only=True)
class _Work:
    """What makes the logits of some images; pickles, so that workers elsewhere can."""

    tasks: tuple[Task, ...]
    generator: Generator | None
    source: ImageSource
    latents: InversionStore | Tensor | None
    view_sets: tuple[ViewSet, ...]
    rows: tuple[int, ...]
    split: SplitName
    num_views: int
    seed: int
    batch_size: int

    def identity(self, shard_size: int) -> Identity:
        """Of all that the logits depend on."""
        latents = self.latents
        return identify(
            source=self.source,
            rows=key(self.rows),
            latents=latents.identity if isinstance(latents, InversionStore) else latents,
            generator=self.generator,
            classifiers=task_classifiers(self.tasks),
            views=self.view_sets,
            num_views=self.num_views,
            seed=self.seed,
            shard=shard_size,
        )

    def make(self, places: range, tell: Tell) -> Shard:
        """The logits of some of the rows."""
        rows = [self.rows[place] for place in places]
        batch = self.source.read(rows)
        notes = dict(batch.skipped)
        if not len(batch):
            return Shard(tensors={"0/image": torch.zeros(0, 1, 1)}, ids=(), notes=notes)
        bank = fill_bank(
            self.tasks,
            self.generator,
            batch.images,
            batch.ids,
            None,
            self._latents(rows, batch.ids),
            self.view_sets,
            split=self.split,
            num_views=self.num_views,
            seed=self.seed,
            batch_size=self.batch_size,
            progress=lambda stage, unit, done, total: tell(done),
        )
        tensors = {
            f"{place}/{what}": logits.contiguous()
            for place, own in enumerate(bank.logits)
            for what, logits in own.items()
        }
        return Shard(tensors=tensors, ids=batch.ids, notes=notes)

    def _latents(self, rows: Sequence[int], ids: Sequence[str]) -> Tensor | None:
        """Those of the images that could be read."""
        if self.latents is None:
            return None
        row_of = {self.source.ids[row]: row for row in rows}
        chosen = [row_of[name] for name in ids]
        if isinstance(self.latents, Tensor):
            return self.latents[chosen]
        return self.latents.select(chosen, ids)["latents"]
