"""Inversions that are kept in a folder, whatever is inverted there: each in a place of its own.

Each set of images, weights and settings has its own subfolder, named by all that the inversions
depend on, so that a run with other settings neither mixes with an earlier one nor is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from genviews.checks import fail
from genviews.data.source import ImageSource
from genviews.engine import Engine
from genviews.generators.base import Generator
from genviews.invert.inverter import Inverter
from genviews.invert.job import inversion_identity, invert_source
from genviews.invert.store import InversionStore
from genviews.memory import images_in_shard
from genviews.types import Progress

__all__ = ["Inverted", "invert_kept"]

SHARD = 512  # images, or fewer where they are large


@dataclass(frozen=True, kw_only=True, eq=False)
class Inverted:
    """Inversions of the images of a source: how each ended in memory, latents on disk.

    Args:
        store: with the latents.
        ids: of the n images that could be read.
        loss: at the latents; not finite where an inversion failed.
        start_loss: at the start.
        status: how each ended, see `Status`.
        label: class that each is rendered with; None where latents carry it.
    """

    store: InversionStore
    ids: tuple[str, ...]
    loss: Float[Tensor, " n"]
    start_loss: Float[Tensor, " n"]
    status: Int[Tensor, " n"]
    label: Int[Tensor, " n"] | None = None

    @classmethod
    def of(cls, store: InversionStore) -> Inverted:
        """Read all but the latents.

        Raises:
            FileNotFoundError, ValueError: a shard is missing or damaged, or no image was readable.
        """
        shards = [shard for shard in store.iter_shards() if len(shard)]
        if not shards:
            fail(
                f"inversions of {store!r}",
                expected="at least one image that could be read",
                got="none",
                remedy="see `skipped` of the store for the reasons",
            )
        small = {
            name: torch.cat([shard.tensors[name] for shard in shards])
            for name in ("loss", "start_loss", "status", "label")
            if name in shards[0].tensors
        }
        return cls(store=store, ids=tuple(i for shard in shards for i in shard.ids), **small)

    def loss_of(self, ids: Sequence[str]) -> Float[Tensor, " m"]:
        """The losses of some images."""
        places = {name: row for row, name in enumerate(self.ids)}
        return self.loss[[places[name] for name in ids]]

    def snapshots(self) -> Float[Tensor, "n T L D"]:
        """The latents after each of `Inverter.snapshots` steps.

        Raises:
            KeyError: the inverter kept none.
        """
        shards = [shard for shard in self.store.iter_shards() if len(shard)]
        return torch.cat([shard.tensors["snapshots"] for shard in shards])


def invert_kept(
    generator: Generator,
    source: ImageSource,
    inverter: Inverter,
    folder: Path,
    *,
    label: Int[Tensor, " N"] | None = None,
    batch_size: int = 64,
    engine: str | Engine = "local",
    stage: str = "invert",
    progress: Progress | None = None,
) -> Inverted:
    """Invert every image, reading from `folder` what an earlier run has done.

    Args:
        generator: on its device.
        source: to invert.
        inverter: how.
        folder: for the subfolders.
        label: class of each image, for a generator that renders it.
        batch_size: images under way at once.
        engine: where it is done.
        stage: what `progress` calls it.
        progress: called with (stage, "images", done, all).
    """
    size = images_in_shard(source.image_spec, SHARD)
    identity = inversion_identity(source, generator, inverter, label, shard_size=size)
    store = invert_source(
        source,
        generator,
        inverter,
        folder / identity.digest,
        label=label,
        shard_size=size,
        batch_size=batch_size,
        engine=engine,
        stage=stage,
        progress=progress,
    )
    return Inverted.of(store)
