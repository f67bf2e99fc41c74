"""Every pixel transform against its contract: a new one is a new row."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from genviews.augment.base import Compose, Identity, PixelViews, Renamed
from genviews.augment.colour import ColorJitter
from genviews.augment.geometry import (
    CentreCrop,
    HorizontalFlip,
    RandomCrop,
    RandomResizedCrop,
    Resize,
    ResizedCrop,
    Rotate,
)
from genviews.augment.simclr import SimCLR
from genviews.rng import Rng
from genviews.robustness.augment import RandomCorruption
from genviews.robustness.restore import restoration
from genviews.robustness.shifted import RestoredViews
from genviews.testing import PIXEL_VIEWS_CHECKS, check_pixel_views
from genviews.types import ImageSpec
from tests.contracts.complete import leaves

SPEC = ImageSpec(channels=3, height=10, width=12)

ALL = [
    Identity(),
    HorizontalFlip(),
    RandomCrop(padding=3),
    RandomCrop(padding=1, size=7, fill="nearest"),
    CentreCrop(6, 9),
    Resize(8),
    ResizedCrop(1.3),
    RandomResizedCrop(8, area=(0.3, 1.0)),
    Rotate(25.0),
    ColorJitter(0.5, 0.5, 0.5, 0.3),
    Compose(HorizontalFlip(), RandomCrop(2), ColorJitter(0.3, 0.3)),
    Renamed(RandomCrop(2), "shift"),
    SimCLR(9, blurred=0.5),
    RandomCorruption(["noise:3", "blur:2"]),
    RestoredViews(restoration("median:3")),
]

ZERO = [
    Identity(),
    HorizontalFlip(0.0),
    RandomCrop(0),
    ResizedCrop(1.0),
    Rotate(0.0),
    ColorJitter(),
    Compose(HorizontalFlip(0.0), ColorJitter(), RandomCrop()),
    Resize(10),
    CentreCrop(10, 12),
    RandomCorruption(["noise:3"], share=0.0),
]


def test_the_table_is_complete() -> None:
    assert leaves(PixelViews) == {type(views) for views in ALL}


@pytest.mark.parametrize("views", ALL, ids=repr)
def test_pixel_views_contract(views: PixelViews) -> None:
    check_pixel_views(views, SPEC)


@pytest.mark.parametrize("views", ALL, ids=repr)
def test_grey_images(views: PixelViews) -> None:
    check_pixel_views(views, ImageSpec(channels=1, height=9, width=9))


@pytest.mark.parametrize("views", ZERO, ids=repr)
def test_zero_strength_is_the_identity(views: PixelViews) -> None:
    streams = Rng(3).streams(range(5))
    # A generator overshoots: not even a clamp may happen.
    images = 3.0 * streams.child("pixels").uniform(1, SPEC.shape)[:, 0] - 1.5
    assert torch.equal(views(images, 2, streams), images[:, None].expand(-1, 2, -1, -1, -1))
    assert not views.is_random


SURE = (Identity, RestoredViews, CentreCrop, Resize)


@pytest.mark.parametrize("views", ALL, ids=repr)
def test_what_leaves_something_to_chance(views: PixelViews) -> None:
    assert views.is_random is not isinstance(views, SURE)


class Broken(PixelViews):
    """Brightness that breaks one law, named by `law`."""

    def __init__(self, law: str) -> None:
        self.law = law

    def __describe__(self) -> dict[str, object]:
        return {"law": self.law, "copies": id(self) if self.law == "it_is_described" else 0}

    @property
    def name(self) -> str:
        return "broken"

    @property
    def is_random(self) -> bool:
        return self.law != "chance_is_said"

    def __call__(self, images: Tensor, num_views: int, streams) -> Tensor:
        if self.law == "misuse_is_refused":
            num_views = max(num_views, 1)
        if self.law == "the_input_is_not_written_to":
            images.mul_(0.5)
        return super().__call__(images, num_views, streams)

    def _transform(self, views: Tensor, streams) -> Tensor:
        draws = streams.uniform(views.shape[1], (1, 1, 1))
        match self.law:
            case "views_have_one_shape":
                return (views * draws).half()
            case "the_range_is_kept":
                return views * (0.5 + draws)
            case "streams_decide":
                return views * torch.rand(())
            case "neighbours_do_not_matter":
                return views * draws * (0.9 + 0.1 * draws.mean(0))
            case "the_number_of_views_does_not_matter":
                return views * draws * (0.9 + 0.1 * draws.mean(1, keepdim=True))
            case "views_that_exist_are_changed_alike":
                return views * draws * (0.9 + 0.1 * views[:, 1:2].mean())
        return views * draws


@pytest.mark.parametrize("check", PIXEL_VIEWS_CHECKS, ids=lambda check: check.__name__)
def test_a_transform_that_breaks_the_law_is_caught(check) -> None:
    with pytest.raises((AssertionError, RuntimeError)):
        check(Broken(check.__name__), SPEC)
    check(Broken("none"), SPEC)
