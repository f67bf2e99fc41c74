"""Stores: the pieces of a long job, each written whole, all of one identity, and so resumable.

A shard of samples is one safetensors file in a folder or at any fsspec URL, `00012.safetensors`,
with the tensors, the sample ids, the exact parts of the store's identity and a checksum. There is
no index to go stale: a shard is done when its file is there and whole. A job killed at any time
loses at most the shard in flight; a re-run asks `missing` and makes only those.

    store = ShardStore("runs/latents", identify(generator=generator, inverter=inverter))
    for index in store.missing(num_shards):
        store.write(index, Shard(tensors={"latents": latents}, ids=ids))
    latents = store.read_all(num_shards).tensors["latents"]

`genviews.work.run_shards` is that loop, for several processes or machines at once. A piece of work
that ends in a JSON record (a row of a study, what a judge says) is kept by a
`genviews.record_store.RecordStore`.
"""

from __future__ import annotations

import json
import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any, Generic, TypeVar

import fsspec
from fsspec.implementations.local import LocalFileSystem

from genviews.checks import check_count, fail
from genviews.claim import claim, remove_stale_claims
from genviews.files import atomic_write_bytes
from genviews.identity import Identity
from genviews.shard import (
    DamagedShardError,
    Shard,
    decode_shard,
    encode_shard,
    join_shards,
    key_text,
)

__all__ = ["MemoryStore", "Shard", "ShardStore", "Store"]

_NAME = re.compile(r"(\d{5,})\.safetensors")
Made = TypeVar("Made")


class Store(ABC, Generic[Made]):
    """The pieces of a long job by their number: what `genviews.work.run_shards` fills.

    Attributes:
        damaged: number -> reason, for the damaged pieces seen so far.
    """

    def __init__(self) -> None:
        self.damaged: dict[int, str] = {}

    @abstractmethod
    def present(self) -> list[int]:
        """Return the pieces that exist, whole or damaged, in order; cheap, as it is asked often."""

    @abstractmethod
    def has(self, index: int) -> bool:
        """Whether a piece is there and whole; a damaged one is noted in `damaged`.

        Raises:
            ValueError: it was made for another job.
        """

    @abstractmethod
    def write(self, index: int, made: Made) -> None:
        """Keep a piece, in one step: nobody ever sees half of it."""

    def name(self, index: int) -> str:
        """What a piece is called in messages."""
        return f"shard {index}"

    def missing(self, shards: int | Iterable[int]) -> list[int]:
        """Return the pieces that are still to be made: absent, or damaged (with a warning).

        Every one is read.

        Args:
            shards: the number of pieces of the job, or those to look at.

        Raises:
            ValueError: a piece of another job.
        """
        wanted = range(shards) if isinstance(shards, int) else shards
        here = set(self.present())
        left = [index for index in wanted if index not in here or not self.has(index)]
        for index in self.damaged.keys() & set(left):
            text = f"{self.name(index)} is damaged ({self.damaged[index]}); it counts as missing"
            warnings.warn(text, RuntimeWarning, stacklevel=2)
        return left

    def claim(self, index: int) -> AbstractContextManager[bool]:
        """Claim a piece for the length of a `with` block, so that two runs share the work.

        Only a hint: writing needs no claim. False if another process is making the piece; where
        True, ask `has` before making it. Granted where nothing tells processes of each other.

        Raises:
            OSError: the folder cannot be written.
        """
        return nullcontext(True)

    def clean(self) -> None:
        """Remove what killed processes left: lock files and half-written files."""


class ShardStore(Store[Shard]):
    """Shards in a folder or at a URL, all of one identity.

    Opening a store writes nothing. On a local disk a shard appears in one step (temporary file,
    fsync, move). At a URL it is one upload: object stores show it when it is whole, and on any
    other file system the checksum tells a torn one.

    Args:
        folder: a path, or a URL that fsspec knows ("s3://bucket/run", "memory://run").
        identity: of all that the content depends on, the shard size included: see `identify`. A
            store with shards of another one is refused. Its answers are kept beside the shards.
            None takes that of the shards that are there.

    Attributes:
        identity: the same.

    Raises:
        FileNotFoundError: no identity, and no whole shard to take it from.
        ValueError: the folder holds shards of another identity; the message says what differs.
    """

    def __init__(self, folder: str | Path, identity: Identity | None = None) -> None:
        super().__init__()
        self._files, self._root = _place(folder)
        self._folder, theirs = str(folder), self._stored(folder)
        if identity is not None and theirs is not None:
            identity.check(theirs, f"store {self._root}")
        found = identity or theirs
        if found is None:
            fail(
                f"store {self._root}",
                expected="at least one whole shard",
                got="none",
                remedy="check the path, or run the job that fills it",
                error=FileNotFoundError,
            )
        self.identity = found
        self._key, self._kept = key_text(self.identity.exact), not self.identity.answers

    def _stored(self, folder: str | Path) -> Identity | None:
        """The exact parts of the first whole shard, with the answers that are kept beside it."""
        for index in self.present():
            # Damage is reported when the shard is asked for.
            with suppress(DamagedShardError, FileNotFoundError):
                _, key = decode_shard(self._files.cat_file(self._path(index)))
                kept = Identity.kept_in(folder)
                return Identity(json.loads(key), {} if kept is None else kept.answers)
        return None

    def present(self) -> list[int]:
        """Return the indices of the shard files that exist, whole or damaged, in order."""
        self._files.invalidate_cache()
        if not self._files.exists(self._root):
            return []
        names = (str(path).rsplit("/", 1)[-1] for path in self._files.ls(self._root, detail=False))
        return sorted(int(found[1]) for name in names if (found := _NAME.fullmatch(name)))

    def name(self, index: int) -> str:
        """What a shard is called in messages."""
        return f"shard {index} of {self._root}"

    def has(self, index: int) -> bool:
        """Whether a shard is there and whole; a damaged one is noted in `damaged`, not warned of.

        Raises:
            ValueError: it is of another identity.
        """
        self.damaged.pop(index, None)
        try:
            self._load(index)
        except FileNotFoundError:
            return False
        except DamagedShardError as error:
            self.damaged[index] = str(error)
            return False
        return True

    def claim(self, index: int) -> AbstractContextManager[bool]:
        """On a local disk a claim is a lock file beside the shard; at a URL each is granted."""
        return claim(f"{self._root}/.{index:05d}.lock") if self._is_local else nullcontext(True)

    def clean(self) -> None:
        """Remove the lock files and half-written files that killed processes left."""
        if self._is_local:
            remove_stale_claims(self._root, ".[0-9]*.lock")
            remove_stale_claims(self._root, ".[0-9]*.safetensors.*.tmp")

    def write(self, index: int, made: Shard) -> None:
        """Write one shard, replacing an older or damaged one.

        Args:
            index: number of the shard, from 0.
            made: what to keep.

        Raises:
            ValueError: no tensors, duplicate ids, or a first axis of another length.
        """
        check_count(index, "shard index", least=0)
        if not self._kept:
            self.identity.keep(self._folder, f"store {self._root}")
            self._kept = True
        data = encode_shard(made, self._key)
        if self._is_local:
            atomic_write_bytes(self._path(index), data)
        else:
            self._files.makedirs(self._root, exist_ok=True)
            self._files.pipe_file(self._path(index), data)
        self.damaged.pop(index, None)

    def local_path(self, index: int) -> str | None:
        """The file of a shard; None at a URL."""
        return self._path(index) if self._is_local else None

    def read(self, index: int) -> Shard:
        """Return one shard.

        Raises:
            FileNotFoundError: the shard was never written.
            ValueError: it is damaged, or of another identity.
        """
        try:
            return self._load(index)
        except FileNotFoundError:
            absent = FileNotFoundError
            remedy = "run the job again; it makes what is missing"
            fail(self.name(index), expected="a file", got="none", remedy=remedy, error=absent)
        except DamagedShardError as error:
            self.damaged[index] = str(error)
            remedy = "run the job again; it makes damaged shards anew"
            fail(self.name(index), expected="a whole file", got=self.damaged[index], remedy=remedy)

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
        return join_shards(parts, self._root)

    @property
    def _is_local(self) -> bool:
        return isinstance(self._files, LocalFileSystem)

    def _path(self, index: int) -> str:
        return f"{self._root}/{index:05d}.safetensors"

    def _load(self, index: int) -> Shard:
        shard, key = decode_shard(self._files.cat_file(self._path(index)))
        if key != self._key:
            self.identity.check(Identity(json.loads(key)), f"store {self._root}")
        return shard


def _place(folder: str | Path) -> tuple[Any, str]:
    """The file system that a folder or URL lies on, and its path there."""
    try:
        found: tuple[Any, str] = fsspec.url_to_fs(str(folder))
    except (ImportError, ValueError) as error:
        fail(
            f"store {folder}",
            expected="a folder, or a URL of a file system that is installed",
            got=str(error),
            remedy="install the package of that file system, or copy the store to this machine",
        )
    return found


class MemoryStore(Store[Shard]):
    """Shards of this process that are kept nowhere: a job without a folder runs like one with."""

    def __init__(self) -> None:
        super().__init__()
        self._shards: dict[int, Shard] = {}

    def present(self) -> list[int]:
        """Return the indices of the shards."""
        return sorted(self._shards)

    def has(self, index: int) -> bool:
        """Whether a shard is there."""
        return index in self._shards

    def write(self, index: int, made: Shard) -> None:
        """Keep one shard."""
        self._shards[index] = made

    def read(self, index: int) -> Shard:
        """Return one shard."""
        return self._shards[index]

    def read_all(self, shards: int) -> Shard:
        """Return all shards as one, in the order of their index."""
        return join_shards([self._shards[index] for index in range(shards)], "in memory")
