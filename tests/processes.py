"""Processes for tests: copies of one that has imported torch and genviews, so they start at once.

A fresh interpreter spends seconds of CPU time on its imports. Here a server imports once, and every
process is forked from it: its memory is its own, it can be killed, and the runtime checks of
signatures are off in it, as they are for users.
"""

from __future__ import annotations

import atexit
import importlib
import os
import time
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from multiprocessing import forkserver, get_context
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LONG = 600.0  # seconds that a slow or busy machine may take


@cache
def server() -> ForkServerContext:
    """Start the process that is copied."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["pytest", "genviews.invert", "genviews.studies.learning.run"])
    before = dict(os.environ)
    os.environ |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    try:
        forkserver.ensure_running()
    finally:
        os.environ.clear()
        os.environ.update(before)
    # It would end by itself; waited for, its time is counted as this process's.
    atexit.register(forkserver._forkserver._stop)
    return context


def start(function: Callable[..., object], *arguments: object, printed: Path) -> BaseProcess:
    """Call a function of a module in a copy; what it prints goes to a file, as its errors do."""
    place = (function.__module__, function.__qualname__)
    process = server().Process(target=_run, args=(*place, arguments, str(printed)), daemon=True)
    process.start()
    return process


def _run(module: str, name: str, arguments: tuple[object, ...], printed: str) -> None:
    import torch

    torch.set_num_threads(1)
    with open(printed, "w", buffering=1) as file, redirect_stdout(file), redirect_stderr(file):
        try:
            getattr(importlib.import_module(module), name)(*arguments)
        except Exception:
            traceback.print_exc()
            raise SystemExit(1) from None


def call(function: Callable[..., object], *arguments: object, printed: Path) -> str:
    """Call a function in a copy, wait for its end, and return what it printed."""
    process = start(function, *arguments, printed=printed)
    process.join(LONG)
    text = printed.read_text()
    assert process.exitcode == 0, text
    return text


def wait_until(true: Callable[[], object], *, alive: BaseProcess | None = None) -> None:
    """Look again and again, as long as a slow machine may take and the process lives."""
    end = time.monotonic() + LONG
    while not true():
        assert time.monotonic() < end, "waited too long"
        assert alive is None or alive.is_alive(), f"ended with {alive.exitcode}"
        time.sleep(0.001)
