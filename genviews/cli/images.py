"""What the verbs check of paths before anything is loaded, and what `--images` names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from genviews.checks import fail
from genviews.cli.options import InvertInputs

if TYPE_CHECKING:
    from genviews.data import ImageSource
    from genviews.types import ImageSpec

__all__ = ["check_apart", "check_exist", "check_images", "image_source"]


def check_images(inputs: InvertInputs) -> None:
    """Find mistakes that need nothing loaded.

    Raises:
        FileNotFoundError: what `--images` names is not there.
        ValueError: flags that do not go together.
    """
    from genviews.load.images import kind_of

    kind = kind_of(inputs.images)
    if inputs.root is not None and kind != "table":
        fail("--root", expected="a CSV file as --images", got=f"a {kind}", remedy="leave it out")
    if (inputs.align == "none") != (inputs.geometry is None):
        missing = "--geometry" if inputs.geometry is None else "--align"
        fail(
            missing,
            expected="--align and --geometry together",
            got="none",
            remedy="alignment needs the box or the landmarks of each image in a CSV file",
        )
    if inputs.align != "none" and kind not in ("folder", "table"):
        fail(
            "--align",
            expected="a folder or a CSV file as --images",
            got=f"a {kind}",
            remedy="align the image files, and name their folder",
        )
    if kind == "store" and (inputs.resize or inputs.convert):
        fail(
            "--resize and --convert",
            expected="files or a data set as --images",
            got="a store, whose images are taken as they are",
            remedy="leave them out",
        )


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


def image_source(inputs: InvertInputs, spec: ImageSpec) -> ImageSource:
    """Return what `--images` names as a source of images for a generator.

    Raises:
        FileNotFoundError: not there.
        ValueError: an empty folder, a damaged table or store, an unknown name (the closest are
            listed).
    """
    from genviews.align import read_geometry
    from genviews.align.presets import named_aligner
    from genviews.data import Alignment
    from genviews.load.images import load_images

    how = None
    if inputs.geometry is not None:
        how = Alignment(named_aligner(inputs.align, spec), read_geometry(inputs.geometry))
    return load_images(
        inputs.images,
        spec,
        ask_order=False,
        root=inputs.root,
        resize=inputs.resize,
        convert=inputs.convert,
        alignment=how,
    )
