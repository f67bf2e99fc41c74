"""PASCAL VOC: annotations of a VOCdevkit folder, and the papers' protocol of classification.

    photos -> encoder -> h, unit rows -> SVM for each class -> mean average precision

A class is there (1) if an object of it is annotated that is not difficult, 0 if all of its objects
are difficult, -1 if there is none. The authors train on `train` and test on `val`; the usual
protocol is `trainval` and `test`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple
from xml.etree import ElementTree

import torch
from jaxtyping import Float, Int
from torch import Tensor

from genviews.checks import check_different, check_each, fail, lookup
from genviews.data.decode import decode_pixels
from genviews.described import described_by
from genviews.evaluate.detection_ap import BoxAnnotations
from genviews.evaluate.extractor import FeatureExtractor, Features
from genviews.evaluate.photos import LabelledFiles, check_files
from genviews.evaluate.precision import AveragePrecision
from genviews.evaluate.svm import MultiLabelScore, MultiLabelSVM
from genviews.text import read_lines
from genviews.types import Progress, silent

__all__ = [
    "VOC_CLASSES",
    "BoxedFiles",
    "VOCDecisions",
    "VOCProtocol",
    "decide_voc",
    "protocol_splits",
    "read_voc",
    "read_voc_boxes",
]

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
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
class BoxedFiles:
    """Photos of one split or several, with the boxes of their objects.

    Args:
        files: the photos.
        annotations: the boxes of each.
        class_names: Y names in the order of the labels.
        split: such as "VOC2007 trainval".

    Raises:
        ValueError: other numbers of annotations than of files, or a photo twice.
    """

    files: tuple[Path, ...]
    annotations: tuple[BoxAnnotations, ...]
    class_names: tuple[str, ...]
    split: str

    def __post_init__(self) -> None:
        what = f"photos of {self.split}"
        check_each(self.annotations, len(self.files), f"boxes of {what}", "photo")
        check_different(self.files, what, "pass the folder VOCdevkit, not that of a year")

    def __len__(self) -> int:
        return len(self.files)

    def image(self, row: int) -> Float[Tensor, "3 H W"]:
        """Return a photo at its own size, in [-1, 1]."""
        return decode_pixels(self.files[row], 3, convert=True)


@dataclass(frozen=True, kw_only=True, eq=False)
class VOCDecisions:
    """How SVMs rank the photos of a split, and what that is worth.

    Args:
        score: average precision of each class.
        decisions: (N, Y) w h + b of each photo and class, float64.
        labels: (N, Y) as in `LabelledFiles`.
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
) -> LabelledFiles:
    """Read which classes are in the photos of a split.

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
    root, ids = _photos(path, split, year)
    labels = torch.full((len(ids), len(class_names)), -1, dtype=torch.int64)
    for row, image in enumerate(ids):
        for one in _objects(root, image, class_names):
            there = 0 if one.difficult else 1
            labels[row, one.label] = max(int(labels[row, one.label]), there)
    return LabelledFiles(
        root=root,
        files=tuple(f"JPEGImages/{image}.jpg" for image in ids),
        labels=labels,
        class_names=tuple(class_names),
        split=split,
    )


def read_voc_boxes(
    path: str | Path, splits: Sequence[tuple[int, str]], class_names: Sequence[str] = VOC_CLASSES
) -> BoxedFiles:
    """Read the boxes of one split or several.

    Args:
        path: the folder VOCdevkit; for a single year also the folder of that year.
        splits: year and split of each, see `read_voc`.
        class_names: the classes in the order of the labels.

    Raises:
        FileNotFoundError: no such list or annotation.
        ValueError: as `read_voc`, or an object without a box.
    """
    found = [_photos(path, split, year) for year, split in splits]
    photos = [(root, image) for root, ids in found for image in ids]
    return BoxedFiles(
        files=tuple(root / f"JPEGImages/{image}.jpg" for root, image in photos),
        annotations=tuple(_boxes(root, image, class_names) for root, image in photos),
        class_names=tuple(class_names),
        split=" + ".join(f"VOC{year} {split}" for year, split in splits),
    )


def protocol_splits(protocol: str) -> tuple[str, str]:
    """Return the splits that a protocol fits on and scores on.

    Raises:
        ValueError: an unknown protocol.
    """
    return lookup(protocol, _PROTOCOLS, "protocol of VOC")


def decide_voc(
    extractor: FeatureExtractor,
    fit: LabelledFiles,
    score: LabelledFiles,
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
        extractor: the encoder; of 2048 features in the papers.
        fit: photos that the SVMs are fitted to, of `read_voc`; not a test split.
        score: photos that are ranked. `protocol_splits` names both splits.
        svm: None is the authors' setting; see `MultiLabelSVM` for difficult objects.
        method: of the average precision, see `average_precision`.
        size: of the images: short side and central square, in pixels.
        channels: 3, or 1 for the luminance of the photos.
        folder: where features are kept; see `extract_features`.
        progress: called with ("voc", "photos", done, all) as the photos of both splits pass the
            encoder, then with ("svm", "classes", done, all).

    Raises:
        FileNotFoundError: photos that are missing; nothing is downloaded.
        ValueError: features that are not finite or all the same; too few images of a class.

    Source: Jahanian et al. 2022, arXiv:2106.05258, Sec. 4 and transfer_classification.
    """
    svm = MultiLabelSVM() if svm is None else svm
    say, total = progress or silent, len(fit) + len(score)

    def read(files: LabelledFiles, before: int) -> tuple[Features, Tensor]:
        def tell(stage: str, unit: str, done: int, part: int) -> None:
            say("voc", "photos", before + done, total)

        return files.extract(extractor, size, channels=channels, folder=folder, progress=tell)

    (learnt, labels), (ranked, truth) = read(fit, 0), read(score, len(fit))
    svm.fit(learnt.h, labels, split=fit.split, progress=progress)
    return VOCDecisions(
        score=svm.score(ranked.h, truth, split=score.split, method=method),
        decisions=svm.decision(ranked.h),
        labels=truth,
        ids=ranked.ids,
        skipped=(*learnt.skipped, *ranked.skipped),
    )


class _Object(NamedTuple):
    """An object of an annotation: its class, and its corners as they are written."""

    label: int
    difficult: bool
    corners: list[str | None]


def _photos(path: str | Path, split: str, year: int) -> tuple[Path, list[str]]:
    """The folder of the year, and the ids of the photos of a split."""
    root = Path(path) / f"VOC{year}"
    root = root if root.is_dir() else Path(path)
    table = root / f"ImageSets/Main/{split}.txt"
    check_files([table], f"VOC, the list of the split {split!r}")
    return root, [line.split()[0] for line in read_lines(table, "split of VOC")]


def _objects(root: Path, image: str, class_names: Sequence[str]) -> list[_Object]:
    file = root / f"Annotations/{image}.xml"
    check_files([file], "VOC, an annotation")
    columns = {name: column for column, name in enumerate(class_names)}
    with described_by(f"annotation {file}", "VOC's XML", "unpack it again"):
        tree = ElementTree.fromstring(file.read_text(encoding="utf-8"))
    found: list[_Object] = []
    for one in tree.iter("object"):  # its own children alone: its parts have names and boxes too
        name = one.findtext("name", "an object without name").strip()
        label = lookup(name, columns, f"class in the annotation of {image}")
        difficult = one.findtext("difficult", "0").strip() == "1"
        found.append(_Object(label, difficult, [one.findtext(f"bndbox/{c}") for c in _CORNERS]))
    return found


def _boxes(root: Path, image: str, class_names: Sequence[str]) -> BoxAnnotations:
    objects = _objects(root, image, class_names)
    try:
        corners = [[float(str(text)) for text in one.corners] for one in objects]
    except ValueError:
        fail(
            f"annotation {image}.xml",
            expected=f"numbers {', '.join(_CORNERS)} in the bndbox of each object",
            got=[one.corners for one in objects],
            remedy="unpack it again",
        )
    # VOC's corners are pixels, counted from 1 and inside the box; here a box ends at their edges.
    boxes = torch.tensor(corners).reshape(-1, 4) - torch.tensor([1.0, 1.0, 0.0, 0.0])
    return BoxAnnotations(
        boxes=boxes,
        labels=torch.tensor([one.label for one in objects], dtype=torch.int64),
        difficult=torch.tensor([one.difficult for one in objects], dtype=torch.bool),
    )
