"""A run folder belongs to one run: it is claimed before the work, and what it held is moved aside.

    check everything -> CLAIM the folder -> work -> results -> what was moved aside is deleted

A run is known by its identity, which is kept in the folder: the same run asked again is a no-op or
goes on, another one is refused. Two different runs that begin at once in an empty folder are told
apart before either of them works; two equal ones share the work.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from genviews.checks import fail
from genviews.claim import claim
from genviews.files import remove_half_written
from genviews.identity import Identity, describe
from genviews.studies.result import RESULT_FILE

if TYPE_CHECKING:
    from genviews.kit import GeneratorKit

__all__ = ["WORK", "RunFolder"]

WORK = "work"
"""Subfolder of a run with what a study keeps while it goes on."""

_IDENTITY = ("identity.json", "identity.safetensors")
_RESULTS = ("report.html", "results.csv", RESULT_FILE, "tables", "figures", "pictures")
_REMEDY = "choose another folder with --out, or begin anew with --force"


class RunFolder:
    """The folder of a run.

    Args:
        folder: where results and work are.
        products: files or subfolders that the study leaves there itself.
    """

    def __init__(self, folder: Path, products: Sequence[str] = ()) -> None:
        self.folder, self._products = folder, tuple(products)
        self._what = f"output folder {str(folder)!r}"

    @property
    def is_complete(self) -> bool:
        """Whether the results of some run are there, with all its products."""
        return all((self.folder / name).exists() for name in (RESULT_FILE, *self._products))

    def check_known(
        self, study: str, options: object, seed: int, kit: GeneratorKit | None = None
    ) -> None:
        """Refuse the folder of another run by what is known before any image is read.

        Args:
            study: its name.
            options: of the study.
            seed: of the views.
            kit: the generator and how images are inverted by it, once they are loaded.

        Raises:
            ValueError: the folder holds results or work of another run.
        """
        kept = Identity.kept_in(self.folder)
        if kept is None or not self._has_work():
            return
        models = {} if kit is None else {"generator": kit.generator, "inverter": kit.inverter}
        theirs = kept.within("inputs", "inputs", names=models).exact
        used = {name: theirs[name] for name, one in theirs.items() if one is not None}
        inputs = {"seed": seed, "inputs": {name: models[name] for name in used}}
        ours = {"study": study, "options": options, "inputs": inputs}
        then = {**kept.within("inputs", names=["seed"]).exact, "inputs": used}
        Identity({name: describe(part) for name, part in ours.items()}).check(
            Identity({**kept.exact, "inputs": then}), self._what, _REMEDY
        )

    @contextmanager
    def claimed(self, identity: Identity, *, anew: bool = False) -> Iterator[None]:
        """Make the folder this run's for the length of a `with` block.

        A block that fails before any work was kept leaves the folder as it was found. After that
        the new work stays, to go on from, and so does what was moved aside, until a run finishes.

        Args:
            identity: of all that the work depends on.
            anew: move what an earlier run left to a subfolder `before-1` first.

        Raises:
            ValueError: the folder holds the results or the work of another run (the message says
                what differs), or another process is at work where it is to begin anew.
        """
        for name in (".", *_RESULTS):
            remove_half_written(self.folder / name)
        with claim(self.folder / ".run.lock") as alone:
            if anew and not alone:
                fail(
                    self._what,
                    expected="no other run",
                    got="one that is at work there",
                    remedy="wait for it, or choose another folder with --out",
                )
            aside = self._move_aside() if anew else None
            before = Identity.kept_in(self.folder)
            if before is not None and alone and not self._has_work():
                self._forget()  # of a run that was killed before it kept anything
            ours = False
            try:
                identity.keep(self.folder, self._what, _REMEDY)
                ours = True
                yield
            except BaseException:
                if alone and not self._has_work():
                    if ours:  # else another run kept its own there meanwhile, and is at work
                        self._forget()
                    if not (self.folder / _IDENTITY[1]).exists():
                        self._put_back(aside)
                raise
        for place in self._set_aside():
            shutil.rmtree(place)

    def _names(self) -> tuple[str, ...]:
        """What runs leave; whatever else lies in the folder is none of their business."""
        return (*_IDENTITY, *_RESULTS, WORK, *self._products)

    def _has_work(self) -> bool:
        return any((self.folder / name).exists() for name in (RESULT_FILE, WORK, *self._products))

    def _forget(self) -> None:
        for name in _IDENTITY:
            (self.folder / name).unlink(missing_ok=True)

    def _move_aside(self) -> Path | None:
        if not (self.folder / _IDENTITY[0]).exists():
            return None  # no run made what is there
        places = (self.folder / f"before-{number}" for number in itertools.count(1))
        aside = next(place for place in places if not place.exists())
        aside.mkdir()
        for name in self._names():
            if (self.folder / name).exists():
                (self.folder / name).rename(aside / name)
        return aside

    def _put_back(self, aside: Path | None) -> None:
        if aside is not None:
            for path in aside.iterdir():
                path.rename(self.folder / path.name)
            aside.rmdir()

    def _set_aside(self) -> list[Path]:
        """What this run or killed ones moved aside."""
        found = self.folder.glob("before-*")
        return [place for place in found if (place / _IDENTITY[0]).exists()]
