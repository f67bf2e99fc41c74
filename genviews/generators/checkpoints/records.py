"""What a pickle says, as records: names, calls that nobody made, and what stands outside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

__all__ = ["REMEDY", "Call", "Decoded", "Name", "Persistent"]

REMEDY = "it is damaged, or made to do harm: fetch it again from its publisher"


class Name(NamedTuple):
    """A class or function by its name; nobody looked whether there is one."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(frozen=True, slots=True)
class Persistent:
    """What stands outside the pickle, such as the numbers of a tensor, by its id."""

    id: Any


@dataclass(slots=True, eq=False)
class Call:
    """A call that was not made.

    Args:
        of: what was to be called, nearly always a `Name`.
        args: its arguments, nearly always a tuple.
        kwargs: its arguments by name, or None.
        state: what the object was to take over afterwards, or None.
        items: what was to be appended, or None.
        pairs: the keys and values that were to be set, or None.
    """

    of: Any
    args: Any
    kwargs: Any = None
    state: Any = None
    items: list[Any] | None = None
    pairs: list[tuple[Any, Any]] | None = None


class Decoded(NamedTuple):
    """A decoded pickle.

    Args:
        root: its value.
        end: how many bytes it took.
        calls: everything that it asks to be called.
        outside: the ids of what stands outside it.
    """

    root: Any
    end: int
    calls: frozenset[Name]
    outside: tuple[Any, ...] = ()
