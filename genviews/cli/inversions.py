"""The inversions of a run, kept in its folder: a re-run makes only what is missing.

Each set of images, weights and settings has its own subfolder, named by a hash of all that the
inversions depend on, so that a run with other settings neither mixes with an earlier one nor is
refused.
"""

from __future__ import annotations

from pathlib import Path

from jaxtyping import Int
from torch import Tensor

from genviews.data import ImageSet, MemorySource
from genviews.engine import Engine
from genviews.generators import Generator
from genviews.invert import Inverter, inversion_identity, invert_source
from genviews.memory import images_in_shard
from genviews.types import Inversion, Progress

__all__ = ["invert_images"]

SHARD = 512  # images, or fewer where they are large


def invert_images(
    generator: Generator,
    images: ImageSet,
    inverter: Inverter,
    folder: Path,
    *,
    label: Int[Tensor, " N"] | None = None,
    batch_size: int = 64,
    engine: str | Engine = "local",
    stage: str = "invert",
    progress: Progress | None = None,
) -> Inversion:
    """Invert every image, reading from `folder` what an earlier run has done.

    Args:
        generator: on its device; the result is there too.
        images: to invert.
        inverter: how.
        folder: for the subfolders.
        label: class of each image, for a generator that renders it.
        batch_size: images under way at once.
        engine: where it is done.
        stage: what `progress` calls it.
        progress: called with (stage, "images", done, all).
    """
    source = MemorySource(images)
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
    return store.inversion(generator, batch_size=batch_size)
