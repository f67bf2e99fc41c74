"""R3GAN in plain PyTorch: residual stages on a learned 4 x 4 basis, no normalisation, no style.

    x = basis * linear([z, class])        stage: 1x1, up x2, residual blocks        image = 1x1

A block adds W3 phi(W2 phi(W1 x + b1) + b2), with W2 in groups and phi a leaky ReLU. The image has
no bound: what training learned keeps it near [-1, 1].

Source: Huang et al., "The GAN is dead; long live the GAN! A modern baseline GAN", NeurIPS 2024,
arXiv 2501.05441, Sec. 4 and appendix.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genviews.checks import check_count, check_each
from genviews.generators.layers import UpsampleImage, check_taps
from genviews.generators.prior import PriorGenerator
from genviews.types import Images, ImageSpec, Label, Latents

__all__ = ["R3GAN", "R3GANConfig"]

_SLOPE = 0.2
_MOST_STAGES, _MOST_BLOCKS = 10, 100


@dataclass(frozen=True, kw_only=True)
class R3GANConfig:
    """The architecture of an R3GAN.

    Args:
        widths: channels of each stage; the first is 4 pixels high, each next one twice that.
        groups: of the grouped convolutions of each stage.
        blocks: number of residual blocks of each stage.
        z_dim: width of the prior latent.
        c_dim: number of classes; 0 for an unconditional generator.
        class_width: width of the embedding of classes, 0 without classes.
        img_channels: C, 1 to 4.
        expansion: channels within a block over those between them.
        kernel: width of the grouped convolutions, odd.
        resample_filter: 1-D low-pass filter of the up-sampling.

    Raises:
        ValueError: a size out of range, or lists of different lengths.
    """

    widths: tuple[int, ...]
    groups: tuple[int, ...]
    blocks: tuple[int, ...]
    z_dim: int = 64
    c_dim: int = 0
    class_width: int = 0
    img_channels: int = 3
    expansion: int = 2
    kernel: int = 3
    resample_filter: tuple[float, ...] = (1.0, 3.0, 3.0, 1.0)

    def __post_init__(self) -> None:
        check_count(len(self.widths), "stages", most=_MOST_STAGES)
        for name in ("z_dim", "expansion", "kernel"):
            check_count(getattr(self, name), name)
        check_count(self.img_channels, "img_channels", most=4)
        check_count(self.c_dim, "c_dim", least=0)
        check_count(self.class_width, "class_width", least=1 if self.c_dim else 0)
        remedy = "give one number for each stage"
        for name in ("groups", "blocks"):
            check_each(getattr(self, name), len(self.widths), name, "stage", remedy)
        for width, groups, blocks in zip(self.widths, self.groups, self.blocks, strict=True):
            check_count(width, "width of a stage")
            check_count(blocks, "blocks of a stage", least=0, most=_MOST_BLOCKS)
            check_count(groups, "groups of a stage", most=width * self.expansion)
        check_taps(self.resample_filter, "use (1, 3, 3, 1)")

    @property
    def resolution(self) -> int:
        """Height and width of the images."""
        return int(4 * 2 ** (len(self.widths) - 1))


class Block(nn.Module):
    """x + W3 phi(W2 phi(W1 x + b1) + b2)."""

    def __init__(self, config: R3GANConfig, width: int, groups: int) -> None:
        """Layout: `conv1`, `conv2` (grouped), `conv3`, and `bias1`, `bias2`."""
        super().__init__()
        inner = width * config.expansion
        # As in training from scratch: the sum over all blocks has the variance of one.
        gain = math.sqrt(2 / (1 + _SLOPE**2)) * max(sum(config.blocks), 1) ** -0.25
        self.conv1 = _conv(width, inner, 1, gain)
        self.conv2 = _conv(inner, inner, config.kernel, gain, groups)
        self.conv3 = _conv(inner, width, 1, 0.0)
        self.bias1 = nn.Parameter(torch.zeros(inner))
        self.bias2 = nn.Parameter(torch.zeros(inner))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, C, h, w)."""
        y = F.leaky_relu(F.conv2d(x, self.conv1.weight, self.bias1), _SLOPE)
        padding, groups = self.conv2.padding, self.conv2.groups
        y = F.conv2d(y, self.conv2.weight, self.bias2, padding=padding, groups=groups)
        out: Tensor = x + self.conv3(F.leaky_relu(y, _SLOPE))
        return out


def _conv(inputs: int, outputs: int, kernel: int, gain: float, groups: int = 1) -> nn.Conv2d:
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, groups=groups, bias=False)
    nn.init.normal_(conv.weight, std=gain / math.sqrt(conv.weight[0].numel()))
    return conv


class Stage(nn.Module):
    """Twice the size of the stage before, other channels where they differ, and blocks."""

    def __init__(self, config: R3GANConfig, index: int) -> None:
        """Layout: `narrow`, where the width changes, and `blocks`."""
        super().__init__()
        width, before = config.widths[index], config.widths[max(index - 1, 0)]
        self.narrow = _conv(before, width, 1, 1.0) if width != before else nn.Identity()
        self.grow = UpsampleImage(config.resample_filter) if index else nn.Identity()
        blocks = (Block(config, width, config.groups[index]) for _ in range(config.blocks[index]))
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C', h, w) -> (N, C, 2h, 2w); the first stage keeps the size."""
        y: Tensor = self.blocks(self.grow(self.narrow(x)))
        return y


class R3GAN(PriorGenerator):
    """An R3GAN generator in z space.

    Args:
        config: the architecture. Weights start as in training from scratch: seed torch's global
            generator.

    Differs: single precision in every stage; the release has bfloat16 in the last ones, which its
        weights carry to each machine.

    Example:
        >>> from genviews import Rng
        >>> g = R3GAN(R3GANConfig(widths=(8, 8, 4), groups=(4, 2, 1), blocks=(1, 1, 1), z_dim=6))
        >>> g.synthesize(g.map(g.sample(Rng(0).streams([0, 1])))).shape
        torch.Size([2, 3, 16, 16])
    """

    def __init__(self, config: R3GANConfig) -> None:
        """Build the network; see the class docstring."""
        super().__init__()
        self.config = config
        self.set_prior(config.z_dim, config.c_dim)
        size = config.resolution
        self.image_spec = ImageSpec(channels=config.img_channels, height=size, width=size)
        width = config.widths[0]
        self.basis = nn.Parameter(torch.randn(width, 4, 4))
        self.linear = nn.Linear(config.z_dim + config.class_width, width, bias=False)
        if config.c_dim:
            self.embedding = nn.Linear(config.c_dim, config.class_width, bias=False)
        self.stages = nn.Sequential(*(Stage(config, i) for i in range(len(config.widths))))
        self.to_image = _conv(config.widths[-1], config.img_channels, 1, 1.0)

    def synthesize(self, latents: Latents, label: Label | None = None) -> Images:
        """Render z, of a class where there are classes."""
        self.latent_spec.check(latents, batch=True)
        label = self.check_label(label, len(latents))
        given = latents[:, 0].to(self.basis.dtype)
        if label is not None:
            given = torch.cat([given, self.embedding.weight.t()[label]], dim=1)
        x = self.basis * self.linear(given)[..., None, None]
        images: Tensor = self.to_image(self.stages(x))
        return images
