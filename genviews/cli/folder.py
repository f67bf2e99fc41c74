"""The run folder: what was asked (config.json), where it ran (env.json), what came out, and a log.

A folder with results, or with the work of an unfinished run, belongs to one configuration. The same
run asked again is a no-op or goes on; another one is refused.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from genviews.checks import fail

__all__ = [
    "check_unfinished",
    "is_finished",
    "log_to",
    "read_config",
    "stamp",
    "stamps",
    "write_json",
]


def is_finished(folder: Path, config: Mapping[str, Any], results: Sequence[str]) -> bool:
    """Whether the folder holds the complete results of this very configuration.

    Args:
        folder: the run folder.
        config: of the run that is asked for.
        results: names of the files or folders that a finished run has.

    Raises:
        ValueError: it holds the results of another one; the message names what differs.
    """
    if not all((folder / name).exists() for name in results):
        return False
    if other := _difference(read_config(folder) or {}, config):
        fail(
            f"output folder {str(folder)!r}",
            expected="an empty folder, or one with results of the same run",
            got=f"the results of another run ({other})",
            remedy="choose another folder with --out, or replace those results with --force",
        )
    return True


def check_unfinished(folder: Path, config: Mapping[str, Any], work: Sequence[str]) -> None:
    """Refuse to go on with the work of another configuration.

    Stamps of files do not count: a copied file has another one and the same content, which the
    work itself is checked against.

    Args:
        folder: the run folder.
        config: of the run that is asked for.
        work: names of its subfolders with unfinished work.

    Raises:
        ValueError: it holds the work of another one; the message names what differs.
    """
    before = read_config(folder)
    if before is None or not any((folder / name).is_dir() for name in work):
        return
    mine, theirs = ({k: v for k, v in c.items() if k != "stamps"} for c in (config, before))
    if other := _difference(theirs, mine):
        fail(
            f"output folder {str(folder)!r}",
            expected="an empty folder, or one with an unfinished run of these settings",
            got=f"an unfinished run of others ({other})",
            remedy="choose another folder with --out, or start anew with --force",
        )


def read_config(folder: Path) -> dict[str, Any] | None:
    """The configuration of the last run in a folder; None if there is none that can be read."""
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return dict(found) if isinstance(found, dict) else None


def _difference(before: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """The first few options that differ, in words; "" if none does."""
    names = [n for n in dict.fromkeys((*config, *before)) if before.get(n) != config.get(n)]
    return ", ".join(f"{n} {before.get(n)!r} there, {config.get(n)!r} now" for n in names[:3])


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


def stamps(paths: Mapping[str, Path | None]) -> dict[str, str]:
    """The stamp of each file or folder that is given and there, by name."""
    return {name: stamp(p) for name, p in paths.items() if p is not None and p.exists()}


def write_json(path: Path, value: object) -> None:
    """Write JSON for people to read, atomically."""
    from genviews.report.output import write_atomic  # loads torch

    write_atomic(path, json.dumps(value, indent=2) + "\n")


@contextmanager
def log_to(path: Path) -> Iterator[None]:
    """Append what the package logs to a file while the block runs."""
    logger = logging.getLogger("genviews")
    handler = logging.FileHandler(path, encoding="utf-8")
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
