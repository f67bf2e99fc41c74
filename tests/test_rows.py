"""Rows read from the disk are those of the tensors, whatever their type and number of axes."""

from __future__ import annotations

import fsspec
import pytest
import torch

from genviews.identity import Identity
from genviews.rows import StoredRows
from genviews.store import ShardStore
from tests.stores import put_shard


@pytest.fixture(params=["folder", "memory"])
def place(request, tmp_path):
    if request.param == "folder":
        yield str(tmp_path)
    else:
        yield f"memory://{tmp_path.name}"
        fsspec.filesystem("memory").store.clear()


def content(index):
    random = torch.Generator().manual_seed(index)
    drawn = torch.randn(4, 3, 2, 5, generator=random)
    return {
        "images": (drawn * 50).to(torch.uint8),
        "latents": drawn,
        "half": drawn.bfloat16(),
        "labels": torch.arange(4) + 10 * index,
        "known": drawn[:, 0, 0, 0] > 0,
        "empty": torch.zeros(4, 0),
    }


def test_rows_and_views_of_rows(place):
    store = ShardStore(place, Identity({}))
    for index in (0, 1):
        put_shard(store, index, content(index), [f"{index}{i}" for i in range(4)])
    rows = StoredRows(store)
    assert rows.names(1) == sorted(content(1))
    for index in (1, 0):
        for name, value in content(index).items():
            found = rows.read(index, name, [(3,), (0,), (3,)])
            assert found.dtype == value.dtype
            assert torch.equal(found, value[[3, 0, 3]])
        for name in ("images", "latents", "half"):
            found = rows.read(index, name, [(3, 1), (0, 2)])
            assert torch.equal(found, content(index)[name][[3, 0], [1, 2]])


def test_damage_is_found_at_the_first_touch(tmp_path):
    store = ShardStore(tmp_path, Identity({}))
    put_shard(store, 0, content(0), list("abcd"))
    path = tmp_path / "00000.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match=r"shard 0 .*expected a whole file"):
        StoredRows(store).read(0, "labels", [(0,)])
    with pytest.raises(FileNotFoundError, match="shard 7 of"):
        StoredRows(store).names(7)


def test_a_file_that_became_shorter(tmp_path):
    store = ShardStore(tmp_path, Identity({}))
    put_shard(store, 0, content(0), list("abcd"))
    rows = StoredRows(store)
    rows.names(0)
    path = tmp_path / "00000.safetensors"
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(OSError, match="shard 0 has become shorter"):
        [rows.read(0, name, [(3,)]) for name in ("images", "latents", "half", "labels")]
