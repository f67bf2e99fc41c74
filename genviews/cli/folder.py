"""The run folder: what was asked (config.json), where it ran (env.json), what came out, and a log.

A folder with results belongs to one configuration. The same run asked again is a no-op; another one
is refused.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from genviews.checks import fail

__all__ = ["RESULTS", "environment", "is_finished", "log_to", "stamp", "versions", "write_json"]

RESULTS = ("report.html", "results.csv", "results.json")  # in the order they are written
_PACKAGES = (
    "genviews",
    "torch",
    "torchvision",
    "numpy",
    "scipy",
    "scikit-learn",
    "safetensors",
    "matplotlib",
)


def is_finished(folder: Path, config: Mapping[str, Any]) -> bool:
    """Whether the folder holds the complete results of this very configuration.

    Raises:
        ValueError: it holds the results of another one; the message names what differs.
    """
    if not all((folder / name).is_file() for name in RESULTS):
        return False
    try:
        before = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        before = {}
    if before == config:
        return True
    names = [n for n in dict.fromkeys((*config, *before)) if before.get(n) != config.get(n)]
    shown = ", ".join(f"{n} {before.get(n)!r} there, {config.get(n)!r} now" for n in names[:3])
    fail(
        f"output folder {str(folder)!r}",
        expected="an empty folder, or one with results of the same run",
        got=f"the results of another run ({shown})",
        remedy="choose another folder with --out, or replace those results with --force",
    )


def environment() -> dict[str, object]:
    """Where a run took place: versions, platform, cores, GPUs; no paths and no host name."""
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpus": gpus,
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """The versions of the packages that numbers depend on."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            import genviews

            found[name] = genviews.__version__ if name == "genviews" else "not installed"
    return found


def stamp(path: Path) -> str:
    """A short hash of names, sizes and times of the files under a path: tells a change of data."""
    digest = hashlib.blake2b(digest_size=8)
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            status = file.stat()
            digest.update(
                f"{file.relative_to(path)}|{status.st_size}|{status.st_mtime_ns}\n".encode()
            )
    return digest.hexdigest()


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
