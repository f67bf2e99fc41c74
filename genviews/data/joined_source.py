"""Several sources as one: calibration images as they are, and copies of them under a shift."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from genviews.checks import check_count, check_different, check_type, fail
from genviews.data.content import content_hash
from genviews.data.source import ImageSource, LabelColumn, SourceBatch

__all__ = ["JoinedImages"]


class JoinedImages(ImageSource):
    """The images of several sources, one source after the other.

    Args:
        parts: name -> source, at least one. Ids of a part with a name other than "" become
            "ID (NAME)", so that copies of an image are told apart.

    Raises:
        ValueError: no source, sources of different sizes or class names, or an id that comes twice.

    Example:
        >>> from genviews.data.images import ImageSet
        >>> from genviews.data.source import MemorySource
        >>> one = MemorySource(ImageSet(images=torch.zeros(2, 1, 4, 4), ids=("a", "b")))
        >>> JoinedImages({"": one, "again": one}).ids
        ('a', 'b', 'a (again)', 'b (again)')
    """

    def __init__(self, parts: Mapping[str, ImageSource]) -> None:
        check_count(len(parts), "number of sources to join")
        for name, part in parts.items():
            check_type(part, ImageSource, f"source {name!r}", "an ImageSource", "see as_source")
        self._parts = tuple(parts.values())
        self._names = [
            {name if not word else f"{name} ({word})": name for name in part.ids}
            for word, part in parts.items()
        ]
        first = self._parts[0]
        for part in self._parts[1:]:
            kinds = [(one.image_spec, _classes(one)) for one in (first, part)]
            if kinds[0] != kinds[1]:
                expected, remedy = "images of one size with the same classes", "load them alike"
                fail("sources to join", expected=expected, got="others", remedy=remedy)
        self.image_spec, self.split, self.name = first.image_spec, first.split, first.name
        self.ids = tuple(name for own in self._names for name in own)
        check_different(self.ids, "ids of joined sources", "give each part a name of its own")
        self._places = [(i, row) for i, part in enumerate(self._parts) for row in range(len(part))]
        self.skipped = tuple(dict.fromkeys(one for part in self._parts for one in part.skipped))
        self.notes = tuple(dict.fromkeys(one for part in self._parts for one in part.notes))
        self.columns = {
            name: LabelColumn(
                values=torch.cat([part.columns[name].values for part in self._parts]),
                class_names=column.class_names,
            )
            for name, column in first.columns.items()
        }

    def read(self, rows: Sequence[int]) -> SourceBatch:
        """The images at `rows`, in their order."""
        found: dict[int, SourceBatch] = {}
        for index, part in enumerate(self._parts):
            if wanted := [place for i, place in map(self._places.__getitem__, rows) if i == index]:
                found[index] = part.read(wanted)
        named = {
            index: dict(zip(batch.ids, range(len(batch)), strict=True))
            for index, batch in found.items()
        }
        kept, ids, skipped = list[tuple[int, int]](), list[str](), list[tuple[str, str]]()
        for row in rows:
            index, _ = self._places[row]
            own = self._names[index][self.ids[row]]
            if own in named[index]:
                kept.append((index, named[index][own]))
                ids.append(self.ids[row])
            else:
                skipped.append((self.ids[row], dict(found[index].skipped)[own]))
        masked = any(batch.masks is not None for batch in found.values())
        return SourceBatch(
            images=_stacked([found[i].images[j] for i, j in kept], self.image_spec.shape),
            ids=tuple(ids),
            hashes=tuple(found[i].hashes[j] for i, j in kept),
            masks=_stacked([_mask(found[i], j) for i, j in kept], (1, *self.image_spec.shape[1:]))
            if masked
            else None,
            skipped=tuple(skipped),
        )

    def _hash_all(self) -> tuple[str, ...]:
        return tuple(one for part in self._parts for one in part.hashes())

    def fingerprint(self) -> str:
        """A hash of those of the parts, and of the ids."""
        known = [part.fingerprint() for part in self._parts]
        return content_hash(repr((known, self.ids)).encode())


def _classes(source: ImageSource) -> dict[str, tuple[str, ...]]:
    return {name: column.class_names for name, column in source.columns.items()}


def _mask(batch: SourceBatch, place: int) -> Tensor:
    return torch.ones_like(batch.images[place, :1]) if batch.masks is None else batch.masks[place]


def _stacked(parts: Sequence[Tensor], shape: Sequence[int]) -> Tensor:
    return torch.stack(list(parts)) if parts else torch.empty(0, *shape)
