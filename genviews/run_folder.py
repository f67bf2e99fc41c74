"""A run folder belongs to one run: it is claimed before the work, and what it held is moved aside.

    check everything -> CLAIM the folder -> work -> results -> FINISH

A run is known by its identity (`genviews.identity`), which is kept in the folder: the same run
asked again is a no-op or goes on, another one is refused. Two runs with different settings that
begin at once in an empty folder are told apart before either of them works. A run that begins anew
moves the old results aside, to `NAME.before-1` beside the folder, and deletes them when it has
finished; one that fails leaves them there.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from genviews.checks import fail
from genviews.claim import claim
from genviews.files import write_json
from genviews.identity import Identity

__all__ = ["RunFolder", "read_config"]

_OURS = ("config.json", "env.json", "log.txt", "identity.json", "identity.safetensors")


class RunFolder:
    """The folder of a run.

    Args:
        folder: where results and work are.
        results: names of the files or folders that a finished run has.
        work: names of subfolders with the work of an unfinished run.
        anew: begin anew: what is there is moved aside.
    """

    def __init__(
        self, folder: Path, *, results: Sequence[str], work: Sequence[str], anew: bool = False
    ) -> None:
        self.folder, self._results, self._work, self._anew = folder, results, work, anew
        self._aside: list[Path] = []
        self._held = contextlib.ExitStack()

    def claim(
        self, identity: Identity, config: Mapping[str, Any], grows: Sequence[str] = ()
    ) -> bool:
        """Make the folder this run's, or find that the run is finished.

        Args:
            identity: of all that the work depends on.
            config: what was asked, kept in `config.json`.
            grows: entries of the config that results depend on and work does not: a later run may
                change them, and goes on.

        Returns:
            Whether there is work to do; False where the results are there.

        Raises:
            ValueError: the folder holds the results or the work of another run, or another run is
                at work there; the message names what differs.
            OSError: the folder cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        alone = self._held.enter_context(claim(self.folder / ".run.lock"))
        if self._anew:
            if not alone:
                fail(
                    f"output folder {str(self.folder)!r}",
                    expected="no other run",
                    got="one that is at work there",
                    remedy="wait for it, or choose another folder with --out",
                )
            self._move_aside()
        kept = Identity.kept_in(self.folder)
        empty = not any((self.folder / n).exists() for n in (*self._results, *self._work))
        if kept is not None and empty and alone:  # a run that never began its work
            with contextlib.suppress(ValueError):
                identity.check(kept, "")
                empty = False
            if empty:
                self._forget_identity()
        identity.keep(
            self.folder,
            f"output folder {str(self.folder)!r}",
            remedy="choose another folder with --out, or begin anew with --force",
        )
        before = read_config(self.folder) or {}
        done = all((self.folder / name).exists() for name in self._results)
        if done and all(before.get(name) == config.get(name) for name in grows):
            return False
        for name in reversed(self._results):
            if not (self.folder / name).is_dir():
                (self.folder / name).unlink(missing_ok=True)
        write_json(self.folder / "config.json", dict(config))
        return True

    def set_aside(self, path: Path) -> None:
        """Move a file or folder aside, to be deleted when the run has finished."""
        if path.exists():
            place = _free(path)
            path.rename(place)
            self._aside.append(place)

    def finish(self) -> None:
        """Delete what was moved aside: the new results are there."""
        for place in self._aside:
            shutil.rmtree(place) if place.is_dir() else place.unlink()
        self._aside = []

    def release(self) -> None:
        """Let other runs have the folder."""
        self._held.close()

    def _move_aside(self) -> None:
        names = [*self._results, *self._work, *_OURS]
        there = [name for name in names if (self.folder / name).exists()]
        # A folder named "latents" that no run made is none of our business.
        if not there or read_config(self.folder) is None:
            return
        place = _free(self.folder)
        place.mkdir()
        self._aside.append(place)
        for name in there:
            (self.folder / name).rename(place / name)

    def _forget_identity(self) -> None:
        for name in ("identity.safetensors", "identity.json"):
            (self.folder / name).unlink(missing_ok=True)


def read_config(folder: Path) -> dict[str, Any] | None:
    """The configuration of the last run in a folder; None if there is none that can be read."""
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return dict(found) if isinstance(found, dict) else None


def _free(path: Path) -> Path:
    """The first name beside `path` that is free."""
    path = path.resolve()
    places = (path.with_name(f"{path.name}.before-{n}") for n in itertools.count(1))
    return next(place for place in places if not place.exists())
