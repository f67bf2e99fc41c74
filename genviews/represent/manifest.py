"""Configurations made again from their descriptions, so that a manifest is enough to repeat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genviews.checks import fail
from genviews.identity.code import address
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

__all__ = ["rebuild"]

_TYPES: dict[str, type[Any]] = {
    address(found): found
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


def rebuild(description: object) -> Any:  # noqa: ANN401  (what was described)
    """Make again what `describe` described.

    Raises:
        ValueError: of a type that is not known here, or that holds tensors.

    Example:
        >>> from genviews.identity import describe
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
