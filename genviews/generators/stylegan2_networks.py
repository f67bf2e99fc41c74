"""The architecture of a StyleGAN2 and its networks: z (and class) -> w, one w a row -> image.

Parameter names are those of the official release. `genviews.generators.stylegan2` says how the
arithmetic differs, and gives the sources.

Source: Karras et al., NeurIPS 2020, arXiv 2006.06676 (official channel schedule); Chai et al. 2021,
arXiv 2104.14551, Sec. 3.1 (the layer ranges).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from genviews.checks import check_count, check_each, check_number, fail, lookup
from genviews.generators.layers import (
    FullyConnected,
    ModulatedConv,
    ToImage,
    UpsampleImage,
    check_taps,
    normalize,
)
from genviews.generators.style import StyleMapping
from genviews.rng import Streams
from genviews.style_rows import LayerRange, named_ranges
from genviews.types import Draws, Label

__all__ = [
    "MappingNetwork",
    "NoiseMode",
    "StyleGAN2Config",
    "SynthesisBlock",
    "SynthesisNetwork",
    "noise_mode",
]

NoiseMode = Literal["const", "random", "none"]
_RESOLUTIONS = tuple(2**i for i in range(3, 15))
OFFICIAL_RANGES = {"coarse": (0, 4), "middle": (4, 10), "fine": (10, 18)}


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
        mapping_lr_multiplier: their learning-rate multiplier, a factor of their run-time weights.
        channels: resolution -> channels of its block; None for the official schedule
            min(32768 / resolution, 512).
        resample_filter: 1-D low-pass filter of the up-sampling.
        conv_clamp: clamp of activations, 256 in the official half-precision networks; None: none.
        ranges: named layer ranges, name -> (start, stop); None for coarse [0, 4), middle [4, 10)
            and fine [10, L), the split of Chai et al. 2021, Sec. 3.1, where the generator has so
            many rows.

    Raises:
        ValueError: a size out of range, or no channels for one of the resolutions.
    """

    resolution: int
    img_channels: int = 3
    z_dim: int = 512
    w_dim: int = 512
    c_dim: int = 0
    mapping_layers: int = 8
    mapping_lr_multiplier: float = 0.01
    channels: Mapping[int, int] | None = None
    resample_filter: tuple[float, ...] = (1.0, 3.0, 3.0, 1.0)
    conv_clamp: float | None = None
    ranges: Mapping[str, tuple[int, int]] | None = None

    def __post_init__(self) -> None:
        if self.resolution not in _RESOLUTIONS or not isinstance(self.resolution, int):
            fail(
                "resolution",
                expected=f"a power of two from 8 to {_RESOLUTIONS[-1]}",
                got=repr(self.resolution),
                remedy="change it",
            )
        check_taps(self.resample_filter, "use the official (1, 3, 3, 1)")
        check_count(self.img_channels, "img_channels", most=4)
        for name in ("z_dim", "w_dim", "mapping_layers"):
            check_count(getattr(self, name), name)
        check_count(self.c_dim, "c_dim", least=0)
        check_number(self.mapping_lr_multiplier, "mapping_lr_multiplier", above=0)
        if self.conv_clamp is not None:
            check_number(self.conv_clamp, "conv_clamp", above=0)
        for name, (start, stop) in (self.ranges or {}).items():
            LayerRange(name=name, start=start, stop=stop)
        for size, width in self.block_channels.items():
            check_count(width, f"channels at {size}")
        missing = [r for r in self.resolutions if r not in self.block_channels]
        if missing:
            fail(
                "channels",
                expected=f"an entry for each resolution of {self.resolutions}",
                got=f"none for {missing}",
                remedy="add them, or pass None for the official schedule",
            )

    @property
    def resolutions(self) -> list[int]:
        """Height of each block's output: 4, 8, ..., `resolution`."""
        return [2**i for i in range(2, int(math.log2(self.resolution)) + 1)]

    @property
    def block_channels(self) -> Mapping[int, int]:
        """Channels of each block's resolution."""
        if self.channels is not None:
            return self.channels
        return {r: min(32768 // r, 512) for r in self.resolutions}

    @property
    def num_ws(self) -> int:
        """L, the number of style rows: 2 log2(resolution) - 2."""
        return 2 * int(math.log2(self.resolution)) - 2

    @property
    def layer_ranges(self) -> tuple[LayerRange, ...]:
        """The named ranges, cut at L; empty ones are left out."""
        return named_ranges(OFFICIAL_RANGES if self.ranges is None else self.ranges, self.num_ws)


@runtime_checkable
class MappingSizes(Protocol):
    """The fields of a config that a mapping network is made from."""

    @property
    def z_dim(self) -> int: ...
    @property
    def w_dim(self) -> int: ...
    @property
    def c_dim(self) -> int: ...
    @property
    def mapping_layers(self) -> int: ...
    @property
    def mapping_lr_multiplier(self) -> float: ...


class MappingNetwork(StyleMapping):
    """z (and class) -> w; holds `w_avg`, the mean w that truncation pulls towards."""

    embed: nn.Module

    def __init__(self, config: MappingSizes) -> None:
        """Official layout: `embed` (if conditional), `fc0` ... `fcN`, buffer `w_avg`."""
        super().__init__()
        self.num_layers = config.mapping_layers
        self.c_dim = config.c_dim
        width = config.z_dim + (self._embed(config) if config.c_dim else 0)
        for i in range(config.mapping_layers):
            lr = config.mapping_lr_multiplier
            self.add_module(
                f"fc{i}", FullyConnected(width, config.w_dim, activate=True, lr_multiplier=lr)
            )
            width = config.w_dim
        self.register_buffer("w_avg", torch.zeros(config.w_dim))

    def _embed(self, config: MappingSizes) -> int:
        """Make the embedding of classes; return its width."""
        self.embed = FullyConnected(config.c_dim, config.w_dim)
        return config.w_dim

    def embedded(self, label: Label) -> Float[Tensor, "B E"]:
        """The embedding of each class."""
        # A one-hot vector times the embedding is a row look-up.
        rows: Tensor = self.embed(F.one_hot(label, self.c_dim).to(self.w_avg.dtype))
        return rows

    def forward(self, z: Draws, label: Label | None = None) -> Float[Tensor, "B D"]:
        """Map without truncation; one w for each sample."""
        x = normalize(z.to(self.w_avg.dtype))
        if label is not None:
            x = torch.cat([x, normalize(self.embedded(label))], dim=1)
        for i in range(self.num_layers):
            x = self.get_submodule(f"fc{i}")(x)
        return x


class SynthesisBlock(nn.Module):
    """One resolution: up-sampling convolution (but for the first), convolution, output layer."""

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

    def layers(self) -> list[ModulatedConv | ToImage]:
        """The layers in order; each takes the style row after that of the layer before it."""
        first = [] if self.conv1.resolution == 4 else [self.conv0]
        return [*first, self.conv1, self.torgb]


class SynthesisNetwork(nn.Module):
    """ws -> image with skip connections: each block adds to the up-sampled image so far."""

    def __init__(self, config: StyleGAN2Config) -> None:
        """Official layout: blocks `b4`, `b8`, ... ."""
        super().__init__()
        self.resolutions = config.resolutions
        for r in self.resolutions:
            self.add_module(f"b{r}", SynthesisBlock(config, r))
        self.upsample = UpsampleImage(config.resample_filter)

    def blocks(self) -> Iterator[tuple[int, SynthesisBlock]]:
        """(first row, block) in order; the output layer's row is the next block's first row."""
        for i, r in enumerate(self.resolutions):
            block = self.get_submodule(f"b{r}")
            assert isinstance(block, SynthesisBlock)
            yield max(2 * i - 1, 0), block

    def layers(self) -> Iterator[tuple[int, ModulatedConv | ToImage]]:
        """(style row, layer) in the order of computation."""
        for first_row, block in self.blocks():
            yield from enumerate(block.layers(), first_row)

    def forward(
        self,
        ws: Float[Tensor, "N L D"],
        noise: NoiseMode = "const",
        streams: Streams | None = None,
        *,
        views: int = 1,
        shared_rows: int = 0,
    ) -> Float[Tensor, "N C H W"]:
        """Render N = B * `views` latents; rows below `shared_rows` are equal over an image's views.

        Layers whose row is shared run on B samples; the activations are repeated before the first
        layer that is not. Random noise differs between views, so with it nothing is shared.
        """
        noise = noise_mode(noise)
        fields = self._noise(ws.shape[0] // views, streams, views) if noise == "random" else {}
        together = views > 1 and shared_rows > 0 and noise != "random"
        styles = ws[::views] if together else ws
        _, first = next(self.blocks())
        x = image = None
        for row, layer in self.layers():
            if together and row >= shared_rows:
                x, image = _repeat(x, views), _repeat(image, views)
                styles, together = ws, False
            style = styles[:, row]
            if isinstance(layer, ToImage):
                more: Tensor = layer(x, style)
                image = more if image is None else self.upsample(image) + more
            elif x is None:
                x = layer.on_constant(first.const, style, noise, fields.get(layer))
            else:
                x = layer(x, style, noise, fields.get(layer))
        assert image is not None
        return image.repeat_interleave(views, 0) if together else image

    def _noise(
        self, batch: int, streams: Streams | None, views: int
    ) -> dict[ModulatedConv, Tensor]:
        given = () if streams is None else streams
        remedy = "pass streams=Rng(seed).streams(ids)"
        check_each(given, batch, "streams of random noise", "sample", remedy)
        assert streams is not None
        fields: dict[ModulatedConv, Tensor] = {}
        for name, layer in self.named_modules():
            if isinstance(layer, ModulatedConv):
                r = layer.resolution
                drawn = streams.child(f"noise/{name}").normal(views, (1, r, r))
                fields[layer] = drawn.flatten(0, 1).to(layer.weight.device)
        return fields


def _repeat(x: Tensor | None, views: int) -> Tensor | None:
    return None if x is None else x.repeat_interleave(views, 0)


def noise_mode(name: str) -> NoiseMode:
    """Return a valid noise mode, or raise ValueError that names the closest."""
    modes: dict[str, NoiseMode] = {"const": "const", "random": "random", "none": "none"}
    return lookup(name, modes, "noise mode")
