"""A source of images, read a few at a time: what enters an inversion larger than memory.

    SOURCE -> align -> invert -> latent -> perturb -> render -> classify -> weigh

An `ImageSet` holds all its pixels; a source knows the ids of its images and reads the rows it is
asked for. An image that cannot be read is named with the reason, and never stops the rest.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from genviews.checks import fail
from genviews.data.images import ImageSet
from genviews.types import ImageSpec

__all__ = ["HASH_BYTES", "ImageSource", "MemorySource", "SourceBatch", "content_hash"]

HASH_BYTES = 16  # of BLAKE2b: two of 10^15 images agree by chance with probability 10^-9


@dataclass(frozen=True, kw_only=True, eq=False)
class SourceBatch:
    """The images of some rows of a source.

    Args:
        images: (n, C, H, W) float32 in [-1, 1], those that could be read, in the order of the rows;
            n may be 0.
        ids: n ids.
        hashes: for each image a BLAKE2b hash (16 bytes, in hexadecimal) of what it was made from:
            the bytes of its file, or its pixels. See `content_hash`.
        masks: (n, 1, H, W) float32, 1 where a pixel is known, 0 where not; None: all known.
        skipped: (id, reason) of the rows that could not be read.

    Raises:
        ValueError: another number of ids, hashes or masks than of images.
    """

    images: Float[Tensor, "n C H W"]
    ids: tuple[str, ...]
    hashes: tuple[str, ...]
    masks: Float[Tensor, "n 1 H W"] | None = None
    skipped: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        masks = len(self.images) if self.masks is None else len(self.masks)
        if {len(self.ids), len(self.hashes), masks} != {len(self.images)}:
            fail(
                "batch of a source",
                expected=f"an id, a hash and a mask for each of {len(self.images)} images",
                got=f"{len(self.ids)} ids, {len(self.hashes)} hashes, {masks} masks",
                remedy="list rows that cannot be read in `skipped` alone",
            )

    def __len__(self) -> int:
        return len(self.ids)


class ImageSource(ABC):
    """Images that are read when they are asked for.

    A source is sent to the workers that read it, so it must pickle; `read` may be called from any
    process, for the same rows again, and gives the same pixels.

    Attributes:
        image_spec: of every image.
        ids: unique names in an order that does not depend on the machine; one for each row.
        skipped: (file, reason) of what was left out before the rows were counted.
    """

    image_spec: ImageSpec
    ids: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    @abstractmethod
    def read(self, rows: Sequence[int]) -> SourceBatch:
        """Read the images at `rows`, each in [0, len(self)), in that order.

        An image that cannot be read is in the batch's `skipped` in place of its images.
        """

    @abstractmethod
    def fingerprint(self) -> str:
        """Return a hash of all that the pixels depend on.

        That is the content (bytes of files, or pixels), the ids and the geometry (size, alignment,
        masks); not times or places of files, so that a copy elsewhere has the same fingerprint.
        """


class MemorySource(ImageSource):
    """The images of an `ImageSet`; its list of skipped files is passed on.

    Args:
        images: whose pixels are read; labels are ignored.
        masks: (N, 1, H, W), 1 where a pixel is known, 0 where not; None: all known.

    Raises:
        ValueError: masks of another shape.

    Example:
        >>> two = ImageSet(images=torch.zeros(2, 1, 4, 4), ids=("a", "b"))
        >>> MemorySource(two).read([1]).ids
        ('b',)
    """

    def __init__(self, images: ImageSet, masks: Float[Tensor, "N 1 H W"] | None = None) -> None:
        self.image_spec = images.image_spec
        self.ids, self.skipped = images.ids, images.skipped
        self._images, self._masks = images.images, masks
        shape = (len(images), 1, *images.images.shape[2:])
        if masks is not None and masks.shape != shape:
            fail(
                "masks",
                expected=f"shape {shape}",
                got=tuple(masks.shape),
                remedy="one mask for each image, with one channel",
            )

    def read(self, rows: Sequence[int]) -> SourceBatch:
        """The images at `rows`, on the CPU."""
        chosen = torch.as_tensor(rows, dtype=torch.long)
        images = self._images[chosen].cpu()
        return SourceBatch(
            images=images,
            ids=tuple(self.ids[i] for i in rows),
            hashes=tuple(_pixel_hash(image) for image in images),
            masks=None if self._masks is None else self._masks[chosen].float().cpu(),
        )

    def fingerprint(self) -> str:
        """A hash of shape, ids, pixels and masks; labels do not matter."""
        digest = hashlib.blake2b(digest_size=HASH_BYTES)
        digest.update(repr((self.image_spec.shape, self.ids, self._masks is not None)).encode())
        for values in (self._images, self._masks):
            for row in () if values is None else values:
                digest.update(_pixel_hash(row).encode())
        return digest.hexdigest()

    def __getstate__(self) -> dict[str, Any]:
        # As arrays, which stay on the CPU when a worker moves its tensors to a GPU.
        arrays = {k: None if v is None else v.cpu().numpy() for k, v in self._tensors().items()}
        return {**vars(self), **arrays}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        for name, array in self._tensors().items():
            setattr(self, name, None if array is None else torch.from_numpy(array))

    def _tensors(self) -> dict[str, Any]:
        return {"_images": self._images, "_masks": self._masks}


def content_hash(data: bytes | memoryview) -> str:
    """Return the hash that `SourceBatch.hashes` holds, of the bytes of a file or of pixels."""
    return hashlib.blake2b(data, digest_size=HASH_BYTES).hexdigest()


def _pixel_hash(values: Tensor) -> str:
    return content_hash(values.float().cpu().contiguous().numpy().tobytes())
