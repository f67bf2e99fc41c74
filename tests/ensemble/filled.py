"""Banks of images in memory, made in one go: what those made in shards are compared with."""

from __future__ import annotations

from functools import partial

from genviews.ensemble.bank import ViewBank
from genviews.ensemble.fill import view_logits
from genviews.types import silent


def fill_bank(
    tasks, plan, images, ids, latents=None, labels=None, *, split, progress=silent
) -> ViewBank:
    tell = partial(progress, f"views of {split}", "images")
    return ViewBank(
        tasks=tuple(tasks),
        ids=tuple(ids),
        split=split,
        labels=labels or {},
        logits=view_logits(tasks, plan, images, ids, latents, tell=tell),
        meta=plan.facts,
    )
