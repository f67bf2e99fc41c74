"""Each kind of corruption against its published formula, written plainly in float64."""

from __future__ import annotations

import colorsys
import math
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from genviews.rng import Rng, Streams
from genviews.robustness.corruption import KINDS, corruption

IDS = ("a", 7, "c")
HEIGHT, WIDTH = 13, 17
BOTH = ["{}:1", "{}:5", "{}:3@imagenet-c"]


def pictures(channels: int = 3, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Three images in [0, 1], (3, C, H, W) in float64, with a black, a white and a grey patch."""
    images = np.random.default_rng(0).random((3, channels, height, width))
    images[:, :, :2, :2], images[:, :, -2:, :2], images[:, :, :2, -2:] = 0.0, 1.0, 0.5
    return images


def corrupted(name: str, images: np.ndarray, seed: int = 0) -> np.ndarray:
    made = corruption(name)
    found = made(torch.from_numpy(images) * 2 - 1, Rng(seed).streams(IDS[: len(images)]))
    return (found.numpy() + 1) / 2


def numbers(name: str) -> tuple[float, ...]:
    return corruption(name).numbers


def streams_of(kind: str) -> Streams:
    return Rng(0).streams(IDS).child(kind)


def uniform(streams: Streams, *shape: int) -> np.ndarray:
    return streams.uniform(1, shape)[:, 0].double().numpy()


def agree(found: np.ndarray, wanted: np.ndarray, most: float = 1e-9) -> None:
    np.testing.assert_allclose(found, np.clip(wanted, 0, 1), atol=most)


@pytest.mark.parametrize("name", BOTH)
def test_gaussian_noise(name: str) -> None:
    name = name.format("gaussian_noise")
    noise = corrupted(name, np.full((3, 3, 60, 60), 0.5)) - 0.5
    (wanted,) = numbers(name)
    assert abs(noise.std() / wanted - 1) < 0.02
    assert abs(noise.mean()) < 0.02 * wanted
    one, two = noise[0, 0], noise[0, 1]
    assert abs(np.corrcoef(one.ravel(), two.ravel())[0, 1]) < 0.05


@pytest.mark.parametrize("name", BOTH)
def test_speckle_noise_grows_with_the_light(name: str) -> None:
    name = name.format("speckle_noise")
    (deviation,) = numbers(name)
    levels = np.array([0.0, 0.2, 0.4])[:, None, None, None]
    noise = corrupted(name, levels + np.zeros((3, 3, 60, 60))) - levels
    np.testing.assert_allclose(noise.std((1, 2, 3)), deviation * levels.ravel(), rtol=0.03)
    assert np.abs(noise.mean((1, 2, 3))).max() < 0.01


@pytest.mark.parametrize("name", BOTH)
def test_shot_noise_counts_photons(name: str) -> None:
    name = name.format("shot_noise")
    (photons,) = numbers(name)
    levels = np.array([0.0, 0.1, 0.3])[:, None, None, None]
    counts = photons * corrupted(name, levels + np.zeros((3, 3, 60, 60)))
    np.testing.assert_allclose(counts, counts.round(), atol=1e-4)
    wanted = photons * levels.ravel()
    np.testing.assert_allclose(counts.mean((1, 2, 3)), wanted, rtol=0.03)
    np.testing.assert_allclose(counts.var((1, 2, 3)), wanted, rtol=0.06)


@pytest.mark.parametrize("name", BOTH)
def test_impulse_noise_is_salt_and_pepper(name: str) -> None:
    name = name.format("impulse_noise")
    (share,) = numbers(name)
    found = corrupted(name, np.full((3, 3, 100, 100), 0.5))
    assert set(np.unique(found)) == {0.0, 0.5, 1.0}
    for value in (0.0, 1.0):
        assert abs((found == value).mean() / (share / 2) - 1) < 0.1
    black = (found == 0).astype(float)
    assert abs(np.corrcoef(black[:, 0].ravel(), black[:, 1].ravel())[0, 1]) < 0.03


@pytest.mark.parametrize("size", [(13, 17), (1, 5), (2, 3)])
@pytest.mark.parametrize("name", [*BOTH, "{}:5@imagenet-c"])
def test_gaussian_blur(name: str, size: tuple[int, int]) -> None:
    name = name.format("gaussian_blur")
    images = pictures()[..., : size[0], : size[1]]
    sigma = (0, 0, *numbers(name) * 2)
    agree(corrupted(name, images), ndimage.gaussian_filter(images, sigma, mode="nearest"))


@pytest.mark.parametrize("size", [(13, 17), (1, 5)])
@pytest.mark.parametrize("name", ["{}:1", "{}:4", "{}:5", "{}:1@imagenet-c", "{}:5@imagenet-c"])
def test_defocus_blur(name: str, size: tuple[int, int]) -> None:
    name = name.format("defocus_blur")
    radius, rim = numbers(name)
    edge, reach = (8, 1) if radius <= 8 else (int(radius), 2)
    disk = np.array(
        [
            [float(x * x + y * y <= radius**2) for x in range(-edge, edge + 1)]
            for y in range(-edge, edge + 1)
        ]
    )
    kernel = ndimage.gaussian_filter(disk / disk.sum(), rim, mode="mirror", radius=reach)
    images = pictures()[..., : size[0], : size[1]]
    agree(corrupted(name, images), ndimage.correlate(images, kernel[None, None], mode="mirror"))


def motion(image: np.ndarray, radius: float, sigma: float, degrees: float) -> np.ndarray:
    """One channel, blurred as ImageMagick says it does, pixel by pixel."""
    width = 2 * math.ceil(radius) + 1
    weights = [math.exp(-(i * i) / (2 * sigma**2)) for i in range(width)]
    turn, found = math.radians(degrees), np.zeros_like(image)
    for (y, x), i in ((at, i) for at in np.ndindex(image.shape) for i in range(width)):
        row = min(max(y + math.ceil(i * math.sin(turn) - 0.5), 0), image.shape[0] - 1)
        column = min(max(x + math.ceil(i * math.cos(turn) - 0.5), 0), image.shape[1] - 1)
        found[y, x] += weights[i] / sum(weights) * image[row, column]
    return found


@pytest.mark.parametrize("name", ["{}:1", "{}:4@imagenet-c"])
def test_motion_blur(name: str) -> None:
    name, images = name.format("motion_blur"), pictures(1, 6, 9)
    degrees = 90 * uniform(streams_of("motion_blur")) - 45
    wanted = [[motion(x[0], *numbers(name), turn)] for x, turn in zip(images, degrees, strict=True)]
    agree(corrupted(name, images), np.array(wanted))


def zoom(image: np.ndarray, factor: float) -> np.ndarray:
    """One channel, its middle stretched by SciPy."""
    inner = [math.ceil(size / factor) for size in image.shape]
    cut = [slice((n - c) // 2, (n - c) // 2 + c) for n, c in zip(image.shape, inner, strict=True)]
    large = ndimage.zoom(image[cut[0], cut[1]], factor, order=1)
    top, left = ((a - b) // 2 for a, b in zip(large.shape, image.shape, strict=True))
    return large[top : top + image.shape[0], left : left + image.shape[1]]


@pytest.mark.parametrize("name", ["{}:1", "{}:5", "{}:4@imagenet-c", "{}:5@imagenet-c"])
def test_zoom_blur(name: str) -> None:
    name, images = name.format("zoom_blur"), pictures(1, 20, 15)
    published = [
        np.arange(1, 1.06, 0.01), np.arange(1, 1.26, 0.01), np.arange(1, 1.26, 0.02),
        np.arange(1, 1.31, 0.03),
    ]  # fmt: skip
    factors = dict(zip(["1", "5", "4@imagenet-c", "5@imagenet-c"], published, strict=True))
    used = factors[name.split(":")[1]]
    wanted = [[(x[0] + sum(zoom(x[0], f) for f in used)) / (len(used) + 1)] for x in images]
    agree(corrupted(name, images), np.array(wanted))


@pytest.mark.parametrize("size", [(13, 17), (6, 6), (2, 9)])
@pytest.mark.parametrize("name", ["{}:3", "{}:5", "{}:3@imagenet-c", "{}:4@imagenet-c"])
def test_glass_blur(name: str, size: tuple[int, int]) -> None:
    name, images = name.format("glass_blur"), pictures(3, *size)
    sigma, reach, rounds = corruption(name).numbers
    reach, rounds = int(reach), int(rounds)
    around = (0, 0, sigma, sigma)
    wanted = ndimage.gaussian_filter(images, around, mode="nearest")
    moves = np.floor(uniform(streams_of("glass_blur"), rounds, 2, *size) * 2 * reach) - reach
    for number, turn in ((n, i) for n in range(3) for i in range(rounds)):
        for h in range(size[0] - reach, reach, -1):
            for w in range(size[1] - reach, reach, -1):
                dy, dx = moves[number, turn, :, h, w].astype(int)
                wanted[number, :, h, w] = wanted[number, :, h + dy, w + dx]
    agree(corrupted(name, images), ndimage.gaussian_filter(wanted, around, mode="nearest"))


def by_pixel(images: np.ndarray, change) -> np.ndarray:
    """HSV colours changed one at a time by the standard library."""
    wanted = np.empty_like(images)
    for n, y, x in np.ndindex(len(images), *images.shape[2:]):
        wanted[n, :, y, x] = colorsys.hsv_to_rgb(*change(*colorsys.rgb_to_hsv(*images[n, :, y, x])))
    return wanted


@pytest.mark.parametrize("name", BOTH)
def test_brightness_is_that_of_hsv(name: str) -> None:
    name, images = name.format("brightness"), pictures(3, 5, 6)
    (more,) = numbers(name)
    agree(corrupted(name, images), by_pixel(images, lambda h, s, v: (h, s, min(v + more, 1))))
    agree(corrupted(name, images[:, :1]), images[:, :1] + more)


@pytest.mark.parametrize("name", [*BOTH, "{}:5@imagenet-c"])
def test_saturate_is_that_of_hsv(name: str) -> None:
    name, images = name.format("saturate"), pictures(3, 5, 6)
    factor, more = numbers(name)
    wanted = by_pixel(images, lambda h, s, v: (h, min(s * factor + more, 1), v))
    agree(corrupted(name, images), wanted)


@pytest.mark.parametrize("name", BOTH)
def test_contrast(name: str) -> None:
    name, images = name.format("contrast"), pictures()
    means = images.mean((2, 3), keepdims=True)
    agree(corrupted(name, images), (images - means) * numbers(name)[0] + means)


def plasma(draws: np.ndarray, decay: float) -> np.ndarray:
    """The diamond-square algorithm, point by point on a field that wraps around."""
    side = len(draws)
    field, step, wibble = np.zeros((side, side)), side, 100.0

    def mean(y: int, x: int, around: list[tuple[int, int]]) -> float:
        near = [field[(y + dy) % side, (x + dx) % side] for dy, dx in around]
        return sum(near) / 4 + wibble * wibble * (2 * draws[y, x] - 1)

    while step >= 2:
        half = step // 2
        corners = [(-half, -half), (-half, half), (half, -half), (half, half)]
        sides = [(-half, 0), (half, 0), (0, -half), (0, half)]
        for y, x in np.ndindex(side // step, side // step):
            y, x = y * step + half, x * step + half
            field[y, x] = mean(y, x, corners)
        for y, x in np.ndindex(side // step, side // step):
            for at in [(y * step, x * step + half), (y * step + half, x * step)]:
                field[at] = mean(*at, sides)
        step, wibble = half, wibble / decay
    return (field - field.min()) / (field.max() - field.min())


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize(("size", "side"), [((13, 17), 32), ((8, 5), 8)])
def test_fog(name: str, size: tuple[int, int], side: int) -> None:
    name, images = name.format("fog"), pictures(3, *size) * 0.9
    thick, decay = numbers(name)
    fractals = [plasma(x, decay) for x in uniform(streams_of("fog"), side, side)]
    fog = np.stack(fractals)[:, None, : size[0], : size[1]]
    most = images.max((1, 2, 3), keepdims=True)
    agree(corrupted(name, images), np.clip((images + thick * fog) * most / (most + thick), 0, 1))


@pytest.mark.parametrize("name", BOTH)
def test_snow(name: str) -> None:
    name, images = name.format("snow"), pictures(3, 8, 11)
    mean, deviation, factor, least, radius, sigma, kept = numbers(name)
    streams = streams_of("snow")
    drawn = mean + deviation * streams.normal(1, (8, 11))[:, 0].double().numpy()
    degrees = -135 + 90 * uniform(streams.child("wind"))
    for image, field, turn, found in zip(
        images, drawn, degrees, corrupted(name, images), strict=True
    ):
        flakes = zoom(field, factor)
        flakes = np.clip(np.where(flakes < least, 0, flakes), 0, 1)
        flakes = motion(flakes, radius, sigma, turn)
        grey = np.tensordot([0.299, 0.587, 0.114], image, 1)
        white = kept * image + (1 - kept) * np.maximum(image, grey * 1.5 + 0.5)
        agree(found, white + flakes + np.rot90(flakes, 2), 1e-6)


@pytest.mark.parametrize("name", [*BOTH, "{}:1@imagenet-c"])
@pytest.mark.parametrize("size", [(13, 17), (12, 12)])
def test_elastic_transform(name: str, size: tuple[int, int]) -> None:
    name, (height, width) = name.format("elastic_transform"), size
    images = pictures(1, height, width)
    far, smooth, affine = (min(size) * part for part in numbers(name))
    streams = streams_of("elastic_transform")
    moves = affine * (2 * uniform(streams.child("affine"), 3, 2) - 1)
    fields = 2 * uniform(streams.child("field"), 2, height, width) - 1
    middle, arm = np.array([width // 2, height // 2]), min(size) // 3
    points = np.array([middle + arm, [middle[0] + arm, middle[1] - arm], middle - arm])
    y, x = np.mgrid[:height, :width].astype(float)
    for image, move, field, found in zip(
        images, moves, fields, corrupted(name, images), strict=True
    ):
        # before = back @ (x, y, 1) for the three points, from where they moved to
        after = np.column_stack([points + move, np.ones(3)])
        back = np.linalg.solve(after, points).T
        column, row = (a * x + b * y + c for a, b, c in back)
        turned = ndimage.map_coordinates(image[0], [row, column], order=1, mode="mirror")
        right, down = (
            far * ndimage.gaussian_filter(one, smooth, mode="reflect", truncate=3) for one in field
        )
        places = [y + down, x + right]
        wanted = ndimage.map_coordinates(turned, places, order=1, mode="reflect")
        agree(found[0], wanted)


@pytest.mark.parametrize("name", ["{}:1", "{}:2", "{}:5", "{}:3@imagenet-c", "{}:5@imagenet-c"])
def test_pixelate_is_the_box_filter_of_pillow(name: str) -> None:
    name, images = name.format("pixelate"), pictures(1)
    (share,) = numbers(name)
    small = (int(WIDTH * share), int(HEIGHT * share))
    for image, found in zip(images, corrupted(name, images), strict=True):
        tiny = Image.fromarray(image[0].astype(np.float32)).resize(small, Image.Resampling.BOX)
        agree(found[0], np.asarray(tiny.resize((WIDTH, HEIGHT), Image.Resampling.BOX)), 1e-6)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", BOTH)
def test_jpeg_is_a_file_of_it(name: str, channels: int) -> None:
    name, images = name.format("jpeg"), pictures(channels)
    for image, found in zip(images, corrupted(name, images), strict=True):
        file = BytesIO()
        pixels = np.rint(image.transpose(1, 2, 0) * 255).astype(np.uint8)
        Image.fromarray(pixels.squeeze()).save(file, format="jpeg", quality=int(numbers(name)[0]))
        with Image.open(file) as read:
            assert read.mode == ("L" if channels == 1 else "RGB")
            wanted = np.asarray(read, dtype=float).reshape(HEIGHT, WIDTH, channels)
        agree(found, wanted.transpose(2, 0, 1) / 255)


SURE = {"gaussian_blur", "defocus_blur", "zoom_blur", "pixelate", "jpeg"}
SURE |= {"brightness", "contrast", "saturate"}


@pytest.mark.parametrize("kind", KINDS)
def test_another_seed_is_another_image_of_what_is_random(kind: str) -> None:
    name, image = f"{kind}:3", pictures()[:1]
    again, same = corrupted(name, image, seed=1), corrupted(name, image)
    assert np.array_equal(again, same) is (kind in SURE)


@pytest.mark.parametrize("kind", sorted(set(KINDS) - SURE - {"shot_noise", "snow"}))
def test_severities_share_their_draws(kind: str) -> None:
    """What is random goes the same way at each severity, so that strengths are compared alike."""
    image = np.full((1, 1, 24, 24), 0.5) if "noise" in kind else pictures(1, 24, 24)[:1]
    one, two = (corrupted(f"{kind}:{n}", image) - image for n in (4, 5))
    assert np.corrcoef(one.ravel(), two.ravel())[0, 1] > 0.5
