"""Transfer to labelled photos: what an encoder knows of Caltech101, Stanford Cars, any folder.

files -> encoder -> h -> probe -> accuracy
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from genviews.checks import fail
from genviews.evaluate.extractor import FeatureExtractor
from genviews.evaluate.features import extract_features
from genviews.evaluate.linear import LinearProbe
from genviews.evaluate.photos import LabelledFiles, labels_of
from genviews.evaluate.probe import Probe, ProbeScore
from genviews.evaluate.svm import SVM_COSTS
from genviews.types import Progress

__all__ = ["caltech_probe", "probe_files"]


def caltech_probe() -> LinearProbe:
    """Return the probe of the Caltech101 protocol; `select_by_folds` with 3 folds fits it.

    Source: as `caltech101`: logistic regression, L-BFGS, at most 100 steps, the SVMs' costs, on
        features of unit length.
    Differs: warm starts along the costs, so 100 steps of each go further.
    """
    return LinearProbe(SVM_COSTS, standardise=False, max_iter=100, tolerance=1e-4)


def probe_files(
    extractor: FeatureExtractor,
    train: LabelledFiles,
    test: LabelledFiles,
    *,
    probe: Probe | None = None,
    val: LabelledFiles | None = None,
    folds: int = 3,
    size: int = 224,
    resize_to: int | None = None,
    channels: int = 3,
    folder: str | Path | None = None,
    progress: Progress | None = None,
) -> ProbeScore:
    """Probe an encoder on labelled files.

    Args:
        extractor: the encoder.
        train: what the probe is fitted to.
        test: what it is scored on.
        probe: None is a `LinearProbe`.
        val: chooses the probe's setting; None chooses by cross-validation within `train`, which
            only a `LinearProbe` can, or takes the probe's single setting.
        folds: of the cross-validation.
        size: height and width of the images, in pixels; 224 for transfer in the papers.
        resize_to: short side before the crop; None is `size`.
        channels: of the images.
        folder: where features are kept; see `extract_features`.
        progress: of the features of each split.

    Raises:
        ValueError: splits that share a name or have other classes, or a probe that cannot choose
            its setting.
    """
    _check_splits(train, test, val)

    def read(files: LabelledFiles) -> tuple[Tensor, Tensor]:
        source = files.source(size, resize_to=resize_to, channels=channels)
        found = extract_features(extractor, source, folder=folder, progress=progress)
        return found.h, labels_of(files.files, files.labels, found)

    probe = LinearProbe() if probe is None else probe
    h, y = read(train)
    if val is not None:
        probe.fit(h, y, split=train.split).select(*read(val), split=val.split)
    elif isinstance(probe, LinearProbe) and len(probe.costs) > 1:
        probe.select_by_folds(h, y, folds=folds, split=train.split)
    else:
        probe.fit(h, y, split=train.split)
    return probe.score(*read(test), split=test.split)


def _check_splits(train: LabelledFiles, test: LabelledFiles, val: LabelledFiles | None) -> None:
    parts = [train, test] if val is None else [train, val, test]
    names = [part.split for part in parts]
    classes = {part.class_names for part in parts}
    seen = [part.root / file for part in parts for file in part.files]
    twice = len(seen) - len(set(seen))
    if len(set(names)) != len(names) or len(classes) != 1 or twice:
        fail(
            "splits of the probe",
            expected="different names, the same classes and no file in two of them",
            got=f"{names}, {len(classes)} lists of classes, {twice} files twice",
            remedy="name the splits, and give `class_names` to each reader",
        )
