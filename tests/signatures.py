"""Checks of every signature of genviews at run time: the first two calls in each test.

jaxtyping and beartype compare arguments and results with their annotations. That costs more than
many of the functions do, so after `CALLS` calls in a test a function is called as users call it,
and one that is never called is never prepared for its checks.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
import types
from collections.abc import Callable
from typing import Any

import jaxtyping
from beartype import BeartypeConf, beartype

CALLS = 2

_checker = types.ModuleType("genviews_type_checker")
# As for every type checker, an int is good where a float is asked for (PEP 484).
_checker.check = beartype(conf=BeartypeConf(is_pep484_tower=True))

_test = 0  # counts tests
_calls: dict[types.CodeType, list[int]] = {}  # of each function: the test, its calls in the test
_jaxtyped = jaxtyping.jaxtyped


def install() -> None:
    """Let every module of genviews that is imported from now on be checked."""
    sys.modules[_checker.__name__] = _checker
    jaxtyping.jaxtyped = _first_calls  # what the hook writes above each function
    jaxtyping.install_import_hook("genviews", f"{_checker.__name__}.check")


def next_test() -> None:
    """Begin to count calls anew."""
    global _test
    _test += 1


def _first_calls(*, typechecker: Callable[..., Any]) -> Callable[[Any], Any]:
    return functools.partial(_decorate, functools.partial(_jaxtyped, typechecker=typechecker))


def _decorate(check: Callable[[Any], Any], target: Any) -> Any:
    if isinstance(target, type):
        if dataclasses.is_dataclass(target) and "__init__" in vars(target):
            target.__init__ = _decorate(check, target.__init__)
        return target
    if isinstance(target, classmethod | staticmethod):
        return type(target)(_decorate(check, target.__func__))
    if not isinstance(target, types.FunctionType):
        return check(target)
    calls = _calls.setdefault(target.__code__, [0, 0])
    checked: Callable[..., Any] | None = None

    @functools.wraps(target)
    def function(*args: Any, **options: Any) -> Any:
        nonlocal checked
        if calls[0] != _test:
            calls[:] = [_test, 0]
        if calls[1] >= CALLS:
            return target(*args, **options)
        calls[1] += 1
        checked = checked or check(target)
        return checked(*args, **options)

    return function
