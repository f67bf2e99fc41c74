"""Where results go: a folder checked before the work, files that appear whole or not at all."""

from __future__ import annotations

import errno
import shutil
import tempfile
from pathlib import Path

from genviews.checks import fail
from genviews.files import atomic_write_bytes

__all__ = ["check_output_dir", "write_atomic"]

_MEGABYTE = 1024 * 1024


def check_output_dir(path: str | Path, *, need_mb: float = 64.0) -> Path:
    """Make the folder if it is missing and prove that it can take files, before hours of work.

    A file of one byte is written and removed, since permission bits alone do not tell (root,
    network mounts, read-only file systems).

    Args:
        path: the output folder.
        need_mb: free space to ask for, in MiB; 64 holds any report of this package (chosen by us).

    Returns:
        The folder.

    Raises:
        OSError: the folder cannot be made or written, or its disk is nearly full; the message says
            what to do.

    Example:
        >>> import tempfile
        >>> check_output_dir(tempfile.mkdtemp()).is_dir()
        True
    """
    folder = Path(path).expanduser()
    what = f"output folder {str(folder)!r}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder, prefix=".check-") as probe:
            probe.write(b"\0")
            probe.flush()
        free = shutil.disk_usage(folder).free / _MEGABYTE
    except OSError as error:
        fail(
            what,
            expected="a folder that can be written",
            got=_reason(error),
            remedy="choose another folder with --out, or change its permissions",
            error=OSError,
        )
    if free < need_mb:
        fail(
            what,
            expected=f"{need_mb:.0f} MiB of free disk space",
            got=f"{free:.0f} MiB",
            remedy="free some space, or choose a folder on another disk with --out",
            error=OSError,
        )
    return folder


def write_atomic(path: str | Path, data: str | bytes) -> None:
    """Write a file so that a reader sees the old file or the whole new one, never a part.

    Args:
        path: the file; missing folders are made.
        data: text (written as UTF-8) or bytes.

    Raises:
        OSError: the write failed; the old file, if any, is untouched and nothing is left behind.
    """
    raw = data.encode() if isinstance(data, str) else data
    try:
        atomic_write_bytes(path, raw)
    except OSError as error:
        fail(
            f"file {str(path)!r}",
            expected="to write it",
            got=_reason(error),
            remedy="no part of it was left; make room or choose another folder, and run again",
            error=OSError,
        )


def _reason(error: OSError) -> str:
    """What went wrong, in a user's words."""
    words = {
        errno.EACCES: "no permission to write there",
        errno.EPERM: "no permission to write there",
        errno.EROFS: "a read-only file system",
        errno.ENOSPC: "a full disk",
        errno.EDQUOT: "a used-up disk quota",
        errno.EEXIST: "a file of that name",
        errno.ENOTDIR: "a file in the way of the folder",
        errno.EISDIR: "a folder of that name",
    }
    return words.get(error.errno or 0, error.strerror or str(error))
