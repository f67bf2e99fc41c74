"""A long job as shards: cut up, resumed, shared between processes, moved to a cluster. One loop.

    COUNT ITEMS -> shards of consecutive rows -> make(rows) -> STORE

A shard is some rows of the job: images of a data set, samples of a prior, or one row and seed of a
study. `run_shards` makes those that the store does not hold whole, each under a claim, so that runs
on one folder share the work and never make a shard twice. It waits for what others make, takes over
what they leave when they are killed, and ends when no shard is missing. A run that is killed loses
the shard in flight; a finished job costs reading it. Inversion, predictions, rendered views,
features, image quality and the rows of studies all run here.

    store = ShardStore("runs/squares", identify(of="numbers"))
    run_shards(store, 1000, make, shard_size=100, stage="square", unit="numbers")
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Generic, ParamSpec, Protocol, TypeVar, runtime_checkable

from genviews.checks import check_count, fail
from genviews.engine import Engine, find_engine
from genviews.types import Progress

__all__ = ["HereOnly", "Make", "Store", "Tell", "run_shards"]

Made = TypeVar("Made")
Taken = TypeVar("Taken", contravariant=True)
Arguments = ParamSpec("Arguments")
Tell = Callable[[int], None]
Make = Callable[[range, Tell], Made]

POLL = 0.5  # seconds between looks at shards that another process is making (chosen by us)


@runtime_checkable
class Store(Protocol[Taken]):
    """What `run_shards` asks of the place that it fills: `ShardStore` and `RecordStore` have it."""

    def present(self) -> list[int]:
        """The shards that exist, whole or damaged; cheap, for it is asked again and again."""

    def missing(self, shards: int | Iterable[int]) -> list[int]:
        """The shards, of that many or of those numbers, that are absent or damaged."""

    def has(self, index: int) -> bool:
        """Whether a shard is there and whole."""

    def claim(self, index: int) -> AbstractContextManager[bool]:
        """A claim for the length of a `with` block: False where another process has it."""

    def write(self, index: int, made: Taken, /) -> None:
        """Keep a shard, in one step: nobody ever sees half of it."""

    def clean(self) -> None:
        """Remove what killed processes left: lock files and half-written files."""


def run_shards(
    store: Store[Made],
    count: int,
    make: Make[Made],
    *,
    shard_size: int,
    stage: str,
    unit: str = "images",
    engine: str | Engine = "local",
    progress: Progress | None = None,
    keep_going: bool = False,
) -> dict[int, str]:
    """Make the shards that a store does not hold yet; return when no shard is missing.

    Args:
        store: where to. What shards depend on is its key.
        count: items of the whole job.
        make: called with the rows of a shard and `tell`; returns what the store keeps. It may call
            `tell(n)`: n items of this shard are done. For Ray it must pickle, with all it holds.
        shard_size: items in a shard, the last one excepted.
        stage: what is done, for `progress`: "invert test images".
        unit: of the items, in the plural.
        engine: "local" (this process), "ray", or an `Engine`.
        progress: called with (stage, unit, items done, count), first with what earlier runs made;
            the shards that other processes make at the same time are counted as they appear.
        keep_going: a shard whose `make` raises does not stop the others; it stays missing, and a
            later run tries it again. Errors of the machine (OSError, MemoryError) stop the run.

    Returns:
        Number -> reason of the shards that failed; {} unless `keep_going`.

    Raises:
        ValueError: a count out of range, or shards made under another key.
        OSError: the store cannot be written; what was there stays whole.
        RuntimeError: an engine ended without making its shards.
        Exception: what `make` raised.

    Example:
        >>> import tempfile, torch
        >>> from genviews.identity import identify
        >>> from genviews.store import Shard, ShardStore
        >>> def square(rows, tell):
        ...     values = torch.tensor([float(i * i) for i in rows])
        ...     return Shard(tensors={"square": values}, ids=tuple(map(str, rows)))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     store = ShardStore(folder, identify(of="numbers"))
        ...     failed = run_shards(store, 5, square, shard_size=2, stage="square", unit="numbers")
        ...     store.read_all(3).tensors["square"].tolist()
        [0.0, 1.0, 4.0, 9.0, 16.0]
    """
    cut = _Cut(check_count(count, "count", least=0), check_count(shard_size, "shard_size"))
    tally = _Tally(stage, unit, count, progress)
    run = _Run(store=store, cut=cut, tally=tally, engine=find_engine(engine))
    return run.execute(_Worker(store=store, cut=cut, make=make, tally=tally, keep_going=keep_going))


class HereOnly(Generic[Arguments]):
    """A callback of this process; a copy of it that was sent to another process does nothing.

    Args:
        function: what to call; None for nothing.
    """

    def __init__(self, function: Callable[Arguments, object] | None) -> None:
        self._function = function

    def __call__(self, *args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        """Call the function."""
        if self._function is not None:
            self._function(*args, **kwargs)

    def __reduce__(self) -> tuple[type[HereOnly[...]], tuple[None]]:
        return HereOnly, (None,)


@dataclass(frozen=True)
class _Cut:
    """Items 0 to `count - 1` in shards of `size`."""

    count: int
    size: int

    def __len__(self) -> int:
        return -(-self.count // self.size)

    def rows(self, index: int) -> range:
        start = index * self.size
        return range(start, min(start + self.size, self.count))


class _Tally:
    """Counts the items done and tells of them; never says less than before."""

    def __init__(self, stage: str, unit: str, total: int, progress: Progress | None) -> None:
        self._labels, self._total = (stage, unit), total
        self._progress = HereOnly(progress)
        self._finished: dict[int, int] = {}
        self._told = -1

    def finish(self, cut: _Cut, shards: Iterable[int]) -> None:
        """Take note of finished shards."""
        self._finished |= {index: len(cut.rows(index)) for index in shards}
        self._tell(sum(self._finished.values()))

    def within(self, items: int) -> None:
        """Tell of the finished shards, and of `items` in the one under way.

        All are done once the last shard is in the store, not before.
        """
        done = sum(self._finished.values()) + items
        if done < self._total:
            self._tell(done)

    def _tell(self, done: int) -> None:
        if done > self._told:
            self._told = done
            self._progress(*self._labels, done, self._total)


@dataclass(frozen=True, kw_only=True)
class _Worker(Generic[Made]):
    """Makes one shard at a time; pickles, so that other processes can."""

    store: Store[Made]
    cut: _Cut
    make: Make[Made]
    tally: _Tally
    keep_going: bool

    def start(self) -> Callable[[int], dict[str, object]]:
        """What an engine calls with the number of each shard."""
        return self.work

    def work(self, index: int) -> dict[str, object]:
        """Make a shard, unless it is there or another process is making it."""
        with self.store.claim(index) as mine:
            if not mine:
                return {"state": "busy"}
            if self.store.has(index):  # another process made it since somebody looked
                return {"state": "there"}
            try:
                made = self.make(self.cut.rows(index), self.tally.within)
            except Exception as error:
                if not self.keep_going or isinstance(error, OSError | MemoryError):
                    raise
                return {"state": "failed", "reason": str(error) or type(error).__name__}
            self.store.write(index, made)
            return {"state": "made"}


@dataclass(frozen=True, kw_only=True)
class _Run(Generic[Made]):
    """Gives an engine the missing shards, again and again until none is left."""

    store: Store[Made]
    cut: _Cut
    tally: _Tally
    engine: Engine

    def execute(self, worker: _Worker[Made]) -> dict[int, str]:
        """Run, and wait for the shards that others make."""
        every = set(range(len(self.cut)))
        left = self.store.missing(len(self.cut))
        damaged = set(left) & set(self.store.present())
        self.tally.finish(self.cut, every - set(left))
        failed: dict[int, str] = {}
        free = left
        while left:
            if not free:
                time.sleep(POLL)
                self.tally.finish(self.cut, (set(self.store.present()) & set(left)) - damaged)
            states = self._run_once(worker, free, failed, damaged) if free else {}
            before = left
            left = [i for i in self.store.missing(left) if i not in failed]
            if free and set(left) == set(before) and "busy" not in states.values():
                _fail_lost(left)
            self.tally.finish(self.cut, set(before) - set(left) - failed.keys())
            free = [index for index in left if self._is_free(index)]
        self.store.clean()
        return dict(sorted(failed.items()))

    def _run_once(
        self, worker: _Worker[Made], shards: list[int], failed: dict[int, str], damaged: set[int]
    ) -> dict[int, object]:
        states: dict[int, object] = {}

        def report(index: int, facts: dict[str, object]) -> None:
            states[index] = state = facts["state"]
            if state == "failed":
                failed[index] = str(facts["reason"])
            elif state != "busy":
                damaged.discard(index)
                others = (set(self.store.present()) & set(shards)) - damaged
                self.tally.finish(self.cut, others | {index})

        self.engine.run(shards, worker.start, report)
        return states

    def _is_free(self, index: int) -> bool:
        with self.store.claim(index) as mine:
            return mine


def _fail_lost(shards: Sequence[int]) -> None:
    fail(
        f"shards {list(shards[:5])}{' and more' if len(shards) > 5 else ''}",
        expected="to be in the store once the engine has run them",
        got="none of them there",
        remedy="use a folder or URL that the workers share with this process",
        error=RuntimeError,
    )
