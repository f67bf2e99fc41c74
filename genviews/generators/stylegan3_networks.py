"""The networks of StyleGAN3: z (and class) -> w, one w a row -> image.

    w_0 -> Fourier features        w_i -> layer i: modulated convolution, filtered leaky ReLU

StyleGAN-XL is the same, but for its embedding of classes, each with a mean of its own. Parameter
names are those of the official releases.

Source: Karras et al., "Alias-free generative adversarial networks", NeurIPS 2021, arXiv 2106.12423,
Sec. 3 and appendix; Sauer et al., "StyleGAN-XL: scaling StyleGAN to large diverse datasets",
SIGGRAPH 2022, arXiv 2202.00273, Sec. 3.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from genviews.generators.filtered import Filtering, filtered, lowpass
from genviews.generators.layers import FrozenCache, FullyConnected, kernel_energy
from genviews.generators.stylegan2_networks import MappingNetwork, MappingSizes
from genviews.generators.stylegan3_config import Band, Layer, StyleGAN3Config
from genviews.types import Label

__all__ = ["ClassMapping", "FilteredLayer", "FourierInput", "SynthesisNetwork", "mapping_of"]


class ClassMapping(MappingNetwork):
    """The mapping of StyleGAN-XL: an embedding that was learned elsewhere, a mean of each class."""

    def __init__(self, config: StyleGAN3Config) -> None:
        """Official layout: `embed`, `embed_proj`, `fc0` ... `fcN`, buffer `w_avg` (classes, D)."""
        self.width = config.class_embedding
        super().__init__(config)
        self.register_buffer("w_avg", torch.zeros(config.c_dim, config.w_dim))

    def _embed(self, config: MappingSizes) -> int:
        self.embed = nn.Embedding(config.c_dim, self.width)
        self.embed_proj = FullyConnected(self.width, config.z_dim, activate=True)
        return config.z_dim

    def embedded(self, label: Label) -> Float[Tensor, "B E"]:
        """The embedding of each class, projected to the width of z."""
        rows: Tensor = self.embed_proj(self.embed(label))
        return rows

    def mean(self, label: Label | None) -> Float[Tensor, "*B D"]:
        """What truncation pulls a sample of this class towards."""
        assert label is not None
        return self.w_avg[label]


def mapping_of(config: StyleGAN3Config) -> MappingNetwork:
    """Return the mapping network of an architecture."""
    own = config.c_dim and config.class_embedding
    return ClassMapping(config) if own else MappingNetwork(config)


class FourierInput(nn.Module):
    """w -> waves of random frequencies, turned and moved as w says, mixed.

        x(p) = W a sin(2 pi (f R(p - t) + phase)) / sqrt(C)

    at the points p of the grid, whose unit is the image and whose origin its centre; rotation R and
    translation t are an affine function of w, and the amplitudes a fall where `transform`, the
    user's own, takes frequencies out of the band.
    """

    transform: Tensor
    freqs: Tensor
    phases: Tensor

    def __init__(self, band: Band, w_dim: int) -> None:
        """Official layout: `weight`, `affine`, buffers `transform`, `freqs`, `phases`."""
        super().__init__()
        self.band = band
        channels = band.channels
        self.weight = nn.Parameter(torch.randn(channels, channels))
        self.affine = FullyConnected(w_dim, 4)
        with torch.no_grad():  # it begins as the identity
            self.affine.weight.zero_()
            self.affine.bias[0] = 1.0
        # Uniform in the disc of the band: a normal draw, its radius mapped by its distribution.
        draws = torch.randn(channels, 2)
        radius = draws.norm(dim=1, keepdim=True)
        inside = (1 - (-radius.square() / 2).exp()).sqrt()
        self.register_buffer("transform", torch.eye(3))
        self.register_buffer("freqs", draws / radius * inside * band.cutoff)
        self.register_buffer("phases", torch.rand(channels) - 0.5)

    def forward(self, w: Float[Tensor, "N D"]) -> Float[Tensor, "N C n n"]:
        """See the class."""
        given = self.affine(w)
        cos, sin, right, down = (given / given[:, :2].norm(dim=1, keepdim=True)).unbind(1)
        turn = torch.stack([cos, -sin, sin, cos], 1).view(-1, 2, 2)
        move = (turn @ -torch.stack([right, down], 1)[..., None])[..., 0]
        # The user's transform comes first: p -> R (A p + b - t).
        linear, offset = self.transform[:2, :2], self.transform[:2, 2]
        phases = self.phases + (move + turn @ offset) @ self.freqs.t()
        freqs = self.freqs @ (turn @ linear)
        outside = (freqs.norm(dim=2) - self.band.cutoff) / (self.band.rate / 2 - self.band.cutoff)
        size = self.band.size
        points = (torch.arange(size, dtype=w.dtype, device=w.device) + 0.5 - size / 2) / (
            self.band.rate
        )
        along = freqs[..., None] * points  # (N, C, 2, n): of the columns, and of the rows
        angles = (along[:, :, 1] + phases[..., None])[..., None] + along[:, :, 0, None]
        waves = (angles * (2 * math.pi)).sin() * (1 - outside).clamp(0, 1)[..., None, None]
        mixed: Tensor = (self.weight / math.sqrt(len(self.weight))) @ waves.flatten(2)
        return mixed.view(*mixed.shape[:2], size, size)


class FilteredLayer(nn.Module):
    """Modulated convolution and filtered leaky ReLU, or a sum of channels: the output layer.

        y = D phi(U (d conv(s x; W) / m + bias))        d_o = (sum_i s_i^2 E_io / e_o + 1e-8)^-0.5

    with the style s at a mean square of 1, m^2 the mean square of x when it was trained, E_io the
    sums of squares of the kernels and e_o their mean, both of which scale W to 1 as well.
    """

    magnitude_ema: Tensor
    up_filter: Tensor | None
    down_filter: Tensor | None

    def __init__(self, layer: Layer, config: StyleGAN3Config) -> None:
        """Official layout: `affine`, `weight`, `bias`, buffers `magnitude_ema` and of filters."""
        super().__init__()
        given, made = layer.given, layer.made
        self.to_image, self.clamp = layer.to_image, config.conv_clamp
        self.kernel = 1 if layer.to_image else config.conv_kernel
        self.affine = FullyConnected(config.w_dim, given.channels, bias_init=1.0)
        shape = (made.channels, given.channels, self.kernel, self.kernel)
        self.weight = nn.Parameter(torch.randn(shape))
        self.bias = nn.Parameter(torch.zeros(made.channels))
        self.register_buffer("magnitude_ema", torch.ones([]))
        fine = max(given.rate, made.rate) * (1 if layer.to_image else config.lrelu_upsampling)
        self.factors = up, down = fine // given.rate, fine // made.rate
        taps = [1 if layer.to_image or f == 1 else config.filter_size * f for f in self.factors]
        radial = config.use_radial_filters and not layer.critical
        self.register_buffer("up_filter", lowpass(taps[0], given.cutoff, given.half_width, fine))
        self.register_buffer(
            "down_filter", lowpass(taps[1], made.cutoff, made.half_width, fine, radial=radial)
        )
        # The samples of the output lie where those of the input do, but for half a fine sample.
        total = (made.size - 1) * down + 1 + sum(taps) - 2
        total -= (given.size + self.kernel - 1) * up
        self.padding = ((total + up) // 2, total - (total + up) // 2)
        self._energy = FrozenCache()

    def forward(self, x: Float[Tensor, "N I n n"], w: Float[Tensor, "N D"]) -> Tensor:
        """(N, in, n, n), (N, D) -> (N, out, m, m)."""
        style = self.affine(w)
        if self.to_image:
            fan_in = self.weight[0].numel()
            style = style * (self.magnitude_ema * fan_in).rsqrt()
            y = F.conv2d(x * style[..., None, None], self.weight, self.bias)
            return y if self.clamp is None else y.clamp(-self.clamp, self.clamp)
        style = style * style.square().mean(1, keepdim=True).rsqrt()
        each = self._energy.get(lambda: kernel_energy(self.weight), self.weight)
        size = each.mean(0) / self.kernel**2
        scale = (style.square() @ (each / size) + 1e-8).rsqrt() * (
            self.magnitude_ema * size
        ).rsqrt()
        y = F.conv2d(x * style[..., None, None], self.weight, padding=self.kernel - 1)
        y = torch.addcmul(self.bias[:, None, None], y, scale[..., None, None])
        filters = self.up_filter, self.down_filter
        return filtered(y, Filtering(*filters, self.factors, self.padding, self.clamp))


class SynthesisNetwork(nn.Module):
    """ws -> image: the input, then each layer."""

    def __init__(self, config: StyleGAN3Config) -> None:
        """Official layout: `input`, and each layer by its name."""
        super().__init__()
        self.input = FourierInput(config.layers[0].given, config.w_dim)
        self.names = [layer.name for layer in config.layers]
        for layer in config.layers:
            self.add_module(layer.name, FilteredLayer(layer, config))
        self.scale = config.output_scale

    def layers(self) -> Iterator[tuple[int, nn.Module]]:
        """(style row, layer) in the order of computation, the input first."""
        return enumerate([self.input, *(self.get_submodule(name) for name in self.names)])

    def forward(
        self, ws: Float[Tensor, "N L D"], *, views: int = 1, shared_rows: int = 0
    ) -> Float[Tensor, "N C H W"]:
        """Render N = B * `views` latents; rows below `shared_rows` are equal over an image's views.

        Layers whose row is shared run on B samples; their output is repeated before the first
        layer that is not.
        """
        together = views > 1 and shared_rows > 0
        styles, x = ws[::views] if together else ws, None
        for row, layer in self.layers():
            if together and row >= shared_rows:
                styles, together = ws, False
                x = x if x is None else x.repeat_interleave(views, 0)
            x = layer(styles[:, row]) if x is None else layer(x, styles[:, row])
        assert x is not None
        image: Tensor = x * self.scale
        return image.repeat_interleave(views, 0) if together else image
