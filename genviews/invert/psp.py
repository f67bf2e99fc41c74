"""The encoders that ship with a StyleGAN2: pixel2style2pixel, encoder4editing, ReStyle.

    image -> residual trunk -> maps at 1/4, 1/8, 1/16 -> one small network a style row -> latents

Four heads read the trunk: "pyramid" (rows see three sizes of map, as pSp and e4e), "last" (every
row the last map, as ReStyle), "mean" (one w from its mean, for every row) and "flat" (all rows from
one vector). With `deltas` the first row is an estimate of its own, and the others say what to add
to it (e4e). Answers are relative to the generator's mean latent.

An encoder of six channels sees the image and what was rendered for it so far, and says what to add
(ReStyle): the first time it is shown the rendering of the mean latent.

Source: Richardson et al., "Encoding in style", CVPR 2021, arXiv:2008.00951; Tov et al., "Designing
an encoder for StyleGAN image manipulation", SIGGRAPH 2021, arXiv:2102.02766; Alaluf et al.,
"ReStyle", ICCV 2021, arXiv:2104.02699. The trunk: Deng et al. 2019, arXiv:1801.07698 (improved
residual units); Hu et al. 2018, arXiv:1709.01507 (squeeze and excitation).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from genviews.checks import check_count, check_words, fail
from genviews.generators.layers import FullyConnected
from genviews.invert.encoder import LatentEncoder, ResidualBlock
from genviews.types import Images, Latents, Masks

__all__ = ["PspConfig", "PspEncoder"]

Head = Literal["pyramid", "last", "mean", "flat"]
Trunk = Literal["improved", "basic"]
# Rows [0, 3) of a pyramid see the smallest map, [3, 7) the middle one, the others the largest.
COARSE, MIDDLE = 3, 7
FLAT_SIDE = 7  # pixels to which the "flat" head pools the last map


@dataclass(frozen=True, kw_only=True)
class PspConfig:
    """The architecture of a `PspEncoder`.

    Args:
        num_layers: L, style rows of the generator.
        dim: D, latent width.
        size: height and width in pixels of what the network sees. Images are area-resampled to a
            square of this width; where it is lower than wide, its middle rows are taken (cars).
        image_channels: of the image.
        sees_rendering: the input is the image and a rendering, and the answer what to add.
        trunk: "improved" residual units (faces), or the "basic" blocks of He et al. 2016.
        widths: channels of the four groups of blocks.
        depths: blocks of each group.
        squeeze: whether "improved" units weigh their channels.
        head: see the module.
        halvings: convolutions of stride 2 in each row's network, for "pyramid" and "last".
        deltas: rows after the first say what to add to it.

    Raises:
        ValueError: a number out of its range, or an unknown word.
    """

    num_layers: int
    dim: int = 512
    size: tuple[int, int] = (256, 256)
    image_channels: int = 3
    sees_rendering: bool = False
    trunk: Trunk = "improved"
    widths: tuple[int, ...] = (64, 128, 256, 512)
    depths: tuple[int, ...] = (3, 4, 14, 3)
    squeeze: bool = True
    head: Head = "pyramid"
    halvings: tuple[int, ...] = ()
    deltas: bool = False

    def __post_init__(self) -> None:
        check_words(self)
        for name in ("num_layers", "dim", "image_channels"):
            check_count(getattr(self, name), f"{name} of the encoder config")
        for count in (*self.size, *self.widths, *self.depths, *self.halvings):
            check_count(count, "sizes, widths, depths and halvings of the encoder config")
        rows = self.num_layers if self.head in ("pyramid", "last") else 0
        groups = len(self.widths) == len(self.depths) == 4
        if not groups or len(self.halvings) != rows or self.size[0] > self.size[1]:
            fail(
                "encoder config",
                expected=f"four widths and depths, {rows} halvings, a height of at most the width",
                got=f"{self.widths}, {self.depths}, {self.halvings}, {self.size}",
                remedy="change them",
            )


class _Improved(nn.Module):
    """Norm, 3x3 convolution, PReLU, 3x3 convolution, norm, weights of channels; and a shortcut."""

    def __init__(self, inside: int, out: int, stride: int, *, squeeze: bool) -> None:
        super().__init__()
        self.stride = stride
        self.norm1, self.norm2 = nn.BatchNorm2d(inside), nn.BatchNorm2d(out)
        self.conv1 = nn.Conv2d(inside, out, 3, 1, 1, bias=False)
        self.conv2 = nn.Conv2d(out, out, 3, stride, 1, bias=False)
        self.act = nn.PReLU(out)
        self.squeeze: nn.Sequential | None = None
        if squeeze:
            less = nn.Conv2d(out, out // 16, 1, bias=False)
            more = nn.Conv2d(out // 16, out, 1, bias=False)
            self.squeeze = nn.Sequential(less, nn.ReLU(), more, nn.Sigmoid())
        self.short: nn.Sequential | None = None
        if inside != out:
            conv = nn.Conv2d(inside, out, 1, stride, bias=False)
            self.short = nn.Sequential(conv, nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.conv2(self.act(self.conv1(self.norm1(x)))))
        if self.squeeze is not None:
            y = y * self.squeeze(y.mean((2, 3), keepdim=True))
        short = x[:, :, :: self.stride, :: self.stride] if self.short is None else self.short(x)
        total: Tensor = y + short
        return total


class _Row(nn.Module):
    """A map -> one style row: convolutions of stride 2 down to one pixel, and a linear layer."""

    def __init__(self, inside: int, dim: int, halvings: int) -> None:
        super().__init__()
        pairs = [(inside, dim)] + [(dim, dim)] * (halvings - 1)
        self.convs = nn.ModuleList([nn.Conv2d(a, b, 3, 2, 1) for a, b in pairs])
        self.linear = FullyConnected(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            x = F.leaky_relu(conv(x), 0.01)
        y: Tensor = self.linear(x.flatten(1))
        return y


class PspEncoder(LatentEncoder):
    """E: image -> latents of every row; see the module.

    Args:
        config: the architecture.
        mean_latent: (L, D) that the answers are relative to; None for zeros.
        shown: (1, C, height, width) in [-1, 1], rendering of the mean latent, of an encoder that
            sees a rendering; None for zeros.

    Differs: the image is area-resampled, where the published scripts resample it bilinearly with
        PIL; unknown pixels are set to 0 before the network, which has no channel for the mask. A
        pass that makes an image worse is not kept (`EncoderStart`); ReStyle keeps its last.
    """

    shown: Tensor

    def __init__(
        self,
        config: PspConfig,
        mean_latent: Float[Tensor, "L D"] | None = None,
        shown: Float[Tensor, "1 C h w"] | None = None,
    ) -> None:
        """Build the network; see the class docstring."""
        super().__init__(config, mean_latent)
        c = self.config = config
        self.passes = 5 if c.sees_rendering else 1
        improved, (first, *_, last) = c.trunk == "improved", c.widths
        kernel, stride = (3, 1) if improved else (7, 2)
        given = c.image_channels * (2 if c.sees_rendering else 1)
        conv = nn.Conv2d(given, first, kernel, stride, kernel // 2, bias=False)
        self.stem = nn.Sequential(conv, nn.BatchNorm2d(first), nn.PReLU(first))
        self.groups = nn.ModuleList(_groups(c))
        if c.head in ("pyramid", "last"):
            self.rows = nn.ModuleList([_Row(last, c.dim, n) for n in c.halvings])
        if c.head == "pyramid":
            self.lateral1 = nn.Conv2d(c.widths[2], last, 1)
            self.lateral2 = nn.Conv2d(c.widths[1], last, 1)
        if c.head == "mean":
            self.linear = FullyConnected(last, c.dim)
        if c.head == "flat":
            self.norm = nn.BatchNorm2d(last)
            self.neck = nn.Linear(last * FLAT_SIDE**2, c.dim)
            self.linear = FullyConnected(c.dim, c.dim * c.num_layers)
        if shown is None:
            shown = torch.zeros(1, given - c.image_channels, *c.size)
        self.register_buffer("shown", shown)

    def answer(self, x: Tensor) -> Latents:
        """See `LatentEncoder`: (B, C, h, w) -> (B, L, D)."""
        c = self.config
        fine, middle, coarse = self.maps(x)
        if c.head == "mean":
            one: Tensor = self.linear(coarse.mean((2, 3)))
            return one[:, None].expand(-1, c.num_layers, -1)
        if c.head == "flat":
            pooled = F.adaptive_avg_pool2d(self.norm(coarse), FLAT_SIDE).flatten(1)
            every: Tensor = self.linear(self.neck(pooled)).unflatten(1, (c.num_layers, c.dim))
            return every
        seen = [coarse] * c.num_layers
        if c.head == "pyramid" and c.num_layers > COARSE:
            second = _added(coarse, self.lateral1(middle))
            seen[COARSE:MIDDLE] = [second] * len(seen[COARSE:MIDDLE])
            if c.num_layers > MIDDLE:
                third = _added(second, self.lateral2(fine))
                seen[MIDDLE:] = [third] * len(seen[MIDDLE:])
        each = [row(one) for row, one in zip(self.rows, seen, strict=True)]
        if c.deltas:
            each[1:] = [each[0] + delta for delta in each[1:]]
        return torch.stack(each, dim=1)

    def correct(
        self, latents: Latents, first: Latents, images: Images, rendered: Images, masks: Masks
    ) -> Latents:
        """See `LatentEncoder`: what an encoder that sees a rendering says to add."""
        if not self.config.sees_rendering:
            return super().correct(latents, first, images, rendered, masks)
        x = torch.cat([self._framed(images, masks), self._framed(rendered, masks)], dim=1)
        better: Tensor = latents + self.answer(x).to(latents.dtype)
        return better

    def seen(self, images: Images, masks: Masks) -> Tensor:
        """See `LatentEncoder`: the image at its size, the rendering of the mean beside it."""
        x = self._framed(images, masks)
        return torch.cat([x, self.shown.expand(len(x), -1, -1, -1)], dim=1)

    def maps(self, x: Tensor) -> Sequence[Tensor]:
        """See `LatentEncoder`: the maps after the last three groups of blocks, finest first."""
        x = self.stem(x)
        found = []
        for group in self.groups:
            x = group(x)
            found.append(x)
        return found[1:]

    def _framed(self, images: Images, masks: Masks) -> Tensor:
        height, width = self.config.size
        x = (images * masks).to(self.mean_latent.dtype)
        x = F.interpolate(x, size=(width, width), mode="area")
        above = (width - height) // 2
        return x[:, :, above : above + height]


def _groups(c: PspConfig) -> list[nn.Sequential]:
    """The groups of blocks; the first block of each group halves the size, but "basic"'s first."""
    groups, inside = [], c.widths[0]
    for i, (width, depth) in enumerate(zip(c.widths, c.depths, strict=True)):
        blocks: list[nn.Module] = []
        for j in range(depth):
            start = inside if j == 0 else width
            if c.trunk == "improved":
                blocks.append(_Improved(start, width, 2 if j == 0 else 1, squeeze=c.squeeze))
            else:
                blocks.append(ResidualBlock(start, width, 2 if i and j == 0 else 1))
        groups.append(nn.Sequential(*blocks))
        inside = width
    return groups


def _added(small: Tensor, large: Tensor) -> Tensor:
    """A map at the size of another, by straight lines between corners, added to it."""
    return large + F.interpolate(small, large.shape[2:], mode="bilinear", align_corners=True)
