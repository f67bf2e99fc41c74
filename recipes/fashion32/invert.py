"""Invert the images that the fashion32 studies use, with the inverter of the card.

Claim: an encoder that saw real images, then a few steps on all rows, reproduces real images well
enough that a classifier loses at most 3 points on the reconstructions.
Command: python -m recipes.fashion32.invert
         (on two cores: twice at the same time, OMP_NUM_THREADS=1 each; runs on one folder share the
         shards among them)
Time: about 15 minutes for 10,200 images on 2 cores; a shard of 200 images is saved as it ends, a
re-run makes only the missing ones.
Split: `train` (1,200 labelled images, for training on views), `val` (5,000), `test` (4,000, the
first 400 of each class in file order). No label is read by the inversion.
Writes: runs/fashion32/latents/SPLIT, read by train_on_views.py and ensemble.py.
"""

from __future__ import annotations

from pathlib import Path

from genviews import load_generator
from genviews.data.fashion import Split, fashion_mnist, labelled_subset
from genviews.data.images import ImageSet
from genviews.data.source import ImageSource, MemorySource
from genviews.generators.base import Generator
from genviews.generators.toy import ToyGenerator
from genviews.invert.inverter import Inverter
from genviews.invert.job import inversion_identity, invert_source
from genviews.invert.store import InversionStore
from genviews.rng import Rng
from genviews.types import Inversion
from recipes.recipe import Printed, run

LATENTS = Path("runs/fashion32/latents")
SPLITS: tuple[Split, ...] = ("train", "val", "test")
SHARD, BATCH = 200, 64
PER_CLASS = {"train": 120, "test": 400}


def images_of(split: Split) -> ImageSet:
    """The images of a split that the studies use."""
    images = fashion_mnist(split)
    return labelled_subset(images, PER_CLASS[split]) if split in PER_CLASS else images


def invert_missing(
    images: ImageSet, generator: Generator, inverter: Inverter, folder: Path
) -> None:
    """Invert the shards that are missing, or wait for another run that makes them."""
    store = invert_source(
        MemorySource(images),
        generator,
        inverter,
        folder,
        shard_size=SHARD,
        batch_size=BATCH,
        stage=folder.name,
        progress=Printed(SHARD).progress,
    )
    print(f"{folder.name}: {store.summary()}", flush=True)


def stored(split: Split, folder: Path = LATENTS) -> tuple[ImageSource, InversionStore]:
    """The images of a split and the store of their inversions.

    Raises:
        FileNotFoundError: shards are missing; run this recipe first.
        ValueError: they were made with other images, weights or settings.
    """
    source, kit = MemorySource(images_of(split)), load_generator("fashion32")
    identity = inversion_identity(source, kit.generator, kit.inverter, shard_size=SHARD)
    return source, InversionStore(folder / split, identity)


def read(split: Split, folder: Path = LATENTS) -> tuple[ImageSet, Inversion]:
    """The images of a split with their stored inversions, in order.

    Raises:
        FileNotFoundError, ValueError: as `stored`.
    """
    source, store = stored(split, folder)
    return source.load(), store.inversion(load_generator("fashion32").generator)


def main(
    *, folder: Path = LATENTS, splits: tuple[Split, ...] = SPLITS, quick: bool = False
) -> None:
    """Invert every split; `quick` inverts toy images into `folder`."""
    if quick:
        toy = ToyGenerator()
        drawn = toy.synthesize(toy.map(toy.sample(Rng(0).streams(range(20)))))
        images = ImageSet(images=drawn, ids=tuple(map(str, range(20))))
        invert_missing(images, toy, Inverter(steps=20), folder / "toy")
        return
    kit = load_generator("fashion32")
    for split in splits:
        invert_missing(images_of(split), kit.generator, kit.inverter, folder / split)


if __name__ == "__main__":
    run(main)
