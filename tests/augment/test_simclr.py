"""SimCLR views against torchvision: each change alone, all in the drawn order, and their laws."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
import torch
import torchvision.transforms as tv
import torchvision.transforms.v2.functional as tvf
from scipy import stats
from torch import Tensor

from genviews.augment.resample import ATTEMPTS, random_boxes
from genviews.augment.simclr import SimCLR, SimCLRDraws
from genviews.rng import Rng

NONE = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0, "grey": 0.0, "flip": 0.0}
WHOLE = {"area": (1.0, 1.0), "ratio": (1.0, 1.0)}
CASES = {
    "crop": {**NONE},
    "flip": {**NONE, **WHOLE, "flip": 0.5},
    "brightness": {**NONE, **WHOLE, "brightness": 0.7},
    "contrast": {**NONE, **WHOLE, "contrast": 0.7},
    "saturation": {**NONE, **WHOLE, "saturation": 1.5},
    "hue": {**NONE, **WHOLE, "hue": 0.5},
    "grey": {**NONE, **WHOLE, "grey": 0.5},
    "blur": {**NONE, **WHOLE, "blurred": 0.7},
    "two colours": {**NONE, **WHOLE, "brightness": 0.9, "hue": 0.3},
    "all": {},
    "all, blurred": {"blurred": 0.5},
    "strong": {"brightness": 0.9, "contrast": 0.9, "saturation": 0.9, "hue": 0.5},
}


def pictures(batch: int, channels: int, size: int) -> Tensor:
    generator = torch.Generator().manual_seed(size)
    images = torch.rand(batch, channels, size, size, generator=generator) * 2 - 1
    images[0] = images[0].sign()  # saturated
    images[1] = images[1, :1]  # without colour
    return images


def one_view(views: SimCLR, image: Tensor, draws: SimCLRDraws, row: int) -> Tensor:
    """What torchvision makes of one image with the parameters of one row."""
    size = [views.size, views.size]
    made = (image + 1) / 2
    made = tvf.resized_crop(made, *draws.box[row].tolist(), size, antialias=True)
    if draws.flip[row]:
        made = tvf.horizontal_flip(made)
    changes = (
        (views.brightness, tvf.adjust_brightness),
        (views.contrast, tvf.adjust_contrast),
        (views.saturation, tvf.adjust_saturation),
        (views.hue, tvf.adjust_hue),
    )
    for index in draws.order[row].tolist() if draws.jittered[row] else []:
        strength, change = changes[index]
        if strength:
            made = change(made, float(draws.amounts[row, index]))
    if draws.grey[row]:
        made = tvf.rgb_to_grayscale(made, num_output_channels=len(made))
    if draws.blurred[row]:
        width = 2 * round(views.size / 20) + 1
        made = tvf.gaussian_blur(made, [width, width], [float(draws.sigma[row])])
    return made * 2 - 1


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("given", "size"), [(32, 32), (20, 33), (80, 40)])
def test_views_are_those_of_torchvision(case: str, channels: int, given: int, size: int) -> None:
    images = pictures(6, channels, given)
    views = SimCLR(size, **CASES[case])
    streams = Rng(7).streams(range(6))
    made = views(images, 4, streams).flatten(0, 1)
    draws = views.draw(streams, 4, (given, given))
    for row in range(24):
        want = one_view(views, images[row // 4], draws, row)
        torch.testing.assert_close(made[row], want, rtol=0, atol=2e-5)


def test_the_order_of_the_changes_matters_and_is_the_drawn_one() -> None:
    images = pictures(3, 3, 16)[2:]
    views = SimCLR(16, flip=0.0, grey=0.0, jitter=1.0, hue=0.2, **WHOLE)
    draws = views.draw(Rng(0).streams([0]), 1, (16, 16))
    made = []
    for order in itertools.permutations(range(4)):
        chosen = replace(draws, order=torch.tensor([order]))
        made.append(views.apply(images, chosen)[0])
        torch.testing.assert_close(made[-1], one_view(views, images[0], chosen, 0))
    assert len(torch.stack(made).flatten(1).unique(dim=0)) > 12  # some changes commute


def test_zero_strength_is_the_identity() -> None:
    for size in (16, 80):  # by matrices, and one by one
        images = pictures(3, 3, size) * 1.5
        made = SimCLR(size, **NONE, **WHOLE)(images, 2, Rng(0).streams(range(3)))
        assert torch.equal(made, images[:, None].expand(-1, 2, -1, -1, -1))


def test_what_is_not_jittered_is_not_even_clamped() -> None:
    images = pictures(40, 3, 8) * 1.5
    views = SimCLR(8, flip=0.0, grey=0.0, jitter=0.5, **WHOLE)
    streams = Rng(0).streams(range(40))
    same = (views(images, 1, streams)[:, 0] == images).flatten(1).all(1)
    assert torch.equal(~same, views.draw(streams, 1, (8, 8)).jittered)


@pytest.mark.parametrize("case", ["all", "all, blurred"])
def test_gradients_are_those_of_the_numbers(case: str) -> None:
    images = pictures(3, 3, 8).double()[2:] * 0.9
    views = SimCLR(6, **CASES[case])
    for seed in range(3):
        draws = views.draw(Rng(seed).streams([0]), 1, (8, 8))
        leaf = images.clone().requires_grad_()
        assert torch.autograd.gradcheck(
            lambda x, d=draws: views.apply(x, d), (leaf,), atol=1e-5, fast_mode=True
        )


def test_large_and_small_images_are_cropped_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    images, views, streams = pictures(4, 3, 80), SimCLR(40), Rng(3).streams(range(4))
    one_by_one = views(images, 3, streams)
    monkeypatch.setattr("genviews.augment.resample.LARGE", math.inf)
    torch.testing.assert_close(views(images, 3, streams), one_by_one, rtol=0, atol=2e-5)


def test_a_batch_in_parts_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    images, views, streams = pictures(5, 3, 16), SimCLR(16), Rng(3).streams(range(5))
    whole = views(images, 3, streams)
    monkeypatch.setattr("genviews.augment.colour.CHUNK", 2 * 3 * 16 * 16)
    torch.testing.assert_close(views(images, 3, streams), whole, rtol=0, atol=1e-6)


def test_an_empty_batch_is_no_error() -> None:
    for size in (8, 80):
        made = SimCLR(8)(torch.zeros(0, 3, size, size), 2, Rng(0).streams([]))
        assert made.shape == (0, 2, 3, 8, 8)


@pytest.mark.parametrize(
    ("height", "width", "area", "ratio"),
    [
        (32, 32, (0.2, 1.0), (3 / 4, 4 / 3)),
        (128, 128, (0.2, 1.0), (3 / 4, 4 / 3)),
        (20, 60, (0.5, 1.0), (3 / 4, 4 / 3)),  # most windows do not fit, and many images fall back
        (60, 20, (0.6, 0.9), (1.0, 1.2)),  # none fits
    ],
)
def test_boxes_have_the_law_of_torchvision(height, width, area, ratio) -> None:
    count = 3000
    unit = Rng(1).streams(range(count)).uniform(1, (ATTEMPTS, 4))[:, 0]
    ours = random_boxes(unit, (height, width), area, ratio)
    torch.manual_seed(0)
    image = torch.zeros(1, height, width)
    drawn = [tv.RandomResizedCrop.get_params(image, list(area), list(ratio)) for _ in range(count)]
    theirs = torch.tensor(drawn)  # top, left, height, width
    for a, b in zip(ours.T.numpy(), theirs.T.numpy(), strict=True):
        assert stats.ks_2samp(a, b).pvalue > 1e-3
    assert stats.ks_2samp((ours[:, 2] * ours[:, 3]), (theirs[:, 2] * theirs[:, 3])).pvalue > 1e-3
    assert (ours[:, :2] >= 0).all()
    assert (ours[:, 0] + ours[:, 2] <= height).all()
    assert (ours[:, 1] + ours[:, 3] <= width).all()


def test_colours_have_the_law_of_torchvision() -> None:
    count = 4000
    draws = SimCLR(8, brightness=0.4, contrast=1.3, saturation=0.4, hue=0.1).draw(
        Rng(2).streams(range(count)), 1, (8, 8)
    )
    torch.manual_seed(0)
    jitter = tv.ColorJitter(0.4, 1.3, 0.4, 0.1)
    limits = (jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue)
    drawn = [tv.ColorJitter.get_params(*limits) for _ in range(count)]
    for index in range(4):
        theirs = [params[1 + index] for params in drawn]
        assert stats.ks_2samp(draws.amounts[:, index].numpy(), theirs).pvalue > 1e-3
    orders = sorted(itertools.permutations(range(4)))
    found = [orders.index(tuple(order)) for order in draws.order.tolist()]
    assert stats.chisquare(torch.tensor(found).bincount(minlength=24).numpy()).pvalue > 1e-3


def test_coins_have_their_probabilities_and_are_independent() -> None:
    count = 4000
    draws = SimCLR(8, flip=0.5, jitter=0.8, grey=0.2, blurred=0.3, sigma=(0.5, 1.5)).draw(
        Rng(4).streams(range(count)), 1, (8, 8)
    )
    coins = torch.stack([draws.flip, draws.jittered, draws.grey, draws.blurred]).double()
    for coin, p in zip(coins, (0.5, 0.8, 0.2, 0.3), strict=True):
        assert abs(coin.mean().item() - p) < 4 * math.sqrt(p * (1 - p) / count)
    others = torch.cat([coins, draws.amounts.double().T, draws.sigma.double()[None]])
    correlations = torch.corrcoef(others) - torch.eye(len(others))
    assert correlations.abs().max() < 4.5 / math.sqrt(count)
    assert stats.kstest(draws.sigma.numpy(), "uniform", args=(0.5, 1.0)).pvalue > 1e-3
