"""A second start reads no byte of what has not changed, and notices what has."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genviews.data.file_source import FileSource
from genviews.data.kept_hashes import HASHES, hash_of_file, kept_hashes, save_hashes
from genviews.data.listing import Listing
from genviews.types import ImageSpec
from tests.opened import SETTLED, opened_images

SPEC = ImageSpec(channels=1, height=8, width=8)


def write(path: Path, value: int) -> None:
    # Raw pixels, so that two images of the same kind have the same size.
    Image.fromarray(np.full((8, 8), value, np.uint8)).save(path, compress_level=0)


@pytest.fixture(scope="module")
def settled(tmp_path_factory):
    """A folder of three images that were written a while ago."""
    folder = tmp_path_factory.mktemp("images")
    for value, name in enumerate("abc"):
        write(folder / f"{name}.png", value)
    (folder / "d.png").symlink_to("nothing")
    time.sleep(SETTLED)
    return folder


def hashes(folder: Path, names: str) -> tuple[str, ...]:
    files = tuple(f"{name}.png" for name in names)
    return FileSource(Listing(root=folder, files=files), SPEC).hashes()


def start(images: Path, kept: Path, *, names: str = "abcd") -> tuple[tuple[str, ...], list[str]]:
    """What a start finds: the hashes, and which images it opened."""
    with opened_images() as opened, kept_hashes(kept):
        found = hashes(images, names)
        save_hashes()
    return found, opened


def test_second_start_opens_no_image(settled, tmp_path):
    plain = hashes(settled, "abcd")
    first, opened = start(settled, tmp_path / HASHES)
    assert opened == ["a.png", "b.png", "c.png"]
    second, opened = start(settled, tmp_path / HASHES)
    assert opened == []
    assert first == second == plain
    assert start(settled, tmp_path / "others.json")[1] == ["a.png", "b.png", "c.png"]


def test_changed_byte_is_noticed_though_its_time_is_set_back(settled, tmp_path):
    before, _ = start(settled, tmp_path / HASHES)
    path = settled / "b.png"
    status = path.stat()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    after, opened = start(settled, tmp_path / HASHES)
    assert opened == ["b.png"]
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, True, True]


def test_what_was_just_written_is_read_again(tmp_path):
    write(tmp_path / "a.png", 1)
    for _ in range(2):
        assert start(tmp_path, tmp_path / HASHES, names="a")[1] == ["a.png"]


def test_only_what_was_asked_for_is_kept(settled, tmp_path):
    kept = tmp_path / HASHES
    start(settled, kept, names="ac")
    start(settled, kept, names="c")
    assert [Path(name).name for name in json.loads(kept.read_text())] == ["c.png"]
    before = kept.stat().st_mtime_ns
    with kept_hashes(kept):
        save_hashes()
    save_hashes()
    assert kept.stat().st_mtime_ns == before  # nothing was asked for


@pytest.mark.parametrize("text", ["", "no JSON", "[1]", '{"a.png": 3}', '{"a.png": [1, 2]}'])
def test_damaged_file_holds_nothing(settled, tmp_path, text):
    (tmp_path / HASHES).write_text(text)
    assert start(settled, tmp_path / HASHES, names="a")[1] == ["a.png"]


def test_without_kept_hashes_every_call_reads(settled):
    with opened_images() as opened:
        assert hash_of_file(settled / "a.png") == hash_of_file(settled / "a.png")
    assert opened == ["a.png", "a.png"]
