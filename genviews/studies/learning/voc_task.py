"""What the encoders of a study are judged on beside its own images: PASCAL VOC.

    VOCdevkit -> photos of two splits, labels, boxes -> checks, and a key of all of it

Source: Jahanian et al. 2022, arXiv:2106.05258, tables 1 and 3-6, Sec. 4 and App. E.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from genviews.checks import check_count, fail
from genviews.data.kept_hashes import hash_of_file
from genviews.evaluate.detection import DetectionConfig
from genviews.evaluate.svm import MultiLabelSVM, counted
from genviews.evaluate.voc import (
    VOC_CLASSES,
    VOCFiles,
    VOCProtocol,
    protocol_splits,
    read_voc,
)
from genviews.evaluate.voc_detection import PAPER_TRAIN, BoxedFiles, detection_photos
from genviews.identity import key
from genviews.studies.learning.run import new_encoder
from genviews.studies.learning.setting import LearningSetting

__all__ = ["VOCTask"]


@dataclass(frozen=True, kw_only=True, eq=False)
class VOCTask:
    """What encoders are judged on: VOC07 classification, and detection if it is asked for.

    Args:
        path: the folder VOCdevkit, or for classification alone that of the year 2007.
        protocol: "authors" fits on `train` and scores on `val`; "usual" takes `trainval`, `test`.
        size: of the photos: short side and central square, in pixels; 224 is the paper's.
        svm: the classifiers; the authors' by default.
        detection: how a detector is fine-tuned around each encoder, on the `trainval` of 2007 and,
            where it is there, of 2012. Its mean, deviation and seed are the encoder's. None for no
            detection.
        class_names: the classes.

    Raises:
        ValueError: a size below 1, or an unknown protocol.
    """

    path: Path
    protocol: VOCProtocol = "authors"
    size: int = 224
    svm: MultiLabelSVM = field(default_factory=MultiLabelSVM)
    detection: DetectionConfig | None = None
    class_names: tuple[str, ...] = VOC_CLASSES

    def __post_init__(self) -> None:
        check_count(self.size, "size of the VOC photos")
        protocol_splits(self.protocol)

    @cached_property
    def splits(self) -> tuple[VOCFiles, VOCFiles]:
        """The photos that SVMs are fitted to, and those that they are scored on."""
        fit, score = (
            read_voc(self.path, split, class_names=self.class_names)
            for split in protocol_splits(self.protocol)
        )
        return fit, score

    @cached_property
    def boxes(self) -> tuple[BoxedFiles, BoxedFiles]:
        """The photos that detectors are fine-tuned on, and those that they are scored on."""
        return detection_photos(self.path, train=self.years, class_names=self.class_names)

    @property
    def years(self) -> tuple[tuple[int, str], ...]:
        """What detectors are fine-tuned on: the paper's two years, or the first where it is alone.

        Anyone who has 2007 alone can compare rows all the same; what was learnt from is said.
        """
        first, *others = PAPER_TRAIN
        there = [one for one in others if (self.path / f"VOC{one[0]}").is_dir()]
        return (first, *there)

    def check(self, setting: LearningSetting) -> None:
        """Raise for what would end the judging of a finished row; trains nothing.

        Raises:
            FileNotFoundError: a list, annotation or photo is missing.
            ValueError: annotations that cannot be read, a class with too few photos, an encoder
                that does not take the photos, or a detector around one that is no plain ResNet of
                colour images.
        """
        channels = setting.image_spec.channels
        if channels not in (1, 3):
            fail(
                "encoders to be judged on VOC",
                expected="those of colour (3 channels) or grey images (1)",
                got=f"{channels} channels",
                remedy="leave VOC out",
            )
        fit, score = self.splits
        self.svm.check_labels(fit.labels)
        self._check_scored(score)
        for files in (fit, score):
            files.source(self.size, channels=channels)  # it looks for every photo
        self._check_size(setting)
        if self.detection is not None:
            self._check_detection(self.detection, setting)

    def _check_scored(self, files: VOCFiles) -> None:
        absent = [
            name
            for name, labels in zip(self.class_names, files.labels.T, strict=True)
            if not bool(counted(labels, self.svm.difficult)[1].any())
        ]
        if absent:
            fail(
                f"photos of {files.split}",
                expected="at least one of each class",
                got=f"none of {', '.join(absent)}",
                remedy="unpack VOC2007 again",
            )

    def _check_size(self, setting: LearningSetting) -> None:
        encoder, side = new_encoder(setting, 0).eval(), self.size
        blank = torch.zeros(1, encoder.config.channels, side, side, device=setting.device)
        try:
            with torch.no_grad():
                encoder(blank)
        except (ValueError, AssertionError, RuntimeError) as error:  # timm asserts
            fail(
                f"VOC photos of {side} pixels",
                expected=f"a size that {setting.encoder.backbone} takes",
                got=str(error),
                remedy="choose another size",
            )

    def _check_detection(self, config: DetectionConfig, setting: LearningSetting) -> None:
        encoder, channels = setting.encoder, setting.image_spec.channels
        plain = encoder.backbone.startswith("resnet") and encoder.stem == "imagenet"
        if not plain or channels != 3:
            fail(
                "encoders to fine-tune detectors around",
                expected="a ResNet with the stem 'imagenet', of 3 channels",
                got=f"{encoder.backbone}, {encoder.stem!r}, {channels} channels",
                remedy="choose such a backbone and stem, or leave detection out",
            )
        learnt, scored = self.boxes
        usable = sum(bool(len(boxes.labels)) for boxes in learnt.annotations)
        check_count(usable, f"photos of {learnt.split} with an object", least=config.batch)
        absent = [file for file in (*learnt.files, *scored.files) if not file.is_file()]
        if absent:
            fail(
                f"photos of {learnt.split} and {scored.split}",
                expected="files that exist",
                got=f"{len(absent)} absent, e.g. {absent[0].name}",
                remedy="unpack the data set there; nothing is downloaded",
                error=FileNotFoundError,
            )

    def parts(self, channels: int) -> str:
        """A hash of all that the SVMs depend on beside the encoder; reads every photo once.

        Args:
            channels: of the encoder's images.
        """
        if channels not in self._hashes:
            sources = {f.split: f.source(self.size, channels=channels) for f in self.splits}
            labels = {files.split: files.labels for files in self.splits}
            self._hashes[channels] = key(sources, labels, self.svm)
        return self._hashes[channels]

    @cached_property
    def _hashes(self) -> dict[int, str]:
        return {}

    @cached_property
    def detection_parts(self) -> str:
        """A hash of all that detectors depend on beside the encoder; reads every photo."""
        assert self.detection is not None
        photos = {
            one.split: (
                [hash_of_file(file) for file in one.files],
                [(a.boxes, a.labels, a.difficult) for a in one.annotations],
            )
            for one in self.boxes
        }
        names = {one.split: [file.name for file in one.files] for one in self.boxes}
        return key(photos, names, self.detection)

    def facts(self) -> dict[str, Any]:
        """What the numbers are of, for the record."""
        fit, score = self.splits
        return {
            "protocol": self.protocol,
            "splits": [fit.split, score.split],
            "photos": [len(fit), len(score)],
            "size": self.size,
            "difficult": self.svm.difficult,
            "detection": None
            if self.detection is None
            else {
                "splits": [photos.split for photos in self.boxes],
                "photos": [len(photos) for photos in self.boxes],
                "steps": self.detection.steps,
            },
        }
