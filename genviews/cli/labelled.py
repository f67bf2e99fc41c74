"""What `--data` names: labelled images in three splits, to judge encoders on.

    D/train/CLASS/*.png    D/val/CLASS/*.png    D/test/CLASS/*.png

A folder that is no class is an error, not a class: it would shift the labels of all that follow,
and nothing would tell.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from genviews.checks import fail
from genviews.cli.folder import stamp

if TYPE_CHECKING:  # these load torch
    from genviews.data import ImageSet
    from genviews.evaluate.encoders import ProbeData
    from genviews.types import ImageSpec

__all__ = ["FASHION", "check_labelled", "labelled_stamp", "probe_data"]

FASHION = "fashion32"
SPLITS = ("train", "val", "test")
_FASHION_TRAIN = 20_000  # images that probes are fitted on; more would gain little and cost much


def check_labelled(data: str) -> None:
    """Find mistakes in the folders, before anything is loaded.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: a missing or a further split, a file beside the classes of a split, or classes
            that differ between splits; they are named.
    """
    if data == FASHION:
        return
    root = Path(data)
    if not root.is_dir():
        fail(
            "--data",
            expected=f"{FASHION}, or a folder with the subfolders train, val and test",
            got=repr(data),
            remedy="correct the path; relative ones start in the current folder",
            error=FileNotFoundError,
        )
    found = _folders(root)
    absent, stray = [s for s in SPLITS if s not in found], sorted(set(found) - set(SPLITS))
    if absent or stray:
        _refuse(
            root,
            "the subfolders train, val and test, and no other",
            [("no", absent), ("also", stray)],
        )
    _check_classes({split: root / split for split in SPLITS})


def _check_classes(places: dict[str, Path]) -> None:
    loose = [f"{split}/{name}" for split, place in places.items() for name in _files(place)]
    if loose:
        _refuse(places["train"].parent, "files in class folders alone", [("files", loose)])
    classes = {split: set(_folders(place)) for split, place in places.items()}
    every = sorted(set().union(*classes.values()))
    parts = []
    for name in every:
        here = [split for split in SPLITS if name in classes[split]]
        if len(here) < len(SPLITS):
            parts.append(f"{name} in {' and '.join(here)} alone")
    if parts or len(every) < 2:
        _refuse(
            places["train"].parent,
            "the same two classes or more in train, val and test",
            [("", parts or every or ["none"])],
        )


def _refuse(root: Path, expected: str, problems: list[tuple[str, list[str]]]) -> None:
    told = []
    for word, names in problems:
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        told += [f"{word} {', '.join(names[:5])}{more}".strip()] if names else []
    fail(
        f"--data {root}",
        expected=expected,
        got="; ".join(told),
        remedy="rename or move what does not belong there",
    )


def _folders(place: Path) -> list[str]:
    return sorted(e.name for e in os.scandir(place) if e.is_dir() and not e.name.startswith("."))


def _files(place: Path) -> list[str]:
    return sorted(e.name for e in os.scandir(place) if e.is_file() and not e.name.startswith("."))


def labelled_stamp(data: str | None) -> str:
    """What changes when the files change; "" where that cannot be seen."""
    return "" if data in (None, FASHION) else stamp(Path(str(data)))


def probe_data(
    data: str, spec: ImageSpec, *, resize: bool = False, convert: bool = False
) -> tuple[ProbeData, tuple[tuple[str, str], ...]]:
    """Read the three splits.

    Args:
        data: what `--data` says, which `check_labelled` has passed.
        spec: of the images.
        resize: crop and shrink larger images, see `decode_image`.
        convert: convert colours and transparency, see `decode_image`.

    Returns:
        The splits, and (file, reason) of what was left out.

    Raises:
        ValueError: a class without a readable image, or images of another size.
        FileNotFoundError: Fashion-MNIST is not on this machine and cannot be downloaded.
    """
    from genviews.evaluate.encoders import ProbeData

    if data == FASHION:
        return _fashion(spec), ()
    names = tuple(_folders(Path(data) / "train"))
    parts = {
        split: _read(Path(data), split, spec, names, resize=resize, convert=convert)
        for split in SPLITS
    }
    skipped = [
        (f"{split}/{file}", reason)
        for split, part in parts.items()
        for file, reason in part.skipped
    ]
    found = ProbeData(train=parts["train"], val=parts["val"], test=parts["test"])
    return found, tuple(skipped)


def _read(
    root: Path, split: str, spec: ImageSpec, names: tuple[str, ...], *, resize: bool, convert: bool
) -> ImageSet:
    from genviews.data import load_folder

    found = load_folder(root / split, spec, class_names=names, resize=resize, convert=convert)
    assert found.labels is not None  # no file lies beside the classes
    empty = sorted(set(range(len(names))) - set(found.labels.tolist()))
    if empty:
        name = names[empty[0]]
        reasons = [f"{f} {why}" for f, why in found.skipped if f.startswith(f"{name}/")]
        fail(
            f"class {name!r} of {split}",
            expected="at least one readable image",
            got=f"none: {reasons[0]}" if reasons else "an empty folder",
            remedy="check the images; --resize and --convert accept more",
        )
    return replace(found, ids=tuple(f"{split}/{name}" for name in found.ids))


def _fashion(spec: ImageSpec) -> ProbeData:
    from genviews.data import fashion_mnist
    from genviews.evaluate.encoders import ProbeData

    if spec.shape != (1, 32, 32):
        fail(
            f"--data {FASHION}",
            expected="an encoder or generator of 32x32 grey images",
            got=f"images {spec.shape}, channels first",
            remedy="name a folder of images of that size",
        )
    train = fashion_mnist("train").select(slice(0, _FASHION_TRAIN))
    return ProbeData(train=train, val=fashion_mnist("val"), test=fashion_mnist("test"))
