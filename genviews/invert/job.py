"""Inversion of a whole data set: in shards on disk, resumable, on one process or many.

    SOURCE -> align -> INVERT -> LATENTS ON DISK -> perturb -> render -> classify -> weigh

The images are cut into shards of consecutive rows. A shard is read, inverted and written whole, so
memory holds one shard's images whatever the size of the data set, and a run that is killed loses
the shard in flight. Runs on one folder of this machine share the work: each claims a shard before
it makes it. What a result depends on is the store's identity, so that results of other images,
weights or settings are never mixed in.

What it makes is read through `genviews.invert.store.InversionStore`.
"""

from __future__ import annotations

import logging
import time
from dataclasses import fields
from pathlib import Path

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
from genviews.invert.store import InversionStore
from genviews.memory import images_in_shard
from genviews.shard import Shard
from genviews.signature import checked
from genviews.store import ShardStore
from genviews.types import Inversion, Progress
from genviews.work import Tell, run_shards

__all__ = ["inversion_identity", "invert_source"]

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
