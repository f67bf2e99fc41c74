"""Which images a test opens, by whatever way, as the interpreter itself tells."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

SETTLED = 2.2  # seconds until a file that was just written counts as unchanged

_opened: list[str] | None = None


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and _opened is not None:
        _opened.append(str(arguments[0]))


@cache
def _listen() -> None:
    """From the first test that asks: a hook costs all later ones."""
    sys.addaudithook(_note)


@contextmanager
def opened_images() -> Iterator[list[str]]:
    """The names of the images that this process opens, in order."""
    global _opened  # an audit hook cannot be taken back
    _opened = []
    _listen()
    found: list[str] = []
    try:
        yield found
    finally:
        found += [Path(name).name for name in _opened if name.endswith(".png")]
        _opened = None
