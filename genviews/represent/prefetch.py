"""An iterator that a background thread runs ahead of, by a bounded number of items.

The items are those of the iterator, in its order; only the time changes. Rendering on a GPU or in
the kernels of a CPU frees Python's lock, so the encoder trains meanwhile.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from threading import Event, Semaphore, Thread, current_thread
from typing import Generic, TypeVar

from genviews.checks import check_count

__all__ = ["Prefetcher"]

T = TypeVar("T")


class _End:
    """The iterator ended, or raised `error`."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class Prefetcher(Generic[T]):
    """Items of an iterator, made by a thread up to `depth` ahead.

    The thread ends with the iterator, on `close`, when this object is deleted, and at the end of
    the program; it holds at most `depth` items that were not taken, the one being made included.

    Args:
        make: called once, in the thread, for the iterator.
        depth: items that may be ready ahead; 0: no thread, items are made when asked for.

    Attributes:
        wait_seconds: time that `next` has waited for items so far.

    Raises:
        ValueError: a negative depth.

    Example:
        >>> with Prefetcher(lambda: iter(range(5)), depth=2) as items:
        ...     list(items)
        [0, 1, 2, 3, 4]
    """

    def __init__(self, make: Callable[[], Iterator[T]], depth: int) -> None:
        check_count(depth, "depth", least=0)
        self.wait_seconds = 0.0
        self._ended = False
        self._direct = make() if depth == 0 else None
        self._items: SimpleQueue[T | _End] = SimpleQueue()
        self._free, stop = Semaphore(depth), Event()
        thread = None
        if depth:
            # Not a method: the thread must not keep this object alive.
            thread = Thread(
                target=_pump,
                args=(make, self._items, self._free, stop),
                name="genviews prefetch",
                daemon=True,
            )
            thread.start()
        self._finish = weakref.finalize(self, _finish, thread, self._free, stop)

    def __iter__(self) -> Prefetcher[T]:
        return self

    def __next__(self) -> T:
        """The next item.

        Raises:
            StopIteration: the iterator has ended, or this was closed.
            Exception: what the iterator raised, once.
        """
        if self._ended:
            raise StopIteration
        began = time.perf_counter()
        item = self._take()
        self.wait_seconds += time.perf_counter() - began
        if not isinstance(item, _End):
            return item
        self.close()
        if item.error is None:
            raise StopIteration
        raise item.error

    def close(self) -> None:
        """End the thread, after the item that it is making; what was made ahead is dropped."""
        self._ended = True
        self._finish()
        if self._direct is not None:
            _close(self._direct)
        while not self._items.empty():
            self._items.get()

    def __enter__(self) -> Prefetcher[T]:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _take(self) -> T | _End:
        if self._direct is None:
            item = self._items.get()
            self._free.release()
            return item
        try:
            return next(self._direct)
        except StopIteration:
            return _End()
        except BaseException as error:
            return _End(error)


def _pump(
    make: Callable[[], Iterator[T]], items: SimpleQueue[T | _End], free: Semaphore, stop: Event
) -> None:
    try:
        iterator = make()
        try:
            while True:
                free.acquire()  # before the item is made: it counts as one that is ready
                if stop.is_set():
                    return
                try:
                    item = next(iterator)
                except StopIteration:
                    items.put(_End())
                    return
                items.put(item)
                del item
        finally:
            _close(iterator)
    except BaseException as error:
        items.put(_End(error))


def _close(iterator: Iterator[T]) -> None:
    close = getattr(iterator, "close", None)  # generators have it
    if close is not None:
        close()


def _finish(thread: Thread | None, free: Semaphore, stop: Event) -> None:
    stop.set()
    free.release()
    if thread is not None and thread is not current_thread():  # garbage may be collected in it
        thread.join()
