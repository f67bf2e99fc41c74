"""The usual way to render StyleGAN2: a weight for each sample, one grouped convolution a batch.

The speed baseline of `render.py`. The formula is the paper's, word for word: modulate the weights
by the style, demodulate them, convolve (Karras et al. 2020, arXiv 1912.04958, Sec. 2.2). Samples
with different weights share one call as groups, as its appendix B proposes; resampling is zero
insertion and a filter in plain operations. It reads the parameters of one of our generators, so
both paths render the same images.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from genviews.generators.stylegan2 import StyleGAN2


class NaiveSynthesis:
    """`synthesize` of a StyleGAN2 by modulated weights; parameters are shared, not copied."""

    def __init__(self, generator: StyleGAN2) -> None:
        self.p = {**dict(generator.named_parameters()), **dict(generator.named_buffers())}
        self.resolutions = [2**i for i in range(2, int(math.log2(generator.config.resolution)) + 1)]
        self.clamp = generator.config.conv_clamp
        taps = torch.tensor(generator.config.resample_filter, device=generator.device)
        self.fir = torch.outer(taps, taps) / taps.sum() ** 2

    def __call__(self, latents: Tensor) -> Tensor:
        """(B, L, D) -> (B, C, H, W), with the fixed noise."""
        rows = iter(latents.unbind(1))
        row = next(rows)
        x = self.p["synthesis.b4.const"].expand(len(latents), -1, -1, -1)
        image = None
        for resolution in self.resolutions:
            block = f"synthesis.b{resolution}"
            if resolution > 4:
                x = self._style_layer(f"{block}.conv0", x, row, up=True)
                row = next(rows)
            x = self._style_layer(f"{block}.conv1", x, row)
            row = next(rows)
            out = self._to_image(f"{block}.torgb", x, row)
            image = out if image is None else self._upsample(image) + out
        assert image is not None
        return image

    def _style(self, name: str, w: Tensor) -> Tensor:
        weight, bias = self.p[f"{name}.affine.weight"], self.p[f"{name}.affine.bias"]
        return F.linear(w, weight / math.sqrt(weight.shape[1]), bias)

    def _style_layer(self, name: str, x: Tensor, w: Tensor, *, up: bool = False) -> Tensor:
        style = self._style(name, w)
        weight = self.p[f"{name}.weight"][None] * style[:, None, :, None, None]
        weight = weight * (weight.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
        x = grouped_transposed(x, weight) if up else grouped(x, weight, padding=1)
        if up:
            n = len(self.fir)
            x = self._filter(x, (n + 1) // 2 - 1, (n - 2) // 2)
        x = x + self.p[f"{name}.noise_const"] * self.p[f"{name}.noise_strength"]
        x = x + self.p[f"{name}.bias"][:, None, None]
        return self._clamped(F.leaky_relu(x, 0.2) * math.sqrt(2.0))

    def _to_image(self, name: str, x: Tensor, w: Tensor) -> Tensor:
        weight = self.p[f"{name}.weight"] / math.sqrt(x.shape[1])
        weight = weight[None] * self._style(name, w)[:, None, :, None, None]
        return self._clamped(grouped(x, weight) + self.p[f"{name}.bias"][:, None, None])

    def _clamped(self, x: Tensor) -> Tensor:
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)

    def _upsample(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        spaced = F.pad(x.reshape(b, c, h, 1, w, 1), (0, 1, 0, 0, 0, 1)).reshape(b, c, 2 * h, 2 * w)
        n = len(self.fir)
        return self._filter(spaced, (n + 1) // 2, (n - 2) // 2)

    def _filter(self, x: Tensor, before: int, after: int) -> Tensor:
        """The low-pass filter on each channel; gain 4 for the zeros between the samples."""
        channels, n = x.shape[1], len(self.fir)
        kernel = (4.0 * self.fir.flip((0, 1))).to(x).expand(channels, 1, n, n)
        return F.conv2d(F.pad(x, (before, after, before, after)), kernel, groups=channels)


def grouped(x: Tensor, weight: Tensor, padding: int = 0) -> Tensor:
    """(B, I, h, w), (B, O, I, k, k) -> (B, O, h, w): samples are the groups of one convolution."""
    b, o = weight.shape[:2]
    out = F.conv2d(x.reshape(1, -1, *x.shape[2:]), weight.flatten(0, 1), padding=padding, groups=b)
    return out.reshape(b, o, *out.shape[2:])


def grouped_transposed(x: Tensor, weight: Tensor) -> Tensor:
    """The same for a transposed convolution of stride 2, to (B, O, 2h + 1, 2w + 1)."""
    b, o = weight.shape[:2]
    kernel = weight.transpose(1, 2).flatten(0, 1)
    out = F.conv_transpose2d(x.reshape(1, -1, *x.shape[2:]), kernel, stride=2, groups=b)
    return out.reshape(b, o, *out.shape[2:])
