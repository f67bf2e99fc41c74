"""Inversions on disk: what `invert_source` made of a whole data set, read shard by shard.

    LATENTS ON DISK -> perturb -> render -> classify -> weigh

A shard holds the fields of `Inversion` that are small (latents, losses, status, steps),
`source_hash`, and in its notes which images could not be read, and why.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import fields, replace
from itertools import groupby
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from genviews.checks import fail
from genviews.generators.base import Generator
from genviews.identity import Identity, identify
from genviews.render import render
from genviews.shard import Shard, join_shards
from genviews.store import ShardStore
from genviews.types import Inversion, Status, Values

__all__ = ["InversionStore", "spread"]


class InversionStore:
    """What `invert_source` made.

    Args:
        folder: a path, or a URL that fsspec knows.
        identity: what it was made from (see `inversion_identity`), checked; None takes the one that
            is found there.
        left_out: (file, reason) of what the source left out before the job, for `skipped`.

    Attributes:
        folder: see `Args`.
        identity: of all that the content depends on.
        shard_size: images in a shard, the last one excepted.
        num_shards: number of them.

    Raises:
        FileNotFoundError: without an identity, and no shard is there.
        ValueError: made from something else (the message lists what differs), or no inversions.
    """

    def __init__(
        self,
        folder: str | Path,
        identity: Identity | None = None,
        *,
        left_out: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self._store = ShardStore(folder, identity)
        self.identity = self._store.identity
        exact = self.identity.exact
        self.folder, self._left_out = str(folder), left_out
        self._snapshot: int | None = None
        if not {"images", "shard_size", "inverter"} <= exact.keys():
            fail(
                f"store {folder}",
                expected="inversions",
                got=f"a store made from {', '.join(sorted(exact))}",
                remedy="open it as a ShardStore, or check the path",
            )
        self._total, self.shard_size = int(exact["images"]), int(exact["shard_size"])
        self.num_shards = -(-self._total // self.shard_size)

    def __len__(self) -> int:
        """Number of images of the source, those that could not be read included."""
        return self._total

    def __repr__(self) -> str:
        return f"InversionStore({self.folder!r}, {len(self)} images in {self.num_shards} shards)"

    def iter_shards(self) -> Iterator[Shard]:
        """Yield the shards in the order of the source, one in memory at a time.

        A shard none of whose images could be read has no rows, and `source_hash` alone.

        Raises:
            FileNotFoundError: a shard is missing; run the job again.
            ValueError: a shard is damaged.
        """
        for index in range(self.num_shards):
            yield self.read(index)

    def read(self, index: int) -> Shard:
        """Return one shard; see `iter_shards`."""
        return self._store.read(index)

    def at(self, snapshot: int) -> InversionStore:
        """The same, but that `select` gives the latents of a snapshot, by its place among them."""
        found = copy(self)
        found._snapshot = snapshot
        found.identity = identify(inversions=self.identity, snapshot=snapshot)
        return found

    def select(self, rows: Sequence[int], ids: Sequence[str]) -> dict[str, Tensor]:
        """Return the tensors of some images, reading no shard but theirs.

        Args:
            rows: of the source.
            ids: of these rows.

        Raises:
            ValueError: an image that was not inverted, because it could not be read then.
        """
        found: dict[str, list[Tensor]] = {}
        for index, group in groupby(zip(rows, ids, strict=True), lambda p: p[0] // self.shard_size):
            shard = self._store.read(index)
            places = {name: place for place, name in enumerate(shard.ids)}
            wanted = [name for _, name in group]
            absent = [name for name in wanted if name not in places]
            if absent:
                fail(
                    f"inversions in {self.folder}",
                    expected=f"one of {absent[0]!r}",
                    got="none: it could not be read then",
                    remedy="invert the changed images into another folder",
                )
            chosen = torch.tensor([places[name] for name in wanted], dtype=torch.long)
            own = dict(shard.tensors)
            if self._snapshot is not None:
                own["latents"] = own["snapshots"][:, self._snapshot]
            for key, value in own.items():
                found.setdefault(key, []).append(value[chosen])
        return {key: torch.cat(parts) for key, parts in found.items()}

    def columns(self, *names: str) -> dict[str, Tensor]:
        """Return some tensors of all images that could be read, in their order, no more in memory.

        Args:
            names: as in `read_all`; those that the inversions do not have are left out.

        Raises:
            FileNotFoundError, ValueError: as `iter_shards`, or no image could be read.
        """
        shards = [
            {name: shard.tensors[name] for name in names if name in shard.tensors}
            for shard in self.iter_shards()
            if len(shard)
        ]
        if not shards:
            self._refuse_empty()
        return {name: torch.cat([shard[name] for shard in shards]) for name in shards[0]}

    def loss_of(self, ids: Sequence[str]) -> Values:
        """Return the losses of some images."""
        shards = [(s.ids, s.tensors["loss"]) for s in self.iter_shards() if len(s)]
        losses = {name: loss[row] for names, loss in shards for row, name in enumerate(names)}
        return torch.stack([losses[name] for name in ids])

    def read_all(self) -> Shard:
        """Return ids and tensors of all images that could be read, in the order of the source.

        `latents` is (N, L, D); `source_hash` (N, 16) uint8, a BLAKE2b hash of each source image;
        the others (N,). The notes are id -> why the image could not be read.

        Raises:
            FileNotFoundError: a shard is missing; run the job again.
            ValueError: a shard is damaged.
        """
        parts = list(self.iter_shards())
        notes = {name: reason for part in parts for name, reason in part.notes.items()}
        joined = join_shards([part for part in parts if len(part)] or parts[:1], self.folder)
        return replace(joined, notes=notes)

    @property
    def skipped(self) -> tuple[tuple[str, str], ...]:
        """(id, reason) of the images that could not be read; what the source left out is first."""
        notes = (note for shard in self.iter_shards() for note in shard.notes.items())
        return (*self._left_out, *notes)

    def inversion(self, generator: Generator, *, batch_size: int = 64) -> Inversion:
        """Return all images' inversion, on the generator's device, with reconstructions rendered.

        Args:
            generator: the one that the images were inverted with.
            batch_size: images rendered at once.

        Raises:
            FileNotFoundError: a shard is missing; run the job again.
            ValueError: a shard is damaged, or no image could be read.
        """
        shard = self.read_all()
        if not len(shard):
            self._refuse_empty()
        names = {f.name for f in fields(Inversion)}
        kept = {k: v.to(generator.device) for k, v in shard.tensors.items() if k in names}
        reconstructions = render(
            generator, kept["latents"], label=kept.get("label"), batch_size=batch_size
        )
        return Inversion(reconstructions=reconstructions, **kept)

    def summary(self) -> dict[str, Any]:
        """Return counts and losses, as JSON values.

        Returns:
            `images` of the source, `inverted`, `skipped` (left out by the source included),
            `status` (name -> number of images) and `loss` with `mean`, `median` and `p90` (90 % of
            images are at or below it) over the images that have a loss, or None.
        """
        found = [(s.tensors["status"], s.tensors["loss"]) for s in self.iter_shards() if len(s)]
        status = Counter(int(value) for values, _ in found for value in values)
        loss = np.concatenate([np.zeros(0), *(values.double().numpy() for _, values in found)])
        return {
            "images": len(self),
            "inverted": len(loss),
            "skipped": len(self) - len(loss) + len(self._left_out),
            "status": {s.name: status[s] for s in Status if status[s]},
            "loss": spread(loss[np.isfinite(loss)]),
        }

    def _refuse_empty(self) -> NoReturn:
        fail(
            f"store {self.folder}",
            expected="at least one image that could be read",
            got=f"none of {len(self)}",
            remedy="see `skipped` for the reasons",
        )


def spread(loss: np.ndarray) -> dict[str, float] | None:
    """Mean, median and 90th percentile; None of no number."""
    if not len(loss):
        return None
    median, p90 = np.quantile(loss, [0.5, 0.9])
    return {"mean": float(loss.mean()), "median": float(median), "p90": float(p90)}
