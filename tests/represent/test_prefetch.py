"""A thread that runs ahead: same items, bounded, errors arrive, and nothing is left behind."""

from __future__ import annotations

import contextlib
import gc
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from genviews.represent.stream import Prefetcher

ROOT = Path(__file__).resolve().parents[2]
DEPTHS = pytest.mark.parametrize("depth", [0, 1, 3])


def threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("genviews prefetch")]


def wait_until(condition, seconds: float = 300.0) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


class Source:
    """Counts from 0, and what was made, where, and whether it was closed."""

    def __init__(self, stop: int = 100, fail_at: int | None = None) -> None:
        self.stop, self.fail_at = stop, fail_at
        self.made, self.closed, self.thread = 0, False, None

    def __call__(self):
        try:
            for number in range(self.stop):
                if number == self.fail_at:
                    raise KeyError("broken item")
                self.thread = threading.current_thread()
                self.made += 1
                yield number
        finally:
            self.closed = True


@DEPTHS
def test_the_items_and_their_order_stay(depth) -> None:
    source = Source(20)
    items = Prefetcher(source(), depth)
    assert list(items) == list(range(20))
    assert list(items) == []  # it stays ended
    assert source.closed
    assert threads() == []
    assert (source.thread is threading.main_thread()) == (depth == 0)


@DEPTHS
def test_no_more_than_depth_are_made_ahead(depth) -> None:
    source = Source()
    with Prefetcher(source(), depth) as items:
        for taken in range(1, 6):
            next(items)
            wait_until(lambda taken=taken: source.made >= taken + depth)
            time.sleep(0.02)
            assert source.made == taken + depth


@DEPTHS
def test_an_error_reaches_the_consumer_after_the_good_items(depth) -> None:
    items = Prefetcher(Source(fail_at=3)(), depth)
    assert [next(items) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(KeyError, match="broken item"):
        next(items)
    assert list(items) == []
    assert threads() == []


@DEPTHS
def test_leaving_early_ends_the_thread_and_the_iterator(depth) -> None:
    source = Source()
    with Prefetcher(source(), depth) as items:
        assert [next(items), next(items)] == [0, 1]
    assert source.closed
    assert source.made <= 2 + depth + 1
    assert list(items) == []
    items.close()  # again
    assert threads() == []


def test_an_error_of_the_consumer_ends_the_thread() -> None:
    with pytest.raises(ZeroDivisionError), Prefetcher(Source()(), 2) as items:
        1 // next(items)
    assert threads() == []


def test_a_forgotten_one_ends_its_thread() -> None:
    source = Source()
    items = Prefetcher(source(), 2)
    next(items)
    del items
    gc.collect()
    assert wait_until(lambda: not threads())
    assert source.closed


def test_a_program_that_ends_is_not_held_up() -> None:
    code = (
        "import itertools, time\n"
        "from genviews.represent.stream import Prefetcher\n"
        "made = (time.sleep(0.01) or n for n in itertools.count())\n"
        "items = Prefetcher(made, 2)\n"
        "print(next(items))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        env={"PYTHONPATH": str(ROOT)},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")


def test_items_are_made_while_the_consumer_works() -> None:
    source = Source()
    with Prefetcher(source(), 2) as items:
        next(items)
        assert wait_until(lambda: source.made == 3)  # nothing else was asked for


def test_a_negative_depth_is_named() -> None:
    with pytest.raises(ValueError, match="depth: expected an integer of at least 0"):
        Prefetcher(Source()(), -1)


class Calls(TorchFunctionMode):
    """Says that it was here by a type of numbers."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        return made.double() if func is torch.matmul else made


class Operators(TorchDispatchMode):
    """The same, below autograd."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        return made.double() if "mm" in str(func) else made


def seen():
    """What torch does, item by item."""
    weight = torch.ones(2, 2, device="cpu", requires_grad=True)
    while True:
        made = torch.matmul(weight, weight)
        yield made.dtype, made.requires_grad, torch.zeros(1).device.type, torch.zeros(1).dtype


MODES = {
    "none": contextlib.nullcontext,
    "device": lambda: torch.device("meta"),
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "no gradients": torch.no_grad,
    "calls": Calls,
    "operators": Operators,
    "autocast within calls": lambda: within(Calls(), torch.autocast("cpu", dtype=torch.float16)),
}


@contextlib.contextmanager
def within(*modes):
    with contextlib.ExitStack() as stack:
        for mode in modes:
            stack.enter_context(mode)
        yield


@pytest.mark.parametrize("mode", MODES)
def test_a_thread_computes_as_its_caller_does(mode) -> None:
    usual = next(seen())
    with MODES[mode]():
        wanted = next(seen())
        with Prefetcher(seen(), 1) as items:
            assert next(items) == wanted
    assert (wanted == usual) == (mode == "none")
    with Prefetcher(seen(), 1) as items:
        with MODES[mode]():
            next(items)  # asked for before, and the next one within
        assert [next(items), next(items)] == [wanted, usual]


def test_what_is_made_ahead_in_inference_mode_can_be_learnt_from() -> None:
    with torch.inference_mode(), Prefetcher((torch.ones(1) for _ in range(3)), 1) as items:
        assert not next(items).is_inference()
