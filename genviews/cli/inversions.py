"""Inversion in shards on disk: a killed run loses the shard in flight, the next makes the rest.

Each image's inversion depends on that image alone, so cutting the set into shards changes no
result.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import torch
from torch import nn

from genviews.data.images import ImageSet
from genviews.generators import Generator
from genviews.invert import Inverter, invert
from genviews.render import render
from genviews.store import ShardStore
from genviews.types import Inversion, Status

__all__ = ["invert_in_shards"]

SHARD = 512  # images; about a minute of work, so little is lost and files stay few (chosen by us)
_KEPT = ("latents", "loss", "start_loss", "status", "steps")


def invert_in_shards(
    generator: Generator,
    images: ImageSet,
    inverter: Inverter,
    folder: Path,
    *,
    batch_size: int = 64,
    progress: Callable[[int, int], None],
) -> Inversion:
    """Invert every image, reading from `folder` what an earlier run has done.

    Args:
        generator: on its device; the result is there too.
        images: to invert.
        inverter: how.
        folder: for the shards; those of other images, weights or settings lie in another subfolder.
        batch_size: images under way at once.
        progress: called with (images done, images in all).
    """
    key = _key(generator, images, inverter)
    name = hashlib.blake2b(json.dumps(key, sort_keys=True).encode(), digest_size=8).hexdigest()
    store = ShardStore(folder / name, key)
    total, count = len(images), -(-len(images) // SHARD)
    missing = store.missing(count)
    done = total - sum(len(_rows(index, total)) for index in missing)
    progress(done, total)
    for index in missing:
        rows = _rows(index, total)

        def tell(stage: str, ready: int, of: int, before: int = done) -> None:
            progress(before + ready, total)

        found = invert(
            generator,
            images.images[rows.start : rows.stop].to(generator.device),
            inverter=inverter,
            batch_size=batch_size,
            progress=tell,
        )
        tensors = {field: getattr(found, field) for field in _KEPT}
        store.write(index, tensors, images.ids[rows.start : rows.stop])
        done += len(rows)
        if not found.status.ne(Status.FAILED).any():  # `invert` had nothing to tell
            progress(done, total)
    kept = {k: v.to(generator.device) for k, v in store.read_all(count).tensors.items()}
    with torch.no_grad():
        reconstructions = render(generator, kept["latents"], batch_size=batch_size)
    return Inversion(reconstructions=reconstructions, **kept)


def _key(generator: Generator, images: ImageSet, inverter: Inverter) -> dict[str, object]:
    """All that an inversion depends on, as JSON values."""
    settings = {f.name: getattr(inverter, f.name) for f in fields(inverter) if f.name != "encoder"}
    objective = settings.pop("objective")
    weights = {f.name: getattr(objective, f.name) for f in fields(objective)}
    return {
        "images": images.fingerprint(),
        "generator": f"{type(generator).__name__} {_weights_hash(generator)}",
        "encoder": "" if inverter.encoder is None else _weights_hash(inverter.encoder),
        "inverter": settings,
        "objective": {**weights, "features": objective.features is not None},
        "shard": SHARD,
    }


def _weights_hash(module: nn.Module) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _rows(index: int, total: int) -> range:
    return range(index * SHARD, min((index + 1) * SHARD, total))
