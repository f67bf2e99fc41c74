"""What a network is given in the place of an image in [-1, 1], against torchvision and Pillow."""

from __future__ import annotations

import inspect
from dataclasses import fields

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as theirs

from genviews.checks import check_pixels
from genviews.classify.model import Classifier, predict_logits
from genviews.classify.settings import ClassifierSettings
from genviews.types import ImageSpec

NAMES = ("cat", "dog")


class Seeing(nn.Module):
    """Keeps what it was given."""

    def forward(self, x: Tensor) -> Tensor:
        self.seen = x.detach()
        return torch.stack([x.mean((1, 2, 3)), x[:, 0, 0, 0] - x[:, 0, -1, -1]], 1)


def pixels(channels: int = 3, height: int = 12, width: int = 20) -> Tensor:
    """(2, C, H, W) whole grey levels of 0 to 255."""
    random = torch.Generator().manual_seed(3)
    return torch.randint(0, 256, (2, channels, height, width), generator=random).float()


def seen(levels: Tensor, **settings) -> Tensor:
    _, channels, height, width = levels.shape
    spec = ImageSpec(channels=channels, height=height, width=width)
    network = Seeing()
    Classifier(network, spec, NAMES, **settings)(levels / 127.5 - 1)
    return network.seen


def test_nothing_is_changed_by_default() -> None:
    assert torch.equal(seen(pixels()), pixels() / 127.5 - 1)


def test_the_range_comes_before_mean_and_std() -> None:
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    unit = theirs.normalize(pixels() / 255, list(mean), list(std))
    torch.testing.assert_close(seen(pixels(), input_range="0..1", mean=mean, std=std), unit)
    torch.testing.assert_close(
        seen(pixels(), input_range="0..255"), pixels(), rtol=0, atol=2e-5 * 255
    )
    scaled = seen(pixels(), input_range="0..255", mean=[10, 20, 30], std=2.0)
    want = theirs.normalize(pixels(), [10.0, 20.0, 30.0], [2.0, 2.0, 2.0])
    torch.testing.assert_close(scaled, want, rtol=0, atol=1e-3)


def test_a_generator_that_overshoots_does_not_leave_a_range_that_was_said() -> None:
    spec, network = ImageSpec(channels=3, height=12, width=20), Seeing()
    images = 1.2 * (pixels() / 127.5 - 1)
    Classifier(network, spec, NAMES, input_range="0..1")(images)
    assert (float(network.seen.min()), float(network.seen.max())) == (0.0, 1.0)
    Classifier(network, spec, NAMES)(images)
    assert torch.equal(network.seen, images)


def test_grey_becomes_colour_and_colour_grey() -> None:
    grey = pixels(channels=1)
    assert torch.equal(seen(grey, input_channels=3), seen(grey).expand(-1, 3, -1, -1))
    got = seen(pixels(), input_channels=1, input_range="0..255")
    for levels, found in zip(pixels(), got, strict=True):
        picture = Image.fromarray(levels.permute(1, 2, 0).byte().numpy()).convert("L")
        assert np.abs(found[0].numpy() - np.asarray(picture)).max() <= 0.51


@pytest.mark.parametrize("mode", ["bilinear", "bicubic", "nearest"])
@pytest.mark.parametrize("size", [(30, 30), (7, 9)])
def test_sizes_change_as_torchvision_changes_them(mode: str, size: tuple[int, int]) -> None:
    signed = pixels() / 127.5 - 1
    want = theirs.resize(signed, list(size), interpolation=theirs.InterpolationMode(mode))
    torch.testing.assert_close(seen(pixels(), input_size=size, interpolation=mode), want)


@pytest.mark.parametrize(("height", "width"), [(12, 20), (21, 9), (16, 16)])
def test_the_middle_is_cut_out_of_resized_images(height: int, width: int) -> None:
    levels = pixels(3, height, width)
    want = theirs.center_crop(theirs.resize(levels / 127.5 - 1, [15]), [14, 11])
    torch.testing.assert_close(seen(levels, input_size=(14, 11), input_resize=15), want)
    assert seen(levels, input_size=8, input_resize=9).shape == (2, 3, 8, 8)


def test_half_precision_is_resized() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 25, 2)).to(torch.bfloat16)
    spec = ImageSpec(channels=3, height=12, width=20)
    classifier = Classifier(network, spec, NAMES, input_size=5, interpolation="bicubic")
    assert classifier((pixels() / 127.5 - 1).bfloat16()).shape == (2, 2)


def test_gradients_reach_the_images() -> None:
    levels = pixels(channels=1)
    spec = ImageSpec(channels=1, height=12, width=20)
    classifier = Classifier(Seeing(), spec, NAMES, input_size=24, input_channels=3)
    images = (levels / 127.5 - 1).requires_grad_()
    classifier(images)[:, 0].sum().backward()
    assert images.grad is not None
    assert bool((images.grad != 0).all())


def test_arguments_of_a_classifier_and_settings_of_its_flags_are_the_same() -> None:
    own = list(inspect.signature(Classifier).parameters)[3:]
    assert sorted(own) == sorted(field.name for field in fields(ClassifierSettings))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"input_channels": 4}, r"input_channels \(--input-channels\): expected 1 or 3, got 4"),
        ({"input_size": (4, 4, 4)}, "input_size .*at most 2 numbers, got 3"),
        ({"input_size": 0}, "input_size .*at least 1, got 0"),
        ({"input_resize": 9}, "input_size .*expected given with input_resize"),
        ({"input_resize": 9, "input_size": 10}, "input_resize .*at least 10, got 9"),
        (
            {"input_resize": 12, "input_size": (12, 24)},
            "input_resize .*from which 12x24 can be cut out, got 12x20, of images of 12x20",
        ),
        ({"input_range": "0..2"}, "input_range .*one of 0..1, 0..255"),
        ({"interpolation": "cubic"}, "did you mean 'bicubic'"),
        ({"outputs": "softmax"}, "outputs .*one of logits, probs, sigmoids"),
        ({"mean": [0.5, 0.5]}, "mean: expected one number, or one for each of 3 channels"),
        ({"mean": 123.7, "std": 58.4}, r"mean .*values from -1 to 1, got 123.7; .*--input-range"),
        ({"std": 58.4, "input_range": "0..1"}, r"std .*values from 0 to 1, got 58.4"),
        ({"std": 0.225, "input_range": "0..255"}, "std .*values from 0 to 255, got 0.225"),
        ({"mean": float("nan")}, "mean .*a finite number"),
        ({"mean": "imagenet"}, "mean: expected numbers, got 'imagenet'"),
        ({"std": -1}, "std .*above 0, got -1.0"),
        (
            {"output_names": ("dog", "cow")},
            "output of the classifier.*one of cow, dog, got",
        ),
        ({"output_names": ("dog", "dog")}, "at least two different names"),
    ],
)
@pytest.mark.as_installed
def test_wrong_settings_are_refused(settings, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        seen(pixels(), **settings)


def test_two_channels_become_nothing_else() -> None:
    with pytest.raises(ValueError, match="expected 2, as the images have, got 3"):
        seen(pixels(channels=2), input_channels=3)


class TestRange:
    """Images that are plainly in another range are refused; those that may be light are not."""

    SPEC = ImageSpec(channels=3, height=12, width=20)

    def test_of_0_to_255_in_any_number(self) -> None:
        classifier = Classifier(Seeing(), self.SPEC, NAMES)
        for images in (pixels(), pixels()[:1], pixels()[0], pixels()[None]):
            with pytest.raises(ValueError, match=r"values up to 255; scale .*x / 127.5 - 1"):
                classifier(images)

    def test_of_0_to_1_in_a_set(self) -> None:
        classifier = Classifier(Seeing(), self.SPEC, NAMES)
        unit = pixels().repeat(8, 1, 1, 1) / 255
        with pytest.raises(ValueError, match=r"16 images in \[0, 1\], none with a negative pixel"):
            predict_logits(classifier, unit, batch_size=4)
        predict_logits(classifier, unit[:15])  # of so few it cannot be said
        predict_logits(classifier, unit[:, None])  # views of one image may all be light
        predict_logits(classifier, unit * 2 - 1)

    @pytest.mark.parametrize("low", [-1e-3, 0.1])
    def test_not_a_light_set(self, low: float) -> None:
        check_pixels(low + (1 - low) * pixels().repeat(8, 1, 1, 1) / 255, "images", as_set=True)

    def test_an_image_that_is_not_finite_neither_hides_nor_makes_a_fault(self) -> None:
        bad = torch.full((1, 3, 12, 20), torch.nan)
        check_pixels(torch.cat([bad, bad * 0 + torch.inf, pixels() / 255]), "images", as_set=True)
        with pytest.raises(ValueError, match="values up to 255"):
            check_pixels(torch.cat([bad, pixels()]), "images")
        check_pixels(torch.zeros(0, 3, 12, 20), "images")
