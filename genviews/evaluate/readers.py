"""Labelled photos in the layout in which each data set is published; nothing is downloaded.

A folder that is no class of the data set is an error, not a class.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from genviews.checks import fail, lookup
from genviews.data.listing import check_folder, list_images
from genviews.evaluate.photos import LabelledFiles

__all__ = ["caltech101", "imagenet_subset", "labelled_folder", "read_wnids", "stanford_cars"]


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
        class_names: the classes in the order of their labels; None sorts the subfolders.
        ignore: subfolders that are no class.

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
    if num_classes is not None and len(files.class_names) != num_classes:
        fail(
            f"classes of {path}",
            expected=f"{num_classes}",
            got=len(files.class_names),
            remedy="remove stray folders, or change `ignore` or `num_classes`",
        )
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


def read_wnids(path: str | Path) -> tuple[str, ...]:
    """Return the WordNet ids of a text file, in its order: the classes of an ImageNet subset.

    Args:
        path: a line for each class that begins with its id, such as "n02869837 bonnet"; empty lines
            and lines that begin with "#" are passed over.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a line that begins with no id, an id twice, or no id.
    """
    lines = [line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines()]
    found: list[str] = []
    for number, line in enumerate(lines, 1):
        if not line or line.startswith("#"):
            continue
        wnid = line.split()[0].rstrip(",")
        if not re.fullmatch(r"n\d{8}", wnid) or wnid in found:
            fail(
                f"classes {path}, line {number}",
                expected="an id such as n02869837, each once",
                got=repr(line),
                remedy="write one class a line",
            )
        found.append(wnid)
    if not found:
        fail(f"classes {path}", expected="ids", got="none", remedy="write one class a line")
    return tuple(found)


def imagenet_subset(
    path: str | Path, wnids: Sequence[str], *, split: str, name: str | None = None
) -> LabelledFiles:
    """Return the files of some classes of ImageNet; folders of other classes are not looked at.

    Args:
        path: the folder with one subfolder for each id, such as `ILSVRC/train`.
        wnids: the classes in the order of their labels; see `read_wnids`.
        split: the name of the split. ImageNet's own validation images are what the papers report
            on: call them "test", and set some of the training images apart as "val".
        name: of the data set, for messages.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: a class without files.

    Source: the class list of the papers is `imagenet100_class_index.json` of the authors' code,
        after Tian et al. 2020, arXiv:1906.05849.
    """
    root = Path(path)
    check_folder(root)
    files: list[str] = []
    labels: list[int] = []
    for label, wnid in enumerate(wnids):
        here = list_images(root / wnid).files if (root / wnid).is_dir() else []
        if not here:
            fail(
                f"class {wnid} of {name or root}",
                expected="a folder of images",
                got="none",
                remedy="unpack the class, or leave it out of the list",
            )
        files += [f"{wnid}/{file}" for file in here]
        labels += [label] * len(here)
    return LabelledFiles(
        root=root,
        files=tuple(files),
        labels=torch.tensor(labels, dtype=torch.int64),
        class_names=tuple(wnids),
        split=split,
    )


def _matlab(root: Path, name: str, variable: str) -> Any:  # noqa: ANN401  (an array of records)
    from scipy.io import loadmat

    places = [root / "devkit" / name, root / name]
    file = next((p for p in places if p.is_file()), None)
    if file is None:
        fail(
            f"Stanford Cars in {root}",
            expected=f"{name} in it or in devkit",
            got="none",
            remedy="unpack the data set and its devkit there; nothing is downloaded",
            error=FileNotFoundError,
        )
    return loadmat(str(file), squeeze_me=True)[variable].reshape(-1)
