"""Image files as a source: those below a folder, or those that a CSV file names.

    FILES -> align -> invert -> latents

A file is read when its row is asked for, so that a folder of any size takes no memory. With an
aligner, each image is brought to the generator's frame by its own geometry, and the mask says what
of that frame the file really holds.
"""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import torch
from torch import Tensor

from genviews.align.base import Aligner, UnalignableError
from genviews.align.table import GeometryTable
from genviews.checks import fail
from genviews.data.decode import UnfitImageError, decode_pixels, fit_pixels
from genviews.data.listing import check_folder, list_files
from genviews.data.source import HASH_BYTES, ImageSource, SourceBatch, content_hash
from genviews.data.table import read_table
from genviews.types import ImageSpec

__all__ = ["Alignment", "CSVSource", "FolderSource"]


@dataclass(frozen=True)
class Alignment:
    """How each image of a source is brought to the frame of the generator.

    Args:
        aligner: makes images of the generator's size.
        geometry: box or landmarks of each file, named as in the source.
    """

    aligner: Aligner
    geometry: GeometryTable

    def describe(self, file: str) -> str:
        """All that the alignment of one file depends on."""
        found = self.geometry.rows.get(file)
        where = found.tolist() if isinstance(found, Tensor) else repr(found)
        return json.dumps([self.aligner.describe(), where], sort_keys=True)


class FileSource(ImageSource):
    """Abstract: image files of one folder; a leaf says which.

    Args:
        root: the folder.
        image_spec: channels (1 or 3), height and width of the images.
        resize: crop and shrink larger images (see `decode_image`); else they are skipped.
        convert: convert colours and transparency (see `decode_image`); else they are skipped.
        alignment: brings images of any size to the spec's, in place of `resize`.
    """

    def __init__(
        self,
        root: Path,
        image_spec: ImageSpec,
        *,
        resize: bool,
        convert: bool,
        alignment: Alignment | None,
    ) -> None:
        check_folder(root, image_spec)
        self.image_spec, self._root = image_spec, root
        self._resize, self._convert, self._alignment = resize, convert, alignment
        self._fingerprint: str | None = None
        self.ids, self.skipped = self._list(root)

    @abstractmethod
    def _list(self, root: Path) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
        """The files relative to the root, with "/", and (file, reason) of those left out."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} files)"

    def read(self, rows: Sequence[int]) -> SourceBatch:
        """Read files; what is no image, unfit or cannot be aligned is in `skipped`."""
        images: list[Tensor] = []
        masks: list[Tensor] = []
        kept: dict[str, str] = {}
        skipped: list[tuple[str, str]] = []
        for name in (self.ids[row] for row in rows):
            try:
                data = _bytes_of(self._root / name)
                image, mask = self._image(data, name)
            except (UnfitImageError, UnalignableError) as reason:
                skipped.append((name, str(reason)))
                continue
            images.append(image)
            masks += [] if mask is None else [mask]
            kept[name] = content_hash(data)
        shape = self.image_spec.shape
        return SourceBatch(
            images=torch.stack(images) if images else torch.empty(0, *shape),
            ids=tuple(kept),
            hashes=tuple(kept.values()),
            masks=torch.stack(masks) if masks else None,
            skipped=tuple(skipped),
        )

    def _image(self, data: bytes, name: str) -> tuple[Tensor, Tensor | None]:
        pixels = decode_pixels(data, self.image_spec.channels, convert=self._convert)
        if self._alignment is None:
            return fit_pixels(pixels, self.image_spec, resize=self._resize), None
        aligned = self._alignment.aligner.align(pixels, self._alignment.geometry.of(name))
        if aligned.image.shape != self.image_spec.shape:
            fail(
                f"images of {self._alignment.aligner}",
                expected=f"shape {self.image_spec.shape}, what the generator makes",
                got=tuple(aligned.image.shape),
                remedy="use an aligner with the frame of the generator",
            )
        return aligned.image, aligned.mask

    def fingerprint(self) -> str:
        """A hash of names, bytes, size, conversions and geometry; computed once, by reading all."""
        if self._fingerprint is None:
            digest = hashlib.blake2b(digest_size=HASH_BYTES)
            how = (self.image_spec.shape, self._resize, self._convert)
            digest.update(repr(how).encode())
            for name in self.ids:
                align = "" if self._alignment is None else self._alignment.describe(name)
                digest.update(repr((name, _hash_of(self._root / name), align)).encode())
            self._fingerprint = digest.hexdigest()
        return self._fingerprint


class FolderSource(FileSource):
    """Every file below a folder, sorted by its path relative to the folder, which is its id.

    Hidden files and folders (a name that starts with a dot) are ignored. Files that are no images
    are rows too: they are skipped, with the reason, when they are read.

    Args:
        path: the folder. Links are followed.
        image_spec: channels (1 or 3), height and width of the images.
        resize: crop and shrink larger images (see `decode_image`); else they are skipped.
        convert: convert colours and transparency (see `decode_image`); else they are skipped.
        alignment: brings images of any size to the spec's. Its table may lie in the folder.

    Raises:
        FileNotFoundError: no such folder.
        NotADirectoryError: it is a file.
        ValueError: a folder without a file.
    """

    def __init__(
        self,
        path: str | Path,
        image_spec: ImageSpec,
        *,
        resize: bool = False,
        convert: bool = False,
        alignment: Alignment | None = None,
    ) -> None:
        super().__init__(
            Path(path), image_spec, resize=resize, convert=convert, alignment=alignment
        )

    def _list(self, root: Path) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
        table = None if self._alignment is None else self._alignment.geometry.path
        files, skipped = list_files(root, table)
        if not files:
            fail(
                f"folder {root}",
                expected="image files",
                got="; ".join(f"{name} {reason}" for name, reason in skipped[:5]) or "no file",
                remedy="put images into it, or check the path",
            )
        return tuple(files), tuple(skipped)


class CSVSource(FileSource):
    """The files that a CSV file names, in its order.

    Args:
        table: CSV text with a column `file`: paths relative to `root`, with "/", which are the
            ids. Further columns are ignored.
        image_spec: channels (1 or 3), height and width of the images.
        root: the folder of the files; None is the folder of the table.
        resize: crop and shrink larger images (see `decode_image`); else they are skipped.
        convert: convert colours and transparency (see `decode_image`); else they are skipped.
        alignment: brings images of any size to the spec's. Its table may be the same file.

    Raises:
        FileNotFoundError: no such table or folder.
        ValueError: no column `file` or no line; a line without a file, with one that is absent, or
            with one that another line names. The message names the line.
    """

    def __init__(
        self,
        table: str | Path,
        image_spec: ImageSpec,
        *,
        root: str | Path | None = None,
        resize: bool = False,
        convert: bool = False,
        alignment: Alignment | None = None,
    ) -> None:
        self._table = Path(table)
        super().__init__(
            self._table.parent if root is None else Path(root),
            image_spec,
            resize=resize,
            convert=convert,
            alignment=alignment,
        )

    def _list(self, root: Path) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
        lines: dict[str, int] = {}
        for number, row in read_table(self._table, "images", ("file",)):
            text = (row["file"] or "").strip()
            name = PurePosixPath(text).as_posix()
            problem = ""
            if not text:
                problem = "no file name"
            elif name in lines:
                problem = f"{name!r}, as line {lines[name]} does"
            elif not (root / name).is_file():
                problem = f"{name!r}, which is not in {root}"
            if problem:
                fail(
                    f"images {self._table}, line {number}",
                    expected="a file of its own that exists",
                    got=problem,
                    remedy=f"name files relative to {root}, with '/'",
                )
            lines[name] = number
        return tuple(lines), ()


def _bytes_of(path: Path) -> bytes:
    if not path.is_file():  # reading a pipe would wait for ever
        raise UnfitImageError("is no file, or a link to nothing")
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnfitImageError(f"cannot be read ({error.strerror})") from None


def _hash_of(path: Path) -> str:
    try:
        return content_hash(_bytes_of(path))
    except UnfitImageError as reason:
        return str(reason)
