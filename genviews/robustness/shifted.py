"""Images under a shift, as a source: what enters every study in the place of clean ones.

    SOURCE -> shift -> SOURCE -> invert -> latent -> perturb -> render -> classify -> weigh

A shift is anything with a name that turns images into images of the same size, each by the stream
of its own id, such as a `Corruption`. Nothing is kept: images are changed as they are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from torch import Tensor

from genviews.augment.base import PixelViews
from genviews.checks import check_type
from genviews.data.content import content_hash
from genviews.data.source import ImageSource, SourceBatch
from genviews.identity import key
from genviews.rng import Streams
from genviews.robustness.corruption import shift_streams
from genviews.robustness.restore import Restoration
from genviews.types import Images, check_shape

__all__ = ["Restored", "RestoredViews", "Shift", "ShiftedImages"]


@runtime_checkable
class Shift(Protocol):
    """What may happen to pictures: a change with a name."""

    @property
    def name(self) -> str:
        """Short, such as "gaussian_noise:3"."""

    def __call__(self, images: Images, streams: Streams) -> Images:
        """Return images of the same shape, in [-1, 1]; chance is each image's own stream."""


class ShiftedImages(ImageSource):
    """The images of another source under a shift; ids, labels and masks stay.

    Args:
        source: of the images.
        shift: what happens to them.
        seed: another seed, other noise.

    Example:
        >>> import torch
        >>> from genviews.data.images import ImageSet
        >>> from genviews.data.source import MemorySource
        >>> from genviews.robustness.corruption import corruption
        >>> grey = MemorySource(ImageSet(images=torch.zeros(2, 1, 8, 8), ids=("a", "b")))
        >>> noisy = ShiftedImages(grey, corruption("noise:3"))
        >>> noisy.ids, bool(noisy.read([1]).images.std() > 0.1)
        (('a', 'b'), True)
    """

    def __init__(self, source: ImageSource, shift: Shift, seed: int = 0) -> None:
        check_type(source, ImageSource, "images to shift", "an ImageSource", "see `as_source`")
        self._source, self.shift, self._seed = source, shift, seed
        self._known = key(shift, seed)
        self.image_spec, self.ids = source.image_spec, source.ids
        self.columns = dict(source.columns)  # what is sent to workers holds no proxy
        self.skipped, self.split, self.notes = source.skipped, source.split, source.notes
        self.name = f"{source.name or type(source).__name__} under {shift.name}"

    def read(self, rows: Sequence[int]) -> SourceBatch:
        """The images at `rows`, as the shift leaves them."""
        batch = self._source.read(rows)
        if not len(batch):
            return batch
        images = self.shift(batch.images, shift_streams(self._seed, batch.ids))
        remedy = "let the shift keep the size of the images"
        check_shape(images, batch.images.shape, f"images under {self.shift.name}", remedy)
        pairs = zip(batch.ids, batch.hashes, strict=True)
        return replace(batch, images=images, hashes=tuple(self._hash(*pair) for pair in pairs))

    def _hash(self, name: str, content: str) -> str:
        """Known by what the image was and what was done to it: nothing need be computed."""
        return content_hash(repr((content, name, self._known)).encode())

    def _hash_all(self) -> tuple[str, ...]:
        return tuple(map(self._hash, self.ids, self._source.hashes()))

    def fingerprint(self) -> str:
        """A hash of that of the source, and of the shift and its seed."""
        return content_hash(repr((self._source.fingerprint(), self._known)).encode())


@dataclass(frozen=True, eq=False)
class Restored:
    """A restoration as a shift: restored images are inverted and classified in place of the others.

    Args:
        restoration: of the images.
    """

    restoration: Restoration

    @property
    def name(self) -> str:
        """That of the restoration."""
        return self.restoration.name

    def __call__(self, images: Images, streams: Streams) -> Images:
        """The restored images."""
        return self.restoration(images)


class RestoredViews(PixelViews):
    """A restoration as pixel views: an ensemble of one, or of the image and it.

    Args:
        restoration: of images, and of views that exist already.
    """

    is_random = False

    def __init__(self, restoration: Restoration) -> None:
        self.restoration = restoration

    @property
    def name(self) -> str:
        """That of the restoration."""
        return self.restoration.name

    def _transform(self, views: Tensor, streams: Streams) -> Tensor:
        restored: Tensor = self.restoration(views.flatten(0, 1)).unflatten(0, views.shape[:2])
        return restored
