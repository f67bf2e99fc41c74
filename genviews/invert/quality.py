"""How well inversions reproduce their images: reconstructions on disk, and the errors of each.

    LATENTS ON DISK -> render -> compare with the source -> RECONSTRUCTIONS AND ERRORS ON DISK

Errors are the terms of an objective, without weights: whatever can be minimised can be measured.
Every view starts from a reconstruction, so views are no better than these numbers allow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from genviews.checks import fail
from genviews.data.content import unpack_hashes
from genviews.data.source import ImageSource, SourceBatch
from genviews.engine import Engine
from genviews.generators.base import Generator
from genviews.identity import identify
from genviews.invert.objective import L1, L2, Objective, Term
from genviews.invert.store import InversionStore
from genviews.render import render
from genviews.shard import Shard
from genviews.store import ShardStore
from genviews.types import Progress, Status
from genviews.work import Tell, run_shards

__all__ = ["ENDED", "ImageQuality", "Reconstructions", "ended", "extremes", "reconstruct"]

ENDED = {
    Status.CONVERGED: "converged",
    Status.STEP_LIMIT: "used every step",
    Status.START_KEPT: "kept the start: no step was better",
    Status.FAILED: "failed",
}


@dataclass(frozen=True, kw_only=True)
class ImageQuality:
    """How the inversion of one image went.

    Args:
        id: of the image.
        status: how it ended.
        loss: objective at the latents that were kept; not finite where it failed.
        start_loss: objective at the start.
        steps: optimisation steps.
        errors: term -> its value between image and reconstruction, over known pixels.
        source_hash: of the file or pixels, in hexadecimal.
    """

    id: str
    status: Status
    loss: float
    start_loss: float
    steps: int
    errors: Mapping[str, float]
    source_hash: str


class Reconstructions:
    """The reconstructions of an `InversionStore`, shard by shard as it is.

    A shard holds `reconstructions` (n, C, H, W), as the generator draws them (not clamped), and for
    each error `error_NAME` (n,).

    Args:
        inversions: complete.
        store: what `reconstruct` filled.
    """

    def __init__(self, inversions: InversionStore, store: ShardStore) -> None:
        self.inversions, self._store = inversions, store

    def iter_shards(self) -> Iterator[Shard]:
        """Yield the shards in the order of the source, one in memory at a time."""
        for index in range(self.inversions.num_shards):
            yield self._store.read(index)

    def qualities(self) -> list[ImageQuality]:
        """Every image that could be read, in the order of the source."""
        pairs = zip(self.inversions.iter_shards(), self.iter_shards(), strict=True)
        return [one for latents, made in pairs for one in _qualities(latents, made)]

    def select(self, ids: Sequence[str]) -> dict[str, Tensor]:
        """Return the reconstructions (C, H, W) of some images by id, on the CPU."""
        wanted = set(ids)
        return {
            name: shard.tensors["reconstructions"][row]
            for shard in self.iter_shards()
            for row, name in enumerate(shard.ids)
            if name in wanted
        }


def reconstruct(
    inversions: InversionStore,
    source: ImageSource,
    generator: Generator,
    folder: str | Path,
    *,
    terms: Sequence[Term] = (L1(), L2()),
    batch_size: int = 64,
    engine: str | Engine = "local",
    progress: Progress | None = None,
) -> Reconstructions:
    """Render and measure every inversion, making only the shards that `folder` does not hold.

    Args:
        inversions: complete.
        source: the images that were inverted.
        generator: the one that they were inverted with.
        folder: a path, or a URL that fsspec knows.
        terms: what to measure, each with a weight above 0.
        batch_size: images rendered at once.
        engine: "local" (this process), "ray", or an `Engine`.
        progress: called with ("render reconstructions", "images", done, all).

    Raises:
        ValueError: `folder` holds the reconstructions of other inversions, or the source's images
            are no longer those that were inverted.
    """
    objective = Objective(tuple(terms))
    identity = identify(inversions=inversions.identity, errors=objective)
    store, size = ShardStore(folder, identity), inversions.shard_size
    # What a shard holds none of whose images could be read.
    nothing = {"reconstructions": torch.empty(0, *generator.image_spec.shape)}
    nothing |= {f"error_{term.name}": torch.empty(0) for term in objective.active}

    def make(rows: range, tell: Tell) -> Shard:
        shard, batch = inversions.read(rows.start // size), source.read(rows)
        _check_same(batch, shard)
        parts = [nothing]
        for start in range(0, len(batch), batch_size):
            part = slice(start, start + batch_size)
            images = batch.images[part].to(generator.device)
            masks = torch.ones_like(images[:, :1]) if batch.masks is None else batch.masks[part]
            given = {name: value[part] for name, value in shard.tensors.items()}
            latents, label = given["latents"].to(generator.device), given.get("label")
            with torch.no_grad():
                rendered = render(generator, latents, label=label, batch_size=batch_size)
                target = objective.target(images, masks.to(images), latents)
                errors = objective.parts(target, rendered, latents)
            named = {f"error_{name}": value.float().cpu() for name, value in errors.items()}
            parts.append({"reconstructions": rendered.float().cpu(), **named})
            tell(start + len(images))
        made = {name: torch.cat([found[name] for found in parts]) for name in nothing}
        return Shard(tensors=made, ids=shard.ids)

    run_shards(
        store,
        len(inversions),
        make,
        shard_size=size,
        stage="render reconstructions",
        engine=engine,
        progress=progress,
    )
    return Reconstructions(inversions, store)


def ended(statuses: Iterable[int]) -> str:
    """Return how inversions ended, in words.

    Example:
        >>> ended([Status.CONVERGED, Status.START_KEPT, Status.CONVERGED])
        '2 of 3 converged; 1 of 3 kept the start: no step was better'
    """
    found = Counter(statuses)
    every = f"{found.total():,}"
    if len(found) == 1:
        return f"all {ENDED[Status(next(iter(found)))]}"
    return "; ".join(f"{found[s]:,} of {every} {ENDED[s]}" for s in Status if found[s])


def extremes(
    qualities: Sequence[ImageQuality], error: str, count: int
) -> tuple[list[ImageQuality], list[ImageQuality]]:
    """Return the best and the worst images, each from its end, none in both.

    Args:
        qualities: those that failed or have no such error are left out.
        error: what to sort by; ties are sorted by id.
        count: at most so many of each.

    Source: Chai et al. 2021, Fig. 10 (by LPIPS).
    """
    good = [one for one in qualities if one.status != Status.FAILED and one.errors[error] >= 0]
    ranked = sorted(good, key=lambda one: (one.errors[error], one.id))
    best = ranked[: min(count, (len(ranked) + 1) // 2)]
    return best, ranked[len(best) :][::-1][:count]


def _check_same(batch: SourceBatch, shard: Shard) -> None:
    """The source is read a second time: its images must be those that were inverted."""
    before = dict(zip(shard.ids, unpack_hashes(shard.tensors["source_hash"]), strict=True))
    now = dict(zip(batch.ids, batch.hashes, strict=True))
    if now != before:
        changed = [name for name in (*before, *now) if before.get(name) != now.get(name)]
        fail(
            "images of the source",
            expected="those that were inverted",
            got=f"{changed[0]!r}, which has changed since",
            remedy="invert the changed images into another folder",
        )


def _qualities(latents: Shard, made: Shard) -> Iterator[ImageQuality]:
    values = {name: value.tolist() for name, value in latents.tensors.items() if value.ndim == 1}
    errors = {
        name.removeprefix("error_"): value.tolist()
        for name, value in sorted(made.tensors.items())
        if name.startswith("error_")
    }
    hashes = unpack_hashes(latents.tensors["source_hash"])
    for row, name in enumerate(latents.ids):
        yield ImageQuality(
            id=name,
            status=Status(values["status"][row]),
            loss=values["loss"][row],
            start_loss=values["start_loss"][row],
            steps=values["steps"][row],
            errors={error: found[row] for error, found in errors.items()},
            source_hash=hashes[row],
        )
