"""Configurations as JSON and back, so that what was made can be made again from its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from torch import Tensor, nn

from genviews.checks import fail
from genviews.fingerprint import tensor_hash, weights_hash
from genviews.generators.base import Generator
from genviews.perturb import (
    Angular,
    Gaussian,
    Independent,
    Isotropic,
    Normal,
    StyleMix,
    Uniform,
)
from genviews.represent.prior import Prior
from genviews.types import ImageSpec, LayerRange

__all__ = ["describe", "describe_generator", "rebuild"]

_TYPES: dict[str, type[Any]] = {
    found.__name__: found
    for found in (
        Angular,
        Gaussian,
        ImageSpec,
        Independent,
        Isotropic,
        LayerRange,
        Normal,
        Prior,
        StyleMix,
        Uniform,
    )
}
"""What `rebuild` makes again: configurations that hold no tensors."""


def describe(value: object) -> Any:  # noqa: ANN401  (JSON)
    """Return a configuration as JSON values: dataclasses by their fields, tensors by their hash.

    Raises:
        TypeError: a value of another kind (a function, an open file).

    Example:
        >>> describe(Gaussian("all", 0.2))
        {'type': 'Gaussian', 'layers': 'all', 'std': 0.2, 'truncation': 2.0, 'reading': 'scaled'}
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list | range):
        return [describe(item) for item in value]
    if isinstance(value, Mapping):
        return {str(name): describe(item) for name, item in value.items()}
    if isinstance(value, Tensor):
        return {"tensor": tensor_hash(value)}
    if isinstance(value, nn.Module):
        return {"type": type(value).__name__, "weights": weights_hash(value)}
    if is_dataclass(value) and not isinstance(value, type):
        parts = {f.name: describe(getattr(value, f.name)) for f in fields(value)}
        return {"type": type(value).__name__, **parts}
    fail(
        "configuration",
        expected="dataclasses of numbers, text and tensors",
        got=repr(value),
        remedy="make it a field that JSON or a hash can show",
        error=TypeError,
    )


def describe_generator(generator: Generator) -> dict[str, Any]:
    """What tells a generator from others: its type and weights, or its name where it has none."""
    found: dict[str, Any] = describe(generator)
    if not generator.state_dict():
        found["name"] = repr(generator)
    return found


def rebuild(description: object) -> Any:  # noqa: ANN401  (what was described)
    """Make again what `describe` described.

    Raises:
        ValueError: of a type that is not known here, or that holds tensors.

    Example:
        >>> rebuild(describe(Prior(psi=0.9))) == Prior(psi=0.9)
        True
    """
    if isinstance(description, list):
        return tuple(rebuild(item) for item in description)
    if not isinstance(description, Mapping):
        return description
    made = _TYPES.get(str(description.get("type")))
    if made is None:
        fail(
            "description",
            expected=f"one of {', '.join(sorted(_TYPES))}, which hold no tensors",
            got=repr(description.get("type")),
            remedy="pass the perturbation itself",
        )
    return made(**{k: rebuild(v) for k, v in description.items() if k != "type"})
