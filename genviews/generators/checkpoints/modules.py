"""A network in a pickle, as its parts by name: nothing of it is built.

    Module("SynthesisLayer", kwargs={...}, attributes={"up": 2, ...}, children={"affine": ...},
           tensors={"weight": ..., "bias": ...})

Networks of NVIDIA's `persistence` (class name, source text and state as arguments of one function)
and plain pickled `nn.Module`s both come out as this.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from genviews.checks import fail
from genviews.generators.checkpoints.records import REMEDY, Call, Name
from genviews.generators.checkpoints.tensors import as_dict, plain, told

__all__ = ["Module", "is_module", "module_of"]

_DEEPEST = 12
MOST_ENTRIES = 2**18
"""Attributes, parts and tensors of a network; those of this field have a tenth of it."""
_PERSISTENT = "_reconstruct_persistent_obj"
_PARTS = ("_modules", "_parameters", "_buffers")


@dataclass(frozen=True, kw_only=True)
class Module:
    """A network, or a part of one.

    Args:
        kind: name of its class.
        args: it was constructed with, where a pickle of NVIDIA's says so.
        kwargs: the same by name.
        attributes: what else it keeps, as decoded values; numbers of numpy are Python's.
        children: its parts.
        stored: its own parameters and buffers, not read yet; None for one that is not there.
    """

    kind: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    attributes: Mapping[str, Any]
    children: Mapping[str, Module]
    stored: Mapping[str, object]

    def __getitem__(self, name: str) -> Module:
        """A part by its name, with dots between parts of parts; KeyError where there is none."""
        found = self
        for part in name.split("."):
            found = found.children[part]
        return found

    def walk(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """(name, part) of itself and of all that is in it, names as in a state dict."""
        yield prefix.removesuffix("."), self
        for name, child in self.children.items():
            yield from child.walk(f"{prefix}{name}.")

    def state(self) -> dict[str, object]:
        """Parameters and buffers by their names in a state dict, not read yet."""
        return {
            f"{name}.{key}".removeprefix("."): value
            for name, part in self.walk()
            for key, value in part.stored.items()
            if value is not None and key not in part._not_saved()
        }

    def _not_saved(self) -> frozenset[object]:
        found = self.attributes.get("_non_persistent_buffers_set")
        named = found.items if isinstance(found, Call) else None
        args = found.args[0] if isinstance(found, Call) and found.args else ()
        return frozenset(one for one in (*(named or ()), *args) if isinstance(one, str))


def module_of(value: object, what: str) -> Module:
    """Return a decoded network as its parts.

    Args:
        value: decoded, see `genviews.generators.checkpoints.pickles`.
        what: holds it, for messages.

    Raises:
        ValueError: no network, or one of more parts than any has.
    """
    return _Walk(what).module(value)


class _Walk:
    """Counts what it meets: parts that contain each other would never end."""

    def __init__(self, what: str) -> None:
        self._what, self._left = what, MOST_ENTRIES

    def _dict(self, value: object) -> dict[Any, Any]:
        found = as_dict(value) or {}
        self._left -= 1 + len(found)
        if self._left < 0:
            got = f"one of more than {MOST_ENTRIES:,} entries"
            fail(self._what, expected="a network", got=got, remedy=REMEDY)
        return found

    def module(self, value: object, depth: int = 0) -> Module:
        kind, state = _state(value)
        if state is None or depth > _DEEPEST:
            fail(self._what, expected="a network", got=told(value), remedy=REMEDY)
        self._dict(state)
        modules, parameters, buffers = (self._dict(state.get(part)) for part in _PARTS)
        return _module(
            kind,
            state,
            {str(k): self.module(v, depth + 1) for k, v in modules.items() if v is not None},
            {**parameters, **buffers},
            self._dict(state.get("_init_kwargs")),
        )


def _module(
    kind: str,
    state: dict[Any, Any],
    children: dict[str, Module],
    stored: dict[Any, object],
    kwargs: dict[Any, Any],
) -> Module:
    args = state.get("_init_args")
    return Module(
        kind=kind,
        args=args if isinstance(args, tuple) else (),
        kwargs={str(key): plain(one) for key, one in kwargs.items()},
        attributes={str(k): plain(v) for k, v in state.items() if k not in _PARTS},
        children=children,
        stored={str(k): v for k, v in stored.items()},
    )


def is_module(value: object) -> bool:
    """Whether a decoded value is a network."""
    return _state(value)[1] is not None


def _state(value: object) -> tuple[str, dict[Any, Any] | None]:
    """Class and state of a decoded network; None where it is none."""
    if not isinstance(value, Call) or not isinstance(value.of, Name):
        return "", None
    kind, state = value.of.name, as_dict(value.state)
    if kind == _PERSISTENT:
        given = as_dict(value.args[0]) if isinstance(value.args, tuple) and value.args else None
        kind, state = str((given or {}).get("class_name")), as_dict((given or {}).get("state"))
    elif kind in ("_reconstructor", "__newobj__") and isinstance(value.args, tuple) and value.args:
        kind = value.args[0].name if isinstance(value.args[0], Name) else kind
    return kind, state if state is not None and "_modules" in state else None
