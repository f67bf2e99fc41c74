"""BigGAN-deep, the class-conditional generator of 128, 256 and 512 pixels.

    (z, embedding of the class) -> 4x4 map -> bottleneck blocks, every second doubles -> tanh

Each block has four batch norms, whose scale and shift are linear in z and class. Their means and
variances were measured at 51 truncations from 0 to 1: `BigGANDeepConfig.truncation` says which are
used. The prior is the user's: `Prior(noise=Normal.fixed_bound(2.0))` is the papers' truncated
normal, `Prior(noise=Normal.scaled_bound(t))` that of the code at truncation t. Latents are z, one
row; the class is given to `synthesize` too.

Source: Brock, Donahue, Simonyan, "Large scale GAN training for high fidelity natural image
synthesis", ICLR 2019, arXiv:1809.11096, App. B; the released weights by Wolf 2019
(pytorch-pretrained-biggan).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genviews.checks import check_count, check_number, fail
from genviews.generators.biggan_layers import Attention, ClassNorm
from genviews.generators.prior import PriorGenerator
from genviews.types import Images, ImageSpec, Label, Latents

__all__ = ["BigGANDeep", "BigGANDeepConfig", "DeepBlock"]

REDUCTION = 4  # of the channels within a block


class DeepBlock(NamedTuple):
    """One block: whether it doubles the size, and its channels."""

    up: bool
    inside: int
    out: int


@dataclass(frozen=True, kw_only=True)
class BigGANDeepConfig:
    """The architecture of a BigGAN-deep.

    Args:
        blocks: in the order of computation, see `DeepBlock`; a block keeps or halves its channels.
        attention: index of the block before which pixels attend to each other; None: nowhere.
        z_dim: width of z.
        class_dim: width of the embedding of a class.
        num_classes: Y.
        statistics: truncations at which the batch norms were measured, evenly from 0 to 1.
        truncation: whose means and variances are used, in (0, 1].
        eps: added to the variances.

    Raises:
        ValueError: a number out of its range, or blocks that do not follow each other.
    """

    blocks: tuple[tuple[bool, int, int], ...]
    attention: int | None = None
    z_dim: int = 128
    class_dim: int = 128
    num_classes: int = 1000
    statistics: int = 51
    truncation: float = 1.0
    eps: float = 1e-4

    def __post_init__(self) -> None:
        blocks = self.parts
        check_count(len(blocks), "number of blocks")
        follow = all(a.out == b.inside for a, b in pairwise(blocks))
        if not follow or not all(b.out in (b.inside, b.inside // 2) for b in blocks):
            expected = "blocks that keep or halve the channels of the one before"
            fail("blocks", expected=expected, got=blocks, remedy="change the channels")
        for block in blocks:
            check_count(block.inside // REDUCTION, "a quarter of a block's channels")
        if self.attention is not None:
            check_count(self.attention, "attention", least=0, most=len(blocks) - 1)
            check_count(blocks[self.attention].inside // 8, "an eighth of the attention's channels")
        for name in ("z_dim", "class_dim", "num_classes"):
            check_count(getattr(self, name), name)
        check_count(self.statistics, "statistics", least=2)
        check_number(self.truncation, "truncation", above=0, most=1)
        check_number(self.eps, "eps", above=0)

    @property
    def parts(self) -> tuple[DeepBlock, ...]:
        """The blocks by the names of their parts."""
        return tuple(DeepBlock(*block) for block in self.blocks)

    @property
    def resolution(self) -> int:
        """Height and width of the images in pixels."""
        return 4 << sum(block.up for block in self.parts)


class Statistics(nn.Module):
    """Means and variances of C channels at each of the measured truncations."""

    means: Tensor
    variances: Tensor

    def __init__(self, config: BigGANDeepConfig, channels: int) -> None:
        """Buffers `means` and `variances`, (statistics, C)."""
        super().__init__()
        self.truncation, self.eps = config.truncation, config.eps
        self.register_buffer("means", torch.zeros(config.statistics, channels))
        self.register_buffer("variances", torch.ones(config.statistics, channels))

    def forward(self) -> tuple[Tensor, Tensor]:
        """(C,) means and deviations of the truncation.

        Between two measured ones the published code takes the share of the nearer for the farther;
        what its users render, and what is rendered here, has these weights.
        """
        share, at = math.modf(self.truncation / (1.0 / (len(self.means) - 1)))
        row = int(at)
        mean, variance = self.means[row], self.variances[row]
        if share:
            mean = mean * share + self.means[row + 1] * (1.0 - share)
            variance = variance * share + self.variances[row + 1] * (1.0 - share)
        return mean, (variance + self.eps).sqrt()


class _Norm(nn.Module):
    """Conditional norm by the statistics of the truncation, then ReLU."""

    def __init__(self, config: BigGANDeepConfig, channels: int) -> None:
        super().__init__()
        self.statistics = Statistics(config, channels)
        self.norm = ClassNorm(channels, config.z_dim + config.class_dim)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        mean, deviation = self.statistics()
        y: Tensor = self.norm(x, condition, mean, deviation)
        return y.relu_()


class _Block(nn.Module):
    """1x1, 3x3, 3x3, 1x1 convolutions at a quarter of the channels, each after a norm."""

    def __init__(self, config: BigGANDeepConfig, block: DeepBlock) -> None:
        super().__init__()
        self.up, self.out = block.up, block.out
        middle = block.inside // REDUCTION
        widths = (block.inside, middle, middle, middle)
        self.norms = nn.ModuleList([_Norm(config, width) for width in widths])
        outs = zip(widths, (middle, middle, middle, block.out), (1, 3, 3, 1), strict=True)
        self.convs = nn.ModuleList([nn.Conv2d(a, b, k, padding=k // 2) for a, b, k in outs])

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        y = x
        for i, (norm, conv) in enumerate(zip(self.norms, self.convs, strict=True)):
            y = norm(y, condition)
            if i == 1 and self.up:
                y = F.interpolate(y, scale_factor=2.0, mode="nearest")
            y = conv(y)
        x = x[:, : self.out]  # the shortcut of a block that halves is the first half
        if self.up:
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
        return x + y


class BigGANDeep(PriorGenerator):
    """A BigGAN-deep generator: latents are z, (B, 1, Z), and the class is rendered.

    Args:
        config: the architecture. First weights are those of torch's layers.

    Differs: `psi` scales z, so that `psi` = t is the truncation of the released code, which
        multiplies a normal within 2 deviations by t; the statistics stay those of
        `config.truncation`. Of the last convolution, which has as many outputs as inputs, the three
        that are used are kept.

    Example:
        >>> from genviews import Rng
        >>> config = BigGANDeepConfig(blocks=((False, 16, 16), (True, 16, 8)), num_classes=3)
        >>> g, label = BigGANDeep(config).eval(), torch.tensor([0, 2])
        >>> g.synthesize(g.map(g.sample(Rng(0).streams([0, 1])), label), label).shape
        torch.Size([2, 3, 8, 8])
    """

    def __init__(self, config: BigGANDeepConfig) -> None:
        """Build the network; see the class docstring."""
        super().__init__()
        self.config = config
        self.set_prior(config.z_dim, config.num_classes)
        r = config.resolution
        self.image_spec = ImageSpec(channels=3, height=r, width=r)
        first, last = config.parts[0].inside, config.parts[-1].out
        self.embed = nn.Embedding(config.num_classes, config.class_dim)
        self.start = nn.Linear(config.z_dim + config.class_dim, 16 * first)
        self.blocks = nn.ModuleList([_Block(config, block) for block in config.parts])
        at = config.attention
        self.attention = None if at is None else Attention(config.parts[at].inside)
        self.statistics = Statistics(config, last)
        self.scale = nn.Parameter(torch.ones(last))
        self.shift = nn.Parameter(torch.zeros(last))
        self.to_image = nn.Conv2d(last, 3, 3, padding=1)

    def synthesize(self, latents: Latents, label: Label | None = None) -> Images:
        """Render z with its class, by the statistics of `config.truncation`."""
        self.latent_spec.check(latents, batch=True)
        label = self.check_label(label, len(latents))
        z = latents[:, 0].to(self.start.weight.dtype)
        condition = torch.cat([z, self.embed(label)], dim=1)
        # The released weights put the 4x4 pixels first and the channels last.
        x = self.start(condition).unflatten(1, (4, 4, -1)).permute(0, 3, 1, 2)
        for i, block in enumerate(self.blocks):
            if i == self.config.attention and self.attention is not None:
                x = self.attention(x)
            x = block(x, condition)
        mean, deviation = self.statistics()
        gain = self.scale / deviation
        x = torch.addcmul((self.shift - mean * gain)[:, None, None], x, gain[:, None, None])
        images: Tensor = self.to_image(x.relu_())
        return images.tanh()
