"""Rows of every process together, with gradients, so that a loss sees the whole batch.

    forward: every process gets the rows of all, in the order of the processes
    backward: the gradients that all processes have for a process's rows are summed there

A loss computed from gathered rows is the same number on each process. DDP averages the gradients of
W processes, and the sum over W equal losses makes up for it: what it averages is the gradient of
the loss of the whole batch, however the batch is split, evenly or not.

Source: Chen et al. 2020, arXiv:2002.05709, section 2.2 (negatives of all devices).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Shaped
from torch import Tensor

__all__ = ["gather_rows", "process_count"]


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
