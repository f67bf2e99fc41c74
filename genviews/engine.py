"""Where the shards of a job run: one after the other in this process, or on the actors of Ray.

A job is a set of shard numbers and a function that makes a worker; a worker takes the number of a
shard, writes what it makes to the job's store and returns a few facts. Only this module knows where
that happens. Because workers write whole shards themselves, a worker that dies loses the shard in
flight, which is made again.

Differs: Ray's own checkpoints of rows are not used; the job's store already says what is done.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import pickle
import shutil
import signal
import socket
import tempfile
import threading
import traceback
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from genviews.checks import check_count, fail, lookup, option
from genviews.claim import claim
from genviews.named import find_package

__all__ = ["Engine", "LocalEngine", "RayEngine", "find_engine"]

Facts = dict[str, object]
Worker = Callable[[int], Facts]
Report = Callable[[int, Facts], None]

# Read by a Ray that is started here. Without them it reports home, and Ray Data makes it print an
# error about each actor that may be restarted; all it prints now is that its log level was set.
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}


_FOLDER, _OWNER = "gv-ray-", ".owner.lock"


class Engine(ABC):
    """Runs shards, each on one worker."""

    @abstractmethod
    def run(self, shards: Sequence[int], make_worker: Callable[[], Worker], report: Report) -> None:
        """Give each shard to a worker.

        Args:
            shards: their numbers; the order may change.
            make_worker: called once for each worker, where the worker will run.
            report: called here with a shard's number and what the worker returned, as it ends.

        Raises:
            Exception: what a worker raised; shards that are not done yet may be left undone.
        """


class LocalEngine(Engine):
    """One worker in this process, with this process' threads and devices."""

    def run(self, shards: Sequence[int], make_worker: Callable[[], Worker], report: Report) -> None:
        """Run the shards in order."""
        worker = make_worker()
        for index in shards:
            report(index, worker(index))


class RayEngine(Engine):
    """Workers are the actors of Ray Data, on this machine or on a cluster.

    A shard whose actor dies (out of memory, machine lost) is given to another one. Ray is started
    if it does not run in this process yet, without its dashboard, its usage report or its logs in
    the terminal, and is stopped afterwards; a Ray that the caller started is left running. Starting
    costs about 8 seconds and 2 GB of memory, so one machine without GPUs gains little.

    What workers need is pickled once into Ray's object store, with its tensors on the CPU or, for
    workers that have a GPU, on that GPU. Classes of the main script are sent along; other modules
    must be importable where the workers run.

    Args:
        num_actors: workers at the same time.
        num_threads: torch's threads in each worker, and the CPUs it reserves. Round-off depends on
            it: a worker equals a local run with as many threads bit for bit.
        num_gpus_per_actor: GPUs that a worker reserves; a fraction shares one.
        address: of a running cluster ("auto" finds it); None starts Ray on this machine.
        max_retries: how often a shard is given away again after its actor died.

    Raises:
        ModuleNotFoundError: Ray is not installed.
        ValueError: a count out of range, or nobody answers at that address.
    """

    def __init__(
        self,
        num_actors: int = 1,
        *,
        num_threads: int = 1,
        num_gpus_per_actor: float = 0.0,
        address: str | None = None,
        max_retries: int = 3,
    ) -> None:
        self.num_actors = check_count(num_actors, "num_actors")
        self.num_threads = check_count(num_threads, "num_threads")
        self.max_retries = check_count(max_retries, "max_retries", least=0)
        self.num_gpus_per_actor, self.address = num_gpus_per_actor, address
        _import_ray()
        _check_answers(address)

    def run(self, shards: Sequence[int], make_worker: Callable[[], Worker], report: Report) -> None:
        """Run the shards on actors; what an actor raised is raised here."""
        if not shards:
            return
        ray = _import_ray()
        with self._started(ray):
            packed = ray.put(_pack(make_worker, ray.cloudpickle))
            office = ray.remote(num_cpus=0)(_Office).remote([packed], self.max_retries)
            data = ray.data.from_items(
                [{"shard": index} for index in shards], override_num_blocks=len(shards)
            ).map_batches(
                _Actor,
                fn_constructor_args=(office, self.num_threads, self.num_gpus_per_actor > 0),
                batch_size=1,
                compute=ray.data.ActorPoolStrategy(size=min(self.num_actors, len(shards))),
                num_cpus=self.num_threads,
                num_gpus=self.num_gpus_per_actor,
            )
            for row in data.iter_rows():
                facts = pickle.loads(row["facts"])
                if isinstance(facts, Exception):
                    raise facts
                report(int(row["shard"]), facts)

    @contextlib.contextmanager
    def _started(self, ray: Any) -> Iterator[None]:  # noqa: ANN401  (a module)
        with _quiet(ray):
            if ray.is_initialized():
                yield
                return
            _remove_left_folders()
            # Ray's sockets lie in this folder, and their names must stay below 108 characters.
            folder = tempfile.mkdtemp(prefix=_FOLDER)
            options: dict[str, Any] = {"address": self.address}
            if self.address is None:
                options = {
                    "address": "local",
                    "num_cpus": self.num_actors * self.num_threads,
                    "include_dashboard": False,
                    "_temp_dir": folder,
                }
            try:
                with claim(Path(folder, _OWNER)):
                    with _own_signals():
                        ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
                    try:
                        yield
                    finally:
                        ray.shutdown()
            finally:
                shutil.rmtree(folder, ignore_errors=True)


def _check_answers(address: str | None) -> None:
    """Raise unless somebody answers at host:port; Ray itself would ask for six minutes."""
    host, _, port = (address or "").rpartition("/")[2].rpartition(":")
    if not (host and port.isdecimal()):  # such as "auto", which Ray itself is quick about
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        fail(
            option("ray_address"),
            expected="the address of a running cluster",
            got=f"{address!r}, where nobody answers ({error})",
            remedy="start it with `ray start --head`, which says its address, or leave it out",
        )


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Keep our handlers of signals: Ray ends on SIGTERM while it starts, and aborts later."""
    ours = threading.current_thread() is threading.main_thread()  # else nobody sets any
    numbers = (signal.SIGINT, signal.SIGTERM) if ours else ()
    before = [(number, signal.getsignal(number)) for number in numbers]
    came = 0
    try:
        yield
    except SystemExit as ended:
        if ended.code != signal.SIGTERM:
            raise
        came = signal.SIGTERM
    finally:
        for number, handler in before:
            signal.signal(number, handler)
    if came:
        signal.raise_signal(came)


def _remove_left_folders() -> None:
    """Remove the folders of Ray that killed processes of this user left; Ray itself ends with them.

    One that is in use is claimed by its process; one without a claim's file has just been made.
    """
    for place in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*"):
        owner = place / _OWNER
        with contextlib.suppress(OSError):  # another user's
            if owner.exists() and not place.is_symlink():
                with claim(owner) as left:
                    if left:
                        shutil.rmtree(place, ignore_errors=True)


def find_engine(engine: str | Engine) -> Engine:
    """Return the engine that "local" or "ray" names, or the given one.

    Raises:
        ValueError: another name.
    """
    if isinstance(engine, Engine):
        return engine
    kinds: dict[str, type[LocalEngine] | type[RayEngine]] = {
        "local": LocalEngine,
        "ray": RayEngine,
    }
    return lookup(engine, kinds, "engine")()


class _Office:
    """An actor with what the workers need, and a count of how often each shard was begun.

    Ray gives the shard of a dead actor to another one without end; the count puts an end to it.
    """

    def __init__(self, packed: list[Any], max_retries: int) -> None:
        self._packed, self._max_retries = packed, max_retries
        self._begun: Counter[int] = Counter()

    def packed(self) -> list[Any]:
        """A reference to the pickled `make_worker`, in a list, which Ray passes on as it is."""
        return self._packed

    def begin(self, index: int) -> bool:
        """Whether a shard may be begun once more."""
        self._begun[index] += 1
        return self._begun[index] <= 1 + self._max_retries


class _Actor:
    """A worker in an actor of Ray Data: one row with the number of a shard in, one with facts out.

    What the worker raises is returned, so that Ray neither retries it nor wraps it.
    """

    # `office` is a handle of a Ray actor, which has no type.
    def __init__(self, office: Any, num_threads: int, on_gpu: bool) -> None:  # noqa: ANN401
        torch.set_num_threads(num_threads)
        self._ray, self._office = _import_ray(), office
        (packed,) = self._ray.get(office.packed.remote())
        data, device = self._ray.get(packed), "cuda" if on_gpu else "cpu"
        self._worker: Worker = torch.load(io.BytesIO(data), device, weights_only=False)()

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[Any]]:
        index = int(batch["shard"][0])
        try:
            facts: Facts | Exception = self._make(index)
        except Exception as error:  # raised again where the job was started
            error.add_note(f"in a Ray worker, shard {index}:\n{traceback.format_exc()}")
            facts = error
        return {"shard": [index], "facts": [_pickled(facts)]}

    def _make(self, index: int) -> Facts:
        if not self._ray.get(self._office.begin.remote(index)):
            fail(
                f"shard {index} on Ray",
                expected="a worker that lives until it is done",
                got="workers that died each time it was begun",
                remedy="use fewer actors or smaller shards, which take less memory",
                error=RuntimeError,
            )
        return self._worker(index)


def _pickled(facts: Facts | Exception) -> bytes:
    try:
        data = pickle.dumps(facts)
        pickle.loads(data)  # some exceptions pickle and do not come back
    except Exception:  # pickling runs code of the exception's class
        return pickle.dumps(RuntimeError(f"{facts!r}"))
    return data


def _pack(make_worker: Callable[[], Worker], pickler: Any) -> bytes:  # noqa: ANN401  (a module)
    """Pickle with torch, which can put the tensors on another device when they are loaded."""
    buffer = io.BytesIO()
    torch.save(make_worker, buffer, pickle_module=pickler)
    return buffer.getvalue()


@contextlib.contextmanager
def _quiet(ray: Any) -> Iterator[None]:  # noqa: ANN401  (a module)
    """No usage report, progress bars or logs of Ray while this lasts; all is put back after it."""
    context, logger = ray.data.DataContext.get_current(), logging.getLogger("ray.data")
    bars, level = context.enable_progress_bars, logger.level
    before = {name: os.environ.get(name) for name in _QUIET}
    os.environ.update(_QUIET)
    context.enable_progress_bars = False
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
        context.enable_progress_bars = bars
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def _import_ray() -> Any:  # noqa: ANN401  (a module)
    find_package("ray.data", "ray", "engine 'ray'")
    return find_package("ray", "ray", "engine 'ray'")
