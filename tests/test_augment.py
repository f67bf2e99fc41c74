"""Pixel transforms against torchvision, with the parameters taken from the same streams."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torchvision.transforms.functional as tvf

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
from genviews.augment.presets import pixel_views, pixel_views_apart
from genviews.augment.simclr import SimCLR
from genviews.identity import describe
from genviews.rng import Rng

IDS = ["a", "b", "c", "d", "e"]
STREAMS = Rng(3, "test").streams(IDS)


def pictures(batch: int = 5, channels: int = 3, height: int = 10, width: int = 12) -> torch.Tensor:
    gen = torch.Generator().manual_seed(batch + channels)
    return torch.rand(batch, channels, height, width, generator=gen) * 2 - 1


def unit(purpose: str, views: int, shape: tuple[int, ...]) -> np.ndarray:
    """The draws a transform is expected to make, as (B, K, *shape) float64."""
    return STREAMS.child(purpose).uniform(views, shape).double().numpy()


@pytest.mark.parametrize(
    "views",
    [HorizontalFlip(), RandomCrop(3), ResizedCrop(1.5), Rotate(30.0), ColorJitter(0.5)],
    ids=repr,
)
def test_views_and_images_get_draws_of_their_own(views: PixelViews) -> None:
    images = pictures(1).expand(40, -1, -1, -1)
    made = views(images, 4, Rng(0).streams(range(40))).flatten(1)
    assert len(made.unique(dim=0)) > 8
    singles = views(images, 1, Rng(0).streams(range(40))).flatten(1)
    assert len(singles.unique(dim=0)) >= 2


def test_settings_that_share_a_short_name_get_their_whole_one() -> None:
    words = ["fashion32/crop", "celebahq/crop", "fashion32/flip", "fashion32/crop"]
    crop, other, flip = pixel_views_apart(words)
    assert [v.name for v in (crop, other, flip)] == ["fashion32/crop", "celebahq/crop", "flip"]
    images = pictures()
    for views, word in ((crop, words[0]), (other, words[1])):
        assert torch.equal(views(images, 3, STREAMS), pixel_views(word)(images, 3, STREAMS))
    assert describe(crop) != describe(other)
    assert describe(crop) != describe(Renamed(RandomCrop(3), "fashion32/crop"))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("probability", [0.3, 0.5, 1.0])
def test_flip_matches_torchvision(channels: int, probability: float) -> None:
    images = pictures(channels=channels)
    coin = unit("flip", 6, (1,)) < probability
    made = HorizontalFlip(probability)(images, 6, STREAMS)
    for b in range(5):
        for k in range(6):
            want = tvf.hflip(images[b]) if coin[b, k, 0] else images[b]
            assert torch.equal(made[b, k], want)


def test_flip_probability_is_the_share_of_flips() -> None:
    image = torch.arange(4.0).view(1, 1, 1, 4).expand(2000, -1, -1, -1)
    made = HorizontalFlip(0.3)(image, 2, Rng(0).streams(range(2000)))
    share = (made[..., 0] == 3).float().mean().item()
    assert share == pytest.approx(0.3, abs=4 * math.sqrt(0.21 / 4000))


@pytest.mark.parametrize(("padding", "size"), [(4, None), (2, 9), (0, 5), (3, 14)])
@pytest.mark.parametrize("fill", [-1.0, 0.25, "nearest"])
def test_crop_matches_torchvision(padding: int, size: int | None, fill: float | str) -> None:
    images = pictures()
    draws = unit("crop", 4, (2,))
    made = RandomCrop(padding, size, fill)(images, 4, STREAMS)
    height, width = (10, 12) if size is None else (size, size)
    for b in range(5):
        if fill == "nearest":
            padded = tvf.pad(images[b], [padding], padding_mode="edge")
        else:
            padded = tvf.pad(images[b], [padding], fill=fill)
        for k in range(4):
            top = math.floor(draws[b, k, 0] * (10 + 2 * padding - height + 1))
            left = math.floor(draws[b, k, 1] * (12 + 2 * padding - width + 1))
            assert torch.equal(made[b, k], tvf.crop(padded, top, left, height, width))


def test_crop_reaches_every_position_and_no_other() -> None:
    image = torch.arange(9.0).view(1, 1, 3, 3).expand(400, -1, -1, -1)
    corners = RandomCrop(1, fill=-1.0)(image, 1, Rng(1).streams(range(400)))[:, 0, 0, 1, 1]
    # The middle pixel of the window is the one at (1 + dy, 1 + dx): all nine pixels are met.
    assert sorted(corners.unique().tolist()) == list(range(9))


@pytest.mark.parametrize(("height", "width"), [(6, 6), (5, 9), (10, 11), (7, 12), (9, 9)])
def test_centre_crop_matches_torchvision(height: int, width: int) -> None:
    images = pictures()
    made = CentreCrop(height, width)(images, 1, STREAMS)[:, 0]
    assert torch.equal(made, tvf.center_crop(images, [height, width]))


@pytest.mark.parametrize("size", [5, 17, (7, 20)])
def test_resize_matches_torchvision(size: int | tuple[int, int]) -> None:
    images = pictures()
    want = tvf.resize(images, [size] if isinstance(size, int) else list(size), antialias=True)
    made = Resize(size)(images, 2, STREAMS)
    for k in range(2):
        torch.testing.assert_close(made[:, k], want, rtol=0, atol=1e-6)


@pytest.mark.parametrize("scale", [1.1, 1.5])
def test_resized_crop_is_resize_then_crop(scale: float) -> None:
    images = pictures(height=20, width=30)
    draws = unit("crop", 4, (2,))
    made = ResizedCrop(scale)(images, 4, STREAMS)
    tall, wide = int(20 * scale), int(30 * scale)
    for b in range(5):
        large = tvf.resize(images[b], [tall, wide], antialias=False)
        for k in range(4):
            top = math.floor(draws[b, k, 0] * (tall - 20 + 1))
            left = math.floor(draws[b, k, 1] * (wide - 30 + 1))
            want = tvf.crop(large, top, left, 20, 30)
            torch.testing.assert_close(made[b, k], want, rtol=0, atol=2e-5)


def window(draws: np.ndarray, height: int, width: int, ratio: tuple[float, float]) -> list[int]:
    """The window that torchvision would take, had it drawn these numbers."""
    for u in draws:
        area = height * width * (0.3 + 0.6 * u[0])
        slope = math.exp(math.log(ratio[0]) + u[1] * math.log(ratio[1] / ratio[0]))
        tall, wide = round(math.sqrt(area / slope)), round(math.sqrt(area * slope))
        if 0 < tall <= height and 0 < wide <= width:
            top, left = int(u[2] * (height - tall + 1)), int(u[3] * (width - wide + 1))
            return [top, left, tall, wide]
    wide = min(width, round(height * ratio[1]))  # these images are all too wide
    return [0, (width - wide) // 2, height, wide]


@pytest.mark.parametrize(
    ("height", "width", "ratio"),
    [(20, 30, (0.5, 1.5)), (8, 64, (0.9, 1.2)), (70, 90, (0.75, 4 / 3))],
)
def test_random_resized_crop_matches_torchvision(height, width, ratio) -> None:
    images = pictures(height=height, width=width)
    draws = unit("resizedcrop", 6, (10, 4))
    made = RandomResizedCrop(11, area=(0.3, 0.9), ratio=ratio)(images, 6, STREAMS)
    for b in range(5):
        for k in range(6):
            box = window(draws[b, k], height, width, ratio)
            want = tvf.resized_crop(images[b], *box, [11, 11], antialias=True)
            torch.testing.assert_close(made[b, k], want, rtol=0, atol=2e-5)


@pytest.mark.parametrize("fill", [-1.0, 0.0])
def test_rotate_matches_torchvision(fill: float) -> None:
    images = pictures()
    draws = unit("rotate", 3, (1,))
    made = Rotate(40.0, fill)(images, 3, STREAMS)
    for b in range(5):
        for k in range(3):
            angle = float(2 * draws[b, k, 0] - 1) * 40
            # torchvision samples with zeros outside and then replaces what is mostly outside;
            # shifting the fill value to zero gives the blend at the border that we define.
            want = tvf.rotate(images[b] - fill, angle, tvf.InterpolationMode.BILINEAR, expand=False)
            torch.testing.assert_close(made[b, k], want + fill, rtol=0, atol=2e-5)


def test_rotate_nearest_fill_keeps_a_constant_image() -> None:
    images = torch.full((5, 1, 8, 8), 0.7)
    torch.testing.assert_close(
        Rotate(45.0, "nearest")(images, 2, STREAMS), images[:, None].repeat(1, 2, 1, 1, 1)
    )
    assert (Rotate(45.0)(images, 2, STREAMS) < 0.6).any()


JITTERS = [
    (0.6, 0.0, 0.0, 0.0),
    (0.0, 0.8, 0.0, 0.0),
    (0.0, 0.0, 1.4, 0.0),
    (0.0, 0.0, 0.0, 0.5),
    (0.4, 0.4, 0.4, 0.2),
]


@pytest.mark.parametrize("strengths", JITTERS)
@pytest.mark.parametrize("channels", [1, 3])
def test_jitter_matches_torchvision(strengths: tuple[float, ...], channels: int) -> None:
    images = pictures(channels=channels)
    images[1] = images[1, :1]  # a grey image has no hue; a saturated one clamps
    images[2] = images[2].sign()
    draws = unit("jitter", 4, (4,))
    made = ColorJitter(*strengths)(images, 4, STREAMS)
    changes = [
        tvf.adjust_brightness,
        tvf.adjust_contrast,
        tvf.adjust_saturation,
        tvf.adjust_hue,
    ]
    for b in range(5):
        for k in range(4):
            want = (images[b] + 1) / 2
            for change, strength, u in zip(changes, strengths, draws[b, k], strict=True):
                least, most = max(0.0, 1 - strength), 1 + strength
                if change is tvf.adjust_hue:
                    least, most = -strength, strength
                if strength:
                    want = change(want, least + float(u) * (most - least))
            torch.testing.assert_close(made[b, k], want * 2 - 1, rtol=0, atol=1e-5)


def test_jitter_clamps_what_overshoots() -> None:
    images = pictures() * 3
    made = ColorJitter(0.1)(images, 2, STREAMS)
    assert made.min() >= -1
    assert made.max() <= 1


def test_jitter_of_a_grey_image_has_no_saturation_and_no_hue() -> None:
    images = pictures(channels=1)
    assert torch.equal(
        ColorJitter(0.0, 0.0, 0.9, 0.5)(images, 2, STREAMS),
        images[:, None].expand(-1, 2, -1, -1, -1),
    )


def test_compose_applies_the_parts_in_order_with_independent_draws() -> None:
    images = pictures()
    parts = RandomCrop(2), ColorJitter(0.3, 0.3), RandomCrop(2)
    made = Compose(*parts)(images, 3, STREAMS)
    step = images[:, None].expand(-1, 3, -1, -1, -1)
    for index, part in enumerate(parts):
        step = part.augment(step, STREAMS.child(str(index)))
    assert torch.equal(made, step)
    shared = parts[0](images, 3, STREAMS)
    assert not torch.equal(made, ColorJitter(0.3, 0.3).augment(shared, STREAMS))


def test_existing_views_each_get_their_own_draw() -> None:
    views = pictures(1).expand(5, 6, 3, 10, 12)
    made = RandomCrop(4).augment(views, STREAMS)
    assert len(made.flatten(0, 1).flatten(1).unique(dim=0)) > 15


def test_names_are_bank_keys() -> None:
    assert pixel_views("fashion32/flip").name == "flip"
    assert pixel_views("fashion32/flip+crop").name == "flip+crop"
    assert pixel_views("celebahq/color").name == "color"
    assert Compose(Identity(), HorizontalFlip(), name="mine").name == "mine"


PRESET_SHAPES = {
    "celebahq/train": ((3, 64, 64), (3, 64, 64)),
    "celebahq/crop": ((3, 64, 64), (3, 64, 64)),
    "celebahq/color": ((3, 64, 64), (3, 64, 64)),
    "celebahq/gan-mixed": ((3, 64, 64), (3, 64, 64)),
    "celebahq/gan-train": ((3, 64, 64), (3, 64, 64)),
    "car/train": ((3, 300, 400), (3, 256, 256)),
    "car/train-rotate": ((3, 300, 400), (3, 256, 256)),
    "car/val": ((3, 300, 400), (3, 256, 256)),
    "car/crop": ((3, 300, 400), (3, 256, 256)),
    "car/scale+crop": ((3, 300, 400), (3, 256, 256)),
    "car/gan-base": ((3, 512, 512), (3, 256, 256)),
    "car/gan-mixed": ((3, 512, 512), (3, 256, 256)),
    "car/gan-train": ((3, 512, 512), (3, 256, 256)),
    "cat/train": ((3, 280, 300), (3, 224, 224)),
    "cat/val": ((3, 280, 300), (3, 224, 224)),
    "cat/crop": ((3, 280, 300), (3, 224, 224)),
    "cat/gan-base": ((3, 256, 256), (3, 224, 224)),
    "cat/gan-mixed": ((3, 256, 256), (3, 224, 224)),
    "cat/gan-train": ((3, 256, 256), (3, 224, 224)),
    "cifar10/train": ((3, 32, 32), (3, 32, 32)),
    "cifar10/gan-train": ((3, 32, 32), (3, 32, 32)),
    "fashion32/flip": ((1, 32, 32), (1, 32, 32)),
    "fashion32/crop": ((1, 32, 32), (1, 32, 32)),
    "fashion32/jitter": ((1, 32, 32), (1, 32, 32)),
    "fashion32/flip+crop": ((1, 32, 32), (1, 32, 32)),
    "fashion32/all": ((1, 32, 32), (1, 32, 32)),
    "fashion32/simclr": ((1, 32, 32), (1, 32, 32)),
    "fashion32/simclr-weak": ((1, 32, 32), (1, 32, 32)),
    "genrep/train": ((3, 128, 128), (3, 112, 112)),
    "genrep/weak": ((3, 256, 256), (3, 112, 112)),
    "genrep/centre": ((3, 256, 256), (3, 112, 112)),
    "stylegan-car": ((3, 512, 512), (3, 112, 112)),
    "stylegan-car/centre": ((3, 512, 512), (3, 112, 112)),
    "identity": ((1, 8, 8), (1, 8, 8)),
}


@pytest.mark.parametrize("name", PRESET_SHAPES)
def test_preset_gives_the_classifiers_size(name: str) -> None:
    given, made = PRESET_SHAPES[name]
    out = pixel_views(name)(torch.zeros(1, *given), 2, STREAMS[:1])
    assert tuple(out.shape) == (1, 2, *made)


@pytest.mark.parametrize("name", ["car/gan-base", "car/gan-train", "stylegan-car/centre"])
def test_rendered_cars_lose_their_bars(name: str) -> None:
    render = torch.full((1, 3, 512, 512), 0.5)
    render[:, :, :64] = render[:, :, 448:] = -1
    made = pixel_views(name)(render, 8, STREAMS[:1])
    assert made.min() > 0.49


def test_the_presets_of_learning_are_those_of_the_paper() -> None:
    train = pixel_views("genrep/train")
    assert isinstance(train, SimCLR)
    assert (train.size, train.area, train.ratio) == (112, (0.2, 1.0), (3 / 4, 4 / 3))
    strengths = (train.brightness, train.contrast, train.saturation, train.hue)
    assert strengths == (0.4, 0.4, 0.4, 0.1)
    assert (train.flip, train.jitter, train.grey, train.blurred) == (0.5, 0.8, 0.2, 0.0)
    cars = pixel_views("stylegan-car")
    assert isinstance(cars, Compose)
    assert [repr(part) for part in cars.parts] == ["CentreCrop(height=384, width=512)", repr(train)]
    assert repr(pixel_views("genrep/centre")) == "CentreCrop(height=112, width=112)"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: HorizontalFlip(1.5), "flip probability: expected a number in"),
        (lambda: RandomCrop(-1), "crop padding: expected an integer of at least 0"),
        (lambda: RandomCrop(0, size=0), "crop size: expected an integer of at least 1"),
        (lambda: ResizedCrop(0.9), "crop scale: expected a finite number of at least 1, got 0.9"),
        (lambda: RandomResizedCrop(8, area=(0.5, 0.2)), "resized crop: expected 0 < area"),
        (lambda: Rotate(-3.0), "degrees of rotation: expected a finite number of at least 0"),
        (lambda: ColorJitter(hue=0.6), "colour jitter: expected strengths"),
        (lambda: ColorJitter(contrast=float("nan")), "colour jitter: .* got 0.0, nan, 0.0, 0.0"),
        (lambda: RandomResizedCrop(8, ratio=(1, float("inf"))), "resized crop: expected 0 <"),
        (lambda: SimCLR(8, sigma=(1, float("inf"))), "sigma of the blur: expected 0 <"),
        (lambda: ColorJitter(float("inf")), "colour jitter: expected strengths"),
        (lambda: SimCLR(8, (0.2, 1.2)), "resized crop: expected 0 < area"),
        (lambda: SimCLR(8, hue=0.6), "colour jitter: expected strengths"),
        (lambda: SimCLR(8, sigma=(2.0, 1.0)), "sigma of the blur: expected 0 < least"),
        (lambda: SimCLR(8, grey=2.0), "probability of grey: expected a number in"),
        (lambda: SimCLR(8)(pictures(channels=2), 1, STREAMS), "1 or 3 channels, got 2"),
        (lambda: pixel_views("celebahq/colour"), "did you mean 'celebahq/color'"),
        (lambda: RandomCrop(0, size=11)(pictures(), 1, STREAMS), "crop size: expected at most"),
        (
            lambda: CentreCrop(11)(pictures(), 1, STREAMS),
            "crop size: .* at most 10x12, got 11x11",
        ),
        (lambda: ColorJitter(0.1)(pictures(channels=2), 1, STREAMS), "1 or 3 channels, got 2"),
        (
            lambda: Identity()(pictures(), 1, STREAMS[:2]),
            "streams: expected 5, .* got 2; make",
        ),
        (lambda: Identity()(pictures(), 0, STREAMS), "num_views: expected an integer"),
        (lambda: Identity()(99 * pictures(), 1, STREAMS), r"pixel views: expected values in \[-1"),
    ],
)
def test_misuse_is_explained(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.as_installed
def test_images_without_a_batch_axis_are_explained() -> None:
    with pytest.raises(ValueError, match=r"images: .* \(B, C, H, W\), got \(3, 10, 12\)"):
        Identity()(pictures()[0], 1, STREAMS)
    with pytest.raises(ValueError, match=r"views: expected shape \(B, K, C, H, W\)"):
        Identity().augment(pictures(), STREAMS)
