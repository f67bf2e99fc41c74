"""Views streamed into training: rendered ahead in the background, pixel views included.

    plan -> ids -> VIEWS -> (reuse) -> augment -> encode -> representation

Step s of a stream is a function of (views, plan, s): with or without a thread, and after a resume,
its batch is the same.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from itertools import count

import torch

from genviews.augment.base import PixelViews
from genviews.checks import check_count
from genviews.represent.plan import SamplePlan
from genviews.represent.prefetch import Prefetcher
from genviews.represent.views import AnchorViews, ViewBatch
from genviews.rng import Rng

__all__ = ["StreamStats", "ViewStream"]


@dataclass(frozen=True, kw_only=True)
class StreamStats:
    """What a stream has done so far.

    Args:
        steps: batches given to training.
        rendered: batches made, those ahead of training included.
        images: images in them.
        generation_seconds: time to make them, on the device too.
        pixel_seconds: time for reuse, pixel views and moving to the encoder's device.
        wait_seconds: time that training waited for batches. With a thread this is what making them
            costs; without one, all of the above.
    """

    steps: int
    rendered: int
    images: int
    generation_seconds: float
    pixel_seconds: float
    wait_seconds: float

    def describe(self) -> dict[str, float]:
        """As JSON values, for a run's metrics."""
        return asdict(self)


class ViewStream:
    """An iterator of `ViewBatch`es for the training steps from `start` on.

    With `reuse` R, `buffer` M batches are rendered, used R times each, and thrown away: between two
    uses the rows of the M batches change places, so that negatives change, and pixel views are
    drawn anew. Memory holds M + prefetch batches.

    Args:
        views: `LatentViews` to render on the fly, or `StoredViews`.
        plan: which samples each rendered batch has.
        steps: number of training steps of the whole run; None is without end.
        pixels: pixel views of each view, drawn anew at each use; None: images as rendered.
        start: the step to begin with, to resume a run.
        reuse: R, how often a rendered batch is used; 1 is always fresh views.
        buffer: M, rendered batches that are mixed; no effect when `reuse` is 1.
        prefetch: batches made ahead by a thread; 0: made when asked for, without a thread, which is
            faster where views and encoder share a processor (`benchmarks/learn.py`).
        device: of the batches; None is where the views are made.
        pixel_seed: of the pixel views; None is the seed of the views. Runs over one stored set
            differ in it.

    Attributes:
        step: number of the step whose batch comes next.

    Raises:
        ValueError: a count out of range.

    Source:
        Jahanian et al. 2022, arXiv:2106.05258: the online variants in its code.

    Differs:
        The authors' producers own a GPU each and drop what does not fill a batch; here a batch is
        exactly that of the plan, and one device may do both.

    Example:
        >>> from genviews import ToyGenerator
        >>> from genviews.perturb import Gaussian
        >>> from genviews.represent.views import LatentViews
        >>> views = LatentViews(ToyGenerator(), Gaussian("all", 0.2))
        >>> with ViewStream(views, SamplePlan(batch_size=4), steps=3) as stream:
        ...     [batch.ids[0] for batch in stream], stream.stats.steps
        ([0, 4, 8], 3)
    """

    def __init__(
        self,
        views: AnchorViews,
        plan: SamplePlan,
        steps: int | None = None,
        *,
        pixels: PixelViews | None = None,
        start: int = 0,
        reuse: int = 1,
        buffer: int = 1,
        prefetch: int = 2,
        device: torch.device | str | None = None,
        pixel_seed: int | None = None,
    ) -> None:
        if steps is not None:
            check_count(steps, "steps", least=0)
        check_count(prefetch, "prefetch", least=0)
        self.step = check_count(start, "start", least=0)
        check_count(reuse, "reuse")
        check_count(buffer, "buffer")
        self._maker = _Maker(
            views=views,
            plan=plan,
            pixels=pixels,
            reuse=reuse,
            buffer=buffer if reuse > 1 else 1,
            device=None if device is None else torch.device(device),
            pixel_seed=views.seed if pixel_seed is None else pixel_seed,
        )
        maker = self._maker  # not self: the thread must not keep the stream alive
        self._batches = Prefetcher(lambda: maker.batches(start, steps), prefetch)

    def __iter__(self) -> ViewStream:
        return self

    def __next__(self) -> ViewBatch:
        """The batch of step `step`; an error of the thread is raised here."""
        batch = next(self._batches)
        _keep_for_this_stream(batch)
        self.step += 1
        self._maker.taken += 1
        return batch

    def close(self) -> None:
        """End the thread; the stream has then ended."""
        self._batches.close()

    def __enter__(self) -> ViewStream:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def stats(self) -> StreamStats:
        """Counts and seconds so far."""
        made = self._maker
        return StreamStats(
            steps=made.taken,
            rendered=made.rendered,
            images=made.images,
            generation_seconds=made.generation_seconds,
            pixel_seconds=made.pixel_seconds,
            wait_seconds=self._batches.wait_seconds,
        )


class _Maker:
    """Makes the batches in their order; counts what it does."""

    def __init__(
        self,
        *,
        views: AnchorViews,
        plan: SamplePlan,
        pixels: PixelViews | None,
        reuse: int,
        buffer: int,
        device: torch.device | None,
        pixel_seed: int,
    ) -> None:
        self.pixel_seed = pixel_seed
        self.views, self.plan, self.pixels, self.device = views, plan, pixels, device
        self.reuse, self.buffer = reuse, buffer
        self.taken = self.rendered = self.images = 0
        self.generation_seconds = self.pixel_seconds = 0.0

    def batches(self, start: int, stop: int | None) -> Iterator[ViewBatch]:
        """The batches of steps [start, stop), or without end."""
        held: dict[int, ViewBatch] = {}
        side = _side_stream(self.views.device)
        for step in count(start) if stop is None else range(start, stop):
            window, inside = divmod(step, self.reuse * self.buffer)
            use, slot = divmod(inside, self.buffer)
            first = window * self.buffer
            # At the first use batches are taken as they come, later all are mixed.
            needed = range(first, first + (self.buffer if use else slot + 1))
            with nullcontext() if side is None else torch.cuda.stream(side):
                held = {j: held[j] if j in held else self._make(j) for j in needed}
                batch = self._finish(list(held.values()), window, use, slot)
            yield batch

    def _make(self, index: int) -> ViewBatch:
        began = time.perf_counter()
        batch = self.views(*self.plan.batch(index))
        _synchronize(batch.images.device)
        self.generation_seconds += time.perf_counter() - began
        self.rendered += 1
        self.images += batch.images.shape[0] * batch.images.shape[1]
        return batch

    def _finish(self, parts: Sequence[ViewBatch], window: int, use: int, slot: int) -> ViewBatch:
        began = time.perf_counter()
        batch = self._mix(parts, window, use, slot) if use else parts[slot]
        if self.pixels is not None:
            names = [f"{i}/{v}/{use}" for i, v in zip(batch.ids, batch.visits, strict=True)]
            streams = Rng(self.pixel_seed, "pixel views").streams(names)
            batch = replace(batch, images=self.pixels.augment(batch.images, streams))
        if self.device is not None:
            batch = batch.to(self.device)
        _synchronize(batch.images.device)
        self.pixel_seconds += time.perf_counter() - began
        return batch

    def _mix(self, parts: Sequence[ViewBatch], window: int, use: int, slot: int) -> ViewBatch:
        """A batch whose row b is row b of one of the parts: each is taken in one slot of a use."""
        # A row stays in its place, so that processes that share a batch mix as one would.
        draws = (
            Rng(self.plan.seed, f"reuse {use}")
            .streams([window])
            .uniform(1, (len(parts), self.plan.batch_size))
        )
        which = draws[0, 0].argsort(dim=0)[slot, self.plan.rows]
        tensors = {name: value.clone() for name, value in parts[0].tensors().items()}
        for number, part in enumerate(parts):
            for name, value in part.tensors().items():
                rows = (which == number).to(value.device)
                tensors[name][rows] = value[rows]
        chosen = [(parts[j].ids[b], parts[j].visits[b]) for b, j in enumerate(which.tolist())]
        ids, visits = zip(*chosen, strict=True)
        return replace(parts[0], ids=ids, visits=visits, **tensors)


def _side_stream(device: torch.device) -> torch.cuda.Stream | None:
    """On a GPU, a stream of its own: rendering then overlaps with the encoder's kernels."""
    if device.type != "cuda":
        return None
    side = torch.cuda.Stream(device)
    side.wait_stream(torch.cuda.default_stream(device))  # the generator's weights are there
    return side


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.current_stream(device).synchronize()


def _keep_for_this_stream(batch: ViewBatch) -> None:
    """Tell the allocator that memory of the side stream is in use here."""
    for value in batch.tensors().values():
        if value.is_cuda:
            value.record_stream(torch.cuda.current_stream(value.device))
