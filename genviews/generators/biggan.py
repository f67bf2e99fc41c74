"""BigGAN with its latent cut into chunks, one for each block: the generator of BigBiGAN.

    z = (z_0, ..., z_n)    z_0 -> 4x4 map    block i doubles, its norms see (class, z_i)    -> tanh

BigBiGAN has no classes: one vector stands where an embedding would, the same for every image. A
conditional BigGAN of the same code has as many as it has classes.

Source: Brock, Donahue, Simonyan, ICLR 2019, arXiv:1809.11096, App. B; Donahue, Simonyan,
"Large scale adversarial representation learning", NeurIPS 2019, arXiv:1907.02544.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genviews.checks import check_count, check_number, fail
from genviews.generators.biggan_layers import Attention, ClassNorm
from genviews.generators.prior import PriorGenerator
from genviews.types import Images, ImageSpec, Label, Latents

__all__ = ["BigGAN", "BigGANConfig"]


@dataclass(frozen=True, kw_only=True)
class BigGANConfig:
    """The architecture of a BigGAN whose latent is cut into chunks.

    Args:
        channels: of the 4x4 map, then of each block's output; each block doubles the size.
        attention: indices of the blocks after which pixels attend to each other.
        z_dim: width of z, cut evenly into a chunk for the first layer and one for each block.
        class_dim: width of the embedding of a class.
        num_classes: 0 for a generator without classes, such as BigBiGAN's.
        eps: added to the variances of the conditional norms.
        last_eps: added to that of the last norm, which the published code leaves at another value.

    Raises:
        ValueError: a number out of its range.
    """

    channels: tuple[int, ...]
    attention: tuple[int, ...] = ()
    z_dim: int = 120
    class_dim: int = 128
    num_classes: int = 0
    eps: float = 1e-4
    last_eps: float = 1e-5

    def __post_init__(self) -> None:
        if len(self.channels) < 2:
            got, remedy = self.channels, "add those of each block"
            fail("channels", expected="those of two maps at least", got=got, remedy=remedy)
        for width in self.channels:
            check_count(width, "channels")
        for at in self.attention:
            check_count(at, "attention", least=0, most=len(self.channels) - 2)
            check_count(self.channels[at + 1] // 8, "an eighth of the attention's channels")
        check_count(self.z_dim, "z_dim")
        if self.z_dim % len(self.channels):
            expected, remedy = f"a multiple of {len(self.channels)}, the chunks", "change it"
            fail("z_dim", expected=expected, got=self.z_dim, remedy=remedy)
        check_count(self.class_dim, "class_dim")
        check_count(self.num_classes, "num_classes", least=0)
        check_number(self.eps, "eps", above=0)
        check_number(self.last_eps, "last_eps", above=0)

    @property
    def chunk(self) -> int:
        """Width of the part of z that the first layer, and each block, sees."""
        return self.z_dim // len(self.channels)

    @property
    def resolution(self) -> int:
        """Height and width of the images in pixels."""
        return 4 << (len(self.channels) - 1)


class _Norm(nn.Module):
    """Conditional norm, then ReLU."""

    mean: Tensor
    variance: Tensor

    def __init__(self, channels: int, condition: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))
        self.norm = ClassNorm(channels, condition)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        y: Tensor = self.norm(x, condition, self.mean, (self.variance + self.eps).sqrt())
        return y.relu_()


class _Block(nn.Module):
    """Two 3x3 convolutions, each after a norm, and a 1x1 shortcut; doubles the size."""

    def __init__(self, inside: int, out: int, config: BigGANConfig) -> None:
        super().__init__()
        condition = config.class_dim + config.chunk
        self.norm1 = _Norm(inside, condition, config.eps)
        self.norm2 = _Norm(out, condition, config.eps)
        self.conv1 = nn.Conv2d(inside, out, 3, padding=1)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1)
        self.short = nn.Conv2d(inside, out, 1)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        y = F.interpolate(self.norm1(x, condition), scale_factor=2.0, mode="nearest")
        y = self.conv2(self.norm2(self.conv1(y), condition))
        short = F.interpolate(self.short(x), scale_factor=2.0, mode="nearest")
        total: Tensor = y + short  # a 1x1 convolution and doubling by neighbours commute
        return total


class BigGAN(PriorGenerator):
    """A BigGAN generator with chunks of z: latents are z, (B, 1, Z); a class is rendered.

    Args:
        config: the architecture. First weights are those of torch's layers.

    Differs: `psi` scales z; the published code draws z ~ N(0, I) and leaves truncation to its
        users. Norms are those of a network in eval mode, which the published loader leaves to its
        users too.

    Example:
        >>> from genviews import Rng
        >>> g = BigGAN(BigGANConfig(channels=(8, 8, 4), z_dim=6, class_dim=3)).eval()
        >>> g.synthesize(g.map(g.sample(Rng(0).streams([0, 1])))).shape
        torch.Size([2, 3, 16, 16])
    """

    def __init__(self, config: BigGANConfig) -> None:
        """Build the network; see the class docstring."""
        super().__init__()
        self.config = config
        self.set_prior(config.z_dim, config.num_classes)
        r = config.resolution
        self.image_spec = ImageSpec(channels=3, height=r, width=r)
        self.embed = nn.Embedding(max(config.num_classes, 1), config.class_dim)
        self.start = nn.Linear(config.chunk, 16 * config.channels[0])
        pairs = pairwise(config.channels)
        self.blocks = nn.ModuleList([_Block(a, b, config) for a, b in pairs])
        attending = {str(i): Attention(config.channels[i + 1]) for i in sorted(config.attention)}
        self.attention = nn.ModuleDict(attending)
        self.last_norm = nn.BatchNorm2d(config.channels[-1], eps=config.last_eps)
        self.to_image = nn.Conv2d(config.channels[-1], 3, 3, padding=1)

    def synthesize(self, latents: Latents, label: Label | None = None) -> Images:
        """Render z, with its class where there are classes."""
        self.latent_spec.check(latents, batch=True)
        if self.num_classes:
            label = self.check_label(label, len(latents))
        else:
            label = torch.zeros(len(latents), dtype=torch.long, device=self.device)
        shared = self.embed(label)
        first, *chunks = latents[:, 0].to(shared.dtype).split(self.config.chunk, dim=1)
        x = self.start(first).unflatten(1, (-1, 4, 4))
        for i, (block, chunk) in enumerate(zip(self.blocks, chunks, strict=True)):
            x = block(x, torch.cat([shared, chunk], dim=1))
            if str(i) in self.attention:
                x = self.attention[str(i)](x)
        images: Tensor = self.to_image(self.last_norm(x).relu_())
        return images.tanh()
