"""Fill banks shard by shard, so that a killed study loses at most the shard in flight.

Same arguments and same result as `fill_bank`; the logits of each shard of images are kept in a
`ShardStore` under a key of everything they depend on. The same study started twice is two workers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from jaxtyping import Float, Int
from torch import Tensor

from genviews.classify.task import Task, task_classifiers
from genviews.ensemble.fill import fill_bank
from genviews.ensemble.view_bank import ViewBank
from genviews.ensemble.views import ViewSet
from genviews.fingerprint import weights_hash
from genviews.generators.base import Generator
from genviews.perturb import PCA
from genviews.store import Shard, ShardStore
from genviews.types import Progress
from genviews.work import Tell, run_shards

__all__ = ["fill_bank_resumably"]

SHARD = 250


def fill_bank_resumably(
    folder: Path | str,
    tasks: Sequence[Task],
    generator: Generator | None,
    images: Float[Tensor, "N C H W"],
    ids: Sequence[str],
    labels: Mapping[str, Int[Tensor, " N"]] | None,
    latents: Float[Tensor, "N L D"] | None,
    view_sets: Sequence[ViewSet],
    *,
    split: str,
    num_views: int = 32,
    seed: int = 0,
    batch_size: int = 256,
    progress: Progress | None = None,
) -> ViewBank:
    """Like `fill_bank`, with finished shards kept in a folder of their own below `folder`.

    Args:
        folder: holds one store for each different call; safe to delete when the study is done.
        tasks: see `fill_bank`, as all that follow; their names and labels are no part of the work.
        generator: renders the latents.
        images: in [-1, 1].
        ids: N different sample ids.
        labels: class indices by the name of their column, or None.
        latents: of the images.
        view_sets: the views to make.
        split: which data this is.
        num_views: K.
        seed: of the views.
        batch_size: views in flight at a time.
        progress: called with ("views of SPLIT", "images", done, N).
    """
    key: dict[str, object] = {
        "data": _hash(images, latents, ids),
        "networks": {
            "classifiers": [weights_hash(c) for c in task_classifiers(tasks)],
            "generator": "" if generator is None else weights_hash(generator),
        },
        "views": [_describe(v) for v in view_sets],
        "num_views": num_views,
        "seed": seed,
        "shard": SHARD,
    }
    name = hashlib.blake2b(repr(key).encode(), digest_size=8).hexdigest()
    store = ShardStore(Path(folder) / f"{split}-{name}", key)

    def make(rows: range, tell: Tell) -> Shard:
        cut = slice(rows.start, rows.stop)
        bank = fill_bank(
            tasks,
            generator,
            images[cut],
            ids[cut],
            None,
            None if latents is None else latents[cut],
            view_sets,
            split=split,
            num_views=num_views,
            seed=seed,
            batch_size=batch_size,
            progress=lambda stage, unit, done, total: tell(done),
        )
        tensors = {
            f"{place}/{what}": logits.contiguous()
            for place, own in enumerate(bank.logits)
            for what, logits in own.items()
        }
        return Shard(tensors=tensors, ids=tuple(ids[cut]))

    run_shards(
        store, len(ids), make, shard_size=SHARD, stage=f"views of {split}", progress=progress
    )
    tensors = store.read_all(-(-len(ids) // SHARD)).tensors
    logits: list[dict[str, Tensor]] = [{} for _ in task_classifiers(tasks)]
    for kept, value in tensors.items():
        place, _, what = kept.partition("/")
        logits[int(place)][what] = value
    return ViewBank(
        tasks=tuple(tasks),
        ids=tuple(ids),
        split=split,
        labels={column: values.cpu() for column, values in (labels or {}).items()},
        logits=tuple(logits),
        meta={"seed": seed, "num_views": num_views},
    )


def _hash(images: Tensor, latents: Tensor | None, ids: Sequence[str]) -> str:
    digest = hashlib.blake2b("\x1f".join(ids).encode(), digest_size=12)
    for tensor in (images, latents):
        if tensor is not None:
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _describe(view_set: ViewSet) -> str:
    """A view set in words, with the directions of a PCA, which its repr leaves out."""
    perturbation = view_set.perturbation
    if not isinstance(perturbation, PCA):
        return repr(view_set)
    statistics = perturbation.statistics
    return f"{view_set!r} {_hash(statistics.components, statistics.stddev, ())}"
