"""Flags as a record keeps them: as JSON values, and as the command line that gives them again."""

from __future__ import annotations

import shlex
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["changed", "command", "flag_of", "plain"]


def plain(*parts: DataclassInstance) -> dict[str, Any]:
    """The flags as JSON holds them."""
    return {name: _json(value) for name, value, _ in _items(parts)}


def command(verb: str, out: Path, *parts: DataclassInstance) -> str:
    """The shortest command line that gives these flags; for the record.

    Args:
        verb: with what stands behind it without a flag, as in "study learning/table1".
        out: folder of the run.
        parts: groups of flags.
    """
    words = ["genviews", *verb.split()]
    for name, value, default in _items(parts):
        if value is True:
            words.append(flag_of(name))
        elif isinstance(value, tuple) and value != default:
            words += [word for item in value for word in (flag_of(name), str(item))]
        elif value != default or name == "seed":
            words += [flag_of(name), str(value)]
    return shlex.join([*words, "--out", str(out)])


def flag_of(name: str) -> str:
    """The flag of a field: "voc_size" -> "--voc-size"."""
    return "--" + name.replace("_", "-")


def changed(part: DataclassInstance) -> list[str]:
    """Names of the fields that do not have their default."""
    return [f.name for f in fields(part) if getattr(part, f.name) != f.default]


def _items(parts: tuple[DataclassInstance, ...]) -> list[tuple[str, Any, Any]]:
    """Name, value and default of each flag; a group in a group is its flags."""
    found: list[tuple[str, Any, Any]] = []
    for part in parts:
        for f in fields(part):
            value = getattr(part, f.name)
            nested = is_dataclass(value) and not isinstance(value, type)
            found += _items((value,)) if nested else [(f.name, value, f.default)]
    return found


def _json(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value
