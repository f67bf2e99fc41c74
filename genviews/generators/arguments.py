"""What a function of the user's asks for, as its signature and its first layer tell."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from torch import nn

from genviews.checks import option
from genviews.user_code import GUIDE

__all__ = ["call_remedy", "first_width", "takes_indices", "takes_pixels"]

_IN_PLACE = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def first_width(function: object) -> int | None:
    """How many numbers the first layer of a module takes; None for other functions."""
    layer = _first_layer(function)
    if layer is None:
        return None
    width = layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels
    return width or None  # of a lazy layer it is 0


def takes_pixels(function: object) -> bool:
    """Whether the first layer takes z as 1 x 1 images."""
    return isinstance(_first_layer(function), nn.ConvTranspose2d)


def takes_indices(function: object) -> bool:
    """Whether a layer takes classes as indices."""
    layers = function.modules() if isinstance(function, nn.Module) else ()
    return any(isinstance(layer, nn.Embedding) for layer in layers)


def call_remedy(function: Callable[..., Any], z_dim: int, num_classes: int) -> str:
    """What may help a function that raised."""
    called = function.forward if isinstance(function, nn.Module) else function
    try:
        parameters = inspect.signature(called).parameters.values()
    except (TypeError, ValueError):
        parameters = inspect.Signature().parameters.values()
    needed = [p.name for p in parameters if p.default is p.empty and p.kind in _IN_PLACE]
    several = any(p.kind == p.VAR_POSITIONAL for p in parameters)
    taken = sum(p.kind in _IN_PLACE for p in parameters)
    wide = first_width(function)
    if len(needed) > 1 and num_classes == 0:
        hint = f"it asks for {', '.join(needed)}: if it takes a class, say how many with "
        hint += option("num_classes")
    elif len(needed) > 2:
        hint = f"it asks for {', '.join(needed)}: name a function of the first two"
    elif num_classes and taken == 1 and not several:
        hint = f"it takes z alone: leave out {option('num_classes')}"
    elif wide is not None and wide != z_dim and num_classes == 0:
        hint = f"its first layer takes {wide} numbers and z has {z_dim}: see {option('z_dim')}"
    else:
        hint = "mend it there, where any number of rows must do, or say another width of z with "
        hint += option("z_dim")
        if num_classes:
            hint += f", or number of classes with {option('num_classes')}"
    return f"{hint}; {GUIDE} shows what is asked of a generator"


def _first_layer(function: object) -> nn.Linear | nn.Conv2d | nn.ConvTranspose2d | None:
    kinds = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
    layers = function.modules() if isinstance(function, nn.Module) else ()
    return next((layer for layer in layers if isinstance(layer, kinds)), None)
