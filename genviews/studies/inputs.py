"""What a user gives a study: models, images, views, and what tells whether they fit together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

import torch

from genviews.augment.base import PixelViews
from genviews.checks import check_different, fail, lookup
from genviews.classify.task import Task
from genviews.data.images import ImageSet
from genviews.data.leakage import check_leakage
from genviews.data.source import ImageSource, as_source
from genviews.data.split import check_fit
from genviews.evaluate.encoders import ProbeData
from genviews.kit import GeneratorKit
from genviews.perturb.base import Perturbation
from genviews.represent.encoder import RepresentationEncoder
from genviews.robustness.restore import Restoration
from genviews.studies.base import Need
from genviews.studies.learning.judge import KeptJudge

__all__ = ["Inputs"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Inputs:
    """What a user gave; None and () are what was not given.

    Args:
        kit: the generator and what belongs to it.
        tasks: columns of labels and the classifiers that answer them.
        splits: "calibration" and "test", with labels.
        perturbations: of the generator's latents, to try.
        pixel_views: to compare them with.
        restorations: further rivals of views that restore an image, such as an autoencoder.
        photo_transform: how classifiers are shown an image; None shows it as it is.
        render_transform: how they are shown what was rendered from one.
        real: images to learn from.
        probe: labelled splits to judge encoders on.
        judges: who else judges encoders.
        images: to invert, with the inverter of the kit.
        encoder: to judge.
        skipped: (file, reason) of images that were left out.
        notes: what was taken or measured for want of a setting, in sentences.

    Raises:
        ValueError: two kinds of views of one name, which no table could tell apart.
    """

    kit: GeneratorKit | None = None
    tasks: tuple[Task, ...] = ()
    splits: Mapping[str, ImageSource] = field(default_factory=dict)
    perturbations: tuple[Perturbation, ...] = ()
    pixel_views: tuple[PixelViews, ...] = ()
    restorations: tuple[Restoration, ...] = ()
    photo_transform: PixelViews | None = None
    render_transform: PixelViews | None = None
    real: ImageSet | ImageSource | None = None
    probe: ProbeData | None = None
    judges: tuple[KeptJudge, ...] = ()
    images: ImageSource | None = None
    encoder: RepresentationEncoder | None = None
    skipped: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = field(default=(), metadata={"identity": False})

    def __post_init__(self) -> None:
        remedy = "give one of them a name of its own: Renamed(views, 'my-crop')"
        check_different([views.name for views in self.pixel_views], "pixel views", remedy)
        remedy = "list each once, and of one kind and strength one alone"
        check_different([views.name for views in self.perturbations], "perturbations", remedy)

    def to(self, device: torch.device | str) -> Inputs:
        """Move generator, inverter, classifiers and encoder to a device; returns self."""
        if self.kit is not None:
            self.kit.to(device)
        for task in self.tasks:
            task.classifier.to(device)
        if self.encoder is not None:
            self.encoder.to(device)
        return self

    def check_splits(self) -> None:
        """Raise ValueError for labels that tasks cannot use, or images in both splits."""
        for split, images in self.splits.items():
            if split != "test":
                check_fit(images.split, "choose")
            for task in self.tasks:
                what = f"labels of the {split} images for task {task.name!r}"
                column = lookup(task.labels, images.columns, what)
                if task.class_names != column.class_names:
                    fail(
                        f"class names of the {split} images",
                        expected=f"those of task {task.name!r}: {', '.join(task.class_names)}",
                        got=", ".join(column.class_names),
                        remedy="give both the same names in the same order",
                    )
        check_leakage(self.splits)

    def given(self) -> frozenset[Need]:
        """Which needs are met."""
        there = {
            Need.KIT: self.kit is not None,
            Need.CLASSIFIER: bool(self.tasks),
            Need.SPLITS: {"calibration", "test"} <= self.splits.keys(),
            Need.REAL: self.real is not None,
            Need.PROBES: self.probe is not None,
            Need.VOC: bool(self.judges),
            Need.IMAGES: self.images is not None,
            Need.ENCODER: self.encoder is not None,
        }
        return frozenset(need for need, met in there.items() if met)

    def labelled(self) -> dict[str, ImageSource]:
        """The labelled splits of studies and probes by name: no image may be in two of them."""
        probes = {} if self.probe is None else self.probe.splits()
        return {**self.splits, **{name: as_source(own) for name, own in probes.items()}}

    def named_images(self) -> dict[str, str]:
        """What each set of images is, by what it is used as."""
        found = dict[str, ImageSet | ImageSource | None](self.splits)
        found |= {} if self.probe is None else self.probe.splits()
        found |= {"real": self.real, "images": self.images}
        return {role: str(as_source(one)) for role, one in found.items() if one is not None}

    def __describe__(self) -> Mapping[str, object]:
        """Everything that kept work depends on; judges may be added to a study that is there."""
        kit, inverts = self.kit, self.given() & {Need.SPLITS, Need.IMAGES}
        apart = ("kit", "judges", "skipped", "notes")
        return {
            "generator": None if kit is None else kit.generator,
            "inverter": kit.inverter if kit is not None and inverts else None,
            "walks": None if kit is None else kit.walks,
            **{f.name: getattr(self, f.name) for f in fields(self) if f.name not in apart},
        }
