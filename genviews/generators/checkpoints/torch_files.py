"""Files of `torch.save`, of both kinds: their value, and the numbers of their storages.

zip            data.pkl and one entry a storage, none of them compressed
before 1.6     three small pickles, the value, the keys of the storages, and the storages
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import torch

from genviews.checks import fail
from genviews.generators.checkpoints.pickles import MOST_STEPS, decode
from genviews.generators.checkpoints.records import REMEDY, Call, Decoded, Name, Persistent
from genviews.generators.checkpoints.tensors import Storage, as_bytes, storage_type, told

__all__ = ["LEGACY", "ZIP", "embedded", "open_legacy", "open_zip"]

ZIP = b"PK\x03\x04"
LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
"""What files of the second kind begin with."""
_DIRECTORY = 2**22  # bytes of a zip file's list: 40,000 tensors
_STEPS_OF_ONE, _DIRECTORY_OF_ONE = 100, 2**12  # of a file that holds one storage
_STEPS_OF_KEYS = 2**16

_Opened = tuple[Any, frozenset[Name], Storage]


def embedded(what: str) -> Storage:
    """Storages that lie in a pickle as files of torch.save of their own.

    Args:
        what: holds the pickle, for messages.
    """

    def storage(value: Persistent | Call) -> tuple[memoryview, torch.dtype | None]:
        if not isinstance(value, Call) or value.of != Name("torch.storage", "_load_from_bytes"):
            raise ValueError(f"{told(value)} where a storage should be")
        data = as_bytes(value.args[0])
        opened = open_zip if bytes(data[:4]) == ZIP else open_legacy
        root, _, inner = opened(data, what, _STEPS_OF_ONE, _DIRECTORY_OF_ONE)
        return inner(root)

    return storage


class _Window:
    """A file in memory that is read in small parts alone, for the list of a zip file."""

    def __init__(self, data: memoryview, most: int) -> None:
        self._data, self._at, self._most = data, 0, most

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = max(0, offset + (0, self._at, len(self._data))[whence])
        return self._at

    def read(self, size: int = -1) -> bytes:
        found = self._data[self._at :] if size < 0 else self._data[self._at : self._at + size]
        if len(found) > self._most:
            raise zipfile.BadZipFile("a list of files that is too long")
        self._at += len(found)
        return bytes(found)


def open_zip(
    data: memoryview, what: str, steps: int = MOST_STEPS, directory: int = _DIRECTORY
) -> _Opened:
    """A file of torch.save: its value, what it calls, and its storages."""
    try:
        listed = zipfile.ZipFile(_Window(data, directory)).infolist()
    except Exception as error:  # of a damaged one nearly anything is raised
        fail(what, expected="a whole zip file", got=f"none ({error})", remedy=REMEDY)
    entries = {one.filename: one for one in listed}
    name = next((one for one in entries if one.endswith("data.pkl")), None)
    if name is None:
        got = f"a zip file of {', '.join(sorted(entries)[:3]) or 'nothing'}"
        remedy = "unpack it, and name the file of weights in it"
        fail(what, expected="a file of torch.save", got=got, remedy=remedy)
    folder = name.removesuffix("data.pkl")

    def entry(key: str) -> memoryview:
        one = entries.get(folder + key)
        if one is None:
            raise ValueError(f"no part {key!r:.50} in the file")
        if one.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"a compressed part {key!r:.50}, which torch.save never writes")
        start = one.header_offset
        names = (int.from_bytes(data[start + at : start + at + 2], "little") for at in (26, 28))
        start += 30 + sum(names)
        found = data[start : start + one.file_size]
        if len(found) != one.file_size:
            raise ValueError(f"a part {key!r:.50} that breaks off")
        return found

    try:
        order = bytes(entry("byteorder")[:10]) if folder + "byteorder" in entries else b"little"
        stream = entry("data.pkl")
    except ValueError as error:
        fail(what, expected="a file of torch.save", got=str(error), remedy=REMEDY)
    if order != b"little":
        remedy = "save it again on a machine with the usual order of bytes"
        fail(what, expected="numbers with the last byte first", got=order, remedy=remedy)
    decoded = decode(stream, what, steps)
    return decoded.root, decoded.calls, lambda value: _stored(value, entry)


def _stored(
    value: Persistent | Call, entry: Callable[[str], memoryview]
) -> tuple[memoryview, torch.dtype | None]:
    """The storage of a persistent id of torch: ("storage", class, key, device, count)."""
    if not isinstance(value, Persistent) or not _is_storage(value.id):
        raise ValueError(f"{told(value)} where a storage should be")
    _, kind, key, *_, view = (*value.id, None)[:6]
    found, dtype = entry(f"data/{key}"), storage_type(kind)
    if view is not None:
        _, start, count = view
        size = 1 if dtype is None else dtype.itemsize
        found = found[start * size : (start + count) * size]
    return found, dtype


def _is_storage(found: object) -> bool:
    return (
        isinstance(found, tuple)
        and 5 <= len(found) <= 6
        and found[0] == "storage"
        and isinstance(found[2], str | int)
    )


def open_legacy(
    data: memoryview, what: str, steps: int = MOST_STEPS, directory: int = _DIRECTORY
) -> _Opened:
    """As `open_zip`, of what torch wrote before 1.6, and writes for a storage in a pickle."""
    at, parts = 0, list[Decoded]()
    # A number, the version, the machine, the value, the keys.
    for most in (_STEPS_OF_ONE, _STEPS_OF_ONE, _STEPS_OF_ONE, steps, min(steps, _STEPS_OF_KEYS)):
        parts.append(decode(data[at:], what, most))
        at += parts[-1].end
    machine, root, keys = (part.root for part in parts[2:])
    calls = frozenset().union(*(part.calls for part in parts))
    types = {one[2]: storage_type(one[1]) for one in parts[3].outside if _is_storage(one)}
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        fail(what, expected="the keys of storages", got=told(keys), remedy=REMEDY)
    if not isinstance(machine, dict) or not machine.get("little_endian", True):
        remedy = "save it again on a machine with the usual order of bytes"
        fail(what, expected="numbers with the last byte first", got="another order", remedy=remedy)
    storages = _legacy_storages(data[at:], keys, types)
    return root, calls, lambda value: _stored(value, storages)


def _legacy_storages(
    data: memoryview, keys: list[str], types: Mapping[object, torch.dtype | None]
) -> Callable[[str], memoryview]:
    """Storages that follow one another: each the count of its numbers, and the numbers."""
    places, at = dict[str, tuple[int, int]](), 0
    for key in keys:
        dtype = types.get(key)
        if dtype is None:
            raise ValueError(f"a storage {key!r:.50} that no tensor is of")
        size = int.from_bytes(data[at : at + 8], "little") * dtype.itemsize
        at += 8
        if not 0 <= size <= len(data) - at:
            raise ValueError(f"a storage of {size:,} bytes, of which {len(data) - at:,} are left")
        places[key], at = (at, size), at + size

    def storage(key: str) -> memoryview:
        start, size = places[key.removeprefix("data/")]
        return data[start : start + size]

    return storage
