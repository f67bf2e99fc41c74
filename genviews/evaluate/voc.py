"""PASCAL VOC classification: annotations of a VOCdevkit folder, and the papers' protocol on them.

    photos -> encoder -> h, unit rows -> SVM for each class -> mean average precision

A class is there (1) if an object of it is annotated that is not difficult, 0 if all of its objects
are difficult, -1 if there is none. The authors train on `train` and test on `val`; the usual
protocol is `trainval` and `test`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

import torch
from jaxtyping import Float, Int
from torch import Tensor

from genviews.checks import fail, lookup
from genviews.evaluate.extractor import FeatureExtractor
from genviews.evaluate.features import extract_features
from genviews.evaluate.photos import PhotoSource, labels_of
from genviews.evaluate.precision import AveragePrecision
from genviews.evaluate.svm import MultiLabelScore, MultiLabelSVM
from genviews.types import Progress, silent

__all__ = [
    "VOC_CLASSES",
    "VOCDecisions",
    "VOCFiles",
    "VOCProtocol",
    "classify_voc",
    "decide_voc",
    "protocol_splits",
    "read_voc",
]

VOC_CLASSES = (
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)

VOCProtocol = Literal["authors", "usual"]
_PROTOCOLS = {"authors": ("train", "val"), "usual": ("trainval", "test")}


@dataclass(frozen=True, kw_only=True, eq=False)
class VOCFiles:
    """The photos of a split and which classes are in them.

    Args:
        root: the folder of the year, such as VOCdevkit/VOC2007.
        files: paths relative to it, "JPEGImages/000005.jpg".
        labels: (N, Y) 1 there, 0 all of it difficult, -1 not there.
        class_names: Y names.
        split: "train", "val", "trainval" or "test".
    """

    root: Path
    files: tuple[str, ...]
    labels: Int[Tensor, "N Y"]
    class_names: tuple[str, ...]
    split: str

    def __len__(self) -> int:
        return len(self.files)

    def source(
        self, size: int = 224, *, resize_to: int | None = None, channels: int = 3
    ) -> PhotoSource:
        """Return the photos as a source; see `PhotoSource`."""
        return PhotoSource(self.root, self.files, size=size, resize_to=resize_to, channels=channels)


@dataclass(frozen=True, kw_only=True, eq=False)
class VOCDecisions:
    """How SVMs rank the photos of a split, and what that is worth.

    Args:
        score: average precision of each class.
        decisions: (N, Y) w h + b of each photo and class, float64.
        labels: (N, Y) as in `VOCFiles`.
        ids: the N photos.
        skipped: (file, reason) of photos of both splits that could not be read.
    """

    score: MultiLabelScore
    decisions: Float[Tensor, "N Y"]
    labels: Int[Tensor, "N Y"]
    ids: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]


def read_voc(
    path: str | Path,
    split: str,
    *,
    year: int = 2007,
    class_names: Sequence[str] = VOC_CLASSES,
) -> VOCFiles:
    """Read the annotations of a split.

    Args:
        path: the folder VOCdevkit, or the folder of the year in it.
        split: a list of `ImageSets/Main`: "train", "val", "trainval" or "test".
        year: of the challenge.
        class_names: the classes in the order of the labels' columns.

    Raises:
        FileNotFoundError: no such list, annotation or photo.
        ValueError: an empty list, an annotation that is no XML, or an unknown class in it.

    Source: Everingham et al. 2010, "The PASCAL visual object classes challenge".
    """
    root = Path(path) / f"VOC{year}"
    root = root if root.is_dir() else Path(path)
    table = root / "ImageSets" / "Main" / f"{split}.txt"
    text = _text(table, "the list of a split")
    ids = [line.split()[0] for line in text.splitlines() if line.strip()]
    if not ids:
        fail(f"split {table}", expected="ids of images", got="none", remedy="unpack it again")
    columns = {name: column for column, name in enumerate(class_names)}
    labels = torch.full((len(ids), len(columns)), -1, dtype=torch.int64)
    for row, image in enumerate(ids):
        for name, difficult in _objects(root / "Annotations" / f"{image}.xml"):
            column = lookup(name, columns, f"class in the annotation of {image}")
            labels[row, column] = max(int(labels[row, column]), 0 if difficult else 1)
    return VOCFiles(
        root=root,
        files=tuple(f"JPEGImages/{image}.jpg" for image in ids),
        labels=labels,
        class_names=tuple(class_names),
        split=split,
    )


def protocol_splits(protocol: str) -> tuple[str, str]:
    """Return the splits that a protocol fits on and scores on.

    Raises:
        ValueError: an unknown protocol.
    """
    return lookup(protocol, _PROTOCOLS, "protocol of VOC")


def classify_voc(
    extractor: FeatureExtractor,
    path: str | Path,
    *,
    protocol: VOCProtocol = "authors",
    svm: MultiLabelSVM | None = None,
    method: AveragePrecision = "area",
    size: int = 224,
    channels: int = 3,
    year: int = 2007,
    class_names: Sequence[str] = VOC_CLASSES,
    folder: str | Path | None = None,
    progress: Progress | None = None,
) -> MultiLabelScore:
    """Return the average precision of SVMs on an encoder's features.

    Args:
        extractor: the encoder; of 2048 features in the papers.
        path: see `read_voc`.
        protocol: "authors" fits on `train` and scores on `val`; "usual" takes `trainval`, `test`.
        svm: None is the authors' setting; see `MultiLabelSVM` for difficult objects.
        method: see `average_precision`.
        size: of the images: short side and central square, in pixels.
        channels: 3, or 1 for the luminance of the photos.
        year: of the challenge.
        class_names: the classes.
        folder: where features are kept; see `extract_features`.
        progress: see `decide_voc`.

    Raises:
        FileNotFoundError: a part of the data set is missing; nothing is downloaded.
        ValueError: features that are not finite or all the same; too few images of a class.

    Source: Jahanian et al. 2022, arXiv:2106.05258, Sec. 4 and transfer_classification.
    """
    names = protocol_splits(protocol)
    fit, score = (read_voc(path, name, year=year, class_names=class_names) for name in names)
    return decide_voc(
        extractor,
        fit,
        score,
        svm=svm,
        method=method,
        size=size,
        channels=channels,
        folder=folder,
        progress=progress,
    ).score


def decide_voc(
    extractor: FeatureExtractor,
    fit: VOCFiles,
    score: VOCFiles,
    *,
    svm: MultiLabelSVM | None = None,
    method: AveragePrecision = "area",
    size: int = 224,
    channels: int = 3,
    folder: str | Path | None = None,
    progress: Progress | None = None,
) -> VOCDecisions:
    """Return what SVMs on an encoder's features say of each photo, with their score.

    Args:
        extractor: the encoder.
        fit: photos that the SVMs are fitted to; not a test split.
        score: photos that are ranked.
        svm: see `classify_voc`, as for what follows.
        method: of the average precision.
        size: of the images.
        channels: of the images.
        folder: where features are kept.
        progress: called with ("voc", "photos", done, all) as the photos of both splits pass the
            encoder, then with ("svm", "classes", done, all).

    Raises:
        FileNotFoundError: photos that are missing.
        ValueError: as `classify_voc`.
    """
    svm = MultiLabelSVM() if svm is None else svm
    h: list[Tensor] = []
    labels: list[Tensor] = []
    skipped: list[tuple[str, str]] = []
    before, total = 0, len(fit) + len(score)
    for files in (fit, score):
        found = extract_features(
            extractor,
            files.source(size, channels=channels),
            folder=folder,
            progress=partial(_tell, progress or silent, before, total),
        )
        before += len(files)
        h.append(found.h)
        labels.append(labels_of(files.files, files.labels, found))
        skipped += found.skipped
    svm.fit(h[0], labels[0], split=fit.split, progress=progress)
    return VOCDecisions(
        score=svm.score(h[1], labels[1], split=score.split, method=method),
        decisions=svm.decision(h[1]),
        labels=labels[1],
        ids=found.ids,
        skipped=tuple(skipped),
    )


def _tell(
    progress: Progress, before: int, total: int, stage: str, unit: str, done: int, part: int
) -> None:
    progress("voc", "photos", before + done, total)


def _objects(file: Path) -> list[tuple[str, bool]]:
    """(class, whether it is difficult) of each object of an annotation."""
    text = _text(file, "an annotation")
    try:
        tree = ElementTree.fromstring(text)
        found = [
            (_child(o, "name"), _child(o, "difficult", "0") == "1") for o in tree.iter("object")
        ]
    except (ElementTree.ParseError, KeyError) as error:
        fail(f"annotation {file}", expected="VOC's XML", got=str(error), remedy="unpack it again")
    return found


def _child(element: ElementTree.Element, name: str, default: str | None = None) -> str:
    text = element.findtext(name, default)  # of the object itself: its parts have names too
    if text is None:
        raise KeyError(f"an object without {name}")
    return text.strip()


def _text(file: Path, what: str) -> str:
    if not file.is_file():
        fail(
            f"VOC in {file.parent}",
            expected=f"{what}, {file.name}",
            got="no such file",
            remedy="unpack the data set there; nothing is downloaded",
            error=FileNotFoundError,
        )
    return file.read_text(encoding="utf-8")
