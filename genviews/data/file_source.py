"""Image files as a source.

    FILES -> align -> invert -> latents

A file is read when its row is asked for, so that a folder of any size takes no memory. With an
aligner, each image is brought to the generator's frame by its own geometry, and the mask says what
of that frame the file really holds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from genviews.align.base import Aligner, UnalignableError
from genviews.align.table import GeometryTable
from genviews.checks import fail
from genviews.data.decode import UnfitImageError, decode_pixels, fit_pixels
from genviews.data.kept_hashes import hash_of_file
from genviews.data.listing import check_folder
from genviews.data.source import HASH_BYTES, ImageSource, LabelColumn, SourceBatch, content_hash
from genviews.data.split import SplitName
from genviews.identity import key
from genviews.types import ImageSpec

__all__ = ["Alignment", "FileSource"]


@dataclass(frozen=True)
class Alignment:
    """How each image of a source is brought to the frame of the generator.

    Args:
        aligner: makes images of the generator's size.
        geometry: box or landmarks of each file, named as in the source.
    """

    aligner: Aligner
    geometry: GeometryTable

    def key(self, file: str) -> str:
        """A short hash of all that the alignment of one file depends on."""
        return key(self.aligner, self.geometry.rows.get(file))


class FileSource(ImageSource):
    """Image files below one folder. `genviews.load.images.load_images` makes it from a word.

    Args:
        root: the folder.
        files: paths relative to it, with "/", or absolute: the ids.
        image_spec: channels (1 or 3), height and width of the images.
        resize: crop and shrink larger images (see `decode_image`); else they are skipped.
        convert: convert colours and transparency (see `decode_image`); else they are skipped.
        alignment: brings images of any size to the spec's, in place of `resize`.
        columns: labels of the files.
        split: what they may be used for.
        skipped: (file, reason) of what was left out.
        notes: see `ImageSource`.

    Raises:
        FileNotFoundError: no such folder.
        NotADirectoryError: it is a file.
        ValueError: no file.
    """

    def __init__(
        self,
        root: str | Path,
        files: Sequence[str],
        image_spec: ImageSpec,
        *,
        resize: bool = False,
        convert: bool = False,
        alignment: Alignment | None = None,
        columns: Mapping[str, LabelColumn] | None = None,
        split: SplitName | None = None,
        skipped: Sequence[tuple[str, str]] = (),
        notes: Sequence[str] = (),
    ) -> None:
        self._root = Path(root)
        check_folder(self._root, image_spec)
        if not files:
            told = "; ".join(f"{name} {reason}" for name, reason in list(skipped)[:5])
            fail(
                f"folder {root}",
                expected="image files",
                got=told or "no file",
                remedy="put images, or one subfolder of images for each class, into it",
            )
        self.image_spec, self.ids = image_spec, tuple(files)
        self.columns, self.split = dict(columns or {}), split
        self.skipped, self.notes = tuple(skipped), tuple(notes)
        self._resize, self._convert, self._alignment = resize, convert, alignment
        self._hashes: tuple[str, ...] | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} files of {self._root.name})"

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

    def hashes(self) -> tuple[str, ...]:
        """The hash of the bytes of each file; computed once, by reading all that no run has kept.

        See `genviews.data.kept_hashes`.
        """
        if self._hashes is None:
            self._hashes = tuple(_hash_of(self._root / name) for name in self.ids)
        return self._hashes

    def fingerprint(self) -> str:
        """A hash of names, bytes, size, conversions and geometry."""
        digest = hashlib.blake2b(digest_size=HASH_BYTES)
        how = (self.image_spec.shape, self._resize, self._convert)
        digest.update(repr(how).encode())
        for name, content in zip(self.ids, self.hashes(), strict=True):
            align = "" if self._alignment is None else self._alignment.key(name)
            digest.update(repr((name, content, align)).encode())
        return digest.hexdigest()


def _bytes_of(path: Path) -> bytes:
    _check_file(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unread(error) from None


def _hash_of(path: Path) -> str:
    try:
        _check_file(path)
        return hash_of_file(path)
    except UnfitImageError as reason:
        return str(reason)
    except OSError as error:
        return str(_unread(error))


def _check_file(path: Path) -> None:
    if not path.is_file():  # reading a pipe would wait for ever
        raise UnfitImageError("is no file, or a link to nothing")


def _unread(error: OSError) -> UnfitImageError:
    return UnfitImageError(f"cannot be read ({error.strerror})")
