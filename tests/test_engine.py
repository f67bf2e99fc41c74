"""Engines run the same shards to the same store; Ray's tests run in processes of their own."""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from genviews import engine
from genviews.engine import LocalEngine, RayEngine, find_engine

ROOT = Path(__file__).resolve().parents[1]

RAY = """
import os, signal, sys, tempfile
from pathlib import Path

import ray, torch

from genviews.claim import claim
from genviews.data.source import (MemorySource)
from genviews.engine import RayEngine
from tests.invert.sharded import Watched, files, images, run, shards_in

class Mine(Watched):  # of the main script: its code is sent along
    pass

def equal_with_a_killed_worker(folder):
    marker = str(folder / "killed")
    left = Path(tempfile.mkdtemp(prefix="gv-ray-"))  # as a killed process leaves it
    (left / ".owner.lock").touch()
    used, new = (Path(tempfile.mkdtemp(prefix="gv-ray-")) for _ in range(2))
    temporary = set(Path(tempfile.gettempdir()).glob("gv-ray-*"))
    seen = []
    with claim(used / ".owner.lock"):
        found = run(
            folder / "ray", source=Mine(images(30), marker=marker), engine=RayEngine(2),
            progress=lambda stage, unit, done, total: seen.append(done)
        )
    assert (left.exists(), used.exists(), new.exists()) == (False, True, True)
    used.rmdir()
    new.rmdir()
    assert not ray.is_initialized()
    assert set(Path(tempfile.gettempdir()).glob("gv-ray-*")) <= temporary
    assert Path(marker).exists()  # a worker was killed
    run(folder / "local", source=MemorySource(images(30)))
    assert len(found.read_all()) == 30
    assert (seen[0], seen[-1]) == (0, 30) and seen == sorted(set(seen))
    assert files(folder / "ray") == files(folder / "local")
    assert shards_in(folder / "ray") == 10

def make_worker():
    def worker(index):
        if index == 7:
            raise OSError(28, "No space left on device")
        if index == 8:
            os.kill(os.getpid(), signal.SIGKILL)
        return {"threads": torch.get_num_threads(), "pid": os.getpid()}
    return worker

def threads_and_what_goes_wrong(temporary):
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, _temp_dir=temporary)
    told = {}
    try:
        RayEngine(1).run([0, 1, 2, 7], make_worker, told.__setitem__)
    except OSError as error:
        assert error.errno == 28 and "shard 7" in error.__notes__[0], error
    assert sorted(told) == [0, 1, 2], told
    assert {facts["threads"] for facts in told.values()} == {1}
    try:
        RayEngine(1, num_threads=2, max_retries=1).run([5, 8], make_worker, told.__setitem__)
    except RuntimeError as error:
        assert "shard 8 on Ray: expected a worker that lives" in str(error), error
    assert told[5]["threads"] == 2
    assert told[5]["pid"] != os.getpid()
    try:
        run("memory://ray", engine=RayEngine(), source=MemorySource(images(3)))
    except RuntimeError as error:
        assert "use a folder or URL that the workers share" in str(error), error
    assert sorted(told) == [0, 1, 2, 5]
    assert ray.is_initialized()  # it was started here, so it is left running
    ray.shutdown()

if __name__ == "__main__":
    torch.set_num_threads(1)
    equal_with_a_killed_worker(Path(sys.argv[1]))
    for stream in (sys.stdout, sys.stderr):
        print("equal", file=stream, flush=True)
    threads_and_what_goes_wrong(sys.argv[2])
    print("done")
"""


CONTRACT = """
from genviews.engine import RayEngine
from genviews.testing import check_engine

if __name__ == "__main__":
    check_engine(RayEngine(2))
    print("kept")
"""


def make_worker():
    return lambda index: {"square": index**2}


class TestLocal:
    def test_runs_in_order_on_one_worker(self):
        made, told = [], []

        def make():
            made.append(1)
            return make_worker()

        LocalEngine().run([3, 1, 2], make, lambda index, facts: told.append((index, facts)))
        assert told == [(3, {"square": 9}), (1, {"square": 1}), (2, {"square": 4})]
        assert made == [1]


class TestFind:
    def test_by_name(self):
        assert isinstance(find_engine("local"), LocalEngine)
        own = LocalEngine()
        assert find_engine(own) is own

    def test_unknown(self):
        with pytest.raises(ValueError, match="engine: expected one of local, ray, got 'rya'"):
            find_engine("rya")

    def test_ray_that_is_not_installed(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "ray", None)
        with pytest.raises(ModuleNotFoundError, match=r"`pip install 'genviews\[ray\]'`"):
            find_engine("ray")

    @pytest.mark.parametrize("address", ["127.0.0.1:{}", "ray://127.0.0.1:{}"])
    def test_a_cluster_that_does_not_answer(self, address):
        """Ray itself asks for six minutes."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # nobody else's, and nobody listens
            with pytest.raises(ValueError, match=r"\(--ray-address\): .* nobody answers"):
                RayEngine(address=address.format(taken.getsockname()[1]))

    @pytest.mark.parametrize(
        ("options", "name"),
        [({"num_actors": 0}, "num_actors"), ({"num_threads": 0}, "num_threads")],
    )
    def test_counts(self, options, name):
        with pytest.raises(ValueError, match=f"{name}: expected an integer of at least 1"):
            RayEngine(**options)


class TestFacts:
    def test_of_a_worker_come_back(self):
        assert pickle.loads(engine._pickled({"a": 1})) == {"a": 1}
        assert isinstance(pickle.loads(engine._pickled(OSError(28, "full"))), OSError)

    def test_an_exception_that_does_not_pickle_is_described(self):
        class LocalError(Exception):
            pass

        error = pickle.loads(engine._pickled(LocalError("why")))
        assert isinstance(error, RuntimeError)
        assert str(error) == "LocalError('why')"


def run_script(code, *arguments):
    script = Path(arguments[0]) / "script.py"
    script.write_text(code)
    done = subprocess.run(
        [sys.executable, str(script), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=550,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


class TestRay:
    def test_equals_a_local_run_bit_for_bit_and_tells_what_goes_wrong(self, tmp_path_factory):
        # Short paths: Ray's sockets lie below the second.
        done = run_script(RAY, tmp_path_factory.mktemp("e"), tmp_path_factory.mktemp("r"))
        out, error = (text.splitlines() for text in (done.stdout, done.stderr))
        told = [line for line in out[: out.index("equal")] if "(raylet)" not in line]
        assert told == []  # Ray tells of the worker that died, ...
        noise = [line for line in error[: error.index("equal")] if "Set ray log level" not in line]
        assert noise == []  # ... and that its log is off, and nothing else
        assert out[-1] == "done"

    @pytest.mark.slow  # starts Ray three times
    def test_keeps_the_contract_of_engines(self, tmp_path):
        assert run_script(CONTRACT, tmp_path).stdout.splitlines()[-1] == "kept"
