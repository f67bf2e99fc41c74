"""Files of a run: written whole or not at all, with what made them beside them.

A run folder holds `config.json` (the recipe's settings), `env.json` (versions, processor, command), `metrics.jsonl`
(one line a record) and what the recipe makes. Every file but the metrics is replaced in one step, so a run that is
killed at any moment leaves the old file or the new one.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path

import torch

__all__ = [
    "append_jsonl",
    "changed_fields",
    "environment",
    "read_json",
    "replace_file",
    "truncate_jsonl",
    "write_json",
]

PACKAGES = ("genviews", "torch", "torchvision", "numpy", "safetensors", "scikit-learn", "scipy")


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a temporary file beside `path`, force it to the disk, then rename it to `path`."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    if os.name == "posix":  # the rename itself is on the disk only once the folder is
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_json(path: Path, value: object) -> None:
    """Write `value` as indented JSON, whole or not at all."""
    text = json.dumps(value, indent=1, allow_nan=False) + "\n"
    replace_file(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def read_json(path: Path) -> object:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def append_jsonl(path: Path, record: Mapping[str, object]) -> None:
    """Append one record as one line."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record, allow_nan=False) + "\n")


def truncate_jsonl(path: Path, keep: Callable[[dict[str, object]], bool]) -> None:
    """Drop the records that `keep` refuses, and a last line that was cut off."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        if keep(record):
            kept.append(line + "\n")
    replace_file(path, lambda temporary: temporary.write_text("".join(kept), encoding="utf-8"))


def environment(device: torch.device | str = "cpu") -> dict[str, object]:
    """Versions, processor, threads, command and date: no path, no host name."""
    versions = {name: _version(name) for name in PACKAGES}
    on_gpu = torch.device(device).type == "cuda"
    return {
        "python": platform.python_version(),
        "versions": versions,
        "system": f"{platform.system()} {platform.machine()}",
        "device": torch.cuda.get_device_name(device) if on_gpu else "cpu",
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "command": " ".join(Path(a).name if Path(a).is_absolute() else a for a in sys.argv),
        "date": time.strftime("%Y-%m-%d"),
    }


def changed_fields(old: Mapping[str, object], new: Mapping[str, object]) -> dict[str, str]:
    """The fields that differ, each with "old -> new"; a field of a field is "outer.inner".

    Both are compared as they are after a trip through JSON (a tuple is a list, a key is a string).
    """
    before, after = _flatten(json.loads(json.dumps(old))), _flatten(json.loads(json.dumps(new)))
    names = [*before, *(name for name in after if name not in before)]
    return {
        name: f"{before.get(name, '(none)')} -> {after.get(name, '(none)')}"
        for name in names
        if before.get(name, ...) != after.get(name, ...)
    }


def _flatten(fields: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in fields.items():
        if isinstance(value, dict) and value:
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed as a package"
