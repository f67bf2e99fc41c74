"""Invert the images that the fashion32 studies use, with the inverter of the card.

Claim: encoder, then about a hundred Adam steps on all rows, reproduces real images well enough that
a classifier loses at most 3 points on the reconstructions.
Command: python -m recipes.fashion32.invert
         (on two cores: --part 0/2 and --part 1/2 at the same time, OMP_NUM_THREADS=1 each)
Time: about 40 minutes for 10,200 images on 2 cores; a shard of 200 images is saved as it ends, a
re-run makes only the missing ones.
Split: `train` (1,200 labelled images, for training on views), `val` (5,000), `test` (4,000, the
first 400 of each class in file order). No label is read by the inversion.
Writes: runs/fashion32/latents/SPLIT, read by train_on_views.py and ensemble.py.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from genviews.data import fashion_mnist, labelled_subset
from genviews.data.fashion import Split
from genviews.data.images import ImageSet
from genviews.generators import Generator, ToyGenerator
from genviews.invert import Inverter, invert
from genviews.memory import keep_freed_memory
from genviews.rng import Rng
from genviews.store import ShardStore
from genviews.types import Inversion
from genviews.zoo import load

LATENTS = Path("runs/fashion32/latents")
SPLITS: tuple[Split, ...] = ("train", "val", "test")
SHARD = 200
TEST_PER_CLASS = 400


def images_of(split: Split) -> ImageSet:
    """The images of a split that the studies use."""
    images = fashion_mnist(split)
    if split == "train":
        return labelled_subset(images, per_class=120)
    if split == "test":
        return labelled_subset(images, per_class=TEST_PER_CLASS)
    return images


def key_of(inverter: Inverter, generator_hash: str) -> dict[str, object]:
    """What the latents depend on."""
    fields = {k: v for k, v in vars(inverter).items() if k not in ("encoder", "objective")}
    objective = {k: v for k, v in vars(inverter.objective).items() if k != "features"}
    return {"inverter": fields, "objective": objective, "weights": generator_hash, "shard": SHARD}


def _key() -> tuple[Inverter, dict[str, object]]:
    entry = load("fashion32")
    files = entry.card["files"]
    made_with = ("generator.safetensors", "encoder.safetensors")
    hashes = [files[name]["sha256"][:16] for name in made_with]
    inverter = entry.inverter()
    return inverter, key_of(inverter, "+".join(hashes))


def run(
    images: ImageSet,
    generator: Generator,
    inverter: Inverter,
    store: ShardStore,
    part: tuple[int, int] = (0, 1),
) -> None:
    """Invert the shards of `part` (index, of) that are missing."""
    count = -(-len(images) // SHARD)
    for index in store.missing(range(part[0], count, part[1])):
        chosen = images.select(list(range(len(images)))[index * SHARD : (index + 1) * SHARD])
        began = time.perf_counter()
        result = invert(generator, chosen.images, inverter=inverter)
        tensors = {
            name: getattr(result, name)
            for name in ("latents", "loss", "start_loss", "status", "steps")
        }
        store.write(index, {k: v.contiguous() for k, v in tensors.items()}, chosen.ids)
        rate = len(chosen) / (time.perf_counter() - began)
        loss = float(result.loss.mean())
        print(f"shard {index + 1} of {count}: loss {loss:.4f}, {rate:.1f} images/s", flush=True)


def read(split: Split, folder: Path = LATENTS) -> tuple[ImageSet, Inversion]:
    """The images of a split with their stored inversions, in order.

    Raises:
        ValueError: shards are missing; run this recipe first.
    """
    from genviews.render import render

    images = images_of(split)
    entry = load("fashion32")
    store = ShardStore(folder / split, _key()[1])
    shard = store.read_all(-(-len(images) // SHARD))
    order = {name: i for i, name in enumerate(shard.ids)}
    rows = torch.tensor([order[name] for name in images.ids])
    tensors = {name: value[rows] for name, value in shard.tensors.items()}
    reconstructions = render(entry.generator, tensors["latents"])
    return images, Inversion(reconstructions=reconstructions, **tensors)


def main(
    *,
    folder: Path = LATENTS,
    part: tuple[int, int] = (0, 1),
    splits: tuple[Split, ...] = SPLITS,
    quick: bool = False,
) -> None:
    """Invert every split; `quick` inverts toy images into `folder`."""
    if quick:
        toy, inverter = ToyGenerator(), Inverter(steps=20)
        drawn = toy.synthesize(toy.map(toy.sample(Rng(0).streams(range(20)))))
        names = tuple(str(i) for i in range(20))
        images = ImageSet(images=drawn, labels=None, ids=names, class_names=())
        run(images, toy, inverter, ShardStore(folder / "toy", key_of(inverter, "toy")))
        return
    inverter, key = _key()
    generator = load("fashion32").generator
    for split in splits:
        run(images_of(split), generator, inverter, ShardStore(folder / split, key), part)


if __name__ == "__main__":
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--part", default="0/1", help="index/of, e.g. 0/2")
    parser.add_argument("--splits", nargs="+", choices=SPLITS, default=SPLITS)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    index, _, of = given.part.partition("/")
    main(part=(int(index), int(of)), splits=tuple(given.splits), quick=given.quick)
