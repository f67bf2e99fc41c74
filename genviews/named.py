"""Objects named as "package.module:object", by a user or a table; importing runs the module."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from genviews.checks import fail
from genviews.user_code import user_code

__all__ = ["Registry", "find_named", "find_package"]

_FORM = "package.module:function"
T = TypeVar("T")


class Registry(Mapping[str, T], Generic[T]):
    """Names to objects, each of which is imported when it is asked for.

    A new one is a file that holds it, and a line here that says where it is. Names are known
    without an import.

    Args:
        addresses: name -> "package.module:object".

    Example:
        >>> turns: Registry[float] = Registry({"whole": "math:tau", "half": "math:pi"})
        >>> list(turns), turns["half"]
        (['whole', 'half'], 3.141592653589793)
    """

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self.addresses = dict(addresses)

    def __getitem__(self, name: str) -> T:
        found: T = find_named(self.addresses[name], f"address of {name!r}")
        return found

    def __contains__(self, name: object) -> bool:
        return name in self.addresses

    def __iter__(self) -> Iterator[str]:
        return iter(self.addresses)

    def __len__(self) -> int:
        return len(self.addresses)


# A module, of whatever package: no type says more.
def find_package(name: str, extra: str, what: str, instead: str = "") -> Any:  # noqa: ANN401
    """Return an optional package, which an extra of genviews brings.

    Args:
        name: of the module to import.
        extra: of genviews.
        what: needs it, for the message.
        instead: what else may be done, as in ", or take another".

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        fail(
            what,
            expected=f"the package {name.partition('.')[0]}",
            got=str(error),
            remedy=f"install it with `pip install 'genviews[{extra}]'`{instead}",
            error=ModuleNotFoundError,
        )


# Whatever stands at that address in the user's code.
def find_named(name: str, what: str, form: str = _FORM, *, calls: str = "") -> Any:  # noqa: ANN401
    """Import `package.module:object` and return the object. Name only what you trust.

    Args:
        name: importable module and, after the colon, what to take from it; an attribute of an
            object, as in "net.decode", also works.
        what: the name stands for; messages start with it.
        form: expected, for the message about another form.
        calls: what is expected of a function, where only what can be called will do.

    Raises:
        ValueError: `name` is not of this form; no such module or attribute (what there is, is
            listed); or what is found cannot be called.

    Example:
        >>> find_named("math:tau", "number")
        6.283185307179586
    """
    module_name, colon, path = name.partition(":")
    if module_name.endswith(".py"):
        remedy = (
            f"name it as a module, {Path(module_name).stem}:{path or 'function'}, from its folder"
        )
        fail(what, expected=form, got=f"the file {module_name}", remedy=remedy)
    if not (module_name and colon and path) or module_name.startswith("."):
        fail(what, expected=form, got=repr(name), remedy="name both, with a colon between")
    with user_code(what, remedy=f"mend it, so that `import {module_name}` works"):
        try:
            found: Any = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            fail(
                what,
                expected="an importable module",
                got=f"no module named {error.name!r}",
                remedy="install the package, or add its folder to PYTHONPATH",
            )
    for attribute in path.split("."):
        if getattr(found, attribute, None) is None:
            members = getattr(found, "__dict__", {}).items()
            known = [
                n
                for n, v in members
                if callable(v) and not isinstance(v, type) and not n.startswith("_")
            ]
            fail(
                what,
                expected=f"an attribute {attribute!r} of {getattr(found, '__name__', path)}",
                got=f"none; it has {', '.join(sorted(known)[:8]) or 'no function'}",
                remedy="correct the name after the colon",
            )
        found = getattr(found, attribute)
    if calls and not callable(found):
        remedy = "correct the name after the colon"
        fail(what, expected=calls, got=type(found).__name__, remedy=remedy)
    return found
