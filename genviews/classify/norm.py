"""Batch norm, addition and rectification of a training step as one operation for processors.

    n = (x - mean) / sqrt(var + eps),    y = relu(gamma n + beta + s)
    g = dy where y > 0, ds = g,          dbeta = sum g,    dgamma = sum g n
    dx = gamma / sqrt(var + eps) (g - dbeta / M - n dgamma / M)

Mean and variance are those of the M = N H W pixels of a channel. torch's own batch norm goes
through channels-last images pixel by pixel, which leaves most of a vector register idle where
channels are few, and does not run faster on two cores than on one. Here several pixels lie side by
side as one row of as many channels as fill the registers, and their sums are added up afterwards.

Source: Ioffe and Szegedy 2015, arXiv:1502.03167, section 3.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["rectified_norm"]

_REGISTER = 16  # numbers of 32 bits in the widest vector registers of processors


def rectified_norm(
    norm: nn.Module,
    x: Float[Tensor, "N C H W"],
    skip: Float[Tensor, "N C H W"] | None = None,
) -> Float[Tensor, "N C H W"]:
    """Return relu(norm(x) + skip), with running statistics updated as the norm itself would.

    A training `nn.BatchNorm2d` on a processor takes the short way of this module, which gives the
    same up to rounding; its gradient cannot be differentiated again, and hooks of the norm are not
    called. Anything else is called as it is, so that a norm may be replaced by another.

    Args:
        norm: of C channels.
        x: images or maps; float32, or bfloat16 with a norm in float32.
        skip: what is added before rectification; None for nothing.

    Example:
        >>> norm = nn.BatchNorm2d(3)
        >>> rectified_norm(norm, torch.randn(2, 3, 4, 4)).shape, int(norm.num_batches_tracked)
        (torch.Size([2, 3, 4, 4]), 1)
    """
    if not _is_short(norm, x):
        y = norm(x)
        return F.relu(y if skip is None else y + skip, inplace=True)
    # `_is_short` has seen that these are there.
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.num_batches_tracked is not None
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.momentum is not None
    y, mean, var = _RectifiedNorm.apply(x, norm.weight, norm.bias, skip, norm.eps)
    pixels = x.numel() / x.shape[1]
    norm.num_batches_tracked.add_(1)
    norm.running_mean.lerp_(mean, norm.momentum)
    norm.running_var.lerp_(var * (pixels / (pixels - 1)), norm.momentum)
    rectified: Tensor = y
    return rectified


def _is_short(norm: nn.Module, x: Tensor) -> bool:
    """Whether a norm is one that the short way is made for."""
    return (
        type(norm) is nn.BatchNorm2d  # not one of its kind that looks at other processes
        and norm.training
        and norm.affine
        and norm.track_running_stats
        and norm.momentum is not None
        and x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.bfloat16)
        and norm.weight.dtype == torch.float32
        and x.numel() > x.shape[1]  # a single pixel has no variance; the norm says so
    )


class _RectifiedNorm(torch.autograd.Function):
    """`rectified_norm`, with mean and biased variance of the batch."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401  (torch's context, which takes any attribute)
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        skip: Tensor | None,
        eps: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the rectified sum, the mean and the variance."""
        side = _side_by_side(x)
        rows = _rows(x, side)
        mean, var = _moments(rows, side)
        y = _affine(rows, *_repeated(side, weight, bias, mean, var), eps=eps)
        if skip is not None:
            y.add_(_rows(skip, side))
        y.clamp_min_(0)
        ctx.save_for_backward(rows, y, weight, mean, var)
        ctx.eps, ctx.shape, ctx.added = eps, x.shape, skip is not None
        ctx.mark_non_differentiable(mean, var)
        return _maps(y, x.shape), mean, var

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(
        ctx: Any,  # noqa: ANN401  (as above)
        dy: Tensor,
        *_: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None, None]:
        """Return the gradients of x, weight, bias and skip."""
        rows, y, weight, mean, var = ctx.saved_tensors
        side = rows.shape[1] // len(mean)
        g = torch.ops.aten.threshold_backward(_rows(dy, side), y, 0)
        dgamma, dbeta = _sums(g, rows, mean, var, ctx.eps)
        scale = (var + ctx.eps).rsqrt()
        a = weight * scale
        pixels = rows.numel() / len(mean)
        b = -a * scale * dgamma / pixels
        c = -a * dbeta / pixels - b * mean
        dx = _combine(g, rows, *_repeated(side, a, b, c))
        skip = _maps(g, ctx.shape) if ctx.added else None
        return _maps(dx, ctx.shape), dgamma, dbeta, skip, None


def _side_by_side(x: Tensor) -> int:
    """How many pixels make a row that fills registers; 1 where they cannot be divided so."""
    pixels, channels = x.numel() // x.shape[1], x.shape[1]
    side = math.lcm(channels, _REGISTER) // channels
    return side if pixels % side == 0 else 1


def _rows(x: Tensor, side: int) -> Tensor:
    """(N, C, H, W) maps as (N H W / side, side C) rows of pixels."""
    x = x.contiguous(memory_format=torch.channels_last)
    return x.permute(0, 2, 3, 1).reshape(-1, side * x.shape[1])


def _maps(rows: Tensor, shape: torch.Size) -> Tensor:
    """The inverse of `_rows`."""
    n, c, h, w = shape
    return rows.view(n, h, w, c).permute(0, 3, 1, 2)


def _repeated(side: int, *channels: Tensor) -> tuple[Tensor, ...]:
    """Numbers of each channel for each pixel of a row."""
    return tuple(values.repeat(side) for values in channels)


def _moments(rows: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Mean and biased variance of each channel."""
    # Buffers in float32 make torch sum in it where rows are bfloat16; momentum 0 leaves them.
    kept = torch.zeros(2, rows.shape[1])
    means, variances = torch.ops.aten.batch_norm_update_stats(rows, kept[0], kept[1], 0.0)
    means, variances = means.view(side, -1), variances.view(side, -1)
    mean = means.mean(0)
    return mean, variances.mean(0) + (means - mean).square().mean(0)


def _affine(
    rows: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor, *, eps: float = 0.0
) -> Tensor:
    """(rows - mean) / sqrt(var + eps) weight + bias, in one pass and in float32 inside."""
    found: Tensor = torch.native_batch_norm(rows, weight, bias, mean, var, False, 0.0, eps)[0]
    return found


def _sums(g: Tensor, rows: Tensor, mean: Tensor, var: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """The gradients of weight and bias: sums over pixels of g times the normalised rows, and g."""
    side = rows.shape[1] // len(mean)
    mean, var = _repeated(side, mean, var)
    _, dgamma, dbeta = torch.ops.aten.native_batch_norm_backward(
        g, rows, torch.ones_like(mean), mean, var, None, None, False, eps, [False, True, True]
    )
    return dgamma.view(side, -1).sum(0), dbeta.view(side, -1).sum(0)


def _combine(g: Tensor, rows: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Return a g + b rows + c."""
    if rows.dtype == torch.float32:
        return torch.addcmul(c, rows, b).addcmul_(g, a)
    # Mixed types are slow there; an affine map takes them as they are.
    zero, one = torch.zeros_like(a), torch.ones_like(a)
    return _affine(rows, b, c, zero, one).add_(_affine(g, a, zero, zero, one))
