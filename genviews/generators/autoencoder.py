"""An autoencoder of diffusers as a generator: the decoder is it, and the encoder inverts it.

    z (1, C h w) = s (latents - m) -> decode(z / s + m) -> image in [-1, 1]

s and m are those of its config: `scaling_factor` and `shift_factor`, or a mean and a deviation of
each channel. So scaled, latents of pictures have about unit variance, which is what z is drawn
with. A picture of that prior is none that the autoencoder was trained on: it is there to be
inverted, and its views are views of given images.

Source: Rombach et al. 2022, arXiv 2112.10752, Sec. 3.1 and App. G (the scale of the latents);
github.com/huggingface/diffusers (Apache 2.0) for the meaning of the config; TAESD,
github.com/madebyollin/taesd (MIT).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from genviews.checks import check_count, fail
from genviews.generators.prior import PriorGenerator
from genviews.types import Images, ImageSpec, Label, Latents

__all__ = ["AutoencoderGenerator", "Decoder", "decoded", "decoder_of", "encoded"]

# Pixels of an image where the config names no size: what both were trained for.
_SIZE = 512
# Side of the latents that are decoded once, to see how large an image becomes.
_SIDE = 4


class AutoencoderGenerator(PriorGenerator):
    """The decoder of an autoencoder, in z space: z is the latents (C, h, w) as one row.

    Args:
        autoencoder: `AutoencoderKL` or `AutoencoderTiny` of diffusers, or a module with their
            `config`, `encode` and `decode`; in eval mode.
        resolution: pixels of a side of the images; None takes that of the config, or 512.

    Attributes:
        autoencoder: see `Args`.
        cells: (C, h, w) of the latents.

    Raises:
        ValueError: a resolution that is no multiple of what a latent becomes.
    """

    def __init__(self, autoencoder: Any, resolution: int | None = None) -> None:  # noqa: ANN401 (a class of diffusers)
        """See the class docstring."""
        super().__init__()
        self.autoencoder = autoencoder
        size = autoencoder.config.get("sample_size") or _SIZE if resolution is None else resolution
        decoder = decoder_of(autoencoder)
        self.cells = decoder.cells(size)
        self.image_spec = decoder.images(self.cells)
        self.set_prior(math.prod(self.cells), 0)
        self.notes = ("z is the latents of an autoencoder, whose samples are no pictures",)

    def synthesize(self, latents: Latents, label: Label | None = None) -> Images:
        """Decode."""
        self.latent_spec.check(latents, batch=True)
        self.check_label(label, len(latents))
        z = latents[:, 0].unflatten(1, self.cells)
        return decoded(self.autoencoder, self.place(z))


class Decoder(NamedTuple):
    """Sizes of the decoder of an autoencoder.

    Args:
        latent_channels: of a latent.
        factor: pixels that a side of a latent becomes.
        image_channels: of an image.
    """

    latent_channels: int
    factor: int
    image_channels: int

    def cells(self, resolution: int) -> tuple[int, int, int]:
        """Return the shape (C, h, w) of the latents of square images.

        Raises:
            ValueError: no multiple of `factor`.
        """
        rest = check_count(resolution, "resolution of the images") % self.factor
        if rest:
            expected = f"a multiple of {self.factor}, the pixels that a latent becomes"
            remedy = f"take {max(resolution - rest, self.factor)}"
            fail("resolution of the images", expected=expected, got=resolution, remedy=remedy)
        return (self.latent_channels, resolution // self.factor, resolution // self.factor)

    def images(self, cells: tuple[int, int, int]) -> ImageSpec:
        """Return the spec of the images of latents of a shape (C, h, w)."""
        height, width = (side * self.factor for side in cells[1:])
        return ImageSpec(channels=self.image_channels, height=height, width=width)


@torch.no_grad()
def decoder_of(autoencoder: Any) -> Decoder:  # noqa: ANN401 (a class of diffusers)
    """Return the sizes of an autoencoder's decoder: a small latent is decoded to see them."""
    channels = int(autoencoder.config["latent_channels"])
    first = next(autoencoder.parameters())
    image = decoded(autoencoder, first.new_zeros(1, channels, _SIDE, _SIDE))
    return Decoder(channels, image.shape[2] // _SIDE, image.shape[1])


def decoded(autoencoder: Any, z: Tensor) -> Images:  # noqa: ANN401 (a class of diffusers)
    """Return the images (B, C, H, W) of scaled latents (B, c, h, w)."""
    mean, deviation = _scale(autoencoder.config, z)
    images: Tensor = autoencoder.decode(z * deviation + mean, return_dict=False)[0]
    return images


def encoded(autoencoder: Any, images: Images) -> Tensor:  # noqa: ANN401 (a class of diffusers)
    """Return the scaled latents (B, c, h, w) of images; of a distribution, where it is densest."""
    found = autoencoder.encode(images, return_dict=False)[0]
    latents: Tensor = found if isinstance(found, Tensor) else found.mode()
    mean, deviation = _scale(autoencoder.config, latents)
    return (latents - mean) / deviation


def _scale(config: Mapping[str, Any], like: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of the latents, (1,) or (C, 1, 1)."""
    scaling = like.new_tensor([config.get("scaling_factor") or 1.0])
    if config.get("latents_mean") is not None and config.get("latents_std") is not None:
        mean, deviation = (like.new_tensor(config[f"latents_{k}"]) for k in ("mean", "std"))
        return mean.reshape(-1, 1, 1), deviation.reshape(-1, 1, 1) / scaling
    return like.new_tensor([config.get("shift_factor") or 0.0]), 1 / scaling
