"""One shard: tensors whose first axis is the sample, with ids and notes, as the bytes of a file.

The file is safetensors; its header keeps the ids, the key of the store, the notes and a checksum
over all of it, so that a torn or damaged file is told from a whole one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from genviews.checks import check_different, fail
from genviews.described import parse_json
from genviews.files import read_metadata, tensor_bytes

__all__ = [
    "DamagedShardError",
    "Shard",
    "decode_shard",
    "encode_shard",
    "join_shards",
    "key_difference",
    "key_text",
]

_FORMAT = "genviews-shard-1"


@dataclass(frozen=True, kw_only=True, eq=False)
class Shard:
    """Tensors whose first axis is the sample, and the samples' ids.

    Args:
        tensors: name -> one row for each sample.
        ids: unique names of the samples.
        notes: text about other samples, such as id -> why it could not be read.
    """

    tensors: dict[str, Tensor]
    ids: tuple[str, ...]
    notes: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)


class DamagedShardError(Exception):
    """The file is no whole shard; the text says why."""


def encode_shard(shard: Shard, key: str) -> bytes:
    """Return the bytes of a shard's file; equal content gives equal bytes.

    Raises:
        ValueError: no tensors, duplicate ids, or a first axis of another length.
    """
    _check_content(shard.tensors, shard.ids)
    metadata = {"format": _FORMAT, "key": key, "ids": json.dumps(list(shard.ids))}
    if shard.notes:
        metadata["notes"] = json.dumps(dict(shard.notes))
    metadata["checksum"] = _checksum(shard.tensors, metadata)
    return tensor_bytes(shard.tensors, metadata)


def decode_shard(data: bytes) -> tuple[Shard, str]:
    """Return the shard that a file's bytes hold, and the key it was made under.

    Raises:
        DamagedShardError: the bytes are not what `encode_shard` gave.
    """
    try:
        tensors = load(data)  # refuses a truncated file, so the header can be read after it
        metadata = read_metadata(data)
    except (SafetensorError, ValueError) as error:
        raise DamagedShardError(f"{len(data)} bytes, {error}") from None
    if metadata.get("format") != _FORMAT or not {"key", "ids", "checksum"} <= metadata.keys():
        raise DamagedShardError("not written by a shard store")
    if metadata["checksum"] != _checksum(tensors, metadata):
        raise DamagedShardError("its checksum does not match")
    try:
        ids, notes = (parse_json(metadata.get(k, "{}"), k) for k in ("ids", "notes"))
    except ValueError as error:
        raise DamagedShardError(str(error)) from None
    return Shard(tensors=tensors, ids=tuple(ids), notes=notes), metadata["key"]


def join_shards(parts: Sequence[Shard], root: str) -> Shard:
    """Return all samples as one shard, in the order of the parts.

    Args:
        parts: at least one.
        root: the store's name, for messages.

    Raises:
        ValueError: parts with different tensors, or a sample in two of them.
    """
    names = parts[0].tensors.keys()
    if any(part.tensors.keys() != names for part in parts):
        fail(
            f"store {root}",
            expected=f"tensors {sorted(names)} in every shard",
            got=f"{sorted({n for p in parts for n in p.tensors})} over all",
            remedy="the shards come from different jobs: use one folder for each",
        )
    ids = tuple(i for part in parts for i in part.ids)
    remedy = "put the shard size into the key, so that another cut is another store"
    check_different(ids, f"store {root}: samples of its shards", remedy)
    tensors = {name: torch.cat([part.tensors[name] for part in parts]) for name in names}
    notes = {name: text for part in parts for name, text in part.notes.items()}
    return Shard(tensors=tensors, ids=ids, notes=notes)


def key_text(key: Mapping[str, object]) -> str:
    """Return a key as text: equal keys give equal texts, whatever the order of their fields.

    Raises:
        TypeError: a value that JSON does not have.
    """
    try:
        return json.dumps(dict(key), sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        fail(
            "identity",
            expected="numbers, strings, lists and dicts, all finite",
            got=str(error),
            remedy="describe the configuration in JSON values",
            error=TypeError,
        )


def key_difference(theirs: str, ours: str) -> str:
    """Return the fields in which two texts of `key_text` differ, with both values."""
    there, here = _flat(json.loads(theirs)), _flat(json.loads(ours))
    absent = "(absent)"
    return "; ".join(
        f"{field}: {there.get(field, absent)} in the store, {here.get(field, absent)} asked"
        for field in sorted(there.keys() | here.keys())
        if there.get(field, absent) != here.get(field, absent)
    )


def _flat(value: object, prefix: str = "") -> dict[str, str]:
    """The leaves of nested dicts, and of lists of dicts, by their dotted path."""
    items: list[tuple[str, object]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        items = [(str(i), item) for i, item in enumerate(value)]
    if not items:
        return {prefix: json.dumps(value)}
    flat: dict[str, str] = {}
    for name, item in items:
        flat |= _flat(item, f"{prefix}.{name}" if prefix else name)
    return flat


def _checksum(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    shapes = [(n, str(tensors[n].dtype), tuple(tensors[n].shape)) for n in sorted(tensors)]
    covered = (metadata["key"], metadata["ids"], shapes)
    notes = metadata.get("notes")  # a shard without notes has the checksum of older versions
    digest.update(repr(covered if notes is None else (*covered, notes)).encode())
    for name in sorted(tensors):
        flat = tensors[name].detach().cpu().contiguous().flatten()
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _check_content(tensors: Mapping[str, Tensor], ids: Sequence[str]) -> None:
    if not tensors:
        fail("shard", expected="at least one tensor", got="none", remedy="pass what to keep")
    check_different(ids, "shard ids", "name each sample once")
    for name, tensor in tensors.items():
        if tensor.ndim == 0 or tensor.shape[0] != len(ids):
            fail(
                f"shard tensor {name!r}",
                expected=f"a first axis of {len(ids)}, one entry for each id",
                got=tuple(tensor.shape),
                remedy="pass one row for each sample",
            )
