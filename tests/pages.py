"""What a reader sees of a page."""

from __future__ import annotations

import html
from pathlib import Path


def read_page(folder: Path) -> str:
    """The report of a run with its entities and no-break spaces as the characters they show."""
    return html.unescape((folder / "report.html").read_text(encoding="utf-8")).replace("\xa0", " ")
