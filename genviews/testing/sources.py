"""The contract of a source of images: the laws that each `ImageSource` keeps."""

from __future__ import annotations

import pickle

import torch

from genviews.data.source import ImageSource, SourceBatch
from genviews.identity import key
from genviews.testing.laws import expect, laws_of, leaves_no_trace, run_laws

__all__ = ["SOURCE_CHECKS", "check_source"]

MOST = 8  # rows that are read


def check_source(source: ImageSource, *others: ImageSource) -> None:
    """Run every check of the contract on one source; its first eight rows are read.

    Args:
        source: with at least three rows that can be read among the first eight.
        others: sources of other content; each must have a fingerprint and a key of its own.

    Raises:
        AssertionError: a law is broken; the message says which.

    Example:
        >>> import torch
        >>> from genviews.data import ImageSet, MemorySource
        >>> images = torch.linspace(-1, 1, 3 * 16).reshape(3, 1, 4, 4)
        >>> check_source(MemorySource(ImageSet(images=images, ids=("a", "b", "c"))))
    """
    run_laws(SOURCE_CHECKS, source)
    known = [(one.fingerprint(), key(one)) for one in (source, *others)]
    for name, found in zip(("fingerprint", "key"), zip(*known, strict=True), strict=True):
        expect(len(set(found)) == len(found), f"{name}: the same for other content")


def rows_have_ids_of_their_own(source: ImageSource) -> None:
    """Ids are unique texts, one for each row; a row is read under its id or skipped under it."""
    expect(len(source) == len(source.ids), f"{len(source)} rows, {len(source.ids)} ids")
    expect(len(set(source.ids)) == len(source.ids), "an id stands twice")
    expect(all(isinstance(one, str) for one in source.ids), "an id is no text")
    rows = _rows(source)
    batch = source.read(rows)
    skipped = [name for name, _ in batch.skipped]
    wanted = [source.ids[row] for row in rows if source.ids[row] not in skipped]
    expect(list(batch.ids) == wanted, f"read {batch.ids}, wanted {wanted}")
    expect(set(skipped) <= {source.ids[row] for row in rows}, f"skipped {skipped}")
    expect(all(reason for _, reason in batch.skipped), "a row was skipped without a reason")
    expect(len(batch) >= 3, f"only {len(batch)} rows can be read")


def images_are_what_the_spec_says(source: ImageSource) -> None:
    """Finite float32 of the declared shape in [-1, 1]; masks are 0 or 1; no row is no error."""
    batch, none = source.read(_rows(source)), source.read([])
    for some in (batch, none):
        shape = tuple(some.images.shape[1:])
        expect(shape == source.image_spec.shape, f"images have shape {shape}")
        expect(some.images.dtype == torch.float32, f"images are {some.images.dtype}")
    expect(len(none) == 0, "no rows gave images")
    expect(bool((batch.images.abs() <= 1 + 1e-4).all()), "values outside [-1, 1]")
    if batch.masks is not None:
        expect(bool(((batch.masks == 0) | (batch.masks == 1)).all()), "a mask is neither 0 nor 1")


def order_and_neighbours_do_not_matter(source: ImageSource) -> None:
    """A row alone, again, or in another order gives the same pixels, mask and hash."""
    rows = _rows(source)
    with leaves_no_trace():
        whole = source.read(rows)
    _equal(source.read(rows), whole, "read again")
    _equal(source.read(rows[::-1]), _reversed(whole), "read in the other order")
    alone = [source.read([row]) for row in rows]
    expect(sum(map(len, alone)) == len(whole), "another number of images one by one")
    for one in alone:
        for i in range(len(one)):
            _equal(one, _select(whole, [whole.ids.index(one.ids[i])]), f"{one.ids[i]} alone")


def hashes_follow_the_content(source: ImageSource) -> None:
    """Hashes have 32 hexadecimal digits, and images of other pixels have other ones.

    Aligned images (those with masks) are left out: one file may be cut in two ways.
    """
    batch = source.read(_rows(source))
    for digest in batch.hashes:
        expect(len(digest) == 32 and not set(digest) - set("0123456789abcdef"), repr(digest))
    known = dict(zip(source.ids, source.hashes(), strict=True))
    expect(
        all(known[name] == one for name, one in zip(batch.ids, batch.hashes, strict=True)),
        "`hashes` says others than `read`",
    )
    for i, a in enumerate(batch.hashes):
        for j, b in enumerate(batch.hashes[:i]):
            alike = torch.equal(batch.images[i], batch.images[j])
            expect(
                alike or a != b or batch.masks is not None,
                f"{batch.ids[i]} and {batch.ids[j]} have one hash",
            )


def it_can_be_sent_to_a_worker(source: ImageSource) -> None:
    """Pickled and read elsewhere it gives the same; the fingerprint stays, after reading too."""
    before = source.fingerprint()
    again = pickle.loads(pickle.dumps(source))
    rows = _rows(source)
    expect(again.ids == source.ids, "other ids after pickling")
    _equal(again.read(rows), source.read(rows), "read after pickling")
    expect(again.fingerprint() == before, "another fingerprint after pickling")
    expect(key(again) == key(source), "another key after pickling")
    expect(source.fingerprint() == before, "another fingerprint after reading")


def a_part_is_those_rows(source: ImageSource) -> None:
    """`select` gives a source of some rows in their order, with their labels and a split."""
    rows = _rows(source)[::-1]
    part = source.select(rows, split="test")
    expect(part.split == "test", f"a part has the split {part.split}")
    expect(part.ids == tuple(source.ids[row] for row in rows), f"a part has the ids {part.ids}")
    _equal(part.read(range(len(part))), source.read(rows), "read as a part")
    if source.labels is not None and part.labels is not None:
        expect(torch.equal(part.labels, source.labels[rows]), "a part has other labels")
    expect(part.class_names == source.class_names, "a part has other classes")


SOURCE_CHECKS = laws_of(globals())


def _rows(source: ImageSource) -> list[int]:
    return list(range(min(len(source), MOST)))


def _select(batch: SourceBatch, rows: list[int]) -> SourceBatch:
    return SourceBatch(
        images=batch.images[rows],
        ids=tuple(batch.ids[i] for i in rows),
        hashes=tuple(batch.hashes[i] for i in rows),
        masks=None if batch.masks is None else batch.masks[rows],
    )


def _reversed(batch: SourceBatch) -> SourceBatch:
    return _select(batch, list(range(len(batch)))[::-1])


def _equal(got: SourceBatch, wanted: SourceBatch, what: str) -> None:
    expect(got.ids == wanted.ids, f"{what}: ids {got.ids}, not {wanted.ids}")
    expect(got.hashes == wanted.hashes, f"{what}: other hashes")
    expect(torch.equal(got.images, wanted.images), f"{what}: other pixels")
    masks = (got.masks is None, wanted.masks is None)
    expect(masks[0] == masks[1], f"{what}: masks once, none once")
    if got.masks is not None and wanted.masks is not None:
        expect(torch.equal(got.masks, wanted.masks), f"{what}: other masks")
