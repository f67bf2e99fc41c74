from __future__ import annotations

import hashlib
import json
import os
import stat
import zipfile

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load, save_file

from genviews import files
from genviews.files import (
    atomic_write_bytes,
    load_plain,
    load_tensors,
    read_json,
    read_tensors,
    save_tensors,
    sha256_of,
    write_json,
)


class TestAtomicWrite:
    def test_new_old_and_missing_folder(self, tmp_path):
        path = tmp_path / "a/b/file"
        atomic_write_bytes(path, b"one")
        atomic_write_bytes(str(path), b"two")
        assert path.read_bytes() == b"two"
        assert [p.name for p in path.parent.iterdir()] == ["file"]

    def test_reader_never_sees_a_part(self, tmp_path, monkeypatch):
        """Until the move the old file is there, and the new bytes are already on the disk."""
        path = tmp_path / "file"
        path.write_bytes(b"old")
        events = []
        replace, fsync = os.replace, os.fsync

        def watched_replace(source, target):
            events.append(("replace", path.read_bytes(), source.read_bytes()))
            replace(source, target)

        def watched_fsync(handle):
            kind = "folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file"
            events.append((f"sync {kind}",))
            fsync(handle)

        monkeypatch.setattr(files.os, "replace", watched_replace)
        monkeypatch.setattr(files.os, "fsync", watched_fsync)
        atomic_write_bytes(path, b"new")
        assert events == [("sync file",), ("replace", b"old", b"new"), ("sync folder",)]

    @pytest.mark.parametrize("broken", ["fsync", "replace"])
    def test_failure_keeps_the_old_file_and_no_other(self, tmp_path, monkeypatch, broken):
        path = tmp_path / "file"
        path.write_bytes(b"old")

        def full(*_):
            raise OSError("disk full")

        monkeypatch.setattr(files.os, broken, full)
        with pytest.raises(OSError, match="disk full"):
            atomic_write_bytes(path, b"new")
        assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("file", b"old")]

    def test_permissions_follow_the_umask(self, tmp_path):
        atomic_write_bytes(tmp_path / "file", b"x")
        (tmp_path / "plain").write_bytes(b"x")
        assert (tmp_path / "file").stat().st_mode == (tmp_path / "plain").stat().st_mode


class TestJson:
    def test_round_trip(self, tmp_path):
        value = {"b": [1, 2.5, None], "a": {"ö": True}}
        write_json(tmp_path / "x.json", value)
        assert read_json(tmp_path / "x.json") == value
        text = (tmp_path / "x.json").read_bytes().decode()
        assert text == json.dumps(value, indent=2, ensure_ascii=False) + "\n"

    @pytest.mark.parametrize(
        ("value", "error", "message"),
        [
            ({"a": float("nan")}, ValueError, "all finite, got Out of range float"),
            ({"a": torch.ones(1)}, TypeError, r"not JSON serializable; convert tensors"),
        ],
    )
    def test_refused_value_leaves_the_old_file(self, tmp_path, value, error, message):
        path = tmp_path / "x.json"
        write_json(path, {})
        with pytest.raises(error, match=message):
            write_json(path, value)
        assert read_json(path) == {}

    @pytest.mark.parametrize("data", [b"", b'{"a": 1', b"[1]", b"\xff\xfe"])
    def test_damaged_file_is_named(self, tmp_path, data):
        (tmp_path / "x.json").write_bytes(data)
        with pytest.raises(ValueError, match=r"x.json: expected a JSON object, got .*damaged"):
            read_json(tmp_path / "x.json")


class TestTensors:
    def test_views_shared_storage_and_metadata(self, tmp_path):
        whole = torch.arange(12.0).reshape(3, 4).requires_grad_()
        tensors = {"t": whole.T, "part": whole[1], "same": whole}
        save_tensors(tmp_path / "x.safetensors", tensors, {"who": "me"})
        with safe_open(tmp_path / "x.safetensors", "pt") as file:
            assert file.metadata() == {"who": "me"}
            assert all(torch.equal(file.get_tensor(k), v.detach()) for k, v in tensors.items())

    @pytest.mark.parametrize("notes", [{}, {"who": "me", "at": "\u00e9"}])
    def test_what_safetensors_wrote_is_read(self, tmp_path, notes):
        tensors = {"b": torch.arange(6.0).view(2, 3), "a": torch.tensor([1, 2])}
        save_file(tensors, tmp_path / "x", notes or None)
        found, header = load_tensors(tmp_path / "x")
        assert header == notes
        assert found.keys() == tensors.keys()
        assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())

    def test_what_is_no_tensors_is_refused(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            load_tensors(tmp_path / "x")
        (tmp_path / "x").write_bytes(b"no tensors")
        with pytest.raises(ValueError, match="walks x: expected a safetensors file"):
            load_tensors(tmp_path / "x", what="walks")

    def test_equal_content_gives_equal_bytes(self, tmp_path):
        for name, order in (("a", ("x", "y")), ("b", ("y", "x"))):
            tensors = {k: torch.full((3,), float(ord(k))) for k in order}
            save_tensors(tmp_path / name, tensors, {"k": "v"})
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()

    def test_however_the_metadata_was_ordered(self):
        """Twenty times, as safetensors shuffles it by itself; the tensors are still read."""
        notes = {name: f'"{name}" \u00e9\n' for name in "abcdef"}
        tensors = {"x": torch.arange(5.0), "y": torch.zeros(2, dtype=torch.uint8)}
        orders = [notes, dict(reversed(notes.items()))] * 10
        (data,) = {files.tensor_bytes(tensors, order) for order in orders}
        assert (int.from_bytes(data[:8], "little") % 8, data[8:9]) == (0, b"{")
        found = load(data)
        assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())


def test_what_a_gpu_wrote_is_read_where_there_is_none(tmp_path):
    tensors = {"x": torch.arange(3.0)}
    torch.save(tensors, tmp_path / "cpu.pt")
    place = [b"X%c\0\0\0%s" % (len(name), name) for name in (b"cpu", b"cuda:3")]
    with (
        zipfile.ZipFile(tmp_path / "cpu.pt") as one,
        zipfile.ZipFile(tmp_path / "gpu.pt", "w") as other,
    ):
        for name in one.namelist():
            other.writestr(name, one.read(name).replace(*place))
    assert (tmp_path / "gpu.pt").read_bytes().count(b"cuda:3")
    for found in (read_tensors(tmp_path / "gpu.pt", "x"), load_plain(tmp_path / "gpu.pt", "x")):
        assert (found["x"].device.type, found["x"].tolist()) == ("cpu", [0, 1, 2])


def test_sha256_of(tmp_path):
    data = os.urandom(100_000)
    (tmp_path / "x").write_bytes(data)
    assert sha256_of(tmp_path / "x") == hashlib.sha256(data).hexdigest()
