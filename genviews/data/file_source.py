"""Image files as a source.

    FILES -> align -> invert -> latents

A file is read when its row is asked for, so that a folder of any size takes no memory. With an
aligner, each image is brought to the generator's frame by its own geometry, and the mask says what
of that frame the file really holds.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from torch import Tensor

from genviews.align.base import Aligner
from genviews.align.table import GeometryTable
from genviews.checks import fail, first_reasons
from genviews.data.content import content_hash_of
from genviews.data.decode import MOST_BYTES, UnfitImageError, decode_image, decode_pixels
from genviews.data.kept_hashes import hash_of_file
from genviews.data.listing import Listing, check_folder
from genviews.data.metadata import OpenFile
from genviews.data.source import Row, RowSource
from genviews.data.split import SplitName
from genviews.identity import key
from genviews.types import ImageSpec

__all__ = ["Alignment", "FileSource"]

T = TypeVar("T")


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


class FileSource(RowSource):
    """Image files below one folder. `genviews.load.images.load_images` makes it from a word.

    Args:
        listing: the files, which are the ids, with their labels.
        image_spec: channels (1 or 3), height and width of the images.
        resize: crop and resize images of another size (see `decode_image`); else they are skipped.
        convert: convert colours and transparency (see `decode_image`); else they are skipped.
        alignment: brings images of any size to the spec's, in place of `resize`.
        masks: folder with a picture for each file, of its name (or that name as .png) and size: the
            pixels where it is brighter than mid-grey are known. Not with an alignment, which makes
            masks itself.
        split: what they may be used for.

    Raises:
        FileNotFoundError: no such folder.
        NotADirectoryError: it is a file.
        ValueError: no file, or other than 1 or 3 channels.
    """

    def __init__(
        self,
        listing: Listing,
        image_spec: ImageSpec,
        *,
        resize: bool = False,
        convert: bool = False,
        alignment: Alignment | None = None,
        masks: Path | None = None,
        split: SplitName | None = None,
    ) -> None:
        if masks is not None:
            check_folder(masks)
        check_folder(listing.root)
        if image_spec.channels not in (1, 3):
            fail(
                "image spec of a folder",
                expected="1 (grey) or 3 (RGB) channels",
                got=image_spec.channels,
                remedy="read other kinds of images yourself and make an ImageSet of them",
            )
        if not listing.files:
            fail(
                f"folder {listing.root}",
                expected="image files",
                got=first_reasons(listing.skipped) or "no file",
                remedy="put images, or one subfolder of images for each class, into it",
            )
        self._root, self.ids, self.columns = listing.root, listing.files, listing.columns
        self.name = listing.root.name or listing.root.absolute().name or str(listing.root)
        self.skipped, self.notes = listing.skipped, listing.notes
        self.image_spec, self.split = image_spec, split
        self._resize, self._convert, self._alignment = resize, convert, alignment
        self._masks = masks

    def row(self, row: int) -> Row:
        """Read a file; the hash is that of its bytes."""
        name = self.ids[row]
        check_folder(self._root)  # gone since it was listed, none of its images is damaged
        with _try(lambda path: path.open("rb"), self._root / name) as file:
            image, mask = self._image(file, name)
            return image, content_hash_of(file), mask

    def _image(self, data: OpenFile, name: str) -> tuple[Tensor, Tensor | None]:
        spec, convert = self.image_spec, self._convert
        if self._alignment is None:
            image = decode_image(data, spec, resize=self._resize, convert=convert)
            return image, None if self._masks is None else self._mask(self._masks, name)
        pixels = decode_pixels(data, spec.channels, convert=convert)
        aligned = self._alignment.aligner.align(pixels, self._alignment.geometry.of(name))
        if aligned.image.shape != spec.shape:
            fail(
                f"images of {self._alignment.aligner}",
                expected=f"shape {spec.shape}, what the generator makes",
                got=tuple(aligned.image.shape),
                remedy="use an aligner with the frame of the generator",
            )
        return aligned.image, aligned.mask

    def _mask(self, folder: Path, name: str) -> Tensor:
        """1 where the picture of a file's mask is brighter than mid-grey."""
        spec = replace(self.image_spec, channels=1)
        with _try(lambda path: path.open("rb"), _mask_of(folder, name)) as file:
            try:
                picture = decode_image(file, spec, resize=self._resize, convert=True)
            except UnfitImageError as reason:
                raise UnfitImageError(f"has a mask that {reason}") from None
        return (picture > 0).float()

    def _hash_all(self) -> tuple[str, ...]:
        """The hash of the bytes of each file, by reading all that no run has kept."""
        return tuple(_hash_of(self._root / name) for name in self.ids)

    def _geometry(self) -> object:
        align = (
            None if self._alignment is None else [self._alignment.key(name) for name in self.ids]
        )
        known = self._resize, self._convert, align
        if self._masks is None:
            return known
        return *known, [_hash_of_mask(self._masks, name) for name in self.ids]


def _mask_of(folder: Path, name: str) -> Path:
    """The file of a mask: of the same name, or with .png in the place of its ending."""
    found = (folder / name, (folder / name).with_suffix(".png"))
    path = next((path for path in found if path.exists()), None)
    if path is None:
        raise UnfitImageError(f"has no mask {name!r} in {folder.name!r}")
    return path


def _hash_of_mask(folder: Path, name: str) -> str:
    try:
        return _hash_of(_mask_of(folder, name))
    except UnfitImageError as reason:
        return str(reason)


def _try(read: Callable[[Path], T], path: Path) -> T:
    """What reading a file gives, or UnfitImageError."""
    try:
        if not path.is_file():  # reading a pipe would wait for ever
            raise UnfitImageError("is no file, or a link to nothing")
        return read(path)
    except OSError as error:
        raise UnfitImageError(f"cannot be read ({error.strerror})") from None


def _hash_of(path: Path) -> str:
    try:
        if _try(os.path.getsize, path) > MOST_BYTES:
            return "is too large a file"  # and is not read either
        return _try(hash_of_file, path)
    except UnfitImageError as reason:
        return str(reason)
