"""Files written so that nobody ever sees half of one, and their hashes.

A file is written beside its place under a temporary name (`.NAME.*.tmp`), flushed to the disk and
moved over its place in one step. A job killed in between leaves the temporary file, which nothing
reads. It was claimed while it was written, so `remove_half_written` tells it from one in use.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from genviews.checks import check_file, fail
from genviews.claim import claimed_file, remove_stale_claims
from genviews.described import described_by, parse_object

__all__ = [
    "atomic_write_bytes",
    "create_bytes",
    "load_arrays",
    "load_header",
    "load_plain",
    "load_tensors",
    "read_json",
    "read_metadata",
    "read_tensors",
    "reason_of",
    "save_tensors",
    "remove_half_written",
    "sha256_of",
    "write_many",
    "write_json",
]

MOST_BYTES = 2**29  # of a JSON file


def atomic_write_bytes(path: str | Path, data: bytes | Iterable[bytes]) -> None:
    """Write `data` to `path` so that the file is always the old one or the new one, whole.

    Missing folders are made. Two writers never mix: the one that ends last wins. Data that do not
    fit into memory come in parts.

    Raises:
        OSError: the folder cannot be written, or the disk is full; an old file is left as it was.
    """
    path = Path(path)
    with _told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _half_written(path, data) as temporary:
            os.replace(temporary, path)
    _sync_folder(path.parent)


def write_many(files: Iterable[tuple[Path, bytes]]) -> None:
    """Write files as `atomic_write_bytes` does, but flush them to the disk all at once, at the end.

    Hundreds of small ones are there in the time that a few would take one by one.

    Args:
        files: path and content of each; missing folders are made.

    Raises:
        OSError: a folder cannot be written, or the disk is full; what was written before stays.
    """
    for path, data in files:
        with _told(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with _half_written(path, data, flush=False) as temporary:
                os.replace(temporary, path)
    if sys.platform != "win32":
        os.sync()


def create_bytes(path: str | Path, data: bytes) -> bool:
    """Write `data` to `path` unless a file is there; whole, and the first of several writers.

    Returns:
        Whether this call wrote it.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    path = Path(path)
    if path.exists():
        return False
    with _told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _half_written(path, data) as temporary:
            try:
                os.link(temporary, path)
            except FileExistsError:
                return False
            except OSError:  # a file system without links: the last of several writers
                os.replace(temporary, path)
    _sync_folder(path.parent)
    return True


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """Say which file could not be written, and why, in a user's words."""
    try:
        yield
    except OSError as error:
        try:
            fail(
                f"file {str(path)!r}",
                expected="to write it",
                got=reason_of(error),
                remedy="no part of it was left; make room or choose another folder, and run again",
                error=OSError,
            )
        except OSError as told:
            told.errno = error.errno
            raise told from error


def reason_of(error: OSError) -> str:
    """What went wrong with a file, in a user's words."""
    words = {
        errno.EACCES: "no permission to write there",
        errno.EPERM: "no permission to write there",
        errno.EROFS: "a read-only file system",
        errno.ENOSPC: "a full disk",
        errno.EDQUOT: "a used-up disk quota",
        errno.EEXIST: "a file of that name",
        errno.ENOTDIR: "a file in the way of the folder",
        errno.EISDIR: "a folder of that name",
        errno.ENAMETOOLONG: "a name that is too long for the file system",
    }
    return words.get(error.errno or 0, error.strerror or str(error))


@contextlib.contextmanager
def _half_written(
    path: Path, data: bytes | Iterable[bytes], *, flush: bool = True
) -> Iterator[Path]:
    """A whole file beside `path`, to be moved there; claimed, see `remove_stale_claims`."""
    # Cut, because a name may be as long as the system allows.
    temporary = path.parent / f".{path.name[:40]}.{uuid4().hex[:12]}.tmp"
    try:
        with claimed_file(temporary) as file:
            for part in (data,) if isinstance(data, bytes) else data:
                file.write(part)
            file.flush()
            if flush:
                os.fsync(file.fileno())
            if sys.platform == "win32":
                file.close()  # an open file cannot be moved there
            yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def remove_half_written(folder: Path) -> None:
    """Remove the files in a folder that killed processes were writing; those of others stay."""
    remove_stale_claims(folder, ".*.????????????.tmp")


def _sync_folder(folder: Path) -> None:
    # Without this a power cut can undo the move. Some systems cannot open a folder.
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_json(path: str | Path, value: object) -> None:
    """Write `value` as indented JSON, atomically, with a final newline.

    Raises:
        ValueError: NaN or infinity, which JSON does not have.
        TypeError: a value that is no JSON type (a tensor, a path, a dataclass).
    """
    try:
        text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        fail(
            f"JSON for {path}",
            expected="numbers, strings, lists and dicts, all finite",
            got=str(error),
            remedy="convert tensors with `.tolist()`, paths with `str`, and NaN to None",
            error=type(error),
        )
    atomic_write_bytes(path, (text + "\n").encode())


def read_json(path: str | Path) -> dict[str, Any]:
    """Return the JSON object that a file holds.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not valid JSON, or no object; the message names the file.
    """
    check_file(path, f"file {path}")
    size = Path(path).stat().st_size
    if size > MOST_BYTES:
        got, remedy = f"a file of {size / 1e9:.1f} GB", "name the right file"
        fail(f"file {path}", expected="a JSON object", got=got, remedy=remedy)
    return parse_object(Path(path).read_bytes().removeprefix(codecs.BOM_UTF8), f"file {path}")


def save_tensors(
    path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors as one safetensors file, atomically; equal content gives equal bytes.

    Args:
        path: the file.
        tensors: name -> tensor on any device; views and shared storage are copied.
        metadata: text kept in the header.
    """
    atomic_write_bytes(path, tensor_bytes(tensors, metadata))


def load_tensors(
    path: str | Path, *, what: str = "file"
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a safetensors file whole, to the CPU; no code of it is run.

    Args:
        path: the file.
        what: it holds, for messages.

    Returns:
        The tensors by name, and the text in the header, {} where there is none.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another kind of file.
    """
    check_file(path, f"{what} {Path(path).name}")
    with (
        _safetensors(path, what),
        safe_open(str(path), framework="pt") as file,
    ):
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no dict)
        return tensors, file.metadata() or {}


def load_header(path: str | Path, what: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the shapes in a safetensors file, as tensors on the meta device, and its text.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another kind of file.
    """
    told = f"{what} {Path(path).name}"
    check_file(path, told)
    with _safetensors(path, what), open(path, "rb") as file:
        size, left = int.from_bytes(file.read(8), "little"), Path(path).stat().st_size - 8
        with described_by(told, "a safetensors file", _FETCH):
            header = parse_object(file.read(size) if size <= left else b"", "header")
            text: dict[str, str] = header.pop("__metadata__", {})
            if not isinstance(text, dict) or not all(isinstance(v, str) for v in text.values()):
                raise ValueError("a __metadata__ that is no table of texts")
            shapes = {
                key: torch.empty(one["shape"], dtype=_TYPES[one["dtype"]], device="meta")
                for key, one in header.items()
            }
            if sum(one.nbytes for one in shapes.values()) > left:
                raise ValueError("shapes of more numbers than it has")
        return shapes, text


@contextlib.contextmanager
def _safetensors(path: str | Path, what: str) -> Iterator[None]:
    try:
        yield
    except (MemoryError, SafetensorError) as error:
        got, remedy = str(error), _FETCH
        if isinstance(error, MemoryError):
            got = f"a file of {Path(path).stat().st_size / 1e9:.1f} GB, for which memory is lacking"
            remedy = "free some memory, or name the right file"
        fail(f"{what} {Path(path).name}", expected="a safetensors file", got=got, remedy=remedy)


_FETCH = "write or fetch it again"

_TYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16}
_TYPES |= {"BF16": torch.bfloat16, "C64": torch.complex64, "BOOL": torch.bool}
_TYPES |= {f"I{bits}": getattr(torch, f"int{bits}") for bits in (8, 16, 32, 64)}
_TYPES |= {f"U{bits}": getattr(torch, f"uint{bits}") for bits in (8, 16, 32, 64)}


def read_metadata(data: bytes) -> dict[str, str]:
    """Return the text in the header of a safetensors file, whose bytes are known to be whole."""
    size = int.from_bytes(data[:8], "little")
    header = parse_object(data[8 : 8 + size], "header of a safetensors file")
    found: dict[str, str] = header.get("__metadata__", {})
    return found


def read_tensors(path: Path, what: str) -> dict[str, Tensor]:
    """Return the tensors of a safetensors or `torch.save` file by name; no code of it is run.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file of anything else; the message starts with `what` and the file's name.
    """
    if path.suffix == ".safetensors":
        return load_tensors(path, what=what)[0]
    what = f"{what} {path.name}"
    found = load_plain(path, what)
    if not isinstance(found, dict) or not all(isinstance(v, Tensor) for v in found.values()):
        fail(
            what,
            expected="a state dict: names and tensors",
            got=type(found).__name__,
            remedy="save `module.state_dict()` alone, without the rest of a checkpoint",
        )
    return found


def load_plain(
    path: Path,
    what: str,
    device: torch.device | str = "cpu",
    *,
    expected: str = "a file of tensors alone",
    remedy: str = "save `module.state_dict()`, best as safetensors",
) -> object:
    """Return what a file of `torch.save` holds: tensors and plain values; no code of it is run.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file of anything else; the message starts with `what`.
    """
    check_file(path, what)
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # of what is no such file nearly anything is raised
        # Not torch's own text, which advises to unpickle the file without restriction.
        fail(
            what,
            expected=expected,
            got=f"something else ({type(error).__name__})",
            remedy=remedy,
        )


def load_arrays(
    path: Path, what: str, remedy: str = "write it with `numpy.savez`"
) -> dict[str, Tensor]:
    """Return the arrays of numbers of a numpy file (.npz) by name; no code of it is run.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file of anything else; the message starts with `what`.
    """
    check_file(path, what)
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    except Exception as error:  # not numpy's own text, which advises to unpickle the file
        got = f"something else ({type(error).__name__})"
        fail(what, expected="arrays of numbers in an .npz file", got=got, remedy=remedy)


def tensor_bytes(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> bytes:
    """Return the bytes of a safetensors file; equal content gives equal bytes."""
    own = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    data = bytes(save(own, dict(metadata) if metadata else None))
    return _sort_metadata(data) if metadata and len(metadata) > 1 else data


def _sort_metadata(data: bytes) -> bytes:
    # safetensors writes the metadata in another order each time.
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, memoryview(data)[8 + size :]])


def sha256_of(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
