"""What can be found wrong with words and paths before anything is loaded; flags by their names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from genviews.checks import check_count, fail
from genviews.cli.flags import (
    ImageFlags,
    InvertFlags,
    LearnFlags,
    ModelFlags,
    VOCFlags,
    changed,
    flag_of,
)

__all__ = [
    "check_apart",
    "check_exist",
    "check_images",
    "check_invert",
    "check_learn",
    "check_models",
    "check_voc",
    "fraction",
]


def check_exist(given: Mapping[str, Path | None], *, folders: bool = True) -> None:
    """Name a missing file or folder before anything is loaded.

    Args:
        given: flag -> what is read, if anything.
        folders: whether a folder will do.

    Raises:
        FileNotFoundError: one is not there; the message names its flag.
    """
    for flag, path in given.items():
        found = None if path is None else path.expanduser()
        if found is not None and not (found.exists() if folders else found.is_file()):
            fail(
                flag,
                expected=f"a file{' or folder' if folders else ''} that exists",
                got=repr(str(path)),
                remedy="correct the path; relative ones start in the current folder",
                error=FileNotFoundError,
            )


def check_apart(out: Path, given: Mapping[str, str | Path | None]) -> None:
    """Raise ValueError where the results would lie among what is read, or the other way round.

    Args:
        out: the run folder.
        given: flag -> a path that is read, if it is one.
    """
    ours = out.expanduser().resolve()
    for flag, path in given.items():
        theirs = None if path is None else Path(path).expanduser().resolve()
        if theirs is None or not theirs.is_dir():
            continue
        if theirs == ours or theirs in ours.parents or ours in theirs.parents:
            fail(
                "--out",
                expected=f"a folder apart from {flag}",
                got=f"{str(out)!r} and {str(path)!r}",
                remedy="choose another folder with --out",
            )


def fraction(text: str) -> float | None:
    """What `--calibration` says, where it is a number."""
    try:
        return float(text)
    except ValueError:
        return None


def check_images(images: ImageFlags, out: Path) -> None:
    """Find what is wrong with labelled images."""
    from genviews.load.images import kind_of

    kind_of(images.images)
    part = fraction(images.calibration)
    if part is None:
        kind_of(images.calibration)
    elif images.calibration_labels is not None:
        fail(
            "--calibration-labels",
            expected="a folder as --calibration",
            got=f"the fraction {images.calibration}",
            remedy="leave one of them out",
        )
    listed = images.class_names in (None, "value", "text")
    check_exist(
        {
            "--labels": None if images.labels == "subfolders" else Path(images.labels),
            "--calibration-labels": images.calibration_labels,
            "--class-names": None if listed else Path(str(images.class_names)),
        }
    )
    other = images.calibration if part is None else None
    check_apart(out, {"--images": images.images, "--calibration": other})


def check_models(models: ModelFlags) -> None:
    """Find what is wrong with a generator, a classifier and the views to try."""
    from genviews.augment import pixel_views
    from genviews.load.classifier import check_classifier
    from genviews.load.generator import check_generator

    check_exist({"--weights": models.weights, "--encoder": models.encoder, "--walks": models.walks})
    check_generator(models.generator)
    check_classifier(models.classifier)
    for name in models.augment or ():
        pixel_views(name)


def check_invert(flags: InvertFlags, out: Path) -> None:
    """Find what is wrong with images to invert and what inverts them."""
    from genviews.checks import lookup
    from genviews.invert import PRESETS
    from genviews.load.generator import check_generator
    from genviews.load.images import kind_of

    kind = kind_of(flags.images)
    if flags.root is not None and kind != "table":
        fail("--root", expected="a CSV file as --images", got=f"a {kind}", remedy="leave it out")
    if (flags.align == "none") != (flags.geometry is None):
        fail(
            "--geometry" if flags.geometry is None else "--align",
            expected="--align and --geometry together",
            got="none",
            remedy="alignment needs the box or the landmarks of each image in a CSV file",
        )
    if flags.align != "none" and kind not in ("folder", "table"):
        fail(
            "--align",
            expected="a folder or a CSV file as --images",
            got=f"a {kind}",
            remedy="align the image files, and name their folder",
        )
    _check_store("--images", kind, resizes=flags.resize or flags.convert)
    check_apart(out, {"--images": flags.images, "--start-from": flags.start_from})
    check_exist(
        {
            "--encoder": flags.encoder,
            "--root": flags.root,
            "--geometry": flags.geometry,
            "--lpips-weights": flags.lpips_weights,
        }
    )
    check_generator(flags.generator)
    if flags.preset != "default":
        lookup(flags.preset, dict.fromkeys(PRESETS), "--preset")


def check_learn(flags: LearnFlags, out: Path) -> None:
    """Find what is wrong with what is learnt from and judged on."""
    from genviews.load.generator import check_generator
    from genviews.load.images import kind_of

    kinds = {word: kind_of(word) for word in (flags.real, flags.data) if word is not None}
    if flags.size is not None:
        check_count(flags.size, "--size")
        if flags.generator is not None:
            fail(
                "--size",
                expected="no generator: images have the size that it makes",
                got=flags.size,
                remedy="leave it out; --resize shrinks larger images",
            )
    check_apart(out, {"--real": flags.real, "--data": flags.data})
    check_exist({"--walks": flags.walks}, folders=False)
    if flags.generator is not None:
        check_generator(flags.generator)
    elif flags.walks is not None:
        fail("--walks", expected="a generator", got="none", remedy="leave it out")
    if flags.real is None:
        return
    kind = kinds[flags.real]
    if kind == "fashion32" and flags.size not in (None, 32):
        fail("--size", expected="32, for fashion32", got=flags.size, remedy="leave it out")
    _check_store("--real", kind, resizes=flags.resize or flags.convert)
    if kind == "store" and flags.generator is None:
        fail(
            "--real",
            expected="a folder, a table or a data set, where no generator says the size",
            got="a store",
            remedy="name the generator that the images are of the size of",
        )


def _check_store(flag: str, kind: str, *, resizes: bool) -> None:
    if kind == "store" and resizes:
        fail(
            "--resize and --convert",
            expected=f"files or a data set as {flag}",
            got="a store, whose images are taken as they are",
            remedy="leave them out",
        )


def check_voc(flags: VOCFlags, out: Path) -> None:
    """Find what is wrong with flags about VOC.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: flags about VOC without it, or a count below 1.
    """
    if flags.voc is None:
        given = changed(flags)
        if given:
            fail(
                ", ".join(map(flag_of, given)),
                expected="--voc, the folder of the photos",
                got="none",
                remedy="add --voc VOCdevkit, or leave out what is about it",
            )
        return
    if not flags.voc.is_dir():
        fail(
            "--voc",
            expected="the folder VOCdevkit, or VOC2007 in it",
            got=repr(str(flags.voc)),
            remedy="correct the path; nothing is downloaded",
            error=FileNotFoundError,
        )
    check_apart(out, {"--voc": flags.voc})
    check_count(flags.voc_size, "--voc-size")
    if flags.detection_steps is not None:
        check_count(flags.detection_steps, "--detection-steps")
        if not flags.detection:
            fail("--detection-steps", expected="--detection", got="none", remedy="add it")
