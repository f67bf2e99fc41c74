"""A hostile file, how it is opened, and what that must end in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Case", "Want"]

Want = Literal["answer", "refusal", "either"]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One of them.

    Args:
        name: in words.
        kind: model, image, folder or table.
        open: calls a public function.
        want: what it must end in: an answer, or a sentence why not.
        right: whether an answer is the right one; None takes any.
        names: what the sentence must say, such as the name of the file.
    """

    name: str
    kind: Literal["model", "image", "folder", "table"]
    open: Callable[[], Any]
    want: Want
    right: Callable[[Any], bool] | None = None
    names: str = ""
