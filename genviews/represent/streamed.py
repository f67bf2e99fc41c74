"""Streamed views as the batches that a training asks for by step.

VIEWS -> stream -> batch(step) -> encode -> representation
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from genviews.augment.base import PixelViews
from genviews.checks import fail
from genviews.represent.plan import SamplePlan
from genviews.represent.stream import StreamStats, ViewStream
from genviews.represent.views import AnchorViews

__all__ = ["StreamedBatches"]


class StreamedBatches:
    """Batches of views by step, made ahead while the steps are asked for in order.

    The batch of a step is the same whenever and wherever it is asked for; asking for another step
    than the next one (a resumed run) or for another part starts a new stream there.

    Args:
        views: `LatentViews` to render on the fly, or `StoredViews`.
        plan: which samples each batch has, over all processes.
        pixels: pixel views, drawn anew at each use; None: images as rendered.
        steps: of the run; what is beyond is not made ahead. None is without end.
        reuse: how often each rendered batch is used, see `ViewStream`.
        buffer: rendered batches that are mixed, see `ViewStream`.
        prefetch: batches made ahead, see `ViewStream`.
        device: of the batches; None is where the views are made.
        pixel_seed: of the pixel views, see `ViewStream`.

    Example:
        >>> from genviews import ToyGenerator
        >>> from genviews.represent.views import LatentViews
        >>> batches = StreamedBatches(LatentViews(ToyGenerator()), SamplePlan(batch_size=4))
        >>> batches.batch(0)["views"].shape, batches.batch(1)["z"].shape
        (torch.Size([4, 2, 1, 8, 8]), torch.Size([4, 2, 8]))
        >>> batches.close()
    """

    def __init__(
        self,
        views: AnchorViews,
        plan: SamplePlan,
        pixels: PixelViews | None = None,
        *,
        steps: int | None = None,
        reuse: int = 1,
        buffer: int = 1,
        prefetch: int = 2,
        device: torch.device | str | None = None,
        pixel_seed: int | None = None,
    ) -> None:
        self.views, self.plan, self.pixels, self._steps = views, plan, pixels, steps
        self._options: dict[str, Any] = {
            "reuse": reuse,
            "buffer": buffer,
            "prefetch": prefetch,
            "device": device,
            "pixel_seed": views.seed if pixel_seed is None else pixel_seed,
        }
        self._stream: ViewStream | None = None
        self._part = (plan.rank, plan.world_size)
        self._before = _sum()

    def batch(self, step: int) -> dict[str, Tensor | None]:
        """Return the batch of a step: "views", "labels", "z" of each view, and "ids".

        "z" is None where views were perturbed after the mapping, "labels" of an unconditional
        generator.

        Raises:
            ValueError: a step that is not below `steps`.
        """
        return self._get(step, self.plan.rank, self.plan.world_size)

    def part(self, step: int, process: int, processes: int) -> dict[str, Tensor | None]:
        """Return what process `process` of `processes` gets of it; the others' is not made."""
        return self._get(step, process, processes)

    def __describe__(self) -> dict[str, object]:
        """What the batches depend on."""
        return {
            "views": self.views,
            "batch_size": self.plan.batch_size,
            "num_unique": self.plan.num_unique,
            "order_seed": self.plan.seed,
            "pixels": self.pixels,
            "reuse": self._options["reuse"],
            "buffer": self._options["buffer"],
            "pixel_seed": self._options["pixel_seed"],
        }

    @property
    def stats(self) -> StreamStats:
        """Counts and seconds over all streams so far."""
        return self._before if self._stream is None else _sum(self._before, self._stream.stats)

    def close(self) -> None:
        """End the thread; asking for a batch starts another."""
        if self._stream is not None:
            self._stream.close()
            self._before, self._stream = self.stats, None

    def _get(self, step: int, process: int, processes: int) -> dict[str, Tensor | None]:
        if self._stream is None or (self._stream.step, self._part) != (step, (process, processes)):
            self.close()
            self._part = (process, processes)
            plan = replace(self.plan, rank=process, world_size=processes)
            self._stream = ViewStream(
                self.views, plan, self._steps, pixels=self.pixels, start=step, **self._options
            )
        try:
            found = next(self._stream, None)
        except BaseException:
            self.close()  # the next call begins anew
            raise
        if found is None:
            fail(
                "step",
                expected=f"below {self._steps}, the steps of these batches",
                got=step,
                remedy="make them with more steps",
            )
        return {
            "views": found.images,
            "labels": found.labels,
            "z": found.view_z,
            "ids": torch.tensor(found.ids),
        }


def _sum(*parts: StreamStats) -> StreamStats:
    names = [f.name for f in fields(StreamStats)]
    return StreamStats(**{name: sum(getattr(part, name) for part in parts) for name in names})
