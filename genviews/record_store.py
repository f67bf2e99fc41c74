"""Pieces of a long job that end in a JSON record: a row of a study, what a judge says.

The record lies beside whatever else its work leaves, and is written last.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from genviews.checks import fail
from genviews.claim import claim, remove_stale_claims
from genviews.files import read_json, remove_half_written, write_json
from genviews.shard import key_difference
from genviews.store import Store

__all__ = ["RecordStore"]


class RecordStore(Store[dict[str, Any]]):
    """Shards that are a JSON record each; a record keeps its key, and another one is refused.

    Args:
        paths: of the records, one for each shard: "rows/gaussian/seed0/row.json".
        keys: text that each record depends on (`genviews.shard.key_text`).
        names: of the shards, for messages: "row 'Gaussian', seed 0".

    Attributes:
        paths: of the records.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     store = RecordStore([Path(folder) / "a/row.json"], ['{"lr": 1}'], ["row a"])
        ...     store.write(0, {"accuracy": 0.5})
        ...     store.missing(1), store.read(0)["accuracy"]
        ([], 0.5)
    """

    def __init__(self, paths: Sequence[Path], keys: Sequence[str], names: Sequence[str]) -> None:
        super().__init__()
        self.paths, self._keys, self._names = list(paths), list(keys), list(names)

    def name(self, index: int) -> str:
        """What a record is called in messages."""
        return str(self.paths[index])

    def present(self) -> list[int]:
        """Return the records that exist, whole or damaged."""
        return [index for index, path in enumerate(self.paths) if path.exists()]

    def has(self, index: int) -> bool:
        """Whether a record is there and whole; a damaged one is noted in `damaged`.

        Raises:
            ValueError: it was made under another key.
        """
        self.damaged.pop(index, None)
        try:
            theirs = read_json(self.paths[index])["key"]
        except FileNotFoundError:
            return False
        except (ValueError, KeyError) as error:
            self.damaged[index] = str(error)
            return False
        if theirs != self._keys[index]:
            fail(
                f"result of {self._names[index]}",
                expected="the setting of this study",
                got=key_difference(theirs, self._keys[index]),
                remedy="choose another folder, or remove that row's",
            )
        return True

    def claim(self, index: int) -> AbstractContextManager[bool]:
        """Claim a record for the length of a `with` block (see `genviews.claim`).

        Raises:
            OSError: the folder cannot be written.
        """
        return claim(_lock(self.paths[index]))

    def write(self, index: int, made: dict[str, Any]) -> None:
        """Write a record with its key."""
        write_json(self.paths[index], {**made, "key": self._keys[index]})

    def read(self, index: int) -> dict[str, Any]:
        """Return a record.

        Raises:
            FileNotFoundError: it was never made.
            ValueError: it is damaged.
        """
        return read_json(self.paths[index])

    def clean(self) -> None:
        """Remove the lock files and half-written files that killed processes left."""
        for path in self.paths:
            remove_stale_claims(path.parent, _lock(path).name)
            remove_half_written(path.parent)  # also checkpoints and encoders beside it


def _lock(path: Path) -> Path:
    return path.with_name(f".{path.stem}.lock")
