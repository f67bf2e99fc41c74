"""The arithmetic of StyleGAN2's modulated layers, its gradient by hand where weights are frozen.

    y = clamp(lrelu(u))        u = d * conv(s * x; W) + b        d_o = sqrt(2 / (s^2 E + 1e-8)_o)

with the style s, the energies E_io = sum_k W_oik^2, and b the noise and bias times sqrt(2). An
inversion asks thousands of times for the gradient of x and s alone. Let g = dL/du (0 where the
clamp acts, times 0.2 where y < 0) and a = conv^T(d * g; W). Then

    dL/dx = s * a        dL/ds = sum_pixels(a * x) - s * E (d^2 / 2 * sum_pixels(g * (u - b)))

The leaky ReLU is linear on either side of 0, hence g * u = dL/dy * y: only x and y are kept for the
backward pass, none of the stages between, and y is the x of the next layer. A CPU takes a few
samples at a time through all stages, so that what lies between stays in its cache.

Beside each gradient by hand stand the same formulas in differentiable operators. They serve trained
weights, `torch.compile`, autocast, forward mode and `torch.func`; and a gradient that is itself to
be differentiated (`create_graph=True`) evaluates them once more, there the convolution as a linear
map of x that knows its transpose: no derivative of any order is then one of the weight.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import functional as F

__all__ = [
    "GAIN",
    "SLOPE",
    "ConvWeights",
    "demodulate",
    "differentiate",
    "is_ordinary",
    "modulated_conv",
    "to_image",
]

_Context: TypeAlias = Any  # torch has no type for what it passes from forward to backward
_Gradients: TypeAlias = tuple[Tensor | None, ...]

SLOPE = 0.2
GAIN = math.sqrt(2.0)
# Below so many entries in x, calls from Python cost more than the passes that they save.
BY_HAND_FROM = 2**15
# Entries of the output that a CPU thread takes through all stages at a time: 2 MiB of floats. With
# a quarter as many, the calls cost more than the cache saves; with twice as many, it saves less.
ENTRIES_AT_A_TIME = 2**19
# Convolutions of fewer samples than this lose more by themselves: then all samples go together.
FEWEST_AT_A_TIME = 16


class ConvWeights(NamedTuple):
    """What a modulated convolution computes with, besides x and the style.

    Args:
        weight: W (out, in, 3, 3), in the type of x.
        energy: E (in, out), in the type of the style.
        offsets: b as a sum of tensors with 4 axes that extend to the shape of y.
        fir: low-pass filter; with one, the convolution is transposed with stride 2.
        fir_flipped: the same, flipped along both axes.
        clamp: bound of y.
    """

    weight: Tensor
    energy: Tensor
    offsets: tuple[Tensor, ...]
    fir: Tensor | None = None
    fir_flipped: Tensor | None = None
    clamp: float | None = None


def demodulate(x: Tensor, style: Tensor, weights: ConvWeights) -> Tensor:
    """clamp(lrelu(d * x + b)) of convolved activations (N, out, h, w)."""
    y = torch.addcmul(weights.offsets[0], x, _each(_scale(style, weights.energy), x))
    for offset in weights.offsets[1:]:
        y = y.add_(offset)
    y = F.leaky_relu_(y, SLOPE)  # the gain is in y already: they commute
    return y if weights.clamp is None else y.clamp(-weights.clamp, weights.clamp)


def modulated_conv(x: Tensor, style: Tensor, weights: ConvWeights) -> Tensor:
    """The y of the module docstring, for x (N, in, h, w) and style (N, in).

    Without gradients x is overwritten. The style is in single precision at least.
    """
    if torch.compiler.is_compiling():
        return _modulated_conv(x, style, weights)
    if not torch.is_grad_enabled():
        return _in_parts(x, style, _scale(style, weights.energy), weights)
    fixed = (weights.weight, weights.energy, *weights.offsets)
    trained = any(t.requires_grad for t in fixed)
    if x.numel() >= BY_HAND_FROM and is_ordinary(x, style) and not trained:
        y: Tensor = _ModulatedConv.apply(x, style, weights)
        return y
    return _modulated_conv(x, style, weights)


def to_image(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Sums over the channels (N, in, h, w) with weights (N, out, in), plus bias (out)."""
    if not torch.is_grad_enabled():
        return _rows_by_pixels(x, weight, bias)
    if not torch.compiler.is_compiling() and is_ordinary(x, weight, bias):
        y: Tensor = _ToImage.apply(x, weight, bias)
        return y
    return _to_image(x, weight, bias)


def _modulated_conv(x: Tensor, style: Tensor, weights: ConvWeights) -> Tensor:
    """`modulated_conv` in differentiable operators."""
    return demodulate(_convolve(x * _each(style, x), weights), style, weights)


def _of_frozen_weights(x: Tensor, style: Tensor, weights: ConvWeights) -> Tensor:
    """The same, for a gradient that is to be differentiated."""
    return demodulate(_Convolution.apply(x * _each(style, x), weights, False), style, weights)


def _to_image(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """`to_image` in differentiable operators."""
    if weight.shape[1] == 1:
        # One channel out: a plain sum is twice as fast as a batched product with one column.
        y = (x * weight[:, 0, :, None, None]).sum(1, keepdim=True)
    else:
        # Pixels come first: the gradient of x is then channels-last.
        y = (_pixels(x) @ weight.transpose(1, 2)).transpose(1, 2).unflatten(2, x.shape[2:])
    return y + bias[:, None, None]


class _ModulatedConv(torch.autograd.Function):
    """`modulated_conv` with weights that get no gradient."""

    @staticmethod
    def forward(ctx: _Context, x: Tensor, style: Tensor, weights: ConvWeights) -> Tensor:
        scale = _scale(style, weights.energy)
        y = _in_parts(x, style, scale, weights, overwrite=False)
        weight, energy, offsets, *ctx.others = weights
        # Weights are saved, not merely held: torch then notices if they change before `backward`.
        ctx.save_for_backward(x, style, scale, y, weight, energy, *offsets)
        return y

    @staticmethod
    def backward(ctx: _Context, grad: Tensor) -> _Gradients:
        x, style, scale, y, weight, energy, *offsets = ctx.saved_tensors
        weights = ConvWeights(weight, energy, tuple(offsets), *ctx.others)
        if torch.is_grad_enabled():
            return *differentiate(_of_frozen_weights, ctx, (x, style), (weights,), grad), None
        of_x, of_style, _ = ctx.needs_input_grad
        grad_x, grad_style = torch.empty_like(x), torch.empty_like(style)
        totals = torch.empty_like(scale)
        size, in_out = _at_a_time(y, y.shape), (_each(style, x), _each(scale, y))
        for y_, dy, x_, dx, ds, total, s, d, *b in _parts(
            size, y, grad, x, grad_x, grad_style, totals, *in_out, *offsets
        ):
            if weights.clamp is not None:
                # What lies at the bound was cut off: a value that met it exactly is not told apart.
                limits = -weights.clamp, weights.clamp
                dy = torch.ops.aten.hardtanh_backward(dy, y_, *limits)
            g = dy * d
            product = g * y_ if of_style else None
            torch.ops.aten.leaky_relu_backward.grad_input(g, y_, SLOPE, True, grad_input=g)
            if product is not None:
                for offset in b:
                    product.addcmul_(g, offset, value=-1)
                torch.sum(product, (2, 3), dtype=scale.dtype, out=total)
            a = _convolve_back(g, weights)
            if of_style:
                torch.sum(a * x_, (2, 3), dtype=style.dtype, out=ds)
            if of_x:
                torch.mul(a, s, out=dx)
        if of_style:
            grad_style.addcmul_(style, totals.mul_(scale) @ energy.t(), value=-0.5)
        return grad_x if of_x else None, grad_style if of_style else None, None


class _Convolution(torch.autograd.Function):
    """`_convolve` or `_convolve_back` with a weight that gets no gradient: each is the other's.

    torch's own second derivative computes that of the weight whether it is wanted or not.
    """

    @staticmethod
    def forward(ctx: _Context, x: Tensor, weights: ConvWeights, back: bool) -> Tensor:
        ctx.weights, ctx.back = weights, back
        ctx.save_for_backward(weights.weight)  # torch then notices if it changes before `backward`
        return (_convolve_back if back else _convolve)(x, weights)

    @staticmethod
    def backward(ctx: _Context, grad: Tensor) -> _Gradients:
        (weight,) = ctx.saved_tensors
        weights = ctx.weights._replace(weight=weight)
        return _Convolution.apply(grad, weights, not ctx.back), None, None


class _ToImage(torch.autograd.Function):
    """`to_image`, in training too: what it saves is a gradient in another layout than x."""

    @staticmethod
    def forward(ctx: _Context, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight, bias)
        return _rows_by_pixels(x, weight, bias)

    @staticmethod
    def backward(ctx: _Context, grad: Tensor) -> _Gradients:
        x, weight, bias = ctx.saved_tensors
        if torch.is_grad_enabled():
            return differentiate(_to_image, ctx, (x, weight, bias), (), grad)
        of_x, of_weight, of_bias = ctx.needs_input_grad
        rows, grad_x = grad.flatten(2), None
        if of_x:
            # Pixels come first: the gradient is channels-last, as what it is added to.
            columns = rows.transpose(1, 2)
            product = columns * weight if weight.shape[1] == 1 else columns @ weight
            grad_x = product.transpose(1, 2).view(x.shape)
        grad_weight = rows @ _pixels(x) if of_weight else None
        return grad_x, grad_weight, rows.sum((0, 2)) if of_bias else None


def differentiate(
    function: Callable[..., Tensor],
    ctx: _Context,
    inputs: tuple[Tensor, ...],
    others: tuple[object, ...],
    grad: Tensor,
) -> _Gradients:
    """Gradients of `function(*inputs, *others)`, as functions of the inputs and of `grad`."""
    # Aliases: the search for paths ends at them, and does not go on to how the inputs were made.
    aliases = [t.view_as(t) for t in inputs]
    needed = ctx.needs_input_grad[: len(inputs)]
    wanted = [alias for alias, of in zip(aliases, needed, strict=True) if of]
    found = iter(torch.autograd.grad(function(*aliases, *others), wanted, grad, create_graph=True))
    return tuple(next(found) if of else None for of in needed)


def is_ordinary(*inputs: Tensor) -> bool:
    """Whether torch takes operators as written: no autocast, forward mode, `torch.func`."""
    for t in inputs:
        if forward_ad.unpack_dual(t).tangent is not None:
            return False
    transformed = torch._C._are_functorch_transforms_active()
    return not transformed and not torch.is_autocast_enabled(inputs[0].device.type)


def _in_parts(
    x: Tensor, style: Tensor, scale: Tensor, weights: ConvWeights, *, overwrite: bool = True
) -> Tensor:
    """The output y, from operators that write where they read; x is overwritten on request only."""
    side = x.shape[2] * (1 if weights.fir is None else 2)
    shape = (len(x), len(weights.weight), side, side)
    size = _at_a_time(x, shape)
    read = (x, _each(style, x), _each(scale, x), *weights.offsets)
    if size >= len(x):
        return _stages(None, weights, overwrite, *read)
    layout = torch.channels_last
    y = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=layout)
    for part in _parts(size, y, *read):
        _stages(part[0], weights, overwrite, *part[1:])
    return y


def _stages(
    y: Tensor | None,
    weights: ConvWeights,
    overwrite: bool,
    x: Tensor,
    s: Tensor,
    d: Tensor,
    *offsets: Tensor,
) -> Tensor:
    convolved = _convolve(x.mul_(s) if overwrite else x * s, weights)
    y = convolved if y is None else y
    torch.addcmul(offsets[0], convolved, d, out=y)
    for offset in offsets[1:]:
        y.add_(offset)
    F.leaky_relu_(y, SLOPE)
    return y if weights.clamp is None else y.clamp_(-weights.clamp, weights.clamp)


def _at_a_time(x: Tensor, shape: Sequence[int]) -> int:
    """How many samples go through all stages together to make an output of this shape."""
    samples, channels, height, width = shape
    if samples >= FEWEST_AT_A_TIME and x.device.type == "cpu":
        fitting = ENTRIES_AT_A_TIME * torch.get_num_threads() // (channels * height * width)
        if fitting >= FEWEST_AT_A_TIME:
            return fitting
    return max(samples, 1)


def _parts(size: int, *tensors: Tensor) -> Iterable[tuple[Tensor, ...]]:
    """`size` samples of each tensor at a time; a tensor of one sample is everyone's."""
    samples = len(tensors[0])
    if size >= samples:
        return [tensors]
    return zip(*(t.expand(samples, *t.shape[1:]).split(size) for t in tensors), strict=True)


def _each(factors: Tensor, like: Tensor) -> Tensor:
    """(N, C) -> (N, C, 1, 1) in the type of `like`."""
    return factors.to(like.dtype)[..., None, None]


def _scale(style: Tensor, energy: Tensor) -> Tensor:
    # The gain is folded into this small factor instead of a pass over the activations.
    return (style.square() @ energy + 1e-8).rsqrt() * GAIN


def _convolve(x: Tensor, weights: ConvWeights) -> Tensor:
    if weights.fir is None:
        return F.conv2d(x, weights.weight, padding=1)
    x = F.conv_transpose2d(x, weights.weight.transpose(0, 1), stride=2)
    taps = len(weights.fir)
    return _filter(x, weights.fir, (taps + 1) // 2 - 1, (taps - 2) // 2)


def _convolve_back(grad: Tensor, weights: ConvWeights) -> Tensor:
    """The transpose of `_convolve` as a linear map of x."""
    if weights.fir_flipped is None:
        return F.conv_transpose2d(grad, weights.weight, padding=1)
    taps = len(weights.fir_flipped)
    before, after = taps - (taps + 1) // 2, taps - 1 - (taps - 2) // 2
    grad = _filter(grad, weights.fir_flipped, before, after)
    return F.conv2d(grad, weights.weight.transpose(0, 1), stride=2)


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
