"""The contracts of images before they are inverted: each `ImageSource`, and each `Aligner`."""

from __future__ import annotations

import pickle
from itertools import combinations

import torch
from torch import Tensor

from genviews.align.base import Aligner, Box, Geometry, UnalignableError
from genviews.data.source import ImageSource, SourceBatch
from genviews.identity import key
from genviews.rng import Rng
from genviews.testing.laws import Described, Laws, close, equal, expect, leaves_no_trace, sound

__all__ = ["ALIGNER_CHECKS", "SOURCE_CHECKS", "check_aligner", "check_source"]

MOST = 8  # rows that are read
HEIGHT, WIDTH = 40, 50  # of the images to align
MARGIN = 7

_Image = dict[str, object]  # id, hash, pixels and mask of one image of a source


def check_source(source: ImageSource, *others: ImageSource) -> None:
    """Run every check of the contract on one source; its first eight rows are read.

    Args:
        source: with at least three rows that can be read among the first eight.
        others: sources of other content; each must have a fingerprint and a key of its own.

    Raises:
        AssertionError: a law is broken; the message says which.

    Example:
        >>> import torch
        >>> from genviews.data.images import ImageSet
        >>> from genviews.data.source import MemorySource
        >>> images = torch.linspace(-1, 1, 3 * 16).reshape(3, 1, 4, 4)
        >>> check_source(MemorySource(ImageSet(images=images, ids=("a", "b", "c"))))
    """
    SourceLaws.check(source)
    known = [(one.fingerprint(), key(one)) for one in (source, *others)]
    for name, found in zip(("fingerprint", "key"), zip(*known, strict=True), strict=True):
        expect(len(set(found)) == len(found), f"{name}: the same for other content")


def check_aligner(aligner: Aligner, geometry: Geometry) -> None:
    """Run every check of the contract on one aligner.

    Args:
        aligner: called on noise of 40 x 50 pixels.
        geometry: a box or landmarks, what it takes, in pixels of such an image.

    Raises:
        AssertionError: a law is broken; the message says which.

    Example:
        >>> from genviews.align.aligners import CentreBox, Frame
        >>> frame = Frame(height=32, width=50, content_height=24, content_width=50)
        >>> check_aligner(CentreBox(frame), Box(10, 8, 30, 30))
    """
    AlignerLaws.check(aligner, geometry)


class SourceLaws(Laws[ImageSource]):
    """The first rows are read."""

    def __init__(self, source: ImageSource) -> None:
        super().__init__(source)
        self.rows = list(range(min(len(source), MOST)))

    def _read(self, rows: list[int]) -> list[_Image]:
        return _each(self.subject.read(rows))

    def rows_have_ids_of_their_own(self) -> None:
        """Ids are unique texts, one a row; a row is read under its id or skipped under it."""
        ids, batch = self.subject.ids, self.subject.read(self.rows)
        expect(len(self.subject) == len(ids), f"{len(self.subject)} rows, {len(ids)} ids")
        expect(len(set(ids)) == len(ids), "an id stands twice")
        expect(all(isinstance(one, str) for one in ids), "an id is no text")
        asked, skipped = [ids[row] for row in self.rows], dict(batch.skipped)
        wanted = [name for name in asked if name not in skipped]
        expect(list(batch.ids) == wanted, f"read {batch.ids}, wanted {wanted}")
        expect(skipped.keys() <= set(asked), f"skipped {list(skipped)}")
        expect(all(skipped.values()), "a row was skipped without a reason")
        expect(len(batch) >= 3, f"only {len(batch)} rows can be read")

    def images_are_what_the_spec_says(self) -> None:
        """Finite float32 of the declared shape in [-1, 1]; masks are 0 or 1; no row is no error."""
        batch, none = self.subject.read(self.rows), self.subject.read([])
        shape = self.subject.image_spec.shape
        for images, count in ((batch.images, len(batch)), (none.images, 0)):
            sound(images, "images", (count, *shape), dtype=torch.float32, most=1 + 1e-4)
        masks = torch.zeros(()) if batch.masks is None else batch.masks
        expect((masks == 0) | (masks == 1), "a mask is neither 0 nor 1")

    def order_and_neighbours_do_not_matter(self) -> None:
        """A row alone, again, or in another order gives the same pixels, mask and hash."""
        with leaves_no_trace():
            whole = self._read(self.rows)
        _alike(self._read(self.rows), whole, "read again")
        _alike(self._read(self.rows[::-1]), whole[::-1], "read in the other order")
        alone = [one for row in self.rows for one in self._read([row])]
        _alike(alone, whole, "read one by one")

    def hashes_follow_the_content(self) -> None:
        """Hashes have 32 hexadecimal digits, and images of other pixels have other ones.

        Aligned images (those with masks) are left out: one file may be cut in two ways.
        """
        batch = self.subject.read(self.rows)
        known = dict(zip(self.subject.ids, self.subject.hashes(), strict=True))
        for name, digest in zip(batch.ids, batch.hashes, strict=True):
            expect(len(digest) == 32 and not set(digest) - set("0123456789abcdef"), repr(digest))
            expect(known[name] == digest, "`hashes` says others than `read`")
        for i, j in combinations(range(len(batch)), 2):
            alike = batch.masks is not None or torch.equal(batch.images[i], batch.images[j])
            told = f"{batch.ids[i]} and {batch.ids[j]} have one hash"
            expect(alike or batch.hashes[i] != batch.hashes[j], told)

    def it_can_be_sent_to_a_worker(self) -> None:
        """Pickled and read elsewhere it is the same; the fingerprint stays, after reading too."""
        source, before = self.subject, self.subject.fingerprint()
        again = pickle.loads(pickle.dumps(source))
        expect(again.ids == source.ids, "other ids after pickling")
        _alike(_each(again.read(self.rows)), self._read(self.rows), "read after pickling")
        expect(again.fingerprint() == before, "another fingerprint after pickling")
        expect(key(again) == key(source), "another key after pickling")
        expect(source.fingerprint() == before, "another fingerprint after reading")

    def a_part_is_those_rows(self) -> None:
        """`select` gives a source of some rows in their order, with their labels and a split."""
        source, rows = self.subject, self.rows[::-1]
        part = source.select(rows, split="test")
        expect(part.split == "test", f"a part has the split {part.split}")
        expect(part.ids == tuple(source.ids[row] for row in rows), f"a part has the ids {part.ids}")
        _alike(_each(part.read(range(len(part)))), self._read(rows), "read as a part")
        if source.labels is not None and part.labels is not None:
            equal(part.labels, source.labels[rows], "labels of a part")
        expect(part.class_names == source.class_names, "a part has other classes")


def _each(batch: SourceBatch) -> list[_Image]:
    masks = torch.ones(len(batch), 0) if batch.masks is None else batch.masks
    rows = zip(batch.ids, batch.hashes, batch.images, masks, strict=True)
    return [
        {"id": name, "hash": digest, "pixels": pixels.tolist(), "mask": mask.tolist()}
        for name, digest, pixels, mask in rows
    ]


def _alike(got: list[_Image], wanted: list[_Image], what: str) -> None:
    expect(len(got) == len(wanted), f"{what}: {len(got)} images, not {len(wanted)}")
    for one, other in zip(got, wanted, strict=True):
        changed = [name for name in other if one[name] != other[name]]
        expect(not changed, f"{what}: another {' and '.join(changed)} of {other['id']}")


class AlignerLaws(Described[Aligner]):
    """Noise is aligned by one geometry."""

    def __init__(self, aligner: Aligner, geometry: Geometry) -> None:
        super().__init__(aligner)
        self.geometry, self.image = geometry, _noise(3)

    def image_and_mask_agree(self) -> None:
        """One size for every image, finite values in [-1, 1], unknown pixels 0, masks 0 or 1."""
        sizes = set()
        for channels, dtype in ((1, torch.float32), (3, torch.float64)):
            found = self.subject.align(_noise(channels).to(dtype), self.geometry)
            image, mask, size = found.image, found.mask, found.image.shape[1:]
            sizes.add(size)
            sound(image, "pixels", (channels, *size), dtype=dtype, most=1 + 1e-5)
            expect(mask.shape == (1, *size), f"mask {tuple(mask.shape)}")
            expect((mask == 1) | (mask == 0), "a mask is neither 0 nor 1")
            expect(bool(mask.any()), "no pixel is known")
            expect(image[:, mask[0] == 0] == 0, "an unknown pixel is not 0")
            expect(found.source_size == (HEIGHT, WIDTH), f"source_size is {found.source_size}")
        expect(len(sizes) == 1, f"images of sizes {sizes}")

    def it_depends_on_its_arguments_alone(self) -> None:
        """The same again and after pickling; the source is not written to, colours move no mask."""
        with leaves_no_trace(self.image):
            found = self.subject.align(self.image, self.geometry)
        again = pickle.loads(pickle.dumps(self.subject)).align(self.image, self.geometry)
        equal(again.image, found.image, "the image of another call")
        other = self.subject.align(-self.image, self.geometry)
        equal(other.mask, found.mask, "the mask of other pixels")

    def to_source_tells_where_pixels_came_from(self) -> None:
        """A ramp has, at each known pixel away from the border, the value of where it came from."""
        x = torch.arange(WIDTH, dtype=torch.float64).expand(HEIGHT, -1)
        y = torch.arange(HEIGHT, dtype=torch.float64)[:, None].expand(-1, WIDTH)
        found = self.subject.align(torch.stack([x / WIDTH, y / HEIGHT]), self.geometry)
        checked = 0
        for row, column in found.mask[0, ::3, ::3].nonzero().mul(3).tolist():
            at_x, at_y = found.to_source.at(column + 0.5, row + 0.5)
            if MARGIN < at_x < WIDTH - MARGIN and MARGIN < at_y < HEIGHT - MARGIN:
                wanted = torch.tensor([(at_x - 0.5) / WIDTH, (at_y - 0.5) / HEIGHT])
                got = found.image[:, row, column]
                close(got, wanted, f"the ramp at ({column}, {row})", tolerance=0.01)
                checked += 1
        expect(checked > 0, "no known pixel lies away from the border of the source")

    def pasting_back_touches_its_place_alone(self) -> None:
        """An edited image lands where it came from; unknown pixels of it are never read."""
        found = self.subject.align(self.image, self.geometry)
        flat = torch.full_like(found.image, 0.25)
        result = found.paste_back(flat, self.image)
        placed = (result - 0.25).abs() < 1e-5
        expect(placed | (result == self.image), "a pixel is neither edited nor the source's")
        expect(bool(placed.all(0).any()), "nothing was pasted")
        garbage = torch.where(found.mask > 0, flat, torch.nan)
        equal(found.paste_back(garbage, self.image), result, "pasted with other unknown pixels")

    def images_that_cannot_be_aligned_are_told_apart(self) -> None:
        """Pixels or a geometry that are not finite concern one image: UnalignableError.

        Another number of axes, no floats or another kind of geometry concern every image:
        ValueError or TypeError, and no `UnalignableError`.
        """
        bad = self.image.clone()
        bad[0, 3, 3] = torch.nan
        lost = _lost(self.geometry)
        other: Geometry = torch.zeros(5, 2) if isinstance(self.geometry, Box) else Box(1, 1, 9, 9)
        cases = (
            ("a pixel that is NaN", bad, self.geometry, True),
            ("a geometry that is NaN", self.image, lost, True),
            ("a batch", self.image[None], self.geometry, False),
            ("bytes", torch.zeros(3, HEIGHT, WIDTH, dtype=torch.uint8), self.geometry, False),
            ("another kind of geometry", self.image, other, False),
        )
        for what, image, geometry, alone in cases:
            try:
                self.subject.align(image, geometry)
            except (ValueError, TypeError) as error:
                kind = "one bad image" if isinstance(error, UnalignableError) else "every image"
                expect((kind == "one bad image") == alone, f"{what} passes for {kind}")
            else:
                raise AssertionError(f"{what} was taken")


def _noise(channels: int) -> Tensor:
    streams = Rng(0, "aligner contract").streams(range(channels))
    return streams.uniform(1, (HEIGHT, WIDTH))[:, 0] * 1.8 - 0.9


def _lost(geometry: Geometry) -> Geometry:
    if isinstance(geometry, Box):
        return Box(torch.nan, geometry.y0, geometry.x1, geometry.y1)
    return torch.full_like(geometry, torch.nan)


SOURCE_CHECKS = SourceLaws.checks()
ALIGNER_CHECKS = AlignerLaws.checks()
