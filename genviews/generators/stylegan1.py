"""StyleGAN (the first) in plain PyTorch: mapping, adaptive instance norm, no skip of images.

    w = f(z, c)        ws = truncate(one w a row, or a w for each)        image = g(ws, noise)

A layer takes a style row: noise and bias are added, leaky ReLU, each map is brought to mean 0 and
variance 1, then scaled and shifted by the style. The first layer of a resolution doubles the size:
nearest neighbours, a 3x3 convolution, a [1, 2, 1] blur. Doubling and convolution together are one
transposed convolution by a 4x4 kernel, a third of the work; both forms in which checkpoints hold
the kernel (before and after 128 pixels) are brought to it by `genviews.generators.checkpoints`.

Source: Karras et al., "A style-based generator architecture for generative adversarial networks",
CVPR 2019, arXiv 1812.04948; Zhu et al., "In-domain GAN inversion for real image editing", ECCV
2020, arXiv 2004.00049 (a w for each row straight from z, tanh at the end).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genviews.checks import check_count, fail
from genviews.generators.base import Generator
from genviews.generators.layers import FullyConnected, normalize
from genviews.generators.modulation import GAIN, SLOPE
from genviews.generators.style import StyleGenerator, StyleMapping
from genviews.generators.stylegan2_networks import OFFICIAL_RANGES
from genviews.style_rows import LayerRange, named_ranges
from genviews.types import Draws, Label

__all__ = ["StyleGAN1", "StyleGAN1Config"]


@dataclass(frozen=True, kw_only=True)
class StyleGAN1Config:
    """The architecture of a StyleGAN of 2019.

    Args:
        channels: resolution -> channels of its two layers, for 4, 8, ... up to the image's size.
        img_channels: C.
        z_dim: width of the prior latent.
        w_dim: width of the mapped latent.
        hidden: width of the inner layers of the mapping network.
        mapping_layers: its fully connected layers.
        c_dim: number of classes; 0 for an unconditional generator.
        w_for_each_row: the mapping network gives L w's from one z, as In-Domain inversion trained
            it; False: one, which every row takes.
        tanh: the image passes through tanh, as In-Domain inversion trained it.

    Raises:
        ValueError: a size out of range, or a gap in `channels`.
    """

    channels: Mapping[int, int]
    img_channels: int = 3
    z_dim: int = 512
    w_dim: int = 512
    hidden: int = 512
    mapping_layers: int = 8
    c_dim: int = 0
    w_for_each_row: bool = False
    tanh: bool = False

    def __post_init__(self) -> None:
        sizes = sorted(self.channels)
        if sizes != [4 * 2**i for i in range(len(sizes))] or len(sizes) < 2:
            expected = "the sizes 4, 8, 16, ... up to the image's"
            fail("channels", expected=expected, got=sizes, remedy="add those that are missing")
        check_count(self.img_channels, "img_channels", most=4)
        for name in ("z_dim", "w_dim", "hidden"):
            check_count(getattr(self, name), name)
        check_count(self.mapping_layers, "mapping_layers")
        check_count(self.c_dim, "c_dim", least=0)
        for size, width in self.channels.items():
            check_count(width, f"channels at {size}")

    @property
    def resolution(self) -> int:
        """Height and width of the images in pixels."""
        return max(self.channels)

    @property
    def num_ws(self) -> int:
        """L, two style rows for each resolution."""
        return 2 * len(self.channels)

    @property
    def layer_ranges(self) -> tuple[LayerRange, ...]:
        """Coarse, middle and fine as Chai et al. 2021 cut this generator, where it has the rows."""
        return named_ranges(OFFICIAL_RANGES, self.num_ws)


class Mapping1(StyleMapping):
    """z (and class) -> w, one or one for each row; holds `w_avg`."""

    def __init__(self, config: StyleGAN1Config) -> None:
        """Layers `fc0` ... `fcN`, `embed` (if conditional), buffer `w_avg`."""
        super().__init__()
        self.num_layers = config.mapping_layers
        width = config.z_dim
        if config.c_dim:
            self.embed = nn.Parameter(torch.randn(config.c_dim, config.z_dim))
            width *= 2
        for i in range(config.mapping_layers):
            out = config.hidden
            if i == config.mapping_layers - 1:
                out = config.w_dim * (config.num_ws if config.w_for_each_row else 1)
            layer = FullyConnected(width, out, activate=True, lr_multiplier=0.01)
            self.add_module(f"fc{i}", layer)
            width = out
        self.register_buffer("w_avg", torch.zeros(config.w_dim))

    def forward(self, z: Draws, label: Label | None = None) -> Tensor:
        """(B, Z) -> (B, D), or (B, L D)."""
        x = z.to(self.w_avg.dtype)
        if label is not None:
            x = torch.cat([x, self.embed[label]], dim=1)
        x = normalize(x)
        for i in range(self.num_layers):
            x = self.get_submodule(f"fc{i}")(x)
        return x


class StyleLayer(nn.Module):
    """One style row: a convolution (or the constant), noise, bias, leaky ReLU, norm, style.

    The first of a resolution, but for 4 pixels, doubles the size.
    """

    noise: Tensor

    def __init__(self, inside: int | None, out: int, w_dim: int, size: int, *, up: bool) -> None:
        """`inside` is None for the layer that begins with a constant."""
        super().__init__()
        self.up = up
        if inside is None:
            self.const = nn.Parameter(torch.ones(out, size, size))
            self.gain = 0.0
        else:
            self.weight = nn.Parameter(torch.randn(out, inside, 3, 3))
            self.gain = GAIN / math.sqrt(9 * inside)
        self.register_buffer("noise", torch.randn(size, size))
        self.noise_strength = nn.Parameter(torch.zeros(out))
        self.bias = nn.Parameter(torch.zeros(out))
        self.style = FullyConnected(w_dim, 2 * out)

    def forward(self, x: Tensor | None, w: Tensor) -> Tensor:
        """(N, in, h, h), (N, D) -> (N, out, size, size); x is None for the first layer."""
        x = self.const.expand(len(w), -1, -1, -1) if x is None else self._convolve(x)
        x = x + (self.bias[:, None, None] + self.noise_strength[:, None, None] * self.noise)
        x = F.leaky_relu(x, SLOPE)
        x = x - x.mean((2, 3), keepdim=True)
        x = x * (x.square().mean((2, 3), keepdim=True) + 1e-8).rsqrt()
        scale, shift = self.style(w)[..., None, None].chunk(2, dim=1)
        return torch.addcmul(shift, x, scale + 1.0)

    def _convolve(self, x: Tensor) -> Tensor:
        weight = self.weight * self.gain
        if not self.up:
            return F.conv2d(x, weight, padding=1)
        x = F.conv_transpose2d(x, doubling_kernel(weight), stride=2, padding=1)
        taps = x.new_tensor([0.25, 0.5, 0.25])
        kernel = torch.outer(taps, taps).expand(x.shape[1], 1, 3, 3)
        return F.conv2d(x, kernel, padding=1, groups=x.shape[1])


def doubling_kernel(weight: Tensor) -> Tensor:
    """The transposed convolution (in, out, 4, 4) that doubles by neighbours, then convolves.

    Output pixel p sees neighbour (p + k - 1) // 2 through tap k of the 3x3 kernel, so that tap a of
    the transposed kernel is the sum of the flipped taps a - 1 and a.
    """
    padded = F.pad(weight.flip(2, 3).transpose(0, 1), (1, 1, 1, 1))
    rows = padded[:, :, 1:] + padded[:, :, :-1]
    return rows[..., 1:] + rows[..., :-1]


class Synthesis1(nn.Module):
    """ws -> image: two layers for each resolution, then a 1x1 convolution."""

    def __init__(self, config: StyleGAN1Config) -> None:
        """Layers `layer0` ... in the order of their rows, and `to_image`."""
        super().__init__()
        self.num_layers, self.tanh = config.num_ws, config.tanh
        inside: int | None = None
        for i, size in enumerate(sorted(config.channels)):
            width = config.channels[size]
            first = StyleLayer(inside, width, config.w_dim, size, up=size > 4)
            self.add_module(f"layer{2 * i}", first)
            second = StyleLayer(width, width, config.w_dim, size, up=False)
            self.add_module(f"layer{2 * i + 1}", second)
            inside = width
        assert inside is not None
        self.to_image = nn.Conv2d(inside, config.img_channels, 1)
        nn.init.normal_(self.to_image.weight)
        self.gain = 1 / math.sqrt(inside)

    def forward(self, ws: Tensor) -> Tensor:
        """(N, L, D) -> (N, C, H, W)."""
        x: Tensor | None = None
        for i in range(self.num_layers):
            x = self.get_submodule(f"layer{i}")(x, ws[:, i])
        assert x is not None
        image: Tensor = F.conv2d(x, self.to_image.weight * self.gain, self.to_image.bias)
        return image.tanh() if self.tanh else image


class StyleGAN1(StyleGenerator):
    """A StyleGAN generator of 2019 in W+ space.

    Args:
        config: the architecture. Weights start as in training from scratch.

    Differs: noise is that of the checkpoint (its `randomize_noise` is off for inversion too); psi
        is 1 unless the caller says otherwise (In-Domain inversion's own default is 0.7 on the first
        8 rows: `psi=0.7, cutoff=8`); the layers of progressive growing that a finished network does
        not use are not kept.

    Example:
        >>> from genviews import Rng
        >>> config = StyleGAN1Config(channels={4: 8, 8: 4}, z_dim=6, w_dim=8, hidden=8)
        >>> g = StyleGAN1(config)
        >>> g.synthesize(g.map(g.sample(Rng(0).streams([0, 1])))).shape
        torch.Size([2, 3, 8, 8])
    """

    def __init__(self, config: StyleGAN1Config) -> None:
        """Build the networks; see the class docstring."""
        super().__init__(config)
        self.config = config
        self.mapping = Mapping1(config)
        self.synthesis = Synthesis1(config)

    synthesize_views = Generator.synthesize_views  # its layers share no rows
