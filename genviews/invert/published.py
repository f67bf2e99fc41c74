"""The encoders of two published inversions, each made for one generator.

    ResNetEncoder     Chai et al. 2021: image and mask -> ResNet-34 -> mean over pixels -> latents
    InDomainEncoder   Zhu et al. 2020: image -> residual blocks, halved between -> linear -> latents

Source: Chai et al., CVPR 2021, arXiv:2104.14551, Sec. 3.1, its encoder after Chai et al., "Using
latent space regression to analyze and leverage compositionality in GANs", ICLR 2021,
arXiv:2103.10426; Zhu et al., "In-domain GAN inversion for real image editing", ECCV 2020,
arXiv:2004.00049.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from genviews.checks import check_count, fail
from genviews.generators.modulation import SLOPE
from genviews.invert.encoder import LatentEncoder, ResidualBlock
from genviews.types import Images, Latents, Masks

__all__ = ["InDomainConfig", "InDomainEncoder", "ResNetEncoder", "ResNetEncoderConfig"]


@dataclass(frozen=True, kw_only=True)
class ResNetEncoderConfig:
    """The architecture of a `ResNetEncoder`.

    Args:
        num_layers: L, style rows of the generator.
        dim: D, latent width.
        image_channels: of the image.
        takes_mask: the mask is one more channel of the input.
        size: height and width in pixels of what the network sees; images are area-resampled to it.
        widths: channels of the groups of blocks.
        depths: blocks of each group.
    """

    num_layers: int
    dim: int = 512
    image_channels: int = 3
    takes_mask: bool = True
    size: int = 256
    widths: tuple[int, ...] = (64, 128, 256, 512)
    depths: tuple[int, ...] = (3, 4, 6, 3)

    def __post_init__(self) -> None:
        for name in ("num_layers", "dim", "image_channels", "size"):
            check_count(getattr(self, name), f"{name} of the encoder config")
        for count in (*self.widths, *self.depths):
            check_count(count, "widths and depths of the encoder config")
        _check_as_many(self.widths, self.depths)


def _check_as_many(widths: Sequence[int], depths: Sequence[int]) -> None:
    if not widths or len(widths) != len(depths):
        got = f"widths={tuple(widths)}, depths={tuple(depths)}"
        expected = "as many `depths` as `widths`"
        fail("encoder config", expected=expected, got=got, remedy="change them")


class ResNetEncoder(LatentEncoder):
    """E: (image, mask) -> latents of every row, the encoder of Chai et al. 2021.

    Args:
        config: the architecture.
        mean_latent: (L, D) that the answers are relative to; None for zeros, as published.

    Differs: unknown pixels are set to 0 here; the published code does so in training, and trusts
        its caller afterwards.
    """

    def __init__(
        self, config: ResNetEncoderConfig, mean_latent: Float[Tensor, "L D"] | None = None
    ) -> None:
        """Build the network; see the class docstring."""
        super().__init__(config, mean_latent)
        c, inside = config, config.widths[0]
        given = c.image_channels + int(c.takes_mask)
        conv = nn.Conv2d(given, inside, 7, 2, 3, bias=False)
        self.stem = nn.Sequential(conv, nn.BatchNorm2d(inside), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        groups = []
        for i, (width, depth) in enumerate(zip(c.widths, c.depths, strict=True)):
            blocks = [ResidualBlock(inside, width, 2 if i else 1)]
            blocks += [ResidualBlock(width, width, 1) for _ in range(depth - 1)]
            groups.append(nn.Sequential(*blocks))
            inside = width
        self.groups = nn.ModuleList(groups)
        self.read_out = nn.Conv2d(inside, c.num_layers * c.dim, 1)

    def seen(self, images: Images, masks: Masks) -> Tensor:
        """See `LatentEncoder`."""
        x = images * masks
        if self.config.takes_mask:
            x = torch.cat([x, masks], dim=1)
        return F.interpolate(x, size=(self.config.size, self.config.size), mode="area")

    def maps(self, x: Tensor) -> Sequence[Tensor]:
        """See `LatentEncoder`: after the stem and after each group of blocks."""
        found = [self.stem(x)]
        for group in self.groups:
            found.append(group(found[-1]))
        return found

    def answer(self, x: Tensor) -> Latents:
        """See `LatentEncoder`."""
        # A 1x1 convolution and the mean over pixels commute.
        mean = self.maps(x)[-1].mean((2, 3), keepdim=True)
        flat = self.read_out(mean).flatten(1)
        latents: Tensor = flat.unflatten(1, self.mean_latent.shape)
        return latents


@dataclass(frozen=True, kw_only=True)
class InDomainConfig:
    """The architecture of an `InDomainEncoder`.

    Args:
        num_layers: L, style rows of the generator.
        dim: D, latent width.
        image_channels: of the image.
        widths: channels after the first layer and after each residual block, the last at 4 pixels;
            each block but the first works at half the size of the one before.
        normalised: batch norms after each convolution and after the last layer.
    """

    num_layers: int
    dim: int = 512
    image_channels: int = 3
    widths: tuple[int, ...] = (64, 128, 256, 512, 1024, 1024, 1024)
    normalised: bool = True

    def __post_init__(self) -> None:
        for name in ("num_layers", "dim", "image_channels"):
            check_count(getattr(self, name), f"{name} of the encoder config")
        for count in self.widths:
            check_count(count, "widths of the encoder config")
        _check_as_many(self.widths, self.widths)

    @property
    def size(self) -> int:
        """Height and width in pixels of what the network sees."""
        return 4 << (len(self.widths) - 1)


class _Convolution(nn.Module):
    """A convolution with a bias or without, a batch norm or none, leaky ReLU."""

    def __init__(self, inside: int, out: int, kernel: int, *, bias: bool, norm: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inside, out, kernel, padding=kernel // 2, bias=bias)
        self.norm = nn.BatchNorm2d(out) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.norm(self.conv(x)), SLOPE)


class _Residual(nn.Module):
    """Two 3x3 convolutions by way of the fewer channels, and a shortcut that may be one too."""

    def __init__(self, inside: int, out: int, *, norm: bool) -> None:
        super().__init__()
        hidden = min(inside, out)
        self.conv1 = _Convolution(inside, hidden, 3, bias=True, norm=norm)
        self.conv2 = _Convolution(hidden, out, 3, bias=True, norm=norm)
        self.short: nn.Module = nn.Identity()
        if inside != out:
            self.short = _Convolution(inside, out, 1, bias=False, norm=norm)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv2(self.conv1(x)) + self.short(x)
        return y


class InDomainEncoder(LatentEncoder):
    """E: image -> latents of every row, the encoder of Zhu et al. 2020.

    Args:
        config: the architecture.
        mean_latent: (L, D) that the answers are relative to; None for zeros, as published.

    Differs: images of another size are area-resampled, where the published code takes OpenCV's
        bilinear; unknown pixels are set to 0, and the network has no channel for the mask.
    """

    def __init__(
        self, config: InDomainConfig, mean_latent: Float[Tensor, "L D"] | None = None
    ) -> None:
        """Build the network; see the class docstring."""
        super().__init__(config, mean_latent)
        c = config
        self.first = _Convolution(c.image_channels, c.widths[0], 3, bias=False, norm=c.normalised)
        pairs = pairwise(c.widths)
        self.blocks = nn.ModuleList([_Residual(a, b, norm=c.normalised) for a, b in pairs])
        self.weight = nn.Parameter(torch.randn(c.num_layers * c.dim, 16 * c.widths[-1]))
        self.norm = nn.BatchNorm1d(len(self.weight)) if c.normalised else nn.Identity()
        self.gain = 1 / math.sqrt(16 * c.widths[-1])

    def seen(self, images: Images, masks: Masks) -> Tensor:
        """See `LatentEncoder`."""
        size = self.config.size
        return F.interpolate(images * masks, size=(size, size), mode="area")

    def maps(self, x: Tensor) -> Sequence[Tensor]:
        """See `LatentEncoder`: after the first layer and after each block."""
        found = [self.first(x)]
        for block in self.blocks:
            found.append(block(F.avg_pool2d(found[-1], 2)))
        return found

    def answer(self, x: Tensor) -> Latents:
        """See `LatentEncoder`."""
        flat = self.maps(x)[-1].flatten(1)
        read = self.norm(F.linear(flat, self.weight * self.gain))
        latents: Tensor = read.unflatten(1, self.mean_latent.shape)
        return latents
