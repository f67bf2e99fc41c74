"""The contract of alignment: the laws that each `Aligner` keeps."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import torch
from torch import Tensor

from genviews.align.base import Aligned, Aligner, Box, Geometry, UnalignableError
from genviews.rng import Rng
from genviews.testing.laws import (
    described_apart,
    expect,
    laws_of,
    leaves_no_trace,
    refuses,
    run_laws,
    same,
)

__all__ = ["ALIGNER_CHECKS", "check_aligner"]

HEIGHT, WIDTH = 40, 50  # of the source images
MARGIN = 7


def check_aligner(aligner: Aligner, geometry: Geometry) -> None:
    """Run every check of the contract on one aligner.

    Args:
        aligner: called on noise of 40 x 50 pixels.
        geometry: a box or landmarks, what it takes, in pixels of such an image.

    Raises:
        AssertionError: a law is broken; the message says which.

    Example:
        >>> from genviews.align.aligners import CentreBox, Frame
        >>> frame = Frame(height=32, width=50, content_height=24, content_width=50)
        >>> check_aligner(CentreBox(frame), Box(10, 8, 30, 30))
    """
    run_laws(ALIGNER_CHECKS, aligner, geometry)


def image_and_mask_agree(aligner: Aligner, geometry: Geometry) -> None:
    """One size for every image, finite values in [-1, 1], unknown pixels 0, masks 0 or 1."""
    sizes = set()
    for channels, dtype in ((1, torch.float32), (3, torch.float64)):
        found = aligner.align(_noise(channels).to(dtype), geometry)
        sizes.add(found.image.shape[1:])
        expect(found.image.shape[0] == channels, f"{channels} channels became {found.image.shape}")
        expect(found.image.dtype == dtype, f"{dtype} became {found.image.dtype}")
        expect(bool(found.image.isfinite().all()), "pixels are not finite")
        expect(float(found.image.abs().max()) <= 1 + 1e-5, "values outside [-1, 1]")
        expect(found.mask.shape == (1, *found.image.shape[1:]), f"mask {tuple(found.mask.shape)}")
        known = found.mask == 1
        expect(bool((known | (found.mask == 0)).all()), "a mask is neither 0 nor 1")
        expect(bool(known.any()), "no pixel is known")
        expect(not found.image[:, ~known[0]].any(), "an unknown pixel is not 0")
        expect(found.source_size == (HEIGHT, WIDTH), f"source_size is {found.source_size}")
    expect(len(sizes) == 1, f"images of sizes {sizes}")


def it_depends_on_its_arguments_alone(aligner: Aligner, geometry: Geometry) -> None:
    """The same again and after pickling; the source is not written to, colours move no mask."""
    image = _noise()
    before = image.clone()
    with leaves_no_trace():
        found = aligner.align(image, geometry)
    again = pickle.loads(pickle.dumps(aligner)).align(image, geometry)
    expect(torch.equal(image, before), "the source was changed")
    expect(torch.equal(again.image, found.image), "two calls gave two images")
    other = aligner.align(-image, geometry)
    expect(torch.equal(other.mask, found.mask), "the mask depends on the pixels")


def to_source_tells_where_pixels_came_from(aligner: Aligner, geometry: Geometry) -> None:
    """A ramp has, at each known pixel away from the border, the value of the place it came from."""
    x = torch.arange(WIDTH, dtype=torch.float64).expand(HEIGHT, -1)
    y = torch.arange(HEIGHT, dtype=torch.float64)[:, None].expand(-1, WIDTH)
    found = aligner.align(torch.stack([x / WIDTH, y / HEIGHT]), geometry)
    height, width = found.image.shape[1:]
    checked = 0
    for row in range(0, height, 3):
        for column in range(0, width, 3):
            at_x, at_y = found.to_source.at(column + 0.5, row + 0.5)
            inside = MARGIN < at_x < WIDTH - MARGIN and MARGIN < at_y < HEIGHT - MARGIN
            if inside and bool(found.mask[0, row, column]):
                wanted = torch.tensor([(at_x - 0.5) / WIDTH, (at_y - 0.5) / HEIGHT])
                got = found.image[:, row, column]
                same(got, wanted, f"the ramp at ({column}, {row})", tolerance=0.01)
                checked += 1
    expect(checked > 0, "no known pixel lies away from the border of the source")


def pasting_back_touches_its_place_alone(aligner: Aligner, geometry: Geometry) -> None:
    """An edited image lands where it came from; unknown pixels of it are never read."""
    source = _noise()
    found = aligner.align(source, geometry)
    flat = torch.full_like(found.image, 0.25)
    result = found.paste_back(flat, source)
    placed = (result - 0.25).abs() < 1e-5
    expect(bool((placed | (result == source)).all()), "a pixel is neither edited nor the source's")
    expect(bool(placed.all(0).any()), "nothing was pasted")
    garbage = torch.where(found.mask > 0, flat, torch.nan)
    expect(torch.equal(found.paste_back(garbage, source), result), "an unknown pixel was read")


def images_that_cannot_be_aligned_are_told_apart(aligner: Aligner, geometry: Geometry) -> None:
    """Pixels or a geometry that are not finite concern one image: UnalignableError.

    Another number of axes, no floats or another kind of geometry concern every image: ValueError
    or TypeError, and no `UnalignableError`.
    """
    bad = _noise()
    bad[0, 3, 3] = torch.nan
    refuses(lambda: aligner.align(bad, geometry), "a pixel that is NaN", UnalignableError)
    lost = _lost(geometry)
    refuses(lambda: aligner.align(_noise(), lost), "a geometry that is NaN", UnalignableError)
    other: Geometry = torch.zeros(5, 2) if isinstance(geometry, Box) else Box(1, 1, 9, 9)
    wrong: dict[str, Callable[[], Aligned]] = {
        "a batch": lambda: aligner.align(_noise()[None], geometry),
        "bytes": lambda: aligner.align(torch.zeros(3, HEIGHT, WIDTH, dtype=torch.uint8), geometry),
        "another kind of geometry": lambda: aligner.align(_noise(), other),
    }
    for what, call in wrong.items():
        try:
            call()
        except (ValueError, TypeError) as error:
            expect(not isinstance(error, UnalignableError), f"{what} passes for one bad image")
        else:
            raise AssertionError(f"{what} was taken")


def it_is_described(aligner: Aligner, geometry: Geometry) -> None:
    """A copy has the same key for stored results."""
    described_apart(aligner)


ALIGNER_CHECKS = laws_of(globals())


def _noise(channels: int = 3) -> Tensor:
    streams = Rng(0, "aligner contract").streams(range(channels))
    return streams.uniform(1, (HEIGHT, WIDTH))[:, 0] * 1.8 - 0.9


def _lost(geometry: Geometry) -> Geometry:
    if isinstance(geometry, Box):
        return Box(torch.nan, geometry.y0, geometry.x1, geometry.y1)
    return torch.full_like(geometry, torch.nan)
