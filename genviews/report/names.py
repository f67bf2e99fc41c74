"""Names of files for images, decided before the work: safe on any system, and no two alike.

An id is the name of a file that a stranger gave: it may lead out of the folder, be as long as a
name may be, or differ from another one in what a file system does not see.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from pathlib import PurePosixPath

from genviews.text import printable

__all__ = ["file_names"]

_LONGEST = 150  # bytes of a part of a path; systems allow 255, some of them less
_MARK = re.compile("-[0-9a-f]{16}$")  # a name that looks like one with a hash gets another hash
_UNSAFE = str.maketrans(dict.fromkeys('<>:"|?*\\', "_"))


def file_names(ids: Iterable[str], suffix: str) -> dict[str, str]:
    """Return the path of each image's file below a folder.

    Args:
        ids: different ones; "/" parts folders.
        suffix: of the files, as in ".png"; an id that ends so keeps its name.

    Returns:
        id -> path, with "/". An id whose path would meet another one's, whatever the case of its
        letters, has a hash of the id in its name, and so has one that is cut.

    Example:
        >>> file_names(["a/b.png", "b.jpg", "../../etc/x"], ".png")
        {'a/b.png': 'a/b.png', 'b.jpg': 'b.jpg.png', '../../etc/x': '__/__/etc/x.png'}
        >>> len(set(file_names(["b.jpg", "b.jpg.png", "B.jpg"], ".png").values()))
        3
    """
    plain = {one: _path(one, suffix) for one in ids}
    taken = Counter(place for path, _ in plain.values() for place in _places(path))
    return {
        one: path if whole and taken[_seen(path)] == 1 else _marked(path, one, suffix)
        for one, (path, whole) in plain.items()
    }


def _path(image: str, suffix: str) -> tuple[str, bool]:
    """The path of one image, were it alone; and whether it is whole, and no other's with a hash."""
    parts = ["__" if part == ".." else part for part in image.split("/") if part not in ("", ".")]
    parts = [printable(part).translate(_UNSAFE).strip() or "_" for part in parts or ["_"]]
    last = parts[-1]
    stem = last[: -len(suffix)] if last.lower().endswith(suffix) else last
    ending = last[len(stem) :] or suffix
    folders, name = [_cut(part) for part in parts[:-1]], _cut(stem)
    path = "/".join([*folders, (name or "_") + ending])
    whole = all(a == b for a, b in zip(parts[:-1], folders, strict=True)) and name == stem
    return path, whole and not _MARK.search(name)


def _cut(text: str) -> str:
    return text.encode()[:_LONGEST].decode(errors="ignore").rstrip()


def _marked(path: str, image: str, suffix: str) -> str:
    """A path with a hash of the id before its suffix."""
    digest = hashlib.blake2b(image.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
    return f"{path[: -len(suffix)]}-{digest}{path[-len(suffix) :]}"


def _seen(path: str) -> str:
    """A path as a file system that sees neither case nor how letters are composed."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def _places(path: str) -> list[str]:
    """A file and the folders around it, which no other file may be."""
    whole = PurePosixPath(_seen(path))
    return [str(whole), *(str(place) for place in whole.parents if place.name)]
