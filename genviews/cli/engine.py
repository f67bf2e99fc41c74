"""What `--engine`, `--workers` and `--ray-address` name: where the shards of a verb are made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genviews.checks import check_count, fail
from genviews.cli.options import RunOptions

if TYPE_CHECKING:  # these load torch, which the flags alone do not need
    import torch

    from genviews.engine import Engine

__all__ = ["check_engine", "run_engine"]


def check_engine(flags: RunOptions) -> None:
    """Find flags that do not go together, before anything is loaded.

    Raises:
        ValueError: workers or an address without Ray, or no worker.
    """
    check_count(flags.workers, "--workers")
    for flag, given in (
        ("--workers", flags.workers > 1),
        ("--ray-address", flags.ray_address is not None),
    ):
        if flags.engine == "local" and given:
            fail(flag, expected="--engine ray", got="local", remedy="add --engine ray")


def run_engine(flags: RunOptions, device: torch.device) -> Engine:
    """Return the engine that the flags name.

    Workers of Ray share this machine's threads and, with a GPU as the device, its GPUs.

    Raises:
        ModuleNotFoundError: Ray is not installed.
    """
    import torch

    from genviews.engine import LocalEngine, RayEngine

    if flags.engine == "local":
        return LocalEngine()
    gpus = torch.cuda.device_count() if device.type == "cuda" else 0
    return RayEngine(
        flags.workers,
        num_threads=max(1, torch.get_num_threads() // flags.workers),
        num_gpus_per_actor=min(1.0, gpus / flags.workers),
        address=flags.ray_address,
    )
