"""StyleGAN2 in plain PyTorch: mapping network, skip synthesis with modulated convolutions, no
compiled operator.

    w = f(z, c)        ws = truncate(broadcast(w))        image = g(ws, noise)

Parameter names and formulas are those of the official PyTorch release, so official weights load
without renaming. What differs is the order of the arithmetic, for speed on a CPU
(`benchmarks/render.py`):

- a modulated convolution scales activations, not weights, so that one ordinary convolution serves
the batch:
  conv(x; s W d) = d * conv(s * x; W), with d = (sum_i s_i^2 sum_k W_oik^2 + 1e-8)^(-1/2);
- activations and weights are channels-last;
- the first convolution acts on a constant, hence is linear in the style: one matrix product;
- the 1x1 output layers are a weighted sum over channels, the image is upsampled by two small
matrices;
- views that share their first rows share the work of those rows (`synthesize_views`).

Source: Karras et al., "Analyzing and improving the image quality of StyleGAN", CVPR 2020, arXiv
1912.04958; Karras et al., "Training generative adversarial networks with limited data", NeurIPS
2020, arXiv 2006.06676.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from genviews.checks import check_count, fail, lookup
from genviews.generators.base import Generator
from genviews.generators.layers import (
    FullyConnected,
    ModulatedConv,
    ToImage,
    UpsampleImage,
    normalize,
)
from genviews.rng import Streams
from genviews.types import ImageSpec, LatentSpec, LayerRange

__all__ = ["NoiseMode", "StyleGAN2", "StyleGAN2Config"]

NoiseMode = Literal["const", "random", "none"]


def _default_channels(resolution: int) -> dict[int, int]:
    return {r: min(32768 // r, 512) for r in _resolutions(resolution)}


def _resolutions(resolution: int) -> list[int]:
    return [2**i for i in range(2, int(math.log2(resolution)) + 1)]


@dataclass(frozen=True, kw_only=True)
class StyleGAN2Config:
    """The architecture of a StyleGAN2.

    Args:
        resolution: image height and width in pixels, a power of two from 8.
        img_channels: C, 1 to 4.
        z_dim: width of the prior latent.
        w_dim: width of the mapped latent.
        c_dim: number of classes; 0 for an unconditional generator.
        mapping_layers: fully connected layers of the mapping network.
        mapping_lr_multiplier: their learning-rate multiplier, part of the formula of their runtime
            weights.
        channels: resolution -> channels of its block; None for the official schedule min(32768 /
            r, 512).
        resample_filter: 1-D low-pass filter of the up-sampling.
        conv_clamp: clamp of activations (256 in the official half-precision networks), None for
            none.
        ranges: named layer ranges, name -> (start, stop); None for coarse [0, 4), middle [4, 10)
            and fine [10, L), the split of Chai et al. 2021, Sec. 3.1, where the generator has so
            many rows.
    """

    resolution: int
    img_channels: int = 3
    z_dim: int = 512
    w_dim: int = 512
    c_dim: int = 0
    mapping_layers: int = 8
    mapping_lr_multiplier: float = 0.01
    channels: Mapping[int, int] | None = None
    resample_filter: tuple[float, ...] = (1, 3, 3, 1)
    conv_clamp: float | None = None
    ranges: Mapping[str, tuple[int, int]] | None = field(default=None)

    def __post_init__(self) -> None:
        power = self.resolution >= 8 and self.resolution & (self.resolution - 1) == 0
        if not power:
            fail(
                "resolution",
                expected="a power of two from 8",
                got=self.resolution,
                remedy="change it",
            )
        if not 1 <= self.img_channels <= 4:
            fail("img_channels", expected="1 to 4", got=self.img_channels, remedy="change it")
        for name in ("z_dim", "w_dim", "mapping_layers"):
            check_count(getattr(self, name), name)
        missing = [r for r in _resolutions(self.resolution) if r not in self.block_channels]
        if missing:
            fail(
                "channels",
                expected=f"an entry for each resolution of {_resolutions(self.resolution)}",
                got=f"none for {missing}",
                remedy="add them, or pass None for the official schedule",
            )

    @property
    def block_channels(self) -> Mapping[int, int]:
        """Channels of each block's resolution."""
        return self.channels if self.channels is not None else _default_channels(self.resolution)

    @property
    def num_ws(self) -> int:
        """L, the number of style rows: 2 log2(resolution) - 2."""
        return 2 * int(math.log2(self.resolution)) - 2

    @property
    def layer_ranges(self) -> tuple[LayerRange, ...]:
        """The named ranges, cut at L; empty ones are left out."""
        named = self.ranges
        if named is None:
            named = {"coarse": (0, 4), "middle": (4, 10), "fine": (10, 18)}
        cut = {name: (start, min(stop, self.num_ws)) for name, (start, stop) in named.items()}
        return tuple(LayerRange(name=n, start=a, stop=b) for n, (a, b) in cut.items() if a < b)


class MappingNetwork(nn.Module):
    """z (and class) -> w; holds `w_avg`, the mean w that truncation pulls towards."""

    w_avg: Tensor

    def __init__(self, config: StyleGAN2Config) -> None:
        """Official layout: `embed` (if conditional), `fc0` ... `fcN`, buffer `w_avg`."""
        super().__init__()
        self.num_layers = config.mapping_layers
        self.c_dim = config.c_dim
        width = config.z_dim
        if config.c_dim:
            self.embed = FullyConnected(config.c_dim, config.w_dim)
            width += config.w_dim
        for i in range(config.mapping_layers):
            lr = config.mapping_lr_multiplier
            self.add_module(
                f"fc{i}", FullyConnected(width, config.w_dim, activate=True, lr_multiplier=lr)
            )
            width = config.w_dim
        self.register_buffer("w_avg", torch.zeros(config.w_dim))

    def forward(
        self, z: Float[Tensor, "B Z"], label: Int[Tensor, " B"] | None = None
    ) -> Float[Tensor, "B D"]:
        """Map without truncation; one w for each sample."""
        x = normalize(z.to(self.w_avg.dtype))
        if label is not None:
            # A one-hot vector times the embedding is a row look-up.
            embedded = self.embed(F.one_hot(label, self.c_dim).to(x.dtype))
            x = torch.cat([x, normalize(embedded)], dim=1)
        for i in range(self.num_layers):
            x = self.get_submodule(f"fc{i}")(x)
        return x


class SynthesisBlock(nn.Module):
    """One resolution: up-sampling convolution (but for the first block), convolution, output layer."""

    def __init__(self, config: StyleGAN2Config, resolution: int) -> None:
        """Official layout: `const` (first block) or `conv0`, then `conv1` and `torgb`."""
        super().__init__()
        channels = config.block_channels[resolution]
        clamp = config.conv_clamp
        if resolution == 4:
            self.const = nn.Parameter(torch.randn(channels, 4, 4))
        else:
            self.conv0 = ModulatedConv(
                config.block_channels[resolution // 2],
                channels,
                config.w_dim,
                resolution,
                up_filter=config.resample_filter,
                clamp=clamp,
            )
        self.conv1 = ModulatedConv(channels, channels, config.w_dim, resolution, clamp=clamp)
        self.torgb = ToImage(channels, config.img_channels, config.w_dim, clamp=clamp)


class SynthesisNetwork(nn.Module):
    """ws -> image with skip connections: each block adds to an image that is upsampled from block to block."""

    def __init__(self, config: StyleGAN2Config) -> None:
        """Official layout: blocks `b4`, `b8`, ... ."""
        super().__init__()
        self.resolutions = _resolutions(config.resolution)
        for r in self.resolutions:
            self.add_module(f"b{r}", SynthesisBlock(config, r))
        self.upsample = UpsampleImage(config.resample_filter)
        self.half_from = config.resolution * 2
        self.half_dtype = torch.float16

    def blocks(self) -> Iterator[tuple[int, SynthesisBlock]]:
        """(first row, block) in order; the output layer's row is the next block's first row."""
        for i, r in enumerate(self.resolutions):
            block = self.get_submodule(f"b{r}")
            assert isinstance(block, SynthesisBlock)
            yield max(2 * i - 1, 0), block

    def forward(
        self,
        ws: Float[Tensor, "N L D"],
        noise: NoiseMode = "const",
        streams: Streams | None = None,
        *,
        views: int = 1,
        shared_rows: int = 0,
    ) -> Float[Tensor, "N C H W"]:
        """Render N = B * `views` latents; rows below `shared_rows` are equal over each image's views.

        Layers whose row is shared run on B samples; the activations are repeated before the first that is
        not. With `shared_rows` = L the result still has N images.
        """
        shared = ws[::views] if views > 1 else ws
        styles = shared if shared_rows else ws
        expanded = styles is ws
        draws = None
        if noise == "random":
            draws = self._noise(ws.shape[0] // views, streams, views)
        x = image = None
        for first_row, block in self.blocks():
            dtype = self.half_dtype if block.conv1.resolution >= self.half_from else ws.dtype
            row = first_row
            layers = [block.conv1] if block.conv1.resolution == 4 else [block.conv0, block.conv1]
            for layer in layers:
                if not expanded and row >= shared_rows:
                    x, image, styles, expanded = _repeat(x, views), _repeat(image, views), ws, True
                field_ = None
                if draws is not None:
                    field_ = draws[layer] if expanded else None
                if x is None:
                    x = layer.on_constant(block.const, styles[:, row], noise, field_, dtype)
                else:
                    x = layer(x.to(dtype), styles[:, row], noise, field_)
                row += 1
            if not expanded and row >= shared_rows:
                x, image, styles, expanded = _repeat(x, views), _repeat(image, views), ws, True
            assert x is not None
            out = block.torgb(x, styles[:, row]).to(ws.dtype)
            image = out if image is None else self.upsample(image) + out
        assert image is not None
        return image if expanded else image.repeat_interleave(views, 0)

    def _noise(self, batch: int, streams: Streams | None, views: int) -> dict[nn.Module, Tensor]:
        if streams is None or len(streams) != batch:
            got = "none" if streams is None else f"{len(streams)} streams"
            fail(
                "random noise",
                expected=f"one random stream for each of {batch} samples",
                got=got,
                remedy="pass streams=Rng(seed).streams(ids)",
            )
        fields: dict[nn.Module, Tensor] = {}
        for name, layer in self.named_modules():
            if isinstance(layer, ModulatedConv):
                r = layer.resolution
                drawn = streams.child(f"noise/{name}").normal(views, (1, r, r))
                fields[layer] = drawn.flatten(0, 1).to(layer.weight.device)
        return fields


def _repeat(x: Tensor | None, views: int) -> Tensor | None:
    return None if x is None else x.repeat_interleave(views, 0)


class StyleGAN2(Generator):
    """A StyleGAN2 generator in W+ space.

    Args:
        config: the architecture; weights start as in training from scratch (seed torch's global generator,
            or load weights with `load_weights`).

    Differs: noise is fixed by default in `synthesize` (the official default is random), because a view must
        be a function of its latent. Weights are modulated through the activations, which changes round-off
        only (below 1e-5 in float32 on random weights, `tests/generators/test_stylegan2.py`).

    Example:
        >>> from genviews import Rng, StyleGAN2, StyleGAN2Config
        >>> g = StyleGAN2(StyleGAN2Config(resolution=16, img_channels=1, z_dim=8, w_dim=8,
        ...     mapping_layers=2, channels={4: 8, 8: 8, 16: 4}))
        >>> g.synthesize(g.map(g.sample(Rng(0).streams([0, 1])))).shape
        torch.Size([2, 1, 16, 16])
    """

    def __init__(self, config: StyleGAN2Config) -> None:
        """Build the networks; see the class docstring."""
        super().__init__()
        self.config = config
        self.z_dim = config.z_dim
        self.num_classes = config.c_dim
        r = config.resolution
        self.image_spec = ImageSpec(channels=config.img_channels, height=r, width=r)
        self.latent_spec = LatentSpec(
            space="w+", num_layers=config.num_ws, dim=config.w_dim, ranges=config.layer_ranges
        )
        self.mapping = MappingNetwork(config)
        self.synthesis = SynthesisNetwork(config)

    def map(
        self,
        z: Float[Tensor, "B Z"],
        label: Int[Tensor, " B"] | None = None,
        *,
        psi: float = 1.0,
        cutoff: int | None = None,
    ) -> Float[Tensor, "B L D"]:
        """Map z to W+ latents: one w on every row, truncated to `w_avg + psi (w - w_avg)`.

        Args:
            z: prior latents.
            label: class indices; required by a conditional generator.
            psi: 1 is no truncation, 0 the mean w.
            cutoff: truncate rows [0, cutoff) only.
        """
        label = self.check_label(label, z.shape[0])
        w = self.mapping(z, label)
        ws = w[:, None].expand(-1, self.config.num_ws, -1)
        if psi == 1.0:
            return ws.contiguous()
        truncated = self.mapping.w_avg.lerp(ws, psi)
        stop = self.config.num_ws if cutoff is None else cutoff
        return torch.cat([truncated[:, :stop], ws[:, stop:]], dim=1)

    def synthesize(self, latents: Float[Tensor, "B L D"]) -> Float[Tensor, "B C H W"]:
        """Render W+ latents with the fixed noise of the checkpoint."""
        self.latent_spec.check(latents)
        images: Tensor = self.synthesis(latents)
        return images

    def synthesize_views(
        self, latents: Float[Tensor, "B K L D"], shared_rows: int = 0
    ) -> Float[Tensor, "B K C H W"]:
        """Render K views of each image, computing the layers of the shared rows once for each image."""
        self.latent_spec.check(latents)
        b, k = latents.shape[:2]
        flat = self.synthesis(latents.flatten(0, 1), views=k, shared_rows=shared_rows)
        images: Tensor = flat.unflatten(0, (b, k))
        return images

    def set_half(self, blocks: int, dtype: torch.dtype = torch.float16) -> StyleGAN2:
        """Run the `blocks` highest resolutions in half precision; 0 turns it off. Returns self."""
        self.synthesis.half_from = max(self.config.resolution * 2 // 2**blocks, 8)
        self.synthesis.half_dtype = dtype
        return self

    def load_weights(self, state: Mapping[str, Tensor]) -> StyleGAN2:
        """Load official weights (names of `G` or `G_ema`); filter buffers, which are constants, may be there.

        Raises:
            ValueError: a weight is missing, unused or has another shape; the message names them.
        """
        given = {k: v for k, v in state.items() if not k.endswith("resample_filter")}
        own = self.state_dict()
        problems = [f"missing {k}" for k in own if k not in given]
        problems += [f"unused {k}" for k in given if k not in own]
        problems += [
            f"{k} has shape {tuple(given[k].shape)}, not {tuple(own[k].shape)}"
            for k in own
            if k in given and given[k].shape != own[k].shape
        ]
        if problems:
            shown = "; ".join(problems[:8]) + ("; ..." if len(problems) > 8 else "")
            fail(
                "StyleGAN2 weights",
                expected=f"the {len(own)} tensors of this architecture",
                got=shown,
                remedy="check the resolution, channel schedule and class condition of the config",
            )
        self.load_state_dict(given)
        return self


def noise_mode(name: str) -> NoiseMode:
    """Return a valid noise mode, or raise ValueError that names the closest."""
    modes: dict[str, NoiseMode] = {"const": "const", "random": "random", "none": "none"}
    return lookup(name, modes, "noise mode")
