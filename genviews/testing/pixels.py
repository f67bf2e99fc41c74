"""The contract of pixel transforms: the laws that each `PixelViews` keeps."""

from __future__ import annotations

import torch
from torch import Tensor

from genviews.augment.base import PixelViews
from genviews.rng import Rng, Streams
from genviews.testing.laws import (
    described_apart,
    expect,
    laws_of,
    leaves_no_trace,
    refuses,
    run_laws,
    same,
)
from genviews.types import ImageSpec

__all__ = ["PIXEL_VIEWS_CHECKS", "check_pixel_views"]

IDS: tuple[int | str, ...] = ("a", "b", 7, "d", 2**40)
VIEWS = 3


def check_pixel_views(pixel_views: PixelViews, image_spec: ImageSpec) -> None:
    """Run every check of the contract on one transform.

    Args:
        pixel_views: called on five noise images of the spec.
        image_spec: of images that it takes; small ones are quick.

    Raises:
        AssertionError: a law is broken; the message says which.

    Example:
        >>> from genviews.augment.geometry import HorizontalFlip
        >>> check_pixel_views(HorizontalFlip(), ImageSpec(channels=3, height=8, width=6))
    """
    run_laws(PIXEL_VIEWS_CHECKS, pixel_views, image_spec)


def views_have_one_shape(pixel_views: PixelViews, image_spec: ImageSpec) -> None:
    """(B, K, C, H2, W2) in the dtype of the images, for no image too; the name is one word."""
    images, streams = _images(image_spec)
    views = pixel_views(images, VIEWS, streams)
    shape = (len(IDS), VIEWS, image_spec.channels, *views.shape[3:])
    expect(views.ndim == 5 and views.shape == shape, f"views have shape {tuple(views.shape)}")
    expect(views.dtype == images.dtype, f"views are {views.dtype}")
    none = pixel_views(images[:0], VIEWS, Rng(0).streams([]))
    expect(none.shape == (0, *shape[1:]), f"views of no image have shape {tuple(none.shape)}")
    name = pixel_views.name
    expect(bool(name) and not any(c.isspace() for c in name), f"{name!r} is no key of a bank")


def the_range_is_kept(pixel_views: PixelViews, image_spec: ImageSpec) -> None:
    """Finite images in [-1, 1], black and white too, give finite views in [-1, 1]."""
    images, streams = _images(image_spec)
    for what, given in (("noise", images), ("black and white", images.sign())):
        views = pixel_views(given, VIEWS, streams)
        largest = float(views.abs().max())
        expect(bool(views.isfinite().all()), f"views of {what} are not finite")
        expect(largest <= 1 + 1e-4, f"views of {what} have values up to {largest:.4f}")


def streams_decide(pixel_views: PixelViews, image_spec: ImageSpec) -> None:
    """Equal streams give equal views, bit for bit, and no global random number is drawn."""
    images, streams = _images(image_spec)
    with leaves_no_trace():
        views = pixel_views(images, VIEWS, streams)
    again = pixel_views(images, VIEWS, streams)
    expect(torch.equal(views, again), "the same streams gave two different views")


def neighbours_do_not_matter(pixel_views: PixelViews, image_spec: ImageSpec) -> None:
    """An image alone or in another order gets the same views."""
    images, streams = _images(image_spec)
    whole = pixel_views(images, VIEWS, streams)
    for rows in ([2], [0], [3, 0, 4, 2, 1]):
        part = pixel_views(images[rows], VIEWS, streams[rows])
        same(part, whole[rows], f"views of the images {rows}")


def the_number_of_views_does_not_matter(pixel_views: PixelViews, image_spec: ImageSpec) -> None:
    """View k is the same whatever K is, and when views from k on are made later."""
    images, streams = _images(image_spec)
    whole = pixel_views(images, VIEWS, streams)
    same(pixel_views(images, 1, streams), whole[:, :1], "the first view alone")
    late = pixel_views(images, 1, streams.from_view(VIEWS - 1))
    same(late, whole[:, VIEWS - 1 :], "the last view alone")


def views_that_exist_are_changed_alike(pixel_views: PixelViews, image_spec: ImageSpec) -> None:
    """`augment` of K copies is the call for K views; each view is changed by its own draw."""
    images, streams = _images(image_spec)
    copies = images[:, None].repeat(1, VIEWS, 1, 1, 1)
    same(pixel_views.augment(copies, streams), pixel_views(images, VIEWS, streams), "views")
    other = copies.clone()
    other[:, 1] = -other[:, 1]
    changed = pixel_views.augment(other, streams)
    wanted = pixel_views(images, VIEWS, streams)
    same(changed[:, [0, 2]], wanted[:, [0, 2]], "views beside a changed one")


def the_input_is_not_written_to(pixel_views: PixelViews, image_spec: ImageSpec) -> None:
    """The images stay as they were."""
    images, streams = _images(image_spec)
    before = images.clone()
    pixel_views(images, VIEWS, streams)
    expect(torch.equal(images, before), "the images were changed")


def misuse_is_refused(pixel_views: PixelViews, image_spec: ImageSpec) -> None:
    """No view and a stream too few are errors."""
    images, streams = _images(image_spec)
    refuses(lambda: pixel_views(images, 0, streams), "num_views of 0")
    refuses(lambda: pixel_views(images, 1, streams[:2]), "a stream too few")


def it_is_described(pixel_views: PixelViews, image_spec: ImageSpec) -> None:
    """A copy has the same key for stored results."""
    described_apart(pixel_views)


PIXEL_VIEWS_CHECKS = laws_of(globals())


def _images(image_spec: ImageSpec) -> tuple[Tensor, Streams]:
    """Noise, one image of it grey, and the images' streams."""
    noise = Rng(1, "pixel views contract").streams(IDS).uniform(1, image_spec.shape)[:, 0]
    images = noise * 2 - 1
    images[1] = images[1, :1]
    return images, Rng(3).streams(IDS)
