"""The architecture of a StyleGAN2: resolution, widths, style rows and their named ranges.

Source: Karras et al., CVPR 2020, arXiv 1912.04958, and NeurIPS 2020, arXiv 2006.06676 (official
channel schedule); Chai et al. 2021, arXiv 2104.14551, Sec. 3.1 (the layer ranges).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from genviews.checks import check_count, fail
from genviews.types import LayerRange

__all__ = ["StyleGAN2Config"]

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
        power = self.resolution >= 8 and self.resolution & (self.resolution - 1) == 0
        if not power:
            fail(
                "resolution",
                expected="a power of two from 8",
                got=self.resolution,
                remedy="change it",
            )
        if len(self.resample_filter) < 2:
            fail(
                "resample_filter",
                expected="at least two taps",
                got=self.resample_filter,
                remedy="use the official (1, 3, 3, 1)",
            )
        if not 1 <= self.img_channels <= 4:
            fail("img_channels", expected="1 to 4", got=self.img_channels, remedy="change it")
        for name in ("z_dim", "w_dim", "mapping_layers"):
            check_count(getattr(self, name), name)
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
        named = OFFICIAL_RANGES if self.ranges is None else self.ranges
        cut = {name: (start, min(stop, self.num_ws)) for name, (start, stop) in named.items()}
        return tuple(LayerRange(name=n, start=a, stop=b) for n, (a, b) in cut.items() if a < b)
