"""Networks so small that a test may make one."""

from __future__ import annotations

from typing import Any

from genviews.generators.stylegan2 import StyleGAN2Config


def small_stylegan2(width: int = 4, **changes: Any) -> StyleGAN2Config:
    """A StyleGAN2 of 8 pixels, z and w of six numbers and `width` channels; or other fields."""
    fields = {
        "resolution": 8,
        "z_dim": 6,
        "w_dim": 6,
        "mapping_layers": 2,
        "channels": {4: width, 8: width},
    }
    return StyleGAN2Config(**{**fields, **changes})
