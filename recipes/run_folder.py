"""What lies in a run folder beside the results: the settings, the versions, one line a record.

A run folder holds `config.json` (the recipe's settings), `env.json` (versions, processor, command)
and `metrics.jsonl`. All but the last are written with `genviews.files`, whole or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from genviews.files import atomic_write_bytes

__all__ = ["append_jsonl", "changed_fields", "truncate_jsonl"]


def append_jsonl(path: Path, record: Mapping[str, object]) -> None:
    """Append one record as one line."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record, allow_nan=False) + "\n")


def truncate_jsonl(path: Path, keep: Callable[[dict[str, Any]], bool]) -> None:
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
    atomic_write_bytes(path, "".join(kept).encode())


def changed_fields(old: Mapping[str, object], new: Mapping[str, object]) -> dict[str, str]:
    """The fields that differ, each with "old -> new"; a field of a field is "outer.inner".

    Both are compared as they are after a trip through JSON (a tuple is a list, a key is a string).

    Example:
        >>> changed_fields({"a": 1, "b": {"c": (2,)}}, {"a": 1, "b": {"c": [2], "d": 3}})
        {'b.d': '(none) -> 3'}
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
