"""Images of a generator as a source, so that its features are made and kept as those of any other.

z -> map -> synthesize -> IMAGES -> features -> fidelity
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from genviews.checks import check_count
from genviews.data.source import ImageSource, SourceBatch, pixel_hash
from genviews.generators.base import Generator
from genviews.identity import key
from genviews.render import render
from genviews.rng import Rng

__all__ = ["GeneratedSource"]


class GeneratedSource(ImageSource):
    """Images drawn from a generator, one for each id "000000", "000001", ...

    An image depends on the seed and its id alone. Values are clamped to [-1, 1]. Classes of a
    conditional generator take turns.

    Args:
        generator: used as it is, on its device.
        num: images.
        seed: of the latents.
        psi: truncation towards the mean latent; 1 is none.
        batch_size: images rendered at once.

    Raises:
        ValueError: a count below 1.

    Example:
        >>> from genviews import ToyGenerator
        >>> GeneratedSource(ToyGenerator(), 3).read([2]).images.shape
        torch.Size([1, 1, 8, 8])
    """

    def __init__(
        self,
        generator: Generator,
        num: int,
        *,
        seed: int = 0,
        psi: float = 1.0,
        batch_size: int = 64,
    ) -> None:
        self.generator, self.psi = generator, psi
        self.seed, self.batch_size = seed, check_count(batch_size, "batch_size")
        self.image_spec = generator.image_spec
        self.ids = tuple(f"{i:06d}" for i in range(check_count(num, "images")))

    def read(self, rows: Sequence[int]) -> SourceBatch:
        """Render the images at `rows`."""
        ids = tuple(self.ids[row] for row in rows)
        classes, device = self.generator.num_classes, self.generator.device
        label = None
        if classes:
            label = torch.as_tensor(rows, dtype=torch.long, device=device) % classes
        with torch.no_grad():
            z = self.generator.sample(Rng(self.seed, "generated source").streams(ids))
            latents = self.generator.map(z, label, psi=self.psi)
        images = render(
            self.generator, latents, label=label, batch_size=self.batch_size, out_device="cpu"
        )
        images = images.float().clamp(-1, 1)
        return SourceBatch(
            images=images,
            ids=ids,
            hashes=tuple(pixel_hash(image) for image in images),
        )

    def fingerprint(self) -> str:
        """A hash of the generator, the number of images, seed and psi."""
        return key(self.__describe__())

    def __describe__(self) -> dict[str, object]:
        """The generator, which is known by what it renders as well, number, seed and psi."""
        return {
            "generator": self.generator,
            "images": len(self),
            "seed": self.seed,
            "psi": self.psi,
        }
