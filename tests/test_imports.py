"""Who imports whom: no circle, and the order of docs/architecture.md, from the base up."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BASE = "checks described user_code style_rows types signature text memory environment claim"
BASE += " files weights named rng modes shard identity store record_store"
JOINTS_BELOW = "rows engine work"
STEPS = "generators render align data augment robustness.corruption perturb invert classify"
STEPS += " robustness.restore robustness.shifted ensemble represent evaluate robustness"
JOINTS_ABOVE = "zoo domains kit load"
FRONT = "gates pipeline studies.blocks studies.result report studies testing cli"
ORDER = " ".join((BASE, JOINTS_BELOW, STEPS, JOINTS_ABOVE, FRONT)).split()
REASON = re.compile(r"#\s*up: \w+")


def modules() -> dict[str, Path]:
    """Every module of the package but its two front doors, which import nothing of it at first."""
    found = {}
    for path in sorted((ROOT / "genviews").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return {name: path for name, path in found.items() if name != "genviews"}


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def arrows(path: Path, known: dict[str, Path]) -> list[tuple[str, int]]:
    """(module, line) of each import, in functions too, but for those of type checkers alone."""
    nodes = list(ast.walk(parsed(path)))
    typing = {
        id(part)
        for node in nodes
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for part in ast.walk(node)
    }
    found = []
    for node in nodes:
        if id(node) in typing:
            continue
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            deeper = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in known else node.module for name in deeper]
        found += [(name, node.lineno) for name in names if name in known]
    return found


def unit(module: str) -> str:
    """The entry of `ORDER` that a module belongs to."""
    parts = module.split(".")[1:]
    return ".".join(parts[:2]) if ".".join(parts[:2]) in ORDER else parts[0]


def test_no_circle() -> None:
    known = modules()
    left = {name: {to for to, _ in arrows(path, known)} - {name} for name, path in known.items()}
    while free := [name for name, needs in left.items() if not needs & left.keys()]:
        for name in free:
            del left[name]
    assert left == {}, "these import each other"


def test_every_part_has_its_place() -> None:
    assert sorted({unit(name) for name in modules()} ^ set(ORDER)) == []


def test_an_arrow_that_runs_back_up_says_why() -> None:
    known = modules()
    silent = [
        f"{name}, line {line}: {to}"
        for name, path in known.items()
        for to, line in arrows(path, known)
        if ORDER.index(unit(to)) > ORDER.index(unit(name))
        and not REASON.search(path.read_text(encoding="utf-8").splitlines()[line - 1])
    ]
    assert silent == []
