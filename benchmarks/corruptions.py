"""Corruptions: images a second, and how near they are to the files that made the published sets.

    python -m benchmarks.corruptions --original FOLDER

FOLDER is `ImageNet-C/create_c` of a checkout of the public `hendrycks/robustness` repository, an
oracle only: its functions are called as they stand, but for the argument `multichannel` and the
type `np.float_`, which newer packages do not have, and are given our random draws in the place of
NumPy's. They need scikit-image, SciPy and OpenCV; those of motion_blur and snow need ImageMagick as
well and are left out. shot_noise and impulse_noise draw otherwise than ours and are compared by
what they change on average. Differences are in units of [0, 1], where a step of 8 bits is 0.0039:
glass_blur and pixelate round to 8 bits on the way, ours do not.
Writes results/benchmarks/corruptions.json.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from genviews.environment import environment
from genviews.files import write_json
from genviews.rng import Rng, Streams
from genviews.robustness.corruption import KINDS, SCALES, Corruption, shift_streams
from genviews.types import ImageSpec

RESULT = Path("results/benchmarks/corruptions.json")
FILES = {"cifar-c": "make_cifar_c.py", "imagenet-c": "make_imagenet_c.py"}
SIZES = {"cifar-c": 32, "imagenet-c": 224}  # that the files are written for
PACKAGES = {"sk": "skimage", "cv2": "cv2", "filters": "skimage.filters", "ndimage": "scipy.ndimage"}
WITHOUT = ("motion_blur", "snow")
DRAWN_OTHERWISE = ("shot_noise", "impulse_noise")
SEVERITIES = (1, 3, 5)
TIMED_SIZE = 32

Original = Callable[..., Any]


class _Numpy:
    """NumPy with a name that it has no more, and with given draws in the place of random ones."""

    float_ = np.float64

    def __init__(self) -> None:
        self.random: object = np.random

    def __getattr__(self, name: str) -> object:
        return getattr(np, name)


class _Given:
    """Random numbers that were drawn before, in the order in which they are asked for."""

    def __init__(self, draws: Iterator[np.ndarray]) -> None:
        self._draws = draws

    def normal(self, *, size: tuple[int, ...], scale: float) -> np.ndarray:
        """Those that are normal."""
        return scale * self._next(size)

    def uniform(self, low: float, high: float, size: tuple[int, ...]) -> np.ndarray:
        """Those that are uniform."""
        return low + (high - low) * self._next(size)

    def randint(self, low: int, high: int, *, size: tuple[int, ...]) -> np.ndarray:
        """Whole numbers."""
        return np.floor(self.uniform(low, high, size)).astype(int)

    def _next(self, size: tuple[int, ...]) -> np.ndarray:
        found = next(self._draws)
        assert found.shape == tuple(size)
        return found


def draws_of(made: Corruption, image: int, shape: tuple[int, ...]) -> Iterator[np.ndarray] | None:
    """What ours draws for an image (H, W, C), in the order of theirs; None where theirs differs."""
    height, width, channels = shape
    streams = shift_streams(0, [image]).child(made.kind)

    def uniform(streams: Streams, *size: int) -> np.ndarray:
        return streams.uniform(1, size)[0, 0].double().numpy()

    if made.kind in ("gaussian_noise", "speckle_noise"):
        normal = streams.normal(1, (channels, height, width))[0, 0].double()
        return iter([normal.movedim(0, -1).numpy()])
    if made.kind == "elastic_transform":
        field = uniform(streams.child("field"), 2, height, width)
        return iter([uniform(streams.child("affine"), 3, 2), *field])
    if made.kind == "fog":
        side = 1 << (max(height, width) - 1).bit_length()
        return _by_round(uniform(streams, side, side))
    if made.kind == "glass_blur":
        reach, rounds = (int(n) for n in made.numbers[1:])
        moves = uniform(streams, rounds, 2, height, width)[:, ::-1]  # theirs: columns, then rows
        rows, columns = (range(size - reach, reach, -1) for size in (height, width))
        return (moves[n, :, y, x] for n in range(rounds) for y in rows for x in columns)
    return None


def _by_round(draws: np.ndarray) -> Iterator[np.ndarray]:
    """The draws of a fractal: in each round those of the middles, then of the two sides."""
    step = len(draws)
    while step >= 2:
        corners, middles = slice(None, None, step), slice(step // 2, None, step)
        for rows, columns in ((middles, middles), (corners, middles), (middles, corners)):
            yield draws[rows, columns]
        step //= 2


def originals(path: Path) -> dict[str, Original]:
    """The functions of a file, which does work when it is imported, without that work."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    names: dict[str, Any] = {"np": _Numpy(), "PILImage": Image, "BytesIO": BytesIO}
    for name, module in {**PACKAGES, "color": "skimage.color", "util": "skimage.util"}.items():
        with suppress(ImportError):  # functions that need it fail when they are called
            names[name] = importlib.import_module(module)

    def gaussian(
        image: np.ndarray,
        sigma: float = 1,
        multichannel: bool = False,
        mode: str = "nearest",
        truncate: float = 4.0,
    ) -> np.ndarray:
        axis = -1 if multichannel else None
        blurred: np.ndarray = names["filters"].gaussian(
            image, sigma, mode=mode, truncate=truncate, channel_axis=axis
        )
        return blurred

    names |= {"gaussian": gaussian}
    if "ndimage" in names:
        names |= {"scizoom": names["ndimage"].zoom}
        names |= {"map_coordinates": names["ndimage"].map_coordinates}
    exec(compile(tree, str(path), "exec"), names)
    return {node.name: names[node.name] for node in tree.body if isinstance(node, ast.FunctionDef)}


def pictures(count: int, size: int, channels: int = 3) -> np.ndarray:
    """Images of 8 bits (N, H, W, C): soft shapes, their edges and some grain."""
    draws = Rng(0, "benchmark of corruptions").streams(range(count))
    coarse = draws.uniform(1, (channels, 6, 6))[:, 0]
    soft = torch.nn.functional.interpolate(coarse, (size, size), mode="bicubic").clamp(0, 1)
    edged = torch.where(soft > 0.6, soft, 0.6 * soft)
    grain = draws.child("grain").uniform(1, (channels, size, size))[:, 0]
    found: np.ndarray = (255 * (0.9 * edged + 0.1 * grain)).round().byte().movedim(1, -1).numpy()
    return found


def compare(made: Corruption, original: Original, images: np.ndarray) -> dict[str, float]:
    """What ours and theirs differ by, in units of [0, 1]."""
    numpy, found = original.__globals__["np"], []
    for number, image in enumerate(images):
        draws = draws_of(made, number, image.shape)
        numpy.random = np.random.RandomState(number) if draws is None else _Given(draws)
        found.append(np.asarray(original(Image.fromarray(image), made.severity), float))
    theirs, before = np.stack(found) / 255, images / 255
    given = torch.from_numpy(images).movedim(-1, 1).float() / 127.5 - 1
    ours = made(given, shift_streams(0, range(len(given)))).movedim(1, -1).numpy()
    ours = (ours + 1) / 2
    if made.kind in DRAWN_OTHERWISE:
        return {
            "mean absolute change, ours": float(np.abs(ours - before).mean()),
            "mean absolute change, theirs": float(np.abs(theirs - before).mean()),
        }
    off = np.abs(ours - theirs)
    return {"largest difference": float(off.max()), "mean difference": float(off.mean())}


def compared(folder: Path, count: int) -> dict[str, dict[str, float]]:
    """All kinds that the files have, at several severities on both scales."""
    found = {}
    for scale, file in FILES.items():
        theirs = originals(folder / file)
        images = pictures(count if scale == "cifar-c" else max(2, count // 16), SIZES[scale])
        for kind in KINDS:
            original = theirs.get(kind) or theirs.get(f"{kind}_compression")
            if kind in WITHOUT or original is None:
                continue
            for severity in SEVERITIES:
                made = KINDS[kind](severity, scale)
                found[made.name] = compare(made, original, images)
                print(made.name, found[made.name], flush=True)
    return found


def speeds(batch: int, seconds: float) -> dict[str, dict[str, float]]:
    """Images a second of each kind, grey and colour, at severity 3 of both scales."""
    found: dict[str, dict[str, float]] = {}
    streams = shift_streams(0, range(batch))
    for channels, what in ((1, "grey"), (3, "colour")):
        values = torch.from_numpy(pictures(batch, TIMED_SIZE, channels)).movedim(-1, 1)
        images = (values.float() / 127.5 - 1).contiguous()
        spec = ImageSpec(channels=channels, height=TIMED_SIZE, width=TIMED_SIZE)
        for made in (KINDS[kind](3, scale) for kind in KINDS for scale in SCALES):
            if made.needs_colour and spec.channels == 1:
                continue
            rate = _rate(lambda made=made, x=images: made(x, streams), batch, seconds)
            found.setdefault(made.name, {})[what] = rate
    return found


def _rate(call: Callable[[], Tensor], batch: int, seconds: float) -> float:
    call()
    began, count = time.process_time(), 0
    while (spent := time.process_time() - began) < seconds or not count:
        call()
        count += batch
    return count / max(spent, 1e-9)


def main(
    *,
    original: Path | None = None,
    batch: int = 256,
    count: int = 64,
    seconds: float = 0.3,
    out: Path = RESULT,
) -> float:
    """Measure, compare, write the JSON; returns the slowest speed."""
    torch.set_num_threads(1)
    rates = speeds(batch, seconds)
    found = {} if original is None else compared(original, count)
    write_json(
        out,
        {
            "benchmark": "corruptions",
            "command": "python -m benchmarks.corruptions --original FOLDER",
            "seed": 0,
            "config": {"batch": batch, "count": count, "seconds": seconds, "size": TIMED_SIZE},
            "images_per_processor_second": rates,
            "beside_the_original": found,
            "environment": environment("cpu"),
        },
    )
    slowest = min(min(one.values()) for one in rates.values())
    print(f"slowest {slowest:,.0f} images a second of one core")
    return slowest


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--original", type=Path, default=None, help="folder of the public files")
    parser.add_argument("--batch", type=int, default=256, help="images timed at once")
    parser.add_argument("--count", type=int, default=64, help="small images compared")
    parser.add_argument("--seconds", type=float, default=0.3, help="that each kind is timed for")
    parser.add_argument("--out", type=Path, default=RESULT)
    return parser.parse_args(argv)


if __name__ == "__main__":
    main(**vars(arguments()))
