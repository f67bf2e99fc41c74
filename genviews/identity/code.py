"""The names and the code of functions and classes.

A name is an address when importing it gives the function back. Code of Python itself, of this
package and of the libraries that it stands on is known by its address. Anybody else's code may be
edited behind its address, and a lambda or a local function has none: their byte code is hashed,
with the version of Python that it is for.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator
from functools import cached_property
from types import CodeType, FunctionType
from typing import Any

__all__ = ["address", "class_code", "function_code", "is_addressed", "is_library", "kept_globals"]

_LIBRARIES = {"genviews", "lpips", "numpy", "timm", "torch", "torchvision"}


def is_library(module: str) -> bool:
    """Whether code of a module is known by its name alone."""
    top = module.partition(".")[0]
    return top != "__main__" and (top in _LIBRARIES or top in sys.stdlib_module_names)


def address(thing: type | Callable[..., Any]) -> str:
    """Return the name of a class or function, "package.module:qualified.name".

    Of a library, the package alone: which of its files holds a class may change.
    """
    module = str(getattr(thing, "__module__", None) or "builtins")
    top = module.partition(".")[0] if is_library(module) else module
    name = getattr(thing, "__qualname__", None) or getattr(thing, "__name__", "?")
    return f"{top}:{name}"


def is_addressed(function: Callable[..., Any]) -> bool:
    """Whether the name of a function finds this very function, in another process as well."""
    found: Any = sys.modules.get(function.__module__)
    if found is None or function.__module__ == "__main__":
        return False
    for part in function.__qualname__.split("."):
        found = vars(found).get(part) if isinstance(found, type) else getattr(found, part, None)
        if isinstance(found, staticmethod | classmethod):
            found = found.__func__
    return found is function


def function_code(function: FunctionType) -> str:
    """Return a hash of what a function does, but for values outside it; comments do not count."""
    digest = hashlib.blake2b(f"{sys.version_info[:2]}".encode(), digest_size=8)
    _add(digest, function.__code__, function.__doc__)
    return digest.hexdigest()


def class_code(cls: type) -> dict[str, str]:
    """Return the code of a class and of those that it inherits from, leaving out the libraries'."""
    found: dict[str, str] = {}
    for one in cls.__mro__:
        if is_library(one.__module__):
            continue
        digest = hashlib.blake2b(digest_size=8)
        for name, function in sorted(_methods(one)):
            digest.update(f"{name} {function_code(function)}".encode())
        found[address(one)] = digest.hexdigest()
    return found


def kept_globals(function: FunctionType) -> dict[str, object]:
    """Return the values outside a function that it names: constants, tensors, other functions.

    What may change while a program runs (lists, dictionaries) is left out.
    """
    names = sorted(set(_names(function.__code__)))
    values = {n: function.__globals__[n] for n in names if n in function.__globals__}
    changing = (list, dict, set, bytearray)
    return {n: v for n, v in values.items() if not isinstance(v, changing)}


def _methods(cls: type) -> Iterator[tuple[str, FunctionType]]:
    for name, value in vars(cls).items():
        found: Any = value
        if isinstance(value, staticmethod | classmethod):
            found = value.__func__
        elif isinstance(value, property):
            found = value.fget
        elif isinstance(value, cached_property):
            found = value.func
        if isinstance(found, FunctionType):
            yield name, found


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for value in code.co_consts:
        if isinstance(value, CodeType):
            yield from _names(value)


def _add(digest: Any, code: CodeType, doc: str | None = None) -> None:  # noqa: ANN401  (a hash)
    parts = (code.co_names, code.co_freevars, code.co_argcount, code.co_kwonlyargcount)
    digest.update(code.co_code + code.co_exceptiontable + repr(parts).encode())
    for value in code.co_consts:
        if isinstance(value, CodeType):
            _add(digest, value)
        elif isinstance(value, frozenset):  # its order is another in each process
            digest.update(repr(sorted(map(repr, value))).encode())
        elif doc is None or value != doc:
            digest.update(f"{type(value).__name__} {value!r}".encode())
