"""Inversion: images to the latents that reproduce them.

    image -> align -> INVERT -> latent -> perturb -> render -> classify -> weigh

Read `genviews.invert.optimize` first, then `genviews.invert.inverter`. A name has one address, that
of the module which defines it; what most users need is in `genviews` itself.

The package may be called as its function: `genviews.invert(generator, images)` is
`genviews.invert.optimize.invert(generator, images)`.
"""

import sys
from inspect import signature
from types import ModuleType

from genviews.invert.optimize import invert

__all__ = ["invert"]


class _Callable(ModuleType):
    """This package as the function that it is named after."""

    __call__ = staticmethod(invert)


__signature__ = signature(invert)  # else its first argument would be taken for the module
sys.modules[__name__].__class__ = _Callable
