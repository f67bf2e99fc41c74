"""What a reader sees of a page."""

from __future__ import annotations

import html
import re
from pathlib import Path


def read_page(folder: Path) -> str:
    """The report of a run, as `shown`."""
    return shown((folder / "report.html").read_text(encoding="utf-8"))


def shown(page: str) -> str:
    """A page with what entities, no-break spaces and marks around flags show."""
    plain = re.sub(r'<span class="flag">(.*?)</span>', r"\1", page)
    return html.unescape(plain).replace("\xa0", " ")
