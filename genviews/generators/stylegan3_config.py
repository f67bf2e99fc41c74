"""The architecture of a StyleGAN3: the bands of its layers, from a few numbers.

    layer i: band i - 1 -> band i        band: cutoff, stop band, rate, size, channels

Cutoffs and stop bands grow geometrically up to the last, critically sampled, layers, whose cutoff
is that of the image. A head of StyleGAN-XL takes the place of the critically sampled layers of what
was trained before it, and goes on from there by a schedule of its own.

Source: Karras et al. 2021, arXiv 2106.12423, Sec. 3.2 and appendix C; Sauer et al. 2022, arXiv
2202.00273, appendix (the schedule of a head).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from genviews.checks import check_count, check_number, fail
from genviews.style_rows import LayerRange, named_ranges

__all__ = ["Band", "Layer", "StyleGAN3Config"]

_RESOLUTIONS = tuple(2**i for i in range(3, 15))
_MOST_LAYERS = 100
# The schedule of a head leaves so many critically sampled layers, whatever the network has.
_CRITICAL_OF_A_HEAD = 2
# Highest cutoff of the named ranges: half of 8 and of 64 pixels, where the rows of StyleGAN2 that
# Chai et al. 2021 call coarse and middle end. At 256 pixels these are rows 4 and 10 here as well.
_CUTOFFS = {"coarse": 4.0, "middle": 32.0, "fine": float("inf")}


class Band(NamedTuple):
    """What a signal between two layers can hold.

    Args:
        cutoff: f_c, highest frequency that passes, in cycles per image.
        half_width: f_h, half the transition band from there to the stop band.
        rate: samples per image.
        size: of the grid with its margin.
        channels: number of them.
    """

    cutoff: float
    half_width: float
    rate: int
    size: int
    channels: int


class Layer(NamedTuple):
    """A layer: its name in the weights, where it leads from and to.

    Args:
        name: L{index}_{size}_{channels}.
        given: band of its input.
        made: band of its output.
        critical: whether its sampling rate is no more than twice its cutoff.
        to_image: whether it is the output layer, which has no nonlinearity.
    """

    name: str
    given: Band
    made: Band
    critical: bool
    to_image: bool


@dataclass(frozen=True, kw_only=True)
class StyleGAN3Config:
    """The architecture of a StyleGAN3, or of a StyleGAN-XL.

    Args:
        resolution: image height and width in pixels, a power of two from 8.
        img_channels: C, 1 to 4.
        z_dim: width of the prior latent.
        w_dim: width of the mapped latent.
        c_dim: number of classes; 0 for an unconditional generator.
        mapping_layers: fully connected layers of the mapping network.
        mapping_lr_multiplier: their learning-rate multiplier, a factor of their run-time weights.
        class_embedding: width of the embedding of classes of StyleGAN-XL, whose classes have a mean
            latent each; 0 for the embedding of StyleGAN3, or no classes.
        channel_base: channels of a layer are at most half of it over the cutoff, ...
        channel_max: ... and at most so many.
        num_layers: layers, without the input and the output layer.
        num_critical: critically sampled layers among them, the last.
        first_cutoff: of the first layer.
        first_stopband: of the first layer.
        last_stopband_rel: stop band of the last layer over its cutoff.
        margin_size: samples beyond the image on each side.
        output_scale: factor of the image.
        conv_kernel: width of the convolutions: 3 in configuration t, 1 in r.
        use_radial_filters: whether filters are radial where they can be, as in configuration r.
        filter_size: taps of a filter for each sample of the lower rate.
        lrelu_upsampling: rate at which the leaky ReLU acts over that of the layer.
        conv_clamp: bound of the activations; None for none.
        heads: (layers, factor of the resolution) of each head that StyleGAN-XL put upon the network
            of the fields above, in turn; `resolution` is that of the last one.
        ranges: named layer ranges, name -> (start, stop); None for coarse, middle and fine at the
            frequencies where those of StyleGAN2 end, which are rows 4 and 10 at 256 pixels.

    Raises:
        ValueError: a size out of range.
    """

    resolution: int
    img_channels: int = 3
    z_dim: int = 512
    w_dim: int = 512
    c_dim: int = 0
    mapping_layers: int = 2
    mapping_lr_multiplier: float = 0.01
    class_embedding: int = 0
    channel_base: int = 32768
    channel_max: int = 512
    num_layers: int = 14
    num_critical: int = 2
    first_cutoff: float = 2.0
    first_stopband: float = 2**2.1
    last_stopband_rel: float = 2**0.3
    margin_size: int = 10
    output_scale: float = 0.25
    conv_kernel: int = 3
    use_radial_filters: bool = False
    filter_size: int = 6
    lrelu_upsampling: int = 2
    conv_clamp: float | None = 256.0
    heads: tuple[tuple[int, int], ...] = ()
    ranges: Mapping[str, tuple[int, int]] | None = None

    def __post_init__(self) -> None:
        for size in (self.resolution, self.stem_resolution):
            if size not in _RESOLUTIONS or not isinstance(size, int):
                expected = f"a power of two from 8 to {_RESOLUTIONS[-1]}, before each head as well"
                fail("resolution", expected=expected, got=repr(size), remedy="change it")
        check_count(self.img_channels, "img_channels", most=4)
        for name in ("z_dim", "w_dim", "mapping_layers", "channel_base", "channel_max"):
            check_count(getattr(self, name), name)
        for name in ("c_dim", "class_embedding", "margin_size"):
            check_count(getattr(self, name), name, least=0)
        check_count(self.num_critical, "num_critical")
        check_count(self.num_layers, "num_layers", least=self.num_critical + 1, most=_MOST_LAYERS)
        for name, most in (("conv_kernel", 7), ("filter_size", 16), ("lrelu_upsampling", 8)):
            check_count(getattr(self, name), name, most=most)
        for name in ("mapping_lr_multiplier", "first_cutoff", "last_stopband_rel"):
            check_number(getattr(self, name), name, above=0)
        check_number(self.first_stopband, "first_stopband", above=self.first_cutoff)
        if self.conv_clamp is not None:
            check_number(self.conv_clamp, "conv_clamp", above=0)
        for layers, _ in self.heads:
            least = max(self.num_critical, _CRITICAL_OF_A_HEAD) + 1
            check_count(layers, "layers of a head", least=least, most=_MOST_LAYERS)
        for name, (start, stop) in (self.ranges or {}).items():
            LayerRange(name=name, start=start, stop=stop)

    @property
    def stem_resolution(self) -> int:
        """Of the network before any head."""
        size = self.resolution
        for _, factor in self.heads:
            whole = check_count(factor, "factor of a head", least=2, most=16)
            size = size // whole if size % whole == 0 else 0
        return size

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The layers in their order, the output layer last."""
        size = self.stem_resolution
        stopband = self.first_stopband
        bands = self._bands(self.first_cutoff, stopband, self.num_layers, self.num_critical, size)
        layers = self._between(bands, 0)
        for count, factor in self.heads:
            kept = [layer for layer in layers if not layer.critical]
            end, size = kept[-1].made, size * factor
            stopband = end.half_width + end.cutoff
            bands = self._bands(end.cutoff, stopband, count, _CRITICAL_OF_A_HEAD, size)
            width = max(stopband, end.rate / 2) - end.cutoff
            first = Band(end.cutoff, width, end.rate, end.rate + 2 * self.margin_size, end.channels)
            layers = kept + self._between([first, *bands[1:]], len(kept) + 1)
        return tuple(layers)

    def _bands(
        self, cutoff: float, stopband: float, count: int, critical: int, size: int
    ) -> list[Band]:
        """Of `count` layers and the output layer; cutoff and stop band are those of the first."""
        last = size / 2
        steps = np.minimum(np.arange(count + 1) / (count - critical), 1)
        cutoffs = cutoff * (last / cutoff) ** steps
        stopbands = stopband * (last * self.last_stopband_rel / stopband) ** steps
        rates = np.exp2(np.ceil(np.log2(np.minimum(stopbands * 2, size))))
        half_widths = np.maximum(stopbands, rates / 2) - cutoffs
        sizes = rates + 2 * self.margin_size
        sizes[-2:] = size
        channels = np.rint(np.minimum(self.channel_base / 2 / cutoffs, self.channel_max))
        channels[-1] = self.img_channels
        columns = (cutoffs, half_widths, rates, sizes, channels)
        whole = (float, float, int, int, int)
        return [
            Band(*(kind(number) for kind, number in zip(whole, row, strict=True)))
            for row in zip(*columns, strict=True)
        ]

    def _between(self, bands: list[Band], first: int) -> list[Layer]:
        """A layer to each of the bands; to the first, from itself."""
        end, found = len(bands) - 1, []
        for i, made in enumerate(bands):
            name = f"L{first + i}_{made.size}_{made.channels}"
            critical = i >= end - self.num_critical
            found.append(Layer(name, bands[max(i - 1, 0)], made, critical, i == end))
        return found

    @property
    def num_ws(self) -> int:
        """L, the number of style rows: one for the input, one a layer."""
        return 1 + len(self.layers)

    @property
    def layer_ranges(self) -> tuple[LayerRange, ...]:
        """The named ranges, cut at L; empty ones are left out."""
        named = self._by_frequency() if self.ranges is None else self.ranges
        return named_ranges(named, self.num_ws)

    def _by_frequency(self) -> dict[str, tuple[int, int]]:
        found, start = {}, 0
        for name, highest in _CUTOFFS.items():
            below = sum(layer.made.cutoff <= highest * (1 + 1e-6) for layer in self.layers)
            found[name] = (start, 1 + below if below else start)
            start = found[name][1]
        return found
