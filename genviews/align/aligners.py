"""The aligners: by a box, nothing turned; or by landmarks, to a canonical pose.

`CentreBox` is the way of cars: the object moves to the middle of the frame. The photo is scaled to
the width of the frame, so that the size of the object in it varies as in the photos that the
generator was trained on. `FaceQuad` cuts the square that the FFHQ faces were cut by; `Similarity`
moves any landmarks as near as it can to canonical places. "Left" is left in the picture, not the
subject's left. `ALIGNERS` gives each the frame of a generator.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from genviews.align.base import Aligned, Aligner, Box, Geometry, UnalignableError, check_source
from genviews.align.warp import Affine, hide_unknown, known_pixels, resize_lanczos, warp
from genviews.checks import check_count, check_each, check_number, check_type, fail
from genviews.signature import checked
from genviews.types import ImageSpec, check_shape

__all__ = [
    "ALIGNERS",
    "CARS",
    "CAT_FACE",
    "CentreBox",
    "FaceQuad",
    "Frame",
    "Similarity",
]


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The canvas of a generator, and the middle part of it that its training images fill.

    Args:
        height: of the canvas, in pixels: the generator's H.
        width: of the canvas: the generator's W.
        content_height: height of the part in the middle that may hold pixels of the image.
        content_width: its width, to which images are scaled.
    """

    height: int
    width: int
    content_height: int
    content_width: int

    def __post_init__(self) -> None:
        for side in ("height", "width"):
            whole = check_count(getattr(self, side), f"{side} of the frame")
            what, part = f"content {side} of the frame", getattr(self, f"content_{side}")
            remedy = f"the content lies within the canvas, whose {side} is {whole}"
            check_number(check_count(part, what), what, most=whole, remedy=remedy)


CARS = Frame(height=512, width=512, content_height=384, content_width=512)
"""StyleGAN2 LSUN cars: 512x384 pictures between bands above and below."""


@dataclass(frozen=True)
class CentreBox(Aligner):
    """Move the centre of a box to the centre of the frame.

    The image is scaled to the width of the content (height rounded down); the scaled box is
    truncated to whole pixels; the image is shifted by whole pixels within its own outline, so that
    the box's centre is in the middle; the middle of the result, at most the content's size, is laid
    in the middle of the canvas. Pixels that the shift vacates, and the canvas around, are unknown.

    Args:
        frame: canvas and content, in pixels.
        vacated: value of the pixels that the shift vacates, whose mask is 0. The canvas around
            the content is always 0. 0, so that unknown pixels are all the same; -1 (black) gives
            the images of the released code.

    Source: Chai et al. 2021, arXiv 2104.14551, supplement 7.2, and the released code.
    Differs: `vacated` is 0 by default, since the encoders are trained with 0 for unknown; the
        resized image keeps floats where the released code rounds to 8 bit.
    """

    frame: Frame = CARS
    vacated: float = 0.0

    def __post_init__(self) -> None:
        remedy = "0 is mid-grey, what unknown pixels hold elsewhere; -1 is black"
        check_number(self.vacated, "value of vacated pixels", least=-1, most=1, remedy=remedy)

    def align(self, image: Float[Tensor, "C H W"], geometry: Geometry) -> Aligned:
        """Align one image by its box; see the class and `Aligner.align`.

        Raises:
            UnalignableError: a box without area or with its centre outside the image, pixels that
                are not finite, or an image so wide that no row is left.
            TypeError: landmarks in place of a box, or an image that holds no floats.
            ValueError: an image of another number of axes than (C, H, W).
        """
        check_source(image)
        height, width = image.shape[1:]
        box = _checked_box(geometry, height, width)
        ratio = self.frame.content_width / width
        size = (int(ratio * height), self.frame.content_width)
        if size[0] == 0:
            raise UnalignableError(f"is too wide: {width}x{height} pixels")
        left, top = self._offset(box, ratio, size)
        pixels, mask = self._lay(resize_lanczos(image, size), left, top)
        to_source = Affine.scaling(width / size[1], height / size[0]).after(
            Affine.shift(-left, -top)
        )
        return Aligned(image=pixels, mask=mask, to_source=to_source, source_size=(height, width))

    def _window(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Part of the canvas that a resized image of `size` may fill: top, bottom, left, right."""
        height, width = min(size[0], self.frame.content_height), size[1]
        top, left = (self.frame.height - height) // 2, (self.frame.width - width) // 2
        return top, top + height, left, left + width

    def _offset(self, box: Box, ratio: float, size: tuple[int, int]) -> tuple[int, int]:
        """Column and row of the canvas at which the resized image starts."""
        x0, y0, x1, y1 = (int(edge * ratio) for edge in (box.x0, box.y0, box.x1, box.y1))
        top, _, left, _ = self._window(size)
        cut = max(0, (size[0] - self.frame.content_height) // 2)
        return left + size[1] // 2 - (x0 + x1) // 2, top - cut + size[0] // 2 - (y0 + y1) // 2

    def _lay(self, resized: Tensor, left: int, top: int) -> tuple[Tensor, Tensor]:
        """Lay the resized image on the canvas, no further than the window reaches."""
        height, width = resized.shape[1:]
        y0, y1, x0, x1 = self._window((height, width))
        canvas = resized.new_zeros(resized.shape[0], self.frame.height, self.frame.width)
        canvas[:, y0:y1, x0:x1] = self.vacated
        mask = torch.zeros_like(canvas[:1])
        y0, y1 = max(y0, top), min(y1, top + height)
        x0, x1 = max(x0, left), min(x1, left + width)
        canvas[:, y0:y1, x0:x1] = resized[:, y0 - top : y1 - top, x0 - left : x1 - left]
        mask[:, y0:y1, x0:x1] = 1.0
        return canvas, mask


def _checked_box(geometry: Geometry, height: int, width: int) -> Box:
    remedy = "use FaceQuad or Similarity for landmarks"
    geometry = check_type(geometry, Box, "geometry of CentreBox", "a Box", remedy)
    edges = (geometry.x0, geometry.y0, geometry.x1, geometry.y1)
    if not all(map(math.isfinite, edges)) or edges[0] >= edges[2] or edges[1] >= edges[3]:
        raise UnalignableError(f"has a box without area: {geometry}")
    x, y = (edges[0] + edges[2]) / 2, (edges[1] + edges[3]) / 2
    if not (0 <= x < width and 0 <= y < height):
        raise UnalignableError(f"has a box outside its {width}x{height} pixels: {geometry}")
    return geometry


CAT_FACE = ((0.35, 0.45), (0.65, 0.45), (0.5, 0.69))
"""Left eye, right eye and mouth of a cat, in fractions of the frame: both ears fit above.

Chosen by us: the paper aligns cats "to a canonical pose" and gives neither landmarks nor places.
"""

_FLAT = 0.02
"""Height over length of landmarks that count as being on one line. Chosen by us: about 1 degree."""


@dataclass(frozen=True)
class FaceQuad(Aligner):
    """Cut the square around a face that FFHQ cuts.

    With e from the left to the right eye, m from the middle of the eyes to the middle of the mouth,
    and rot90(x, y) = (-y, x):

        x = e - rot90(m), scaled to length max(2.0 |e|, 1.8 |m|);  y = rot90(x)
        c = middle of the eyes + 0.1 m;  corners c -x -y, c -x +y, c +x +y, c +x -y

    Args:
        size: height and width of the aligned image, in pixels: the generator's.

    Source: Karras et al. 2019, arXiv 1812.04948, and the recipe published with FFHQ; 2018, arXiv
        1710.10196, appendix C.
    Differs: beyond the photo FFHQ mirrors and blurs it, where this marks pixels as unknown; FFHQ
        samples at 4096 pixels and shrinks, where this shrinks the photo first and samples once.
        CelebA-HQ images need none of this: the paper inverts them as they are.
    """

    size: int

    def __post_init__(self) -> None:
        check_count(self.size, "size of the aligned image")

    def align(self, image: Float[Tensor, "C H W"], geometry: Geometry) -> Aligned:
        """Align one face by its landmarks; see the class, `quad` and `Aligner.align`.

        Raises:
            UnalignableError: as `quad`, or pixels that are not finite, or a square that has no
                pixel of the image or less than two of its pixels in width.
            TypeError: a box in place of landmarks, or an image that holds no floats.
            ValueError: another number of landmarks, or an image that is not (C, H, W).
        """
        check_source(image)
        nw, sw, _, ne = (self.quad(_landmarks(geometry, "FaceQuad")) + 0.5).tolist()
        across = [(end - start) / self.size for start, end in zip(nw, ne, strict=True)]
        down = [(end - start) / self.size for start, end in zip(nw, sw, strict=True)]
        to_source = Affine(across[0], down[0], nw[0], across[1], down[1], nw[1])
        return _align(image, to_source, self.size)

    @checked
    def quad(self, landmarks: Float[Tensor, "N 2"]) -> Float[Tensor, "4 2"]:
        """Return the corners in the photo: top left, bottom left, bottom right, top right.

        Args:
            landmarks: the 68 of iBUG 300-W, as dlib's predictor finds them, or 5: left eye, right
                eye, nose (not used), left and right corner of the mouth, as CelebA's. dlib's own
                5-point predictor marks other places. In pixels, (0, 0) being the centre of the top
                left pixel; the corners are in the same coordinates, float64.

        Raises:
            UnalignableError: landmarks that are not finite, on one line, or mirrored.
            ValueError: neither 68 nor 5 landmarks.
        """
        left, right, mouth = _eyes_and_mouth(_finite(landmarks))
        e, m = right - left, mouth - (left + right) / 2
        sine = (e[0] * m[1] - e[1] * m[0]) / (e.norm() * m.norm()).clamp_min(1e-12)
        if abs(sine) < _FLAT:
            raise UnalignableError("has eyes and mouth on one line")
        if sine < 0:
            raise UnalignableError("has mirrored landmarks (left is left in the picture)")
        x = e - _rot90(m)
        x = x / x.norm() * torch.maximum(2.0 * e.norm(), 1.8 * m.norm())
        y = _rot90(x)
        c = (left + right) / 2 + 0.1 * m
        return torch.stack([c - x - y, c - x + y, c + x + y, c + x - y])


@dataclass(frozen=True)
class Similarity(Aligner):
    """Turn, scale and move the image so that its landmarks come nearest to canonical places.

    The similarity (rotation, one scale, shift; no mirroring) of least squares: it minimises
    sum_i |s R p_i + t - q_i|^2 over landmarks p and canonical places q.

    Args:
        canonical: (x, y) of each landmark in fractions of the frame, 0 = left or upper edge, 1 =
            right or lower edge; at least 2, and not on one line if there are more. The landmarks of
            an image stand in the same order. `CAT_FACE` is a preset for cats.
        size: height and width of the aligned image, in pixels: the generator's.

    Source: Umeyama 1991, IEEE TPAMI 13(4), in closed form for the plane.
    """

    canonical: tuple[tuple[float, float], ...]
    size: int

    def __post_init__(self) -> None:
        check_count(self.size, "size of the aligned image")
        places = torch.tensor(self.canonical, dtype=torch.float64)
        if len(places) < 2 or not places.isfinite().all() or _flat(places):
            fail(
                "canonical places of landmarks",
                expected="at least 2 different places (x, y), not on one line if more than 2",
                got=self.canonical,
                remedy="give fractions of the frame, as in `CAT_FACE`",
            )

    def align(self, image: Float[Tensor, "C H W"], geometry: Geometry) -> Aligned:
        """Align one image by its landmarks; see the class and `Aligner.align`.

        Args:
            image: (C, H, W) in [-1, 1].
            geometry: one landmark for each canonical place, in pixels, (0, 0) being the centre of
                the top left pixel.

        Raises:
            UnalignableError: landmarks that are not finite, coincide, are on one line or mirrored;
                pixels that are not finite; or a frame that has no pixel of the image or less than
                two of its pixels in width.
            TypeError: a box in place of landmarks, or an image that holds no floats.
            ValueError: another number of landmarks, or an image that is not (C, H, W).
        """
        check_source(image)
        landmarks = _landmarks(geometry, "Similarity")
        what, remedy = "landmarks of Similarity", "give the landmarks in the order of `canonical`"
        check_each(landmarks, len(self.canonical), what, "canonical place", remedy)
        places = torch.tensor(self.canonical, dtype=torch.float64) * self.size
        return _align(image, _fit(_finite(landmarks) + 0.5, places).inverse(), self.size)


def _align(image: Tensor, to_source: Affine, size: int) -> Aligned:
    height, width = image.shape[1:]
    if to_source.scale * size < 2.0:
        raise UnalignableError("has landmarks less than a pixel apart (they are in pixels)")
    known = known_pixels(to_source, (size, size), (height, width))
    if not known.any():
        raise UnalignableError(f"has landmarks outside its {width}x{height} pixels")
    return Aligned(
        image=hide_unknown(warp(image, to_source, (size, size)), known),
        mask=known[None].to(image),
        to_source=to_source,
        source_size=(height, width),
    )


def _landmarks(geometry: Box | Tensor, aligner: str) -> Tensor:
    expected, remedy = "landmarks, a tensor (N, 2) of x and y", "use CentreBox for boxes"
    geometry = check_type(geometry, Tensor, f"geometry of {aligner}", expected, remedy)
    what, note = f"landmarks of {aligner}", ", x and y of each"
    check_shape(geometry, ("N", 2), what, "align one image at a time", note=note)
    return geometry


def _finite(landmarks: Tensor) -> Tensor:
    points = landmarks.detach().to(device="cpu", dtype=torch.float64)
    if not bool(points.isfinite().all()):
        raise UnalignableError("has landmarks that are no finite number")
    return points


def _eyes_and_mouth(points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    if len(points) == 68:
        return points[36:42].mean(0), points[42:48].mean(0), (points[48] + points[54]) / 2
    if len(points) == 5:
        return points[0], points[1], (points[3] + points[4]) / 2
    fail(
        "landmarks of FaceQuad",
        expected="68 (iBUG 300-W) or 5 (eyes, nose, corners of the mouth)",
        got=len(points),
        remedy="use Similarity for other landmarks",
    )


def _rot90(vector: Tensor) -> Tensor:
    return torch.stack([-vector[1], vector[0]])


def _flat(points: Tensor) -> bool:
    """Whether the points coincide or, where they are more than two, are on one line."""
    long, short = torch.linalg.svdvals(points - points.mean(0)).tolist()
    return bool(long < 1e-9 or (len(points) > 2 and short < _FLAT * long))


def _fit(landmarks: Tensor, places: Tensor) -> Affine:
    """Return the similarity of least squares from continuous positions to continuous places."""
    if _flat(landmarks):
        raise UnalignableError("has landmarks that coincide or are on one line")
    p, q = landmarks - landmarks.mean(0), places - places.mean(0)
    if len(p) > 2 and float(torch.linalg.det(q.T @ p)) <= 0:
        raise UnalignableError("has mirrored landmarks (left is left in the picture)")
    spread = float((p * p).sum())
    a = float((p * q).sum()) / spread
    b = float((p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0]).sum()) / spread
    turn = Affine(a, -b, 0.0, b, a, 0.0)
    (px, py), (qx, qy) = landmarks.mean(0).tolist(), places.mean(0).tolist()
    return Affine.shift(qx, qy).after(turn).after(Affine.shift(-px, -py))


def _centre(spec: ImageSpec, part: float) -> Aligner:
    height, width = spec.height, spec.width
    content = round(part * height)
    frame = Frame(height=height, width=width, content_height=content, content_width=width)
    return CentreBox(frame)


def _side(spec: ImageSpec) -> int:
    if spec.height != spec.width:
        fail(
            "alignment by landmarks",
            expected="a generator of square images",
            got=f"{spec.width}x{spec.height} pixels",
            remedy="align by a box, with centre",
        )
    return spec.height


ALIGNERS: dict[str, Callable[[ImageSpec], Aligner]] = {
    "centre": lambda spec: _centre(spec, 1.0),
    "cars": lambda spec: _centre(spec, 0.75),  # `CARS` at 512 pixels: bands above and below
    "ffhq": lambda spec: FaceQuad(_side(spec)),
    "cat": lambda spec: Similarity(CAT_FACE, _side(spec)),
}
"""Name -> aligner for the images of a spec: by a box ("centre", "cars") or by landmarks.

Those by landmarks raise ValueError for a generator whose images are not square.
"""
