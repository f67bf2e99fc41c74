"""Keeping freed memory is a choice of the program; it works on glibc."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from tests.processes import call


def faults() -> int:
    """Page faults of ten blocks, each larger than glibc ever keeps by itself (32 MiB)."""
    import torch

    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(16, 1024, 1024)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def keep_and_count() -> None:
    """Print whether memory can be kept, and the faults before and after."""
    from genviews.memory import keep_freed_memory

    first = faults()
    sys.stdout.write(f"{keep_freed_memory()} {first} {(faults(), faults())[1]}\n")


def test_fewer_page_faults(tmp_path: Path) -> None:
    able, first, later = call(keep_and_count, printed=tmp_path / "printed.txt").split()
    if able == "True":
        assert int(first) > 20_000  # 10 x 64 MiB, page by page
        assert int(later) < int(first) / 10
    else:
        assert not sys.platform.startswith("linux") or "musl" in sys.version
