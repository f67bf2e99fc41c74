"""Encoders of an inversion: image and mask in, a latent for every style row out.

One gives the optimisation a start that is already close, and its early features serve as a
perceptual distance that no label has touched. `InversionEncoder` is ours, a residual network that
`genviews.invert.encoder_training` trains for any generator; those that others published are leaves
of `LatentEncoder` too (`genviews.invert.encoders`).

Source: Chai et al. 2021, Sec. 3.1 (an encoder on RGB and mask).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from genviews.checks import check_count, fail
from genviews.generators.base import Generator
from genviews.types import (
    Images,
    Latents,
    Masks,
    check_floats,
    check_masks,
    check_shape,
    check_tensor,
)
from genviews.weights import load_network, save_network

__all__ = ["EncoderConfig", "InversionEncoder", "LatentEncoder", "ResidualBlock"]


class LatentEncoder(nn.Module, ABC):
    """E: (image, mask) -> latents of every row; a leaf says what it sees, and what it answers.

    Args:
        config: frozen dataclass with `image_channels`, `num_layers` L and `dim` D among its fields.
        mean_latent: (L, D) that the answers are relative to; None for zeros.

    Attributes:
        passes: how often it looks where nothing else is said, see `EncoderStart`.
    """

    mean_latent: Tensor
    passes: int = 1

    def __init__(
        self,
        config: Any,  # noqa: ANN401 (one of several dataclasses)
        mean_latent: Float[Tensor, "L D"] | None = None,
    ) -> None:
        """See the class docstring."""
        super().__init__()
        self.config = config
        if mean_latent is None:
            mean_latent = torch.zeros(config.num_layers, config.dim)
        own = mean_latent.detach().to(torch.get_default_dtype(), copy=True)  # not half or double
        self.register_buffer("mean_latent", own)

    @abstractmethod
    def seen(self, images: Images, masks: Masks) -> Tensor:
        """What the network takes, in its own float type; unknown pixels must not reach it."""

    @abstractmethod
    def maps(self, x: Tensor) -> Sequence[Tensor]:
        """Feature maps of what was seen, finest first."""

    @abstractmethod
    def answer(self, x: Tensor) -> Latents:
        """Latents of what was seen, relative to `mean_latent`."""

    def forward(self, images: Images, masks: Masks | None = None) -> Latents:
        """Estimate latents; `masks` is 1 where a pixel is known, None where all are.

        Images of another float type than the weights are converted, and the latents back.
        """
        answer = self.answer(self._seen(images, masks))
        return (self.mean_latent + answer).to(images.dtype)

    def features(self, images: Images, masks: Masks | None = None) -> Sequence[Tensor]:
        """Feature maps of images, finest first."""
        return self.maps(self._seen(images, masks))

    def correct(
        self, latents: Latents, first: Latents, images: Images, rendered: Images, masks: Masks
    ) -> Latents:
        """Better latents, by what the encoder sees in the rendering of those so far.

        Args:
            latents: so far.
            first: what it answered to the images.
            images: wanted.
            rendered: from `latents`.
            masks: of both.
        """
        again: Latents = self(rendered, masks)
        return latents + first - again

    def _seen(self, images: Images, masks: Masks | None) -> Tensor:
        remedy = "use an encoder that was trained for this generator"
        check_shape(
            check_floats(images, "images"),
            ("B", self.config.image_channels, "H", "W"),
            "images",
            remedy,
        )
        known = images.new_ones(images[:, :1].shape) if masks is None else masks
        check_masks(check_tensor(known, "masks"), len(images), images.shape[2:])
        return self.seen(images.to(self.mean_latent.dtype), known.to(self.mean_latent.dtype))

    def __describe__(self) -> dict[str, object]:
        """Its architecture."""
        return {"config": self.config}

    def save(self, path: str | Path) -> None:
        """Write weights and config to one safetensors file, atomically."""
        save_network(path, self, type(self).__name__, asdict(self.config))


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """The architecture of an `InversionEncoder`.

    Args:
        image_channels: channels of the image; the mask adds one.
        size: height and width in pixels of what the network sees; images are area-resampled to it.
        num_layers: L, style rows of the generator.
        dim: D, latent width.
        widths: channels of the stages; each halves the size, which must be divisible by 2^stages.
        blocks: residual blocks of each stage.
        neck: channels flattened into the last linear layer. A spatial read-out: with the global
            average of the paper's encoder, an image and its shifted copy would share latents.
    """

    image_channels: int
    size: int
    num_layers: int
    dim: int
    widths: tuple[int, ...] = (32, 64, 128)
    blocks: tuple[int, ...] = (1, 2, 2)
    neck: int = 64

    def __post_init__(self) -> None:
        for name in ("image_channels", "size", "num_layers", "dim", "neck"):
            check_count(getattr(self, name), f"{name} of the encoder config")
        for count in (*self.widths, *self.blocks):
            check_count(count, "widths and blocks of the encoder config")
        if (
            not self.widths
            or len(self.widths) != len(self.blocks)
            or self.size % 2 ** len(self.widths)
        ):
            fail(
                "encoder config",
                expected="as many `blocks` as `widths`, and a `size` divisible by 2^stages",
                got=f"widths={self.widths}, blocks={self.blocks}, size={self.size}",
                remedy="change the stages",
            )

    @classmethod
    def for_generator(
        cls, generator: Generator, *, widths: tuple[int, ...] | None = None, size: int | None = None
    ) -> EncoderConfig:
        """A config whose input and output fit `generator`.

        Args:
            generator: gives the shapes.
            widths: channels of the stages; None makes one stage for each halving down to 4 pixels.
            size: pixels that the network works at; None takes the image's, at most 256.
        """
        spec, latent = generator.image_spec, generator.latent_spec
        side = min(max(spec.height, spec.width), 256) if size is None else size
        if widths is None:
            stages = max(side.bit_length() - 3, 1)
            widths = tuple(min(32 * 2**i, 512) for i in range(stages))
        return cls(
            image_channels=spec.channels,
            size=side,
            num_layers=latent.num_layers,
            dim=latent.dim,
            widths=widths,
            blocks=(1,) + (2,) * (len(widths) - 1),
        )


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch norm and a shortcut (He et al. 2016)."""

    def __init__(self, inside: int, out: int, stride: int) -> None:
        """`stride` is that of the first convolution, and of the shortcut."""
        super().__init__()
        self.conv1 = nn.Conv2d(inside, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.short = None
        if stride != 1 or inside != out:
            self.short = nn.Sequential(
                nn.Conv2d(inside, out, 1, stride, bias=False), nn.BatchNorm2d(out)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, h, w) -> (N, out, h / stride, w / stride)."""
        y = F.relu_(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu_(y + (x if self.short is None else self.short(x)))


class InversionEncoder(LatentEncoder):
    """E: (image, mask) -> latents of every row.

    Args:
        config: the architecture.
        mean_latent: (L, D) added to the output, so that an untrained encoder answers near the mean.

    Differs: Chai et al. use a ResNet-34 at 256 pixels with a global average at the end; here depth
        and width fit the generator, the read-out is spatial, and unknown pixels are set to 0 before
        the network.
    """

    def __init__(
        self, config: EncoderConfig, mean_latent: Float[Tensor, "L D"] | None = None
    ) -> None:
        """Build the network; see the class docstring."""
        super().__init__(config, mean_latent)
        # Never below 8: oneDNN (torch 2.14, CPU) crashes in the backward pass of 4-channel layers.
        inside = max(config.widths[0] // 2, 8)
        self.stem = nn.Sequential(
            nn.Conv2d(config.image_channels + 1, inside, 3, 1, 1, bias=False),
            nn.BatchNorm2d(inside),
            nn.ReLU(),
        )
        stages: list[nn.Module] = []
        for width, blocks in zip(config.widths, config.blocks, strict=True):
            layers = [ResidualBlock(inside, width, 2)]
            layers += [ResidualBlock(width, width, 1) for _ in range(blocks - 1)]
            stages.append(nn.Sequential(*layers))
            inside = width
        self.stages = nn.ModuleList(stages)
        side = config.size // 2 ** len(config.widths)
        self.neck = nn.Conv2d(inside, config.neck, 1)
        self.read_out = nn.Linear(config.neck * side * side, config.num_layers * config.dim)
        nn.init.normal_(self.read_out.weight, std=0.02)
        nn.init.zeros_(self.read_out.bias)

    def seen(self, images: Images, masks: Masks) -> Tensor:
        """See `LatentEncoder`: the image where it is known, and the mask, at the config's size."""
        size = self.config.size
        x = torch.cat([images * masks, masks], dim=1)
        if x.shape[-2:] != (size, size):
            x = F.interpolate(x, size=(size, size), mode="area")
        return x

    def maps(self, x: Tensor) -> Sequence[Tensor]:
        """See `LatentEncoder`: after the stem and after each stage."""
        x = self.stem(x.contiguous(memory_format=torch.channels_last))
        found = [x]
        for stage in self.stages:
            found.append(stage(found[-1]))
        return found

    def answer(self, x: Tensor) -> Latents:
        """See `LatentEncoder`."""
        x = F.leaky_relu(self.neck(self.maps(x)[-1]), 0.2).flatten(1)
        latents: Tensor = self.read_out(x).unflatten(1, self.mean_latent.shape)
        return latents

    @classmethod
    def load(cls, path: str | Path) -> InversionEncoder:
        """Read a file that `save` wrote; the encoder is in eval mode and frozen.

        Raises:
            ValueError: not such a file, or weights that do not fit its config.
        """

        def make(given: dict[str, Any]) -> InversionEncoder:
            return cls(EncoderConfig(**given))

        return load_network(path, cls.__name__, make).requires_grad_(False)
