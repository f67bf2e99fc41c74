"""How many images fit into memory at once, from what one image costs.

The cost is counted, not timed: the bytes that the backward pass of the objective keeps for two
images, less those for one. So the same machine always gets the same batch, and with it the same
round-off.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from genviews.checks import check_count
from genviews.generators.base import Generator
from genviews.invert.objective import Objective

__all__ = ["alike", "bytes_per_image", "fitting_batch"]

MEMORY = 2 * 2**30  # bytes; a share of any machine that runs PyTorch (chosen by us)
LARGEST = 256  # on two CPU cores nothing is gained beyond 64, on a GPU little beyond this
# Gradients and temporary tensors live beside what is kept: measured 1.3 to 1.7 on StyleGAN2.
OVERHEAD = 2.0

# Rows that a CPU takes at once, always so many. Kernels for other numbers of rows round otherwise,
# and a long descent makes much of little: without this, an image alone and in a batch ended at
# losses that one could tell apart. With 16 it costs little (benchmarks/inversion.py).
ALIKE = 16


def alike(rows: int, device: torch.device, *, most: int = ALIKE) -> Iterator[tuple[Tensor, int]]:
    """Cut rows into parts that are computed alike, whatever their neighbours and their number.

    On a CPU every part has `ALIKE` rows, or `most` if that is less; the last row fills up the last
    part. An accelerator takes all rows at once: there a fixed small part would cost the speed.

    Args:
        rows: how many there are.
        device: where they are.
        most: rows that may be computed at once.

    Yields:
        (indices of a part, how many of them count).
    """
    size = min(ALIKE, most) if device.type == "cpu" else max(rows, 1)
    for start in range(0, rows, size):
        part = torch.arange(start, start + size, device=device).clamp(max=rows - 1)
        yield part, min(size, rows - start)


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
        loss = objective(target, generator.synthesize(latents, label), latents)
    del loss
    return sum(kept.values())
