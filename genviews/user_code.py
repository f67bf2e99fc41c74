"""Code that the user wrote, called by ours: its own exception is shown with its own file and line.

    with user_code("classifier", images):
        answer = module(images)

This is the one home of such calls: generators, classifiers, factories and data sets. An exception
becomes one sentence that says what was called, with which shapes, what it raised and where.
"""

from __future__ import annotations

import linecache
import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType

from genviews.checks import fail

__all__ = ["GUIDE", "in_short", "is_memory", "user_code"]

GUIDE = "docs/bring_your_own.md"
"""The page that says what a generator and a classifier are given and must give."""

LONGEST = 300  # characters of the user's own message that are shown

_PACKAGE = Path(__file__).parent
_LIBRARY = Path(sysconfig.get_paths()["stdlib"])
_INSTALLED = Path(sysconfig.get_paths()["purelib"])


@contextmanager
def user_code(
    what: str,
    *given: object,
    remedy: str = f"mend it there; {GUIDE} says what is asked of it",
) -> Iterator[None]:
    """Turn an exception of the user's code into one sentence with its file and line.

    What `genviews.checks` raised, and a lack of memory, pass as they are.

    Args:
        what: is called, such as "classifier"; messages start with it.
        given: what it is called with; tensors are told by shape and type.
        remedy: see `genviews.checks.fail`.

    Raises:
        ValueError: for any other exception, which is its cause.

    Example:
        >>> with user_code("classifier", 3):
        ...     [1, 2][3]
        Traceback (most recent call last):
        ValueError: classifier: expected an answer to 3, got IndexError: list index out of range...
    """
    try:
        yield
    except (Exception, SystemExit) as error:  # a script that ends itself must not end ours
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        ours = Path(frames[-1].f_code.co_filename) == _PACKAGE / "checks.py"
        if ours or is_memory(error):
            raise
        asked = f" to {', '.join(map(in_short, given))}" if given else ""
        text = " ".join(str(error).split())
        text = text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."
        got = f"{type(error).__name__}: {text}" if text else type(error).__name__
        try:
            fail(what, expected=f"an answer{asked}", got=got + _place(error), remedy=remedy)
        except ValueError as told:
            raise told from error


def is_memory(error: BaseException) -> bool:
    """Return whether memory ran out, which other sizes or other callers may help."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def in_short(value: object) -> str:
    """A tensor's shape and type; anything else in a few words."""
    from torch import Tensor  # messages only: nothing heavy is loaded before there is one

    if isinstance(value, Tensor) and not value.is_nested:
        return f"{tuple(value.shape)} of {str(value.dtype).removeprefix('torch.')}"
    text = repr(value)
    return text if len(text) <= 60 else type(value).__name__


def _place(error: BaseException) -> str:
    """The user's own line: the last outside installed packages, or else outside torch and us."""
    steps = [step for step in _steps(error.__traceback__) if not _is_foreign(step[0])]
    own = [step for step in steps if not _path(step[0]).is_relative_to(_INSTALLED)]
    if not (own or steps):
        return _layer(error)
    frame, line = (own or steps)[-1]
    path = _path(frame)
    source = linecache.getline(str(path), line, frame.f_globals).strip()
    near = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return f", in {near}, line {line}" + (f": {source}" if source else "")


def _steps(found: TracebackType | None) -> list[tuple[FrameType, int]]:
    return list(traceback.walk_tb(found))


def _path(frame: FrameType) -> Path:
    return Path(frame.f_code.co_filename)


def _is_foreign(frame: FrameType) -> bool:
    """Whether code is nobody's that the user could look at: Python's, torch's or this package's."""
    path = _path(frame)
    installed = path.is_relative_to(_INSTALLED)
    if path.is_relative_to(_PACKAGE) or (installed and path.is_relative_to(_INSTALLED / "torch")):
        return True
    frozen = path.name.startswith("<frozen")
    return frozen or (path.is_relative_to(_LIBRARY) and not installed)


def _layer(error: BaseException) -> str:
    """The innermost layer, where all code is torch's, as in a `Sequential`."""
    from torch import nn

    holders = [frame.f_locals.get("self") for frame, _ in _steps(error.__traceback__)]
    layers = [holder for holder in holders if isinstance(holder, nn.Module)]
    return f", in {' '.join(str(layers[-1]).split())[:LONGEST]}" if layers else ""
