"""PASCAL VOC detection: boxes of a VOCdevkit, and the papers' protocol on them.

    weights -> C4 detector -> fine-tune on trainval 07+12 -> test 07 -> AP, AP50, AP75

Source: Jahanian et al. 2022, arXiv:2106.05258, App. E, tables 4-6 and transfer_detection; what they
leave open is detectron2's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import torch
from jaxtyping import Float
from torch import Tensor, nn

from genviews.checks import check_count, fail
from genviews.data.decode import decode_pixels
from genviews.evaluate.detection import (
    DetectionConfig,
    c4_detector,
    detection_optimizer,
    detection_step,
)
from genviews.evaluate.detection_ap import (
    BoxAnnotations,
    Detections,
    DetectionScore,
    Method,
    detection_ap,
)
from genviews.evaluate.voc import VOC_CLASSES, read_voc
from genviews.represent.plan import SamplePlan
from genviews.rng import Rng
from genviews.types import Progress, silent

__all__ = [
    "PAPER_TEST",
    "PAPER_TRAIN",
    "BoxedFiles",
    "detect_voc",
    "detection_photos",
    "evaluate_detector",
    "read_voc_boxes",
    "train_detector",
]

Split = tuple[int, str]
PAPER_TRAIN: tuple[Split, ...] = ((2007, "trainval"), (2012, "trainval"))
PAPER_TEST: Split = (2007, "test")
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True, kw_only=True, eq=False)
class BoxedFiles:
    """Photos of a split with the boxes of their objects; `a + b` are those of both.

    Args:
        files: the photos.
        annotations: the boxes of each.
        class_names: Y names in the order of the labels.
        split: such as "VOC2007 trainval".

    Raises:
        ValueError: other numbers of annotations than of files, or in a sum, a photo twice or other
            classes.
    """

    files: tuple[Path, ...]
    annotations: tuple[BoxAnnotations, ...]
    class_names: tuple[str, ...]
    split: str

    def __post_init__(self) -> None:
        different = len(set(self.files))
        if not len(self.files) == len(self.annotations) == different:
            fail(
                f"photos of {self.split}",
                expected="different files, each with its boxes",
                got=f"{different} of {len(self.files)}, {len(self.annotations)} annotations",
                remedy="pass the folder VOCdevkit, not that of a year, to join years",
            )

    def __len__(self) -> int:
        return len(self.files)

    def __add__(self, other: BoxedFiles) -> BoxedFiles:
        if self.class_names != other.class_names:
            fail(
                f"{self.split} and {other.split}",
                expected="the same classes",
                got=f"{self.class_names} and {other.class_names}",
                remedy="read both with the same class_names",
            )
        return BoxedFiles(
            files=self.files + other.files,
            annotations=self.annotations + other.annotations,
            class_names=self.class_names,
            split=f"{self.split} + {other.split}",
        )

    def image(self, row: int) -> Float[Tensor, "3 H W"]:
        """Return a photo at its own size, in [-1, 1]."""
        return decode_pixels(self.files[row], 3, convert=True)


def read_voc_boxes(
    path: str | Path,
    split: str,
    *,
    year: int = 2007,
    class_names: Sequence[str] = VOC_CLASSES,
) -> BoxedFiles:
    """Read the boxes of a split; arguments as for `read_voc`.

    Raises:
        FileNotFoundError: no such list or annotation.
        ValueError: as `read_voc`, or an object without a box.
    """
    found = read_voc(path, split, year=year, class_names=class_names)
    columns = {name: column for column, name in enumerate(class_names)}
    names = [Path(file).stem for file in found.files]
    return BoxedFiles(
        files=tuple(found.root / file for file in found.files),
        annotations=tuple(_boxes(found.root / f"Annotations/{n}.xml", columns) for n in names),
        class_names=found.class_names,
        split=f"VOC{year} {split}",
    )


def train_detector(
    detector: nn.Module,
    photos: BoxedFiles,
    config: DetectionConfig,
    *,
    report: Callable[[int, Mapping[str, float]], None] | None = None,
) -> None:
    """Fine-tune a detector in place for all steps of the config, on its own device.

    Photos without an object are left out; difficult objects are learnt like all others. The photos
    of a step, which of them are mirrored, and at what size, depend on the config's seed and the
    step alone.

    Args:
        detector: of `c4_detector`; it is left in train mode.
        photos: to learn from, at least as many as an update takes.
        config: as for the detector.
        report: called with the step, counted from 0, and its losses.

    Raises:
        ValueError: another number of classes than the config's, too few photos with an object, or
            a loss that is not finite.

    Source: see the module's docstring.
    Differs: detectron2 puts upright and wide photos in batches of their own, which saves padding.
    """
    _check_classes(photos, config)
    usable = [row for row, boxes in enumerate(photos.annotations) if len(boxes.labels)]
    check_count(len(usable), f"photos of {photos.split} with an object", least=config.batch)
    plan = SamplePlan(batch_size=config.batch, num_unique=len(usable), seed=config.seed)
    device = next(detector.parameters()).device
    optimizer = detection_optimizer(detector, config)
    detector.train()
    for step in range(config.steps):
        mirrored = Rng(config.seed, f"mirrored/{step}").numpy().random(config.batch) < 0.5
        places, _ = plan.batch(step)
        pairs = [
            _training_pair(photos, usable[place], bool(mirror), device)
            for place, mirror in zip(places, mirrored, strict=True)
        ]
        images, targets = zip(*pairs, strict=True)
        losses = detection_step(detector, optimizer, images, targets, step=step, config=config)
        if report is not None:
            report(step, losses)


def evaluate_detector(
    detector: nn.Module,
    photos: BoxedFiles,
    *,
    method: Method = "11point",
    progress: Progress | None = None,
) -> DetectionScore:
    """Return the average precision of a detector, photo by photo, on its own device.

    Args:
        detector: in torchvision's manner: a list of images in [-1, 1] to a list of `boxes`,
            `labels` from 1 and `scores`. It runs in eval mode and gets back the mode that it had.
        photos: to be scored on.
        method: see `detection_ap`.
        progress: called with ("detect", "photos", done, all), after each photo.

    Raises:
        ValueError: a label beyond the classes of the photos, or nothing to find.
    """
    device = next(detector.parameters()).device
    found: list[Detections] = []
    tell = partial(progress or silent, "detect", "photos")
    tell(0, len(photos))
    mode = detector.training
    detector.eval()
    try:
        with torch.no_grad():
            for row in range(len(photos)):
                (one,) = detector([photos.image(row).to(device)])
                found.append(_plain(one))
                tell(row + 1, len(photos))
    finally:
        detector.train(mode)
    return detection_ap(found, photos.annotations, len(photos.class_names), method=method)


def detect_voc(
    weights: Mapping[str, Tensor],
    path: str | Path,
    config: DetectionConfig | None = None,
    *,
    architecture: str = "resnet50",
    train: Sequence[Split] = PAPER_TRAIN,
    test: Split = PAPER_TEST,
    class_names: Sequence[str] = VOC_CLASSES,
    device: torch.device | str = "cpu",
    report: Callable[[int, Mapping[str, float]], None] | None = None,
) -> DetectionScore:
    """Fine-tune a detector around pretrained weights and return how well it finds.

    Args:
        weights: of the backbone; what `RepresentationEncoder.export_backbone` writes.
        path: the folder VOCdevkit, with that of each year in it.
        config: None is the papers'.
        architecture: a ResNet of torchvision, that of the weights.
        train: years and splits to learn from.
        test: year and split to be scored on, by 11 points in 2007 and by the area later.
        class_names: the classes.
        device: to run on.
        report: see `train_detector`.

    Raises:
        FileNotFoundError: a part of the data set is missing; nothing is downloaded.
        ValueError: weights that do not fit, a photo in both train and test, or what
            `train_detector` and `evaluate_detector` refuse.

    Source: see the module's docstring; `c4_detector` says how it differs.
    """
    config = DetectionConfig() if config is None else config
    learnt, scored = detection_photos(path, train=train, test=test, class_names=class_names)
    detector = c4_detector(weights, config, architecture=architecture).to(device)
    train_detector(detector, learnt, config, report=report)
    return evaluate_detector(detector, scored, method="11point" if test[0] == 2007 else "area")


def detection_photos(
    path: str | Path,
    *,
    train: Sequence[Split] = PAPER_TRAIN,
    test: Split = PAPER_TEST,
    class_names: Sequence[str] = VOC_CLASSES,
) -> tuple[BoxedFiles, BoxedFiles]:
    """Return the photos that a detector is fine-tuned on, and those that it is scored on.

    Args:
        path: the folder VOCdevkit, with that of each year in it.
        train: years and splits, joined.
        test: year and split.
        class_names: the classes.

    Raises:
        FileNotFoundError: a part of the data set is missing.
        ValueError: no split to train on, a photo in both, or what `read_voc_boxes` refuses.
    """
    check_count(len(train), "number of splits to train on")
    parts = [
        read_voc_boxes(path, split, year=year, class_names=class_names) for year, split in train
    ]
    learnt = parts[0]
    for part in parts[1:]:
        learnt = learnt + part
    scored = read_voc_boxes(path, test[1], year=test[0], class_names=class_names)
    _check_apart(learnt, scored)
    return learnt, scored


def _boxes(file: Path, columns: Mapping[str, int]) -> BoxAnnotations:
    """Boxes of an annotation that `read_voc` has read before."""
    corners: list[list[float]] = []
    labels: list[int] = []
    difficult: list[bool] = []
    for element in ElementTree.parse(file).iter("object"):
        box = element.find("bndbox")  # of the object itself: its parts have boxes too
        texts = [None if box is None else box.findtext(corner) for corner in _CORNERS]
        try:
            corners.append([float(str(text)) for text in texts])
        except ValueError:
            fail(
                f"annotation {file}",
                expected=f"numbers {', '.join(_CORNERS)} in the bndbox of an object",
                got=texts,
                remedy="unpack it again",
            )
        labels.append(columns[element.findtext("name", "").strip()])
        difficult.append(element.findtext("difficult", "0").strip() == "1")
    # VOC's corners are pixels, counted from 1 and inside the box; here a box ends at their edges.
    boxes = torch.tensor(corners).reshape(-1, 4) - torch.tensor([1.0, 1.0, 0.0, 0.0])
    return BoxAnnotations(
        boxes=boxes,
        labels=torch.tensor(labels, dtype=torch.int64),
        difficult=torch.tensor(difficult, dtype=torch.bool),
    )


def _training_pair(
    photos: BoxedFiles, row: int, mirror: bool, device: torch.device
) -> tuple[Tensor, dict[str, Tensor]]:
    """An image and its target as torchvision's detectors take them."""
    image, known = photos.image(row), photos.annotations[row]
    boxes = known.boxes
    if mirror:
        image = image.flip(-1)
        boxes = boxes[:, [2, 1, 0, 3]] * torch.tensor([-1.0, 1.0, -1.0, 1.0])
        boxes = boxes + torch.tensor([1.0, 0.0, 1.0, 0.0]) * image.shape[-1]
    target = {"boxes": boxes.to(device), "labels": known.labels.to(device) + 1}  # 0: background
    return image.to(device), target


def _plain(found: Mapping[str, Any]) -> Detections:
    """Detections of torchvision, with classes from 0."""
    boxes, labels, scores = (found[name].cpu() for name in ("boxes", "labels", "scores"))
    return Detections(boxes=boxes, labels=labels - 1, scores=scores)


def _check_classes(photos: BoxedFiles, config: DetectionConfig) -> None:
    if len(photos.class_names) != config.num_classes:
        fail(
            f"classes of {photos.split}",
            expected=f"{config.num_classes}, as the config has",
            got=len(photos.class_names),
            remedy="set num_classes of the config, or pass class_names",
        )


def _check_apart(train: BoxedFiles, test: BoxedFiles) -> None:
    shared = sorted(set(train.files) & set(test.files))
    if shared:
        fail(
            f"photos of {train.split} and {test.split}",
            expected="none in both",
            got=f"{len(shared)}, e.g. {shared[0].name}",
            remedy="test on a split that is not trained on",
        )
