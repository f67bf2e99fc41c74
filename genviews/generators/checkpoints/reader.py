"""What a reader of a format is, and what it gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from genviews.generators.base import Generator
from genviews.generators.checkpoints.contents import Contents

__all__ = ["Opened", "Reader"]


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A generator out of a file.

    Args:
        generator: in eval mode.
        source: who made the format, and where it comes from.
        licence: of such weights, as far as the format says; "" where it says nothing.
        skipped: what of the file was left out, in words.
    """

    generator: Generator
    source: str
    licence: str = ""
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Reader:
    """A format of files that hold a generator.

    Args:
        what: of the format, in words.
        knows: whether a decoded file is of it; reads no tensor.
        read: the generator of such a file; ValueError names what is not understood.
    """

    what: str
    knows: Callable[[Contents], bool]
    read: Callable[[Contents], Opened]
