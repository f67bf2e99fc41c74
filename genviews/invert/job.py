"""Inversion of a whole data set: in shards on disk, resumable, on one process or many.

    SOURCE -> align -> INVERT -> LATENTS ON DISK -> perturb -> render -> classify -> weigh

The images are cut into shards of consecutive rows. A shard is read, inverted and written whole, so
memory holds one shard's images whatever the size of the data set, and a run that is killed loses
the shard in flight. Runs on one folder of this machine share the work: each claims a shard before
it makes it. What a result depends on is the key of the store, so that results of other images,
weights or settings are never mixed in.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from torch import Tensor

from genviews.checks import check_count, fail
from genviews.data.source import HASH_BYTES, ImageSource, SourceBatch
from genviews.engine import Engine, find_engine
from genviews.fingerprint import weights_hash
from genviews.generators.base import Generator
from genviews.invert.batch import fitting_batch
from genviews.invert.inverter import Inverter
from genviews.invert.optimize import invert
from genviews.invert.store import InversionStore
from genviews.store import ShardStore
from genviews.types import Inversion

__all__ = ["inversion_key", "invert_source"]

logger = logging.getLogger("genviews.invert")

SHARD = 512  # images; about a minute of work on 32x32 pixels, so little is lost (chosen by us)
POLL = 0.5  # seconds between looks at shards that another run is making

Progress = Callable[[int, int], None]


def invert_source(
    source: ImageSource,
    generator: Generator,
    inverter: Inverter,
    folder: str | Path,
    *,
    shard_size: int = SHARD,
    batch_size: int | None = 64,
    engine: str | Engine = "local",
    progress: Progress | None = None,
) -> InversionStore:
    """Invert every image of a source, making only what `folder` does not hold yet.

    A second run on the same folder, at the same time or later, makes what is left and ends with
    the same store; a finished job costs reading it. A shard that is made again is equal bit for bit
    on the same machine, device, batch size and number of torch's threads, which are not part of the
    key: they change round-off alone. An image that cannot be read is listed in
    `InversionStore.skipped`.

    Args:
        source: the images.
        generator: on the device where to invert (Ray moves it: see `RayEngine`).
        inverter: how.
        folder: a path, or a URL that fsspec knows. On a local disk two runs share the work; at a
            URL they each do all of it.
        shard_size: images in a shard, 1 or more. Memory holds a few float32 copies of a shard's
            images (with 512 images of 3x256x256, 0.4 GB each).
        batch_size: images under way at once; None takes what `fitting_batch` finds. It changes
            round-off alone, so a job that ran out of memory goes on with a smaller one.
        engine: "local" (this process), "ray", or an `Engine`.
        progress: called with (images done, images in all), those of other runs included.

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
        >>> from genviews.data import ImageSet, MemorySource
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
    key = inversion_key(source, generator, inverter, shard_size=shard_size)
    job = _Job(
        source=source,
        generator=generator,
        inverter=inverter,
        store=ShardStore(folder, key),
        shard_size=shard_size,
        batch_size=batch_size,
        tally=_Tally(len(source), progress),
    )
    job.run(find_engine(engine))
    return InversionStore(folder, key, left_out=source.skipped)


def inversion_key(
    source: ImageSource,
    generator: Generator,
    inverter: Inverter,
    *,
    shard_size: int = SHARD,
) -> dict[str, object]:
    """Return all that the content of a store depends on, as JSON values: its key.

    Raises:
        ValueError: a shard size below 1.
    """
    return {
        "images": len(source),
        "source": source.fingerprint(),
        "generator": {"type": type(generator).__name__, "weights": weights_hash(generator)},
        "inverter": inverter.describe(),
        "tensors": list(_FIELDS),
        "shard_size": check_count(shard_size, "shard_size"),
    }


# Reconstructions are left out: they are large, and rendered from the latents when asked for.
_FIELDS = tuple(f.name for f in fields(Inversion) if f.name != "reconstructions")


class _Tally:
    """Counts the images done and tells of them; a copy sent to another process tells nobody."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._total, self._progress = total, progress
        self._finished: dict[int, int] = {}
        self._told = -1

    def __reduce__(self) -> tuple[type[_Tally], tuple[int, None]]:
        return _Tally, (self._total, None)

    def finish(self, shards: Mapping[int, int]) -> None:
        """Take note of finished shards and their numbers of images."""
        self._finished.update(shards)
        self.within(0)

    def within(self, images: int) -> None:
        """Tell of the finished shards, and of `images` in the one under way."""
        done = sum(self._finished.values()) + images
        if self._progress is not None and done > self._told:
            self._told = done
            self._progress(done, self._total)


@dataclass(frozen=True, kw_only=True)
class _Job:
    """An inversion of a source into a store; pickles, so that workers elsewhere can do shards."""

    source: ImageSource
    generator: Generator
    inverter: Inverter
    store: ShardStore
    shard_size: int
    batch_size: int
    tally: _Tally

    def rows(self, index: int) -> range:
        """The rows of the source in a shard."""
        start = index * self.shard_size
        return range(start, min(start + self.shard_size, len(self.source)))

    def run(self, engine: Engine) -> None:
        """Run and run again until no shard is missing; shards that others make are waited for."""
        count = -(-len(self.source) // self.shard_size)
        left = self.store.missing(count)
        self._finish(set(range(count)) - set(left))
        free = left
        while left:
            states = self._run_once(engine, free)
            before, left = left, self.store.missing(left)
            done = set(before) - set(left)
            self._finish(done)
            if free and not done and "busy" not in states.values():
                self._fail_lost(free)
            free = self._free(left)
            if left and not free:
                time.sleep(POLL)
        self.store.remove_stale_claims()

    def _run_once(self, engine: Engine, shards: list[int]) -> dict[int, object]:
        states: dict[int, object] = {}

        def report(index: int, facts: dict[str, object]) -> None:
            states[index] = facts["state"]
            if facts["state"] != "busy":
                self._finish([index])

        if shards:
            engine.run(shards, self.worker, report)
        return states

    def _finish(self, shards: Iterable[int]) -> None:
        self.tally.finish({index: len(self.rows(index)) for index in shards})

    def _free(self, shards: list[int]) -> list[int]:
        """The shards that nobody is making."""
        free = []
        for index in shards:
            with self.store.claim(index) as mine:
                free += [index] if mine else []
        return free

    def _fail_lost(self, shards: list[int]) -> None:
        fail(
            f"shards {shards[:5]}{' and more' if len(shards) > 5 else ''}",
            expected="to be in the store once the engine has run them",
            got="none of them there",
            remedy="use a folder or URL that the workers share with this process",
            error=RuntimeError,
        )

    def worker(self) -> Callable[[int], dict[str, object]]:
        """What an engine calls with the number of each shard."""
        return self.make

    def make(self, index: int) -> dict[str, object]:
        """Make one shard, unless it is there or being made."""
        return self.store.make(index, lambda: self._invert(index))

    def _invert(self, index: int) -> dict[str, object]:
        began = time.perf_counter()
        batch = self.source.read(self.rows(index))
        tensors = {"source_hash": _as_bytes(batch.hashes)}
        if len(batch):
            tensors |= self._latents(index, batch)
        self.store.write(index, tensors, batch.ids, dict(batch.skipped))
        seconds = time.perf_counter() - began
        logger.info(
            f"shard {index}: {len(batch)} images in {seconds:.1f} s, {len(batch.skipped)} skipped"
        )
        return {"images": len(batch), "skipped": len(batch.skipped), "seconds": seconds}

    def _latents(self, index: int, batch: SourceBatch) -> dict[str, Tensor]:
        device = self.generator.device
        row_of = {self.source.ids[row]: row for row in self.rows(index)}
        found = invert(
            self.generator,
            batch.images.to(device),
            None if batch.masks is None else batch.masks.to(device),
            inverter=self.inverter,
            batch_size=self.batch_size,
            rows=[row_of[name] for name in batch.ids],
            progress=lambda stage, done, total: self.tally.within(done),
        )
        values = {name: getattr(found, name) for name in _FIELDS}
        return {name: value for name, value in values.items() if isinstance(value, Tensor)}


def _as_bytes(hashes: tuple[str, ...]) -> Tensor:
    """(n, 16) uint8."""
    data = bytearray().join(bytes.fromhex(text) for text in hashes)
    return torch.tensor(list(data), dtype=torch.uint8).reshape(len(hashes), HASH_BYTES)


def _check_source(source: ImageSource, generator: Generator) -> None:
    if len(source) == 0 or len(set(source.ids)) != len(source):
        fail(
            "ids of the source",
            expected="at least one, no duplicates",
            got=f"{len(source)}, of which {len(set(source.ids))} differ",
            remedy="give each image its own id, e.g. its relative path",
        )
    if source.image_spec.shape != generator.image_spec.shape:
        fail(
            "images of the source",
            expected=f"{generator.image_spec.shape}, what the generator makes",
            got=source.image_spec.shape,
            remedy="align or resize them to the generator's size",
        )
