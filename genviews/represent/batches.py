"""What a training takes its views from, and the processes that share a batch.

    BATCHES.batch(step) -> {"views": (B, V, C, H, W), "labels": (B,), "z": (B, V, Z)}

Pixel augmentation is part of the batches. They depend on the step alone, so a training that goes on
from a checkpoint sees what it would have seen.

What several processes have of a batch is gathered for the loss (`gather_rows`):

    forward: every process gets the rows of all, in the order of the processes
    backward: the gradients that all processes have for a process's rows are summed there

A loss computed from gathered rows is the same number on each process. DDP averages the gradients of
W processes, and the sum over W equal losses makes up for it: what it averages is the gradient of
the loss of the whole batch, however the batch is split, evenly or not.

Source: Chen et al. 2020, arXiv:2002.05709, section 2.2 (negatives of all devices).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import torch
import torch.distributed as dist
from jaxtyping import Shaped
from torch import Tensor, nn

from genviews.checks import check_each, fail
from genviews.types import check_floats

__all__ = [
    "Batches",
    "PartBatches",
    "Processes",
    "gather_rows",
    "local_batch",
    "process_count",
]

Batch = Mapping[str, Tensor | None]


@runtime_checkable
class Batches(Protocol):
    """Batches by step."""

    def batch(self, step: int) -> Batch:
        """Return the whole batch of a step, counted from 0; the same at every call.

        Returns:
            "views": (B, V, C, H, W) in [-1, 1]; "labels": (B,) integers and "z": (B, V, Z) prior
            latents, where the objective needs them. Other entries are not looked at.
        """


@runtime_checkable
class PartBatches(Protocol):
    """Batches of which a process can have its part made alone, without the rest."""

    def part(self, step: int, process: int, processes: int) -> Batch:
        """Return the rows of `batch(step)` that process `process` of `processes` trains on."""


@runtime_checkable
class Processes(Protocol):
    """The processes that train together; an `accelerate.Accelerator` is one."""

    process_index: int
    num_processes: int
    is_main_process: bool
    device: torch.device

    def prepare_model(self, model: nn.Module) -> nn.Module:
        """Move a module to `device`, and wrap it in DDP where there are several processes."""

    def wait_for_everyone(self) -> None:
        """Return once every process got here."""


def local_batch(
    batches: Batches, step: int, device: torch.device, process: int = 0, processes: int = 1
) -> dict[str, Tensor]:
    """Return the entries that a process trains on, on its device; those that are None are left out.

    Batches without `part` make the whole batch in every process, and each takes its rows.

    Raises:
        ValueError: views that are not (B, V, C, H, W), an entry with other than B rows, or fewer
            rows than processes.
        TypeError: views that are not floating-point.
    """
    batch: Batch
    if processes > 1 and isinstance(batches, PartBatches):
        batch = batches.part(step, process, processes)
    else:
        batch = batches.batch(step)
        batch = {
            name: value if value is None else value.tensor_split(processes)[process]
            for name, value in batch.items()
        }
    _check(batch, step)
    wanted = ("views", "labels", "z")
    found = {name: batch.get(name) for name in wanted}
    return {k: v.to(device, non_blocking=True) for k, v in found.items() if v is not None}


def _check(batch: Batch, step: int) -> None:
    views = batch.get("views")
    if views is None or views.ndim != 5 or views.shape[0] == 0 or views.shape[1] == 0:
        fail(
            f"views of step {step}",
            expected="shape (B, V, C, H, W), with a sample for every process",
            got="none" if views is None else tuple(views.shape),
            remedy='let `batch` return {"views": ...}',
        )
    check_floats(views, f"views of step {step}")
    for name in ("labels", "z"):
        value = batch.get(name)
        if value is not None:
            check_each(value, len(views), f"{name} of step {step}", "sample")


def process_count() -> int:
    """Number of processes that train together; 1 where torch.distributed is not initialised."""
    if dist.is_available() and dist.is_initialized():
        return int(dist.get_world_size())
    return 1


def gather_rows(rows: Shaped[Tensor, " n *shape"]) -> Shaped[Tensor, " N *shape"]:
    """Return the rows of all processes, first those of process 0; the input itself where one runs.

    Args:
        rows: any type and any number of rows, which may differ from process to process; the other
            axes may not. Gradients reach floating-point rows.

    Returns:
        N = the sum of the n.

    Example:
        >>> gather_rows(torch.tensor([1.0, 2.0]))
        tensor([1., 2.])
    """
    world = process_count()
    if world == 1:
        return rows
    own = torch.tensor([rows.shape[0]], device=rows.device)
    counts = [torch.empty_like(own) for _ in range(world)]
    dist.all_gather(counts, own)
    sizes = [int(count) for count in counts]
    if not rows.is_floating_point():
        return _join(rows, sizes)
    joined: Tensor = _Gather.apply(rows, sizes)
    return joined


def _join(rows: Tensor, sizes: list[int]) -> Tensor:
    # all_gather wants equal shapes: short parts are padded, and cut off again.
    longest = max(sizes)
    padded = rows.new_zeros(longest, *rows.shape[1:])
    padded[: rows.shape[0]] = rows.detach()
    parts = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(parts, padded)
    return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])


class _Gather(torch.autograd.Function):
    """`_join` whose gradient is summed over the processes; it cannot be differentiated twice."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, sizes: list[int]) -> Tensor:  # noqa: ANN401 (torch's)
        ctx.sizes = sizes
        return _join(rows, sizes)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401 (torch's)
        total = grad.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total.split(ctx.sizes)[dist.get_rank()], None
