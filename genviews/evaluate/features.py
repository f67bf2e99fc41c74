"""Features of the images of a source: what probes, kNN and the distances of generators are fed.

    images -> encoder -> FEATURES h -> probe, kNN, SVM, FID

With a folder each shard is kept as soon as it is made, under a key of all that its values depend
on: a killed run loses the shard in flight.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from genviews.augment import PixelViews
from genviews.checks import check_count, fail
from genviews.data.images import ImageSet
from genviews.data.source import ImageSource, as_source
from genviews.engine import Engine
from genviews.evaluate.extractor import FeatureExtractor, check_features
from genviews.identity import identify
from genviews.memory import images_in_shard
from genviews.rng import Rng
from genviews.shard import Shard
from genviews.store import MemoryStore, ShardStore
from genviews.types import Progress
from genviews.work import Tell, run_shards

__all__ = ["AugmentedFeatures", "Features", "extract_features"]

SHARD = 2048  # images, or fewer where they are large


@dataclass(frozen=True, kw_only=True, eq=False)
class Features:
    """Features of the images of a source.

    Args:
        h: (N, E) float32.
        ids: N ids, in the order of the source.
        skipped: (id, reason) of the images that could not be read.
    """

    h: Float[Tensor, "N E"]
    ids: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.ids)


def extract_features(
    extractor: FeatureExtractor,
    images: ImageSource | ImageSet,
    *,
    transform: PixelViews | None = None,
    rng: Rng | None = None,
    folder: str | Path | None = None,
    shard_size: int | None = None,
    engine: str | Engine = "local",
    stage: str = "features",
    progress: Progress | None = None,
) -> Features:
    """Return the features of every image of a source.

    Args:
        extractor: the network.
        images: N images.
        transform: pixel views seen in place of the images (an augmented probe); None for none.
        rng: of the transform; an image's draw depends on it and on the image's id alone.
        folder: or fsspec URL, where shards are kept, in a subfolder of their own for each network,
            source and setting; a later call reads what is there. None keeps nothing.
        shard_size: images a shard, and so in memory at once; None takes 2048, or fewer where they
            are large.
        engine: "local" (this process); with a folder also "ray", or an `Engine`.
        stage: what `progress` calls it.
        progress: called with (stage, "images", done, all).

    Raises:
        ValueError: features that are not finite or the same for every image, no readable image,
            a transform without `rng`.

    Example:
        >>> extract = FeatureExtractor(torch.nn.Flatten())
        >>> two = ImageSet(images=torch.rand(2, 1, 2, 2), ids=("a", "b"))
        >>> extract_features(extract, two).h.shape
        torch.Size([2, 4])
    """
    source = as_source(images)
    if transform is not None and rng is None:
        fail("rng of the transform", expected="an Rng", got="none", remedy="pass rng=Rng(seed)")
    if shard_size is None:
        shard_size = images_in_shard(source.image_spec, SHARD)
    check_count(shard_size, "shard_size")

    def make(rows: range, tell: Tell) -> Shard:
        batch = source.read(rows)
        if len(batch):
            found = extractor(_see(batch.images, batch.ids, transform, rng))
        else:
            blank = torch.zeros(1, *source.image_spec.shape)
            found = extractor(_see(blank, ("",), transform, rng))[:0]
        return Shard(tensors={"features": found}, ids=batch.ids, notes=dict(batch.skipped))

    store: MemoryStore | ShardStore = MemoryStore()
    if folder is not None:
        identity = identify(
            features=extractor,
            source=source,
            transform=transform,
            rng=None if transform is None else rng,
            shard_size=shard_size,
        )
        store = ShardStore(f"{str(folder).rstrip('/')}/{identity.digest}", identity)
    run_shards(
        store,
        len(source),
        make,
        shard_size=shard_size,
        stage=stage,
        engine=engine,
        progress=progress,
    )
    kept = store.read_all(-(-len(source) // shard_size))
    check_features(kept.tensors["features"])
    return Features(h=kept.tensors["features"], ids=kept.ids, skipped=tuple(kept.notes.items()))


def _see(
    images: Tensor, ids: tuple[str, ...], transform: PixelViews | None, rng: Rng | None
) -> Tensor:
    if transform is None or rng is None:
        return images
    return transform(images, 1, rng.streams(ids))[:, 0]


@dataclass(frozen=True, kw_only=True)
class AugmentedFeatures:
    """Features of freshly augmented images for each epoch: what `SGDProbe.fit_epochs` takes.

    Args:
        extractor: the network.
        images: the training images; all must be readable.
        transform: e.g. a random resized crop with a flip.
        rng: an image's draw depends on it, the epoch and the image's id alone.
        folder: where each epoch's features are kept; see `extract_features`.

    Example:
        >>> from genviews.augment import HorizontalFlip
        >>> images = ImageSet(images=torch.rand(4, 1, 2, 2), ids=tuple("abcd"))
        >>> features = AugmentedFeatures(
        ...     extractor=FeatureExtractor(torch.nn.Flatten()), images=images,
        ...     transform=HorizontalFlip(), rng=Rng(0))
        >>> features(3).shape
        torch.Size([4, 4])
    """

    extractor: FeatureExtractor
    images: ImageSource | ImageSet
    transform: PixelViews
    rng: Rng
    folder: str | Path | None = None

    def __call__(self, epoch: int) -> Float[Tensor, "N E"]:
        """Return the features of an epoch, in the order of the images.

        Raises:
            ValueError: images that cannot be read.
        """
        found = extract_features(
            self.extractor,
            self.images,
            transform=self.transform,
            rng=self.rng.child(f"epoch/{epoch}"),
            folder=self.folder,
        )
        if found.skipped:
            fail(
                "training images of the probe",
                expected="readable ones",
                got=f"{len(found.skipped)} unreadable, e.g. {found.skipped[0]}",
                remedy="leave them out of the source",
            )
        return found.h
