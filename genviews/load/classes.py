"""Which index each class has: the order of names, where tools disagree.

Names are sorted as text, and by value where all are numbers. Folders named "2" and "10" are sorted
as text by torchvision's ImageFolder, which puts "10" first: a classifier trained with it means
another class by index 1 than a person does. Where the two orders differ, somebody must say which.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from genviews.checks import fail, lookup
from genviews.text import read_lines

__all__ = ["ClassOrder", "class_order", "read_class_names"]

ClassOrder = Sequence[str] | Literal["value", "text"] | None
"""Names in their order; or "value" or "text", for names that are numbers; None: not said."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)")


def class_order(
    found: Iterable[str], given: ClassOrder, where: str, *, ask: bool
) -> tuple[str, ...]:
    """Return the names of the classes in the order of their index.

    Args:
        found: the names that the images have.
        given: by the user.
        where: the classes are from, for messages.
        ask: whether numbers whose order as text differs are refused until the user says which.

    Raises:
        ValueError: a name that is not in `given` (the closest are listed), or numbers whose two
            orders differ.

    Example:
        >>> class_order(["10.0", "2.0", "0.0"], "value", "images", ask=True)
        ('0.0', '2.0', '10.0')
    """
    names = sorted(set(found))
    if given is not None and not isinstance(given, str):
        for name in names:
            lookup(name, dict.fromkeys(given, True), f"class of {where}")
        return tuple(given)
    if given is not None:
        lookup(given, {"value": 0, "text": 0}, "order of the classes")
    numbers = all(_NUMBER.fullmatch(name) for name in names)
    by_value = sorted(names, key=float) if numbers else names
    if given is None and ask and by_value != names:
        fail(
            f"order of the classes of {where}",
            expected="one that is sure, as class names are numbers",
            got=f"{_some(by_value)} by value, or {_some(names)} as text, which torchvision takes",
            remedy="say which the classifier was trained with: class names 'value' or 'text', or "
            "the names in a file (--class-names)",
        )
    return tuple(names if given == "text" else by_value)


def read_class_names(word: str | Path) -> ClassOrder:
    """Return what `--class-names` says: "value", "text", or the lines of a file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no line, or text in another encoding.
    """
    text = str(word)
    if text == "value" or text == "text":
        return "value" if text == "value" else "text"
    return read_lines(Path(word).expanduser(), "class names")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
