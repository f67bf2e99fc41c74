"""How many images an inversion computes at once, and how they are computed alike.

How many fit into memory is counted, not timed: the bytes that the backward pass of the objective
keeps for two images, less those for one. So the same machine always gets the same batch, and with
it the same round-off.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from genviews.checks import check_count
from genviews.generators.base import Generator
from genviews.invert.objective import Objective
from genviews.types import Images

__all__ = ["bytes_per_image", "fitting_batch", "in_parts", "rows_alike"]

MEMORY = 2 * 2**30  # bytes; a share of any machine that runs PyTorch (chosen by us)
LARGEST = 256  # on two CPU cores nothing is gained beyond 64, on a GPU little beyond this
# Gradients and temporary tensors live beside what is kept: measured 1.3 to 1.7 on StyleGAN2.
OVERHEAD = 2.0

# Rows that a CPU takes at once, always so many. Kernels for other numbers of rows round otherwise,
# and a long descent makes much of little: without this, an image alone and in a batch ended at
# losses that one could tell apart. 16 cost little (benchmarks/inversion.py). Batches of less take
# 8: below that the last bit changes with the number of rows (docs/decisions.md).
ALIKE, ALIKE_FEWEST = 16, 8


def in_parts(
    compute: Callable[[Tensor], tuple[Tensor, ...]], rows: int, device: torch.device, size: int
) -> tuple[Tensor, ...]:
    """Compute rows in parts that are computed alike, whatever their neighbours and their number.

    On a CPU every part has `size` rows; the last row fills up the last part. On an accelerator the
    last part is what is left.

    Args:
        compute: indices -> tensors with a row for each.
        rows: how many there are, 1 or more.
        device: where they are.
        size: rows of a part, see `rows_alike`.
    """
    parts = []
    for start in range(0, rows, size):
        end = start + size if device.type == "cpu" else min(start + size, rows)
        part = torch.arange(start, end, device=device).clamp(max=rows - 1)
        parts.append([value[: rows - start] for value in compute(part)])
    return tuple(torch.cat(values) for values in zip(*parts, strict=True))


def rows_alike(
    generator: Generator,
    objective: Objective,
    images: Images,
    batch_size: int,
    *,
    strictly: bool = False,
) -> int:
    """Return how many rows are computed at once.

    On a CPU so many whatever the batch size, but where memory does not allow it, or the batch is
    `strictly` the most; on an accelerator, where a fixed small part would cost the speed, the
    batch.
    """
    if images.device.type != "cpu":
        return batch_size
    if batch_size >= ALIKE:
        return ALIKE
    if strictly:
        return batch_size
    fits = batch_size >= ALIKE_FEWEST or (
        fitting_batch(generator, objective, images.dtype) >= ALIKE_FEWEST
    )
    return ALIKE_FEWEST if fits else batch_size


def fitting_batch(
    generator: Generator,
    objective: Objective,
    dtype: torch.dtype = torch.float32,
    *,
    memory: int = MEMORY,
) -> int:
    """Return the largest batch, a power of two up to 256, whose evaluation stays within `memory`.

    Args:
        generator: whose images are inverted; on its own device.
        objective: that is evaluated.
        dtype: of the images.
        memory: bytes that an evaluation may take, besides the networks.
    """
    check_count(memory, "memory in bytes")
    most = min(memory / (OVERHEAD * max(bytes_per_image(generator, objective, dtype), 1)), LARGEST)
    return int(2 ** max(int(most).bit_length() - 1, 0))


def bytes_per_image(
    generator: Generator, objective: Objective, dtype: torch.dtype = torch.float32
) -> int:
    """Return the bytes that the backward pass keeps for one more image in the batch."""
    return _kept(generator, objective, dtype, 2) - _kept(generator, objective, dtype, 1)


def _kept(generator: Generator, objective: Objective, dtype: torch.dtype, images: int) -> int:
    latents = torch.zeros(images, *generator.latent_spec.shape, dtype=dtype)
    latents = latents.to(generator.device)
    blank = torch.zeros(images, *generator.image_spec.shape, dtype=dtype, device=latents.device)
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    target = objective.target(blank, torch.ones_like(blank[:, :1]), latents)
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        latents.requires_grad_(True)
        label = None
        if generator.renders_label:
            label = torch.zeros(images, dtype=torch.long, device=latents.device)
        loss = objective(target, generator.images_of(latents, label), latents)
    del loss
    return sum(kept.values())
