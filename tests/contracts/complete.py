"""Which implementations of a protocol the package has, to tell whether a table is complete."""

from __future__ import annotations

import importlib
import inspect
import re
from functools import cache
from pathlib import Path

import genviews

ROOT = Path(genviews.__file__).parent


@cache
def classes() -> list[tuple[str, str, str]]:
    """Module, name and bases of each class of the package, as its text says."""
    return [
        (".".join(("genviews", *path.relative_to(ROOT).with_suffix("").parts)), name, bases)
        for path in sorted(ROOT.rglob("*.py"))
        for name, bases in re.findall(r"^class (\w+)\(([^)]*)\)", path.read_text(), re.MULTILINE)
    ]


def leaves(base: type) -> set[type]:
    """The public classes of the package that subclass `base` and can be made."""
    known: set[str] = set()
    found = {base.__name__}
    while found != known:
        known = set(found)
        found |= {name for _, name, bases in classes() if known & set(re.findall(r"\w+", bases))}
    kinds = [
        getattr(importlib.import_module(module), name)
        for module, name, bases in classes()
        if name in known and known & set(re.findall(r"\w+", bases)) and not name.startswith("_")
    ]
    return {kind for kind in kinds if issubclass(kind, base) and not inspect.isabstract(kind)}
