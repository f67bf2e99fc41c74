"""Descriptions: any part of a result as JSON values, by what it holds and not by how it prints."""

from __future__ import annotations

import functools
import hashlib
import json
import math
import re
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from genviews.checks import fail
from genviews.files import sha256_of
from genviews.identity.answers import Answering, answers_of
from genviews.identity.code import (
    address,
    class_code,
    function_code,
    is_addressed,
    is_library,
    kept_globals,
)

__all__ = ["Described", "Description", "Identified", "describe", "key", "key_of"]

_BUILT_IN = (types.BuiltinFunctionType, types.MethodDescriptorType, np.ufunc)
_PLAIN = (type(None), bool, str)
_OF_ANY_MODULE = frozenset(vars(nn.Module()))
_HOOKS = ("_forward_pre_hooks", "_forward_hooks")


@runtime_checkable
class Described(Protocol):
    """Something that says itself what its results depend on."""

    def __describe__(self) -> Mapping[str, object]:
        """Return the parts that count; of a module, those that its tensors do not hold.

        The class counts as well, unless a part "type" stands for it.
        """


def describe(thing: object) -> Any:  # noqa: ANN401  (JSON)
    """Return a thing as JSON values that are equal for things that give equal results.

    Numbers, text, lists, sets, mappings and enum members are themselves. Tensors, arrays and files
    (`Path`) are known by their content; modules by their class, tensors, attributes and settings
    (`extra_repr`); dataclasses by their class and fields, but for fields with the metadata
    `{"identity": False}`; functions, methods, partials and classes by their name, with what they
    hold and, where the name does not settle it, their code (see `genviews.identity.code`). A class
    with a method `__describe__` decides itself. Device, dtype of calculation, batch size and number
    of threads never count.

    Raises:
        TypeError: a thing of another kind (an open file, an object of a plain class).

    Example:
        >>> from genviews.perturb.noise import Gaussian
        >>> describe(Gaussian("all", 0.2))
        {'type': 'genviews:Gaussian', 'layers': 'all', 'std': 0.2, 'truncation': 2,
        'reading': 'scaled'}
        >>> describe(torch.zeros(2)) == describe([0.0, 0.0])
        False
    """
    return Description(asking=False)(thing)


def key(*things: object) -> str:
    """Return 16 hexadecimal digits that are the same for equal descriptions.

    Example:
        >>> key("a", 1) == key("a", 1.0), key("a", 1) == key("a", 2)
        (True, False)
    """
    return key_of([describe(t) for t in things])


@dataclass(frozen=True, eq=False)
class Identified:
    """What has been described and asked already; `Identity` says what it is for."""

    exact: Mapping[str, Any]
    answers: Mapping[str, Tensor] = field(default_factory=dict)


class Description:
    """One walk through the parts of a result.

    Args:
        asking: whether to ask each generator and classifier that is met.

    Attributes:
        answers: of those met so far, by the dotted path at which they were met first.
    """

    def __init__(self, *, asking: bool) -> None:
        self.answers: dict[str, Tensor] = {}
        self._asking = asking
        # What is being described, with its name as a part: an object may hold itself.
        self._within: list[tuple[str, object]] = []
        self._asked: list[object] = []
        self._answered = 0  # how many things known by their answers this one is a part of

    def __call__(self, thing: object, name: str = "") -> Any:  # noqa: ANN401  (JSON)
        """Describe a thing; the answers of a part are found under its name."""
        if isinstance(thing, Enum):
            return {"enum": address(type(thing)), "name": thing.name}
        if isinstance(thing, np.generic):
            thing = thing.item()
        if isinstance(thing, _PLAIN):
            return thing
        if isinstance(thing, int | float):
            return _number(thing)
        if isinstance(thing, Tensor | np.ndarray):
            return {"tensor": _tensor(thing)}
        if isinstance(thing, bytes):
            return {"bytes": hashlib.blake2b(thing, digest_size=8).hexdigest()}
        if isinstance(thing, torch.dtype):
            return str(thing)
        if isinstance(thing, Path):
            return {"file": sha256_of(thing)[:16]}
        again = next((i for i, (_, one) in enumerate(self._within) if one is thing), None)
        if again is not None:
            return {"again": again}
        self._within.append((name, thing))
        try:
            return self._compound(thing)
        finally:
            self._within.pop()

    @property
    def _path(self) -> str:
        return ".".join(name for name, _ in self._within if name)

    def _compound(self, thing: object) -> Any:  # noqa: ANN401  (JSON)
        if isinstance(thing, type):
            return {"class": address(thing), **self._code_of(thing)}
        if isinstance(thing, Identified):
            found = {f"{self._path}.{path}": v for path, v in thing.answers.items()}
            self.answers |= found if self._asking and not self._answered else {}
            return dict(thing.exact)
        if isinstance(thing, Answering | Described | nn.Module):
            return self._object(thing)
        if isinstance(thing, Mapping):
            return self._mapping(thing)
        if isinstance(thing, tuple | list):
            return [self(item, str(i)) for i, item in enumerate(thing)]
        if isinstance(thing, range | slice):
            return {type(thing).__name__: [thing.start, thing.stop, thing.step]}
        if isinstance(thing, set | frozenset):
            return {"set": sorted((self(item) for item in thing), key=_text)}
        if is_dataclass(thing):
            counted = [f.name for f in fields(thing) if f.metadata.get("identity", True)]
            own = self._mapping({name: getattr(thing, name) for name in counted})
            return {"type": address(type(thing)), **self._code_of(type(thing)), **own}
        return self._callable(thing)

    def _mapping(self, thing: Mapping[Any, object]) -> dict[str, Any]:
        found = {str(name): self(item, str(name)) for name, item in thing.items()}
        assert len(found) == len(thing), "names that differ by type alone"
        return found

    def _object(self, thing: object) -> dict[str, Any]:
        """A module, or what says itself what counts."""
        own = thing.__describe__() if isinstance(thing, Described) else {}
        found: dict[str, Any] = {} if "type" in own else {"type": address(type(thing))}
        answering = isinstance(thing, Answering)
        if isinstance(thing, Answering) and self._asking and not self._answered:
            self._ask(thing)
        self._answered += answering
        try:
            if not isinstance(thing, nn.Module):
                found |= {} if "type" in own else self._code_of(type(thing))
            else:
                found["weights"] = self._weights(thing)
                if not isinstance(thing, Described) and not self._answered:
                    found["build"] = self._build(thing)
            found |= self._mapping(own)
        finally:
            self._answered -= answering
        return found

    def _ask(self, thing: Answering) -> None:
        if not any(one is thing for one in self._asked):
            self._asked.append(thing)
            self.answers[self._path] = answers_of(thing)

    def _weights(self, module: nn.Module) -> str:
        """Names, shapes, types and values; also of buffers that `state_dict` leaves out."""
        tensors = {**dict(module.named_buffers()), **module.state_dict()}
        digest = hashlib.blake2b(digest_size=8)
        for name, value in sorted(tensors.items()):
            # What is no tensor comes from a module's `get_extra_state`.
            what = _tensor(value) if isinstance(value, Tensor) else _text(self(value)).decode()
            digest.update(f"{name} {what}".encode())
        return digest.hexdigest()

    def _build(self, module: nn.Module) -> str:
        """Classes and settings of a module's parts: strides and slopes are in no tensor."""
        digest = hashlib.blake2b(digest_size=8)
        for name, part in module.named_modules():
            settings = re.sub(r" at 0x[0-9a-f]+", "", part.extra_repr())
            code = self._code_of(type(part))
            told = dict(self._told(_attributes(part)))
            digest.update(_text([name, address(type(part)), settings, code, told]))
        return digest.hexdigest()

    def _told(self, values: Mapping[str, object]) -> Iterator[tuple[str, Any]]:
        """Those of some values that can be described: a logger, a lock, a device is no setting."""
        for name, value in values.items():
            try:
                yield name, self(value, name)
            except (TypeError, OSError):
                continue

    def _code_of(self, cls: type) -> dict[str, Any]:
        code = {} if self._answered else class_code(cls)
        return {"code": key_of(code)} if code else {}

    def _callable(self, thing: object) -> Any:  # noqa: ANN401  (JSON)
        if isinstance(thing, functools.partial):
            given = {"args": thing.args, "keywords": thing.keywords}
            return {"partial": self(thing.func), **self._mapping(given)}
        if isinstance(thing, types.MethodType):
            return {**self(thing.__func__), "self": self(thing.__self__, "self")}
        if isinstance(thing, types.FunctionType):
            return self._function(thing)
        wrapped = getattr(thing, "__wrapped__", None)
        if wrapped is not None:  # `functools.cache`
            return {"type": address(type(thing)), "wraps": self(wrapped)}
        if isinstance(thing, _BUILT_IN):
            return {"function": address(thing)}
        if self._answered:  # its answers say what it does
            return {"type": address(type(thing))}
        fail(
            f"part of a result ({self._path or type(thing).__name__})",
            expected="numbers, text, tensors, modules, dataclasses, functions, or an object with "
            "a method `__describe__`",
            got=f"an object of class {address(type(thing))}",
            remedy="define `__describe__` in its class, which returns what its results depend on",
            error=TypeError,
        )

    def _function(self, function: types.FunctionType) -> dict[str, Any]:
        found: dict[str, Any] = {"function": address(function)}
        addressed = is_addressed(function)
        if addressed and is_library(function.__module__):
            return found
        edited = not (self._answered or is_library(function.__module__))
        if edited or not addressed:
            found["code"] = function_code(function)
        held = {
            "defaults": [*(function.__defaults__ or ())],
            "keywords": dict(function.__kwdefaults__ or {}),
            "closure": dict(self._closure(function)),
        }
        found |= self._mapping({name: value for name, value in held.items() if value})
        outside = dict(self._outside(function)) if edited else {}
        return {**found, "outside": outside} if outside else found

    def _closure(self, function: types.FunctionType) -> Iterator[tuple[str, object]]:
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        for name, cell in cells:
            value = _contents(cell)
            # Answers see what a list holds; one that grows while the program runs is a record.
            if not (self._answered and isinstance(value, list | dict | set)):
                yield name, value

    def _outside(self, function: types.FunctionType) -> Iterator[tuple[str, Any]]:
        def counts(value: object) -> bool:
            module = str(getattr(value, "__module__", None))
            known = isinstance(value, type | Callable) and is_library(module)
            return not (known or isinstance(value, types.ModuleType))

        found = kept_globals(function)
        return self._told({name: value for name, value in found.items() if counts(value)})


def _attributes(part: nn.Module) -> dict[str, object]:
    """What a module holds beside tensors and modules; what it has worked out once is no setting."""
    found: dict[str, object] = {name: [*getattr(part, name).values()] for name in _HOOKS}
    for name, value in vars(part).items():
        once = isinstance(getattr(type(part), name, None), functools.cached_property)
        if name not in _OF_ANY_MODULE and not once:
            found[name] = value
    return found


def _contents(cell: types.CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # nothing was put into it yet
        return None


def key_of(values: object) -> str:
    """Return 16 hexadecimal digits of JSON values."""
    return hashlib.blake2b(_text(values), digest_size=8).hexdigest()


def _text(values: object) -> bytes:
    return json.dumps(values, sort_keys=True, allow_nan=False).encode()


def _number(value: float) -> int | float | str:
    # A weight of 1 and one of 1.0 are the same weight; JSON has no infinity.
    if isinstance(value, int):
        return int(value)
    if not math.isfinite(value):
        return str(value)
    return int(value) if value.is_integer() and abs(value) < 2**53 else float(value)


def _tensor(value: Tensor | np.ndarray) -> str:
    """Shape, type and values; as bytes, because numpy has no bfloat16."""
    if isinstance(value, np.ndarray):
        if value.dtype.hasobject:
            fail(
                "array",
                expected="numbers",
                got="objects",
                remedy="describe them as a list",
                error=TypeError,
            )
        kind, data = str(value.dtype), np.ascontiguousarray(value).tobytes()
    else:
        flat = value.detach().cpu().contiguous().flatten()
        kind, data = str(value.dtype), flat.view(torch.uint8).numpy().tobytes()
    digest = hashlib.blake2b(f"{tuple(value.shape)} {kind} ".encode(), digest_size=8)
    digest.update(data)
    return digest.hexdigest()
