"""The U-nets of EDM: a noisy image, its noise level and class -> what the denoiser adds.

    down the levels: blocks, each output kept        up again: blocks, which read them last in first

A block is group normalisation, convolution, the embedding of noise level and class, the same once
more, and attention at some sizes. "song" is DDPM++ and NCSN++, "adm" the network of Dhariwal and
Nichol. Parameter names are those of the official release.

Source: Karras et al. 2022, arXiv 2206.00364, appendix F; Song et al. 2021, arXiv 2011.13456,
appendix H (NCSN++, DDPM++); Dhariwal and Nichol 2021, arXiv 2105.05233, Sec. 3 (ADM).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from genviews.generators.edm_config import EDMConfig
from genviews.types import Label

__all__ = ["UNet"]

Change = Literal["same", "up", "down"]
_MOST_GROUPS, _FEWEST_OF_A_GROUP = 32, 4
_CHANNELS_OF_A_HEAD = 64


class _Style(NamedTuple):
    """What differs between the blocks of the two networks.

    Args:
        skip_scale: factor of each sum of two paths.
        eps: of the group normalisation.
        adaptive: whether the embedding scales as well as shifts, after the normalisation.
        project: whether a skip over a change of size has weights in any case.
        heads: of the attention; None for one in so many channels.
        taps: of the filter between levels.
    """

    skip_scale: float
    eps: float
    adaptive: bool
    project: bool
    heads: int | None
    taps: tuple[float, ...]


def _style(config: EDMConfig) -> _Style:
    if config.network == "adm":
        return _Style(1.0, 1e-5, True, False, None, (1.0, 1.0))
    return _Style(math.sqrt(0.5), 1e-6, False, True, 1, config.resample_filter)


def _norm(channels: int, eps: float) -> nn.GroupNorm:
    groups = max(min(_MOST_GROUPS, channels // _FEWEST_OF_A_GROUP), 1)
    return nn.GroupNorm(groups, channels, eps=eps)


class Resampling(nn.Module):
    """A convolution after a change of size, or the change alone."""

    resample_filter: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        change: Change = "same",
        taps: tuple[float, ...] = (1.0, 1.0),
        *,
        filter_last: bool = False,
    ) -> None:
        """Official layout: `weight` and `bias`, unless `kernel` is 0.

        Args:
            inputs: channels.
            outputs: channels.
            kernel: width of the convolution; 0 for none.
            change: of the size.
            taps: 1-D low-pass filter of the change.
            filter_last: convolve before the filter; of "down" alone.
        """
        super().__init__()
        self.kernel, self.change, self.filter_last = kernel, change, filter_last
        if kernel:
            conv = nn.Conv2d(inputs, outputs, kernel)
            self.weight, self.bias = conv.weight, conv.bias
        f = torch.tensor(taps)
        # The gain of 4 makes up for the zeros between the samples.
        f = torch.outer(f, f) / f.sum() ** 2 * (4.0 if change == "up" else 1.0)
        self.register_buffer("resample_filter", f, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, h, w) -> (N, out, h', w')."""
        half = (len(self.resample_filter) - 1) // 2
        if self.filter_last:
            x = F.conv2d(x, self.weight, padding=self.kernel // 2 + half)
            return self._filter(x, 0) + self._offset()
        if self.change != "same":
            x = self._filter(x, half)
        if not self.kernel:
            return x
        return F.conv2d(x, self.weight, self.bias, padding=self.kernel // 2)

    def _filter(self, x: Tensor, padding: int) -> Tensor:
        channels, f = x.shape[1], self.resample_filter
        kernel = f.expand(channels, 1, *f.shape)
        apply = F.conv_transpose2d if self.change == "up" else F.conv2d
        return apply(x, kernel, stride=2, padding=padding, groups=channels)

    def _offset(self) -> Tensor:
        assert self.bias is not None
        return self.bias[:, None, None]


class Block(nn.Module):
    """Two convolutions with the embedding between them, a skip, and attention."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        embedding: int,
        style: _Style,
        *,
        change: Change = "same",
        attends: bool = False,
    ) -> None:
        """Official layout: `norm0`, `conv0`, `affine`, `norm1`, `conv1`, and what it needs of more.

        That is `skip`, where size or channels change, and `norm2`, `qkv`, `proj` of an attention.
        """
        super().__init__()
        self.inputs, self.outputs, self.style = inputs, outputs, style
        self.norm0 = _norm(inputs, style.eps)
        self.conv0 = Resampling(inputs, outputs, 3, change, style.taps)
        self.affine = nn.Linear(embedding, outputs * (2 if style.adaptive else 1))
        self.norm1 = _norm(outputs, style.eps)
        self.conv1 = Resampling(outputs, outputs, 3)
        self.skip: nn.Module = nn.Identity()
        if outputs != inputs or change != "same":
            kernel = 1 if style.project or outputs != inputs else 0
            self.skip = Resampling(inputs, outputs, kernel, change, style.taps)
        heads = outputs // _CHANNELS_OF_A_HEAD if style.heads is None else style.heads
        self.heads = heads if attends else 0
        if self.heads:
            self.norm2 = _norm(outputs, style.eps)
            self.qkv = Resampling(outputs, 3 * outputs, 1)
            self.proj = Resampling(outputs, outputs, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """(N, in, h, w), (N or 1, E) -> (N, out, h', w')."""
        y = self.conv0(F.silu(self.norm0(x)))
        given = self.affine(embedding)[..., None, None]
        if self.style.adaptive:
            scale, shift = given.chunk(2, dim=1)
            y = self.norm1(y) * (scale + 1) + shift
        else:
            y = self.norm1(y + given)
        y = (self.conv1(F.silu(y)) + self.skip(x)) * self.style.skip_scale
        if self.heads:
            y = (y + self.proj(self._attended(y))) * self.style.skip_scale
        out: Tensor = y
        return out

    def _attended(self, x: Tensor) -> Tensor:
        """Each pixel: the values of all, by how well their keys answer its query."""
        n, channels = x.shape[:2]
        parts = self.qkv(self.norm2(x)).view(n, self.heads, channels // self.heads, 3, -1)
        query, key, value = parts.unbind(3)
        scores = query.transpose(2, 3) @ key / math.sqrt(channels // self.heads)
        mixed: Tensor = value @ scores.softmax(-1).transpose(2, 3)
        return mixed.reshape(x.shape)


class Waves(nn.Module):
    """A noise level as waves: fixed frequencies ("positional"), or drawn ones ("fourier")."""

    freqs: Tensor

    def __init__(self, channels: int, kind: str, *, to_the_end: bool) -> None:
        """Official layout: buffer `freqs` of "fourier" alone."""
        super().__init__()
        half = channels // 2
        if kind == "fourier":
            self.factor = 2 * math.pi
            self.register_buffer("freqs", torch.randn(half) * 16)
        else:
            self.factor = 1.0
            share = torch.arange(half) / max(half - to_the_end, 1)
            self.register_buffer("freqs", 1e-4**share, persistent=False)

    def forward(self, level: Float[Tensor, " N"]) -> Float[Tensor, "N E"]:
        """Cosines, then sines."""
        angles = level[:, None] * (self.freqs * self.factor)
        return torch.cat([angles.cos(), angles.sin()], dim=1)


class UNet(nn.Module):
    """See the module."""

    def __init__(self, config: EDMConfig) -> None:
        """Official layout: `map_...`, `enc` and `dec` by size and part; `out_...` of "adm"."""
        super().__init__()
        self.adm = config.network == "adm"
        self.c_dim = config.c_dim
        base = config.model_channels
        self.width = base * config.channel_mult_emb
        noise = base * (1 if self.adm else config.channel_mult_noise)
        kind = "positional" if self.adm else config.embedding
        self.map_noise = Waves(noise, kind, to_the_end=not self.adm)
        self.map_layer0 = nn.Linear(noise, self.width)
        self.map_layer1 = nn.Linear(self.width, self.width)
        if config.c_dim:
            self.map_label = nn.Linear(
                config.c_dim, self.width if self.adm else noise, not self.adm
            )
        self.style = _style(config)
        self.enc = nn.ModuleDict(dict(self._encoder(config)))
        kept = [part.outputs for part in self.enc.values() if isinstance(part, Block | Start)]
        self.dec = nn.ModuleDict(dict(self._decoder(config, kept)))
        if self.adm:
            last = base * config.channel_mult[0]
            self.out_norm = _norm(last, 1e-5)
            self.out_conv = Resampling(last, _out_channels(config), 3)

    def _block(
        self, inputs: int, outputs: int, change: Change = "same", *, attends: bool = False
    ) -> Block:
        return Block(inputs, outputs, self.width, self.style, change=change, attends=attends)

    def _encoder(self, config: EDMConfig) -> Iterator[tuple[str, nn.Module]]:
        given, base, taps = config.img_channels, config.model_channels, self.style.taps
        wide = base * (config.channel_mult[0] if self.adm else 1)
        side = given
        for level, multiple in enumerate(config.channel_mult):
            size = config.resolution >> level
            name = f"{size}x{size}"
            if level == 0:
                yield f"{name}_conv", Start(given, wide)
            else:
                yield f"{name}_down", self._block(wide, wide, "down")
                if not self.adm and config.encoder == "skip":
                    yield f"{name}_aux_down", Resampling(side, side, 0, "down", taps)
                    yield f"{name}_aux_skip", Resampling(side, wide, 1)
                if not self.adm and config.encoder == "residual":
                    part = Resampling(side, wide, 3, "down", taps, filter_last=True)
                    yield f"{name}_aux_residual", part
                    side = wide
            for i in range(config.num_blocks):
                attends = size in config.attn_resolutions
                yield f"{name}_block{i}", self._block(wide, base * multiple, attends=attends)
                wide = base * multiple

    def _decoder(self, config: EDMConfig, kept: list[int]) -> Iterator[tuple[str, nn.Module]]:
        base, given = config.model_channels, _out_channels(config)
        last = len(config.channel_mult) - 1
        wide = base * config.channel_mult[last]
        for level in range(last, -1, -1):
            size = config.resolution >> level
            name = f"{size}x{size}"
            if level == last:
                yield f"{name}_in0", self._block(wide, wide, attends=True)
                yield f"{name}_in1", self._block(wide, wide)
            else:
                yield f"{name}_up", self._block(wide, wide, "up")
            for i in range(config.num_blocks + 1):
                attends = size in config.attn_resolutions and (self.adm or i == config.num_blocks)
                inputs, wide = wide + kept.pop(), base * config.channel_mult[level]
                yield f"{name}_block{i}", self._block(inputs, wide, attends=attends)
            if self.adm or (config.decoder == "standard" and level):
                continue
            if config.decoder == "skip" and level < last:
                yield f"{name}_aux_up", Resampling(given, given, 0, "up", self.style.taps)
            yield f"{name}_aux_norm", _norm(wide, 1e-6)
            yield f"{name}_aux_conv", Resampling(wide, given, 3)

    def forward(
        self, x: Float[Tensor, "N C H W"], level: Float[Tensor, " 1"], label: Label | None
    ) -> Tensor:
        """(N, C, H, W) of one noise level, as the preconditioning says it -> (N, C', H, W)."""
        embedding = self._embedding(level, label)
        kept: list[Tensor] = []
        side = x
        for name, part in self.enc.items():
            if name.endswith("aux_down"):
                side = part(side)
            elif name.endswith("aux_skip"):
                x = kept[-1] = x + part(side)
            elif name.endswith("aux_residual"):
                x = kept[-1] = side = (x + part(side)) * math.sqrt(0.5)
            else:
                x = part(x, embedding)
                kept.append(x)
        image: Tensor | None = None
        for name, part in self.dec.items():
            if name.endswith("aux_up"):
                image = part(image)
            elif name.endswith("aux_norm"):
                normed = part(x)
            elif name.endswith("aux_conv"):
                more: Tensor = part(F.silu(normed))
                image = more if image is None else image + more
            else:
                x = torch.cat([x, kept.pop()], dim=1) if "_block" in name else x
                x = part(x, embedding)
        if not self.adm:
            assert image is not None
            return image
        out: Tensor = self.out_conv(F.silu(self.out_norm(x)))
        return out

    def _embedding(self, level: Tensor, label: Label | None) -> Tensor:
        """Of noise level and class, (N or 1, E)."""
        waves = self.map_noise(level)
        chosen = None if label is None else F.one_hot(label, self.c_dim).to(waves.dtype)
        if self.adm:
            deep = self.map_layer1(F.silu(self.map_layer0(waves)))
            return F.silu(deep if chosen is None else deep + self.map_label(chosen))
        waves = torch.cat(waves.chunk(2, dim=1)[::-1], dim=1)  # sines first
        if chosen is not None:
            waves = waves + self.map_label(chosen * math.sqrt(self.c_dim))
        return F.silu(self.map_layer1(F.silu(self.map_layer0(waves))))


class Start(Resampling):
    """The first convolution, which has no use for the embedding."""

    def __init__(self, inputs: int, outputs: int) -> None:
        """Official layout: `weight` and `bias`."""
        super().__init__(inputs, outputs, 3)
        self.outputs = outputs

    def forward(self, x: Tensor, embedding: Tensor | None = None) -> Tensor:
        """(N, in, h, w) -> (N, out, h, w)."""
        return super().forward(x)


def _out_channels(config: EDMConfig) -> int:
    """Of the network; that of iDDPM also gives a variance, which no sampler here needs."""
    return config.img_channels * (2 if config.preconditioning == "iddpm" else 1)
