"""A stored set of views: made once in shards, read in training, made again from its manifest.

    prior -> sample -> latents -> perturb -> render -> SHARDS -> augment -> encode

Shards hold the samples in the order of their ids, so with `Prior.per_class` equal to the shard size
each class, or pseudo-class, has shards of its own. The store's identity is the whole configuration:
a folder never mixes two sets. `manifest.json` is its exact parts and the SHA-256 of each shard.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import fsspec
import torch
from fsspec.implementations.local import LocalFileSystem

from genviews.checks import check_count, fail, lookup
from genviews.engine import Engine
from genviews.files import atomic_write_bytes
from genviews.generators.base import Generator
from genviews.identity import Identity, identify
from genviews.perturb.base import Perturbation
from genviews.represent.manifest import rebuild
from genviews.represent.stored import FORMAT
from genviews.represent.views import LatentViews
from genviews.store import Shard, ShardStore
from genviews.types import Progress
from genviews.work import Tell, run_shards

__all__ = ["recreate_views", "write_views"]

Keep = Literal["latents", "images", "both"]
MANIFEST = "manifest.json"


def write_views(
    views: LatentViews,
    folder: str | Path,
    num_samples: int,
    *,
    keep: Keep = "both",
    shard_size: int = 1000,
    engine: str | Engine = "local",
    stage: str = "render views",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Make the views of samples 0 to `num_samples - 1`, what `folder` does not hold yet.

    A run that is killed loses the shard in flight; a second run, at the same time or later, makes
    what is left. A shard made again is equal byte for byte, on the same kind of machine with the
    same number of torch's threads.

    Args:
        views: what to store. All `pool` positives of each sample are (`positives`, without a pool).
        folder: a path, or a URL that fsspec knows.
        num_samples: N.
        keep: "latents" is small and rendered when read, "images" (uint8) needs no generator in
            training, "both". The anchors' z and labels are always kept.
        shard_size: samples in a shard; 1000 as the paper's pseudo-classes.
        engine: "local" (this process), "ray", or an `Engine`.
        stage: what `progress` calls it.
        progress: called with (stage, "samples", done, N).

    Returns:
        The manifest, also written to `manifest.json` in the folder.

    Raises:
        ValueError: `folder` holds another set (the message lists what differs), or a count out of
            range.
        OSError: the folder cannot be written.
        RuntimeError: an engine ended without making its shards.

    Source:
        Jahanian et al. 2022, arXiv:2106.05258, appendix A and its `generate_dataset_*` scripts.

    Differs:
        The authors store PNG files whose names say which belong together, and skip a class whose
        folder exists, half made or not. Pixels are rounded, theirs cut off.

    Example:
        >>> import tempfile
        >>> from genviews import ToyGenerator
        >>> from genviews.perturb import Gaussian
        >>> from genviews.represent.stored import StoredViews
        >>> views = LatentViews(ToyGenerator(), Gaussian("all", 0.2), pool=3)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     manifest = write_views(views, folder, 10, shard_size=4)
        ...     stored = StoredViews(folder)
        ...     len(manifest["sha256"]), stored([9, 0]).images.shape
        (3, torch.Size([2, 2, 1, 8, 8]))
    """
    identity = _identity(views, num_samples, keep, shard_size)
    run_shards(
        ShardStore(folder, identity),
        num_samples,
        partial(_make, _whole(views), keep),
        shard_size=shard_size,
        stage=stage,
        unit="samples",
        engine=engine,
        progress=progress,
    )
    return _write_manifest(folder, identity, -(-num_samples // shard_size), views.batch_size)


def recreate_views(
    manifest: Mapping[str, Any] | str | Path,
    generator: Generator,
    folder: str | Path,
    perturbation: Perturbation | None = None,
) -> dict[str, Any]:
    """Make a stored set again from its manifest, and compare every shard with it.

    Args:
        manifest: what `write_views` returned, or the path of a `manifest.json`.
        generator: with the weights that the set was made with.
        folder: where to.
        perturbation: needed where it holds tensors (PCA's statistics, a learnt walk); else it is
            made from the manifest.

    Returns:
        The manifest, equal to the given one.

    Raises:
        ValueError: another generator or perturbation than in the manifest, no manifest, or shards
            that are not equal byte for byte (they are named).
    """
    if not isinstance(manifest, Mapping):
        with fsspec.open(str(manifest), "rt", encoding="utf-8") as file:
            manifest = json.load(file)
    if not isinstance(manifest, Mapping) or manifest.get("format") != FORMAT:
        fail("manifest", expected=f"format {FORMAT}", got="another", remedy="see `write_views`")
    key: dict[str, Any] = manifest["key"]
    if perturbation is None:
        perturbation = rebuild(key["views"]["perturbation"])
    views = LatentViews(
        generator,
        perturbation,
        rebuild(key["views"]["prior"]),
        positives=key["views"]["pool"],
        seed=key["views"]["seed"],
        batch_size=manifest["batch_size"],
    )
    options = {"keep": key["keep"], "shard_size": key["shard_size"]}
    made = _identity(views, key["num_samples"], **options)
    # A manifest is text: it holds no answers.
    Identity(made.exact).check(Identity(key), "generator and perturbation")
    found = write_views(views, folder, key["num_samples"], **options)
    other = [name for name, digest in manifest["sha256"].items() if found["sha256"][name] != digest]
    if other:
        fail(
            "recreated views",
            expected="the bytes of the manifest",
            got=f"others in shards {', '.join(other[:5])}",
            remedy="use the kind of device, the number of threads and the versions of then",
        )
    return found


def _whole(views: LatentViews) -> LatentViews:
    """The same views, showing every positive of the pool."""
    count = views.positives if views.pool is None else views.pool
    return LatentViews(
        views.generator,
        views.perturbation,
        views.prior,
        positives=count,
        pool=count,
        seed=views.seed,
        batch_size=views.batch_size,
    )


def _identity(views: LatentViews, num_samples: int, keep: str, shard_size: int) -> Identity:
    """All that the content of the shards depends on."""
    return identify(
        format=FORMAT,
        views=_whole(views),
        num_samples=check_count(num_samples, "num_samples"),
        keep=lookup(keep, {k: k for k in get_args(Keep)}, "keep"),
        shard_size=check_count(shard_size, "shard_size"),
    )


def _make(views: LatentViews, keep: Keep, rows: range, tell: Tell) -> Shard:
    """The samples of a shard."""
    anchors, latents = views.latents(rows)
    found = {
        "z": anchors.z,
        "view_z": views.view_z(anchors.z, latents),
        "labels": anchors.labels,
        "pseudo_labels": anchors.pseudo_labels,
    }
    tensors = {name: value for name, value in found.items() if value is not None}
    if keep != "images":
        tensors["latents"] = latents
    if keep != "latents":
        pixels = (views.render(latents, anchors.labels) + 1.0) * 127.5
        tensors["images"] = pixels.round().to(torch.uint8)
    return Shard(tensors=tensors, ids=tuple(str(i) for i in rows))


def _write_manifest(
    folder: str | Path, identity: Identity, total: int, batch_size: int
) -> dict[str, Any]:
    files, root = fsspec.url_to_fs(str(folder))
    names = [f"{index:05d}.safetensors" for index in range(total)]
    digests = {n: hashlib.sha256(files.cat_file(f"{root}/{n}")).hexdigest() for n in names}
    # The bytes, but nothing else, depend on how many images were rendered at once.
    facts = {"format": FORMAT, "key": dict(identity.exact), "batch_size": batch_size}
    manifest = {**facts, "sha256": digests}
    data = (json.dumps(manifest, indent=2) + "\n").encode()
    if isinstance(files, LocalFileSystem):
        atomic_write_bytes(f"{root}/{MANIFEST}", data)
    else:
        files.pipe_file(f"{root}/{MANIFEST}", data)
    return manifest
