"""Stopping a run by a signal: ctrl-C, SIGTERM, or SIGHUP of a closed terminal, at any instant.

A signal raises `StoppedError` where the main thread is, so that every file is left whole and every
claim and folder given back on the way out; then one line says how to go on. It is listened to from
the first import on: this module loads nothing else.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

__all__ = ["StoppedError", "Stopping", "as_one", "check_stopped", "say_stopped"]

SAID = "genviews: stopped; the same command again continues where it was\n"

SAME = 2.0  # seconds in which a further signal is an impatient second ctrl-C (chosen by us)


class StoppedError(KeyboardInterrupt):
    """A signal came. No `Exception`, so that nothing swallows it; libraries take it for ctrl-C."""


_came: list[int] = []  # signals of this process, of which a `Stopping` is told
_waits = False  # whether one that comes now waits for the end of `as_one`


class Stopping:
    """While this block lasts, signals stop what it does.

    A further signal within two seconds is taken for the same one: files are being put in order. A
    later one cuts that short, as SIGKILL would, after which the same command goes on as well.
    """

    def __init__(self) -> None:
        self._before: dict[signal.Signals, Any] = {}
        self._when = 0.0
        self._code: int | None = None

    def __enter__(self) -> Stopping:
        if threading.current_thread() is threading.main_thread():  # signals are its own
            for one in signal.Signals:
                ours = one.name in ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP
                before = signal.getsignal(one)
                # Ignored signals (of nohup) stay so; a handler that C set could not be put back.
                if ours and before not in (signal.SIG_IGN, None):
                    self._before[one] = before
                    signal.signal(one, self._take)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._code is None:
            _came.clear()
            for one, before in self._before.items():
                signal.signal(one, before)

    def end(self, code: int) -> None:
        """From now on a signal ends the process at once, with the code that it has come to."""
        self._code = code
        # Python forgets handlers before it ends, but not that a signal is to be ignored.
        atexit.register(self._ignore)

    def _ignore(self) -> None:
        for one in self._before:
            signal.signal(one, signal.SIG_IGN)

    @property
    def number(self) -> int:
        """Of the signal that came first; 0 where none did."""
        return _came[0] if _came else 0

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self._code is not None:
            os._exit(self._code)
        if _came and time.monotonic() - self._when < SAME:
            return
        self._when = time.monotonic()
        _came.append(number)
        if not _waits:
            raise StoppedError(number)


@contextmanager
def as_one() -> Iterator[None]:
    """Do a block as a whole: a signal that comes within it is heard at its end."""
    global _waits
    before, _waits = len(_came), True
    try:
        yield
    finally:
        _waits = False
    if len(_came) > before:
        raise StoppedError(_came[-1])


def check_stopped() -> None:
    """Raise `StoppedError` where a signal came and other code swallowed its exception."""
    if _came:
        raise StoppedError(_came[0])


def say_stopped() -> None:
    """Say how to go on; by nothing that may have been cut off while it was loaded."""
    with suppress(OSError, ValueError):  # the terminal may be what is gone
        if sys.stderr is not None:
            sys.stderr.write(SAID)
            sys.stderr.flush()
