"""The alias-free nonlinearity: a leaky ReLU on a finer grid, between two low-pass filters.

    y = D phi(U x)      phi(t) = clamp(lrelu(t))      U zeros, pad, filter      D filter, every d-th

Between two samples a leaky ReLU makes frequencies that its input has not; at a higher rate they can
be filtered away before they fold back. `lowpass` designs the filters, `filtered` applies them.

How it is computed: a filter along one axis is a banded matrix, so that U and D are matrix products,
a few rows at a time with the few columns that these rows read (`Banded`); a radial filter is a
convolution of each channel by itself. The fine grid has 4 to 16 times the samples of the
activations and is never kept: a CPU takes a few channels at a time through all stages, and the
backward pass makes the sign of U x anew.

Source: Karras et al., "Alias-free generative adversarial networks", NeurIPS 2021, arXiv 2106.12423,
Sec. 3.2 and appendix B, C.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from genviews.generators.modulation import GAIN, SLOPE, differentiate, is_ordinary

__all__ = ["Filtering", "filtered", "lowpass"]

_Context: TypeAlias = Any  # torch has no type for what it passes from forward to backward
_Taps: TypeAlias = tuple[tuple[float, ...], ...]

# Output rows of a banded matrix that are made together, as fast as any on a CPU.
ROWS_AT_A_TIME = 32
# Samples of the fine grid in work at a time: 4 MiB of floats for each thread of a CPU, which stay
# in its cache. An accelerator takes as many as fill it.
ON_A_CPU, ELSEWHERE = 2**20, 2**26
# Channels that a convolution of each by itself needs, at least, to fill the registers of a CPU.
FEWEST_TOGETHER = 16


def lowpass(
    taps: int, cutoff: float, half_width: float, rate: float, *, radial: bool = False
) -> Tensor | None:
    """A low-pass filter with sum 1: (taps,) or, radial, (taps, taps); None, the identity, of 1 tap.

    A Kaiser window times the ideal response: a sinc along an axis, a jinc for a disc.

    Args:
        taps: number of them along an axis.
        cutoff: f_c, where the response is a half, in cycles per unit.
        half_width: f_h, half the width of the transition band, likewise.
        rate: samples per unit.
        radial: the same response in all directions.

    Source: Kaiser 1974 (window, and its shape from taps and transition width); Karras et al. 2021,
        appendix B.

    Example:
        >>> lowpass(4, cutoff=2.0, half_width=1.0, rate=16.0)
            tensor([0.2230, 0.2770, 0.2770, 0.2230])
    """
    if taps == 1:
        return None
    attenuation = 2.285 * (taps - 1) * math.pi * (2 * half_width / (rate / 2)) + 7.95
    window = np.kaiser(taps, _kaiser_shape(attenuation))
    place = (np.arange(taps) - (taps - 1) / 2) / rate
    if radial:
        distance = torch.from_numpy(np.hypot(*np.meshgrid(place, place)))
        response = torch.special.bessel_j1(2 * math.pi * cutoff * distance) / distance
        ideal = response.where(distance > 0, math.pi * cutoff).numpy() * np.outer(window, window)
    else:
        ideal = np.sinc(2 * cutoff * place) * window
    return torch.from_numpy(ideal / ideal.sum()).float()


def _kaiser_shape(attenuation: float) -> float:
    """Beta of the window whose stop band is so many dB down, by Kaiser's fit."""
    if attenuation > 50:
        return 0.1102 * (attenuation - 8.7)
    if attenuation > 21:
        return float(0.5842 * (attenuation - 21) ** 0.4 + 0.07886 * (attenuation - 21))
    return 0.0


class _Part(NamedTuple):
    """Rows `start:stop` of a banded matrix, which read columns `first:last` alone."""

    start: int
    stop: int
    first: int
    last: int
    matrix: Tensor


class Banded:
    """A matrix (m, n) with few entries in a row, all near the diagonal, and its transpose."""

    def __init__(self, matrix: Tensor, dtype: torch.dtype, device: torch.device) -> None:
        """Cut a full matrix in float64 into parts."""
        self.rows = len(matrix)
        self.forth = _parts(matrix, dtype, device)
        self.back = _parts(matrix.t(), dtype, device)

    def of_rows(self, x: Tensor) -> Tensor:
        """(n, k) -> (m, k)."""
        return _times(x, self.forth)

    def of_columns(self, x: Tensor) -> Tensor:
        """(k, n) -> (k, m)."""
        return _times(x.t(), self.forth).t()

    def back_of_rows(self, x: Tensor) -> Tensor:
        """(m, k) -> (n, k), the transpose."""
        return _times(x, self.back)

    def back_of_columns(self, x: Tensor) -> Tensor:
        """(k, m) -> (k, n), the transpose."""
        return _times(x.t(), self.back).t()


def _parts(matrix: Tensor, dtype: torch.dtype, device: torch.device) -> tuple[_Part, ...]:
    found = []
    for start in range(0, len(matrix), ROWS_AT_A_TIME):
        rows = matrix[start : start + ROWS_AT_A_TIME]
        used = rows.any(0).nonzero().flatten().tolist() or [0]
        first, last = used[0], used[-1] + 1
        part = rows[:, first:last].to(device, dtype).contiguous()
        found.append(_Part(start, start + len(rows), first, last, part))
    return tuple(found)


def _times(x: Tensor, parts: tuple[_Part, ...]) -> Tensor:
    """(n, k) -> (m, k); columns of a transposed x stay columns, so that no copy is made."""
    if torch.is_grad_enabled() or not is_ordinary(x):
        return torch.cat([torch.mm(part.matrix, x[part.first : part.last]) for part in parts])
    size = parts[-1].stop, x.shape[1]
    y: Tensor = x.new_empty(size) if x.is_contiguous() else x.new_empty(size[::-1]).t()
    for part in parts:
        torch.mm(part.matrix, x[part.first : part.last], out=y[part.start : part.stop])
    return y


class Filtering(NamedTuple):
    """What a layer filters with.

    Args:
        up: (taps,) of the filter after the zeros; None for none.
        down: (taps,), or (taps, taps) for one that is not separable; None for none.
        factors: samples on the fine grid for one of the input, and for one of the output.
        padding: zeros before and after each axis of the fine grid; negative ones cut.
        clamp: bound of the leaky ReLU; None for none.
    """

    up: Tensor | None
    down: Tensor | None
    factors: tuple[int, int]
    padding: tuple[int, int]
    clamp: float | None


class _Plan(NamedTuple):
    """A `Filtering` for inputs of one size: U and D for both axes, or the kernel of a radial D.

    The gain of the leaky ReLU is in U: both commute.
    """

    up: Banded
    down: Banded | None
    kernel: Tensor
    factor: int
    clamp: float | None

    @property
    def side(self) -> int:
        return self.up.rows

    @property
    def out(self) -> int:
        return (self.side - len(self.kernel)) // self.factor + 1


def filtered(x: Tensor, filtering: Filtering) -> Tensor:
    """D phi(U x) of activations (N, C, n, n), with the gain sqrt(2)."""
    plan = _plan(
        _numbers(filtering.up),
        _numbers(filtering.down),
        filtering.factors,
        filtering.padding,
        filtering.clamp,
        x.shape[-1],
        x.dtype,
        x.device,
    )
    planes = x.flatten(0, 1)
    plain = torch.compiler.is_compiling() or not is_ordinary(x)
    y: Tensor = _stages(planes, plan) if plain else _Filtered.apply(planes, plan)
    return y.view(*x.shape[:2], plan.out, plan.out)


def _numbers(taps: Tensor | None) -> _Taps:
    return ((1.0,),) if taps is None else tuple(map(tuple, torch.atleast_2d(taps).tolist()))


@lru_cache(maxsize=128)
def _plan(
    up: _Taps,
    down: _Taps,
    factors: tuple[int, int],
    padding: tuple[int, int],
    clamp: float | None,
    size: int,
    dtype: torch.dtype,
    device: torch.device,
) -> _Plan:
    """Filters are known by their numbers: loading others cannot leave an old matrix behind."""
    with torch.no_grad(), torch.inference_mode(False):
        taps = torch.tensor(up[0], dtype=torch.float64)
        a = _matrix(taps * factors[0] * math.sqrt(GAIN), size, factors[0], 1, padding)
        f = torch.tensor(down, dtype=torch.float64)
        radial, band = len(f) > 1, None
        if not radial:
            band = Banded(_matrix(f[0], len(a), 1, factors[1], (0, 0)), dtype, device)
        kernel = (f if radial else f.t()).flip(0, 1).to(device, dtype)
        return _Plan(Banded(a, dtype, device), band, kernel, factors[1], clamp)


def _matrix(taps: Tensor, size: int, up: int, down: int, padding: tuple[int, int]) -> Tensor:
    """`up` - 1 zeros after each of `size` samples, padding, convolution, every `down`-th of it.

    Output j reads sample i through tap i up + before - j down of the flipped filter.
    """
    length = size * up + sum(padding) - len(taps) + 1
    outputs, samples = torch.arange(0, length, down)[:, None], torch.arange(size)
    place = samples * up + padding[0] - outputs
    inside = (place >= 0) & (place < len(taps))
    return taps.flip(0)[place.clamp(0, len(taps) - 1)].where(inside, 0.0)


def _stages(x: Tensor, plan: _Plan) -> Tensor:
    """(P, n, n) -> (P, out, out), in differentiable operators."""
    planes = len(x)
    fine = F.leaky_relu(_rise(x, plan), SLOPE)
    fine = fine if plan.clamp is None else fine.clamp(-plan.clamp, plan.clamp)
    return _fall(fine, plan, planes)


def _rise(x: Tensor, plan: _Plan) -> Tensor:
    """U x: (P, n, n) -> (side, P side), the rows first, so that both axes are plain products."""
    planes, size = x.shape[:2]
    wide = plan.up.of_columns(x.reshape(planes * size, size)).unflatten(0, (planes, size))
    return plan.up.of_rows(wide.transpose(0, 1).reshape(size, -1))


def _fall(fine: Tensor, plan: _Plan, planes: int) -> Tensor:
    """D: (side, P side) -> (P, out, out)."""
    if plan.down is None:
        each = fine.view(plan.side, planes, plan.side).transpose(0, 1)[None]
        kernel = plan.kernel.expand(planes, 1, *plan.kernel.shape)
        return F.conv2d(each, kernel, stride=plan.factor, groups=planes)[0]
    low = plan.down.of_columns(plan.down.of_rows(fine).reshape(-1, plan.side))
    return low.reshape(plan.out, planes, plan.out).transpose(0, 1)


def _rise_back(grad: Tensor, plan: _Plan, planes: int) -> Tensor:
    """The transpose of `_rise`: (side, P side) -> (P, n, n)."""
    rows = plan.up.back_of_rows(grad)
    both = plan.up.back_of_columns(rows.reshape(-1, plan.side))
    return both.reshape(len(rows), planes, -1).transpose(0, 1)


def _fall_back(grad: Tensor, plan: _Plan) -> Tensor:
    """The transpose of `_fall`: (P, out, out) -> (side, P side)."""
    if plan.down is None:
        planes, step = len(grad), plan.factor
        kernel = plan.kernel.expand(planes, 1, *plan.kernel.shape)
        rest = plan.side - (plan.out - 1) * step - len(plan.kernel)  # samples that D never read
        each = F.conv_transpose2d(
            grad[None], kernel, stride=step, groups=planes, output_padding=rest
        )
        return each[0].transpose(0, 1).reshape(plan.side, -1)
    low = grad.transpose(0, 1).reshape(-1, plan.out)
    return plan.down.back_of_rows(plan.down.back_of_columns(low).reshape(plan.out, -1))


def _at_a_time(plan: _Plan, x: Tensor) -> int:
    on_cpu = x.device.type == "cpu"
    entries = ON_A_CPU * torch.get_num_threads() if on_cpu else ELSEWHERE
    return max(1 if plan.down is not None else FEWEST_TOGETHER, entries // plan.side**2)


class _Filtered(torch.autograd.Function):
    """`_stages` a few planes at a time, which keeps nothing but its input."""

    @staticmethod
    def forward(ctx: _Context, x: Tensor, plan: _Plan) -> Tensor:
        ctx.save_for_backward(x)
        ctx.plan = plan
        y = x.new_empty(len(x), plan.out, plan.out)
        for part, into in zip(*(t.split(_at_a_time(plan, x)) for t in (x, y)), strict=True):
            fine = F.leaky_relu_(_rise(part, plan), SLOPE)
            if plan.clamp is not None:
                fine.clamp_(-plan.clamp, plan.clamp)
            into.copy_(_fall(fine, plan, len(part)))
        return y

    @staticmethod
    def backward(ctx: _Context, grad: Tensor) -> tuple[Tensor | None, None]:
        (x,), plan = ctx.saved_tensors, ctx.plan
        if torch.is_grad_enabled():
            return differentiate(_stages, ctx, (x,), (plan,), grad)[0], None
        grad_x = torch.empty_like(x)
        sizes = _at_a_time(plan, x)
        for part, g, into in zip(*(t.split(sizes) for t in (x, grad, grad_x)), strict=True):
            fine, high = _rise(part, plan), _fall_back(g, plan)
            if plan.clamp is not None:
                bounds = -plan.clamp / SLOPE, plan.clamp  # of what comes before the leaky ReLU
                high = torch.ops.aten.hardtanh_backward(high, fine, *bounds)
            high = torch.ops.aten.leaky_relu_backward(high, fine, SLOPE, False)
            into.copy_(_rise_back(high, plan, len(part)))
        return grad_x, None
