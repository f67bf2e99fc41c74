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
from pathlib import Path

import torch

from genviews.data.source import (
    HASH_BYTES,
    ImageSource,
    LabelColumn,
    SourceBatch,
    content_hash,
)
from genviews.engine import Engine
from genviews.identity import identify
from genviews.memory import images_in_shard
from genviews.rows import StoredRows
from genviews.shard import Shard
from genviews.store import ShardStore
from genviews.types import Progress
from genviews.work import Tell, run_shards

__all__ = ["StoredPixels"]

SHARD = 1000  # images, or fewer where they are large


class StoredPixels(ImageSource):
    """The images of another source that can be read, decoded into a folder when this is made.

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
        >>> from genviews.data import ImageSet, MemorySource
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
        size = images_in_shard(source.image_spec, SHARD)
        self._fingerprint = content_hash(f"{source.fingerprint()} 8 bits".encode())
        place = Path(folder) / self._fingerprint[:16]
        store = ShardStore(place, identify(source=source, bits=8, shard_size=size))

        def make(rows: range, tell: Tell) -> Shard:
            batch = source.read(rows)
            pixels = ((batch.images + 1.0) * 127.5).round().clamp(0, 255).to(torch.uint8)
            hashes = [bytes.fromhex(content_hash(image.numpy().tobytes())) for image in pixels]
            kept = torch.tensor(list(b"".join(hashes)), dtype=torch.uint8)
            tensors = {"images": pixels, "hashes": kept.reshape(-1, HASH_BYTES)}
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
        self._index(source, store, size, place)

    def _index(self, source: ImageSource, store: ShardStore, size: int, folder: Path) -> None:
        """Take note of what lies where."""
        place_of = {name: row for row, name in enumerate(source.ids)}
        skipped, hashes = list(source.skipped), []
        self._places: list[tuple[int, int]] = []
        chosen: list[int] = []
        for index in range(-(-len(source) // size)):
            shard = store.read(index)
            self._places += [(index, place) for place in range(len(shard))]
            chosen += [place_of[name] for name in shard.ids]
            hashes += [bytes(row).hex() for row in shard.tensors["hashes"].tolist()]
            skipped += shard.notes.items()
        if not chosen:
            shutil.rmtree(folder)
            with suppress(OSError):  # up to what holds something
                os.removedirs(folder.parent)
            source.load()  # says why not one can be read
        self.ids = tuple(source.ids[row] for row in chosen)
        self.skipped = tuple(sorted(skipped))
        self._hashes = tuple(hashes)
        rows = torch.tensor(chosen)
        self.columns = {
            name: LabelColumn(values=column.values[rows], class_names=column.class_names)
            for name, column in source.columns.items()
        }

    def __repr__(self) -> str:
        return f"StoredPixels({len(self)} images)"

    def read(self, rows: Sequence[int]) -> SourceBatch:
        """Read the images at `rows`; none is skipped."""
        images = torch.empty(len(rows), *self.image_spec.shape)
        where = [self._places[row] for row in rows]
        for index in sorted({index for index, _ in where}):
            numbers = [n for n, (shard, _) in enumerate(where) if shard == index]
            pixels = self._rows.read(index, "images", [(where[n][1],) for n in numbers])
            images[numbers] = pixels.float() / 127.5 - 1.0
        return SourceBatch(
            images=images,
            ids=tuple(self.ids[row] for row in rows),
            hashes=tuple(self._hashes[row] for row in rows),
        )

    def hashes(self) -> tuple[str, ...]:
        """Of the 8-bit pixels, so that a copy in another kind of file has the same."""
        return self._hashes

    def __describe__(self) -> dict[str, object]:
        """Pixels and labels."""
        return {"pixels": self._fingerprint, "labels": self.labels, "classes": self.class_names}

    def fingerprint(self) -> str:
        """A hash of the source's fingerprint; its pixels are rounded to 8 bits."""
        return self._fingerprint
