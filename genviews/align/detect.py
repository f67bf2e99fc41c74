"""Landmarks of images that come without: any callable, or dlib's 68 landmarks of a face.

A detector is only asked for places; the warp (`genviews.align.aligners`) does not need one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from genviews.align.base import check_source
from genviews.checks import check_count, check_each, check_file, fail
from genviews.named import find_package

__all__ = ["Detector", "DlibLandmarks"]


class Detector(Protocol):
    """Anything that finds the landmarks of the object in an image."""

    def __call__(self, image: Float[Tensor, "C H W"]) -> Float[Tensor, "N 2"] | None:
        """Find the landmarks of one object.

        Args:
            image: (C, H, W) in [-1, 1].

        Returns:
            (x, y) of each landmark in pixels of `image`, (0, 0) being the centre of the top left
            pixel; None where no object is found.
        """


class DlibLandmarks:
    """The 68 landmarks (iBUG 300-W) of the largest face that dlib finds.

    Frontal faces only. Needs the extra `align`.

    Args:
        predictor_path: file of dlib's 68-landmark shape predictor, which genviews does not bring
            (commonly called `shape_predictor_68_face_landmarks.dat`; mind its licence). The
            5-landmark predictor does not serve: it marks no mouth.
        upsample: how often the image is doubled before the search. The detector sees faces of about
            80 pixels; each doubling halves that, and takes about four times as long. 1, as in
            dlib's own example of landmarks.

    Raises:
        ModuleNotFoundError: dlib is not installed.
        FileNotFoundError: no file at `predictor_path`.
        ValueError: the file is no shape predictor.
    """

    def __init__(self, predictor_path: str | Path, *, upsample: int = 1) -> None:
        self.predictor_path = Path(predictor_path)
        self.upsample = check_count(upsample, "upsample", least=0)
        dlib = find_package("dlib", "align", "DlibLandmarks", ", or give landmarks in a CSV")
        self._predict = _predictor(dlib, self.predictor_path)
        self._find = dlib.get_frontal_face_detector()

    def __repr__(self) -> str:
        return f"DlibLandmarks({str(self.predictor_path)!r}, upsample={self.upsample})"

    def __call__(self, image: Float[Tensor, "C H W"]) -> Float[Tensor, "68 2"] | None:
        """Return the landmarks of the largest face, or None where there is none.

        Raises:
            ValueError: the predictor has another number of landmarks than 68, or the image is
                neither grey nor RGB.
        """
        check_source(image)
        if (got := image.shape[0]) not in (1, 3):
            fail("image of DlibLandmarks", expected="1 or 3 channels", got=got, remedy="convert it")
        bytes_ = ((image.detach().cpu() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        pixels = bytes_.expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy()
        faces = self._find(pixels, self.upsample)
        if not faces:
            return None
        shape = self._predict(pixels, max(faces, key=lambda face: face.area()))
        what = f"landmarks of the shape predictor {self.predictor_path}"
        check_each(shape.parts(), 68, what, "place of iBUG 300-W", "use the 68-landmark predictor")
        return torch.tensor([(p.x, p.y) for p in shape.parts()], dtype=torch.float64)


def _predictor(dlib: Any, path: Path) -> Any:  # noqa: ANN401 - a compiled module without types
    what, wanted = f"shape predictor {path}", "the file of a 68-landmark shape predictor of dlib"
    remedy = "download shape_predictor_68_face_landmarks.dat from dlib's site and unpack it"
    check_file(path, what, expected=wanted, remedy=remedy)
    try:
        return dlib.shape_predictor(str(path))
    except RuntimeError as error:
        fail(
            what,
            expected=wanted,
            got=f"another kind of file ({error})",
            remedy="unpack the .bz2 that it is published in",
        )
