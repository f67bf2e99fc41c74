"""A sharded inversion against one that was never cut, killed, shared or damaged."""

from __future__ import annotations

import errno
import os
import re
import sys
from dataclasses import fields
from pathlib import Path

import fsspec
import pytest
import torch

from genviews.data.source import MemorySource
from genviews.identity import Identity
from genviews.invert.batch import fitting_batch
from genviews.invert.inverter import Inverter
from genviews.invert.job import inversion_identity, invert_source
from genviews.invert.optimize import invert
from genviews.invert.start import GivenStart
from genviews.invert.store import InversionStore
from genviews.types import Inversion, Status
from tests.invert.sharded import (
    INVERTER,
    SHARD,
    SHARDS,
    Flaky,
    Quick,
    files,
    images,
    kill_ten_times,
    killed_while_another_waits,
    peak_memory,
    two_at_once,
)
from tests.processes import call
from tests.stores import put_shard

FIELDS = ("latents", "loss", "start_loss", "status", "steps")


@pytest.fixture
def source():
    """7 images: shards of 3, 3 and 1."""
    return MemorySource(images(7))


def run(source, folder, inverter=INVERTER, generator=None, **options):
    options = {"shard_size": 3, "batch_size": 2, **options}
    return invert_source(source, generator or Quick(), inverter, folder, **options)


class TestResult:
    def test_equals_inversion_at_once(self, source, tmp_path):
        found = run(source, tmp_path)
        whole = invert(Quick(), images(7).images, inverter=INVERTER)
        shard = found.read_all()
        assert shard.ids == source.ids
        for name in FIELDS:
            torch.testing.assert_close(shard.tensors[name], getattr(whole, name), rtol=0, atol=1e-5)
        inversion = found.inversion(Quick(), batch_size=4)
        assert isinstance(inversion, Inversion)
        torch.testing.assert_close(
            inversion.reconstructions, whole.reconstructions, rtol=0, atol=1e-5
        )
        assert not inversion.latents.requires_grad

    def test_source_hashes_are_kept(self, source, tmp_path):
        stored = run(source, tmp_path).read_all().tensors["source_hash"]
        assert stored.dtype == torch.uint8
        assert [bytes(row.tolist()).hex() for row in stored] == list(source.read(range(7)).hashes)

    def test_masks_are_used(self, tmp_path):
        masks = torch.ones(7, 1, 8, 8)
        masks[:, :, :4] = 0
        found = run(MemorySource(images(7), masks), tmp_path).read_all()
        whole = invert(Quick(), images(7).images, masks, inverter=INVERTER)
        torch.testing.assert_close(found.tensors["latents"], whole.latents, rtol=0, atol=1e-5)

    def test_what_fits_at_once(self, source, tmp_path):
        asked = []

        def spy(*arguments, **options):
            asked.append(options["batch_size"])
            return invert(*arguments, **options)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys.modules["genviews.invert.job"], "invert", spy)
            run(source, tmp_path, batch_size=None)
        assert set(asked) == {fitting_batch(Quick(), INVERTER.objective)}

    def test_another_batch_goes_on_with_the_same_store(self, source, tmp_path):
        whole = run(source, tmp_path / "whole").read_all()
        run(source, tmp_path / "cut")
        (tmp_path / "cut/00001.safetensors").unlink()
        cut = run(source, tmp_path / "cut", batch_size=1).read_all()
        assert cut.ids == whole.ids
        for name, value in whole.tensors.items():
            torch.testing.assert_close(cut.tensors[name], value, rtol=0, atol=1e-5)

    def test_a_start_for_each_image_of_the_set(self, source, tmp_path):
        """The rows of a start are those of the source, also behind an image that is not read."""
        given = torch.randn(7, 4, 4, generator=torch.Generator().manual_seed(0))
        inverter = Inverter(start=GivenStart(given), steps=0)
        assert torch.equal(
            run(source, tmp_path / "a", inverter).read_all().tensors["latents"], given
        )
        flaky = run(Flaky(images(7), bad=[1, 3]), tmp_path / "some", inverter)
        assert torch.equal(flaky.read_all().tensors["latents"], given[[0, 2, 4, 5, 6]])

    def test_every_field_of_an_inversion_is_kept(self, source, tmp_path):
        inverter = Inverter(steps=3, snapshots=(1, 2))
        found = run(source, tmp_path, inverter).inversion(Quick())
        whole = invert(Quick(), images(7).images, inverter=inverter)
        for field in fields(Inversion):
            torch.testing.assert_close(
                getattr(found, field.name), getattr(whole, field.name), rtol=0, atol=1e-4
            )

    def test_shards_can_be_read_one_by_one_and_without_the_job(self, source, tmp_path):
        run(source, tmp_path)
        again = InversionStore(tmp_path)
        assert [shard.ids for shard in again.iter_shards()] == [
            ("i0", "i1", "i2"),
            ("i3", "i4", "i5"),
            ("i6",),
        ]
        assert repr(again) == f"InversionStore({str(tmp_path)!r}, 7 images in 3 shards)"
        assert len(again) == 7

    def test_summary(self, source, tmp_path):
        found = run(source, tmp_path)
        loss = found.read_all().tensors["loss"].double()
        summary = found.summary()
        assert summary["images"] == summary["inverted"] == 7
        assert summary["skipped"] == 0
        assert summary["status"] == {"STEP_LIMIT": 7}
        assert summary["loss"]["mean"] == pytest.approx(float(loss.mean()))
        assert summary["loss"]["median"] == pytest.approx(float(loss.median()))
        assert summary["loss"]["p90"] == pytest.approx(float(loss.quantile(0.9)))

    def test_at_a_url(self, source, tmp_path):
        url = f"memory://{tmp_path.name}/store"
        try:
            found = run(source, url).read_all()
            here = run(source, tmp_path / "here").read_all()
            assert found.ids == here.ids
            assert all(torch.equal(v, here.tensors[k]) for k, v in found.tensors.items())
        finally:
            fsspec.filesystem("memory").store.clear()


class TestUnreadable:
    def test_is_listed_and_never_fatal(self, tmp_path):
        source = Flaky(images(7), bad=[1, 3, 4, 5])
        found = run(source, tmp_path)
        assert found.read_all().ids == ("i0", "i2", "i6")
        assert dict(found.skipped) == {f"i{i}": f"row {i} is torn" for i in (1, 3, 4, 5)}
        assert dict(found.read_all().notes) == dict(found.skipped)
        assert [len(shard) for shard in found.iter_shards()] == [2, 0, 1]
        assert len(found.inversion(Quick())) == 3
        assert (found.summary()["inverted"], found.summary()["skipped"]) == (3, 4)

    def test_a_shard_without_a_readable_image_is_finished(self, tmp_path, counted):
        source = Flaky(images(7), bad=[3, 4, 5])
        run(source, tmp_path)
        run(source, tmp_path)
        assert counted == [3, 1]

    def test_none_readable(self, tmp_path):
        found = run(Flaky(images(3), bad=range(3)), tmp_path)
        assert found.summary()["loss"] is None
        assert found.read_all().ids == ()
        with pytest.raises(ValueError, match="one image that could be read, got none of 3"):
            found.inversion(Quick())

    def test_what_the_source_left_out_comes_first(self, tmp_path):
        left_out = (("torn.png", "no image"),)
        source = Flaky(images(3), bad=[1])
        source.skipped = left_out
        assert run(source, tmp_path).skipped == (*left_out, ("i1", "row 1 is torn"))

    def test_an_image_that_is_not_finite_has_a_status(self, tmp_path):
        source = MemorySource(images(3))
        source._images[1] = torch.nan
        found = run(source, tmp_path)
        assert found.read_all().tensors["status"].tolist()[1] == Status.FAILED
        assert found.summary()["status"]["FAILED"] == 1


class TestResume:
    def test_a_finished_job_computes_nothing(self, source, tmp_path, counted):
        run(source, tmp_path)
        counted.clear()
        before = {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
        seen: list[tuple[int, int]] = []
        run(source, tmp_path, progress=lambda *told: seen.append(told[2:]))
        assert seen == [(7, 7)]
        assert counted == []
        assert {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()} == before

    def test_only_a_lost_shard_is_made_again_and_it_is_the_same(self, source, tmp_path, counted):
        run(source, tmp_path)
        before = files(tmp_path)
        (tmp_path / "00001.safetensors").unlink()
        counted.clear()
        seen: list[int] = []
        run(source, tmp_path, progress=lambda stage, unit, done, total: seen.append(done))
        assert counted == [3]
        assert (seen[0], seen[-1]) == (4, 7)
        assert seen == sorted(set(seen))
        assert files(tmp_path) == before

    def test_a_damaged_shard_is_made_again(self, source, tmp_path, counted):
        run(source, tmp_path)
        before = files(tmp_path)
        data = bytearray(before["00002.safetensors"])
        data[-3] ^= 1
        (tmp_path / "00002.safetensors").write_bytes(data)
        counted.clear()
        with pytest.warns(RuntimeWarning, match="shard 2 of .* is damaged .*counts as missing"):
            run(source, tmp_path)
        assert counted == [1]
        assert files(tmp_path) == before

    def test_temporary_and_lock_files_of_killed_runs_do_not_matter(self, source, tmp_path):
        tmp_path.joinpath(".00000.safetensors.12-ab.tmp").write_bytes(b"half")
        for name in (".00000.lock", ".00002.lock", ".00009.lock"):
            tmp_path.joinpath(name).touch()
        found = run(source, tmp_path)
        assert found.read_all().ids == source.ids
        assert not list(tmp_path.glob(".*.lock"))

    @pytest.mark.parametrize("change", ["settings", "weights", "images", "shard size"])
    def test_other_results_are_refused_and_the_difference_named(self, source, tmp_path, change):
        run(source, tmp_path)
        before = files(tmp_path)
        changed = {
            "settings": (lambda: run(source, tmp_path, Inverter(steps=9)), "inverter.steps: 3 in"),
            "weights": (
                lambda: run(source, tmp_path, generator=Quick(seed=1)),
                "generator.weights:",
            ),
            "images": (lambda: run(MemorySource(images(6)), tmp_path), "images: 7 in the store, 6"),
            "shard size": (lambda: run(source, tmp_path, shard_size=2), "shard_size: 3 in"),
        }
        call, message = changed[change]
        with pytest.raises(ValueError, match=f"expected what it was made from, got .*{message}"):
            call()
        assert files(tmp_path) == before

    @pytest.mark.parametrize(
        ("code", "words"), [(errno.ENOSPC, "a full disk"), (errno.EACCES, "no permission")]
    )
    @pytest.mark.parametrize("step", ["fsync", "replace"])
    def test_a_failed_write_leaves_no_half_shard(
        self, source, tmp_path, monkeypatch, code, words, step
    ):
        def full(*arguments):
            raise OSError(code, os.strerror(code))

        with monkeypatch.context() as patch:
            patch.setattr(f"genviews.files.os.{step}", full)
            with pytest.raises(OSError, match=f"{tmp_path.name}.*got {words}") as raised:
                run(source, tmp_path)
            assert raised.value.errno == code
        # What the store is of may be there, whole; nothing else is.
        assert {path.stem for path in tmp_path.iterdir()} <= {"identity"}
        assert run(source, tmp_path).read_all().ids == source.ids

    def test_the_folder_is_a_file(self, source, tmp_path):
        (tmp_path / "store").write_bytes(b"")
        with pytest.raises(OSError, match="store"):
            run(source, tmp_path / "store")


class TestMistakes:
    def test_images_of_another_size(self, source, tmp_path):
        with pytest.raises(ValueError, match=r"images of the source: expected \(1, 16, 16\), what"):
            run(source, tmp_path, generator=Quick(size=16))

    @pytest.mark.parametrize(
        ("ids", "message"), [((), "images of the source: .* got 0"), (("a", "a"), "got 'a' more")]
    )
    def test_ids(self, source, tmp_path, ids, message):
        source.ids = ids
        with pytest.raises(ValueError, match=message):
            run(source, tmp_path)

    @pytest.mark.parametrize("option", ["shard_size", "batch_size"])
    def test_sizes(self, source, tmp_path, option):
        with pytest.raises(ValueError, match=f"{option}: expected an integer of at least 1"):
            run(source, tmp_path, **{option: 0})

    def test_reading_what_is_not_complete(self, source, tmp_path):
        found = run(source, tmp_path)
        key = inversion_identity(source, Quick(), INVERTER, shard_size=3)
        (tmp_path / "00001.safetensors").unlink()
        for read in (found.read_all, found.summary, InversionStore(tmp_path, key).read_all):
            with pytest.raises(FileNotFoundError, match=r"shard 1 of .*run the job again"):
                read()

    def test_a_store_of_something_else(self, tmp_path):
        from genviews.store import ShardStore

        with pytest.raises(FileNotFoundError, match="expected at least one whole shard, got none"):
            InversionStore(tmp_path)
        put_shard(ShardStore(tmp_path, Identity({"seed": 1})), 0, {"x": torch.zeros(1)}, ["a"])
        with pytest.raises(ValueError, match="expected inversions, got a store made from seed"):
            InversionStore(tmp_path)

    def test_an_engine_that_makes_nothing(self, source, tmp_path):
        from genviews.engine import Engine

        class Idle(Engine):
            def run(self, shards, make_worker, report):
                pass

        with pytest.raises(RuntimeError, match=r"shards \[0, 1, 2\]: expected to be in the store"):
            run(source, tmp_path, engine=Idle())


class TestManyProcesses:
    def test_killed_ten_times_equals_never_killed(self, tmp_path):
        """Same names, same bytes: latents, losses, ids, hashes and checksums."""
        killed, whole = tmp_path / "killed", tmp_path / "whole"
        printed = call(kill_ten_times, killed, whole, printed=tmp_path / "printed.txt")
        counts = [int(line) for line in printed.split()]
        assert len(counts) == 10
        assert counts == sorted(counts)
        assert 10 <= counts[-1] < SHARDS
        shards = {k: v for k, v in files(killed).items() if not k.endswith(".tmp")}
        assert shards == files(whole)
        assert len([name for name in shards if name[0].isdigit()]) == SHARDS
        assert len(InversionStore(killed).read_all()) == SHARDS * SHARD

    def test_two_runs_on_one_folder_share_the_shards(self, tmp_path):
        folders = (tmp_path / "shared", tmp_path / "whole", tmp_path)
        assert call(two_at_once, *folders, printed=tmp_path / "printed.txt") == ""
        logs = [(tmp_path / f"{i}.txt").read_text() for i in range(2)]
        made = [
            [int(n) // SHARD for n in re.findall(r"^images (\d+) to", log, re.M)] for log in logs
        ]
        assert sorted(made[0] + made[1]) == list(range(SHARDS))
        assert min(len(each) for each in made) > 0
        for log in logs:
            done = [int(n) for n in re.findall(r"^done (\d+)", log, re.M)]
            assert done == sorted(set(done))
            assert done[-1] == SHARDS * SHARD
        assert files(tmp_path / "shared") == files(tmp_path / "whole")

    def test_the_shard_of_a_killed_run_is_made_by_the_one_that_waits(self, tmp_path):
        folders = (tmp_path / "store", tmp_path / "hold")
        printed = call(killed_while_another_waits, *folders, printed=tmp_path / "printed.txt")
        assert printed == "2 (0, 0)\n0 3\n"
        assert [p.name for p in (tmp_path / "store").glob(".*")] == []

    def test_memory_does_not_grow_with_the_data_set(self, tmp_path):
        """1,500 images have 64 MB more of pixels than 200, and 0.1 MB more of results."""
        few, many = (
            int(call(peak_memory, tmp_path / str(count), count, printed=tmp_path / "printed.txt"))
            for count in (200, 1500)
        )
        assert many - few < 10_000  # KiB
        assert sum(p.stat().st_size for p in Path(tmp_path / "1500").iterdir()) < 300_000
