"""A pickle as a tree of plain values: every call that it asks for is noted, and none is made.

    bytes -> opcodes -> None, bool, int, float, str, bytes, tuple, list, dict,
                        Name("torch", "FloatStorage"), Persistent(id),
                        Call(Name("os", "system"), ("...",), state, items)

Python's own reader builds objects by importing and calling whatever a file names. Here a name stays
a name, and a call a record of what was to be called: there is no import, no `getattr` and no call
in the machine that a file could reach. What a record means (a tensor, a network) is for
`genviews.generators.checkpoints.tensors` and `modules` to say, of what is asked for alone.

Long bytes are views of the file, not copies, so that what nobody asks for costs nothing. A file can
lie about sizes: lengths are compared with what is left of it, and steps, text and whole numbers are
bounded, by `MOST_STEPS`, `MOST_TEXT` and `MOST_DIGITS`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from genviews.checks import fail
from genviews.generators.checkpoints.machine import DamagedError, Machine
from genviews.generators.checkpoints.records import REMEDY, Call, Decoded, Name

__all__ = ["MOST_STEPS", "decode"]

MOST_STEPS = 2**19
"""Opcodes of a pickle; those of the networks of this field have a tenth of it."""


def decode(data: memoryview, what: str, most: int = MOST_STEPS) -> Decoded:
    """Return the value of the pickle at the start of some bytes; nothing of it is run.

    Args:
        data: the bytes; more may follow.
        what: they are, for messages.
        most: opcodes of it.

    Raises:
        ValueError: no whole pickle, or one beyond the bounds; starts with `what`.

    Example:
        >>> import os, pickle
        >>> class Harm:
        ...     def __reduce__(self): return os.getcwd, ()
        >>> found = decode(memoryview(pickle.dumps([1, Harm()])), "file")
        >>> found.root[0], found.root[1].of.name, sorted(map(str, found.calls))
        (1, 'getcwd', ['posix.getcwd'])
    """
    machine = Machine(data)
    try:
        root = _run(machine, most)
    except Exception as error:  # bytes may say anything, so anything may be raised
        got = str(error) if isinstance(error, DamagedError) else f"none ({type(error).__name__})"
        fail(what, expected="a whole pickle", got=got, remedy=REMEDY)
    return Decoded(root, machine.at, frozenset(machine.calls), tuple(machine.outside))


def _run(machine: Machine, most: int) -> Any:  # noqa: ANN401 (the value of a file)
    data, steps = machine.data, _STEPS
    for _ in range(most):
        if machine.at >= len(data):
            machine.stop("an end of the file before the end of the pickle")
        code = data[machine.at]
        machine.at += 1
        if code == _STOP:
            return machine.stack.pop()
        step = steps.get(code)
        if step is None:
            machine.stop(f"the byte {code:#04x} where an opcode should be")
        step(machine)
    machine.stop(f"more than {most:,} opcodes")


def _sized(take: Callable[[Machine, int], object], size: int) -> Callable[[Machine], object]:
    """A step whose argument has its length before it, of so many bytes."""
    return lambda m: take(m, m.number(size))


def _tuple(size: int) -> Callable[[Machine], object]:
    def step(m: Machine) -> None:
        if len(m.stack) < size:
            m.stop("a tuple of more values than there are")
        m.stack[-size:] = [tuple(m.stack[-size:])]

    return step


def _collected(kind: Name, taken: Callable[[Machine], Any]) -> Callable[[Machine], object]:
    """A set, whose members may be anything here, as the call that makes it."""
    return lambda m: m.push(Call(kind, (taken(m),)))


_STOP = ord(".")
_STEPS: dict[int, Callable[[Machine], object]] = {
    ord(code): step
    for code, step in {
        "(": Machine.mark,
        "0": Machine.pop,
        "1": Machine.marked,
        "2": lambda m: m.push(m.stack[-1]),
        # Numbers.
        "N": lambda m: m.push(None),
        "\x88": lambda m: m.push(True),
        "\x89": lambda m: m.push(False),
        "I": Machine.integer_line,
        "L": lambda m: m.push(int(m.digits(m.line()).removesuffix(b"L"))),
        "F": lambda m: m.push(float(m.digits(m.line()))),
        "J": lambda m: m.push(int.from_bytes(m.take(4), "little", signed=True)),
        "K": lambda m: m.push(m.number(1)),
        "M": lambda m: m.push(m.number(2)),
        "\x8a": _sized(Machine.whole, 1),
        "\x8b": _sized(Machine.whole, 4),
        "G": lambda m: m.push(struct.unpack(">d", m.take(8))[0]),
        # Texts and bytes.
        "V": Machine.text_line,
        "S": Machine.quoted_line,
        "U": _sized(Machine.old_text, 1),
        "T": _sized(Machine.old_text, 4),
        "\x8c": lambda m: m.push(m.words(m.number(1))),
        "X": lambda m: m.push(m.words(m.number(4))),
        "\x8d": lambda m: m.push(m.words(m.number(8))),
        "C": _sized(Machine.bytes, 1),
        "B": _sized(Machine.bytes, 4),
        "\x8e": _sized(Machine.bytes, 8),
        "\x96": _sized(Machine.bytes, 8),
        "\x97": Machine.buffer,
        "\x98": Machine.buffer,
        # Collections.
        ")": lambda m: m.push(()),
        "t": lambda m: m.push(tuple(m.marked())),
        "\x85": _tuple(1),
        "\x86": _tuple(2),
        "\x87": _tuple(3),
        "]": lambda m: m.push([]),
        "l": lambda m: m.push(m.marked()),
        "a": lambda m: m.append([m.stack.pop()]),
        "e": lambda m: m.append(m.marked()),
        "}": lambda m: m.push({}),
        "d": Machine.dictionary,
        "s": lambda m: m.update([m.stack.pop(-2), m.stack.pop()]),
        "u": lambda m: m.update(m.marked()),
        "\x8f": _collected(Name("builtins", "set"), lambda m: ()),
        "\x90": lambda m: m.append(m.marked()),
        "\x91": _collected(Name("builtins", "frozenset"), Machine.marked),
        # The memo.
        "p": lambda m: m.keep(int(m.digits(m.line()))),
        "q": lambda m: m.keep(m.number(1)),
        "r": lambda m: m.keep(m.number(4)),
        "\x94": lambda m: m.keep(len(m.memo)),
        "g": lambda m: m.kept(int(m.digits(m.line()))),
        "h": lambda m: m.kept(m.number(1)),
        "j": lambda m: m.kept(m.number(4)),
        # Names, and what would be called.
        "c": lambda m: m.push(m.name_of_lines()),
        "\x93": Machine.name_of_stack,
        "\x82": lambda m: m.push(Name("copyreg", f"extension {m.number(1)}")),
        "\x83": lambda m: m.push(Name("copyreg", f"extension {m.number(2)}")),
        "\x84": lambda m: m.push(Name("copyreg", f"extension {m.number(4)}")),
        "P": lambda m: m.persistent(m.line().decode()),
        "Q": lambda m: m.persistent(m.stack.pop()),
        "R": Machine.reduce,
        "\x81": Machine.reduce,
        "\x92": Machine.new_with_names,
        "i": Machine.instance,
        "o": Machine.instance_of_marked,
        "b": Machine.build,
        # Of the file itself.
        "\x80": Machine.protocol,
        "\x95": lambda m: m.take(8),
    }.items()
}
"""Opcode -> what it does to the machine; see `pickletools` of Python for each."""
