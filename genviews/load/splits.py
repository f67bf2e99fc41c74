"""What a word for labelled images stands for, when they are needed in splits.

    folder/train, folder/val, folder/test   the splits that are there (val may be called valid,
                                            validation or calibration)
    folder                                  one folder, cut by a seed
    table.csv with a column `split`         the splits that it names
    table.csv                               cut by a seed
    fashion32, fashion32/sample             the package's own

What is needed and not there is cut off what is, with a seed, the same share of each class, and the
result says so in its notes. Images with one content stay on one side; in splits that the user made,
an image that is in two of them is an error.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from genviews.checks import fail, lookup
from genviews.data.source import ImageSource, check_leakage
from genviews.data.split import SplitName, check_split, stratified
from genviews.load.classes import ClassOrder
from genviews.load.files import find_files
from genviews.load.images import FASHION, kind_of, load_images
from genviews.types import ImageSpec

__all__ = ["Splits", "load_splits"]

SHARE = 0.2  # of what is there, for a val or a test that is not (chosen by us)


@dataclass(frozen=True, kw_only=True)
class Splits:
    """Labelled images by what they may be used for.

    Args:
        parts: name of the split -> its images, in the order train, calibration or val, test.
        notes: what was decided for the user, in sentences.
    """

    parts: Mapping[SplitName, ImageSource]
    notes: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[ImageSource]:
        return iter(self.parts.values())

    @property
    def train(self) -> ImageSource:
        """What networks and probes are fitted to."""
        return self._of("train")

    @property
    def calibration(self) -> ImageSource:
        """What alpha and strengths are chosen on; the split `val` where there is no other."""
        return self.parts.get("calibration") or self._of("val")

    @property
    def val(self) -> ImageSource:
        """What settings are chosen on; the split `calibration` where there is no other."""
        return self.parts.get("val") or self._of("calibration")

    @property
    def test(self) -> ImageSource:
        """What results are reported on."""
        return self._of("test")

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes, the same in every split."""
        return next(iter(self)).class_names

    def _of(self, name: SplitName) -> ImageSource:
        return lookup(name, {str(split): part for split, part in self.parts.items()}, "split")


def load_splits(
    word: str | Path,
    spec: ImageSpec,
    *,
    needs: Sequence[SplitName] = ("calibration", "test"),
    calibration: float | str | Path = 0.5,
    seed: int = 0,
    labels: str | Path | None = None,
    calibration_labels: str | Path | None = None,
    columns: Sequence[str] | None = None,
    class_names: ClassOrder = None,
    ask_order: bool = True,
    resize: bool = False,
    convert: bool = False,
) -> Splits:
    """Return labelled images in the splits that are needed.

    Args:
        word: see the module.
        spec: of the images.
        needs: ("calibration", "test"), or ("train", "val", "test").
        calibration: where no split of that kind is there: the share that is cut off what is there
            (of test, where there is one), or a word for other images.
        seed: of what is cut; another seed, another cut.
        labels: see `load_images`.
        calibration_labels: of the images that `calibration` names.
        columns: see `load_images`.
        class_names: see `load_images`.
        ask_order: see `load_images`.
        resize: see `load_images`.
        convert: see `load_images`.

    Raises:
        FileNotFoundError: nothing of that name.
        ValueError: images without labels, a folder beside the splits, classes that a split lacks,
            one image in two splits (both files are named), or what `load_images` refuses.

    Example:
        >>> spec = ImageSpec(channels=1, height=32, width=32)
        >>> splits = load_splits("fashion32/sample", spec)
        >>> [(part.split, len(part)) for part in splits]
        [('calibration', 500), ('test', 1000)]
    """
    there, notes = _there(
        word,
        spec,
        labels=labels,
        columns=columns,
        class_names=class_names,
        ask_order=ask_order,
        resize=resize,
        convert=convert,
    )
    for part in there.values():
        _check_labelled(part, str(word))
    if not isinstance(calibration, float | int):
        known = class_names or next(iter(there.values())).class_names
        other = load_images(
            calibration,
            spec,
            labels=calibration_labels,
            columns=columns,
            class_names=known,
            split="calibration",
            resize=resize,
            convert=convert,
        )
        _check_labelled(other, str(calibration))
        there = {"val": other, "test": there.get("test") or _one(there, word)}
    parts, cut = _cut(there, tuple(needs), calibration, seed)
    _check_classes(parts, str(word))
    check_leakage({str(name): part for name, part in parts.items()})
    ordered = {name: parts[name] for name in needs}
    return Splits(parts=ordered, notes=(*notes, *cut))


def _there(
    word: str | Path,
    spec: ImageSpec,
    *,
    labels: str | Path | None,
    columns: Sequence[str] | None,
    class_names: ClassOrder,
    ask_order: bool,
    resize: bool,
    convert: bool,
) -> tuple[dict[str, ImageSource], tuple[str, ...]]:
    """The splits that a word names, by train, val and test; or one, by ""."""
    kind = kind_of(word)
    if kind not in ("folder", "table"):
        if str(word) in (FASHION, f"{FASHION}/sample"):
            names = ("train", "val", "test") if str(word) == FASHION else ("val", "test")
            return {name: load_images(f"{word}/{name}", spec) for name in names}, ()
        one = load_images(word, spec, resize=resize, convert=convert)
        return {"": one}, one.notes
    files = find_files(
        word,
        spec,
        labels=labels,
        columns=columns,
        class_names=class_names,
        ask_order=ask_order,
        in_splits=True,
    )
    rows: dict[str, list[int]] = defaultdict(list)
    for row in range(len(files)):
        rows["" if files.splits is None else files.splits[row]].append(row)
    return {
        name: files.source(
            spec,
            rows[name],
            check_split(name) if name else None,
            resize=resize,
            convert=convert,
            alignment=None,
        )
        for name in ("", "train", "val", "test")
        if name in rows
    }, files.notes


def _one(there: Mapping[str, ImageSource], word: str | Path) -> ImageSource:
    if len(there) == 1:
        return next(iter(there.values()))
    fail(
        f"test images of {word}",
        expected="a split test, or one folder",
        got=", ".join(there),
        remedy="name the folder of the test images",
    )


def _cut(
    there: Mapping[str, ImageSource],
    needs: tuple[SplitName, ...],
    calibration: float | str | Path,
    seed: int,
) -> tuple[dict[SplitName, ImageSource], tuple[str, ...]]:
    """The splits that are needed, cut off those that are there; and what was done, in words."""
    share = float(calibration) if isinstance(calibration, float | int) else 0.5
    second: SplitName = "calibration" if "calibration" in needs else "val"
    found = dict(there)
    notes: list[str] = []

    def cut(source: str, name: SplitName, fraction: float) -> ImageSource:
        """Take a part off a split; the rest stays."""
        taken, rest = _in_two(found[source], fraction, seed, name)
        found[source] = rest
        where = f"the split {source}" if source else "the images"
        notes.append(
            f"{name}: {len(taken)} images, cut off {where} by seed {seed}, {fraction:g} of each "
            f"class; {len(rest)} are left"
        )
        return taken

    if "" in found:
        if "train" in needs:
            found["test"] = cut("", "test", SHARE)
            found["val"] = cut("", "val", SHARE)
            found["train"] = found.pop("")
        else:
            found["val"] = cut("", "calibration", share)
            found["test"] = found.pop("")
    if "test" not in found and "val" in found:
        notes.append("test: the split val, as there is no other")
        found["test"] = found.pop("val")
    if "test" not in found:
        found["test"] = cut("train", "test", SHARE)
    if "train" in needs and "train" not in found and "val" in found:
        notes.append("train: the split val, as there is no other")
        found["train"] = found.pop("val")
    if "train" in needs and "train" not in found:
        fail(
            "splits",
            expected="a split train",
            got=", ".join(found),
            remedy="add it, or name one folder, which is then cut by the seed",
        )
    if "val" not in found:
        found["val"] = (
            cut("train", "val", SHARE) if "train" in needs else cut("test", "calibration", share)
        )
    if "train" in found and "train" not in needs:
        notes.append(f"the {len(found['train'])} images of the split train are left alone")
    kept = {second: found["val"], "test": found["test"], "train": found.get("train")}
    return {name: _named(part, name) for name in needs if (part := kept[name]) is not None}, tuple(
        notes
    )


def _named(source: ImageSource, split: SplitName) -> ImageSource:
    return source if source.split == split else source.select(range(len(source)), split=split)


def _in_two(
    source: ImageSource, fraction: float, seed: int, name: SplitName
) -> tuple[ImageSource, ImageSource]:
    """A part of a source and the rest; images of one content go together."""
    first: dict[str, int] = {}
    leaders = [first.setdefault(content, row) for row, content in enumerate(source.hashes())]
    unique = sorted(set(leaders))
    labels: Tensor | None = source.labels
    mask = stratified(
        [source.ids[row] for row in unique],
        None if labels is None else labels[torch.tensor(unique)],
        fraction,
        seed,
        purpose=name,
    )
    taken = {row for row, is_taken in zip(unique, mask.tolist(), strict=True) if is_taken}
    rows = [row for row, leader in enumerate(leaders) if leader in taken]
    rest = [row for row, leader in enumerate(leaders) if leader not in taken]
    return source.select(rows), source.select(rest)


def _check_labelled(source: ImageSource, word: str) -> None:
    if source.labels is None:
        fail(
            f"labels of {word}",
            expected="a class for each image",
            got="none",
            remedy="sort the images into one subfolder a class, or name a CSV file with the "
            "columns file and label (--labels)",
        )


def _check_classes(parts: Mapping[SplitName, ImageSource], word: str) -> None:
    """Raise unless every split has every class that another has, and there are two."""
    names = {part.class_names for part in parts.values()}
    if len(names) != 1:
        fail(
            f"classes of {word}",
            expected="the same in every split",
            got=" and ".join(", ".join(one) for one in sorted(names)),
            remedy="give the class names in their order",
        )
    if len(next(iter(names))) < 2:
        fail(
            f"classes of {word}",
            expected="at least two",
            got=", ".join(next(iter(names))),
            remedy="add images of another class",
        )
    counts = {}
    for split, part in parts.items():
        assert part.labels is not None  # checked
        counts[split] = part.labels.bincount(minlength=len(part.class_names))
    for index, name in enumerate(next(iter(names))):
        here = [split for split, count in counts.items() if int(count[index])]
        if here and len(here) < len(parts):
            lacking = [split for split in parts if split not in here]
            fail(
                f"classes of {word}",
                expected="images of the same classes in every split",
                got=f"{name!r} in {' and '.join(here)} alone, none in {' and '.join(lacking)}",
                remedy="add images of it, or remove the class",
            )
