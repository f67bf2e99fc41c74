"""What a training keeps in one file to go on from, and of which training it is."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from genviews.checks import fail
from genviews.files import atomic_write_bytes, load_plain, remove_half_written
from genviews.identity.keep import Identity

__all__ = ["read_checkpoint", "write_checkpoint"]


def write_checkpoint(path: Path, identity: Identity, content: Mapping[str, Any]) -> None:
    """Write a checkpoint, whole or not at all; tensors and plain values only."""
    buffer = io.BytesIO()
    torch.save({"identity": identity.pack(), **content}, buffer)
    atomic_write_bytes(path, buffer.getvalue())
    remove_half_written(path.parent)


def read_checkpoint(
    path: Path, identity: Identity, device: torch.device | str = "cpu"
) -> dict[str, Any]:
    """Return what `write_checkpoint` wrote; no code of the file is run.

    Raises:
        ValueError: no checkpoint, or that of another training, whose differences are named.
    """
    what, expected = f"checkpoint {path.name}", "a file that this training wrote"
    remedy = "remove it, or name another file"
    content = load_plain(path, what, device, expected=expected, remedy=remedy)
    if not isinstance(content, dict) or "identity" not in content:
        fail(what, expected=expected, got="something else", remedy=remedy)
    identity.check_packed(content["identity"], what)
    return content
