"""The image files below a folder, in an order that does not depend on the machine."""

from __future__ import annotations

import os
from pathlib import Path

from genviews.checks import fail
from genviews.types import ImageSpec

__all__ = ["Skipped", "check_folder", "list_files"]

Skipped = list[tuple[str, str]]


def check_folder(folder: Path, spec: ImageSpec) -> None:
    """Raise unless images of this spec can be read from this folder.

    Raises:
        FileNotFoundError: nothing there.
        NotADirectoryError: it is a file.
        ValueError: a spec with other than 1 or 3 channels.
    """
    if spec.channels not in (1, 3):
        fail(
            "image spec of a folder",
            expected="1 (grey) or 3 (RGB) channels",
            got=spec.channels,
            remedy="read other kinds of images yourself and make an ImageSet of them",
        )
    if not folder.is_dir():
        exists = folder.exists()
        fail(
            f"folder {folder}",
            expected="a folder of images",
            got="a file" if exists else "nothing there",
            remedy="check the path",
            error=NotADirectoryError if exists else FileNotFoundError,
        )


def list_files(folder: Path, table: Path | None = None) -> tuple[list[str], Skipped]:
    """Return the sorted ids of the visible files, and what could not be listed.

    An id is the path relative to the folder, with "/". Hidden files and folders (a name that starts
    with a dot) are ignored; links are followed.

    Args:
        folder: where to look, at any depth.
        table: a CSV file that may lie among them and is left out.
    """
    files: list[str] = []
    skipped: Skipped = []
    seen: set[str] = set()

    def unreadable(error: OSError) -> None:
        name = Path(error.filename).relative_to(folder).as_posix()
        skipped.append((_shown(name), f"cannot be listed ({error.strerror})"))

    for here, subfolders, names in os.walk(folder, followlinks=True, onerror=unreadable):
        seen.add(os.path.realpath(here))
        # A link to a folder above it would otherwise be walked for ever.
        subfolders[:] = sorted(
            s
            for s in subfolders
            if not s.startswith(".") and os.path.realpath(os.path.join(here, s)) not in seen
        )
        files += [
            (Path(here) / name).relative_to(folder).as_posix()
            for name in names
            if not name.startswith(".")
        ]
    if table is not None and table.exists():
        files = [f for f in files if not (folder / f).exists() or not table.samefile(folder / f)]
    # An id is hashed and written as UTF-8, which not every file name can be.
    skipped += [(_shown(f), "has a name that is no text") for f in files if _shown(f) != f]
    return sorted(f for f in files if _shown(f) == f), skipped


def _shown(name: str) -> str:
    return name.encode("utf-8", "replace").decode()
