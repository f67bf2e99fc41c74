"""Checks of every signature of genviews at run time: the first call in each test.

jaxtyping and beartype compare arguments and results with their annotations. That costs more than
many of the functions do, so after one call in a test a function is called as users call it, and
one that is never called is never prepared for its checks. Where every test is a whole run, of
hundreds of functions, it is the first call in each module of tests.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import sys
import types
from collections.abc import Callable
from typing import Any, get_type_hints

import jaxtyping
from beartype import BeartypeConf, beartype

_checker = types.ModuleType("genviews_type_checker")
# As for every type checker, an int is good where a float is asked for (PEP 484).
_checker.check = beartype(conf=BeartypeConf(is_pep484_tower=True))

# Where no shapes are compared: an error of the same kind, in half the time.
_plain = beartype(conf=BeartypeConf(is_pep484_tower=True, violation_type=jaxtyping.TypeCheckError))

_checks = 0  # counts how often all are checked anew
_place: object = None
_nothing = False
_calls: dict[types.CodeType, list[int]] = {}  # of each function: when it was checked last
_jaxtyped = jaxtyping.jaxtyped


def install() -> None:
    """Let every module of genviews that is imported from now on be checked."""
    sys.modules[_checker.__name__] = _checker
    jaxtyping.jaxtyped = _first_call  # what the hook writes above each function
    jaxtyping.install_import_hook("genviews", f"{_checker.__name__}.check")


def check_anew(place: object, *, nothing: bool = False) -> None:
    """Check the next call of every function, unless the last were checked for the same place.

    Where `nothing` is to be checked, all run as in a user's program.
    """
    global _checks, _place, _nothing
    _nothing = nothing
    if place != _place:
        _checks, _place = _checks + 1, place


def _first_call(*context: str, typechecker: Callable[..., Any] | None = None) -> Any:
    if context:  # letters that stand for one size, as the package asks for them
        return _jaxtyped(*context)
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
    called = _calls.setdefault(inspect.unwrap(target).__code__, [0])
    checked: Callable[..., Any] | None = None

    @functools.wraps(target)
    def function(*args: Any, **options: Any) -> Any:
        nonlocal checked
        if _nothing or called[0] == _checks:
            return target(*args, **options)
        called[0] = _checks
        checked = checked or (check if _has_shapes(target) else _plain)(target)
        return checked(*args, **options)

    return function


def _has_shapes(target: Callable[..., Any]) -> bool:
    """Whether an annotation is one of jaxtyping's, or only jaxtyping knows what to do with it."""
    try:
        hints = repr(get_type_hints(target))
    except (NameError, TypeError):
        return True
    return "jaxtyping" in hints or ".kwargs" in hints  # of a ParamSpec
