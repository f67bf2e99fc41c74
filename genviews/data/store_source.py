"""The images that a store of shards holds, as a source.

    STORE -> invert -> latents

So the reconstructions of one run, or images that were aligned once, are the input of another.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genviews.checks import fail
from genviews.data.content import content_hash
from genviews.data.decode import UnfitImageError
from genviews.data.source import Row, RowSource
from genviews.shard import Shard
from genviews.store import ShardStore
from genviews.types import ImageSpec, check_masks

__all__ = ["StoreSource"]

_NAMES = ("images", "reconstructions")  # of the tensor with the pixels; the first that is there


class StoreSource(RowSource):
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
        self.name = Path(folder).name
        self._store = ShardStore(folder)
        self._last: tuple[int, Shard] | None = None
        self._places: list[tuple[int, int]] = []  # of each row: shard, row in it
        self._masks: list[str] = []
        ids: list[str] = []
        for index in self._store.present():
            shard = self._shard(index)
            ids += shard.ids
            self._places += [(index, row) for row in range(len(shard))]
            masks = shard.tensors.get("masks", ())
            if len(masks):
                check_masks(masks, len(shard), image_spec.shape[1:])
            self._masks += [content_hash(mask) for mask in masks]
        self.ids = tuple(ids)
        if not ids or len(set(ids)) != len(ids):
            fail(
                f"images of the store {folder}",
                expected="at least one, each with an id of its own",
                got=f"{len(ids)}, of which {len(set(ids))} differ",
                remedy="use a store that one job made",
            )

    def row(self, row: int) -> Row:
        """Read a sample; the hash is that of its pixels."""
        index, place = self._places[row]
        values = {name: stored[place] for name, stored in self._shard(index).tensors.items()}
        image, mask = _pixels(values), values.get("masks")
        return image, content_hash(image), None if mask is None else mask.float()

    def _geometry(self) -> object:
        return self._masks

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_last": None}

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


def _pixels(values: Mapping[str, Tensor]) -> Tensor:
    """The image of a sample, in [-1, 1]."""
    name = next(n for n in _NAMES if n in values)
    image = values[name]
    if image.dtype == torch.uint8:
        return image.float() / 127.5 - 1
    image = image.float()
    if not bool(image.isfinite().all()):
        raise UnfitImageError("has pixels that are no finite number")
    if name == "images" and float(image.abs().max()) > 1 + 1e-4:
        low, high = image.min(), image.max()
        raise UnfitImageError(f"has values from {low:g} to {high:g}, not in [-1, 1]")
    return image.clamp(-1, 1)
