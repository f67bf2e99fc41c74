"""Single rows of the tensors of a store, read from the disk as they are needed.

Training looks at samples in a drawn order, a few from each shard, and a data set of a hundred
thousand images does not fit into memory. The tensors of a shard's file lie one after the other,
row by row, so a row is read by its place alone. Files are read and not mapped into memory: mapped
pages count as the process' own.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from genviews.store import ShardStore

__all__ = ["StoredRows"]

_DTYPES = {
    "U8": torch.uint8,
    "I8": torch.int8,
    "I16": torch.int16,
    "I32": torch.int32,
    "I64": torch.int64,
    "BOOL": torch.bool,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
}


_Place = tuple[int, tuple[int, ...], torch.dtype]  # of a tensor in its file: where, and what


class StoredRows:
    """Rows of the tensors of a store, by shard and place in it.

    A shard is read whole, and its checksum compared, when it is first touched; from then on its
    rows alone are (at a URL it stays in memory).

    Args:
        store: complete.
    """

    def __init__(self, store: ShardStore) -> None:
        self._store = store
        self._places: dict[int, dict[str, _Place]] = {}
        self._whole: dict[int, dict[str, Tensor]] = {}

    def names(self, index: int) -> list[str]:
        """Return the names of a shard's tensors, sorted.

        Raises:
            FileNotFoundError: the shard is missing.
            ValueError: it is damaged.
        """
        self._touch(index)
        return sorted(self._places.get(index) or self._whole[index])

    def read(self, index: int, name: str, rows: Sequence[Sequence[int]]) -> Tensor:
        """Return entries of a tensor, stacked along a first axis.

        Args:
            index: of the shard.
            name: of the tensor.
            rows: the place of each entry along the first axes: (row,) or (row, view).

        Raises:
            FileNotFoundError: the shard is missing.
            ValueError: it is damaged.
        """
        self._touch(index)
        if index in self._whole:
            value = self._whole[index][name]
            return torch.stack([value[tuple(row)] for row in rows])
        start, whole, dtype = self._places[index][name]
        shape = whole[len(rows[0]) :]
        size = math.prod(shape) * dtype.itemsize
        if not size or not rows:
            return torch.empty(len(rows), *shape, dtype=dtype)
        data = bytearray(size * len(rows))
        with open(str(self._store.local_path(index)), "rb", buffering=0) as file:
            for number, row in enumerate(rows):
                place = int(np.ravel_multi_index(tuple(row), whole[: len(row)]))
                file.seek(start + place * size)
                part = memoryview(data)[number * size : (number + 1) * size]
                if file.readinto(part) != size:
                    raise OSError(f"shard {index} has become shorter")
        return torch.frombuffer(data, dtype=dtype).reshape(len(rows), *shape)

    def _touch(self, index: int) -> None:
        if index in self._places or index in self._whole:
            return
        shard, path = self._store.read(index), self._store.local_path(index)
        if path is None:
            self._whole[index] = shard.tensors
        else:
            self._places[index] = _places(path)


def _places(path: str) -> dict[str, _Place]:
    """Where each tensor of a safetensors file lies."""
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
    header.pop("__metadata__", None)
    return {
        name: (8 + size + entry["data_offsets"][0], tuple(entry["shape"]), _DTYPES[entry["dtype"]])
        for name, entry in header.items()
    }
