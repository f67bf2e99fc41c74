"""Leakage: one image in two splits, so that what was chosen on it is reported on it.

Copies with the same pixels are refused. One that was saved as JPEG again, or made smaller and
enlarged, has others. It is known by the signs of its slowest waves (a cosine transform of the grey
picture), which blur and blocks hardly change: they scale a wave, and its sign stays. Pictures of
one class can be as alike, and films have frames, so such pairs are named and not refused. Below
64 pixels, where there are too few waves to tell (28x28 clothes), they are not looked for, and of
pictures with little contrast, such as skies, fewer are found.

Source: Zauner 2010, "Implementation and benchmarking of perceptual image hash functions".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import combinations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from genviews.checks import fail, first_reasons, option
from genviews.data.content import content_hash
from genviews.data.source import ImageSource
from genviews.memory import images_in_shard
from genviews.types import Progress, luma, silent

__all__ = ["ALIKE", "SIDE", "check_leakage", "count_apart", "wave_signs"]

SIDE = 64
"""Least side of pictures, in pixels, in which copies are told from pictures that are alike."""

ALIKE = 10
"""Of 255 signs, those in which copies differ at most: see `benchmarks/near_copies.py`."""

_WAVES, _SMALL, _FLAT = 16, 32, 0.03  # of pictures without contrast, signs are left to chance
_PAIRS = 1 << 20  # compared at once

Signs = np.ndarray[tuple[int, int], np.dtype[np.uint64]]
"""(N, 4), 64 signs in each."""

Looks = tuple[list[str], Signs]
"""Names and signs of the pictures that have contrast."""


def check_leakage(
    parts: Mapping[str, ImageSource], *, pixels: bool = False, progress: Progress = silent
) -> tuple[dict[str, tuple[int, int]], str]:
    """Raise ValueError where one image, by its content, is in two splits; the files are named.

    Args:
        parts: name -> its images.
        pixels: read every image and compare pixels, so that a copy in another kind of file is
            found; False compares `hashes`, which of files are those of their bytes.
        progress: called with ("look for copies", "images", done, all) as images are read for their
            pixels, which of a large set takes minutes.

    Returns:
        For each name, how many of its images are copies of earlier ones, and of how many; and, with
        `pixels`, which pictures of two splits are as alike as copies, in a sentence, or "".

    Raises:
        ValueError: one image in two splits; with `pixels`, a split without a readable image.
    """
    content, looks = dict[str, dict[str, str]](), dict[str, Looks]()
    total, done = sum(map(len, parts.values())), 0

    def tell(read: int) -> None:
        """Say how many are done; the last is when all are compared."""
        if done + read < total:
            progress("look for copies", "images", done + read, total)

    for name, part in parts.items():
        if pixels:
            tell(0)
            content[name], looks[name] = _looked_at(name, part, tell)
            done += len(part)
        else:
            content[name] = dict(zip(part.ids, part.hashes(), strict=True))
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
    said = [
        _alike(one, two, first, second)
        for (one, first), (two, second) in combinations(looks.items(), 2)
    ]
    if pixels and total:
        progress("look for copies", "images", total, total)
    copies = {name: (len(own) - len(set(own.values())), len(own)) for name, own in content.items()}
    return copies, " ".join(filter(None, said))


def _looked_at(
    what: str, source: ImageSource, tell: Callable[[int], None]
) -> tuple[dict[str, str], Looks]:
    """Hashes, as 8 bits hold them, of the images that can be read, by id; and their looks."""
    found, skipped = dict[str, str](), list[tuple[str, str]]()
    named, signs = list[str](), [np.zeros((0, 4), np.uint64)]
    step, spec = images_in_shard(source.image_spec, 512), source.image_spec
    for start in range(0, len(source), step):
        part = range(start, min(start + step, len(source)))
        batch = source.read(part)
        images = batch.images.cpu()
        eight = ((images + 1.0) * 127.5).round().clamp(0, 255).to(torch.uint8)
        found |= dict(zip(batch.ids, map(content_hash, eight), strict=True))
        skipped += batch.skipped
        if min(spec.height, spec.width) >= SIDE and len(images):
            grey = _grey(images)
            rows = torch.nonzero(grey.flatten(1).std(1) > _FLAT)[:, 0].tolist()
            named += [batch.ids[row] for row in rows]
            signs.append(wave_signs(grey[rows]))
        tell(part.stop)
    if not found:
        fail(
            f"{what} images",
            expected="at least one readable image",
            got=f"none of {len(source)}: {first_reasons(skipped)}",
            remedy=f"check the images; {option('resize')} and {option('convert')} accept more",
        )
    return found, (named, np.concatenate(signs))


def _grey(images: Float[Tensor, "N C H W"]) -> Float[Tensor, "N H W"]:
    """What JPEG keeps of colours: it spreads them over the pixels around."""
    return luma(images)[:, 0] if images.shape[1] == 3 else images.mean(1)


def wave_signs(grey: Float[Tensor, "N H W"]) -> Signs:
    """Return the signs of the 255 slowest waves of pictures, but for their mean."""
    small = adaptive_avg_pool2d(grey.float(), _SMALL)
    places = (torch.arange(_SMALL) + 0.5) * math.pi / _SMALL
    waves = torch.cos(torch.arange(_WAVES)[:, None] * places)
    found = waves @ small @ waves.T
    found[:, 0, 0] = 0.0
    return np.packbits((found.flatten(1) > 0).numpy(), axis=1).view(np.uint64)


def count_apart(one: Signs, two: Signs) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """Return in how many signs each of N pictures differs from each of M: (N, M)."""
    apart = np.zeros((len(one), len(two)), np.uint8)
    for a, b in zip(one.T, two.T, strict=True):
        apart += np.bitwise_count(a[:, None] ^ b[None])
    return apart


def _alike(one: str, two: str, first: Looks, second: Looks) -> str:
    """Which pictures of two splits are as alike as copies, in a sentence."""
    (others, known), (names, signs), found = first, second, dict[str, str]()
    step = max(1, _PAIRS // max(1, len(known)))
    for start in range(0, len(names) if others else 0, step):
        apart = count_apart(signs[start : start + step], known)
        for row in np.flatnonzero(apart.min(1) <= ALIKE).tolist():
            found[names[start + row]] = others[int(apart[row].argmin())]
    if not found:
        return ""
    pairs = ", ".join(f"{a!r} and {b!r}" for a, b in list(found.items())[:2])
    return (
        f"{len(found):,} pictures of {two} are as alike to one of {one} as a copy that was saved "
        f"or resized again: {pairs}{', ...' if len(found) > 2 else ''}. Look at these pairs: what "
        "is chosen on a picture must not be reported on its copy."
    )
