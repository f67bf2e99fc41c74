"""Restorations by name, and each kind against another implementation."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
import torch
from scipy import ndimage, stats

from genviews.robustness.restore import NON_LOCAL, restoration


def pictures(channels: int = 3, height: int = 13, width: int = 17) -> np.ndarray:
    """Two noisy images in [0, 1] of a ramp, (2, C, H, W) in float64."""
    noise = np.random.default_rng(0).normal(0, 0.1, (2, channels, height, width))
    return np.clip(np.linspace(0.2, 0.7, width) + noise, 0, 1).round(2)


def restored(name: str, images: np.ndarray) -> np.ndarray:
    return (restoration(name)(torch.from_numpy(images) * 2 - 1).numpy() + 1) / 2


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("meedian:3", "did you mean 'median'"),
        ("median", "a strength behind a colon, got none; write median:3"),
        ("median:", "got ''"),
        ("median:4", "expected an odd side, got 4"),
        ("median:-3", "above 0, got -3"),
        ("gaussian:nan", "strength of gaussian: expected a finite number above 0"),
        ("tv:lots", "got 'lots'"),
        ("stretch:2", "expected no strength, got 2; write stretch"),
    ],
)
def test_a_word_that_is_none_is_told(word: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        restoration(word)


@pytest.mark.parametrize("side", [1, 3, 5, 7])
@pytest.mark.parametrize("size", [(13, 17), (2, 5)])
def test_median(side: int, size: tuple[int, int]) -> None:
    images = pictures(3, *size)
    wanted = ndimage.median_filter(images, (1, 1, side, side), mode="reflect")
    np.testing.assert_allclose(restored(f"median:{side}", images), wanted, atol=1e-12)


@pytest.mark.parametrize("sigma", [0.5, 1, 1.5])
def test_gaussian(sigma: float) -> None:
    images = pictures()
    wanted = ndimage.gaussian_filter(images, (0, 0, sigma, sigma), mode="nearest")
    np.testing.assert_allclose(restored(f"gaussian:{sigma}", images), wanted, atol=1e-12)


def energy(found: np.ndarray, image: np.ndarray, strength: float) -> float:
    """1/2 |u - x|^2 + s TV(u) of one channel, pixel by pixel."""
    total = 0.5 * ((found - image) ** 2).sum()
    for y, x in np.ndindex(found.shape):
        down = found[min(y + 1, found.shape[0] - 1), x] - found[y, x]
        right = found[y, min(x + 1, found.shape[1] - 1)] - found[y, x]
        total += strength * np.hypot(down, right)
    return float(total)


@pytest.mark.parametrize("strength", [0.05, 0.2])
def test_total_variation_is_the_least_energy(strength: float) -> None:
    image = pictures(1, 6, 7)[0, 0]
    found = restored(f"tv:{strength}", image[None, None])[0, 0]
    least = energy(found, image, strength)
    assert least < 0.8 * energy(image, image, strength)
    rng = np.random.default_rng(0)
    for size in (0.1, 0.03, 0.01):
        for _ in range(30):
            assert energy(found + size * rng.normal(size=found.shape), image, strength) > least
        for around in (0.5, 1.0):
            smooth = ndimage.gaussian_filter(found, around)
            assert energy(found + size * (smooth - found), image, strength) > least * (1 - 1e-4)


def test_total_variation_is_that_of_scikit_image() -> None:
    package = pytest.importorskip("skimage.restoration")
    images = pictures()
    for image, found in zip(images, restored("tv:0.2", images), strict=True):
        wanted = package.denoise_tv_chambolle(
            image, weight=0.2, eps=0, max_num_iter=101, channel_axis=0
        )
        np.testing.assert_allclose(found, wanted, atol=1e-9)


def test_non_local_means_is_that_of_scikit_image() -> None:
    package = pytest.importorskip("skimage.restoration")
    images = pictures()
    for image, found in zip(images, restored("nlm:0.1", images), strict=True):
        wanted = package.denoise_nl_means(image, 5, 6, 0.1, channel_axis=0)
        np.testing.assert_allclose(found, wanted, atol=1e-9)


@pytest.mark.skipif(find_spec("skimage") is not None, reason="scikit-image is there")
def test_a_missing_package_is_told_before_the_work() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'genviews\[robustness\]'"):
        restoration(NON_LOCAL[0])


def test_stretch_takes_the_full_range_of_each_image() -> None:
    images = np.stack([0.3 * pictures()[0] + 0.4, pictures()[1]])
    low, high = (part((1, 2, 3), keepdims=True) for part in (images.min, images.max))
    found = restored("stretch", images)
    np.testing.assert_allclose(found, (images - low) / (high - low), atol=1e-12)
    np.testing.assert_allclose(restored("stretch", 0.2 * images + 0.5), found, atol=1e-9)


def test_equalise_makes_the_histogram_flat() -> None:
    images = pictures()
    for image, found in zip(images, restored("equalise", images), strict=True):
        ranks = stats.rankdata(image, method="max").reshape(image.shape)
        wanted = (ranks - ranks.min()) / (image.size - ranks.min())
        np.testing.assert_allclose(found, wanted, atol=1e-12)
    np.testing.assert_allclose(restored("equalise", images**2), restored("equalise", images))
