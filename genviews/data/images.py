"""A set of images with ids and, where known, labels: what enters the test-time arrow.

Every data set and folder is read into an `ImageSet`. Its ids name the random stream of each image,
so they must be unique and must not depend on the order in which the images were found.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from genviews.checks import check_different, check_each, check_finite, fail
from genviews.data.split import SplitName, check_split, stratified
from genviews.signature import checked
from genviews.types import ImageSpec

__all__ = ["ImageSet", "Rows", "row_numbers", "spread_rows"]

Rows = slice | Sequence[int] | Tensor
"""Which rows: a slice, their numbers, or a mask that is true for each."""

# Float round-off of resizing and of `x / 127.5 - 1`; more than that was never normalised.
_RANGE_TOLERANCE = 1e-4


@checked
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ImageSet:
    """Images with their ids, labels and class names.

    Args:
        images: (N, C, H, W) float32 in [-1, 1], at least one image.
        ids: N unique names; the seed of an image's views, together with the user's seed.
        labels: (N,) int64 class indices in [0, number of class names), or None.
        class_names: Y unique names; needed with labels, allowed without.
        skipped: (file, reason) of each file that could not be read and was left out.
        split: what the images may be used for, see `genviews.data.split`; None: nobody said.

    Raises:
        TypeError: images that are not float32, or labels that are not int64.
        ValueError: wrong shapes or counts, values outside [-1, 1] or not finite, duplicate ids or
            class names, labels out of range or without class names.

    Example:
        >>> two = ImageSet(images=torch.zeros(2, 1, 4, 4), ids=("a", "b"))
        >>> two
        ImageSet(2 images of 1x4x4, no labels)
        >>> two.select([1]).ids
        ('b',)
    """

    images: Float[Tensor, "N C H W"]
    ids: tuple[str, ...]
    labels: Int[Tensor, " N"] | None = None
    class_names: tuple[str, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    split: SplitName | None = None

    def __post_init__(self) -> None:
        if self.split is not None:
            check_split(self.split, "split of the images")
        _check_images(self.images, self.ids)
        check_different(self.class_names, "class names", "name each class once")
        if self.labels is not None:
            _check_labels(self.labels, len(self.ids), len(self.class_names))

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        shape = "x".join(str(n) for n in self.images.shape[1:])
        labels = f"{len(self.class_names)} classes" if self.labels is not None else "no labels"
        skipped = f", {len(self.skipped)} files skipped" if self.skipped else ""
        return f"ImageSet({len(self)} images of {shape}, {labels}{skipped})"

    @property
    def image_spec(self) -> ImageSpec:
        """The spec that every image of the set fulfils."""
        channels, height, width = self.images.shape[1:]
        return ImageSpec(channels=channels, height=height, width=width)

    def select(self, indices: Rows) -> ImageSet:
        """Return the images at `indices`, in that order, with their ids and labels.

        Args:
            indices: a slice, indices in [0, N), or a boolean mask of shape (N,).

        Returns:
            A new set; class names and the list of skipped files are kept.

        Raises:
            ValueError: no image chosen, an index outside [0, N), or one chosen twice.
        """
        rows = row_numbers(indices, len(self))
        return replace(
            self,
            images=self.images[rows],
            ids=tuple(self.ids[i] for i in rows.tolist()),
            labels=None if self.labels is None else self.labels[rows],
        )

    def split_calibration(self, fraction: float = 0.5, seed: int = 0) -> tuple[ImageSet, ImageSet]:
        """Split into a calibration set, where alpha is chosen, and the rest, where it is tested.

        The share is taken from each class (`genviews.data.split.stratified`); the order of the
        files does not matter. A class of one image goes to the rest.

        Args:
            fraction: share of each class that calibrates, between 0 and 1; one half by default, as
                many images to choose on as to report on (chosen by us).
            seed: another seed, another split.

        Returns:
            (calibration, rest), each in the order of this set. The first is the split
            "calibration"; the rest keeps the split of this set, or is "test" where it had none.

        Raises:
            ValueError: a fraction that is not strictly between 0 and 1, or too few images to split.
        """
        chosen = stratified(self.ids, self.labels, fraction, seed)
        rest: SplitName = "test" if self.split is None else self.split
        calibration = replace(self.select(chosen), split="calibration")
        return calibration, replace(self.select(~chosen), split=rest)

    def __describe__(self) -> dict[str, object]:
        """Pixels, ids and labels; what was left out made no result."""
        return {"images": self.fingerprint()}

    def fingerprint(self) -> str:
        """Return a hash of pixels, ids and labels: the key of whatever is computed from them."""
        digest = hashlib.blake2b(digest_size=16)
        labels = None if self.labels is None else self.labels.tolist()
        digest.update(repr((tuple(self.images.shape), self.ids, labels, self.class_names)).encode())
        digest.update(self.images.contiguous().cpu().numpy().tobytes())
        return digest.hexdigest()


def _check_images(images: Tensor, ids: tuple[str, ...]) -> None:
    if images.dtype != torch.float32:
        fail(
            "images",
            expected="a float32 tensor with values in [-1, 1]",
            got=images.dtype,
            remedy="convert uint8 with `x.float() / 127.5 - 1`",
            error=TypeError,
        )
    if images.ndim != 4 or 0 in images.shape:
        fail(
            "images",
            expected="shape (N, C, H, W) with at least one image",
            got=tuple(images.shape),
            remedy="stack the images along a first axis",
        )
    check_each(ids, len(images), "image ids")
    check_different(ids, "image ids", "give each image its own id, e.g. its relative path")
    low, high = (float(v) for v in torch.aminmax(images))
    limit = 1.0 + _RANGE_TOLERANCE
    if not (-limit <= low and high <= limit):  # true for NaN, which aminmax passes on
        check_finite(images, "images", ids, "leave these images out")
        fail(
            "images",
            expected="values in [-1, 1]",
            got=f"values from {low:g} to {high:g}",
            remedy="scale them: `x / 127.5 - 1` for 0-255, `2 * x - 1` for 0-1; clamp renders",
        )


def _check_labels(labels: Tensor, num_images: int, num_classes: int) -> None:
    if labels.dtype != torch.int64:
        fail(
            "labels",
            expected="an int64 tensor of class indices",
            got=labels.dtype,
            remedy="convert them with `.long()`",
            error=TypeError,
        )
    low, high = (-1, -1) if labels.numel() == 0 else (int(labels.min()), int(labels.max()))
    if labels.shape != (num_images,) or low < 0 or high >= num_classes:
        fail(
            "labels",
            expected=f"shape ({num_images},), with a class index in [0, {num_classes}) for each "
            "image, and a class name for each index",
            got=f"shape {tuple(labels.shape)}, with indices from {low} to {high}",
            remedy="count classes from 0 and name every class",
        )


def spread_rows(count: int, most: int) -> list[int]:
    """Return at most so many rows, spread evenly over a set, which may be sorted by class.

    Example:
        >>> spread_rows(9, 3)
        [0, 4, 8]
    """
    rows: list[int] = torch.linspace(0, count - 1, min(count, most)).round().long().tolist()
    return rows


def row_numbers(rows: Rows, size: int) -> Tensor:
    """Return the numbers of the rows that are meant, int64 on the CPU.

    Args:
        rows: a slice, numbers in [0, size), or a boolean mask of shape (size,).
        size: N, of all rows.

    Raises:
        ValueError: no row, a number out of range, or a mask of another length.

    Example:
        >>> row_numbers([True, False, True], 3)
        tensor([0, 2])
    """
    every = torch.arange(size)
    try:
        chosen = every[rows] if isinstance(rows, slice) else torch.as_tensor(rows).flatten().cpu()
    except (TypeError, ValueError, RuntimeError):
        got, remedy = repr(rows), "count images from 0"
        fail("indices", expected=f"integers in [0, {size}), or a mask", got=got, remedy=remedy)
    if chosen.dtype == torch.bool and len(chosen) == size:
        chosen = every[chosen]
    if chosen.numel() == 0:
        fail("indices", expected="at least one image", got="none", remedy="choose some images")
    low, high = chosen.min(), chosen.max()
    if chosen.is_floating_point() or chosen.dtype == torch.bool or low < 0 or high >= size:
        fail(
            "indices",
            expected=f"integers in [0, {size}), or a mask of shape ({size},)",
            got=f"{len(chosen)} of {chosen.dtype} from {low} to {high}",
            remedy="count images from 0",
        )
    return chosen.long()
