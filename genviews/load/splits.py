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

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from genviews.checks import expanded, fail, lookup, option
from genviews.data.file_source import Alignment
from genviews.data.leakage import check_leakage
from genviews.data.source import ImageSource
from genviews.data.split import SplitName, check_split, stratified
from genviews.load.files import ClassOrder, Reading
from genviews.load.images import FASHION, kind_of, read_images
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
    alignment: Alignment | None = None,
    masks: str | Path | None = None,
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
        alignment: see `load_images`.
        masks: see `load_images`; for splits in folders, with the same folders.

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
    how = Reading(
        labels=labels,
        columns=columns,
        class_names=class_names,
        ask_order=ask_order,
        resize=resize,
        convert=convert,
        alignment=alignment,
        masks=None if masks is None else expanded(masks),
    )
    there, notes = _there(word, spec, how)
    for part in there.values():
        _check_labelled(part, str(word))
    share = 0.5
    if isinstance(calibration, float | int):
        share = float(calibration)
    else:
        known = class_names or next(iter(there.values())).class_names
        tabled = calibration_labels is not None or kind_of(calibration) == "table"
        how = replace(
            how,
            labels=calibration_labels,
            class_names=known,
            columns=columns if tabled else None,
        )
        other = read_images(calibration, spec, how, "calibration")
        _check_labelled(other, str(calibration))
        there = {"val": other, "test": there.get("test") or _one(there, word)}
    parts, cut = _cut(there, tuple(needs), share, seed)
    _check_classes(parts, f"classes of {word}")
    check_leakage({str(name): part for name, part in parts.items()})
    return Splits(parts=parts, notes=(*notes, *cut))


def _there(
    word: str | Path, spec: ImageSpec, how: Reading
) -> tuple[dict[str, ImageSource], tuple[str, ...]]:
    """The splits that a word names, by train, val and test; or one, by ""."""
    kind = kind_of(word)
    if kind == FASHION and str(word) in (FASHION, f"{FASHION}/sample"):
        names = ("train", "val", "test") if str(word) == FASHION else ("val", "test")
        return {name: read_images(f"{word}/{name}", spec, how) for name in names}, ()
    if kind not in ("folder", "table"):
        one = read_images(word, spec, how)
        return {"": one}, one.notes
    files = how.listing(word, in_splits=True)
    if files.splits is None:
        return {"": how.source(files, spec, None)}, files.notes
    rows: dict[str, list[int]] = {"train": [], "val": [], "test": []}
    for row, name in enumerate(files.splits):
        rows[name].append(row)
    return {
        name: how.source(files.select(chosen), spec, name)
        for name, chosen in rows.items()
        if chosen
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
    there: Mapping[str, ImageSource], needs: tuple[SplitName, ...], share: float, seed: int
) -> tuple[dict[SplitName, ImageSource], tuple[str, ...]]:
    """The splits that are needed, cut off those that are there; and what was done, in words."""
    learns = "train" in needs
    last = "train" if learns else "test"  # what is left of one folder
    found = {name or last: part for name, part in there.items()}
    notes: list[str] = []

    def cut(source: str, name: SplitName, fraction: float) -> ImageSource:
        """Take a part off a split; the rest stays."""
        taken, rest = _in_two(found[source], fraction, seed, name)
        found[source] = rest
        where = "the images" if "" in there else f"the split {source}"
        notes.append(
            f"{name}: {len(taken)} images, cut off {where} by seed {seed}, {fraction:g} of each "
            f"class; {len(rest)} are left"
        )
        return taken

    def take_val(name: str) -> None:
        """Use val for a split that is not there."""
        notes.append(f"{name}: the split val, as there is no other")
        found[name] = found.pop("val")

    if "test" not in found and "val" in found:
        take_val("test")
    if "test" not in found:
        found["test"] = cut("train", "test", SHARE)
    if learns and "train" not in found and "val" in found:
        take_val("train")
    if learns and "train" not in found:
        fail(
            "splits",
            expected="a split train",
            got=", ".join(found),
            remedy="add it, or name one folder, which is then cut by the seed",
        )
    if "val" not in found:
        whole, name, part = ("train", "val", SHARE) if learns else ("test", "calibration", share)
        found["val"] = cut(whole, check_split(name), part)
    if "train" in found and not learns:
        notes.append(f"the {len(found['train'])} images of the split train are left alone")
    found.setdefault("calibration", found["val"])
    return {name: found[name].as_split(name) for name in needs}, tuple(notes)


def _in_two(
    source: ImageSource, fraction: float, seed: int, name: SplitName
) -> tuple[ImageSource, ImageSource]:
    """A part of a source and the rest; images of one content go together."""
    first: dict[str, int] = {}
    leaders = [first.setdefault(content, row) for row, content in enumerate(source.hashes())]
    unique = sorted(set(leaders))
    labels = source.labels
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
            f"columns file and label ({option('labels')})",
        )


def _check_classes(parts: Mapping[SplitName, ImageSource], what: str) -> None:
    """Raise unless every split has every class that another has, and there are two."""
    names = {part.class_names for part in parts.values()}
    if len(names) != 1:
        fail(
            what,
            expected="the same in every split",
            got=" and ".join(", ".join(one) for one in sorted(names)),
            remedy=f"say them in their order with {option('class_names')}",
        )
    (classes,) = names
    if len(classes) < 2:
        fail(
            what,
            expected="at least two",
            got=", ".join(classes),
            remedy="add images of another class",
        )
    seen = {split: set(_known(part.labels).tolist()) for split, part in parts.items()}
    for index, name in enumerate(classes):
        here = [split for split, found in seen.items() if index in found]
        lacking = [split for split in seen if split not in here]
        if here and lacking:
            fail(
                what,
                expected="images of the same classes in every split",
                got=f"{name!r} in {' and '.join(here)} alone, none in {' and '.join(lacking)}",
                remedy="add images of it, or remove the class",
            )


def _known(labels: Tensor | None) -> Tensor:
    assert labels is not None  # checked
    return labels
