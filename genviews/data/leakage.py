"""Leakage: one image in two splits, so that what was chosen on it is reported on it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import torch

from genviews.checks import fail, first_reasons, option
from genviews.data.content import content_hash
from genviews.data.source import ImageSource
from genviews.memory import images_in_shard

__all__ = ["check_leakage"]


def check_leakage(
    parts: Mapping[str, ImageSource], *, pixels: bool = False
) -> dict[str, tuple[int, int]]:
    """Raise ValueError where one image, by its content, is in two splits; the files are named.

    Args:
        parts: name -> its images.
        pixels: read every image and compare pixels, so that a copy in another kind of file is
            found; False compares `hashes`, which of files are those of their bytes.

    Returns:
        For each name, how many of its images are copies of earlier ones, and of how many.

    Raises:
        ValueError: one image in two splits; with `pixels`, a split without a readable image.
    """
    content = {
        name: _pixel_hashes(name, part)
        if pixels
        else dict(zip(part.ids, part.hashes(), strict=True))
        for name, part in parts.items()
    }
    for (one, first), (two, second) in combinations(content.items(), 2):
        known = {content: name for name, content in first.items()}
        shared = [(known[same], name) for name, same in second.items() if same in known]
        if shared:
            pairs = ", ".join(f"{a!r} is {b!r}" for a, b in shared[:3])
            more = ", ..." if len(shared) > 3 else ""
            fail(
                f"images of {one} and {two}",
                expected="other images in each split",
                got=f"{len(shared)} with the same content in both: {pairs}{more}",
                remedy="remove them from one of the splits",
            )
    return {name: (len(own) - len(set(own.values())), len(own)) for name, own in content.items()}


def _pixel_hashes(what: str, source: ImageSource) -> dict[str, str]:
    """Those of the images that can be read, by id, as 8 bits hold them."""
    found, skipped = dict[str, str](), list[tuple[str, str]]()
    step = images_in_shard(source.image_spec, 512)
    for start in range(0, len(source), step):
        batch = source.read(range(start, min(start + step, len(source))))
        eight = ((batch.images.cpu() + 1.0) * 127.5).round().clamp(0, 255).to(torch.uint8)
        found |= dict(zip(batch.ids, map(content_hash, eight), strict=True))
        skipped += batch.skipped
    if not found:
        fail(
            f"{what} images",
            expected="at least one readable image",
            got=f"none of {len(source)}: {first_reasons(skipped)}",
            remedy=f"check the images; {option('resize')} and {option('convert')} accept more",
        )
    return found
