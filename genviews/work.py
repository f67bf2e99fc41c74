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
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Generic, ParamSpec, TypeVar

from genviews.checks import check_count, fail
from genviews.engine import Engine, find_engine
from genviews.store import Store
from genviews.types import Progress

__all__ = ["HereOnly", "Make", "Tell", "run_shards"]

Made = TypeVar("Made")
Arguments = ParamSpec("Arguments")
Tell = Callable[[int], None]
Make = Callable[[range, Tell], Made]

POLL = 0.5  # seconds between looks at shards that another process is making (chosen by us)


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
    job = _Job(
        store=store,
        count=check_count(count, "count", least=0),
        size=check_count(shard_size, "shard_size"),
        make=make,
        labels=(stage, unit),
        progress=HereOnly(progress),
        keep_going=keep_going,
    )
    return job.run(find_engine(engine))


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


@dataclass(kw_only=True)
class _Job(Generic[Made]):
    """Items 0 to `count - 1` in shards of `size`; pickles, so that other processes can make some.

    Gives an engine the missing shards, again and again until none is left, and tells of the items
    that are done, never less than before.
    """

    store: Store[Made]
    count: int
    size: int
    make: Make[Made]
    labels: tuple[str, str]
    progress: HereOnly[[str, str, int, int]]
    keep_going: bool
    finished: dict[int, int] = field(default_factory=dict)
    told: int = -1

    def run(self, engine: Engine) -> dict[int, str]:
        """Run, and wait for the shards that others make; number -> reason of those that failed."""
        every = range(-(-self.count // self.size))
        free = left = self.store.missing(every)
        damaged = set(left) & set(self.store.present())
        failed: dict[int, str] = {}
        states: dict[int, object] = {}

        def finish_present() -> None:
            self._finish(set(self.store.present()) & set(every) - damaged)

        def report(index: int, facts: dict[str, object]) -> None:
            states[index] = state = facts["state"]
            if state == "failed":
                failed[index] = str(facts["reason"])
            elif state != "busy":
                damaged.discard(index)
                finish_present()

        self._finish(set(every) - set(left))
        while left:
            states.clear()
            if free:
                engine.run(free, self.start, report)
            else:
                time.sleep(POLL)
                finish_present()
            before = set(left)
            left = [index for index in self.store.missing(left) if index not in failed]
            if free and set(left) == before and "busy" not in states.values():
                _fail_lost(left)
            self._finish(before - set(left) - failed.keys())
            free = [index for index in left if self._is_free(index)]
        self.store.clean()
        return dict(sorted(failed.items()))

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
                made = self.make(self._rows(index), self._within)
            except Exception as error:
                if not self.keep_going or isinstance(error, OSError | MemoryError):
                    raise
                return {"state": "failed", "reason": str(error) or type(error).__name__}
            self.store.write(index, made)
            return {"state": "made"}

    def _rows(self, index: int) -> range:
        return range(index * self.size, min((index + 1) * self.size, self.count))

    def _is_free(self, index: int) -> bool:
        with self.store.claim(index) as mine:
            return mine

    def _finish(self, shards: Iterable[int]) -> None:
        """Take note of finished shards."""
        self.finished |= {index: len(self._rows(index)) for index in shards}
        self._tell(sum(self.finished.values()))

    def _within(self, items: int) -> None:
        """Tell of the finished shards, and of `items` in the one under way.

        All are done once the last shard is in the store, not before.
        """
        done = sum(self.finished.values()) + items
        if done < self.count:
            self._tell(done)

    def _tell(self, done: int) -> None:
        if done > self.told:
            self.told = done
            self.progress(*self.labels, done, self.count)


def _fail_lost(shards: list[int]) -> None:
    fail(
        f"shards {shards[:5]}{' and more' if len(shards) > 5 else ''}",
        expected="to be in the store once the engine has run them",
        got="none of them there",
        remedy="use a folder or URL that the workers share with this process",
        error=RuntimeError,
    )
