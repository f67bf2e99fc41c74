"""PASCAL VOC detection: the papers' protocol on the boxes of a VOCdevkit.

    weights -> C4 detector -> fine-tune on trainval 07+12 -> test 07 -> AP, AP50, AP75

Source: Jahanian et al. 2022, arXiv:2106.05258, App. E, tables 4-6 and transfer_detection; what they
leave open is detectron2's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from genviews.checks import check_count, fail
from genviews.evaluate.detection import (
    DetectionConfig,
    c4_detector,
    detection_optimizer,
    detection_step,
)
from genviews.evaluate.detection_ap import Detections, DetectionScore, Method, detection_ap
from genviews.evaluate.voc import VOC_CLASSES, BoxedFiles, read_voc_boxes
from genviews.modes import evaluating
from genviews.represent.plan import SamplePlan
from genviews.rng import Rng
from genviews.types import Progress, silent

__all__ = [
    "PAPER_TEST",
    "PAPER_TRAIN",
    "detect_voc",
    "detection_photos",
    "evaluate_detector",
    "train_detector",
]

Split = tuple[int, str]
Report = Callable[[int, Mapping[str, float]], None]
PAPER_TRAIN: tuple[Split, ...] = ((2007, "trainval"), (2012, "trainval"))
PAPER_TEST: Split = (2007, "test")


def train_detector(
    detector: nn.Module,
    photos: BoxedFiles,
    config: DetectionConfig,
    *,
    report: Report | None = None,
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
    known, wanted = len(photos.class_names), config.num_classes
    remedy = "set num_classes of the config, or pass class_names"
    check_count(known, f"classes of {photos.split}", least=wanted, most=wanted, remedy=remedy)
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
    with torch.no_grad(), evaluating(detector):
        for row in range(len(photos)):
            (one,) = detector([photos.image(row).to(device)])
            found.append(_plain(one))
            tell(row + 1, len(photos))
    return detection_ap(found, photos.annotations, len(photos.class_names), method=method)


def detect_voc(
    weights: Mapping[str, Tensor],
    learnt: BoxedFiles,
    scored: BoxedFiles,
    config: DetectionConfig | None = None,
    *,
    architecture: str = "resnet50",
    method: Method = "11point",
    device: torch.device | str = "cpu",
    report: Report | None = None,
) -> DetectionScore:
    """Fine-tune a detector around pretrained weights and return how well it finds.

    Args:
        weights: of the backbone; what `RepresentationEncoder.export_backbone` writes.
        learnt: photos to learn from, see `detection_photos`.
        scored: photos to be scored on.
        config: None is the papers'.
        architecture: a ResNet of torchvision, that of the weights.
        method: see `detection_ap`.
        device: to run on.
        report: see `train_detector`.

    Raises:
        ValueError: weights that do not fit, or what training and evaluation refuse.

    Source: see the module's docstring; `c4_detector` says how it differs.
    """
    config = DetectionConfig() if config is None else config
    detector = c4_detector(weights, config, architecture=architecture).to(device)
    train_detector(detector, learnt, config, report=report)
    return evaluate_detector(detector, scored, method=method)


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
    learnt, scored = (read_voc_boxes(path, splits, class_names) for splits in (train, [test]))
    shared = sorted(set(learnt.files) & set(scored.files))
    if shared:
        fail(
            f"photos of {learnt.split} and {scored.split}",
            expected="none in both",
            got=f"{len(shared)}, e.g. {shared[0].name}",
            remedy="test on a split that is not trained on",
        )
    return learnt, scored


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
