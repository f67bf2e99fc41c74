"""Labelled photo files of any size, and a source that brings each to one square size.

The data sets of the transfer tasks are lists of files with a class each. Their photos come in all
sizes, so the source resizes the short side and crops the centre as it decodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from genviews.checks import check_count, check_different, fail
from genviews.data.content import content_hash
from genviews.data.decode import decode_pixels
from genviews.data.file_source import FileSource
from genviews.data.images import Rows, row_numbers
from genviews.data.listing import Listing
from genviews.data.metadata import OpenFile
from genviews.evaluate.extractor import FeatureExtractor, Features, centre_view, extract_features
from genviews.rng import Rng
from genviews.types import ImageSpec, Progress

__all__ = ["LabelledFiles", "PhotoSource", "check_files"]


def check_files(files: Sequence[Path], what: str) -> None:
    """Raise FileNotFoundError unless every one of the files of a data set is there."""
    absent = [file for file in files if not file.is_file()]
    if absent:
        fail(
            what,
            expected="files that exist",
            got=f"{len(absent)} absent, e.g. {absent[0].name!r} in {absent[0].parent}",
            remedy="unpack the data set there, or check its folder; nothing is downloaded",
            error=FileNotFoundError,
        )


class PhotoSource(FileSource):
    """Files named one by one, each resized by its short side and cropped to a central square.

    Args:
        root: the folder.
        files: paths relative to it, with "/", which are the ids.
        size: height and width of the images, in pixels; smaller photos are enlarged.
        resize_to: short side before the crop; None is `size`.
        channels: 3, or 1 to turn colour into luminance.

    Raises:
        FileNotFoundError: no such folder, or a file that is not in it.
        ValueError: no file, or one named twice.

    Source: Resize, CenterCrop of the papers' evaluation; 224 and 224 for VOC07, 128 and 112 for
        ImageNet (Jahanian et al. 2022, arXiv:2106.05258, code).
    """

    def __init__(
        self,
        root: str | Path,
        files: Sequence[str],
        *,
        size: int,
        resize_to: int | None = None,
        channels: int = 3,
    ) -> None:
        self._size, self._short = size, resize_to
        check_different(files, f"photos of {root}", "check the list")
        spec = ImageSpec(channels=channels, height=size, width=size)
        listing = Listing(root=Path(root), files=tuple(files))
        super().__init__(listing, spec, resize=True, convert=True)
        check_files([Path(root) / name for name in files], f"photos of {root}")

    def _image(self, data: OpenFile, name: str) -> tuple[Tensor, Tensor | None]:
        pixels = decode_pixels(data, self.image_spec.channels, convert=True)
        return centre_view(pixels[None], self._size, self._short)[0].contiguous(), None

    def fingerprint(self) -> str:
        """A hash of names, bytes, size and the short side."""
        return content_hash(f"{super().fingerprint()} {self._short}".encode())


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledFiles:
    """Photo files with a class each, or with several, of a named split.

    Args:
        root: the folder.
        files: paths relative to it, with "/".
        labels: (N,) class of each file; or, where a photo may show several, (N, Y): 1 there, 0 all
            of it difficult, -1 not there.
        class_names: Y names in the order of the labels.
        split: "train", "val", "test", or another name.

    Raises:
        ValueError: no file, other numbers of labels than of files, or a label without a name.
    """

    root: Path
    files: tuple[str, ...]
    labels: Int[Tensor, " N"] | Int[Tensor, "N Y"]
    class_names: tuple[str, ...]
    split: str

    def __post_init__(self) -> None:
        names, several = len(self.class_names), self.labels.ndim == 2
        least, most = (-1, 1) if several else (0, names - 1)
        valid = bool(((self.labels >= least) & (self.labels <= most)).all())
        if len(self.files) != len(self.labels) or not valid or not self.files:
            fail(
                f"files of {self.root}",
                expected=f"at least one file, each with labels from {least} to {most}",
                got=f"{len(self.files)} files and {len(self.labels)} labels",
                remedy="check the annotations",
            )

    def __len__(self) -> int:
        return len(self.files)

    def select(self, rows: Rows, split: str | None = None) -> LabelledFiles:
        """Return some of the files, under a new name of the split if one is given.

        Args:
            rows: numbers in [0, len(self)), or a mask.
            split: its name; None keeps that of these files.

        Raises:
            ValueError: no file, or a number out of range.
        """
        chosen = row_numbers(rows, len(self))
        return replace(
            self,
            files=tuple(self.files[i] for i in chosen.tolist()),
            labels=self.labels[chosen],
            split=self.split if split is None else split,
        )

    def source(self, size: int, *, resize_to: int | None = None, channels: int = 3) -> PhotoSource:
        """Return the photos as a source; see `PhotoSource`."""
        return PhotoSource(self.root, self.files, size=size, resize_to=resize_to, channels=channels)

    def extract(
        self,
        extractor: FeatureExtractor,
        size: int,
        *,
        resize_to: int | None = None,
        channels: int = 3,
        folder: str | Path | None = None,
        progress: Progress | None = None,
    ) -> tuple[Features, Tensor]:
        """Return features of the photos with their labels; one that cannot be read has no row.

        Args:
            extractor: the network.
            size: see `PhotoSource`, as for the next two.
            resize_to: short side before the crop.
            channels: of the images.
            folder: where features are kept; see `extract_features`, as for the progress.
            progress: of the features.
        """
        source = self.source(size, resize_to=resize_to, channels=channels)
        found = extract_features(extractor, source, folder=folder, progress=progress)
        row = {name: index for index, name in enumerate(self.files)}
        return found, self.labels[[row[name] for name in found.ids]]

    def split_per_class(
        self, per_class: int, *, seed: int = 0, splits: tuple[str, str] = ("train", "test")
    ) -> tuple[LabelledFiles, LabelledFiles]:
        """Draw a fixed number of each class for training; the rest is the second split.

        Which files are drawn depends on the seed and their names alone.

        Args:
            per_class: files of each class in the first split.
            seed: another seed, another draw.
            splits: names of the two.

        Raises:
            ValueError: a class that has no more files than that.
        """
        check_count(per_class, "per_class")
        draws = Rng(seed, "split per class").streams(self.files).uniform(1, ()).flatten().tolist()
        order = sorted(range(len(self)), key=lambda i: (draws[i], self.files[i]))
        taken = torch.zeros(len(self), dtype=torch.bool)
        for label, name in enumerate(self.class_names):
            rows = [i for i in order if int(self.labels[i]) == label]
            what, remedy = f"number of files of class {name!r}", "draw fewer for each class"
            check_count(len(rows), what, least=per_class + 1, remedy=remedy)
            taken[rows[:per_class]] = True
        return self.select(taken, splits[0]), self.select(~taken, splits[1])
