"""What `--images` names: a folder, a CSV file, a data set or a store, as a source of images."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from genviews.checks import fail, lookup
from genviews.cli.folder import stamp
from genviews.cli.options import InvertInputs

if TYPE_CHECKING:
    from genviews.align import Aligner
    from genviews.data import Alignment, ImageSource
    from genviews.types import ImageSpec

__all__ = ["check_apart", "check_exist", "check_images", "image_source", "images_stamp"]

_SHARD = "[0-9][0-9][0-9][0-9][0-9]*.safetensors"


def kind_of(images: str) -> str:
    """What the text names: "folder", "table", "store" or "dataset".

    Raises:
        FileNotFoundError: none of them.
        ValueError: a file that is no CSV file.
    """
    path = Path(images)
    if path.is_dir():
        return "store" if any(path.glob(_SHARD)) else "folder"
    if path.is_file():
        if path.suffix.lower() != ".csv":
            _refuse(images, "a file that is no .csv file", ValueError)
        return "table"
    if re.match(r"[a-z0-9+]+://", images):
        return "store"
    if re.fullmatch(r"[A-Za-z_][\w.]*:[^/\\].*", images):
        return "dataset"
    _refuse(images, repr(images), FileNotFoundError)


def check_images(inputs: InvertInputs) -> None:
    """Find mistakes that need nothing loaded.

    Raises:
        FileNotFoundError: what `--images` names is not there.
        ValueError: flags that do not go together.
    """
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
        if path is not None and not (path.exists() if folders else path.is_file()):
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


def images_stamp(inputs: InvertInputs) -> str:
    """What changes when the files change; "" where that cannot be seen.

    Raises:
        ValueError: a CSV file without a column `file`.
    """
    kind, path = kind_of(inputs.images), Path(inputs.images)
    if kind == "table":
        from genviews.data.table import read_table

        root = inputs.root or path.parent
        rows = read_table(path, "images", ("file",))
        files = [root / (row["file"] or "").strip() for _, row in rows]
        return f"{stamp(path)} {stamp(root, files)}"
    return stamp(path) if path.exists() else ""


def image_source(inputs: InvertInputs, spec: ImageSpec) -> ImageSource:
    """Return what `--images` names as a source of images for a generator.

    Raises:
        FileNotFoundError: not there.
        ValueError: an empty folder, a damaged table or store, an unknown name (the closest are
            listed).
    """
    from genviews.data import CSVSource, DatasetSource, FolderSource, StoreSource, load_dataset

    kind = kind_of(inputs.images)
    resize, convert = inputs.resize, inputs.convert
    if kind == "store":
        return StoreSource(inputs.images, spec)
    if kind == "dataset":
        data = load_dataset(inputs.images)
        return DatasetSource(data, spec, resize=resize, convert=convert)
    how = _alignment(inputs, spec)
    if kind == "table":
        return CSVSource(
            inputs.images, spec, root=inputs.root, resize=resize, convert=convert, alignment=how
        )
    return FolderSource(inputs.images, spec, resize=resize, convert=convert, alignment=how)


def _alignment(inputs: InvertInputs, spec: ImageSpec) -> Alignment | None:
    from genviews.align import read_geometry
    from genviews.data import Alignment

    make = lookup(inputs.align, _aligners(), "--align")
    if make is None or inputs.geometry is None:
        return None
    return Alignment(make(spec), read_geometry(inputs.geometry))


def _aligners() -> dict[str, Callable[[ImageSpec], Aligner] | None]:
    from genviews.align import CAT_FACE, CentreBox, FaceQuad, Frame, Similarity

    def centre(spec: ImageSpec, part: float) -> Aligner:
        height, width = spec.height, spec.width
        content = round(part * height)
        return CentreBox(
            Frame(height=height, width=width, content_height=content, content_width=width)
        )

    return {
        "none": None,
        "centre": lambda spec: centre(spec, 1.0),
        "cars": lambda spec: centre(spec, 0.75),  # `CARS` at 512 pixels: bands above and below
        "ffhq": lambda spec: FaceQuad(_side(spec)),
        "cat": lambda spec: Similarity(CAT_FACE, _side(spec)),
    }


def _side(spec: ImageSpec) -> int:
    if spec.height != spec.width:
        fail(
            "--align by landmarks",
            expected="a generator of square images",
            got=f"{spec.width}x{spec.height} pixels",
            remedy="align by a box, with --align centre",
        )
    return spec.height


def _refuse(images: str, got: str, error: type[Exception]) -> NoReturn:
    fail(
        "--images",
        expected="a folder, a .csv file or a store that exists, torchvision:NAME:FOLDER:SPLIT, or "
        "package.module:function",
        got=got,
        remedy="correct the path; relative ones start in the current folder",
        error=error,
    )
