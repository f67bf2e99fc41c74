"""The layers of StyleGAN2: fully connected, modulated convolution, output layer, up-sampling.

Formulas are for one sample; s is the style A w + b, gain sqrt(2) restores the variance that the
leaky ReLU takes away, and "equalised" weights are stored as N(0, 1) and scaled at run time by
1 / sqrt(fan-in).

Source: Karras et al. 2020, arXiv 1912.04958, Sec. 2.2 (modulation) and Sec. 3 (skip); Karras et al.
2018, arXiv 1710.10196, Sec. 4.1 (equalised learning rate).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genviews.checks import fail
from genviews.generators.modulation import (
    GAIN,
    SLOPE,
    ConvWeights,
    demodulate,
    is_ordinary,
    modulated_conv,
    to_image,
)

__all__ = [
    "MOST_TAPS",
    "FrozenCache",
    "FullyConnected",
    "ModulatedConv",
    "ToImage",
    "UpsampleImage",
    "check_taps",
    "kernel_energy",
    "fir_kernel",
    "normalize",
]

# Above this height one banded matrix product costs more than a transposed convolution.
MATRIX_UPSAMPLE_LIMIT = 64
# Entries of a layer's bias and noise that are kept while its weights are frozen: 4 MB. Beside an
# activation of more, one pass to make them anew is little.
OFFSET_CACHE_LIMIT = 2**20
MOST_TAPS = 64
"""Of a low-pass filter between two sizes; those that are published have up to 12."""


def check_taps(taps: Sequence[float], remedy: str, *, even: bool = False) -> None:
    """Raise ValueError unless numbers are the taps of a low-pass filter, whose sum can be made 1.

    Args:
        taps: of a config's `resample_filter`.
        remedy: see `fail`.
        even: whether only an even number of them will do.
    """
    listed = isinstance(taps, tuple | list) and 2 <= len(taps) <= MOST_TAPS
    numbers = listed and all(isinstance(tap, int | float) and math.isfinite(tap) for tap in taps)
    if not numbers or not sum(taps) or (even and len(taps) % 2):
        count = "an even number, at most" if even else "two to"
        expected = f"{count} {MOST_TAPS} finite numbers, whose sum is not 0"
        fail("resample_filter", expected=expected, got=repr(taps), remedy=remedy)


def normalize(x: Tensor) -> Tensor:
    """Scale each row to a mean square of 1."""
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


def fir_kernel(taps: tuple[float, ...]) -> Tensor:
    """The 2-D low-pass filter of 1-D taps, with sum 1, flipped for cross-correlation."""
    f = torch.tensor(taps, dtype=torch.float32)
    kernel = torch.outer(f, f)
    return (kernel / kernel.sum()).flip([0, 1])


class FullyConnected(nn.Module):
    """Equalised fully connected layer, optionally with leaky ReLU and gain sqrt(2)."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        activate: bool = False,
        lr_multiplier: float = 1.0,
        bias_init: float = 0.0,
    ) -> None:
        """Weights start N(0, 1) / lr_multiplier; run-time scale lr_multiplier / sqrt(fan-in)."""
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((out_features,), bias_init))
        self.activate = activate
        gain = GAIN if activate else 1.0
        self.weight_gain = lr_multiplier / math.sqrt(in_features) * gain
        self.bias_gain = lr_multiplier * gain

    def forward(self, x: Tensor) -> Tensor:
        """(N, in) -> (N, out)."""
        x = torch.addmm(self.bias, x, self.weight.t(), beta=self.bias_gain, alpha=self.weight_gain)
        return F.leaky_relu(x, SLOPE) if self.activate else x


class FrozenCache:
    """Values derived from weights alone, kept while those weights are frozen and unchanged.

    A training run changes its weights at every step and needs gradients through the derived values,
    so values from weights that require gradients are never cached. Changes through `Tensor.data`
    leave no trace and are not seen.
    """

    def __init__(self) -> None:
        """Start empty."""
        self.key: tuple[object, ...] = ()
        self.weights: tuple[Tensor, ...] = ()
        self.value: Tensor | None = None

    def get(self, make: Callable[[], Tensor], *weights: Tensor) -> Tensor:
        """`make()`, or what it returned last time if the weights are the same."""
        if any(w.requires_grad for w in weights) or torch.compiler.is_compiling():
            return make()
        # Autograd refuses what was made in inference mode, autocast makes another type, and forward
        # mode has tangents: such a value must not outlive the call.
        if torch.is_inference_mode_enabled() or not is_ordinary(*weights):
            return make()
        # In-place changes (an optimiser step, loading weights) raise the version of a tensor.
        key = tuple((w.data_ptr(), w._version, w.dtype, w.device) for w in weights)
        if self.value is None or key != self.key:
            self.key, self.value = key, make().detach()
            # While the memory is held, no other weights can come to lie at the same address.
            self.weights = tuple(w.detach() for w in weights)
        return self.value


class ModulatedConv(nn.Module):
    """3x3 convolution with input channels scaled by a style and an output of unit variance.

    y = lrelu(d * conv(s * x; W) + strength * noise + bias) * sqrt(2)

    with d_o = (sum_i s_i^2 sum_k W_oik^2 + 1e-8)^(-1/2). With `up_filter`, the convolution is
    transposed with stride 2 and followed by the low-pass filter.
    """

    noise_const: Tensor
    fir: Tensor | None
    fir_flipped: Tensor | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        w_dim: int,
        resolution: int,
        *,
        up_filter: tuple[float, ...] | None = None,
        clamp: float | None = None,
    ) -> None:
        """`resolution` is that of the output."""
        super().__init__()
        self.resolution = resolution
        self.up = up_filter is not None
        self.clamp = clamp
        self.affine = FullyConnected(w_dim, in_channels, bias_init=1.0)
        weight = torch.randn(out_channels, in_channels, 3, 3)
        self.weight = nn.Parameter(weight.contiguous(memory_format=torch.channels_last))
        self.register_buffer("noise_const", torch.randn(resolution, resolution))
        self.noise_strength = nn.Parameter(torch.zeros([]))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        # Gain 4 makes up for the zeros between the samples of the stride.
        fir = None if up_filter is None else 4.0 * fir_kernel(up_filter)
        self.register_buffer("fir", fir, persistent=False)
        flipped = None if fir is None else fir.flip(0, 1)
        self.register_buffer("fir_flipped", flipped, persistent=False)
        self._energy, self._basis, self._offset = FrozenCache(), FrozenCache(), FrozenCache()

    def forward(self, x: Tensor, w: Tensor, noise: str, field: Tensor | None) -> Tensor:
        """(N, in, h, h), (N, D) -> (N, out, resolution, resolution), in the type of x.

        Without gradients x is overwritten: an activation has one reader left when it comes here.
        """
        style = self.affine(w)
        energy = self._energy.get(lambda: kernel_energy(self.weight), self.weight)
        weights = ConvWeights(
            self.weight.to(x.dtype),
            energy,
            self._offsets(noise, field, x.dtype),
            self.fir,
            self.fir_flipped,
            self.clamp,
        )
        return modulated_conv(x, style, weights)

    def on_constant(self, const: Tensor, w: Tensor, noise: str, field: Tensor | None) -> Tensor:
        """The same for an input that is `const` (in, 4, 4) for every sample.

        The scaled input is then linear in the style, so each channel is convolved once and the
        results are weighted by the styles: one matrix product for all samples.
        """
        style = self.affine(w)
        basis = self._basis.get(lambda: self._constant_basis(const), const, self.weight)
        # The basis is laid out (in, h, w, out), which makes the product channels-last.
        x = (style @ basis).view(-1, *const.shape[1:], self.weight.shape[0]).permute(0, 3, 1, 2)
        energy = self._energy.get(lambda: kernel_energy(self.weight), self.weight)
        offsets = self._offsets(noise, field, x.dtype)
        weights = ConvWeights(self.weight, energy, offsets, clamp=self.clamp)
        return demodulate(x, style, weights)

    def _constant_basis(self, const: Tensor) -> Tensor:
        each = F.unfold(const[:, None], 3, padding=1)
        return torch.einsum("oik,ikp->ipo", self.weight.flatten(2), each).flatten(1)

    def _offsets(self, noise: str, field: Tensor | None, dtype: torch.dtype) -> tuple[Tensor, ...]:
        """Bias and noise times the gain, as summands that extend to the activations' shape."""
        if noise == "const":
            sources = (self.bias, self.noise_const, self.noise_strength)
            small = self.bias.numel() * self.noise_const.numel() <= OFFSET_CACHE_LIMIT
            offset = self._offset.get(self._offset_of, *sources) if small else self._offset_of()
            return (offset.to(dtype),)
        bias = (self.bias * GAIN).to(dtype)[None, :, None, None]
        if noise == "none":
            return (bias,)
        assert field is not None
        return bias, (field * (self.noise_strength * GAIN)).to(dtype)

    def _offset_of(self) -> Tensor:
        offset = self.bias[:, None, None] * GAIN + self.noise_const * (self.noise_strength * GAIN)
        return offset[None].contiguous(memory_format=torch.channels_last)


def kernel_energy(weight: Tensor) -> Tensor:
    """(out, in, k, k) -> (in, out), the sums of squares over the kernel."""
    return weight.square().sum(dim=(2, 3)).t()


class ToImage(nn.Module):
    """1x1 modulated convolution to the image, without demodulation: weighted sums of channels."""

    def __init__(
        self, in_channels: int, img_channels: int, w_dim: int, *, clamp: float | None = None
    ) -> None:
        """Official layout: `affine`, `weight` (C, in, 1, 1), `bias`."""
        super().__init__()
        self.affine = FullyConnected(w_dim, in_channels, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(img_channels, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(img_channels))
        self.gain = 1.0 / math.sqrt(in_channels)
        self.clamp = clamp
        self._matrix = FrozenCache()

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """(N, in, h, h), (N, D) -> (N, C, h, h)."""
        style: Tensor = self.affine(w)
        weight = self._matrix.get(lambda: self.weight[:, :, 0, 0] * self.gain, self.weight)
        weight = style[:, None] * weight
        out = to_image(x, weight.to(x.dtype), self.bias.to(x.dtype))
        return out if self.clamp is None else out.clamp(-self.clamp, self.clamp)


class UpsampleImage(nn.Module):
    """Double the size of an image: zeros between the samples, then the low-pass filter."""

    def __init__(self, taps: tuple[float, ...]) -> None:
        """`taps` is the 1-D filter."""
        super().__init__()
        one = torch.tensor(taps, dtype=torch.float32)
        self.taps = one / one.sum() * 2.0
        self.matrices: dict[tuple[int, torch.device, torch.dtype], Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, C, 2h, 2w)."""
        if max(x.shape[2:]) > MATRIX_UPSAMPLE_LIMIT:
            return self._by_convolution(x)
        rows, columns = self._matrix(x.shape[2], x), self._matrix(x.shape[3], x)
        return F.linear(rows @ x, columns)

    def _by_convolution(self, x: Tensor) -> Tensor:
        n, taps, channels = len(self.taps), self.taps.to(x), x.shape[1]
        kernel = torch.outer(taps, taps).expand(channels, 1, n, n)
        full = F.conv_transpose2d(x, kernel, stride=2, groups=channels)
        start = n - 1 - (n + 1) // 2
        return full[:, :, start : start + 2 * x.shape[2], start : start + 2 * x.shape[3]]

    def _matrix(self, size: int, like: Tensor) -> Tensor:
        key = (size, like.device, like.dtype)
        if key not in self.matrices:
            # Autograd refuses what was made in inference mode.
            with torch.inference_mode(False):
                self.matrices[key] = self._make_matrix(size).to(like.device, like.dtype)
        return self.matrices[key]

    def _make_matrix(self, size: int) -> Tensor:
        n = len(self.taps)
        start = n - 1 - (n + 1) // 2
        matrix = torch.zeros(2 * size + n, size)
        for i in range(size):
            matrix[2 * i : 2 * i + n, i] = self.taps
        return matrix[start : start + 2 * size]
