"""The image files below a folder: one rule for every verb, in an order that no machine changes.

A file is an image file if its name ends as one does, or if its first bytes are those of an image.
Everything else that is not ignored is left out with a reason, and never opened where opening could
hang: named pipes, sockets, devices, links to nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from genviews.checks import fail
from genviews.data.decode import AVIF, HEIC
from genviews.data.source import LabelColumn, columns_of
from genviews.data.split import CALLED, SplitName

__all__ = ["Listing", "check_folder", "folder_classes", "folder_splits", "list_images"]

_IGNORED = {"__macosx", "@eadir", "thumbs.db", "ehthumbs.db", "desktop.ini"}
_SUFFIXES = {
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".tif", ".tiff", ".webp"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".jp2", ".heic", ".heif", ".avif", ".ico"),
}
_FIRST_BYTES = (
    *(b"\x89PNG", b"\xff\xd8\xff", b"BM", b"GIF8", b"II*\0", b"MM\0*", b"P5", b"P6", b"P2", b"P3"),
)
_SYSTEM = ("/proc/", "/sys/", "/dev/")  # what lies there is no file, and has no end
_BRANDS = (*HEIC, *AVIF)  # the same container holds video


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Image files, and what is known of each before it is read.

    Args:
        root: the folder.
        files: their ids: paths relative to it, with "/", or absolute.
        columns: name -> labels of the files; {} where nothing is known.
        splits: split of each file, or None where neither a table nor folders say it.
        skipped: (path, reason) of what was left out.
        notes: what was decided for the user, in sentences.
    """

    root: Path
    files: tuple[str, ...]
    columns: Mapping[str, LabelColumn] = field(default_factory=dict)
    splits: tuple[SplitName, ...] | None = None
    skipped: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    def select(self, rows: Sequence[int]) -> Listing:
        """Return some of the files, in the given order."""
        return replace(
            self,
            files=tuple(self.files[row] for row in rows),
            columns=columns_of(self.columns, rows),
            splits=None if self.splits is None else tuple(self.splits[row] for row in rows),
        )


def check_folder(folder: Path) -> None:
    """Raise unless a folder is there.

    Raises:
        FileNotFoundError: nothing there.
        NotADirectoryError: it is a file.
    """
    if not folder.is_dir():
        exists = folder.exists()
        fail(
            f"folder {folder}",
            expected="a folder of images",
            got="a file" if exists else "nothing there",
            remedy="check the path",
            error=NotADirectoryError if exists else FileNotFoundError,
        )


def list_images(folder: Path, *, without: Sequence[Path] = ()) -> Listing:
    """Return the image files below a folder.

    Hidden files and folders (a name that starts with a dot), `__MACOSX`, `Thumbs.db` and their like
    are ignored. Links are followed, also two to one folder; a link to a folder around itself is
    not, or it would never end.

    Args:
        folder: where to look, at any depth.
        without: tables that may lie among the images; left out without a word.

    Raises:
        FileNotFoundError, NotADirectoryError: see `check_folder`.
    """
    check_folder(folder)
    tables = {os.path.realpath(path) for path in without}
    found = sorted(_walk(str(folder), "", (os.path.realpath(folder),)))
    kept = [one for one in found if os.path.realpath(folder / one[0]) not in tables]
    return Listing(
        root=folder,
        files=tuple(name for name, why in kept if not why),
        skipped=tuple(one for one in kept if one[1]),
    )


def folder_classes(
    files: tuple[str, ...], below: int = 0, *, needed: bool = False
) -> tuple[str, ...] | None:
    """Return the class of each file where every one lies in a subfolder, whose first is the class.

    So a folder without images is no class.

    Args:
        files: relative to the folder, with "/".
        below: folders above those that are classes.
        needed: whether there must be classes; else None stands for none.

    Raises:
        ValueError: classes are needed and an image lies beside the subfolders, or all do; some are
            named.
    """
    parts = [PurePosixPath(name).parts[below:] for name in files]
    beside = [name for name, part in zip(files, parts, strict=True) if len(part) < 2]
    if not beside:
        return tuple(part[0] for part in parts)
    if not needed:
        return None
    fail(
        "labels",
        expected="every image in a subfolder, which is its class",
        got=f"{len(beside)} of {len(files)} without a label, e.g. {beside[0]!r}",
        remedy="sort them into one subfolder a class, or give a CSV file with the columns file and "
        "label (--labels)",
    )


def folder_splits(name: str, files: tuple[str, ...]) -> tuple[SplitName, ...] | None:
    """Return the split of each file where the first subfolders are called as splits are.

    None where they are not: train or test must be there, and folders of other names are not more
    than those; where they are, they are classes.

    Args:
        name: of the folder, for messages.
        files: relative to it, with "/".

    Raises:
        ValueError: folders or files beside the splits; they are named.
    """
    first = [file.partition("/")[0] if "/" in file else file for file in files]
    known = [one for one in set(first) if one.lower() in CALLED]
    stray = sorted(set(first) - set(known))
    if not {"train", "test"} & {CALLED[one.lower()] for one in known} or len(stray) > len(known):
        return None
    if stray:
        fail(
            f"splits of {name}",
            expected=f"folders called {', '.join(CALLED)}, and nothing beside them",
            got=f"also {', '.join(repr(one) for one in stray[:5])}",
            remedy="rename or move what does not belong there",
        )
    return tuple(CALLED[one.lower()] for one in first)


def _walk(place: str, prefix: str, around: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """What a folder holds, and why it is no image file; "" for one that is.

    Args:
        place: the folder.
        prefix: of its names.
        around: real paths of the folders around its content.
    """
    try:
        entries = list(os.scandir(place))
    except OSError as error:
        yield shown(prefix.rstrip("/")) or ".", f"cannot be listed ({error.strerror})"
        return
    for entry in entries:
        name = prefix + entry.name
        if entry.name.startswith(".") or entry.name.lower() in _IGNORED:
            continue
        try:
            if shown(name) != name:  # an id is hashed and written as UTF-8
                yield shown(name), "has a name that is no text"
            elif entry.is_dir():
                yield from _folder(entry, name, around)
            elif entry.is_file():
                yield name, "" if _looks_like_an_image(entry) else "is not an image"
            elif entry.is_symlink() and not os.path.exists(entry.path):
                yield name, "is a link to nothing"
            else:
                yield name, "is no file, but a named pipe, a socket or a device"
        except OSError as error:  # such as links that lead to each other
            yield name, f"cannot be read ({error.strerror})"


def _folder(
    entry: os.DirEntry[str], name: str, around: tuple[str, ...]
) -> Iterator[tuple[str, str]]:
    """What `_walk` says of a folder in a folder."""
    real = os.path.realpath(entry.path)
    if any(real == one or one.startswith(real.rstrip("/") + "/") for one in around):
        yield name, "is a link to a folder around it"
    elif (real + "/").startswith(_SYSTEM):
        yield name, "is a folder of the system"
    else:
        yield from _walk(entry.path, f"{name}/", (*around, real))


def _looks_like_an_image(entry: os.DirEntry[str]) -> bool:
    if os.path.splitext(entry.name)[1].lower() in _SUFFIXES:
        return True
    if entry.stat().st_size == 0:
        return False
    try:
        with open(entry.path, "rb") as file:
            start = file.read(16)
    except OSError:
        return True  # reading it will say why not
    named = start[:4] == b"RIFF" and start[8:12] == b"WEBP"  # not sound or video
    return (
        start.startswith(_FIRST_BYTES)
        or named
        or (start[4:8] == b"ftyp" and start[8:12] in _BRANDS)
    )


def shown(name: str) -> str:
    """A file name as text, whatever bytes it has."""
    return name.encode("utf-8", "replace").decode()
