"""Inversion of a whole data set: in shards on disk, resumable, on one process or many.

    SOURCE -> align -> INVERT -> LATENTS ON DISK -> perturb -> render -> classify -> weigh

The images are cut into shards of consecutive rows. A shard is read, inverted and written whole, so
memory holds one shard's images whatever the size of the data set, and a run that is killed loses
the shard in flight. Runs on one folder of this machine share the work: each claims a shard before
it makes it. What a result depends on is the store's identity, so that results of other images,
weights or settings are never mixed in.

A shard holds the fields of `Inversion` that are small (latents, losses, status, steps),
`source_hash`, and in its notes which images could not be read, and why.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import fields, replace
from itertools import groupby
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from genviews.checks import check_count, check_different, fail
from genviews.data.content import pack_hashes
from genviews.data.source import ImageSource, SourceBatch
from genviews.engine import Engine
from genviews.generators.base import Generator
from genviews.identity import Identity, identify
from genviews.invert.batch import fitting_batch
from genviews.invert.inverter import Inverter
from genviews.invert.optimize import invert
from genviews.memory import images_in_shard
from genviews.render import render
from genviews.shard import Shard, join_shards
from genviews.signature import checked
from genviews.store import ShardStore
from genviews.types import Inversion, Progress, Status, Values
from genviews.work import Tell, run_shards

__all__ = ["InversionStore", "inversion_identity", "invert_source", "spread"]

logger = logging.getLogger("genviews.invert")

SHARD = 512  # images, or fewer where they are large; about a minute of work on 32x32 pixels


@checked
def invert_source(
    source: ImageSource,
    generator: Generator,
    inverter: Inverter,
    folder: str | Path,
    *,
    label: Int[Tensor, " N"] | None = None,
    shard_size: int | None = None,
    batch_size: int | None = 64,
    engine: str | Engine = "local",
    apart: bool = False,
    stage: str = "invert",
    progress: Progress | None = None,
) -> InversionStore:
    """Invert every image of a source, making only what `folder` does not hold yet.

    A second run on the same folder, at the same time or later, makes what is left and ends with
    the same store; a finished job costs reading it. A shard that is made again is equal bit for bit
    on the same machine, device, batch size and number of torch's threads, which are not part of the
    identity: they change round-off alone. An image that cannot be read is listed in
    `InversionStore.skipped`.

    Args:
        source: the images.
        generator: on the device where to invert (Ray moves it: see `RayEngine`).
        inverter: how.
        folder: a path, or a URL that fsspec knows. On a local disk two runs share the work; at a
            URL they each do all of it.
        label: class of each image, for a generator that renders it (`Generator.renders_label`).
        shard_size: images in a shard, 1 or more; None takes 512, or fewer where they are large.
            Memory holds a few float32 copies of a shard's images.
        batch_size: images under way at once; None takes what `fitting_batch` finds. It changes
            round-off alone, so a job that ran out of memory goes on with a smaller one.
        engine: "local" (this process), "ray", or an `Engine`.
        apart: work in a subfolder that is named by all that the inversions depend on, so that
            those of other images, weights or settings in the same folder are never in the way.
        stage: what `progress` calls it.
        progress: called with (stage, "images", done, all), those of other runs included.

    Returns:
        The complete store.

    Raises:
        ValueError: `folder` holds results of other images, weights or settings (the message lists
            what differs), or the source is empty, has duplicate ids or images of another shape.
        OSError: the folder cannot be written; what was there stays whole.
        RuntimeError: an engine ended without making its shards.

    Example:
        >>> import tempfile, torch
        >>> from genviews import Inverter, Rng, ToyGenerator
        >>> from genviews.data.images import ImageSet
        >>> from genviews.data.source import MemorySource
        >>> toy = ToyGenerator()
        >>> images = toy.synthesize(toy.map(toy.sample(Rng(0).streams(range(3))))).float()
        >>> source = MemorySource(ImageSet(images=images, ids=("a", "b", "c")))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     store = invert_source(source, toy, Inverter(steps=3), folder, shard_size=2)
        ...     store.summary()["status"], store.read_all().ids
        ({'STEP_LIMIT': 3}, ('a', 'b', 'c'))
    """
    _check_source(source, generator)
    if batch_size is None:
        batch_size = fitting_batch(generator, inverter.objective)
    check_count(batch_size, "batch_size")
    if shard_size is None:
        shard_size = images_in_shard(source.image_spec, SHARD)
    identity = inversion_identity(source, generator, inverter, label, shard_size=shard_size)
    folder = Path(folder) / identity.digest if apart else folder

    def make(rows: range, tell: Tell) -> Shard:
        began = time.perf_counter()
        batch = source.read(rows)
        tensors = {"source_hash": pack_hashes(batch.hashes)}
        if len(batch):
            tensors |= latents(rows, batch, tell)
        seconds = time.perf_counter() - began
        logger.info(
            f"images {rows.start} to {rows.stop - 1}: {len(batch)} in {seconds:.1f} s, "
            f"{len(batch.skipped)} skipped"
        )
        return Shard(tensors=tensors, ids=batch.ids, notes=dict(batch.skipped))

    def latents(rows: range, batch: SourceBatch, tell: Tell) -> dict[str, Tensor]:
        places, device = source.rows_of(batch.ids, rows), generator.device
        found = invert(
            generator,
            batch.images.to(device),
            None if batch.masks is None else batch.masks.to(device),
            inverter=inverter,
            batch_size=batch_size,
            label=None if label is None else label[places].to(device),
            rows=places,
            progress=lambda stage, unit, done, total: tell(done),
        )
        values = {name: getattr(found, name) for name in _FIELDS}
        return {name: value for name, value in values.items() if isinstance(value, Tensor)}

    run_shards(
        ShardStore(folder, identity),
        len(source),
        make,
        shard_size=shard_size,
        stage=stage,
        engine=engine,
        progress=progress,
    )
    return InversionStore(folder, identity, left_out=source.skipped)


def inversion_identity(
    source: ImageSource,
    generator: Generator,
    inverter: Inverter,
    label: Int[Tensor, " N"] | None = None,
    *,
    shard_size: int,
) -> Identity:
    """Return all that the content of a store depends on.

    Raises:
        ValueError: a shard size below 1.
    """
    return identify(
        images=len(source),
        source=source,
        generator=generator,
        inverter=inverter,
        tensors=_FIELDS,
        **({} if label is None else {"label": label}),
        shard_size=check_count(shard_size, "shard_size"),
    )


# Reconstructions are left out: they are large, and rendered from the latents when asked for.
_FIELDS = tuple(f.name for f in fields(Inversion) if f.name != "reconstructions")


def _check_source(source: ImageSource, generator: Generator) -> None:
    check_count(len(source), "images of the source")
    remedy = "give each image its own id, e.g. its relative path"
    check_different(source.ids, "ids of the source", remedy)
    wanted, got = generator.image_spec.shape, source.image_spec.shape
    if got != wanted:
        expected, remedy = f"{wanted}, what the generator makes", "align or resize them to its size"
        fail("images of the source", expected=expected, got=got, remedy=remedy)


class InversionStore:
    """What `invert_source` made.

    Args:
        folder: a path, or a URL that fsspec knows.
        identity: what it was made from (see `inversion_identity`), checked; None takes the one that
            is found there.
        left_out: (file, reason) of what the source left out before the job, for `skipped`.

    Attributes:
        folder: see `Args`.
        identity: of all that the content depends on.
        shard_size: images in a shard, the last one excepted.
        num_shards: number of them.

    Raises:
        FileNotFoundError: without an identity, and no shard is there.
        ValueError: made from something else (the message lists what differs), or no inversions.
    """

    def __init__(
        self,
        folder: str | Path,
        identity: Identity | None = None,
        *,
        left_out: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self._store = ShardStore(folder, identity)
        self.identity = self._store.identity
        exact = self.identity.exact
        self.folder, self._left_out = str(folder), left_out
        self._snapshot: int | None = None
        if not {"images", "shard_size", "inverter"} <= exact.keys():
            fail(
                f"store {folder}",
                expected="inversions",
                got=f"a store made from {', '.join(sorted(exact))}",
                remedy="open it as a ShardStore, or check the path",
            )
        self._total, self.shard_size = int(exact["images"]), int(exact["shard_size"])
        self.num_shards = -(-self._total // self.shard_size)

    def __len__(self) -> int:
        """Number of images of the source, those that could not be read included."""
        return self._total

    def __repr__(self) -> str:
        return f"InversionStore({self.folder!r}, {len(self)} images in {self.num_shards} shards)"

    def iter_shards(self) -> Iterator[Shard]:
        """Yield the shards in the order of the source, one in memory at a time.

        A shard none of whose images could be read has no rows, and `source_hash` alone.

        Raises:
            FileNotFoundError: a shard is missing; run the job again.
            ValueError: a shard is damaged.
        """
        for index in range(self.num_shards):
            yield self.read(index)

    def read(self, index: int) -> Shard:
        """Return one shard; see `iter_shards`."""
        return self._store.read(index)

    def at(self, snapshot: int) -> InversionStore:
        """The same, but that `select` gives the latents of a snapshot, by its place among them."""
        found = copy(self)
        found._snapshot = snapshot
        found.identity = identify(inversions=self.identity, snapshot=snapshot)
        return found

    def select(self, rows: Sequence[int], ids: Sequence[str]) -> dict[str, Tensor]:
        """Return the tensors of some images, reading no shard but theirs.

        Args:
            rows: of the source.
            ids: of these rows.

        Raises:
            ValueError: an image that was not inverted, because it could not be read then.
        """
        found: dict[str, list[Tensor]] = {}
        for index, group in groupby(zip(rows, ids, strict=True), lambda p: p[0] // self.shard_size):
            shard = self._store.read(index)
            places = {name: place for place, name in enumerate(shard.ids)}
            wanted = [name for _, name in group]
            absent = [name for name in wanted if name not in places]
            if absent:
                fail(
                    f"inversions in {self.folder}",
                    expected=f"one of {absent[0]!r}",
                    got="none: it could not be read then",
                    remedy="invert the changed images into another folder",
                )
            chosen = torch.tensor([places[name] for name in wanted], dtype=torch.long)
            own = dict(shard.tensors)
            if self._snapshot is not None:
                own["latents"] = own["snapshots"][:, self._snapshot]
            for key, value in own.items():
                found.setdefault(key, []).append(value[chosen])
        return {key: torch.cat(parts) for key, parts in found.items()}

    def columns(self, *names: str) -> dict[str, Tensor]:
        """Return some tensors of all images that could be read, in their order, no more in memory.

        Args:
            names: as in `read_all`; those that the inversions do not have are left out.

        Raises:
            FileNotFoundError, ValueError: as `iter_shards`, or no image could be read.
        """
        shards = [
            {name: shard.tensors[name] for name in names if name in shard.tensors}
            for shard in self.iter_shards()
            if len(shard)
        ]
        if not shards:
            self._refuse_empty()
        return {name: torch.cat([shard[name] for shard in shards]) for name in shards[0]}

    def loss_of(self, ids: Sequence[str]) -> Values:
        """Return the losses of some images."""
        shards = [(s.ids, s.tensors["loss"]) for s in self.iter_shards() if len(s)]
        losses = {name: loss[row] for names, loss in shards for row, name in enumerate(names)}
        return torch.stack([losses[name] for name in ids])

    def read_all(self) -> Shard:
        """Return ids and tensors of all images that could be read, in the order of the source.

        `latents` is (N, L, D); `source_hash` (N, 16) uint8, a BLAKE2b hash of each source image;
        the others (N,). The notes are id -> why the image could not be read.

        Raises:
            FileNotFoundError: a shard is missing; run the job again.
            ValueError: a shard is damaged.
        """
        parts = list(self.iter_shards())
        notes = {name: reason for part in parts for name, reason in part.notes.items()}
        joined = join_shards([part for part in parts if len(part)] or parts[:1], self.folder)
        return replace(joined, notes=notes)

    @property
    def skipped(self) -> tuple[tuple[str, str], ...]:
        """(id, reason) of the images that could not be read; what the source left out is first."""
        notes = (note for shard in self.iter_shards() for note in shard.notes.items())
        return (*self._left_out, *notes)

    def inversion(self, generator: Generator, *, batch_size: int = 64) -> Inversion:
        """Return all images' inversion, on the generator's device, with reconstructions rendered.

        Args:
            generator: the one that the images were inverted with.
            batch_size: images rendered at once.

        Raises:
            FileNotFoundError: a shard is missing; run the job again.
            ValueError: a shard is damaged, or no image could be read.
        """
        shard = self.read_all()
        if not len(shard):
            self._refuse_empty()
        names = {f.name for f in fields(Inversion)}
        kept = {k: v.to(generator.device) for k, v in shard.tensors.items() if k in names}
        reconstructions = render(
            generator, kept["latents"], label=kept.get("label"), batch_size=batch_size
        )
        return Inversion(reconstructions=reconstructions, **kept)

    def summary(self) -> dict[str, Any]:
        """Return counts and losses, as JSON values.

        Returns:
            `images` of the source, `inverted`, `skipped` (left out by the source included),
            `status` (name -> number of images) and `loss` with `mean`, `median` and `p90` (90 % of
            images are at or below it) over the images that have a loss, or None.
        """
        found = [(s.tensors["status"], s.tensors["loss"]) for s in self.iter_shards() if len(s)]
        status = Counter(int(value) for values, _ in found for value in values)
        loss = np.concatenate([np.zeros(0), *(values.double().numpy() for _, values in found)])
        return {
            "images": len(self),
            "inverted": len(loss),
            "skipped": len(self) - len(loss) + len(self._left_out),
            "status": {s.name: status[s] for s in Status if status[s]},
            "loss": spread(loss[np.isfinite(loss)]),
        }

    def _refuse_empty(self) -> NoReturn:
        fail(
            f"store {self.folder}",
            expected="at least one image that could be read",
            got=f"none of {len(self)}",
            remedy="see `skipped` for the reasons",
        )


def spread(loss: np.ndarray) -> dict[str, float] | None:
    """Mean, median and 90th percentile; None of no number."""
    if not len(loss):
        return None
    median, p90 = np.quantile(loss, [0.5, 0.9])
    return {"mean": float(loss.mean()), "median": float(median), "p90": float(p90)}
