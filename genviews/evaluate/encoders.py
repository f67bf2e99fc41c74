"""An encoder judged on labelled images: a linear probe and nearest neighbours on the same features.

encoder -> h(train), h(val), h(test) -> linear probe, kNN -> accuracies and answers
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from genviews.checks import fail, option
from genviews.data.images import ImageSet
from genviews.data.leakage import check_leakage
from genviews.data.pixels import IN_MEMORY, Decoding
from genviews.data.source import ImageSource, as_source
from genviews.data.split import check_fit
from genviews.ensemble.significance import accuracy_interval
from genviews.evaluate.extractor import FeatureExtractor, extract_features
from genviews.evaluate.linear import LinearProbe
from genviews.evaluate.probe import KNNProbe, Probe, ProbeScore, mean_class_accuracy
from genviews.signature import checked

__all__ = ["EncoderScores", "ProbeData", "majority_score", "probe_encoder"]


@checked
@dataclass(frozen=True, kw_only=True, eq=False)
class ProbeData:
    """Three labelled splits of one task: fit, select and report.

    Args:
        train: what probes are fitted to.
        val: what their settings are chosen on.
        test: what is reported.
        notes: what was decided for the user, in sentences.

    Raises:
        ValueError: a split without labels, other classes or images of another shape, or an image
            (by its id, or its pixels) in two splits.

    Example:
        >>> import torch
        >>> def images(name: str, count: int = 20) -> ImageSet:
        ...     labels = torch.arange(count) % 2
        ...     values = (torch.arange(count) + len(name) / 10) / count
        ...     pixels = values[:, None, None, None].repeat(1, 1, 8, 8)
        ...     ids = tuple(f"{name}/{i}" for i in range(count))
        ...     return ImageSet(images=pixels, ids=ids, labels=labels, class_names=("a", "b"))
        >>> data = ProbeData(train=images("train"), val=images("val"), test=images("test"))
        >>> list(data.splits())
        ['train', 'val', 'test']
    """

    train: ImageSet | ImageSource
    val: ImageSet | ImageSource
    test: ImageSet | ImageSource
    notes: tuple[str, ...] = field(default=(), metadata={"identity": False})

    def __post_init__(self) -> None:
        parts = self.splits()
        unlabelled = [name for name, images in parts.items() if images.labels is None]
        kinds = {(images.class_names, images.image_spec.shape) for images in parts.values()}
        ids = [i for images in parts.values() for i in images.ids]
        twice = len(ids) - len(set(ids))
        if unlabelled or len(kinds) != 1 or twice:
            fail(
                "splits of the probe",
                expected="labels, the same classes and image size, and no image in two of them",
                got=f"{unlabelled or 'none'} without labels, {len(kinds)} kinds of images or "
                f"classes, {twice} ids twice",
                remedy="read the three with the same class names, and give each image one split",
            )
        check_fit(self.train.split, "fit probes")
        check_fit(self.val.split, "choose settings")
        check_leakage({name: as_source(images) for name, images in parts.items()})

    @classmethod
    def load(
        cls,
        train: ImageSource,
        val: ImageSource,
        test: ImageSource,
        decoding: Decoding = IN_MEMORY,
        notes: tuple[str, ...] = (),
    ) -> ProbeData:
        """Read three sources, into memory or into the folder of `decoding`.

        Raises:
            ValueError: a class without a readable image in one of them, with a reason.
        """
        parts: dict[str, ImageSet | ImageSource] = {}
        for name, source in (("train", train), ("val", val), ("test", test)):
            parts[name] = decoding.decode(source, f"decode {name}")
            _check_classes(name, source, parts[name])
        return cls(**parts, notes=notes)

    @property
    def skipped(self) -> tuple[tuple[str, str], ...]:
        """(file, reason) of what was left out."""
        return tuple(sorted({one for part in self.splits().values() for one in part.skipped}))

    def splits(self) -> dict[str, ImageSet | ImageSource]:
        """The splits by name."""
        return {"train": self.train, "val": self.val, "test": self.test}


@dataclass(frozen=True, kw_only=True, eq=False)
class EncoderScores:
    """How well probes read the classes of `test` from an encoder's features.

    Args:
        linear: of the linear probe.
        knn: of nearest neighbours.
        val: accuracy of each on `val`, with the chosen setting.
        answers: class of each test image, by probe.
    """

    linear: ProbeScore
    knn: ProbeScore
    val: dict[str, float]
    answers: dict[str, Int[Tensor, " N"]] = field(repr=False)

    def record(self) -> dict[str, dict[str, Any]]:
        """The scores as JSON values by probe, with "val"."""
        found = {"linear": self.linear, "knn": self.knn}
        return {name: {**asdict(score), "val": self.val[name]} for name, score in found.items()}


@checked
def probe_encoder(
    extractor: FeatureExtractor,
    data: ProbeData,
    *,
    costs: Sequence[float] = (0.01, 0.1, 1.0),
    neighbours: Sequence[int] = (10, 20, 50),
) -> EncoderScores:
    """Fit a linear probe and nearest neighbours on `train`, choose on `val`, report on `test`.

    Args:
        extractor: the frozen encoder.
        data: the splits.
        costs: candidates of the linear probe, see `LinearProbe`; three decades (chosen by us).
        neighbours: candidates of k, see `KNNProbe`; those above the size of `train` are left out,
            and if that is all of them, k is that size.

    Returns:
        Scores on `test`, with the setting that did best on `val`, and the answers behind them.

    Raises:
        ValueError: features that are not finite, or the same for all images.
    """
    h = {name: extract_features(extractor, part).h for name, part in data.splits().items()}
    # `ProbeData` has seen to it that each has labels.
    y = {name: part.labels for name, part in data.splits().items() if part.labels is not None}
    few = [k for k in neighbours if k <= len(y["train"])] or [len(y["train"])]
    probes: dict[str, Probe] = {
        # The default tolerance changes no answer of these grids, and costs four times as long.
        "linear": LinearProbe(costs, tolerance=1e-4),
        "knn": KNNProbe(few),
    }
    for probe in probes.values():
        probe.fit(h["train"], y["train"], split="train").select(h["val"], y["val"], split="val")
    return EncoderScores(
        **{name: probe.score(h["test"], y["test"], split="test") for name, probe in probes.items()},
        val={name: max(probe.curve_) for name, probe in probes.items()},
        answers={name: probe.predict(h["test"]) for name, probe in probes.items()},
    )


def majority_score(data: ProbeData) -> tuple[ProbeScore, str]:
    """Return the score on `test` of always naming the most frequent class of `train`, and its name.

    Args:
        data: the splits.
    """
    assert data.train.labels is not None  # checked by ProbeData
    assert data.test.labels is not None
    most, truth = int(data.train.labels.bincount().argmax()), data.test.labels
    hits, total = int((truth == most).sum()), len(truth)
    score = ProbeScore(
        accuracy=hits / total,
        interval=accuracy_interval(hits, total),
        hits=hits,
        total=total,
        mean_class_accuracy=mean_class_accuracy(torch.full_like(truth, most), truth),
        setting={},
        splits={"fit": "train", "score": "test"},
    )
    return score, data.train.class_names[most]


def _check_classes(split: str, source: ImageSource, found: ImageSet | ImageSource) -> None:
    """Raise for a class of which nothing could be read."""
    if source.labels is None or found.labels is None:
        return
    for index in source.labels.unique().tolist():
        if index not in found.labels:
            name = source.class_names[index]
            files = {
                one for one, label in zip(source.ids, source.labels, strict=True) if label == index
            }
            why = next((f"{file} {reason}" for file, reason in found.skipped if file in files), "")
            fail(
                f"class {name!r} of {split}",
                expected="at least one readable image",
                got=f"none: {why}",
                remedy=f"check the images; {option('resize')} and {option('convert')} accept more",
            )
