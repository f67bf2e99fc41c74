"""A generator as a description on a card and a file of weights, and back.

A description is JSON values: a family, and what that family needs to build the generator.

    {"family": "stylegan2", "config": {...}}     weights beside it (`genviews.generators.families`)
    {"family": "toy", "channels": 1, ...}                     none
    {"family": "callable", "function": "package.module:name", "z_dim": 128, "num_classes": 0}
                                      the user's own code: it is imported, its weights are its own;
                                      "adapter" says how it is called
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from genviews.checks import check_type, fail, lookup
from genviews.generators.adapter import Adapter
from genviews.generators.base import Generator
from genviews.generators.callable import CallableGenerator, load_callable
from genviews.generators.families import FAMILIES, config_from, family_of, read_weights
from genviews.generators.toy import ToyGenerator
from genviews.named import find_named
from genviews.types import ImageSpec

__all__ = ["called", "generator_description", "generator_from"]

Ranges = Mapping[str, tuple[int, int]]


def generator_from(
    description: Mapping[str, Any], weights: Callable[[], Path], ranges: Ranges | None = None
) -> Generator:
    """Return the generator of a description, in eval mode and frozen.

    Args:
        description: see the module.
        weights: gives the file of weights, for a family that has some.
        ranges: named row ranges, in place of those of the family, where it lets them be chosen.

    Raises:
        ValueError: an unknown family, or what its own reader refuses.
    """

    def with_weights(name: str) -> Generator:
        values = check_type(description.get("config"), dict, "config", "a JSON object", "add it")
        values = values | ({} if ranges is None else {"ranges": ranges})
        return read_weights(name, config_from(name, values, "config on the card"), weights())

    given = {key: value for key, value in description.items() if key != "family"}
    families: dict[str, Callable[[], Generator]] = {
        **{name: partial(with_weights, name) for name in FAMILIES},
        "toy": lambda: ToyGenerator(**given),
        "callable": lambda: _function(**given),
    }
    make = lookup(description.get("family", "stylegan2"), families, "family of the generator")
    return make().eval().requires_grad_(False)


def generator_description(generator: Generator) -> dict[str, Any]:
    """Return the description from which `generator_from` makes this generator again.

    Raises:
        ValueError: a generator of no family that a card can hold, or a function without a name by
            which it could be imported, such as a lambda.
    """
    if (found := family_of(generator)) is not None:
        return {"family": found[0], "config": found[1]}
    if isinstance(generator, ToyGenerator):
        return {"family": "toy", **generator.settings}
    if isinstance(generator, CallableGenerator):
        return {
            "family": "callable",
            "function": _address(generator.function),
            **called(generator),
        }
    fail(
        "generator on a card",
        expected=f"one of {', '.join(FAMILIES)}, or a function of z with a name",
        got=type(generator).__name__,
        remedy="write a function without arguments around it that can be imported, and name that",
    )


def called(generator: CallableGenerator) -> dict[str, Any]:
    """How a function is called, as a description says it."""
    adapter = {k: v for k, v in asdict(generator.adapter).items() if v is not None}
    counts = {"z_dim": generator.z_dim, "num_classes": generator.num_classes}
    size = {"image_spec": asdict(generator.own_spec)} if adapter["axes"] == "flat" else {}
    return {**counts, "adapter": adapter, **size}


def _function(function: str, **given: Any) -> Generator:  # noqa: ANN401 (JSON values)
    """The function of a description."""
    adapter, size = given.pop("adapter", {}), given.pop("image_spec", None)
    if size is not None:
        size = ImageSpec(**size | {"range": tuple(size["range"])})
    return load_callable(function, image_spec=size, adapter=Adapter(**adapter), **given)


def _address(function: Callable[..., Any]) -> str:
    """The name (package.module:name) under which the very object is found."""
    module = getattr(function, "__module__", None)
    name = getattr(function, "__qualname__", "")
    address = f"{module}:{name}"
    if not module or not name or "<" in name or find_named(address, "generator") is not function:
        fail(
            "function of the generator",
            expected="one that can be imported by its name",
            got=repr(function),
            remedy="define it at the top of a module, and load it as package.module:name",
        )
    return address
