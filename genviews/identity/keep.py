"""Identities kept beside the work, and compared with what is asked for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from genviews.checks import fail
from genviews.described import parse_object
from genviews.files import create_bytes, read_metadata, tensor_bytes
from genviews.identity.answers import largest_difference
from genviews.identity.describe import Description, Identified, key_of
from genviews.shard import key_difference, key_text

__all__ = ["TOLERANCE", "Identity", "identify"]

TOLERANCE = 0.02
"""How far answers may differ, of the largest of those kept: images are in [0, 1] here, logits as
they come. Another device, TF32 or number of threads moves them by 0.001 or less; half precision by
less than 0.01; another epoch of training by more."""

NAME = "identity"
REMEDY = "use another place for other parts, or delete what is there"

Packed = tuple[Mapping[str, Tensor], Mapping[str, str]]


@dataclass(frozen=True, eq=False)
class Identity(Identified):
    """What a result depends on.

    Args:
        exact: JSON values by the name of the part; equal or not.
        answers: what the generators and classifiers in it do, by dotted path; within `TOLERANCE`.

    Raises:
        TypeError: exact parts that are not JSON.
    """

    def __post_init__(self) -> None:
        key_text(self.exact)

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits of the exact parts: a name for a folder."""
        return key_of(self.exact)

    def part(self, names: Iterable[str]) -> Identity:
        """Return the identity of what depends on some of the parts alone."""
        chosen = set(names)
        answers = {p: v for p, v in self.answers.items() if p.partition(".")[0] in chosen}
        return Identity({n: v for n, v in self.exact.items() if n in chosen}, answers)

    def within(self, *path: str, names: Iterable[str]) -> Identity:
        """Return the identity of some parts of a part, such as the generator of a study's inputs.

        Args:
            path: names that lead to the part; nothing is there where one of them is not.
            names: of its parts.
        """
        found: Any = self.exact
        for name in path:
            found = found[int(name)] if isinstance(found, list) else found.get(name, {})
        prefix, chosen = ".".join((*path, "")), set(names)
        answers = {
            p.removeprefix(prefix): v for p, v in self.answers.items() if p.startswith(prefix)
        }
        return Identity({n: found[n] for n in chosen & found.keys()}, answers).part(chosen)

    def check(self, kept: Identity, what: str, remedy: str = REMEDY) -> None:
        """Raise unless work that was made under the identity `kept` is work of this one.

        Args:
            kept: of the work.
            what: the work, for the message.
            remedy: what to do, for the message.

        Raises:
            ValueError: naming what differs, exact parts first.
        """
        theirs, ours = key_text(kept.exact), key_text(self.exact)
        if theirs != ours:
            different = key_difference(theirs, ours)
        else:
            different = "; ".join(self._different_answers(kept))
        if different:
            fail(
                what,
                expected="what it was made from",
                got=different,
                remedy=remedy,
            )

    def _different_answers(self, kept: Identity) -> list[str]:
        found = []
        for path in sorted(self.answers.keys() | kept.answers.keys()):
            ours, theirs = self.answers.get(path), kept.answers.get(path)
            what = f"{path} {_name_at(self.exact, path)}".strip() + " as it was then: "
            if ours is None or theirs is None or ours.shape != theirs.shape:
                found.append(what + "its answers have another shape now")
                continue
            largest, allowed = largest_difference(theirs, ours), TOLERANCE * _largest(theirs)
            if not largest <= allowed:
                said, asked = "renders other images", "latents"
                if ours.ndim != 4:
                    said, asked = "gives other answers", "images"
                found.append(
                    f"{what}it now {said} (largest difference {largest:.2g} on {len(ours)} "
                    f"fixed {asked}; allowed {allowed:.2g})"
                )
        return found

    def keep(self, folder: str | Path, what: str, remedy: str = REMEDY) -> None:
        """Write this identity into a folder that has none, or compare it with the one there.

        Args:
            folder: of the work, or its fsspec URL. `identity.safetensors` holds all of it,
                `identity.json` the exact parts for people to read.
            what: the work, for the message.
            remedy: what to do, for the message.

        Raises:
            ValueError: another identity is there, or a damaged one.
        """
        kept = Identity.kept_in(folder)
        if kept is None:
            self._write(folder)
            kept = Identity.kept_in(folder)  # another process may have been first
            assert kept is not None
        self.check(kept, what, remedy)

    @classmethod
    def kept_in(cls, folder: str | Path) -> Identity | None:
        """Return the identity that `keep` wrote into a folder, or None.

        Raises:
            ValueError: it is damaged.
        """
        files, root = fsspec.url_to_fs(str(folder))
        path = f"{root}/{NAME}.safetensors"
        try:
            data = files.cat_file(path)
        except FileNotFoundError:
            return None
        try:
            found = cls.unpack(load(data), read_metadata(data))
        except (SafetensorError, ValueError):
            found = None
        if found is None:
            fail(
                f"identity {path}",
                expected="the file that was written",
                got="a damaged one",
                remedy="delete the folder: what made it is not known",
            )
        return found

    def _write(self, folder: str | Path) -> None:
        files, root = fsspec.url_to_fs(str(folder))
        data = tensor_bytes(*self.pack())
        text = json.dumps(dict(self.exact), indent=2, ensure_ascii=False) + "\n"
        if isinstance(files, LocalFileSystem):
            if create_bytes(f"{root}/{NAME}.safetensors", data):
                create_bytes(f"{root}/{NAME}.json", text.encode())
            return
        files.makedirs(root, exist_ok=True)
        files.pipe_file(f"{root}/{NAME}.json", text.encode())
        files.pipe_file(f"{root}/{NAME}.safetensors", data)

    def pack(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Return tensors and header text for a file that keeps its identity in itself."""
        return (
            {f"{NAME}/{name}": value for name, value in self.answers.items()},
            {NAME: key_text(self.exact)},
        )

    def check_packed(self, packed: Packed, what: str) -> None:
        """Raise ValueError unless a file with these tensors and text is of this identity."""
        kept = Identity.unpack(*packed)
        if kept is None:
            fail(
                what,
                expected="a file that says what it was made from",
                got="one that does not",
                remedy="remove it, or name another file",
            )
        self.check(kept, what)

    @classmethod
    def unpack(cls, tensors: Mapping[str, Tensor], text: Mapping[str, str]) -> Identity | None:
        """Return the identity that `pack` put into a file, or None."""
        if NAME not in text:
            return None
        prefix = f"{NAME}/"
        answers = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
        return cls(parse_object(text[NAME], "identity"), answers)


def identify(**parts: object) -> Identity:
    """Return the identity of a result: each part described, each generator and classifier asked.

    Args:
        parts: all that the result depends on, by name; an `Identity` in it is taken as it is.

    Raises:
        TypeError: a part that cannot be described, see `describe`.

    Example:
        >>> from genviews import ToyGenerator
        >>> one = identify(generator=ToyGenerator(), steps=10)
        >>> sorted(one.exact), sorted(one.answers), len(one.digest)
        (['generator', 'steps'], ['generator'], 16)
        >>> one.check(identify(generator=ToyGenerator(), steps=20), "latents")
        Traceback (most recent call last):
        ValueError: latents: expected what it was made from, got steps: 20 in the store, 10 asked;
        use another place for other parts, or delete what is there.
    """
    description = Description(asking=True)
    exact = {name: description(part, name) for name, part in parts.items()}
    return Identity(exact, description.answers)


def _name_at(exact: Mapping[str, Any], path: str) -> str:
    """What stands at a dotted path: the name of a function, or else of a class."""
    found: Any = exact
    for part in path.split("."):
        found = found[int(part)] if isinstance(found, list) else found.get(part, {})
    function = found.get("function", {}) if isinstance(found, dict) else {}
    if isinstance(function, dict) and "function" in function:
        return str(function["function"])
    return str(found.get("type", "")) if isinstance(found, dict) else ""


def _largest(values: Tensor) -> float:
    finite = values[values.isfinite()]
    return float(finite.abs().max()) if finite.numel() else 0.0
