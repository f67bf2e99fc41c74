"""PASCAL VOC as judges of encoders: the transfer columns of the paper's tables.

    VOCdevkit -> photos of two splits, labels, boxes -> checks, and a key of all of it
    encoder -> SVMs on VOC07 -> decisions, average precision
            -> C4 detector   -> AP, AP50, AP75

Source: Jahanian et al. 2022, arXiv:2106.05258, tables 1 and 3-6, Sec. 4 and App. E.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file
from torch import Tensor

from genviews.checks import check_count, fail
from genviews.data.kept_hashes import hash_of_file
from genviews.evaluate.detection import DetectionConfig
from genviews.evaluate.photos import LabelledFiles, check_files
from genviews.evaluate.precision import resampled_precision
from genviews.evaluate.svm import MultiLabelSVM, counted
from genviews.evaluate.voc import (
    VOC_CLASSES,
    BoxedFiles,
    VOCProtocol,
    decide_voc,
    protocol_splits,
    read_voc,
)
from genviews.evaluate.voc_detection import PAPER_TRAIN, detect_voc, detection_photos
from genviews.files import save_tensors
from genviews.identity import key
from genviews.rng import Rng
from genviews.studies.blocks import Column
from genviews.studies.learning.judge import KeptJudge, Measure, Measured, Report, RowResult
from genviews.studies.learning.run import new_encoder
from genviews.studies.learning.setting import LearningSetting

__all__ = ["DetectionJudge", "SVMJudge", "photo_draws", "resampled_means"]

_DRAWS = 1000  # a deviation to some 2 % (chosen by us)


@dataclass(frozen=True, kw_only=True, eq=False)
class SVMJudge(KeptJudge):
    """VOC07 classification: an SVM for each class on the frozen features.

    Args:
        path: the folder VOCdevkit, or that of the year 2007.
        protocol: "authors" fits on `train` and scores on `val`; "usual" takes `trainval`, `test`.
        size: of the photos: short side and central square, in pixels; 224 is the paper's.
        svm: the classifiers; the authors' by default.
        class_names: the classes.

    Raises:
        ValueError: a size below 1, or an unknown protocol.
    """

    path: Path
    protocol: VOCProtocol = "authors"
    size: int = 224
    svm: MultiLabelSVM = field(default_factory=MultiLabelSVM)
    class_names: tuple[str, ...] = VOC_CLASSES

    name: ClassVar[str] = "voc"
    measures: ClassVar[Mapping[str, Measure]] = {
        "voc": Measure(
            title="VOC07 AP",
            column=Column(
                name="VOC07 AP",
                kind="percent",
                priority=0,
                help="mean average precision over the classes, by an SVM for each on the frozen "
                "features, fitted on {voc[splits][0]}, of {voc[photos][1]:,} photos of "
                "{voc[splits][1]}; its interval is over photos, drawn anew with replacement, and "
                "seeds",
            ),
            against=(
                Column(name="AP difference", kind="points", priority=3, help="to {reference}"),
                Column(name="AP Holm p", kind="p", priority=5, help="a family of its own"),
            ),
        )
    }

    def __post_init__(self) -> None:
        check_count(self.size, "size of the VOC photos")
        protocol_splits(self.protocol)

    @cached_property
    def splits(self) -> tuple[LabelledFiles, LabelledFiles]:
        """The photos that SVMs are fitted to, and those that they are scored on."""
        fit, score = (
            read_voc(self.path, split, class_names=self.class_names)
            for split in protocol_splits(self.protocol)
        )
        return fit, score

    def check(self, setting: LearningSetting) -> None:
        """See `KeptJudge`.

        Raises:
            FileNotFoundError: a list, annotation or photo is missing.
            ValueError: annotations that cannot be read, a class with too few photos, or an encoder
                that does not take the photos.
        """
        channels, (fit, score) = setting.image_spec.channels, self.splits
        if channels not in (1, 3):
            fail(
                "encoders to be judged on VOC",
                expected="those of colour (3 channels) or grey images (1)",
                got=f"{channels} channels",
                remedy="leave VOC out",
            )
        self.svm.check_labels(fit.labels)
        absent = [
            name
            for name, labels in zip(self.class_names, score.labels.T, strict=True)
            if not bool(counted(labels, self.svm.difficult)[1].any())
        ]
        if absent:
            fail(
                f"photos of {score.split}",
                expected="at least one of each class",
                got=f"none of {', '.join(absent)}",
                remedy="unpack VOC2007 again",
            )
        for files in self.splits:
            files.source(self.size, channels=channels)  # it looks for every photo
        encoder = new_encoder(setting, 0).eval()
        blank = torch.zeros(1, channels, self.size, self.size, device=setting.device)
        try:
            with torch.no_grad():
                encoder(blank)
        except (ValueError, AssertionError, RuntimeError) as error:  # timm asserts
            fail(
                f"VOC photos of {self.size} pixels",
                expected=f"a size that {setting.encoder.backbone} takes",
                got=str(error),
                remedy="choose another size",
            )

    def depends(self, setting: LearningSetting) -> str:
        """A hash of the photos, their labels and the SVMs; reads every photo."""
        channels = setting.image_spec.channels
        sources = {files.split: files.source(self.size, channels=channels) for files in self.splits}
        return key(sources, {files.split: files.labels for files in self.splits}, self.svm)

    def facts(self) -> dict[str, Any]:
        """See `KeptJudge`."""
        return {
            "protocol": self.protocol,
            "splits": [files.split for files in self.splits],
            "photos": [len(files) for files in self.splits],
            "size": self.size,
            "difficult": self.svm.difficult,
        }

    def score(
        self, result: RowResult, setting: LearningSetting, place: Path, say: Report
    ) -> dict[str, Any]:
        """See `Judge`; the decisions on each photo are kept."""

        def tell(stage: str, unit: str, done: int, total: int) -> None:
            say(result.report(stage=stage, done=done, total=total))

        found = decide_voc(
            result.extractor(setting, setting.render_batch),
            *self.splits,
            svm=self.svm,
            size=self.size,
            channels=setting.image_spec.channels,
            folder=place,  # a large network on a CPU takes an hour: a killed run goes on
            progress=tell,
        )
        kept = {"decisions": found.decisions, "labels": found.labels.to(torch.int8)}
        save_tensors(place.with_suffix(".safetensors"), kept)
        shutil.rmtree(place, ignore_errors=True)
        return {**asdict(found.score), "skipped": [list(one) for one in found.skipped]}

    def measured(self, record: Mapping[str, Any], place: Path) -> dict[str, Measured]:
        """The mean average precision over the classes; it varies with the photos drawn."""
        kept = load_file(place.with_suffix(".safetensors"))
        counts = photo_draws(len(kept["labels"]))
        means = resampled_means(kept["decisions"], kept["labels"], record["difficult"], counts)
        return {"voc": Measured(value=record["mean"], parts=means)}

    def unseen(self) -> dict[str, float]:
        """Of photos that are all ranked alike: a class's frequency, averaged over the classes."""
        found = []
        for labels in self.splits[1].labels.T:
            keep, positive = counted(labels, self.svm.difficult)
            found.append(float(positive[keep].double().mean()))
        return {"voc": sum(found) / len(found)}


@dataclass(frozen=True, kw_only=True, eq=False)
class DetectionJudge(KeptJudge):
    """VOC detection: a Faster R-CNN fine-tuned around the encoder, which varies with seeds alone.

    Args:
        path: the folder VOCdevkit.
        config: how the detector is fine-tuned, on the `trainval` of 2007 and, where it is there, of
            2012. Its mean and deviation are the encoder's, its seed is the row's.
        class_names: the classes.
    """

    path: Path
    config: DetectionConfig = field(default_factory=DetectionConfig)
    class_names: tuple[str, ...] = VOC_CLASSES

    name: ClassVar[str] = "detection"
    seeded: ClassVar[bool] = True
    measures: ClassVar[Mapping[str, Measure]] = {
        f"voc_detection_{name.lower()}": Measure(
            column=Column(
                name=f"detection {name}",
                kind="percent",
                priority=4,
                help="of a Faster R-CNN fine-tuned around the encoder, {detection[steps]:,} steps "
                "on {detection[splits][0]}, scored on {detection[splits][1]}; over seeds "
                "alone{alone}",
            )
        )
        for name in ("AP", "AP50", "AP75")
    }

    @cached_property
    def boxes(self) -> tuple[BoxedFiles, BoxedFiles]:
        """The photos that detectors are fine-tuned on, and those that they are scored on.

        They are tuned on the paper's two years, or the first where it is alone: anyone who has 2007
        alone can compare rows all the same; what was learnt from is said.
        """
        first, *others = PAPER_TRAIN
        there = [one for one in others if (self.path / f"VOC{one[0]}").is_dir()]
        return detection_photos(self.path, train=(first, *there), class_names=self.class_names)

    def check(self, setting: LearningSetting) -> None:
        """See `KeptJudge`.

        Raises:
            FileNotFoundError: a list, annotation or photo is missing.
            ValueError: an encoder that is no plain ResNet of colour images, or too few photos.
        """
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
        check_count(usable, f"photos of {learnt.split} with an object", least=self.config.batch)
        what = f"photos of {learnt.split} and {scored.split}"
        check_files([*learnt.files, *scored.files], what)

    def depends(self, setting: LearningSetting) -> str:
        """A hash of the photos, their boxes and the detector; reads every photo."""
        photos = {
            one.split: (
                [hash_of_file(file) for file in one.files],
                [(a.boxes, a.labels, a.difficult) for a in one.annotations],
            )
            for one in self.boxes
        }
        names = {one.split: [file.name for file in one.files] for one in self.boxes}
        return key(photos, names, self.config)

    def facts(self) -> dict[str, Any]:
        """See `KeptJudge`."""
        return {
            "splits": [photos.split for photos in self.boxes],
            "photos": [len(photos) for photos in self.boxes],
            "steps": self.config.steps,
        }

    def score(
        self, result: RowResult, setting: LearningSetting, place: Path, say: Report
    ) -> dict[str, Any]:
        """See `Judge`; the detector is not kept."""
        encoder, total = result.encoder(), self.config.steps

        def trained(step: int, losses: Mapping[str, float]) -> None:
            say(result.report(stage="detection", done=step + 1, total=total))

        say(result.report(stage="detection", done=0, total=total))
        # A detector sees images as its encoder did; its other weights are drawn by the row's seed.
        mean, std = (
            values * (3 if len(values) == 1 else 1)
            for values in (encoder.config.mean, encoder.config.std)
        )
        found = detect_voc(
            encoder.backbone.state_dict(),
            *self.boxes,
            replace(self.config, mean=mean, std=std, seed=result.seed),
            architecture=encoder.config.backbone,
            device=setting.device,
            report=trained,
        )
        per_class = [None if math.isnan(value) else value for value in found.per_class]
        return {**asdict(found), "per_class": per_class, "steps": total}

    def measured(self, record: Mapping[str, Any], place: Path) -> dict[str, Measured]:
        """AP, AP50 and AP75."""
        names = ("ap", "ap50", "ap75")
        return {f"voc_detection_{name}": Measured(value=record[name]) for name in names}

    def unseen(self) -> dict[str, float]:
        """Of no box at all: 0."""
        return dict.fromkeys(self.measures, 0.0)


@cache
def photo_draws(photos: int, draws: int = _DRAWS) -> Int[Tensor, "N B"]:
    """Return how often each photo is in each of B draws of N photos with replacement."""
    rng = Rng(0, "photos of VOC").numpy()
    found = rng.multinomial(photos, [1 / photos] * photos, size=draws)
    return torch.from_numpy(found).int().T.contiguous()


def resampled_means(
    decisions: Float[Tensor, "N Y"],
    labels: Int[Tensor, "N Y"],
    difficult: str,
    counts: Int[Tensor, "N B"],
) -> Float[Tensor, " B"]:
    """Return the mean average precision over the classes for each draw of the photos.

    Args:
        decisions: of the SVMs for each photo that is scored.
        labels: 1 there, 0 all of it difficult, -1 not there.
        difficult: how difficult objects count, see `MultiLabelSVM`.
        counts: of `photo_draws`. A class that a draw does not hold is not in that draw's mean.

    Returns:
        (B,) in [0, 1]; nan for a draw that holds no class.
    """
    found = []
    for scores, own in zip(decisions.T, labels.long().T, strict=True):
        keep, positive = counted(own, difficult)
        found.append(resampled_precision(scores[keep], positive[keep], counts[keep]))
    return torch.stack(found).nanmean(0)
