"""Views streamed into training: rendered ahead in the background, pixel views included.

    plan -> ids -> VIEWS -> (reuse) -> augment -> batch(step) -> encode -> representation

The batch of a step is a function of (views, plan, step): with or without a thread, and after a
resume, it is the same.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from genviews.augment.base import PixelViews
from genviews.checks import check_count, fail
from genviews.modes import surroundings
from genviews.represent.plan import SamplePlan
from genviews.represent.views import AnchorViews, ViewBatch
from genviews.rng import Rng
from genviews.signature import checked

__all__ = ["Prefetcher", "StreamStats", "StreamedBatches"]

T = TypeVar("T")


@dataclass(kw_only=True)
class StreamStats:
    """What streamed batches have come to so far.

    Args:
        steps: batches given to training.
        rendered: batches made, those ahead of training included.
        images: images in them.
        redrawn: images among them that were not finite at first, and drawn again.
        generation_seconds: time to make them, on the device too.
        pixel_seconds: time for reuse, pixel views and moving to the encoder's device.
        wait_seconds: time that training waited for batches. With a thread this is what making them
            costs; without one, all of the above.
    """

    steps: int = 0
    rendered: int = 0
    images: int = 0
    redrawn: int = 0
    generation_seconds: float = 0.0
    pixel_seconds: float = 0.0
    wait_seconds: float = 0.0

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Add the time that the block takes to one of the sums of seconds."""
        began = time.perf_counter()
        yield
        setattr(self, name, getattr(self, name) + time.perf_counter() - began)


class Prefetcher(Generic[T]):
    """Items of a generator, made by a thread up to `depth` ahead.

    Only the time changes. Items are made in the modes of torch that they are asked for in (default
    device, mixed precision; see `genviews.modes.surroundings`). Rendering on a GPU or in kernels of
    a CPU frees Python's lock, so the encoder trains meanwhile.

    The thread ends with the generator, on `close`, when this object is deleted, and at the end of
    the program; it holds at most `depth` items that were not taken, the one being made included.

    Args:
        items: to be run ahead of; nobody else may ask it for one.
        depth: items that may be ready ahead; 0: no thread, items are made when asked for.

    Raises:
        ValueError: a negative depth.

    Example:
        >>> with Prefetcher((n * n for n in range(5)), depth=2) as items:
        ...     list(items)
        [0, 1, 4, 9, 16]
    """

    def __init__(self, items: Generator[T, Any, Any], depth: int) -> None:
        check_count(depth, "depth", least=0)
        self._items = items
        self._thread = ThreadPoolExecutor(1, "genviews prefetch") if depth else None
        self._ahead: deque[Future[T]] = deque()
        for _ in range(depth):
            self._make_one()

    def __iter__(self) -> Prefetcher[T]:
        return self

    def __next__(self) -> T:
        """The next item.

        Raises:
            StopIteration: the generator has ended, or this was closed.
            Exception: what the generator raised, once.
        """
        if not self._ahead:
            return next(self._items)
        try:
            item = self._ahead.popleft().result()
        except BaseException:
            self.close()
            raise
        self._make_one()
        return item

    def close(self) -> None:
        """End the thread, after the item that it is making; what was made ahead is dropped."""
        self._ahead.clear()
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)
        self._items.close()

    def __enter__(self) -> Prefetcher[T]:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _make_one(self) -> None:
        if self._thread is not None:
            self._ahead.append(self._thread.submit(_next_in, surroundings(), self._items))


def _next_in(there: Callable[[], AbstractContextManager[None]], items: Iterator[T]) -> T:
    with there():
        return next(items)


class StreamedBatches:
    """Batches of views by step, made ahead while the steps are asked for in order.

    The batch of a step is the same whenever and wherever it is asked for; asking for another step
    than the next one (a resumed run) or for another part starts a new stream there.

    With `reuse` R, `buffer` M batches are rendered, used R times each, and thrown away: between two
    uses the rows of the M batches change places, so that negatives change, and pixel views are
    drawn anew. Batches of two epochs are not mixed, so that no batch holds a sample twice. Memory
    holds M + prefetch batches.

    Args:
        views: `LatentViews` to render on the fly, or `StoredViews`.
        plan: which samples each rendered batch has, over all processes.
        pixels: pixel views of each view, drawn anew at each use; None: images as rendered.
        steps: of the run; what is beyond is not made ahead. None is without end.
        reuse: R, how often a rendered batch is used; 1 is always fresh views.
        buffer: M, rendered batches that are mixed; no effect when `reuse` is 1.
        prefetch: batches made ahead by a thread; 0: made when asked for, without a thread, which is
            faster where views and encoder share a processor (`benchmarks/learn.py`).
        device: of the batches; None is where the views are made.
        pixel_seed: of the pixel views; None is the seed of the views. Runs over one stored set
            differ in it.

    Raises:
        ValueError: a count out of range.

    Source:
        Jahanian et al. 2022, arXiv:2106.05258: the online variants in its code.

    Differs:
        The authors' producers own a GPU each and drop what does not fill a batch; here a batch is
        exactly that of the plan, and one device may do both.

    Example:
        >>> from genviews import ToyGenerator
        >>> from genviews.represent.views import LatentViews
        >>> batches = StreamedBatches(LatentViews(ToyGenerator()), SamplePlan(batch_size=4))
        >>> batches.batch(0)["views"].shape, batches.batch(1)["z"].shape, batches.stats.steps
        (torch.Size([4, 2, 1, 8, 8]), torch.Size([4, 2, 8]), 2)
        >>> batches.close()
    """

    @checked
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
        self._steps = None if steps is None else check_count(steps, "steps", least=0)
        self._prefetch = check_count(prefetch, "prefetch", least=0)
        self._maker = _Maker(
            views=views,
            plan=plan,
            pixels=pixels,
            reuse=check_count(reuse, "reuse"),
            buffer=check_count(buffer, "buffer"),
            device=device,
            pixel_seed=views.seed if pixel_seed is None else pixel_seed,
            stats=StreamStats(),
        )
        self._ahead: Prefetcher[ViewBatch] | None = None
        self._next = (0, 0, 1)  # step, process and processes of the batch that it gives next

    def batch(self, step: int) -> dict[str, Tensor | None]:
        """Return the batch of a step: "views", "labels", "z" of each view, and "ids".

        "z" is None where views were perturbed after the mapping, "labels" of an unconditional
        generator.

        Raises:
            ValueError: a step that is negative or not below `steps`.
        """
        return self.part(step, 0, 1)

    def part(self, step: int, process: int, processes: int) -> dict[str, Tensor | None]:
        """Return what process `process` of `processes` gets of it; the others' is not made.

        Raises:
            ValueError: as `batch`, or more processes than samples in a batch.
        """
        most = math.inf if self._steps is None else self._steps - 1
        check_count(step, "step", least=0, most=most, remedy="make batches with more steps")
        asked, size = (step, process, processes), self._maker.plan.batch_size
        if not 0 <= process < processes <= size:
            fail(
                "part of a batch",
                expected=f"process < processes <= {size}, the batch size",
                got=f"process {process} of {processes}",
                remedy="give each process at least one sample of a batch",
            )
        if self._ahead is None or self._next != asked:
            self.close()
            # Not a method of this object, which the thread must not keep alive.
            self._ahead = Prefetcher(self._maker.batches(self._steps, *asked), self._prefetch)
            self._next = asked
        try:
            with self._maker.stats.timed("wait_seconds"):
                found = next(self._ahead)
        except BaseException:
            self.close()  # the next call begins anew
            raise
        _keep_for_this_stream(found)
        self._maker.stats.steps += 1
        self._next = (step + 1, process, processes)
        views, ids = found.images, torch.tensor(found.ids)
        return {"views": views, "labels": found.labels, "z": found.view_z, "ids": ids}

    def __describe__(self) -> dict[str, object]:
        """What the batches depend on."""
        made = self._maker
        return {
            "views": made.views,
            "batch_size": made.plan.batch_size,
            "num_unique": made.plan.num_unique,
            "order_seed": made.plan.seed,
            "pixels": made.pixels,
            "reuse": made.reuse,
            "buffer": made.buffer,
            "pixel_seed": made.pixel_seed,
        }

    @property
    def stats(self) -> StreamStats:
        """Counts and seconds so far."""
        return replace(self._maker.stats)

    def close(self) -> None:
        """End the thread; asking for a batch starts another."""
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None


@dataclass(frozen=True, kw_only=True)
class _Maker:
    """Makes the batches in their order; counts what it does."""

    views: AnchorViews
    plan: SamplePlan
    pixels: PixelViews | None
    reuse: int
    buffer: int
    device: torch.device | str | None
    pixel_seed: int
    stats: StreamStats

    def batches(
        self, stop: int | None, start: int, process: int, processes: int
    ) -> Generator[ViewBatch]:
        """Parts of the batches of steps [start, stop), or without end."""
        held: dict[int, ViewBatch] = {}
        side = _side_stream(self.views.device)
        rows = torch.arange(self.plan.batch_size, device="cpu").tensor_split(processes)[process]
        buffer = self.buffer if self.reuse > 1 else 1
        for step in count(start) if stop is None else range(start, stop):
            window, inside = divmod(step, self.reuse * buffer)
            use, slot = divmod(inside, buffer)
            first = window * buffer
            # At the first use batches are taken as they come, later all are mixed.
            needed = range(first, first + (buffer if use else slot + 1))
            with nullcontext() if side is None else torch.cuda.stream(side):
                held = {j: held[j] if j in held else self._make(j, rows) for j in needed}
                with self.stats.timed("pixel_seconds"):
                    parts = list(held.values())
                    batch = self._mix(parts, window, use, slot, rows) if use else parts[slot]
                    batch = self._finish(batch, use)
            yield batch

    def _make(self, index: int, rows: Tensor) -> ViewBatch:
        with self.stats.timed("generation_seconds"):
            ids, visit = self.plan.batch(index)
            batch = self.views([ids[row] for row in rows.tolist()], visit)
            _synchronize(batch.images.device)
        self.stats.rendered += 1
        self.stats.images += batch.images.shape[0] * batch.images.shape[1]
        self.stats.redrawn += batch.redrawn
        return batch

    def _finish(self, batch: ViewBatch, use: int) -> ViewBatch:
        if self.pixels is not None:
            names = [f"{i}/{v}/{use}" for i, v in zip(batch.ids, batch.visits, strict=True)]
            streams = Rng(self.pixel_seed, "pixel views").streams(names)
            batch = replace(batch, images=self.pixels.augment(batch.images, streams))
        if self.device is not None:
            batch = batch.to(self.device)
        _synchronize(batch.images.device)
        return batch

    def _mix(
        self, parts: Sequence[ViewBatch], window: int, use: int, slot: int, rows: Tensor
    ) -> ViewBatch:
        """A batch whose row b is row b of one of the parts: each is taken in one slot of a use."""
        # A row stays in its place, so that processes that share a batch mix as one would. Parts of
        # two visits of the samples are not mixed: a sample must not be its own negative.
        streams = Rng(self.plan.seed, f"reuse {use}").streams([window])
        draws = streams.uniform(1, (len(parts), self.plan.batch_size))[0, 0].double()
        epochs = torch.tensor([part.visits[0] for part in parts], device="cpu")
        which = (draws + epochs[:, None]).argsort(dim=0)[slot, rows]
        own = parts[0].tensors().items()
        tensors: dict[str, Any] = {name: value.clone() for name, value in own}
        for number, part in enumerate(parts):
            for name, value in part.tensors().items():
                taken = (which == number).to(value.device)
                tensors[name][taken] = value[taken]
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
