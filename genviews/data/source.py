"""A source of images, read a few at a time: what enters an inversion larger than memory.

    SOURCE -> align -> invert -> latent -> perturb -> render -> classify -> weigh

An `ImageSet` holds all its pixels; a source knows the ids of its images and reads the rows it is
asked for. An image that cannot be read is named with the reason, and never stops the rest.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
from jaxtyping import Float, Int
from torch import Tensor

from genviews.align.base import UnalignableError
from genviews.checks import check_different, check_type, fail, first_reasons, option
from genviews.data.content import content_hash
from genviews.data.decode import UnfitImageError
from genviews.data.images import ImageSet, Rows, row_numbers
from genviews.data.split import SplitName
from genviews.signature import checked
from genviews.types import ImageSpec, check_masks

__all__ = [
    "ImageSource",
    "LabelColumn",
    "MemorySource",
    "PartSource",
    "RowSource",
    "SourceBatch",
    "as_source",
    "columns_of",
]

ROWS = 512  # images that `load` reads at once


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


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelColumn:
    """One labelling of the images of a source.

    Args:
        values: (N,) int64 class indices.
        class_names: Y unique names.
    """

    values: Int[Tensor, " N"]
    class_names: tuple[str, ...]


def columns_of(columns: Mapping[str, LabelColumn], rows: Sequence[int]) -> dict[str, LabelColumn]:
    """Return the labels of some of the images, in the given order."""
    chosen = torch.tensor(rows, dtype=torch.long)
    return {
        name: LabelColumn(values=column.values[chosen], class_names=column.class_names)
        for name, column in columns.items()
    }


class ImageSource(ABC):
    """Images that are read when they are asked for.

    A source is sent to the workers that read it, so it must pickle; `read` may be called from any
    process, for the same rows again, and gives the same pixels.

    Attributes:
        image_spec: of every image.
        ids: unique names in an order that does not depend on the machine; one for each row.
        skipped: (file, reason) of what was left out before the rows were counted.
        columns: name -> labels; the first is the default. {} where nothing is known.
        split: what the images may be used for, see `genviews.data.split`; None: nobody said.
        name: of the data, such as that of its folder; "" is that of the class.
        notes: what was decided for the user when the source was made, in sentences.
    """

    image_spec: ImageSpec
    ids: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...] = ()
    columns: Mapping[str, LabelColumn] = MappingProxyType({})
    split: SplitName | None = None
    name: str = ""
    notes: tuple[str, ...] = ()
    _hashes: tuple[str, ...] | None = None  # once they were asked for

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        """What messages, pages and records call it: "24 images of faces (test)"."""
        count = "1 image" if len(self) == 1 else f"{len(self):,} images"
        split = "" if self.split is None else f" ({self.split})"
        return f"{count} of {self.name or type(self).__name__}{split}"

    @abstractmethod
    def read(self, rows: Sequence[int]) -> SourceBatch:
        """Read the images at `rows`, each in [0, len(self)), in that order.

        An image that cannot be read is in the batch's `skipped` in place of its images.
        """

    def fingerprint(self) -> str:
        """Return a hash of all that the pixels depend on.

        That is the content (bytes of files, or pixels), the ids and the geometry (size, alignment,
        masks); not times or places of files, so that a copy elsewhere has the same fingerprint.
        """
        known = (self.image_spec.shape, self.ids, self.hashes(), self._geometry())
        return content_hash(repr(known).encode())

    def _geometry(self) -> object:
        """What pixels and masks depend on beside size and content, with a `repr` of its values."""
        return None

    def __describe__(self) -> dict[str, object]:
        """What its images depend on, however they are kept; a source that is no data says more."""
        return {"type": "images", "images": self.fingerprint()}

    def hashes(self) -> tuple[str, ...]:
        """Return the content hash of each row, as in `SourceBatch.hashes`; found once.

        Of what cannot be read, a text of its own. Two rows with one hash are the same image,
        whatever their names.
        """
        if self._hashes is None:
            self._hashes = self._hash_all()
        return self._hashes

    def _hash_all(self) -> tuple[str, ...]:
        """The hashes, by reading all."""
        found: dict[str, str] = {}
        for batch in self._batches():
            found |= dict(zip(batch.ids, batch.hashes, strict=True))
            found |= {name: repr((name, reason)) for name, reason in batch.skipped}
        return tuple(found[name] for name in self.ids)

    def _batches(self) -> Iterator[SourceBatch]:
        every = range(len(self))
        return (self.read(every[start : start + ROWS]) for start in range(0, len(self), ROWS))

    @property
    def labels(self) -> Int[Tensor, " N"] | None:
        """The labels of the default column; None where there are none."""
        first = next(iter(self.columns.values()), None)
        return None if first is None else first.values

    @property
    def class_names(self) -> tuple[str, ...]:
        """The class names of the default column; () where there are none."""
        first = next(iter(self.columns.values()), None)
        return () if first is None else first.class_names

    def select(self, rows: Rows, *, split: SplitName | None = None) -> ImageSource:
        """Return some of the images as a source of their own, in the given order.

        Args:
            rows: a slice, numbers in [0, len(self)), each once, or a mask of shape (len(self),).
            split: that they are; None keeps the split of this source.

        Raises:
            ValueError: no image, a number out of range, or one twice.
        """
        numbers = row_numbers(rows, len(self)).tolist()
        check_different(numbers, "indices", "choose each image once")
        return PartSource(self, numbers, split or self.split)

    def rows_of(self, ids: Iterable[str], among: Iterable[int] | None = None) -> list[int]:
        """Return the rows of some images.

        Args:
            ids: of the images, such as those that a batch holds.
            among: rows that theirs are among, which saves a look at all; None: any.
        """
        rows = range(len(self)) if among is None else among
        found = {self.ids[row]: row for row in rows}
        return [found[name] for name in ids]

    def as_split(self, split: SplitName) -> ImageSource:
        """Return all of the images, to be used as a split."""
        return self if self.split == split else self.select(range(len(self)), split=split)

    def load(self) -> ImageSet:
        """Read all images into memory, where something small needs them so.

        Raises:
            ValueError: not one image can be read; the first reasons are shown.
        """
        batches = list(self._batches())
        ids = tuple(name for batch in batches for name in batch.ids)
        skipped = [*self.skipped, *(one for batch in batches for one in batch.skipped)]
        if not ids:
            fail(
                str(self),
                expected="at least one readable image",
                got=f"none of {len(skipped)} files: {first_reasons(skipped)}",
                remedy=f"check the images; {option('resize')} and {option('convert')} accept more",
            )
        return ImageSet(
            images=torch.cat([batch.images for batch in batches]),
            ids=ids,
            labels=None if self.labels is None else self.labels[self.rows_of(ids)],
            class_names=self.class_names,
            skipped=tuple(sorted(skipped)),
            split=self.split,
        )


@checked
def as_source(images: ImageSet | ImageSource) -> ImageSource:
    """Return a source as it is, and a set as the source of its images."""
    return MemorySource(images) if isinstance(images, ImageSet) else images


class PartSource(ImageSource):
    """Some images of another source.

    Args:
        source: that they are read from.
        rows: of it, in the order of this one.
        split: what they may be used for.
    """

    def __init__(self, source: ImageSource, rows: list[int], split: SplitName | None) -> None:
        self._source, self._rows = source, rows
        self.image_spec, self.split, self.name = source.image_spec, split, source.name
        self.skipped, self.notes = source.skipped, source.notes
        self.ids = tuple(source.ids[row] for row in self._rows)
        self.columns = columns_of(source.columns, self._rows)

    def read(self, rows: Sequence[int]) -> SourceBatch:
        """The images at `rows` of this part."""
        return self._source.read([self._rows[row] for row in rows])

    def _hash_all(self) -> tuple[str, ...]:
        every = self._source.hashes()
        return tuple(every[row] for row in self._rows)

    def fingerprint(self) -> str:
        """A hash of the whole source's fingerprint and of which images these are."""
        return content_hash(repr((self._source.fingerprint(), self.ids)).encode())

    def __describe__(self) -> dict[str, object]:
        """Which images, and the source: one that renders is known by what it renders as well."""
        return {**super().__describe__(), "of": self._source}


Row = tuple[Tensor, str, Tensor | None]
"""An image, its hash, and its mask where there are masks."""


class RowSource(ImageSource):
    """Images that are read one by one."""

    @abstractmethod
    def row(self, row: int) -> Row:
        """Read the image at a row, in [0, len(self)).

        Raises:
            UnfitImageError: it cannot be read; the text says why.
            UnalignableError: its geometry does not allow it.
        """

    def read(self, rows: Sequence[int]) -> SourceBatch:
        """The images at `rows`; what is unfit or cannot be aligned is in `skipped`."""
        found: list[Row] = []
        ids: list[str] = []
        skipped: list[tuple[str, str]] = []
        for row in rows:
            try:
                found.append(self.row(row))
                ids.append(self.ids[row])
            except (UnfitImageError, UnalignableError) as reason:
                skipped.append((self.ids[row], str(reason)))
        masks = [mask for _, _, mask in found if mask is not None]
        images = [image for image, _, _ in found]
        return SourceBatch(
            images=torch.stack(images) if images else torch.empty(0, *self.image_spec.shape),
            ids=tuple(ids),
            hashes=tuple(content for _, content, _ in found),
            masks=torch.stack(masks) if masks else None,
            skipped=tuple(skipped),
        )


class MemorySource(RowSource):
    """The images of an `ImageSet`; its list of skipped files is passed on.

    Args:
        images: whose pixels are read.
        masks: (N, 1, H, W), 1 where a pixel is known, 0 where not; None: all known.

    Raises:
        ValueError: masks of another shape, or outside [0, 1].

    Example:
        >>> two = ImageSet(images=torch.zeros(2, 1, 4, 4), ids=("a", "b"))
        >>> MemorySource(two).read([1]).ids
        ('b',)
    """

    name = "an array"

    def __init__(self, images: ImageSet, masks: Float[Tensor, "N 1 H W"] | None = None) -> None:
        check_type(images, ImageSet, "images", "an ImageSet", "make one, or use `load_images`")
        self.image_spec = images.image_spec
        self.ids, self.skipped, self.split = images.ids, images.skipped, images.split
        if masks is not None:
            check_masks(masks, len(images), images.images.shape[2:])
        # Arrays stay on the CPU when a worker moves its tensors to a GPU.
        self._images = images.images.detach().cpu().numpy()
        self._masks = None if masks is None else masks.detach().float().cpu().numpy()
        if images.labels is not None:
            column = LabelColumn(values=images.labels.cpu(), class_names=images.class_names)
            self.columns = {"label": column}

    def row(self, row: int) -> Row:
        """The image at `row`, on the CPU, with the hash of its pixels."""
        image = torch.from_numpy(self._images[row])
        mask = None if self._masks is None else torch.from_numpy(self._masks[row])
        return image, content_hash(image), mask

    def _hash_all(self) -> tuple[str, ...]:
        return tuple(content_hash(image.tobytes()) for image in self._images)

    def _geometry(self) -> object:
        return None if self._masks is None else [content_hash(one.tobytes()) for one in self._masks]
