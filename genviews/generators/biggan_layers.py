"""What the BigGANs share: attention over the pixels, conditional norm, spectral weights at rest.

A finished network divides each weight by its largest singular value once, when it is read
(`spectral`): the division is part of training, and costs more than small layers do.

Source: Brock, Donahue, Simonyan, ICLR 2019, arXiv:1809.11096; Zhang et al. 2019, "Self-attention
generative adversarial networks", arXiv:1805.08318; Miyato et al. 2018, arXiv:1802.05957.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Attention", "ClassNorm", "spectral"]


class Attention(nn.Module):
    """Each pixel takes from every second pixel of each axis what resembles it, added with a weight.

    x + gamma o(softmax(theta(x)^T phi(x)) g(x)),    phi and g at half the size by maxima
    """

    def __init__(self, channels: int) -> None:
        """1x1 convolutions without bias: `theta`, `phi` (C/8), `g` (C/2), `o` (back to C)."""
        super().__init__()
        self.theta = nn.Conv2d(channels, channels // 8, 1, bias=False)
        self.phi = nn.Conv2d(channels, channels // 8, 1, bias=False)
        self.g = nn.Conv2d(channels, channels // 2, 1, bias=False)
        self.o = nn.Conv2d(channels // 2, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros([]))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) -> the same."""
        query = self.theta(x).flatten(2)
        key = F.max_pool2d(self.phi(x), 2).flatten(2)
        value = F.max_pool2d(self.g(x), 2).flatten(2)
        weights = (query.transpose(1, 2) @ key).softmax(-1)
        taken = (value @ weights.transpose(1, 2)).unflatten(2, x.shape[2:])
        return torch.addcmul(x, self.gamma, self.o(taken))


class ClassNorm(nn.Module):
    """Batch norm whose scale and shift come from a condition.

    y = (x - mean) / deviation (1 + scale(c)) + shift(c)

    Mean and variance are the caller's: they depend on how the generator is truncated.
    """

    def __init__(self, channels: int, condition: int) -> None:
        """Linear maps without bias: `scale` and `shift`."""
        super().__init__()
        self.scale = nn.Linear(condition, channels, bias=False)
        self.shift = nn.Linear(condition, channels, bias=False)

    def forward(self, x: Tensor, condition: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
        """(N, C, h, w), (N, V), (C,), (C,) -> (N, C, h, w)."""
        gain = (self.scale(condition) + 1.0) / deviation
        offset = self.shift(condition) - mean * gain
        return torch.addcmul(offset[..., None, None], x, gain[..., None, None])


def spectral(weight: Tensor, left: Tensor, right: Tensor | None = None, eps: float = 0.0) -> Tensor:
    """The weight over its largest singular value, as a network in eval mode takes it.

    Args:
        weight: (out, ...).
        left: (out,), kept from training.
        right: (in,), kept from training; None takes one step of the power method from `left`.
        eps: least norm that a step divides by.
    """
    matrix, u = weight.flatten(1), left.flatten()
    if right is None:
        v = F.normalize(u @ matrix, dim=0, eps=eps)
        u = F.normalize(matrix @ v, dim=0, eps=eps)
    else:
        v = right.flatten()
    return weight / (u @ (matrix @ v))
