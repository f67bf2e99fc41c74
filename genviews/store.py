"""Shards of tensors in a folder or at any fsspec URL: written whole, resumable, of one identity.

A long job is cut into shards of samples. A shard is one safetensors file, `00012.safetensors`, with
the tensors, the sample ids, the exact parts of the store's identity and a checksum. There is no
index to go stale: a shard is done when its file is there and whole. A job killed at any time
loses at most the shard in flight; a re-run asks `missing` and makes only those.

    store = ShardStore("runs/latents", identify(generator=generator, inverter=inverter))
    for index in store.missing(num_shards):
        store.write(index, Shard(tensors={"latents": latents}, ids=ids))
    latents = store.read_all(num_shards).tensors["latents"]

`genviews.work.run_shards` is that loop, for several processes or machines at once.
"""

from __future__ import annotations

import contextlib
import json
import re
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import fsspec
from fsspec import AbstractFileSystem
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

__all__ = ["MemoryStore", "Shard", "ShardStore", "stored_identity"]

_NAME = re.compile(r"(\d{5,})\.safetensors")


class ShardStore:
    """Shards in a folder or at a URL, all of one identity.

    Opening a store writes nothing. On a local disk a shard appears in one step (temporary file,
    fsync, move). At a URL it is one upload: object stores show it when it is whole, and on any
    other file system the checksum tells a torn one.

    Args:
        folder: a path, or a URL that fsspec knows ("s3://bucket/run", "memory://run").
        identity: of all that the content depends on, the shard size included: see `identify`. A
            store with shards of another one is refused. Its answers are kept beside the shards.

    Attributes:
        identity: the same.
        damaged: shard index -> reason, for the damaged shards seen so far.

    Raises:
        ValueError: the folder holds shards of another identity; the message says what differs.
    """

    def __init__(self, folder: str | Path, identity: Identity) -> None:
        self.identity, self._key = identity, key_text(identity.exact)
        self._files, self._root = fsspec.url_to_fs(str(folder))
        self._folder, self._kept = str(folder), not identity.answers
        self.damaged: dict[int, str] = {}
        theirs = _first_key(self._files, self._root)
        if theirs is not None:
            identity.check(_identity(theirs, folder), f"store {self._root}")

    def present(self) -> list[int]:
        """Return the indices of the shard files that exist, whole or damaged, in order."""
        return _present(self._files, self._root)

    def missing(self, shards: int | Iterable[int]) -> list[int]:
        """Return the shards that are still to be made: absent, or damaged (with a warning).

        Every file is read and its checksum compared.

        Args:
            shards: the number of shards of the job, or the indices to look at.

        Raises:
            ValueError: a shard of another identity.
        """
        wanted = range(shards) if isinstance(shards, int) else shards
        here = set(self.present())
        return [i for i in wanted if i not in here or not self._is_whole(i)]

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

    @contextlib.contextmanager
    def claim(self, index: int) -> Iterator[bool]:
        """Claim a shard for the length of a `with` block, so that two runs share the work.

        Only a hint: writing needs no claim. On a local disk the claim is a lock file beside the
        shard (see `genviews.claim`); at a URL every claim is granted.

        Yields:
            False if another process is making the shard. Where True, ask `has` before making it.

        Raises:
            OSError: the folder cannot be written.
        """
        if not self._is_local:
            yield True
            return
        with claim(f"{self._root}/.{index:05d}.lock") as mine:
            yield mine

    def clean(self) -> None:
        """Remove the lock files and half-written files that killed processes left."""
        if self._is_local:
            remove_stale_claims(self._root, ".[0-9]*.lock")
            remove_stale_claims(self._root, ".[0-9]*.safetensors.*.tmp")

    def write(self, index: int, shard: Shard) -> None:
        """Write one shard, replacing an older or damaged one.

        Args:
            index: number of the shard, from 0.
            shard: what to keep.

        Raises:
            ValueError: no tensors, duplicate ids, or a first axis of another length.
        """
        check_count(index, "shard index", least=0)
        if not self._kept:
            self.identity.keep(self._folder, f"store {self._root}")
            self._kept = True
        data = encode_shard(shard, self._key)
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
            fail(
                f"shard {index} of {self._root}",
                expected="a file",
                got="none",
                remedy="run the job again; it makes what is missing",
                error=FileNotFoundError,
            )
        except DamagedShardError as error:
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
        return join_shards(parts, self._root)

    def _is_whole(self, index: int) -> bool:
        if self.has(index):
            return True
        if index in self.damaged:
            warnings.warn(
                f"shard {index} of {self._root} is damaged ({self.damaged[index]}); "
                "it counts as missing",
                RuntimeWarning,
                stacklevel=3,
            )
        return False

    @property
    def _is_local(self) -> bool:
        return isinstance(self._files, LocalFileSystem)

    def _path(self, index: int) -> str:
        return _path(self._root, index)

    def _load(self, index: int) -> Shard:
        shard, key = decode_shard(self._files.cat_file(self._path(index)))
        if key != self._key:
            self.identity.check(Identity(json.loads(key)), f"store {self._root}")
        return shard


class MemoryStore:
    """Shards of this process that are kept nowhere: a job without a folder runs like one with."""

    def __init__(self) -> None:
        self._shards: dict[int, Shard] = {}

    def present(self) -> list[int]:
        """Return the indices of the shards."""
        return sorted(self._shards)

    def missing(self, shards: int | Iterable[int]) -> list[int]:
        """Return the shards, of that many or of those indices, that are still to be made."""
        wanted = range(shards) if isinstance(shards, int) else shards
        return [index for index in wanted if index not in self._shards]

    def has(self, index: int) -> bool:
        """Whether a shard is there."""
        return index in self._shards

    def claim(self, index: int) -> contextlib.nullcontext[bool]:
        """Granted: there is no other process."""
        return contextlib.nullcontext(True)

    def write(self, index: int, shard: Shard) -> None:
        """Keep one shard."""
        self._shards[index] = shard

    def read(self, index: int) -> Shard:
        """Return one shard."""
        return self._shards[index]

    def read_all(self, shards: int) -> Shard:
        """Return all shards as one, in the order of their index."""
        return join_shards([self._shards[index] for index in range(shards)], "in memory")

    def clean(self) -> None:
        """Nothing is left by killed processes."""


def stored_identity(folder: str | Path) -> Identity:
    """Return the identity of the shards in a folder or at a URL.

    Raises:
        FileNotFoundError: no whole shard is there.
    """
    files, root = fsspec.url_to_fs(str(folder))
    key = _first_key(files, root)
    if key is None:
        fail(
            f"store {root}",
            expected="at least one whole shard",
            got="none",
            remedy="check the path, or run the job that fills it",
            error=FileNotFoundError,
        )
    return _identity(key, folder)


def _identity(key: str, folder: str | Path) -> Identity:
    """The exact parts that a shard holds, with the answers that are kept beside it."""
    kept = Identity.kept_in(folder)
    return Identity(json.loads(key), {} if kept is None else kept.answers)


def _first_key(files: AbstractFileSystem, root: str) -> str | None:
    """The key of the first whole shard; damage is reported when the shard is asked for."""
    for index in _present(files, root):
        with contextlib.suppress(DamagedShardError, FileNotFoundError):
            return decode_shard(files.cat_file(_path(root, index)))[1]
    return None


def _present(files: AbstractFileSystem, root: str) -> list[int]:
    files.invalidate_cache()
    if not files.exists(root):
        return []
    names = (str(path).rsplit("/", 1)[-1] for path in files.ls(root, detail=False))
    return sorted(int(found[1]) for name in names if (found := _NAME.fullmatch(name)))


def _path(root: str, index: int) -> str:
    return f"{root}/{index:05d}.safetensors"
