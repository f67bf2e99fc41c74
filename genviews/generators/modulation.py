"""The arithmetic of StyleGAN2's modulated layers, its gradient by hand where weights are frozen.

    y = clamp(lrelu(u))        u = d * conv(s * x; W) + b        d_o = sqrt(2 / (s^2 E + 1e-8)_o)

with the style s, the energies E_io = sum_k W_oik^2, and b the noise and bias times sqrt(2). An
inversion asks thousands of times for the gradient of x and s alone. Let g = dL/du (0 where the
clamp acts, times 0.2 where y < 0) and a = conv^T(d * g; W). Then

    dL/dx = s * a        dL/ds = sum_pixels(a * x) - s * E (d^2 / 2 * sum_pixels(g * (u - b)))

The leaky ReLU is linear on either side of 0, hence g * u = dL/dy * y: only x and y are kept for the
backward pass, none of the stages between, and y is the x of the next layer.

Beside each gradient by hand stand the same formulas in differentiable operators. They serve trained
weights, `torch.compile`, autocast, forward mode and `torch.func`; and a gradient that is itself to
be differentiated (`create_graph=True`) evaluates them once more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import functional as F

__all__ = ["GAIN", "SLOPE", "activate", "demodulate", "modulated_conv", "weighted_sums"]

_Context: TypeAlias = Any  # torch has no type for what it passes from forward to backward

SLOPE = 0.2
GAIN = math.sqrt(2.0)
# Entries that a thread takes through all element-wise passes before the next: several buffers of
# 4-byte numbers then stay in a second-level cache of 1 MiB.
CACHED_ENTRIES = 2**18
LEAST = 1


def activate(x: Tensor, clamp: float | None = None) -> Tensor:
    """Leaky ReLU in place, then the clamp; the input carries the gain already (they commute)."""
    x = F.leaky_relu_(x, SLOPE)
    return x if clamp is None else x.clamp(-clamp, clamp)


def demodulate(
    x: Tensor, style: Tensor, energy: Tensor, offsets: Sequence[Tensor], clamp: float | None
) -> Tensor:
    """clamp(lrelu(d * x + b)); without gradients x is overwritten.

    Args:
        x: the convolved activations (N, out, h, w).
        style: (N, in).
        energy: (in, out).
        offsets: b as a sum of tensors that extend to the shape of x.
        clamp: bound of the result.
    """
    scale = _scale(style, energy).to(x.dtype)[:, :, None, None]
    if torch.is_grad_enabled():
        x = torch.addcmul(offsets[0], x, scale)
    else:
        torch.addcmul(offsets[0], x, scale, out=x)
    for offset in offsets[1:]:
        x = x.add_(offset)
    return activate(x, clamp)


def modulated_conv(
    x: Tensor,
    style: Tensor,
    weight: Tensor,
    energy: Tensor,
    fir: Tensor | None,
    offsets: Sequence[Tensor],
    clamp: float | None,
) -> Tensor:
    """The y of the module docstring; without gradients x is overwritten.

    Args:
        x: (N, in, h, w).
        style: (N, in), at least in single precision.
        weight: (out, in, 3, 3) in the type of x.
        energy: (in, out) in the type of the style.
        fir: low-pass filter; with one, the convolution is transposed with stride 2.
        offsets: see `demodulate`.
        clamp: see `demodulate`.
    """
    if not torch.is_grad_enabled() and not torch.compiler.is_compiling():
        return _in_parts(x, style, _scale(style, energy), weight, fir, offsets, clamp)
    if _by_hand((x, style), (weight, energy, *offsets)):
        y: Tensor = _ModulatedConv.apply(x, style, weight, energy, fir, clamp, *offsets)
        return y
    return _modulated_conv(x, style, weight, energy, fir, offsets, clamp)


def _modulated_conv(
    x: Tensor,
    style: Tensor,
    weight: Tensor,
    energy: Tensor,
    fir: Tensor | None,
    offsets: Sequence[Tensor],
    clamp: float | None,
) -> Tensor:
    scale = style.to(x.dtype)[:, :, None, None]
    x = x * scale if torch.is_grad_enabled() else x.mul_(scale)
    return demodulate(_convolve(x, weight, fir), style, energy, offsets, clamp)


def weighted_sums(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Sums over the channels (N, in, h, w) with weights (N, out, in), plus bias (out)."""
    if not torch.is_grad_enabled():
        return _rows_by_pixels(x, weight, bias)
    if _by_hand((x, weight, bias)):
        y: Tensor = _WeightedSums.apply(x, weight, bias)
        return y
    return _weighted_sums(x, weight, bias)


def _weighted_sums(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    if weight.shape[1] == 1:
        # One channel out: a plain sum is twice as fast as a batched product with one column.
        y = (x * weight[:, 0, :, None, None]).sum(1, keepdim=True)
    else:
        # Pixels come first: the gradient of x is then channels-last.
        y = (_pixels(x) @ weight.transpose(1, 2)).transpose(1, 2).unflatten(2, x.shape[2:])
    return y + bias[:, None, None]


class _ModulatedConv(torch.autograd.Function):
    """`modulated_conv` whose weights, energies and offsets get no gradient."""

    @staticmethod
    def forward(
        ctx: _Context,
        x: Tensor,
        style: Tensor,
        weight: Tensor,
        energy: Tensor,
        fir: Tensor | None,
        clamp: float | None,
        *offsets: Tensor,
    ) -> Tensor:
        scale = _scale(style, energy)
        y = _in_parts(x, style, scale, weight, fir, offsets, clamp)
        ctx.clamp = clamp
        ctx.save_for_backward(x, y, style, scale, weight, energy, fir, *offsets)
        return y

    @staticmethod
    def backward(ctx: _Context, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, y, style, scale, weight, energy, fir, *offsets = ctx.saved_tensors
        none = (None,) * (4 + len(offsets))
        if torch.is_grad_enabled():
            again = (weight, energy, fir, offsets, ctx.clamp)
            return *_differentiate(_modulated_conv, ctx, (x, style), again, grad), *none
        of_x, of_style = ctx.needs_input_grad[:2]
        grad_x = torch.empty_like(x)
        products, grad_style = torch.empty_like(scale), torch.empty_like(style)
        parts = _parts(
            y, grad, x, grad_x, products, grad_style, _each(style, x), _each(scale, y), *offsets
        )
        for y_, g, x_, to_x, to_product, to_style, s, d, *offsets_ in parts:
            if ctx.clamp is not None:
                # What lies at the bound was cut off: that a value met it exactly is not told apart.
                g = torch.ops.aten.hardtanh_backward(g, y_, -ctx.clamp, ctx.clamp)
            behind = torch.ops.aten.leaky_relu_backward(g, y_, SLOPE, True)
            if of_style:
                product = g * y_
                for offset in offsets_:
                    product.addcmul_(behind, offset, value=-1)
                torch.sum(product, (2, 3), dtype=scale.dtype, out=to_product)
            back = _convolve_back(behind.mul_(d), weight, fir)
            if of_style:
                torch.sum(back * x_, (2, 3), dtype=style.dtype, out=to_style)
            if of_x:
                torch.mul(back, s, out=to_x)
        if of_style:
            of_energy = products.mul_(scale.square()) @ energy.t()
            grad_style.addcmul_(style, of_energy, value=-0.5)
        return grad_x if of_x else None, grad_style if of_style else None, *none


class _WeightedSums(torch.autograd.Function):
    """`weighted_sums`, in training too: what it saves is memory layout."""

    @staticmethod
    def forward(ctx: _Context, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight, bias)
        return _rows_by_pixels(x, weight, bias)

    @staticmethod
    def backward(ctx: _Context, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias = ctx.saved_tensors
        if torch.is_grad_enabled():
            return tuple(_differentiate(_weighted_sums, ctx, (x, weight, bias), (), grad))
        of_x, of_weight, of_bias = ctx.needs_input_grad
        rows, grad_x = grad.flatten(2), None
        if of_x:
            # Pixels come first: the gradient is channels-last, as what it is added to.
            columns = rows.transpose(1, 2)
            product = columns * weight if weight.shape[1] == 1 else columns @ weight
            grad_x = product.transpose(1, 2).view(x.shape)
        grad_weight = rows @ _pixels(x) if of_weight else None
        return grad_x, grad_weight, rows.sum((0, 2)) if of_bias else None


def _differentiate(
    function: Callable[..., Tensor],
    ctx: _Context,
    inputs: tuple[Tensor, ...],
    others: tuple[object, ...],
    grad: Tensor,
) -> list[Tensor | None]:
    """Gradients of `function(*inputs, *others)`, as functions of the inputs and of `grad`."""
    # Aliases: the search for paths ends at them, and does not go on to how the inputs were made.
    aliases = [t.view_as(t) for t in inputs]
    wanted = [a for a, needed in zip(aliases, ctx.needs_input_grad, strict=False) if needed]
    found = torch.autograd.grad(function(*aliases, *others), wanted, grad, create_graph=True)
    left = iter(found)
    return [next(left) if needed else None for needed in ctx.needs_input_grad[: len(inputs)]]


def _by_hand(inputs: tuple[Tensor, ...], constants: tuple[Tensor, ...] = ()) -> bool:
    """Whether gradients are asked for, of these inputs alone, and in the ordinary way."""
    return (
        torch.is_grad_enabled()
        and not any(t.requires_grad for t in constants)
        and not torch.compiler.is_compiling()
        and not torch.is_autocast_enabled(inputs[0].device.type)
        and not torch._C._are_functorch_transforms_active()
        and all(forward_ad.unpack_dual(t).tangent is None for t in inputs)
    )


def _scale(style: Tensor, energy: Tensor) -> Tensor:
    # The gain is folded into this small factor instead of a pass over the activations.
    return (style.square() @ energy + 1e-8).rsqrt() * GAIN


def _convolve(x: Tensor, weight: Tensor, fir: Tensor | None) -> Tensor:
    if fir is None:
        return F.conv2d(x, weight, padding=1)
    taps = fir.shape[0]
    before, after = (taps + 1) // 2 - 1, (taps - 2) // 2
    return _filter(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), fir, before, after)


def _convolve_back(grad: Tensor, weight: Tensor, fir: Tensor | None) -> Tensor:
    """The transpose of `_convolve` as a linear map of x."""
    if fir is None:
        return F.conv_transpose2d(grad, weight, padding=1)
    taps = fir.shape[0]
    before, after = taps - (taps + 1) // 2, taps - 1 - (taps - 2) // 2
    grad = _filter(grad, fir.flip([0, 1]), before, after)
    return F.conv2d(grad, weight.transpose(0, 1), stride=2)


def _filter(x: Tensor, fir: Tensor, before: int, after: int) -> Tensor:
    if before == after:
        padding = before
    else:
        x, padding = F.pad(x, (before, after, before, after)), 0
    kernel = fir.to(x.dtype).expand(x.shape[1], 1, *fir.shape)
    return F.conv2d(x, kernel, padding=padding, groups=x.shape[1])


def _rows_by_pixels(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    rows = torch.baddbmm(bias[:, None], weight, _pixels(x).transpose(1, 2))
    return rows.view(*rows.shape[:2], *x.shape[2:])


def _pixels(x: Tensor) -> Tensor:
    """(N, C, h, w) -> (N, h w, C), a view of what is channels-last."""
    return x.permute(0, 2, 3, 1).flatten(1, 2)


def _in_parts(
    x: Tensor,
    style: Tensor,
    scale: Tensor,
    weight: Tensor,
    fir: Tensor | None,
    offsets: Sequence[Tensor],
    clamp: float | None,
) -> Tensor:
    """y, a few samples at a time."""
    side = x.shape[2] if fir is None else 2 * x.shape[2]
    y = torch.empty(
        (len(x), len(weight), side, side),
        dtype=x.dtype,
        device=x.device,
        memory_format=torch.channels_last,
    )
    for y_, x_, s, d, *offsets_ in _parts(y, x, _each(style, x), _each(scale, x), *offsets):
        torch.addcmul(offsets_[0], _convolve(x_ * s, weight, fir), d, out=y_)
        for offset in offsets_[1:]:
            y_.add_(offset)
        F.leaky_relu_(y_, SLOPE)
        if clamp is not None:
            y_.clamp_(-clamp, clamp)
    return y


def _each(factors: Tensor, like: Tensor) -> Tensor:
    """(N, C) -> (N, C, 1, 1) in the type of `like`."""
    return factors.to(like.dtype).view(*factors.shape, 1, 1)


def _parts(y: Tensor, *others: Tensor) -> Iterable[tuple[Tensor, ...]]:
    """`y` and the rest, a few samples at a time; an accelerator takes all at once."""
    size = len(y)
    if y.device.type == "cpu":
        size = max(CACHED_ENTRIES * torch.get_num_threads() // max(y[:1].numel(), 1), LEAST)
    if size >= len(y):
        return [(y, *others)]
    return zip(*(t.expand(len(y), *t.shape[1:]).split(size) for t in (y, *others)), strict=True)
