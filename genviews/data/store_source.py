"""The images that a store of shards holds, as a source.

    STORE -> invert -> latents

So the reconstructions of one run, or images that were aligned once, are the input of another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genviews.checks import fail
from genviews.data.source import HASH_BYTES, ImageSource, SourceBatch, content_hash
from genviews.shard import Shard
from genviews.store import ShardStore, stored_identity
from genviews.types import ImageSpec

__all__ = ["StoreSource"]

_NAMES = ("images", "reconstructions")  # of the tensor with the pixels; the first that is there


class StoreSource(ImageSource):
    """The samples of a store whose shards hold `images`, or else `reconstructions`.

    Pixels are uint8, or floats in [-1, 1]. Reconstructions, which generators draw a little beyond
    that, are clamped. A tensor `masks` (n, 1, H, W) is used where there is one.

    Args:
        folder: a path, or a URL that fsspec knows.
        image_spec: of the images, checked.

    Raises:
        FileNotFoundError: no shard is there.
        ValueError: shards without such a tensor, with images of another shape, damaged, or with a
            sample in two of them.
    """

    def __init__(self, folder: str | Path, image_spec: ImageSpec) -> None:
        self.image_spec, self._folder = image_spec, str(folder)
        self._store = ShardStore(folder, stored_identity(folder))
        self._last: tuple[int, Shard] | None = None
        self._places: list[tuple[int, int]] = []  # of each row: shard, row in it
        digest = hashlib.blake2b(digest_size=HASH_BYTES)
        ids: list[str] = []
        hashes: list[str] = []
        for index in self._store.present():
            shard = self._shard(index)
            ids += shard.ids
            self._places += [(index, row) for row in range(len(shard))]
            for row in range(len(shard)):
                hashes.append(content_hash(_pixels(shard, row)[0].numpy().tobytes()))
                digest.update(repr((shard.ids[row], _hash(shard, row))).encode())
        self.ids, self._hashes = tuple(ids), tuple(hashes)
        self._check_ids()
        self._fingerprint = digest.hexdigest()

    def __repr__(self) -> str:
        return f"StoreSource({self._folder!r}, {len(self)} images)"

    def read(self, rows: Sequence[int]) -> SourceBatch:
        """Read samples; those with pixels out of range are in `skipped`."""
        parts = list(self._pick(rows))
        good = [one for one in parts if not one[3]]
        masks = [mask for _, _, mask, _ in good if mask is not None]
        images = [image for _, image, _, _ in good]
        return SourceBatch(
            images=torch.stack(images) if images else torch.empty(0, *self.image_spec.shape),
            ids=tuple(name for name, *_ in good),
            hashes=tuple(content_hash(image.numpy().tobytes()) for image in images),
            masks=torch.stack(masks) if masks else None,
            skipped=tuple((name, reason) for name, _, _, reason in parts if reason),
        )

    def hashes(self) -> tuple[str, ...]:
        """The hash of the pixels of each sample."""
        return self._hashes

    def fingerprint(self) -> str:
        """A hash of ids, pixels and masks, however they are cut into shards."""
        return self._fingerprint

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_last": None}

    def _pick(self, rows: Sequence[int]) -> Iterator[tuple[str, Tensor, Tensor | None, str]]:
        """Id, image, mask and what is wrong with it, of each row."""
        for index, places in groupby((self._places[row] for row in rows), key=lambda p: p[0]):
            shard = self._shard(index)
            for _, row in places:
                image, reason = _pixels(shard, row)
                masks = shard.tensors.get("masks")
                yield shard.ids[row], image, None if masks is None else masks[row].float(), reason

    def _shard(self, index: int) -> Shard:
        if self._last is None or self._last[0] != index:
            self._last = (index, self._store.read(index))
            if len(self._last[1]):
                self._check(self._last[1])
        return self._last[1]

    def _check(self, shard: Shard) -> None:
        name = next((n for n in _NAMES if n in shard.tensors), None)
        if name is None:
            fail(
                f"store {self._folder}",
                expected="shards with a tensor `images` or `reconstructions`",
                got=", ".join(sorted(shard.tensors)),
                remedy="latents are no images: name the store of reconstructions",
            )
        if tuple(shard.tensors[name].shape[1:]) != self.image_spec.shape:
            fail(
                f"images of the store {self._folder}",
                expected=f"shape {self.image_spec.shape}, what the generator makes",
                got=tuple(shard.tensors[name].shape[1:]),
                remedy="use a store of images of this size",
            )

    def _check_ids(self) -> None:
        if not self.ids or len(set(self.ids)) != len(self.ids):
            fail(
                f"images of the store {self._folder}",
                expected="at least one, each with an id of its own",
                got=f"{len(self.ids)}, of which {len(set(self.ids))} differ",
                remedy="use a store that one job made",
            )


def _pixels(shard: Shard, row: int) -> tuple[Tensor, str]:
    """An image in [-1, 1], and what is wrong with it."""
    name = next(n for n in _NAMES if n in shard.tensors)
    image = shard.tensors[name][row]
    if image.dtype == torch.uint8:
        return image.float() / 127.5 - 1, ""
    image = image.float()
    if not bool(image.isfinite().all()):
        return image, "has pixels that are no finite number"
    if name == "images" and float(image.abs().max()) > 1 + 1e-4:
        return image, f"has values from {image.min():g} to {image.max():g}, not in [-1, 1]"
    return image.clamp(-1, 1), ""


def _hash(shard: Shard, row: int) -> str:
    known = [shard.tensors[name][row] for name in (*_NAMES, "masks") if name in shard.tensors]
    return " ".join(content_hash(value.contiguous().numpy().tobytes()) for value in known)
