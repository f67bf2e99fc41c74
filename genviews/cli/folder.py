"""What the verbs write beside the results: JSON for people, and a log."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["log_to", "stamp", "write_json"]


def stamp(path: Path, files: Iterable[Path] | None = None) -> str:
    """A short hash of names, sizes and times of files: tells a change of data.

    Args:
        path: a file, or a folder that the names in it are relative to.
        files: those that count, in this order; None takes all that are under the path.
    """
    digest = hashlib.blake2b(digest_size=8)
    found = sorted(path.rglob("*")) if path.is_dir() else [path]
    for file in found if files is None else files:
        if file.is_file():
            status = file.stat()
            name = file.relative_to(path) if file.is_relative_to(path) else file
            digest.update(f"{name}|{status.st_size}|{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def write_json(path: Path, value: object) -> None:
    """Write JSON for people to read, atomically."""
    from genviews.report.output import write_atomic  # loads torch

    write_atomic(path, json.dumps(value, indent=2) + "\n")


@contextmanager
def log_to(path: Path) -> Iterator[None]:
    """Append what the package logs to a file while the block runs."""
    logger = logging.getLogger("genviews")
    handler = logging.FileHandler(
        path, encoding="utf-8", delay=True
    )  # a file where something is said
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        handler.close()
