"""What verbs print to: a reader who leaves, as `head` does, ends no run."""

from __future__ import annotations

import os

from rich.console import Console
from rich.text import Text

__all__ = ["Terminal", "say"]


class Terminal(Console):
    """Standard output, or the error stream."""

    def on_broken_pipe(self) -> None:
        """Print to nobody from now on, where rich would end the process."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())


def say(console: Console, text: str, style: str = "") -> None:
    """Print text as it is, with nothing in it that steers the terminal."""
    from genviews.text import printable

    console.print(Text(printable(text), style), soft_wrap=True)
