"""How far an inversion is, with the mean loss of what is done, whoever did it."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import torch

from genviews.cli.progress import Stages
from genviews.store import ShardStore, stored_identity

__all__ = ["InvertProgress"]

LOOK = 1.0  # seconds between looks at the store


class InvertProgress:
    """The `progress` of `invert_source`: tells of it with the mean loss.

    The mean loss is over the shards in the store, so it counts what other workers and earlier runs
    made, and is known once the first shard is done.

    Args:
        stages: of the run.
        folder: of the store.

    Attributes:
        earlier: images that earlier runs had made.
    """

    def __init__(self, stages: Stages, folder: Path) -> None:
        self.earlier = 0
        self._stages, self._folder = stages, folder
        self._losses: dict[int, tuple[float, int]] = {}
        self._begun, self._looked = False, 0.0

    def __call__(self, stage: str, unit: str, done: int, total: int) -> None:
        """Take note that `done` of `total` images are inverted."""
        if not self._begun:
            self._begun, self.earlier = True, done
        elif done >= total or time.monotonic() - self._looked >= LOOK:
            self._look()
        self._stages(stage, unit, done, total, note=self._note())

    def _look(self) -> None:
        # A shard that is being written, or is damaged, is the inversion's matter, not ours.
        with contextlib.suppress(OSError, ValueError):
            store = ShardStore(self._folder, stored_identity(self._folder))
            for index in set(store.present()) - self._losses.keys():
                shard = store.read(index)
                loss = shard.tensors["loss"] if len(shard) else torch.empty(0)
                good = loss[loss.isfinite()].double()
                self._losses[index] = (float(good.sum()), len(good))
        self._looked = time.monotonic()

    def _note(self) -> str:
        count = sum(n for _, n in self._losses.values())
        total = sum(loss for loss, _ in self._losses.values())
        return f"mean loss {total / count:.4g}" if count else ""
