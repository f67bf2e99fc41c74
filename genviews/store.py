"""Shards of tensors in a folder or at any fsspec URL: written whole, resumable, tied to a key.

A long job is cut into shards of samples. A shard is one safetensors file, `00012.safetensors`, with
the tensors, the sample ids, the store's key (the configuration that made it) and a checksum. There
is no index to go stale: a shard is done when its file is there and whole. A job killed at any time
loses at most the shard in flight; a re-run asks `missing` and makes only those.

    store = ShardStore("runs/latents", key={"inverter": "lbfgs", "steps": 500, "shard_size": 64})
    for index in store.missing(num_shards):
        store.write(index, {"latents": latents}, ids)
    latents = store.read_all(num_shards).tensors["latents"]
"""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import torch
from fsspec.implementations.local import LocalFileSystem
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from genviews.checks import check_count, fail
from genviews.files import atomic_write_bytes, tensor_bytes

__all__ = ["Shard", "ShardStore"]

_NAME = re.compile(r"(\d{5,})\.safetensors")
_FORMAT = "genviews-shard-1"


@dataclass(frozen=True, kw_only=True, eq=False)
class Shard:
    """Tensors whose first axis is the sample, and the samples' ids."""

    tensors: dict[str, Tensor]
    ids: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)


class _DamagedShard(Exception):
    """The file is no whole shard; the text says why."""


class ShardStore:
    """Shards in a folder or at a URL, all made under one key.

    Opening a store writes nothing. On a local disk a shard appears in one step (temporary file,
    fsync, move). At a URL it is one upload: object stores show it when it is whole, and on any
    other file system the checksum tells a torn one.

    Args:
        folder: a path, or a URL that fsspec knows ("s3://bucket/run", "memory://run").
        key: everything that the content depends on (configuration, fingerprint of the source, seed,
            shard size), as JSON values. A store with shards made under another key is refused.

    Attributes:
        damaged: shard index -> reason, for the damaged shards seen so far.

    Raises:
        ValueError: the folder holds shards of another key; the message lists what differs.
        TypeError: a key that is not JSON.
    """

    def __init__(self, folder: str | Path, key: Mapping[str, object]) -> None:
        self._key = _key_text(key)
        self._files, self._root = fsspec.url_to_fs(str(folder))
        self.damaged: dict[int, str] = {}
        for index in self.present():
            try:
                self._load(index)
            except (_DamagedShard, FileNotFoundError):
                continue  # damage is reported when the shard is asked for
            break

    def present(self) -> list[int]:
        """Return the indices of the shard files that exist, whole or damaged, in order."""
        self._files.invalidate_cache()
        if not self._files.exists(self._root):
            return []
        names = (str(path).rsplit("/", 1)[-1] for path in self._files.ls(self._root, detail=False))
        return sorted(int(found[1]) for name in names if (found := _NAME.fullmatch(name)))

    def missing(self, shards: int | Iterable[int]) -> list[int]:
        """Return the shards that are still to be made: absent, or damaged (with a warning).

        Every file is read and its checksum compared.

        Args:
            shards: the number of shards of the job, or the indices to look at.

        Raises:
            ValueError: a shard was made under another key.
        """
        wanted = range(shards) if isinstance(shards, int) else shards
        here = set(self.present())
        return [i for i in wanted if i not in here or not self._is_whole(i)]

    def write(self, index: int, tensors: Mapping[str, Tensor], ids: Sequence[str]) -> None:
        """Write one shard, replacing an older or damaged one.

        Args:
            index: number of the shard, from 0.
            tensors: at least one tensor; the first axis of each is the sample.
            ids: unique names of the samples, in the order of that axis.

        Raises:
            ValueError: no tensors, duplicate ids, or a first axis of another length.
        """
        check_count(index, "shard index", least=0)
        _check_content(tensors, ids)
        metadata = {"format": _FORMAT, "key": self._key, "ids": json.dumps(list(ids))}
        metadata["checksum"] = _checksum(tensors, metadata)
        data = tensor_bytes(tensors, metadata)
        if isinstance(self._files, LocalFileSystem):
            atomic_write_bytes(self._path(index), data)
        else:
            self._files.makedirs(self._root, exist_ok=True)
            self._files.pipe_file(self._path(index), data)
        self.damaged.pop(index, None)

    def read(self, index: int) -> Shard:
        """Return one shard.

        Raises:
            FileNotFoundError: the shard was never written.
            ValueError: it is damaged, or was made under another key.
        """
        try:
            return self._load(index)
        except FileNotFoundError:
            fail(
                f"shard {index} of {self._root}",
                expected="a file",
                got="none",
                remedy="run the job again; it makes what is missing",
                error=FileNotFoundError,
            )
        except _DamagedShard as error:
            self.damaged[index] = str(error)
            fail(
                f"shard {index} of {self._root}",
                expected="a whole file",
                got=str(error),
                remedy="run the job again; it makes damaged shards anew",
            )

    def read_all(self, shards: int | None = None) -> Shard:
        """Return all shards as one, in the order of their index.

        Args:
            shards: the number of shards that the job has, checked; None reads those that exist.

        Raises:
            FileNotFoundError: a shard of the job, or any shard at all, is absent.
            ValueError: a damaged shard, shards with different tensors, or a sample in two of them.
        """
        indices = self.present() if shards is None else list(range(shards))
        if not indices:
            fail(
                f"store {self._root}",
                expected="at least one shard",
                got="none",
                remedy="run the job that fills it",
                error=FileNotFoundError,
            )
        parts = [self.read(i) for i in indices]
        return _join(parts, self._root)

    def _is_whole(self, index: int) -> bool:
        try:
            self._load(index)
        except FileNotFoundError:
            return False  # deleted since the folder was listed
        except _DamagedShard as error:
            self.damaged[index] = str(error)
            warnings.warn(
                f"shard {index} of {self._root} is damaged ({error}); it counts as missing",
                RuntimeWarning,
                stacklevel=3,
            )
            return False
        return True

    def _path(self, index: int) -> str:
        return f"{self._root}/{index:05d}.safetensors"

    def _load(self, index: int) -> Shard:
        data: bytes = self._files.cat_file(self._path(index))
        tensors, metadata = _parse(data)
        if metadata["key"] != self._key:
            _refuse_key(self._root, json.loads(metadata["key"]), json.loads(self._key))
        return Shard(tensors=tensors, ids=tuple(json.loads(metadata["ids"])))


def _parse(data: bytes) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        tensors = load(data)  # refuses a truncated file, so the header can be read after it
        size = int.from_bytes(data[:8], "little")
        metadata: dict[str, str] = json.loads(data[8 : 8 + size]).get("__metadata__", {})
    except (SafetensorError, ValueError) as error:
        raise _DamagedShard(f"{len(data)} bytes, {error}") from None
    if metadata.get("format") != _FORMAT or not {"key", "ids", "checksum"} <= metadata.keys():
        raise _DamagedShard("not written by a shard store")
    if metadata["checksum"] != _checksum(tensors, metadata):
        raise _DamagedShard("its checksum does not match")
    return tensors, metadata


def _checksum(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    shapes = [(n, str(tensors[n].dtype), tuple(tensors[n].shape)) for n in sorted(tensors)]
    digest.update(repr((metadata["key"], metadata["ids"], shapes)).encode())
    for name in sorted(tensors):
        flat = tensors[name].detach().cpu().contiguous().flatten()
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _check_content(tensors: Mapping[str, Tensor], ids: Sequence[str]) -> None:
    if not tensors:
        fail("shard", expected="at least one tensor", got="none", remedy="pass what to keep")
    if len(set(ids)) != len(ids):
        fail("shard ids", expected="no duplicates", got=list(ids), remedy="name each sample once")
    for name, tensor in tensors.items():
        if tensor.ndim == 0 or tensor.shape[0] != len(ids):
            fail(
                f"shard tensor {name!r}",
                expected=f"a first axis of {len(ids)}, one entry for each id",
                got=tuple(tensor.shape),
                remedy="pass one row for each sample",
            )


def _join(parts: list[Shard], root: str) -> Shard:
    names = parts[0].tensors.keys()
    if any(part.tensors.keys() != names for part in parts):
        fail(
            f"store {root}",
            expected=f"tensors {sorted(names)} in every shard",
            got=f"{sorted({n for p in parts for n in p.tensors})} over all",
            remedy="the shards come from different jobs: use one folder for each",
        )
    ids = tuple(i for part in parts for i in part.ids)
    if len(set(ids)) != len(ids):
        fail(
            f"store {root}",
            expected="each sample in one shard",
            got=f"{len(ids) - len(set(ids))} repeated",
            remedy="put the shard size into the key, so that another cut is another store",
        )
    return Shard(tensors={n: torch.cat([p.tensors[n] for p in parts]) for n in names}, ids=ids)


def _key_text(key: Mapping[str, object]) -> str:
    try:
        return json.dumps(dict(key), sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        fail(
            "store key",
            expected="numbers, strings, lists and dicts, all finite",
            got=str(error),
            remedy="describe the configuration in JSON values",
            error=TypeError,
        )


def _refuse_key(root: str, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    there, here = _flat(theirs), _flat(ours)
    absent = "(absent)"
    differing = [
        f"{field}: {there.get(field, absent)} in the store, {here.get(field, absent)} asked"
        for field in sorted(there.keys() | here.keys())
        if there.get(field, absent) != here.get(field, absent)
    ]
    fail(
        f"store {root}",
        expected="shards made under the same key",
        got="; ".join(differing),
        remedy="use another folder for another configuration, or delete this one",
    )


def _flat(value: dict[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, item in value.items():
        inner = isinstance(item, dict) and item
        flat |= _flat(item, f"{prefix}{name}.") if inner else {f"{prefix}{name}": json.dumps(item)}
    return flat
