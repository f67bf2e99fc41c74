"""How much memory work takes: images in a shard, and freed memory that the process keeps.

glibc gives large blocks back to the system as soon as they are freed and gets them anew, page by
page, at the next allocation. Rendering views on a CPU then spends much of its time in page faults
(`benchmarks/memory.py`). A program may choose otherwise; a library must not, so this is called by
the command line, the recipes and the benchmarks, and never on import.
"""

from __future__ import annotations

import ctypes
import sys

from genviews.types import ImageSpec

__all__ = ["images_in_shard", "keep_freed_memory"]

# mallopt's parameters, from glibc's malloc.h, and the largest values that 32-bit ints hold.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_LARGE = 2**30

_SHARD_BYTES = 2**26  # of a shard's images: 85 of 3x256x256 (chosen by us)


def images_in_shard(spec: ImageSpec, most: int) -> int:
    """Return how many images make a shard: `most`, or fewer where they are large.

    A shard is read, and made, as a whole: memory holds a few float32 copies of its images.
    """
    image = 4 * spec.channels * spec.height * spec.width
    return min(most, max(8, _SHARD_BYTES // image))


def keep_freed_memory() -> bool:
    """Ask the C library to reuse freed memory; returns whether it can (glibc only).

    The process then holds its peak memory until it ends.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    done = [
        mallopt(_MMAP_THRESHOLD, _LARGE),
        mallopt(_TRIM_THRESHOLD, 2 * _LARGE - 1),
        mallopt(_TOP_PAD, 2**28),
    ]
    return all(done)
