"""Hashes of files, kept from run to run, so that a second start need not read every byte again.

    FILE -> name, size, times, inode as kept? -> the kept hash, else read and hash

A file is taken for unchanged when its size, its time of modification, its time of change and its
inode are those it had when it was hashed. The time of change is the system's own: writing a byte
and setting the time of modification back is noticed. (On Windows it is the time of creation, so
there that is not noticed.) A file that was changed less than two seconds before it was hashed is
read again next time, since a later change could leave it with the same times.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from genviews.data.content import content_hash_of
from genviews.files import atomic_write_bytes

__all__ = ["HASHES", "hash_of_file", "kept_hashes", "save_hashes"]

HASHES = "hashes.json"  # in the folder of a run, beside its results
SETTLED = 2_000_000_000  # ns; file systems with the coarsest times (FAT) count in 2 s


class _KeptHashes:
    """Hashes of files in a JSON file, and which of them this block asked for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._before: dict[str, list[int | str]] | None = None
        self._now: dict[str, list[int | str]] = {}
        self._asked = 0
        self._saved = 0  # how often a hash had been asked for at the last `save`

    def hash_of(self, path: Path) -> str:
        """The kept hash of a file, or that of its bytes; as `hash_of_file`."""
        self._asked += 1
        state, name = _state(os.stat(path)), str(path)
        if self._before is None:
            self._before = _read(self._path)
        known = self._now.get(name) or self._before.get(name)
        if known is not None and known[:-1] == state:
            self._now[name] = known
            return str(known[-1])
        begun = time.time_ns()
        found = _hash(path)
        after = os.stat(path)
        if _state(after) == state and max(after.st_mtime_ns, after.st_ctime_ns) < begun - SETTLED:
            self._now[name] = [*state, found]
        return found

    def save(self) -> None:
        """Write what is known now; see `save_hashes`."""
        if self._asked == self._saved:
            return
        lines = (f"{json.dumps(name)}: {json.dumps(one)}" for name, one in self._now.items())
        atomic_write_bytes(self._path, ("{\n" + ",\n".join(lines) + "\n}\n").encode())
        self._saved = self._asked


_IN_USE: ContextVar[_KeptHashes | None] = ContextVar("kept hashes", default=None)


@contextmanager
def kept_hashes(path: str | Path) -> Iterator[None]:
    """Use the hashes in a JSON file for `hash_of_file` while a `with` block runs.

    Only the files that this block asked for are written, so that those that are gone are forgotten.

    Args:
        path: of the JSON file; one that is absent or damaged holds nothing.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a.png").write_bytes(b"pixels")
        ...     with kept_hashes(Path(folder, HASHES)):
        ...         found = hash_of_file(Path(folder, "a.png"))
        ...         save_hashes()
        >>> from genviews.data.content import content_hash
        >>> found == content_hash(b"pixels")
        True
    """
    token = _IN_USE.set(_KeptHashes(Path(path)))
    try:
        yield
    finally:
        _IN_USE.reset(token)


def hash_of_file(path: Path) -> str:
    """Return the hash of a file's bytes: a kept one where `kept_hashes` are in use and it is known.

    Raises:
        OSError: the file cannot be read.
    """
    kept = _IN_USE.get()
    return _hash(path) if kept is None else kept.hash_of(path)


def save_hashes() -> None:
    """Write the kept hashes in use, if any file was asked for since the last time.

    A run calls this once its folder is its own, so that what is refused leaves nothing there.

    Raises:
        OSError: the file cannot be written.
    """
    kept = _IN_USE.get()
    if kept is not None:
        kept.save()


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return content_hash_of(file)


def _state(status: os.stat_result) -> list[int | str]:
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _read(path: Path) -> dict[str, list[int | str]]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    there = found.items() if isinstance(found, dict) else ()
    return {name: one for name, one in there if isinstance(one, list) and len(one) == 5}
