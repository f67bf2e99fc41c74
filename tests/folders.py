"""What tests look at in a folder of results."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any


def names(folder: Path) -> set[str]:
    """The names of its files and subfolders."""
    return {path.name for path in folder.iterdir()}


def read(path: Path) -> Any:
    """The content of a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def findings(folder: Path) -> dict[str, Any]:
    """What the record of a result says: its data, how it was made, and the verdict."""
    found = read(folder / "results.json")
    record = found["record"]
    return {**record["data"], **record, "verdict": found["verdict"], "blocks": found["blocks"]}


def numbers(file: Path) -> list[dict[str, float]]:
    """The lines of a CSV file of numbers by column, without empty cells."""
    with file.open(encoding="utf-8", newline="") as text:
        return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(text)]


RUN = {"identity.json", "identity.safetensors", "log.txt"}
"""What every run leaves in its folder, besides its results and its work."""
