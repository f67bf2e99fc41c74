"""What tests look at in a folder of results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def names(folder: Path) -> set[str]:
    """The names of its files and subfolders."""
    return {path.name for path in folder.iterdir()}


def read(path: Path) -> Any:
    """The content of a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


RUN = {"config.json", "env.json", "identity.json", "identity.safetensors", "log.txt"}
"""What every run leaves in its folder, besides its results and its work."""
