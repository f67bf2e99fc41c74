"""Images decoded once, as 8-bit pixels on disk that are read row by row.

    SOURCE -> decode -> PIXELS ON DISK -> views, features

Training looks at an image many times, in a drawn order. Its pixels are kept in shards, one byte a
value, so that a data set larger than memory is decoded once, a killed run goes on where it was,
and an image costs one read. Images of 8 bits keep their values; resized ones are rounded to 8 bits.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from genviews.data.content import content_hash, pack_hashes, unpack_hashes
from genviews.data.images import ImageSet
from genviews.data.source import ImageSource, SourceBatch, columns_of
from genviews.engine import Engine
from genviews.identity import identify
from genviews.memory import images_in_shard
from genviews.rows import StoredRows
from genviews.shard import Shard
from genviews.store import ShardStore
from genviews.types import Progress
from genviews.work import Tell, run_shards

__all__ = ["IN_MEMORY", "Decoding", "StoredPixels"]

SHARD = 1000  # images, or fewer where they are large


class StoredPixels(ImageSource):
    """The images of another source that can be read, decoded into a folder when this is made.

    Its hashes are of the 8-bit pixels, so that a copy in another kind of file has the same.

    Args:
        source: of the images, without masks; labels and split are taken over.
        folder: for a subfolder of each source; a later call decodes what is missing there.
        engine: "local" (this process), "ray", or an `Engine`.
        stage: what `progress` calls it.
        progress: called with (stage, "images", done, all).

    Raises:
        ValueError: not one image can be read; the first reasons are shown.
        OSError: the folder cannot be written.

    Example:
        >>> import tempfile
        >>> from genviews.data.images import ImageSet
        >>> from genviews.data.source import MemorySource
        >>> two = ImageSet(images=torch.zeros(2, 1, 4, 4), ids=("a", "b"))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     StoredPixels(MemorySource(two), folder).read([1]).ids
        ('b',)
    """

    def __init__(
        self,
        source: ImageSource,
        folder: str | Path,
        *,
        engine: str | Engine = "local",
        stage: str = "decode images",
        progress: Progress | None = None,
    ) -> None:
        self.image_spec, self.split, self.notes = source.image_spec, source.split, source.notes
        self.name = source.name
        size = images_in_shard(source.image_spec, SHARD)
        self._fingerprint = content_hash(f"{source.fingerprint()} 8 bits".encode())
        place = Path(folder) / self._fingerprint[:16]
        store = ShardStore(place, identify(source=source, bits=8, shard_size=size))

        def make(rows: range, tell: Tell) -> Shard:
            batch = source.read(rows)
            pixels = ((batch.images + 1.0) * 127.5).round().clamp(0, 255).to(torch.uint8)
            hashes = pack_hashes([content_hash(image) for image in pixels])
            tensors = {"images": pixels, "hashes": hashes}
            return Shard(tensors=tensors, ids=batch.ids, notes=dict(batch.skipped))

        run_shards(
            store,
            len(source),
            make,
            shard_size=size,
            stage=stage,
            engine=engine,
            progress=progress,
        )
        self._rows = StoredRows(store)
        self._places: list[tuple[int, int]] = []  # of each row: shard, row in it
        ids: list[str] = []
        hashes: list[str] = []
        skipped = list(source.skipped)
        for index in range(-(-len(source) // size)):
            shard = store.read(index)
            self._places += [(index, row) for row in range(len(shard))]
            ids += shard.ids
            hashes += unpack_hashes(shard.tensors["hashes"])
            skipped += shard.notes.items()
        if not ids:
            shutil.rmtree(place)
            with suppress(OSError):  # up to what holds something
                os.removedirs(place.parent)
            source.load()  # says why not one can be read
        self.ids, self._hashes, self.skipped = tuple(ids), tuple(hashes), tuple(sorted(skipped))
        self.columns = columns_of(source.columns, source.rows_of(ids))

    def read(self, rows: Sequence[int]) -> SourceBatch:
        """Read the images at `rows`; none is skipped."""
        images = torch.empty(len(rows), *self.image_spec.shape)
        where = [self._places[row] for row in rows]
        for index in sorted({index for index, _ in where}):
            numbers = [n for n, (shard, _) in enumerate(where) if shard == index]
            pixels = self._rows.read(index, "images", [(where[n][1],) for n in numbers])
            images[numbers] = pixels.float() / 127.5 - 1.0
        ids, hashes = tuple(self.ids[row] for row in rows), self.hashes()
        return SourceBatch(images=images, ids=ids, hashes=tuple(hashes[row] for row in rows))

    def __describe__(self) -> dict[str, object]:
        """Pixels and labels."""
        return {"pixels": self._fingerprint, "labels": self.labels, "classes": self.class_names}

    def fingerprint(self) -> str:
        """A hash of the source's fingerprint; its pixels are rounded to 8 bits."""
        return self._fingerprint


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How images are decoded, once, and where their pixels are kept.

    Args:
        folder: of the pixels, by content: runs may share it. None holds them in memory.
        engine: where it is done.
        progress: of it.
    """

    folder: Path | None = None
    engine: str | Engine = "local"
    progress: Progress | None = None

    def decode(self, source: ImageSource, stage: str) -> ImageSet | ImageSource:
        """Return the images of a source that can be read, read once.

        Raises:
            ValueError: not one image can be read; the first reasons are shown.
        """
        if self.folder is None:
            return source.load()
        return StoredPixels(
            source, self.folder, engine=self.engine, stage=stage, progress=self.progress
        )


IN_MEMORY = Decoding()
