"""What a file of weights holds, decoded by its first bytes; nothing of it is run.

    pickle        NVIDIA's networks, of PyTorch and of TensorFlow
    torch.save    a state dict or a checkpoint of training, .pt and .pth
    safetensors   a header and the numbers

The file is mapped, not read: what nobody asks for never comes into memory. Of a pickle the tree is
decoded (`genviews.generators.checkpoints.pickles`), of tensors those that are asked for.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from genviews.checks import check_fetched, check_file, fail
from genviews.described import described_by
from genviews.files import load_header, load_tensors, reason_of
from genviews.generators.checkpoints.modules import Module, is_module, module_of
from genviews.generators.checkpoints.pickles import decode
from genviews.generators.checkpoints.records import REMEDY, Name
from genviews.generators.checkpoints.strangers import stranger
from genviews.generators.checkpoints.tensors import Numbers, Storage, as_dict, shape_of
from genviews.generators.checkpoints.torch_files import (
    LEGACY,
    ZIP,
    embedded,
    open_legacy,
    open_zip,
)

__all__ = ["Contents", "open_contents"]

_PICKLES = (*(bytes([0x80, number]) for number in (2, 3, 4, 5)), b"(", b"]", b"}", b"c")

_HARMLESS = (
    "torch",
    "torch_utils",
    "numpy",
    "collections",
    "dnnlib",
    "training",
    "copyreg",
    "_codecs",
    "argparse",
)
MOST_KEYS = 50
"""Entries of a file that are looked into to say what it is."""
_PLAIN = ("builtins.set", "builtins.frozenset", "builtins.bytearray", "__builtin__.set")


@dataclass(frozen=True, kw_only=True)
class Contents:
    """A decoded file.

    Args:
        name: of the file.
        role: what it is read as, for messages: "generator", "encoder", "classifier".
        form: how it is written, in words.
        root: its value: see `genviews.generators.checkpoints.pickles`; of a safetensors file, a
            dict of tensors on the meta device.
        calls: what a pickle asks to be called, of which nothing was.
        text: of a safetensors file's header.
        path: of the file.
        numbers: reads its tensors.
    """

    name: str
    role: str
    form: str
    root: Any
    calls: frozenset[Name]
    text: Mapping[str, str]
    path: Path
    numbers: Numbers

    @property
    def what(self) -> str:
        """The file in a message."""
        return f"{self.role} {self.name}"

    @property
    def code(self) -> tuple[str, ...]:
        """What of the file is code, in words: nothing of it was run."""
        found = [str(one) for one in sorted(self.calls) if str(one) not in _PLAIN]
        asked = tuple(one for one in found if one.partition(".")[0] not in _HARMLESS)
        return (*(("source of its classes",) if self.has_source else ()), *asked)

    @property
    def has_source(self) -> bool:
        """Whether it holds the text of Python modules, as NVIDIA's pickles do."""
        return any(one.name == "_reconstruct_persistent_obj" for one in self.calls)

    def tensor(self, value: object) -> Tensor:
        """Return a tensor of the file on the CPU.

        Raises:
            ValueError: no tensor, or one that the file does not hold.
        """
        if self.form == "safetensors":
            return self.tensors({"": value})[""]
        return value if isinstance(value, Tensor) else self.numbers.tensor(value)

    def tensors(self, values: Mapping[str, object]) -> dict[str, Tensor]:
        """Return tensors by name; those of a safetensors file all at once."""
        if self.form == "safetensors":
            whole = load_tensors(self.path, what=self.role)[0]
            keys = {id(v): k for k, v in self.root.items()}
            return {name: whole[keys[id(one)]] for name, one in values.items()}
        return {name: self.tensor(one) for name, one in values.items()}

    def shapes(self, values: Mapping[str, object]) -> dict[str, Tensor]:
        """Return tensors on the meta device, of the shapes of those in the file.

        Raises:
            ValueError: one that is no tensor.
        """
        with described_by(self.what, "tensors", REMEDY):
            return {k: torch.empty(shape_of(v), device="meta") for k, v in values.items()}

    def keys(self) -> dict[Any, Any]:
        """The dict that the file holds, {} where it holds none."""
        return as_dict(self.root) or {}

    def network(self, *keys: str) -> Module | None:
        """The network that the file holds under the first of some keys, or alone; else None."""
        held = self.keys()
        found = next((held[key] for key in keys if held.get(key) is not None), self.root)
        return module_of(found, self.what) if is_module(found) else None

    def beside(self, *keys: str) -> tuple[str, ...]:
        """What else the file holds, by key, that is a network or a dict."""
        held = self.keys()
        chosen = next((key for key in keys if held.get(key) is not None), None)
        return tuple(
            str(key)
            for key, value in list(held.items())[:MOST_KEYS]
            if key != chosen and (is_module(value) or as_dict(value))
        )


def open_contents(path: Path, role: str = "generator") -> Contents:
    """Decode a file by its first bytes.

    Args:
        path: of the file.
        role: what it is read as, for messages.

    Raises:
        FileNotFoundError: no such file.
        ValueError: damaged, no file of weights, or of a kind that is not opened, which is named.
    """
    what = f"{role} {path.name}"
    check_file(path, what)
    if path.stat().st_size == 0:
        fail(what, expected="a file of weights", got="an empty file", remedy=REMEDY)
    try:
        with open(path, "rb") as file:
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError as error:
        got, remedy = reason_of(error), "free some memory, or name the right file"
        fail(what, expected="to read it", got=got, remedy=remedy, error=OSError)
    head = bytes(data[:512])
    check_fetched(head, what)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= len(data) - 8:
        shapes, text = load_header(path, role)
        return _contents(path, role, "safetensors", shapes, frozenset(), embedded(what), text)
    if (known := stranger(head, bytes(data[-8:]))) is not None:
        known.refuse(what)
    if head.startswith((ZIP, LEGACY)):
        with described_by(what, "a whole file of torch.save", REMEDY):
            opened = (open_zip if head.startswith(ZIP) else open_legacy)(data, what)
        return _contents(path, role, "torch.save", *opened)
    if head.startswith(_PICKLES):
        decoded = decode(data, what)
        return _contents(path, role, "pickle", decoded.root, decoded.calls, embedded(what))
    fail(
        what,
        expected="a pickle, a file of torch.save, or safetensors",
        got=f"a file that begins with {head[:8]!r}",
        remedy="name the file of weights itself, unpacked",
    )


def _contents(
    path: Path,
    role: str,
    form: str,
    root: object,
    calls: frozenset[Name],
    storage: Storage,
    text: Mapping[str, str] = MappingProxyType({}),
) -> Contents:
    numbers = Numbers(storage, path.stat().st_size, f"{role} {path.name}")
    return Contents(
        name=path.name,
        role=role,
        form=form,
        root=root,
        calls=calls,
        text=text,
        path=path,
        numbers=numbers,
    )
