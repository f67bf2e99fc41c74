"""The content of images as hashes: by it images are told apart, compared and named in stores."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from jaxtyping import UInt8
from torch import Tensor

from genviews.data.metadata import OpenFile

__all__ = ["HASH_BYTES", "content_hash", "content_hash_of", "pack_hashes", "unpack_hashes"]

HASH_BYTES = 16  # of BLAKE2b: two of 10^15 images agree by chance with probability 10^-9


def content_hash(content: bytes | Tensor, size: int = HASH_BYTES) -> str:
    """Return the hash that `SourceBatch.hashes` holds, of a file's bytes or an image's values.

    An image is on the CPU; how its values lie in memory is no part of it.
    """
    data = content.numpy().tobytes() if isinstance(content, Tensor) else content
    return hashlib.blake2b(data, digest_size=size).hexdigest()


def content_hash_of(file: OpenFile) -> str:
    """Return `content_hash` of all bytes of an open file, which are never in memory together."""
    file.seek(0)
    return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=HASH_BYTES)).hexdigest()


def pack_hashes(hashes: Sequence[str]) -> UInt8[Tensor, "n 16"]:
    """Return content hashes as the bytes that a shard keeps; `unpack_hashes` gives them back."""
    data = b"".join(map(bytes.fromhex, hashes))
    return torch.tensor(list(data), dtype=torch.uint8).reshape(len(hashes), HASH_BYTES)


def unpack_hashes(packed: UInt8[Tensor, "n 16"]) -> list[str]:
    """Return the hashes that `pack_hashes` packed."""
    return [bytes(row).hex() for row in packed.tolist()]
