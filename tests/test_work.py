"""The one loop over missing shards, against a plain loop that was never cut, killed or shared."""

from __future__ import annotations

import pickle
import signal
import threading
from pathlib import Path

import pytest
import torch

from genviews.engine import Engine
from genviews.identity import Identity
from genviews.record_store import RecordStore
from genviews.store import MemoryStore, Shard, ShardStore
from genviews.work import HereOnly, run_shards
from tests.processes import LONG, start, wait_until

KEY = Identity({"of": "numbers"})


def square(rows, tell=lambda done: None):
    values = torch.tensor([float(i * i) for i in rows])
    return Shard(tensors={"square": values}, ids=tuple(map(str, rows)))


def run(store, make=square, count=7, **options):
    return run_shards(store, count, make, shard_size=3, stage="square", unit="numbers", **options)


def records(folder, count=3, key='{"lr": 1}', names=None):
    return RecordStore(
        [folder / f"row{i}/row.json" for i in range(count)],
        [key] * count,
        names or [f"row {i}" for i in range(count)],
    )


class Counted:
    """Makes squares, and notes of which rows."""

    def __init__(self):
        self.seen = []

    def __call__(self, rows, tell):
        self.seen.append((rows.start, rows.stop))
        return square(rows)


class TestStores:
    @pytest.mark.parametrize("place", ["folder", "url", "memory"])
    def test_everything_is_made_once(self, tmp_path, place):
        places = {
            "folder": lambda: ShardStore(tmp_path, KEY),
            "url": lambda: ShardStore(f"memory://{tmp_path.name}", KEY),
            "memory": MemoryStore,
        }
        store, make = places[place](), Counted()
        assert run(store, make) == {}
        assert make.seen == [(0, 3), (3, 6), (6, 7)]
        whole = store.read_all(3)
        assert whole.ids == tuple("0123456")
        assert whole.tensors["square"].tolist() == [0, 1, 4, 9, 16, 25, 36]
        run(store, make)
        assert len(make.seen) == 3  # a finished job is not done again

    def test_a_job_of_nothing(self, tmp_path):
        assert run(ShardStore(tmp_path / "a", KEY), count=0) == {}

    def test_absent_and_damaged_shards_are_made_anew(self, tmp_path):
        run(ShardStore(tmp_path, KEY))
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        (tmp_path / "00000.safetensors").unlink()
        (tmp_path / "00002.safetensors").write_bytes(before["00002.safetensors"][:-3])
        make = Counted()
        with pytest.warns(RuntimeWarning, match="shard 2 of .* is damaged"):
            run(ShardStore(tmp_path, KEY), make)
        assert make.seen == [(0, 3), (6, 7)]
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before

    def test_what_killed_processes_left_is_swept(self, tmp_path):
        store = ShardStore(tmp_path, KEY)
        for name in (".00001.lock", ".00001.safetensors.0a.tmp", "mine.tmp", "notes.txt"):
            (tmp_path / name).touch()
        run(store)
        names = {path.name for path in tmp_path.iterdir()} - {
            f"0000{i}.safetensors" for i in range(3)
        }
        assert names == {"mine.tmp", "notes.txt"}

    def test_what_killed_processes_left_beside_a_record_is_swept(self, tmp_path):
        """Also half a checkpoint or encoder, which nothing writes again."""
        store = records(tmp_path)
        left = [f".{name}.0123456789ab.tmp" for name in ("row.json", "checkpoint.pt", "encoder")]
        (tmp_path / "row1").mkdir()
        for name in [*left, ".row.lock", "encoder.safetensors"]:
            (tmp_path / "row1" / name).touch()
        store.clean()
        assert {path.name for path in (tmp_path / "row1").iterdir()} == {"encoder.safetensors"}

    def test_a_file_that_is_being_written_is_not_swept(self, tmp_path):
        """Writers and a sweeper at once: every write ends well."""
        store, stop, errors = ShardStore(tmp_path, KEY), threading.Event(), []

        def sweep():
            while not stop.is_set():
                store.clean()

        def write():
            try:
                for _ in range(50):
                    store.write(0, square(range(3)))
            except OSError as error:
                errors.append(error)

        threads = [threading.Thread(target=target) for target in (sweep, write, write)]
        for thread in threads:
            thread.start()
        for thread in threads[1:]:
            thread.join()
        stop.set()
        threads[0].join()
        assert errors == []
        assert store.missing(1) == []


class TestRecords:
    def test_are_made_and_read(self, tmp_path):
        store = records(tmp_path)
        run_shards(store, 3, lambda rows, tell: {"row": rows[0]}, shard_size=1, stage="rows")
        assert [store.read(i) for i in range(3)] == [
            {"row": i, "key": '{"lr": 1}'} for i in range(3)
        ]
        assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.*")) == [
            f"row{i}/row.json" for i in range(3)
        ]

    def test_of_another_setting_are_refused_by_name(self, tmp_path):
        records(tmp_path).write(1, {})
        with pytest.raises(
            ValueError, match=r"result of row 1: .* got lr: 1 in the store, 2 asked; choose"
        ):
            records(tmp_path, key='{"lr": 2}').missing(3)

    def test_damaged_ones_are_made_again(self, tmp_path):
        store = records(tmp_path)
        store.write(0, {"row": 0})
        store.write(1, {"row": 1})
        (tmp_path / "row1/row.json").write_text("{")
        with pytest.warns(RuntimeWarning, match=r"row1.row\.json is damaged"):
            assert store.missing(3) == [1, 2]


class TestProgress:
    def test_counts_finished_shards_and_items_of_the_one_under_way(self, tmp_path):
        told = []

        def make(rows, tell):
            for done in range(len(rows)):
                tell(done)
            return square(rows)

        store = ShardStore(tmp_path, KEY)
        store.write(1, square(range(3, 6)))
        run(store, make, progress=lambda *of: told.append(of))
        assert told == [("square", "numbers", n, 7) for n in range(3, 8)]

    def test_shards_that_others_make_are_counted(self, tmp_path):
        told, other = [], ShardStore(tmp_path, KEY)

        def make(rows, tell):
            if rows.start == 0:
                other.write(2, square(range(6, 7)))  # another process, meanwhile
            return square(rows)

        run(ShardStore(tmp_path, KEY), make, progress=lambda *of: told.append(of[2]))
        assert told == [0, 4, 7]

    def test_a_copy_in_another_process_tells_nobody(self):
        told = []
        here = HereOnly(told.append)
        here(1)
        pickle.loads(pickle.dumps(here))(2)
        HereOnly(None)(3)
        assert told == [1]


class TestFailures:
    def make(self, rows, tell):
        if rows.start == 3:
            raise ValueError("features: all the same")
        return square(rows)

    def test_stop_the_run_unless_asked(self, tmp_path):
        with pytest.raises(ValueError, match="features: all the same"):
            run(ShardStore(tmp_path, KEY), self.make)
        assert ShardStore(tmp_path, KEY).present() == [0]

    def test_are_returned_with_their_reasons_and_tried_again(self, tmp_path):
        store = ShardStore(tmp_path, KEY)
        assert run(store, self.make, keep_going=True) == {1: "features: all the same"}
        assert store.present() == [0, 2]
        make = Counted()
        assert run(store, make, keep_going=True) == {}
        assert make.seen == [(3, 6)]

    def test_of_the_machine_stop_the_run(self, tmp_path):
        def full(rows, tell):
            raise OSError(28, "No space left on device")

        with pytest.raises(OSError, match="No space left"):
            run(ShardStore(tmp_path, KEY), full, keep_going=True)


class Elsewhere(Engine):
    """Runs on a copy that was pickled, as another machine would."""

    def __init__(self, lose=()):
        self.lose = lose

    def run(self, shards, make_worker, report):
        worker = pickle.loads(pickle.dumps(make_worker))()
        for index in shards:
            report(index, {"state": "made"} if index in self.lose else worker(index))


class TestEngines:
    def test_a_pickled_copy_makes_the_same(self, tmp_path):
        told = []
        run(ShardStore(tmp_path, KEY), engine=Elsewhere(), progress=lambda *of: told.append(of[2]))
        assert told == [0, 3, 6, 7]
        assert ShardStore(tmp_path, KEY).read_all(3).tensors["square"][-1] == 36

    def test_shards_that_do_not_arrive(self, tmp_path):
        with pytest.raises(
            RuntimeError,
            match=r"shards \[1\]: expected to be in the store .* that the workers share",
        ):
            run(ShardStore(tmp_path, KEY), engine=Elsewhere(lose=[1]))


def hold_and_run(folder, log, hold):
    """Makes shards in a process of its own, the first while `hold` is there."""

    def make(rows, tell):
        with open(log, "a") as file:
            file.write(f"{rows.start}\n")
        wait_until(lambda: not Path(hold).exists())
        return square(rows)

    run(ShardStore(folder, KEY), make, count=30)


def other(folder, log, hold):
    return start(hold_and_run, folder, log, hold, printed=log.with_suffix(".printed"))


class TestProcesses:
    def test_a_shard_of_a_killed_process_is_taken_over(self, tmp_path):
        """While it lives it is waited for; what it left is made, and nothing of it stays."""
        folder, log, hold = tmp_path / "store", tmp_path / "log", tmp_path / "hold"
        hold.touch()
        killed = other(folder, log, hold)
        wait_until(log.exists, alive=killed)  # it holds shard 0
        make = Counted()
        ours = threading.Thread(
            target=run, args=(ShardStore(folder, KEY), make), kwargs={"count": 30}
        )
        ours.start()
        wait_until(lambda: len(make.seen) == 9)
        assert (0, 3) not in make.seen
        killed.kill()
        killed.join()
        assert killed.exitcode == -signal.SIGKILL
        ours.join(LONG)
        assert make.seen[-1] == (0, 3)
        assert ShardStore(folder, KEY).read_all(10).ids == tuple(map(str, range(30)))
        assert {path.suffix for path in folder.iterdir()} == {".safetensors"}

    def test_two_processes_never_make_a_shard_twice(self, tmp_path):
        folder, hold = tmp_path / "store", tmp_path / "hold"
        hold.touch()  # until both have begun
        logs = [tmp_path / "a.txt", tmp_path / "b.txt"]
        processes = [other(folder, log, hold) for log in logs]
        wait_until(lambda: all(log.exists() for log in logs))
        hold.unlink()
        for process in processes:
            process.join(LONG)
        assert [process.exitcode for process in processes] == [0, 0]
        made = sorted(int(line) for log in logs for line in log.read_text().split())
        assert made == list(range(0, 30, 3))
        assert ShardStore(folder, KEY).missing(10) == []
