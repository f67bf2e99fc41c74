"""Corruptions by name, and each kind against the published formula in float64."""

from __future__ import annotations

import colorsys
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from genviews.rng import Rng
from genviews.robustness.corruption import KINDS, corruption
from genviews.robustness.filters import along_axes, beyond, gaussian

IDS = ("a", 7, "c")
BOTH = ["{}:1", "{}:5", "{}:3@imagenet-c"]


def pictures(channels: int = 3, height: int = 13, width: int = 17) -> np.ndarray:
    """Three images in [0, 1], (3, C, H, W) in float64, with a black, a white and a grey patch."""
    images = np.random.default_rng(0).random((3, channels, height, width))
    images[:, :, :2, :2], images[:, :, -2:, :2], images[:, :, :2, -2:] = 0.0, 1.0, 0.5
    return images


def corrupted(name: str, images: np.ndarray, seed: int = 0) -> np.ndarray:
    made = corruption(name)
    found = made(torch.from_numpy(images) * 2 - 1, Rng(seed).streams(IDS[: len(images)]))
    return (found.numpy() + 1) / 2


def number(name: str) -> float:
    return corruption(name).numbers[0]


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("noise:2", "gaussian_noise:2"),
        ("blur:5@imagenet-c", "gaussian_blur:5@imagenet-c"),
        ("jpeg_compression:1@cifar-c", "jpeg:1"),
    ],
)
def test_a_name_stands_for_a_corruption(word: str, name: str) -> None:
    assert corruption(word).name == name
    assert corruption(name) == corruption(word)


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("nois:2", "did you mean 'noise'"),
        ("brightnes:2", "did you mean 'brightness'"),
        ("noise", "severity from 1 to 5 behind a colon, got none; write noise:3"),
        ("noise:", "got ''"),
        ("noise:two", "got 'two'"),
        ("noise:-1", "got '-1'"),
        ("noise:2.5", "got '2.5'"),
        ("noise:0", "at least 1 and at most 5, got 0"),
        ("noise:6@imagenet-c", "at most 5, got 6"),
        ("noise:2@", "scale of a corruption"),
        ("noise:2@cifar", "did you mean 'cifar-c'"),
        ("", "kind of corruption"),
    ],
)
def test_a_word_that_is_none_is_told(word: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        corruption(word)


@pytest.mark.parametrize("name", BOTH)
def test_gaussian_noise(name: str) -> None:
    name = name.format("gaussian_noise")
    noise = corrupted(name, np.full((3, 3, 60, 60), 0.5)) - 0.5
    wanted = number(name)
    assert abs(noise.std() / wanted - 1) < 0.02 or wanted > 0.15  # beyond, values are cut off
    assert abs(noise.mean()) < 0.02 * wanted
    one, two = noise[0, 0], noise[0, 1]
    assert abs(np.corrcoef(one.ravel(), two.ravel())[0, 1]) < 0.05


@pytest.mark.parametrize("size", [(13, 17), (1, 5), (2, 3)])
@pytest.mark.parametrize("name", [*BOTH, "{}:5@imagenet-c"])
def test_gaussian_blur(name: str, size: tuple[int, int]) -> None:
    name = name.format("gaussian_blur")
    images = pictures(3, 13, 17)[..., : size[0], : size[1]]
    sigma = (0, 0, number(name), number(name))
    wanted = ndimage.gaussian_filter(images, sigma, mode="nearest", truncate=4.0)
    np.testing.assert_allclose(corrupted(name, images), wanted, atol=1e-12)


@pytest.mark.parametrize("border", ["reflect", "mirror", "nearest"])
def test_borders_are_those_of_scipy(border) -> None:
    line, sigma = np.random.default_rng(0).random((4, 6)), 3.0
    found = gaussian(torch.from_numpy(line), sigma, border=border)
    wanted = ndimage.gaussian_filter(line, sigma, mode=border, truncate=4.0)
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-12)
    assert beyond(np.arange(-9, 9), 1, border).tolist() == [0] * 18


def test_matrices_act_along_their_axes() -> None:
    images, rows, columns = torch.rand(2, 3, 4, 5), torch.rand(6, 4), torch.rand(7, 5)
    wanted = torch.einsum("ncij,ki,lj->nckl", images, rows, columns)
    torch.testing.assert_close(along_axes(images, rows, columns), wanted)


@pytest.mark.parametrize("name", BOTH)
def test_brightness_is_that_of_hsv(name: str) -> None:
    name, images = name.format("brightness"), pictures()
    wanted = np.empty_like(images)
    for place in np.ndindex(3, 13, 17):
        hue, saturation, value = colorsys.rgb_to_hsv(*images[place[0], :, *place[1:]])
        lighter = colorsys.hsv_to_rgb(hue, saturation, min(value + number(name), 1))
        wanted[place[0], :, *place[1:]] = lighter
    np.testing.assert_allclose(corrupted(name, images), wanted, atol=1e-12)
    grey = images[:, :1]
    np.testing.assert_allclose(corrupted(name, grey), np.minimum(grey + number(name), 1))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", BOTH)
def test_jpeg_is_a_file_of_it(name: str, channels: int) -> None:
    name, images = name.format("jpeg"), pictures(channels)
    for image, found in zip(images, corrupted(name, images), strict=True):
        file = BytesIO()
        pixels = np.rint(image.transpose(1, 2, 0) * 255).astype(np.uint8)
        Image.fromarray(pixels.squeeze()).save(file, format="jpeg", quality=int(number(name)))
        with Image.open(file) as read:
            assert read.mode == ("L" if channels == 1 else "RGB")
            wanted = np.asarray(read, dtype=float).reshape(13, 17, channels).transpose(2, 0, 1)
        np.testing.assert_allclose(found * 255, wanted, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_other_seeds_and_ids_are_other_draws_of_what_is_random(kind: str) -> None:
    name, image = f"{kind}:3", pictures()[:1]
    again, same = corrupted(name, image, seed=1), corrupted(name, image)
    assert np.array_equal(again, same) is (kind in SURE)


SURE = {"gaussian_blur", "brightness", "jpeg"}
