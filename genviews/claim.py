"""A claim on a piece of work: a lock file that at most one process on a machine holds.

The lock is the operating system's (`flock`): the kernel frees it when its holder ends, however it
ends, so a killed process never blocks the work that it left. The file is removed with the claim.
Where there are no such locks (Windows, some network disks) every claim is granted: two runs then do
the same work twice, to the same result.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

if sys.platform != "win32":
    import fcntl

__all__ = ["claim", "claimed_file", "remove_stale_claims"]


@contextlib.contextmanager
def claim(path: str | Path) -> Iterator[bool]:
    """Claim `path` for the length of a `with` block; does not wait.

    Args:
        path: of the lock file; missing folders are made.

    Yields:
        False if another process (or thread) holds the claim, else True.

    Raises:
        OSError: the lock file cannot be made.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> with folder as name, claim(f"{name}/a.lock") as mine, claim(f"{name}/a.lock") as again:
        ...     mine, again
        (True, False)
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = _take(path)
    if handle is None:
        yield False
        return
    try:
        yield True
    finally:
        path.unlink(missing_ok=True)  # before the lock is freed: see `_take`
        os.close(handle)


@contextlib.contextmanager
def claimed_file(path: str | Path) -> Iterator[BinaryIO]:
    """Open a new file for writing, claimed until the block ends: `remove_stale_claims` spares it.

    Raises:
        OSError: the file cannot be made.
    """
    while (handle := _take(Path(path))) is None:  # it is being removed, before it was claimed
        time.sleep(0.001)
    with os.fdopen(handle, "wb") as file:
        yield file


def remove_stale_claims(folder: str | Path, pattern: str) -> None:
    """Remove the files in `folder` that match a glob `pattern` and that no process claims.

    Where the file system has no locks nobody can tell, and all are left.
    """
    for path in Path(folder).glob(pattern):
        with contextlib.suppress(OSError):
            handle = _take(path)
            if handle is not None:
                again = _take(path)
                if again is None:
                    path.unlink(missing_ok=True)
                else:
                    os.close(again)
                os.close(handle)


def _take(path: Path) -> int | None:
    """An open handle that holds the lock; None if another one does."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        if not _lock(handle):
            os.close(handle)
            return None
        # The holder before may have removed the file that was opened here; its lock is worthless.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), os.stat(path)):
                return handle
        os.close(handle)


def _lock(handle: int) -> bool:
    if sys.platform != "win32":
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True  # no locks on this file system
    return True
