from __future__ import annotations

import signal
import threading
import time
import warnings
from pathlib import Path

import fsspec
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genviews import claim
from genviews.identity import Identity
from genviews.store import ShardStore
from tests.processes import start, wait_until
from tests.stores import put_shard

EXACT = {"steps": 5, "inverter": {"lr": 0.1, "kind": "adam"}, "layers": [1, 2]}
KEY = Identity(EXACT)


@pytest.fixture(params=["folder", "file", "memory"])
def place(request, tmp_path):
    """A path, and URLs of a local and of another file system."""
    if request.param == "folder":
        yield tmp_path / "store"
    elif request.param == "file":
        yield f"file://{tmp_path}/store"
    else:
        url = f"memory://{tmp_path.name}/store"
        yield url
        fsspec.filesystem("memory").store.clear()


def content(index, rows=3):
    start = torch.arange(rows) + 10 * index
    return {"latents": start[:, None].float() * torch.ones(4), "status": start}


def names(index, rows=3):
    return [f"{index}-{r}" for r in range(rows)]


def fill(store, *indices):
    for index in indices:
        put_shard(store, index, content(index), names(index))


def damage(place, index, change):
    """Rewrite the file of a shard behind the store's back."""
    fs, root = fsspec.url_to_fs(str(place))
    path = f"{root}/{index:05d}.safetensors"
    fs.pipe_file(path, bytes(change(bytearray(fs.cat_file(path)))))


def flip(data):
    data[-5] ^= 1
    return data


class TestReadAndWrite:
    def test_round_trip(self, place):
        store = ShardStore(place, KEY)
        fill(store, 1)
        shard = ShardStore(place, KEY).read(1)
        assert shard.ids == ("1-0", "1-1", "1-2")
        assert len(shard) == 3
        assert shard.tensors.keys() == content(1).keys()
        for name, tensor in content(1).items():
            assert shard.tensors[name].dtype == tensor.dtype
            assert torch.equal(shard.tensors[name], tensor)

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.bool, torch.uint8])
    def test_other_types_and_no_samples(self, tmp_path, dtype):
        store = ShardStore(tmp_path, KEY)
        put_shard(store, 0, {"x": torch.tensor([[0, 1], [2, 3]]).to(dtype)}, ["a", "b"])
        put_shard(store, 1, {"x": torch.zeros(0, 2, dtype=dtype)}, [])
        assert torch.equal(
            store.read_all(2).tensors["x"].int()[1], torch.tensor([2, 3]).to(dtype).int()
        )

    def test_missing_is_what_is_not_there(self, place):
        store = ShardStore(place, KEY)
        assert store.missing(3) == [0, 1, 2]
        fill(store, 2, 0)
        assert store.missing(3) == [1]
        assert store.missing([4, 2]) == [4]
        assert store.present() == [0, 2]
        fill(store, 1)
        assert ShardStore(place, KEY).missing(3) == []

    def test_read_all_is_in_the_order_of_the_index(self, place):
        store = ShardStore(place, KEY)
        fill(store, 10, 9, 100_000)
        everything = store.read_all()
        assert everything.ids == (*names(9), *names(10), *names(100_000))
        wanted = torch.cat([content(i)["latents"] for i in (9, 10, 100_000)])
        assert torch.equal(everything.tensors["latents"], wanted)

    def test_writing_again_replaces(self, place):
        store = ShardStore(place, KEY)
        fill(store, 0)
        put_shard(store, 0, {"latents": torch.zeros(1, 2)}, ["x"])
        assert store.read(0).ids == ("x",)

    def test_opening_and_asking_write_nothing(self, tmp_path):
        ShardStore(tmp_path / "store", KEY).missing(2)
        assert list(tmp_path.iterdir()) == []

    def test_other_files_are_left_alone(self, tmp_path):
        store = ShardStore(tmp_path, KEY)
        fill(store, 0)
        for name in (
            "notes.txt",
            ".00001.safetensors.1-ab.tmp",
            "abc.safetensors",
            "1.safetensors",
        ):
            (tmp_path / name).write_bytes(b"x")
        assert store.missing(2) == [1]
        assert store.read_all().ids == tuple(names(0))


class TestNotes:
    def test_are_kept_and_joined(self, place):
        store = ShardStore(place, KEY)
        put_shard(store, 0, content(0), names(0), {"torn.png": "no image"})
        put_shard(store, 1, content(1), names(1))
        put_shard(store, 2, content(2), names(2), {"half.png": "truncated"})
        assert store.read(0).notes == {"torn.png": "no image"}
        assert store.read(1).notes == {}
        assert store.read_all().notes == {"torn.png": "no image", "half.png": "truncated"}

    @pytest.mark.parametrize(
        "change",
        [
            lambda data: data.replace(b"no image", b"an image"),
            lambda data: data.replace(b'"notes"', b'"motes"'),
        ],
    )
    def test_are_covered_by_the_checksum(self, place, change):
        store = ShardStore(place, KEY)
        put_shard(store, 0, content(0), names(0), {"torn.png": "no image"})
        damage(place, 0, change)
        assert not store.has(0)
        assert store.damaged == {0: "its checksum does not match"}

    def test_a_shard_of_an_older_version_is_read(self, tmp_path):
        """Without notes the file is byte for byte what it was before there were any."""
        fill(ShardStore(tmp_path, KEY), 0)
        header = (tmp_path / "00000.safetensors").read_bytes()
        assert b"notes" not in header
        assert b"1ad05d516e29984aafc1d6d949bb0641" in header


class TestStoredKey:
    def test_is_that_of_the_first_whole_shard(self, place):
        fill(ShardStore(place, KEY), 0, 1)
        damage(place, 0, flip)
        assert ShardStore(place).identity.exact == EXACT

    def test_of_an_empty_store(self, place):
        with pytest.raises(FileNotFoundError, match="expected at least one whole shard, got none"):
            ShardStore(place)


class TestClaim:
    def test_only_one_holds_it(self, tmp_path):
        first, second = ShardStore(tmp_path, KEY), ShardStore(tmp_path, KEY)
        with first.claim(3) as mine, second.claim(3) as yours, second.claim(4) as other:
            assert (mine, yours, other) == (True, False, True)
            assert sorted(p.name for p in tmp_path.iterdir()) == [".00003.lock", ".00004.lock"]
        with second.claim(3) as yours:
            assert yours
        assert list(tmp_path.iterdir()) == []

    def test_is_given_back_after_an_error(self, tmp_path):
        store = ShardStore(tmp_path, KEY)
        with pytest.raises(KeyError), store.claim(0):
            raise KeyError
        with store.claim(0) as mine:
            assert mine

    def test_at_a_url_each_is_granted(self):
        store = ShardStore("memory://claims", KEY)
        with store.claim(0) as mine, store.claim(0) as again:
            assert mine
            assert again
        store.clean()

    def test_is_granted_where_there_are_no_locks(self, tmp_path, monkeypatch):
        def refuse(handle, operation):
            raise OSError(95, "Operation not supported")

        monkeypatch.setattr("genviews.claim.fcntl.flock", refuse)
        store = ShardStore(tmp_path, KEY)
        with store.claim(0) as mine, store.claim(0) as again:
            assert mine
            assert again
        assert list(tmp_path.iterdir()) == []

    def test_a_removed_lock_file_is_no_lock(self, tmp_path, monkeypatch):
        """A file that its holder removed between our opening and locking it is not a claim."""
        flock, holders = claim.fcntl.flock, []

        def remove_first(handle, operation):
            if not holders:
                (tmp_path / "a.lock").unlink()
                holders.append(handle)
            flock(handle, operation)

        monkeypatch.setattr("genviews.claim.fcntl.flock", remove_first)
        with claim.claim(tmp_path / "a.lock") as mine, claim.claim(tmp_path / "a.lock") as again:
            assert (mine, again) == (True, False)

    def test_stale_files_are_removed_and_held_ones_are_not(self, tmp_path):
        store = ShardStore(tmp_path, KEY)
        for name in (".00000.lock", ".00001.lock", ".mine.lock"):
            (tmp_path / name).touch()
        with ShardStore(tmp_path, KEY).claim(1):
            store.clean()
            assert sorted(p.name for p in tmp_path.iterdir()) == [".00001.lock", ".mine.lock"]


class TestMistakes:
    @pytest.mark.parametrize(
        ("tensors", "ids", "message"),
        [
            ({}, ["a"], "shard: expected at least one tensor"),
            (
                {"x": torch.zeros(2)},
                ["a"],
                r"shard tensor 'x': expected a first axis of 1, .* got \(2,\)",
            ),
            ({"x": torch.tensor(1.0)}, ["a"], r"shard tensor 'x': .* got \(\)"),
            ({"x": torch.zeros(2)}, ["a", "a"], "shard ids: expected all different, got 'a' more"),
        ],
    )
    def test_content(self, tmp_path, tensors, ids, message):
        with pytest.raises(ValueError, match=message):
            put_shard(ShardStore(tmp_path, KEY), 0, tensors, ids)
        assert list(tmp_path.iterdir()) == []

    def test_index(self, tmp_path):
        with pytest.raises(ValueError, match="shard index: expected an integer of at least 0"):
            fill(ShardStore(tmp_path, KEY), -1)

    def test_absent_shard(self, place):
        store = ShardStore(place, KEY)
        fill(store, 0)
        with pytest.raises(
            FileNotFoundError, match=r"shard 1 of .*expected a file, got none; run the job"
        ):
            store.read(1)
        with pytest.raises(FileNotFoundError, match="shard 1 of"):
            store.read_all(2)

    def test_empty_store(self, place):
        with pytest.raises(FileNotFoundError, match="expected at least one shard, got none"):
            ShardStore(place, KEY).read_all()

    def test_shards_of_different_jobs(self, tmp_path):
        store = ShardStore(tmp_path, KEY)
        fill(store, 0)
        put_shard(store, 1, {"other": torch.zeros(1)}, ["x"])
        with pytest.raises(
            ValueError, match=r"expected tensors \['latents', 'status'\] in every shard"
        ):
            store.read_all()
        put_shard(store, 1, content(1), names(0))
        with pytest.raises(ValueError, match="samples of its shards: expected all different, got "):
            store.read_all()

    @pytest.mark.parametrize("value", [torch.zeros(1), Path("x"), float("nan")])
    def test_key_that_is_no_json(self, tmp_path, value):
        with pytest.raises(TypeError, match="identity: expected numbers, strings, lists and dicts"):
            Identity({"value": value})


class TestKey:
    def test_another_key_is_refused_and_the_difference_named(self, place):
        fill(ShardStore(place, KEY), 0)
        other = {"steps": 9, "inverter": {"lr": 0.1, "seed": 1}, "layers": [1, 2]}
        with pytest.raises(ValueError, match="expected what it was made from") as error:
            ShardStore(place, Identity(other))
        assert (
            'got inverter.kind: "adam" in the store, (absent) asked; '
            "inverter.seed: (absent) in the store, 1 asked; "
            "steps: 5 in the store, 9 asked; use another"
        ) in str(error.value)
        assert "lr" not in str(error.value)

    def test_a_difference_within_a_list_is_named_by_its_place(self, tmp_path):
        one, other = (
            Identity({"terms": [{"name": "l1", "weight": weight}, {"name": "l2"}]})
            for weight in (1.0, 2.0)
        )
        fill(ShardStore(tmp_path, one), 0)
        with pytest.raises(
            ValueError, match=r"got terms\.0\.weight: 1\.0 in the store, 2\.0 asked; use"
        ):
            ShardStore(tmp_path, other)

    def test_order_and_tuples_do_not_matter(self, place):
        fill(ShardStore(place, KEY), 0)
        same = {"layers": (1, 2), "inverter": {"kind": "adam", "lr": 0.1}, "steps": 5}
        assert ShardStore(place, Identity(same)).missing(1) == []

    def test_a_shard_put_in_later_is_refused_too(self, tmp_path):
        store = ShardStore(tmp_path / "a", KEY)
        fill(ShardStore(tmp_path / "b", Identity({"steps": 1})), 1)
        fill(store, 0)
        (tmp_path / "b/00001.safetensors").rename(tmp_path / "a/00001.safetensors")
        for ask in (lambda: store.missing(2), lambda: store.read(1), store.read_all):
            with pytest.raises(ValueError, match="steps: 1 in the store, 5 asked"):
                ask()

    def test_a_damaged_first_shard_does_not_hide_the_key(self, tmp_path):
        fill(ShardStore(tmp_path, KEY), 0, 1)
        damage(tmp_path, 0, lambda data: data[:20])
        with pytest.raises(ValueError, match="expected what it was made from"):
            ShardStore(tmp_path, Identity({"steps": 1}))


class TestDamage:
    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            (lambda data: data[:0], "0 bytes"),
            (lambda data: data[:100], "100 bytes"),
            (lambda data: data[:-1], "bytes"),
            (lambda data: data + b"x", "bytes"),
            (lambda data: bytes(len(data)), "bytes"),
            (flip, "its checksum does not match"),
            (lambda data: data.replace(b"1-2", b"1-9"), "its checksum does not match"),
            (lambda data: data.replace(b"shard-1", b"shard-9"), "not written by a shard store"),
            (lambda data: data.replace(b"checksum", b"checkzum"), "not written by a shard store"),
        ],
    )
    def test_counts_as_missing_and_is_reported(self, place, change, reason):
        store = ShardStore(place, KEY)
        fill(store, 0, 1)
        damage(place, 1, change)
        store = ShardStore(place, KEY)
        with pytest.warns(RuntimeWarning, match=f"shard 1 of .* is damaged .*{reason}.* missing"):
            assert store.missing(2) == [1]
        assert list(store.damaged) == [1]
        for read in (lambda: store.read(1), store.read_all):
            with pytest.raises(
                ValueError, match=f"shard 1 .*expected a whole file, got .*{reason}"
            ):
                read()
        fill(store, 1)
        assert (store.missing(2), store.damaged) == ([], {})

    @settings(
        max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
    )
    @given(where=st.integers(0, 2000), mask=st.integers(1, 255))
    def test_no_flipped_byte_changes_what_is_read(self, tmp_path, where, mask):
        """Wherever bits flip, a read gives the written content or an error, never another."""
        store = ShardStore(tmp_path, KEY)
        fill(store, 0)

        def change(data):
            data[where % len(data)] ^= mask
            return data

        damage(tmp_path, 0, change)
        try:
            shard = store.read(0)
        except ValueError:
            return
        assert shard.ids == tuple(names(0))
        assert all(torch.equal(shard.tensors[n], t) for n, t in content(0).items())


class TestTwoWriters:
    def test_of_the_same_shard_leave_one_whole(self, place):
        """Four writers and a reader at once: every read sees one writer's content, whole."""
        store = ShardStore(place, KEY)
        put_shard(store, 0, {"x": torch.zeros(20_000)}, [str(i) for i in range(20_000)])
        ids = [str(i) for i in range(20_000)]
        errors = []

        def write(value):
            try:
                for _ in range(5):
                    put_shard(ShardStore(place, KEY), 0, {"x": torch.full((20_000,), value)}, ids)
            except Exception as error:
                errors.append(error)

        writers = [threading.Thread(target=write, args=(float(v),)) for v in range(4)]
        for writer in writers:
            writer.start()
        seen = set()
        while any(writer.is_alive() for writer in writers):
            values = store.read(0).tensors["x"].unique().tolist()
            assert len(values) == 1
            seen.update(values)
        assert errors == []
        assert seen <= {0.0, 1.0, 2.0, 3.0}
        assert store.present() == [0]


def write_all(folder, shards):
    warnings.simplefilter("error")
    store = ShardStore(folder, Identity({"steps": 5}))
    for index in store.missing(shards):
        ids = [f"{index}-{r}" for r in range(8)]
        put_shard(store, index, {"x": torch.full((8, 100_000), float(index))}, ids)


class TestKilledWriter:
    SHARDS = 400

    def test_loses_at_most_the_shard_in_flight(self, tmp_path):
        """Killed three times in the middle; a warning of damage is an error, here and there."""
        delays = np.random.default_rng(0).uniform(0.02, 0.3, 3)
        for delay in delays:
            before = len(list(tmp_path.glob("[0-9]*")))
            printed = tmp_path / ".printed"
            process = start(write_all, tmp_path, self.SHARDS, printed=printed)
            wait_until(lambda n=before: len(list(tmp_path.glob("[0-9]*"))) > n, alive=process)
            time.sleep(delay)
            process.kill()
            process.join()
            assert (process.exitcode, printed.read_text()) == (-signal.SIGKILL, "")
            store = ShardStore(tmp_path, Identity({"steps": 5}))
            here = store.present()
            assert before < len(here) < self.SHARDS
            assert here == list(range(len(here)))
            assert store.missing(self.SHARDS) == list(range(len(here), self.SHARDS))
        for index in here:
            shard = store.read(index)
            assert bool((shard.tensors["x"] == index).all())
            assert shard.ids == tuple(f"{index}-{r}" for r in range(8))

    def test_finished_job_run_again_does_nothing(self, tmp_path):
        store = ShardStore(tmp_path, KEY)
        fill(store, *store.missing(3))
        before = {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
        fill(ShardStore(tmp_path, KEY), *ShardStore(tmp_path, KEY).missing(3))
        assert {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()} == before
