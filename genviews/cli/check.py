"""What can be found wrong with words and paths before anything is loaded; flags by their names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import singledispatch
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from genviews.checks import check_count, check_file, expanded, fail, for_flag, is_url, lookup
from genviews.cli.command import changed, flag_of
from genviews.cli.flags import (
    CorruptFlags,
    DemoFlags,
    FrameFlags,
    FunctionFlags,
    InvertFlags,
    ModelFlags,
    PredictFlags,
)
from genviews.cli.learning_flags import KitFlags, LearnFlags, ProbeFlags, VOCFlags
from genviews.text import read_lines

__all__ = [
    "check_apart",
    "check_flags",
    "check_words",
    "class_names_of",
    "fraction",
    "function_settings",
]

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

SHIPPED = {"calibration": 500, "test": 1000}  # images of the demo


def _refuse(flag: str, expected: str, got: object, remedy: str = "leave it out") -> NoReturn:
    fail(flag, expected=expected, got=got, remedy=remedy)


def _check_exist(given: Mapping[str, Path | None], *, folders: bool = True) -> None:
    """Name a missing file (or folder) by its flag, before anything is loaded."""
    expected = f"a file{' or folder' if folders else ''} that exists"
    for flag, path in given.items():
        if path is not None:
            check_file(path, flag, expected=expected, folders=folders)


def check_apart(places: Mapping[str, Path | None], given: Mapping[str, str | Path | None]) -> None:
    """Raise ValueError where what is written would lie among what is read.

    Results may not lie around it either. Work may lie in an earlier run, whose work it may be.

    Args:
        places: flag -> a folder that is written to: `--out` and `--work`.
        given: flag -> a path that is read, if it is one.
    """
    for own, place in places.items():
        ours = None if place is None else Path(os.path.realpath(expanded(place)))
        for flag, path in given.items():
            theirs = None if path is None else Path(os.path.realpath(expanded(path)))
            if ours is None or theirs is None or not theirs.is_dir():
                continue
            shared = own == "--work" and flag in ("--ensemble", "--start-from")
            inside = theirs == ours or theirs in ours.parents
            if (inside and not shared) or (own == "--out" and ours in theirs.parents):
                got, remedy = (
                    f"{str(place)!r} and {str(path)!r}",
                    f"choose another folder with {own}",
                )
                _refuse(own, f"a folder apart from {flag}", got, remedy)


def fraction(text: str) -> float | None:
    """What `--calibration` says, where it is a number."""
    try:
        return float(text)
    except ValueError:
        return None


def function_settings(flags: FunctionFlags) -> dict[str, Any]:
    """What flags say of a generator that is a function, as `load_generator` takes it."""
    from genviews.generators.adapter import Adapter

    said = {f.name: getattr(flags, f"generator_{f.name}") for f in fields(Adapter)}
    counts = {"z_dim": flags.z_dim, "num_classes": flags.num_classes}
    return {**counts, "adapter": Adapter(**said)}


def class_names_of(flags: FunctionFlags) -> list[str]:
    """The names of the generator's classes."""
    word = flags.generator_class_names
    if word is None:
        return []
    if "," in word:
        return [name.strip() for name in word.split(",")]
    return list(read_lines(expanded(word), "--generator-class-names"))


def check_words(group: DataclassInstance) -> None:
    """Find a count below 0, and a list in one word, in any group of flags."""
    for f in fields(group):
        value = getattr(group, f.name)
        if isinstance(value, int) and not isinstance(value, bool) and "seed" not in f.name:
            check_count(value, flag_of(f.name), least=0)
        elif is_dataclass(value) and not isinstance(value, type):
            check_words(value)
        elif isinstance(value, tuple) and len(value) == 1 and "," in str(value[0]):
            flag = flag_of(f.name)
            words = " ".join(f"{flag} {word.strip()}" for word in str(value[0]).split(","))
            _refuse(flag, "one name at a time", repr(value[0]), f"write {words}")


@singledispatch
def check_flags(flags: object, places: Mapping[str, Path | None]) -> None:
    """Find what is wrong with a group of flags; options of a study check themselves.

    Args:
        flags: the group.
        places: see `check_apart`.

    Raises:
        FileNotFoundError: a file or folder is not there.
        ValueError: anything else.
    """


def _check_frame(flags: FrameFlags) -> list[str]:
    """Find what is wrong with alignment and masks; returns those options that are used."""
    from genviews.align.aligners import ALIGNERS

    lookup(flags.align, {"none": None, **ALIGNERS}, "--align")
    if (flags.align == "none") != (flags.geometry is None):
        flag = "--geometry" if flags.geometry is None else "--align"
        remedy = "alignment needs the box or the landmarks of each image in a CSV file"
        _refuse(flag, "--align and --geometry together", "none", remedy)
    if flags.geometry is not None and flags.mask is not None:
        _refuse("--mask", "no --align, which makes its own masks", str(flags.mask))
    _check_exist({"--geometry": flags.geometry}, folders=False)
    if flags.mask is not None and not expanded(flags.mask).is_dir():
        _refuse("--mask", "a folder of pictures", str(flags.mask), "correct the path")
    used = {"align": flags.geometry, "mask": flags.mask}
    return [name for name, value in used.items() if value is not None]


def _check_encoder(flags: ModelFlags | InvertFlags) -> None:
    """Find an encoder of inversions that is no file, and no published one that is here."""
    from genviews.load.inversion_encoder import encoder_file

    if flags.encoder is not None:
        encoder_file(flags.encoder, "--encoder")


def _column(flags: ModelFlags | PredictFlags) -> list[str]:
    """The option that only a table has, where the labels are none, so that the images must be."""
    tabled = flags.labels not in (None, "subfolders")
    return ["label_column"] if flags.label_column and not tabled else []


@check_flags.register
def _demo(flags: DemoFlags, places: Mapping[str, Path | None]) -> None:
    """Find more images asked for than ship."""
    for name, count in (("calibration", flags.calibration), ("test", flags.test)):
        if check_count(count, f"--{name}") > SHIPPED[name]:
            expected = f"at most {SHIPPED[name]} images, which is what ships"
            _refuse(f"--{name}", expected, count, "for more, see recipes/fashion32/ensemble.py")


@check_flags.register
def _models(flags: ModelFlags, places: Mapping[str, Path | None]) -> None:
    """Find what is wrong with labelled images, a classifier, a generator and the views to try."""
    from genviews.augment.presets import pixel_views
    from genviews.domains import DOMAINS
    from genviews.load.classifier import check_classifier
    from genviews.load.generator import check_generator
    from genviews.load.images import kind_of

    kind_of(flags.images, [*_column(flags), *_check_frame(flags)])
    part = fraction(flags.calibration)
    if part is None:
        with for_flag("--calibration"):
            kind_of(flags.calibration)
    elif not 0.0 < part < 1.0:
        expected = "a fraction strictly between 0 and 1, or other images"
        _refuse("--calibration", expected, flags.calibration, "0.5 takes half of the images")
    elif flags.calibration_labels is not None:
        got = f"the fraction {flags.calibration}"
        _refuse("--calibration-labels", "a folder as --calibration", got, "leave one of them out")
    listed = flags.class_names in (None, "value", "text")
    _check_exist(
        {
            "--labels": None if flags.labels == "subfolders" else Path(flags.labels),
            "--calibration-labels": flags.calibration_labels,
            "--class-names": None if listed else Path(str(flags.class_names)),
            **{f"--{n}": getattr(flags, n) for n in ("weights", "walks")},
        }
    )
    _check_encoder(flags)
    other = flags.calibration if part is None else None
    check_apart(places, {"--images": flags.images, "--calibration": other})
    check_generator(flags.generator, **function_settings(flags))
    check_classifier(flags.classifier)
    for flag, names in (
        ("--augment", flags.augment or ()),
        ("--photo-transform", (flags.photo_transform,)),
        ("--render-transform", (flags.render_transform,)),
    ):
        with for_flag(flag):
            for name in names:
                if name is not None:
                    pixel_views(name)
    if flags.domain is not None:
        lookup(flags.domain, DOMAINS, "--domain")


@check_flags.register
def _predict(flags: PredictFlags, places: Mapping[str, Path | None]) -> None:
    """Find what is wrong with images to classify, and with the run that fitted the ensemble."""
    from genviews.cli.saved import models_of
    from genviews.load.classifier import check_classifier
    from genviews.load.generator import check_generator
    from genviews.load.images import kind_of

    models = models_of(flags)
    if isinstance(models, ModelFlags):
        check_generator(models.generator, **function_settings(models))
        check_classifier(models.classifier)
        _check_exist({f"--{n}": getattr(models, n) for n in ("weights", "walks")})
        _check_encoder(models)
    _check_exist({"--labels": None if flags.labels in (None, "subfolders") else Path(flags.labels)})
    used = [n for n in ("labels", "resize", "convert") if getattr(flags, n)]
    kind_of(flags.images, [*used, *_column(flags), *_check_frame(flags)])
    check_apart(places, {"--images": flags.images, "--ensemble": flags.ensemble})


@check_flags.register
def _invert(flags: InvertFlags, places: Mapping[str, Path | None]) -> None:
    """Find what is wrong with images to invert and what inverts them."""
    from genviews.invert.inverter import PRESETS
    from genviews.load.generator import check_generator
    from genviews.load.images import kind_of

    used = [name for name in ("root", "resize", "convert") if getattr(flags, name)]
    kind_of(flags.images, [*used, *_check_frame(flags)])
    check_apart(places, {"--images": flags.images, "--start-from": flags.start_from})
    _check_exist({"--root": flags.root})
    _check_exist({"--lpips-weights": flags.lpips_weights}, folders=False)
    _check_encoder(flags)
    check_generator(flags.generator, **function_settings(flags))
    if flags.preset != "default":
        lookup(flags.preset, dict.fromkeys(PRESETS), "--preset")


@check_flags.register
def _corrupt(flags: CorruptFlags, places: Mapping[str, Path | None]) -> None:
    """Find what is wrong with images to corrupt, and with names of corruptions."""
    from genviews.load.images import kind_of
    from genviews.robustness.corruption import corruption

    for word in flags.corruption:
        with for_flag("--corruption"):
            corruption(word)
    used = [name for name in ("resize", "convert") if getattr(flags, name)]
    kind_of(flags.images, [*used, "size"])
    if flags.size is not None:
        check_count(flags.size, "--size")
    check_apart(places, {"--images": flags.images})


@check_flags.register
def _learn(flags: LearnFlags, places: Mapping[str, Path | None]) -> None:
    """Find what is wrong with what is learnt from and judged on."""
    from genviews.load.generator import check_generator
    from genviews.load.images import kind_of

    used = [name for name in ("resize", "convert") if getattr(flags, name)]
    if flags.data is not None:
        with for_flag("--data"):
            kind_of(flags.data, ["label_column"] if flags.label_column else [])
    elif flags.label_column is not None:
        _refuse("--label-column", "--data, whose labels it has", "none")
    if flags.generator is None:
        used.append("size")
    with for_flag("--real"):
        kind = flags.real and kind_of(flags.real, used)
    if flags.size is not None:
        check_count(flags.size, "--size")
        if flags.generator is not None:
            expected = "no generator: images have the size that it makes"
            remedy = "leave it out; --resize brings images to it"
            _refuse("--size", expected, flags.size, remedy)
    check_apart(places, {"--real": flags.real, "--data": flags.data})
    _check_exist({"--walks": flags.walks}, folders=False)
    if flags.generator is not None:
        check_generator(flags.generator, **function_settings(flags))
    else:
        about = FunctionFlags(**{f.name: getattr(flags, f.name) for f in fields(FunctionFlags)})
        for name in (*(["walks"] if flags.walks else []), *changed(about)):
            _refuse(flag_of(name), "a generator", "none")
    if kind == "fashion32" and flags.size not in (None, 32):
        _refuse("--size", "32, for fashion32", flags.size)


@check_flags.register
def _kit(flags: KitFlags, places: Mapping[str, Path | None]) -> None:
    """Find what is wrong with a generator alone."""
    _learn(LearnFlags(**vars(flags)), places)


@check_flags.register
def _probe(flags: ProbeFlags, places: Mapping[str, Path | None]) -> None:
    """Find what is wrong with an encoder and the images that it is judged on."""
    from genviews.load.images import kind_of

    _check_exist({"--encoder": flags.encoder}, folders=False)
    with for_flag("--data"):
        kind_of(flags.data, ["label_column"] if flags.label_column else [])
    check_apart(places, {"--data": flags.data})
    if flags.size is not None:
        check_count(flags.size, "--size")


@check_flags.register
def _voc(flags: VOCFlags, places: Mapping[str, Path | None]) -> None:
    """Find what is wrong with flags about VOC.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: flags about VOC without it, or a count below 1.
    """
    if flags.voc is None:
        if given := changed(flags):
            remedy = "add --voc VOCdevkit, or leave out what is about it"
            _refuse(
                ", ".join(map(flag_of, given)), "--voc, the folder of the photos", "none", remedy
            )
        return
    if not flags.voc.is_dir():
        fail(
            "--voc",
            expected="the folder VOCdevkit, or VOC2007 in it",
            got=repr(str(flags.voc)) + (", a URL" if is_url(flags.voc) else ""),
            remedy="correct the path; nothing is downloaded",
            error=FileNotFoundError,
        )
    check_apart(places, {"--voc": flags.voc})
    check_count(flags.voc_size, "--voc-size")
    if flags.detection_steps is not None:
        check_count(flags.detection_steps, "--detection-steps")
        if not flags.detection:
            _refuse("--detection-steps", "--detection", "none", "add it")
