"""An iterator that a background thread runs ahead of, by a bounded number of items.

The items are those of the iterator, in its order; only the time changes. Rendering on a GPU or in
the kernels of a CPU frees Python's lock, so the encoder trains meanwhile.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

from genviews.checks import check_count

__all__ = ["Prefetcher"]

T = TypeVar("T")


class Prefetcher(Generic[T]):
    """Items of a generator, made by a thread up to `depth` ahead.

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
            self._ahead.append(self._thread.submit(next, self._items))
