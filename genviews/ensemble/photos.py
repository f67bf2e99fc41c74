"""What is given to be classified: images, masks, ids, checked as a whole before any work.

    IMAGES -> align -> invert -> latent -> perturb -> render -> classify -> weigh -> prediction

`Photos` holds tensors or a source, and reads a few rows at a time. What can be wrong with all of
them (types, shapes, ranges, ids, labels) is found when it is made. What is wrong with one image (a
number that is not finite, geometry that does not fit) is that image's matter.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from genviews.align.base import Aligner, Geometry, UnalignableError
from genviews.checks import (
    check_count,
    check_different,
    check_each,
    check_pixels,
    check_type,
    fail,
)
from genviews.data.content import content_hash
from genviews.data.images import ImageSet
from genviews.data.source import ImageSource, MemorySource
from genviews.rng import Rng
from genviews.robustness.shifted import Shift
from genviews.signature import checked
from genviews.types import ImageSpec, check_floats, check_masks, check_shape, check_tensor
from genviews.user_code import in_short

__all__ = ["Photos", "Read", "check_labels"]

ID_BYTES = 12  # of an image without a name
LARGEST = 2.0  # noise on an image may leave [-1, 1]; what is further off is in another range


@dataclass(frozen=True, kw_only=True, eq=False)
class Read:
    """Some rows of photos, as they can be inverted and classified.

    Args:
        rows: those that could be read.
        images: of these rows; one that is not finite or cannot be aligned is blank.
        masks: 1 where a pixel is known; None: all known.
        bad: where the image is blank because it was bad.
    """

    rows: list[int]
    images: Float[Tensor, "n C H W"]
    masks: Float[Tensor, "n 1 H W"] | None
    bad: Bool[Tensor, " n"]


class Photos:
    """Images that are classified with their views.

    Args:
        images: (N, C, H, W) in [-1, 1]; with an aligner also tensors (C, h, w) of any sizes; or a
            source that they are read from.
        image_spec: of the generator's images.
        ids: names, which seed the views; None takes those of the source, or derives them from the
            pixels. One that comes again must be of the same image.
        masks: (N, 1, H, W), 1 where a pixel is known and 0 where not; None: all known, or what the
            source or the aligner says.
        aligner: brings each image to the generator's frame by its own geometry.
        geometry: box or landmarks of each image, for the aligner.

    Raises:
        TypeError: images that are no floats, or no source.
        ValueError: no image, another size, values far outside [-1, 1], masks of another shape or
            other values, ids of different images that are equal, or an aligner without geometry.
    """

    def __init__(
        self,
        images: Tensor | Sequence[Tensor] | ImageSource | ImageSet,
        image_spec: ImageSpec,
        *,
        ids: Sequence[str] | None = None,
        masks: Tensor | None = None,
        aligner: Aligner | None = None,
        geometry: Sequence[Geometry] | None = None,
    ) -> None:
        self._shift: Shift | None = None
        self._seed = 0
        if isinstance(images, ImageSet):
            images = MemorySource(images)
        elif not isinstance(images, Tensor | Sequence | ImageSource) or isinstance(images, str):
            expected, remedy = "a tensor (N, C, H, W), or an ImageSource", "see `load_images`"
            got = type(images).__name__
            fail("images", expected=expected, got=got, remedy=remedy, error=TypeError)
        if isinstance(images, Tensor):
            check_shape(images, ("...", "C", "H", "W"), "images", "give a batch (N, C, H, W)")
        self._images, self._masks, self._spec = images, masks, image_spec
        self._aligner, self._geometry = aligner, geometry
        check_count(len(images), "number of images", remedy="give at least one")
        self._check_aligner()
        if isinstance(images, ImageSource):
            self._check_source(images, ids)
            self.ids = list(images.ids if ids is None else ids)
            self.rows = list(range(len(images)))
        else:
            self._check_images(images)
            # From its pixels: an image's views do not depend on its place in a batch.
            contents = [content_hash(image.detach().cpu().float(), ID_BYTES) for image in images]
            remedy = "give names, such as ['a.png', 'b.png']"
            named = contents if ids is None else ids
            self.ids = list(check_type(named, Sequence, "ids", "a list of names", remedy))
            check_each(self.ids, len(images), "ids")
            self.rows = _first_of_each(self.ids, contents)
        if self._masks is not None:
            check_masks(self._masks, len(self), self._spec.shape[1:])

    def __len__(self) -> int:
        return len(self._images)

    @property
    def copies(self) -> list[int]:
        """For each image the row of the first with its id: equal ids are one image."""
        first = {self.ids[row]: row for row in self.rows}
        return [first[name] for name in self.ids]

    def under(self, shift: Shift, seed: int = 0) -> Photos:
        """The same photos under a shift, which changes each in the generator's frame as it is read.

        Args:
            shift: what happens to them.
            seed: another seed, other noise.
        """
        found = copy(self)
        found._shift, found._seed = shift, seed
        return found

    def check_finite(self) -> None:
        """Raise ValueError that names tensors with a known pixel that is not finite.

        Sources are not read.
        """
        if isinstance(self._images, ImageSource):
            return
        each = ((row, self._images[row], self._mask([row])) for row in self.rows)
        bad = [row for row, image, mask in each if not bool(_finite(image[None], mask).all())]
        if bad:
            got = f"others in {', '.join(f'{row} ({self.ids[row]!r})' for row in bad[:5])}"
            remedy = "leave these images out, or mask the pixels"
            fail("images to fit on", expected="finite numbers", got=got, remedy=remedy)

    def read(self, rows: Sequence[int]) -> Read:
        """Read some rows, as they are in `rows` of these photos."""
        if isinstance(self._images, ImageSource):
            batch = self._images.read(rows)
            found, images, masks = self._images.rows_of(batch.ids, rows), batch.images, batch.masks
            self._spec.check(images)
        elif self._aligner is not None:
            found, (images, masks) = list(rows), self._align(rows)
        else:
            found, masks = list(rows), self._mask(rows)
            images = torch.stack([self._images[row] for row in rows])
        bad = ~_finite(images, masks)
        # Blank, not left out: the batch keeps its size, and the others their last bit.
        images = images.masked_fill(bad[:, None, None, None], 0.0).nan_to_num(0.0, 0.0, 0.0)
        if self._shift is not None and found:
            streams = Rng(self._seed, "shift").streams([self.ids[row] for row in found])
            images = self._shift(images, streams)
        return Read(rows=found, images=images, masks=masks, bad=bad.cpu())

    def _align(self, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Images and masks in the frame; one that cannot be aligned is not a number."""
        assert self._aligner is not None
        assert self._geometry is not None
        assert not isinstance(self._images, ImageSource)
        images, masks = [], []
        for row in rows:
            try:
                found = self._aligner.align(self._images[row], self._geometry[row])
                image, mask = found.image, found.mask
            except UnalignableError:
                image = torch.full(self._spec.shape, torch.nan)
                mask = torch.ones(1, *self._spec.shape[1:])
            self._spec.check(image, "aligned images")
            images.append(image)
            masks.append(mask.to(image))
        return torch.stack(images), torch.stack(masks)

    def _mask(self, rows: Sequence[int]) -> Tensor | None:
        return None if self._masks is None else self._masks[list(rows)]

    def _check_aligner(self) -> None:
        given = self._geometry is not None
        if (self._aligner is not None) != given:
            fail(
                "aligner and geometry",
                expected="both, or neither",
                got="geometry alone" if given else "an aligner alone",
                remedy="GenerativeTTA(aligner=...) with geometry=[Box(...), ...] for each image",
            )
        if self._geometry is None:
            return
        check_each(self._geometry, len(self), "geometry")
        if isinstance(self._images, ImageSource) or self._masks is not None:
            expected = "images as tensors, without masks of their own"
            got = "masks" if self._masks is not None else "a source"
            remedy = "align the source itself: load_images(..., alignment=...)"
            fail("images for the aligner", expected=expected, got=got, remedy=remedy)

    def _check_source(self, images: ImageSource, ids: Sequence[str] | None) -> None:
        if images.image_spec.shape != self._spec.shape:
            fail(
                "images of the source",
                expected=f"shape {self._spec.shape}, what the generator makes",
                got=images.image_spec.shape,
                remedy="resize or align them to its size",
            )
        names = images.ids if ids is None else ids
        check_each(names, len(images), "ids")
        check_different(names, "ids", "give each image of the source its own id")
        if self._masks is not None:
            expected, remedy = (
                "none beside a source",
                "a source has its own: MemorySource(x, masks)",
            )
            fail("masks", expected=expected, got="masks", remedy=remedy)

    def _check_images(self, images: Tensor | Sequence[Tensor]) -> None:
        if isinstance(images, Tensor):
            remedy = "add the batch axis with images[None]"
            check_shape(check_floats(images, "images"), ("N", "C", "H", "W"), "images", remedy)
        for row, image in enumerate(images):
            what = "images" if isinstance(images, Tensor) else f"image {row}"
            remedy = "give a tensor (N, C, H, W), or an ImageSource"
            check_type(image, Tensor, what, "tensors", remedy)
            if self._aligner is None:
                self._spec.check(image, what)
            else:
                check_shape(check_floats(image, what), ("C", "h", "w"), what, remedy)
            largest = float(image.detach().nan_to_num(0.0, 0.0, 0.0).abs().max())
            if largest > LARGEST:
                fail(
                    f"image {row}",
                    expected="values in [-1, 1]",
                    got=f"values up to {largest:.3g}",
                    remedy="scale images of 0 to 255 with x / 127.5 - 1, those of 0 to 1 with "
                    "2 x - 1; the classifier's mean and std are given to `Classifier`",
                )

        if isinstance(images, Tensor):
            check_pixels(images, "images", as_set=True)


def _finite(images: Tensor, masks: Tensor | None) -> Bool[Tensor, " n"]:
    """Where every known pixel is a finite number."""
    finite = images.isfinite()
    if masks is not None:
        finite = finite | (masks == 0)
    return finite.flatten(1).all(1)


def _first_of_each(ids: Sequence[str], contents: Sequence[str]) -> list[int]:
    """The first row of each id; equal ids must be of equal pixels."""
    first: dict[str, int] = {}
    for row, name in enumerate(ids):
        before = first.setdefault(name, row)
        if contents[before] != contents[row]:
            fail(
                "ids",
                expected="different ids for different images",
                got=f"{name!r} for images {before} and {row}, whose pixels differ",
                remedy="give each image its own id, which seeds its views, or leave ids out",
            )
    return list(first.values())


@checked
def check_labels(
    labels: Tensor | Sequence[int], photos: Photos, class_names: Sequence[str]
) -> Int[Tensor, " N"]:
    """Return class indices of photos on the CPU, or raise.

    Raises:
        ValueError: no integers, one for each image, in [0, Y); or two for one image.
    """
    count = len(class_names)
    try:
        found = torch.as_tensor(labels).detach().cpu()
    except (TypeError, ValueError, RuntimeError):
        remedy = "give a class index for each image, in the order of the class names"
        fail("labels", expected="integers", got=in_short(labels), remedy=remedy, error=TypeError)
    check_tensor(found, "labels")
    if found.is_floating_point() or found.is_complex() or found.dtype == torch.bool:
        remedy = "give class indices, such as labels.long(); one-hot rows are rows.argmax(1)"
        fail("labels", expected="integers", got=found.dtype, remedy=remedy)
    check_shape(found, (len(photos),), "labels", "give one class index for each image")
    wrong = ((found < 0) | (found >= count)).nonzero().flatten().tolist()
    if wrong:
        known = ", ".join(f"{i} {name!r}" for i, name in enumerate(class_names[:5]))
        fail(
            "labels",
            expected=f"classes 0 to {count - 1} ({known}{', ...' if count > 5 else ''})",
            got=f"{int(found[wrong[0]])} for image {wrong[0]}",
            remedy="count from 0, in the order of the classifier's class names",
        )
    classes: dict[int, dict[int, int]] = defaultdict(dict)
    for row, (first, label) in enumerate(zip(photos.copies, found.tolist(), strict=True)):
        classes[first].setdefault(label, row)
        if len(classes[first]) > 1:
            rows, given = list(classes[first].values()), list(classes[first])
            fail(
                "labels",
                expected="one class for one image",
                got=f"images {rows[0]} and {rows[1]} alike, with classes {given[0]} and {given[1]}",
                remedy="correct the labels, or leave both out",
            )
    return found.long()
