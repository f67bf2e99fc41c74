"""A short name for the weights of a network, so that what was computed with them can be found."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor, nn

__all__ = ["tensor_hash", "weights_hash"]


def weights_hash(module: nn.Module) -> str:
    """Return 16 hexadecimal digits that change with any parameter or buffer of a module.

    Names, shapes, types and values count; device, memory layout and order of definition do not.
    Buffers that `state_dict` leaves out count too: a classifier's mean and std change what it says.
    Settings that are no tensors (strides, slopes) are not seen.

    Example:
        >>> net = nn.Linear(2, 1)
        >>> before = weights_hash(net)
        >>> _ = nn.init.constant_(net.bias, 3.0)
        >>> weights_hash(net) == before
        False
    """
    digest = hashlib.blake2b(digest_size=8)
    tensors = {**dict(module.named_buffers()), **module.state_dict()}
    for name, value in sorted(tensors.items()):
        if not isinstance(value, Tensor):  # what a module's `get_extra_state` gives
            digest.update(f"{name} {value!r}".encode())
            continue
        digest.update(f"{name} {_content(value)}".encode())
    return digest.hexdigest()


def tensor_hash(value: Tensor) -> str:
    """Return 16 hexadecimal digits that change with the shape, type or values of a tensor."""
    return hashlib.blake2b(_content(value).encode(), digest_size=8).hexdigest()


def _content(value: Tensor) -> str:
    # As bytes: numpy has no bfloat16.
    data = value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
    return f"{tuple(value.shape)} {value.dtype} {hashlib.blake2b(data).hexdigest()}"
