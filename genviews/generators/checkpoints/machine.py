"""The machine that reads a pickle: a stack, marks and a memo, of plain values and records alone.

It has one method for each kind of step; `genviews.generators.checkpoints.pickles` says which opcode
is which. It imports nothing, looks no name up and calls nothing of a file.
"""

from __future__ import annotations

import codecs
from typing import Any, NoReturn

from genviews.generators.checkpoints.records import Call, Name, Persistent

__all__ = ["MOST_DIGITS", "MOST_TEXT", "DamagedError", "Machine", "kind_of"]

MOST_TEXT = 2**25
"""Bytes of all texts of a pickle, which take up to four times that in memory."""
MOST_DIGITS = 64
"""Bytes of a whole number, and characters of a number that is written as text."""
_LONGEST_LINE = 2**12
_SHORT = 2**10  # bytes up to this length are copied
_NEWEST = 5  # protocol


class DamagedError(Exception):
    """What is wrong with a pickle, in words."""


class Machine:
    """The stack, the marks and the memo, and one method for each opcode."""

    def __init__(self, data: memoryview) -> None:
        self.data, self.at, self.text = data, 0, 0
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.calls: set[Name] = set()
        self.outside: list[Any] = []

    def stop(self, got: str) -> NoReturn:
        """Raise, saying what is wrong."""
        raise DamagedError(got)

    def take(self, size: int) -> memoryview:
        """The next bytes of the file."""
        if size > len(self.data) - self.at:
            self.stop(f"a length of {size:,} bytes, of which {len(self.data) - self.at:,} are left")
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, size: int) -> int:
        """The next bytes as a whole number without sign."""
        return int.from_bytes(self.take(size), "little")

    def line(self) -> bytes:
        """The next bytes up to the end of the line."""
        some = bytes(self.data[self.at : self.at + _LONGEST_LINE])
        end = some.find(b"\n")
        if end < 0:
            self.stop("a line without end")
        self.at += end + 1
        return some[:end]

    def words(self, size: int) -> str:
        """The next bytes as a text."""
        self.text += size
        if self.text > MOST_TEXT:
            self.stop(f"more than {MOST_TEXT:,} bytes of text")
        return str(self.take(size), "utf-8", "surrogatepass")

    def digits(self, line: bytes) -> bytes:
        """A number that is written as text, if it is not too long."""
        if len(line) > MOST_DIGITS:
            self.stop(f"a number of {len(line):,} characters")
        return line

    def marked(self) -> list[Any]:
        """What lies above the last mark, which is taken away."""
        found, self.stack = self.stack, self.below.pop()
        return found

    def push(self, value: Any) -> None:  # noqa: ANN401 (of a file)
        """Put a value on the stack."""
        self.stack.append(value)

    def bytes(self, size: int) -> None:
        """Put the next bytes on the stack; long ones are a view."""
        found = self.take(size)
        self.push(found.tobytes() if size <= _SHORT else found)

    def call(self, of: Any, args: Any, kwargs: Any = None) -> None:  # noqa: ANN401 (of a file)
        """Put the record of a call on the stack."""
        if isinstance(of, Name):
            self.calls.add(of)
        self.push(Call(of, args, kwargs))

    def keep(self, place: int) -> None:
        """Write the last value into the memo."""
        self.memo[place] = self.stack[-1]

    def kept(self, place: int) -> None:
        """Put a value of the memo on the stack."""
        self.push(self.memo[place])

    def mark(self) -> None:
        """Begin a new stack above this one."""
        self.below.append(self.stack)
        self.stack = []

    def pop(self) -> None:
        """Drop the last value, or an empty stack."""
        if self.stack:
            self.stack.pop()
        else:
            self.marked()

    def build(self) -> None:
        """Give the last record its state."""
        state = self.stack.pop()
        if not isinstance(self.stack[-1], Call):
            self.stop(f"a state for a {kind_of(self.stack[-1])}")
        self.stack[-1].state = state

    def append(self, values: list[Any]) -> None:
        """Append to a list, or to what is a record of one."""
        to = self.stack[-1]
        if isinstance(to, Call):
            to.items = [] if to.items is None else to.items
            to.items += values
        elif isinstance(to, list):
            to += values
        else:
            self.stop(f"values that are to be appended to a {kind_of(to)}")

    def update(self, values: list[Any]) -> None:
        """Set keys and values, which take turns, in a dict or a record."""
        to, pairs = self.stack[-1], list(zip(values[::2], values[1::2], strict=True))
        if isinstance(to, dict):
            to.update((self.key(key), value) for key, value in pairs)
        elif isinstance(to, Call):
            to.pairs = [] if to.pairs is None else to.pairs
            to.pairs += pairs
        else:
            self.stop(f"keys that are to be set in a {kind_of(to)}")

    def dictionary(self) -> None:
        """A dict of what lies above the last mark."""
        values = self.marked()
        self.push({})
        self.update(values)

    def key(self, key: Any) -> Any:  # noqa: ANN401 (of a file)
        """A key of a dict, whose hash costs nothing."""
        parts = key if type(key) is tuple else (key,)
        if not all(isinstance(one, str | int | float | bytes | Call | None) for one in parts):
            self.stop(f"a {kind_of(key)} as a key")
        return key

    def reduce(self) -> None:
        """The record of a call of the last values: what, and its arguments."""
        args = self.stack.pop()
        self.call(self.stack.pop(), args)

    def new_with_names(self) -> None:
        """The same, with arguments by name."""
        kwargs, args = self.stack.pop(), self.stack.pop()
        self.call(self.stack.pop(), args, kwargs)

    def instance(self) -> None:
        """The record of a call of a name that follows."""
        name = self.name_of_lines()
        self.call(name, tuple(self.marked()))

    def instance_of_marked(self) -> None:
        """The record of a call of the first value above the last mark."""
        of, *args = self.marked()
        self.call(of, tuple(args))

    def name_of_lines(self) -> Name:
        """The name in the next two lines."""
        module, name = self.line(), self.line()
        return Name(module.decode(), name.decode())

    def name_of_stack(self) -> None:
        """The name that the last two texts are."""
        name, module = self.stack.pop(), self.stack.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            self.stop(f"a {kind_of(module)} and a {kind_of(name)} as a name")
        self.push(Name(module, name))

    def whole(self, size: int) -> None:
        """A whole number of any length, with sign."""
        if size > MOST_DIGITS:
            self.stop(f"a whole number of {size:,} bytes")
        self.push(int.from_bytes(self.take(size), "little", signed=True))

    def integer_line(self) -> None:
        """A whole number or a truth value, as text."""
        line = self.digits(self.line())
        truth = {b"00": False, b"01": True}.get(line)
        self.push(int(line) if truth is None else truth)

    def text_line(self) -> None:
        """A text up to the end of the line."""
        line = self.line()
        self.text += len(line)
        self.push(str(line, "raw-unicode-escape"))

    def quoted_line(self) -> None:
        """A text of Python 2 in quotes."""
        line = self.line().strip()
        if len(line) < 2 or line[:1] not in (b"'", b'"') or line[-1] != line[0]:
            self.stop("a text without quotes")
        self.push(codecs.escape_decode(line[1:-1])[0].decode("latin-1"))

    def old_text(self, size: int) -> None:
        """A text of Python 2, which may be bytes."""
        self.text += size
        self.push(str(self.take(size), "latin-1") if self.text <= MOST_TEXT else self.words(0))

    def protocol(self) -> None:
        """Check the version of the format."""
        if (number := self.number(1)) > _NEWEST:
            self.stop(f"a pickle of protocol {number}")

    def persistent(self, found: Any) -> None:  # noqa: ANN401 (of a file)
        """The record of something outside the pickle."""
        self.outside.append(found)
        self.push(Persistent(found))

    def buffer(self) -> None:
        """Refuse what only a running program could supply."""
        self.stop("a buffer that lies outside the file")


def kind_of(value: Any) -> str:  # noqa: ANN401 (of a file)
    """What a value is, in a word."""
    return type(value).__name__.lower()
