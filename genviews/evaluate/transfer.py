"""Transfer to labelled photos: what an encoder knows of Caltech101, Stanford Cars, any folder.

    files -> encoder -> h -> probe -> accuracy

Photos are read in the layout in which each data set is published; nothing is downloaded. A folder
that is no class of the data set is an error, not a class.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genviews.checks import check_count, fail, lookup
from genviews.data.listing import list_images
from genviews.described import described_by
from genviews.evaluate.extractor import FeatureExtractor
from genviews.evaluate.linear import LinearProbe
from genviews.evaluate.photos import LabelledFiles, check_files
from genviews.evaluate.probe import Probe, ProbeScore
from genviews.evaluate.svm import SVM_COSTS
from genviews.types import Progress

__all__ = [
    "caltech101",
    "caltech_probe",
    "labelled_folder",
    "probe_files",
    "stanford_cars",
]


def labelled_folder(
    path: str | Path,
    *,
    split: str,
    class_names: Sequence[str] | None = None,
    ignore: Sequence[str] = (),
) -> LabelledFiles:
    """Return the files of a folder with one subfolder for each class.

    Args:
        path: the folder.
        split: the name of the split that it holds.
        class_names: the classes in the order of their labels, such as the ids of a subset of
            ImageNet; None sorts the subfolders.
        ignore: subfolders that are no class, such as the other ids.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: a file outside the subfolders, a subfolder that is no class, or a class without
            files.
    """
    root = Path(path)
    files = [name for name in list_images(root).files if name.split("/")[0] not in ignore]
    loose = [name for name in files if "/" not in name]
    found = sorted({name.split("/")[0] for name in files if "/" in name})
    names = tuple(found if class_names is None else class_names)
    stray, empty = sorted(set(found) - set(names)), sorted(set(names) - set(found))
    if loose or stray or empty or not names:
        fail(
            f"classes of {root}",
            expected=f"one subfolder of files for each of {len(names)} classes, and nothing else",
            got=f"loose files {loose[:3]}, unknown folders {stray[:3]}, empty classes {empty[:3]}",
            remedy="move them away, or name them in `ignore`",
        )
    index = {name: i for i, name in enumerate(names)}
    labels = torch.tensor([index[name.split("/")[0]] for name in files], dtype=torch.int64)
    return LabelledFiles(
        root=root, files=tuple(files), labels=labels, class_names=names, split=split
    )


def caltech101(
    path: str | Path,
    *,
    per_class: int = 30,
    seed: int = 0,
    num_classes: int | None = 101,
    ignore: Sequence[str] = ("BACKGROUND_Google",),
) -> tuple[LabelledFiles, LabelledFiles]:
    """Return the training and test files of Caltech101.

    Args:
        path: the folder `101_ObjectCategories`.
        per_class: training images of each class; the rest is the test split.
        seed: of the draw.
        num_classes: checked; None checks nothing.
        ignore: subfolders that are no class; () makes the background a class.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: another number of classes, or as `labelled_folder` and `split_per_class`.

    Source: Fei-Fei et al. 2004; 30 images a class and seed 0 as in the authors'
        transfer_classification (Jahanian et al. 2022). Report `mean_class_accuracy`.
    Differs: the draw is ours, so the split is not theirs; the background class is left out.
    """
    files = labelled_folder(path, split="train", ignore=ignore)
    if num_classes is not None:
        remedy = "remove stray folders, or change `ignore` or `num_classes`"
        found = len(files.class_names)
        check_count(found, f"classes of {path}", least=num_classes, most=num_classes, remedy=remedy)
    return files.split_per_class(per_class, seed=seed)


def stanford_cars(path: str | Path, split: str) -> LabelledFiles:
    """Return the files of Stanford Cars, 196 classes, as its kit annotates them.

    Args:
        path: the folder with `cars_train`, `cars_test`, `devkit` (`cars_train_annos.mat`,
            `cars_meta.mat`) and, for the test split, `cars_test_annos_withlabels.mat` in it or in
            `devkit`.
        split: "train" (8,144 images) or "test" (8,041).

    Raises:
        FileNotFoundError: a part of it is missing.
        ValueError: another split, or annotations without classes.

    Source: Krause et al. 2013, "3D object representations for fine-grained categorization".
    """
    root = Path(path)
    name = {"train": "cars_train_annos.mat", "test": "cars_test_annos_withlabels.mat"}
    wanted = lookup(split, name, "split of Stanford Cars")
    rows = _matlab(root, wanted, "annotations")
    if "class" not in (rows.dtype.names or ()):
        fail(
            f"annotations {wanted}",
            expected="a field `class`",
            got=list(rows.dtype.names or ()),
            remedy="use the test annotations with labels",
        )
    names = [str(n) for n in _matlab(root, "cars_meta.mat", "class_names")]
    return LabelledFiles(
        root=root / f"cars_{split}",
        files=tuple(str(row["fname"]) for row in rows),
        labels=torch.tensor([int(row["class"]) - 1 for row in rows], dtype=torch.int64),
        class_names=tuple(names),
        split=split,
    )


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
        found, labels = files.extract(
            extractor,
            size,
            resize_to=resize_to,
            channels=channels,
            folder=folder,
            progress=progress,
        )
        return found.h, labels

    probe = LinearProbe() if probe is None else probe
    h, y = read(train)
    if val is not None:
        probe.fit(h, y, split=train.split).select(*read(val), split=val.split)
    elif isinstance(probe, LinearProbe) and len(probe.costs) > 1:
        probe.select_by_folds(h, y, folds=folds, split=train.split)
    else:
        probe.fit(h, y, split=train.split)
    return probe.score(*read(test), split=test.split)


def _matlab(root: Path, name: str, variable: str) -> Any:  # noqa: ANN401  (an array of records)
    from scipy.io import loadmat

    file = root / "devkit" / name
    file = root / name if (root / name).is_file() else file
    check_files([file], f"{name} in {root} or its devkit")
    expected = f"a file of MATLAB with {variable}"
    with described_by(f"annotations {file}", expected, "unpack it again"), file.open("rb") as data:
        return loadmat(data, squeeze_me=True)[variable].reshape(-1)


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
