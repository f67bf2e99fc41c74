"""Aligners by name, for the images that a generator makes."""

from __future__ import annotations

from collections.abc import Callable

from genviews.align.base import Aligner
from genviews.align.centre import CentreBox, Frame
from genviews.align.landmarks import CAT_FACE, FaceQuad, Similarity
from genviews.checks import fail, lookup
from genviews.types import ImageSpec

__all__ = ["ALIGNERS", "named_aligner"]


def named_aligner(name: str, spec: ImageSpec) -> Aligner:
    """Return the aligner of a name, with the frame of a generator.

    Args:
        name: a key of `ALIGNERS`.
        spec: what the generator makes.

    Raises:
        ValueError: an unknown name (the closest are listed), or landmarks for a generator whose
            images are not square.
    """
    return lookup(name, ALIGNERS, "aligner")(spec)


def _centre(spec: ImageSpec, part: float) -> Aligner:
    content = round(part * spec.height)
    return CentreBox(
        Frame(
            height=spec.height,
            width=spec.width,
            content_height=content,
            content_width=spec.width,
        )
    )


def _side(spec: ImageSpec) -> int:
    if spec.height != spec.width:
        fail(
            "alignment by landmarks",
            expected="a generator of square images",
            got=f"{spec.width}x{spec.height} pixels",
            remedy="align by a box, with centre",
        )
    return spec.height


ALIGNERS: dict[str, Callable[[ImageSpec], Aligner]] = {
    "centre": lambda spec: _centre(spec, 1.0),
    "cars": lambda spec: _centre(spec, 0.75),  # `CARS` at 512 pixels: bands above and below
    "ffhq": lambda spec: FaceQuad(_side(spec)),
    "cat": lambda spec: Similarity(CAT_FACE, _side(spec)),
}
"""Name -> aligner for the images of a spec: by a box ("centre", "cars") or by landmarks."""
