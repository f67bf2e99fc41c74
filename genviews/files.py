"""Files written so that nobody ever sees half of one, and their hashes.

A file is written beside its place under a temporary name (`.NAME.*.tmp`), flushed to the disk and
moved over its place in one step. A job killed in between leaves the temporary file, which nothing
reads. It was claimed while it was written, so `remove_stale_claims` tells it from one in use.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pickle
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from genviews.checks import fail
from genviews.claim import claimed_file

__all__ = [
    "atomic_write_bytes",
    "create_bytes",
    "load_tensors",
    "read_json",
    "read_metadata",
    "read_tensors",
    "save_tensors",
    "sha256_of",
    "write_json",
]


def atomic_write_bytes(path: str | Path, data: bytes) -> None:
    """Write `data` to `path` so that the file is always the old one or the new one, whole.

    Missing folders are made. Two writers never mix: the one that ends last wins.

    Raises:
        OSError: the folder cannot be written, or the disk is full; an old file is left as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Cut, because a name may be as long as the system allows.
    temporary = path.parent / f".{path.name[:40]}.{uuid4().hex[:12]}.tmp"
    try:
        with claimed_file(temporary) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            if sys.platform == "win32":
                file.close()  # an open file cannot be moved there
            os.replace(temporary, path)  # before its claim ends: see `remove_stale_claims`
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


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
    made = path.parent / f".{path.name}.{os.getpid()}-{uuid4().hex[:8]}.tmp"
    atomic_write_bytes(made, data)
    try:
        os.link(made, path)
    except FileExistsError:
        return False
    except OSError:  # a file system without links: the last of several writers
        os.replace(made, path)
    finally:
        made.unlink(missing_ok=True)
    _sync_folder(path.parent)
    return True


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
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8-sig"))
        problem = None if isinstance(value, dict) else f"a {type(value).__name__}"
    except ValueError as error:
        problem = str(error)
    if problem is not None:
        fail(
            f"file {path}",
            expected="a JSON object",
            got=problem,
            remedy="the file is damaged: write it again",
        )
    return dict(value)


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
    path: str | Path, device: torch.device | str = "cpu"
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a safetensors file whole; no code of it is run.

    Args:
        path: the file.
        device: of the tensors.

    Returns:
        The tensors by name, and the text in the header, {} where there is none.

    Raises:
        FileNotFoundError: no such file.
        safetensors.SafetensorError: another kind of file; callers say which one they expected.
    """
    with safe_open(str(path), framework="pt", device=str(device)) as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
        return tensors, file.metadata() or {}


def read_metadata(data: bytes) -> dict[str, str]:
    """Return the text in the header of a safetensors file, whose bytes are known to be whole."""
    size = int.from_bytes(data[:8], "little")
    found: dict[str, str] = json.loads(data[8 : 8 + size]).get("__metadata__", {})
    return found


def read_tensors(path: Path, what: str) -> dict[str, Tensor]:
    """Return the tensors of a safetensors or `torch.save` file by name; no code of it is run.

    Raises:
        OSError: no such file.
        ValueError: a file of anything else; the message starts with `what`.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, EOFError, RuntimeError) as error:
        # Not torch's own text, which advises to unpickle the file without restriction.
        fail(
            what,
            expected="a file of tensors alone",
            got=f"something else ({type(error).__name__})",
            remedy="save `module.state_dict()`, best as safetensors",
        )
    if not isinstance(found, dict) or not all(isinstance(v, Tensor) for v in found.values()):
        fail(
            what,
            expected="a state dict: names and tensors",
            got=type(found).__name__,
            remedy="save `module.state_dict()` alone, without the rest of a checkpoint",
        )
    return found


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
