"""The encoder of an autoencoder as the start of its own inversion.

image -> encoder of `AutoencoderGenerator.autoencoder` -> scaled latents, which are its z
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from genviews.checks import fail
from genviews.generators.autoencoder import AutoencoderGenerator, encoded
from genviews.generators.base import Generator
from genviews.invert.encoder import LatentEncoder
from genviews.types import Images, Latents, Masks

__all__ = ["AutoencoderEncoder", "AutoencoderEncoderConfig", "own_encoder"]


@dataclass(frozen=True, kw_only=True)
class AutoencoderEncoderConfig:
    """The sizes of an `AutoencoderEncoder`.

    Args:
        image_channels: of the image.
        dim: D, numbers of a latent.
        num_layers: L, always one row.
    """

    image_channels: int
    dim: int
    num_layers: int = 1


class AutoencoderEncoder(LatentEncoder):
    """E: image -> the latents that its autoencoder gives it, unknown pixels being grey.

    Args:
        generator: whose autoencoder, not copied, it is the encoder of.
    """

    def __init__(self, generator: AutoencoderGenerator) -> None:
        """See the class docstring."""
        channels, dim = generator.image_spec.channels, generator.z_dim
        super().__init__(AutoencoderEncoderConfig(image_channels=channels, dim=dim))
        self.autoencoder = generator.autoencoder
        self.eval()

    def seen(self, images: Images, masks: Masks) -> Tensor:
        """See `LatentEncoder`."""
        return images * masks

    def maps(self, x: Tensor) -> Sequence[Tensor]:
        """See `LatentEncoder`: the latents, as a map."""
        return [encoded(self.autoencoder, x)]

    def answer(self, x: Tensor) -> Latents:
        """See `LatentEncoder`."""
        return self.maps(x)[0].flatten(1)[:, None]

    def save(self, path: str | Path) -> None:
        """Raise ValueError: its weights are those of the generator."""
        fail(
            "encoder of an autoencoder",
            expected="one apart from its generator",
            got="a part of it",
            remedy="load the autoencoder again: its encoder comes with it",
        )


def own_encoder(generator: Generator) -> LatentEncoder | None:
    """Return the encoder that an autoencoder brings; None for other generators."""
    if not isinstance(generator, AutoencoderGenerator):
        return None
    return AutoencoderEncoder(generator)
