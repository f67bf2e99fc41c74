"""What a public function is given is what its signature says: looked at before its first line.

    @checked
    def moments(h: Float[Tensor, "N E"]) -> ...:

The annotation is the check: a list, an image of bytes or labels for other images end in one
sentence that names the argument, and not in an error of torch some lines further down. A letter
stands for one size in a whole call. Numbers, words and functions are not looked at here.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence, ValuesView
from types import SimpleNamespace, UnionType
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import torch
from jaxtyping import AbstractArray, jaxtyped
from torch import Tensor

from genviews.checks import fail
from genviews.types import check_tensor
from genviews.user_code import in_short

__all__ = ["checked"]

F = TypeVar("F", bound=Callable[..., Any])
Rule = tuple[int, str, Any]
"""Place, name and annotation of an argument."""

_WORDS = {"Float": "floats", "Int": "integers", "Bool": "booleans", "UInt8": "bytes"}
_CONVERT = {"Float": ".float()", "Int": ".long()", "Bool": ".bool()", "UInt8": ".byte()"}


def checked(target: F) -> F:
    """Check what a function, or a class when it is made, is given by its annotations.

    They are looked at as far as they name tensors, or classes of this package or of torch.

    Raises:
        TypeError: an argument of another type, or a tensor of another kind of numbers.
        ValueError: a tensor of another shape, or one that does not go with those before it.

    Example:
        >>> from jaxtyping import Float
        >>> @checked
        ... def mean(h: Float[Tensor, "N E"]) -> Tensor:
        ...     return h.mean(0)
        >>> mean([[1.0]])
        Traceback (most recent call last):
        TypeError: h of mean: expected floats of shape (N, E), got list; make one with
        `torch.as_tensor`.
    """
    if isinstance(target, type):
        # mypy knows no class whose __init__ is replaced
        target.__init__ = checked(target.__init__)  # type: ignore[misc]
        return target

    @functools.wraps(target)
    def call(*args: Any, **options: Any) -> Any:  # noqa: ANN401 (as the function's own)
        with jaxtyped("context"):
            _check(target, args, options)
        return target(*args, **options)

    return cast(F, call)


def _check(
    function: Callable[..., object], args: tuple[Any, ...], options: Mapping[str, Any]
) -> None:
    sizes: dict[str, int] = {}
    where = function.__qualname__.removesuffix(".__init__")
    for place, name, hint in _rules(function):
        if place < len(args):
            value = args[place]
        elif name in options:
            value = options[name]
        else:
            continue
        for one in _tensors(value):
            check_tensor(one, f"{name} of {where}")
            if 0 in one.shape[1:]:
                expected, remedy = "one or more along each axis but the first", "look at its shape"
                got = tuple(one.shape)
                fail(f"{name} of {where}", expected=expected, got=got, remedy=remedy)
        if not _suits(value, hint):
            _refuse(value, hint, name, where, sizes)
        _note_sizes(value, hint, sizes)


@functools.cache
def _rules(function: Callable[..., object]) -> tuple[Rule, ...]:
    """The arguments whose annotations name tensors, or classes of this package or of torch."""
    found, names = [], inspect.unwrap(function).__globals__
    for place, given in enumerate(inspect.signature(function).parameters.values()):
        hint = _hint(given.annotation, names)
        if any(map(_is_looked_at, _parts(hint))):
            place = place if given.kind is not given.KEYWORD_ONLY else 1 << 30
            found.append((place, given.name, hint))
    return tuple(found)


def _hint(annotation: object, names: dict[str, Any]) -> Any:  # noqa: ANN401 (an annotation)
    holder = SimpleNamespace(__annotations__={"given": annotation})
    try:
        return get_type_hints(holder, names)["given"]
    except NameError:  # a name that type checkers alone import
        return Any


def _parts(hint: object) -> list[Any]:
    """The classes that an annotation is made of."""
    arguments = [part for one in get_args(hint) for part in _parts(one)]
    return [hint, *arguments] if isinstance(hint, type) else arguments


def _is_looked_at(kind: type) -> bool:
    home = kind.__module__.partition(".")[0]
    own = home in ("genviews", "torch") and not _cannot_tell(kind)
    return own or issubclass(kind, AbstractArray)


def _cannot_tell(kind: type) -> bool:
    """Whether it is a protocol for type checkers alone."""
    protocol = getattr(kind, "_is_protocol", False)
    return protocol and not getattr(kind, "_is_runtime_protocol", False)


def _suits(value: object, hint: Any) -> bool:  # noqa: ANN401 (an annotation)
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(_suits(value, one) for one in inner)
    if origin is None:
        known = isinstance(hint, type) and not _cannot_tell(hint)
        protocol = getattr(hint, "_is_protocol", False)  # a class has the methods of its objects
        return not known or (isinstance(value, hint) and not (protocol and isinstance(value, type)))
    if not isinstance(origin, type):
        return True
    if not isinstance(value, origin) or (isinstance(value, str) and origin is not str):
        return False
    if isinstance(value, Mapping) and len(inner) == 2:
        return all(_suits(one, inner[1]) for one in value.values())
    if isinstance(value, Sequence) and (len(inner) == 1 or Ellipsis in inner):
        return all(_suits(one, inner[0]) for one in value)
    return True


def _tensors(value: object) -> list[Tensor]:
    """The tensors that are given, alone, by name or in a row."""
    if isinstance(value, Tensor):
        return [value]
    parts = value.values() if isinstance(value, Mapping) else value
    if not isinstance(parts, ValuesView | list | tuple):
        return []
    return [tensor for one in parts for tensor in _tensors(one)]


def _note_sizes(value: object, hint: object, sizes: dict[str, int]) -> None:
    """Take note of the sizes that letters stand for from here on."""
    for kind in _arrays(hint):
        if isinstance(value, Tensor):
            letters = kind.dim_str.split()
            front = next((i for i, one in enumerate(letters) if one[0] in "*."), len(letters))
            sizes.update(zip(letters[:front], value.shape, strict=False))
            back = zip(letters[front + 1 :][::-1], value.shape[::-1], strict=False)
            sizes.update(dict(back) if front < len(letters) else {})


def _arrays(hint: object) -> list[Any]:
    return [kind for kind in _parts(hint) if issubclass(kind, AbstractArray)]


def _refuse(value: object, hint: object, name: str, where: str, sizes: dict[str, int]) -> None:
    """Say what was wanted, with the sizes that are known."""
    wanted, remedy = [], f"see `help({where})`"
    error: type[Exception] = TypeError
    for kind in _arrays(hint):
        shape = [str(sizes.get(one, one)) for one in kind.dim_str.split()]
        sort = kind.__name__.partition("[")[0]
        wanted.append(f"{_WORDS.get(sort, 'a tensor')} of shape ({', '.join(shape)})")
        if not isinstance(value, Tensor):
            remedy = "make one with `torch.as_tensor`"
        elif sort == "Float" and value.dtype == torch.uint8:
            remedy = "scale bytes with `x.float() / 127.5 - 1`"
        elif str(value.dtype).removeprefix("torch.") not in kind.dtypes:
            remedy = f"convert it with `{_CONVERT.get(sort, '.to(dtype)')}`"
        else:
            error, remedy = ValueError, f"see the shapes in `help({where})`"
    others = [one for one in _parts(hint) if not issubclass(one, AbstractArray)]
    wanted += [one.__name__ for one in others if _is_looked_at(one) and one is not Tensor]
    got = in_short(value) if isinstance(value, Tensor) else type(value).__name__
    fail(
        f"{name} of {where}",
        expected=" or ".join(dict.fromkeys(wanted)) or "a tensor",
        got=got,
        remedy=remedy,
        error=error,
    )
