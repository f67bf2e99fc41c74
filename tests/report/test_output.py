from __future__ import annotations

import errno
import os
from dataclasses import replace

import pytest

from genviews.report import check_output_dir, write_atomic, write_result
from genviews.studies.result import Record
from tests.studies.results import TABLE, result


def failing(number):
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


class TestFolder:
    def test_is_made_and_left_empty(self, tmp_path):
        folder = check_output_dir(tmp_path / "a" / "b")
        assert folder == tmp_path / "a" / "b"
        assert list(folder.iterdir()) == []

    def test_existing_files_stay(self, tmp_path):
        (tmp_path / "x").write_text("kept")
        check_output_dir(tmp_path)
        assert [p.name for p in tmp_path.iterdir()] == ["x"]

    def test_home_is_understood(self, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path))
        assert check_output_dir("~/runs") == tmp_path / "runs"

    def test_the_home_of_nobody(self):
        with pytest.raises(OSError, match="home folder that is there, got ~nobody-at-all"):
            check_output_dir("~nobody-at-all/runs")

    @pytest.mark.parametrize(
        ("number", "words"),
        [
            (errno.EACCES, "no permission to write there"),
            (errno.EROFS, "a read-only file system"),
            (errno.ENOSPC, "a full disk"),
            (errno.EIO, os.strerror(errno.EIO)),
        ],
    )
    def test_that_cannot_take_files(self, tmp_path, monkeypatch, number, words):
        monkeypatch.setattr("tempfile.TemporaryFile", failing(number))
        with pytest.raises(OSError, match=f"expected a folder that can be written, got {words}"):
            check_output_dir(tmp_path)

    def test_message_says_what_to_do(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(OSError, match=r"in the way.*choose another folder with --out"):
            check_output_dir(tmp_path / "file" / "runs")

    def test_file_of_that_name(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(OSError, match="got a file of that name"):
            check_output_dir(tmp_path / "file")

    def test_nearly_full_disk(self, tmp_path):
        with pytest.raises(OSError, match=r"expected \d+ MiB of free disk space, got .* free some"):
            check_output_dir(tmp_path, need_mb=1e12)


class TestWrite:
    def test_text_and_bytes(self, tmp_path):
        write_atomic(tmp_path / "t", "caf\N{LATIN SMALL LETTER E WITH ACUTE}")
        write_atomic(tmp_path / "b", b"\0\xff")
        assert (tmp_path / "t").read_bytes() == b"caf\xc3\xa9"
        assert (tmp_path / "b").read_bytes() == b"\0\xff"

    @pytest.mark.parametrize("step", ["fsync", "replace"])
    def test_failure_keeps_the_old_and_leaves_nothing(self, tmp_path, monkeypatch, step):
        write_atomic(tmp_path / "t", "old")
        monkeypatch.setattr(os, step, failing(errno.ENOSPC))
        with pytest.raises(OSError, match="got a full disk; no part of it was left"):
            write_atomic(tmp_path / "t", "new")
        assert (tmp_path / "t").read_text() == "old"
        assert [p.name for p in tmp_path.iterdir()] == ["t"]


class TestWriteResult:
    def test_every_form_of_every_block(self, tmp_path):
        page = write_result(result(), tmp_path / "run")
        files = {
            p.relative_to(tmp_path / "run").as_posix() for p in (tmp_path / "run").rglob("*.*")
        }
        assert page == tmp_path / "run" / "report.html"
        assert files == {
            "report.html",
            "results.csv",
            "results.json",
            "figures/gains-gain.svg",
            "figures/gains-neighbours.svg",
            "figures/weight-of-the-views-combined.svg",
            "figures/weight-of-the-views-loss.svg",
            "pictures/what-the-classifier-saw.png",
        }

    def test_titles_lead_nowhere_and_do_not_meet(self, tmp_path):
        title = "../../Accuracy: of ALL rows!"
        tables = tuple(replace(TABLE, title=title) for _ in range(3))
        write_result(result(blocks=tables), tmp_path)
        names = sorted(path.name for path in (tmp_path / "tables").iterdir())
        assert names == ["accuracy-of-all-rows-2.csv", "accuracy-of-all-rows.csv"]

    def test_nothing_is_written_of_what_cannot_be(self, tmp_path):
        (tmp_path / "results.csv").write_text("old")
        with pytest.raises(ValueError, match="expected a finite number"):
            write_result(result(record=Record(data={"x": float("inf")})), tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["results.csv"]
