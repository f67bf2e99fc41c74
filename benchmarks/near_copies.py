"""How many copies of pictures are found in two splits, and how many pictures are taken for copies.

Pictures are taken for copies where at most `ALIKE` signs of their slowest waves differ
(`genviews.data.leakage`). The hardest false ones at hand are clothes, enlarged to 64 pixels: how
many of the test images of Fashion-MNIST have such a neighbour in train. (Looked at, the nearest
seven of 10,000 are one photograph each.) Copies are JPEG at quality 75, half the size and back, and
both. 28x28 pixels, which are not looked at, and cuts of two photographs stand beside them.

Command: python -m benchmarks.near_copies
Time: two minutes.
Writes: results/benchmarks/near_copies.json
"""

from __future__ import annotations

import argparse
import io
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torch import Tensor

from genviews.data.fashion import fashion_mnist
from genviews.data.leakage import ALIKE, SIDE, count_apart, wave_signs
from genviews.environment import environment
from genviews.files import write_json

OUT = Path("results/benchmarks/near_copies.json")
BLOCK = 500
Pictures = list[Image.Image]


def jpeg(picture: Image.Image) -> Image.Image:
    """Saved again, at quality 75."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=75)
    return Image.open(file).convert("L")


def halved(picture: Image.Image) -> Image.Image:
    """Made half as large, and enlarged again as `--resize` does."""
    small = picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.BILINEAR)
    return small.resize(picture.size, Image.Resampling.BILINEAR)


COPIES = {
    "jpeg 75": jpeg,
    "half the size": halved,
    "half the size, jpeg 75": lambda picture: jpeg(halved(picture)),
}


def signs(pictures: Pictures) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """Of all of them."""
    parts = []
    for start in range(0, len(pictures), BLOCK):
        stack = np.stack([np.asarray(one) for one in pictures[start : start + BLOCK]])
        parts.append(wave_signs(torch.from_numpy(stack).float() / 127.5 - 1.0))
    return np.concatenate(parts)


def pictures_of(images: Tensor, side: int) -> Pictures:
    """The clothes without their frame of zeros, enlarged to so many pixels."""
    eight = ((images[:, 0, 2:-2, 2:-2] + 1) * 127.5).round().to(torch.uint8).numpy()
    return [Image.fromarray(one).resize((side, side), Image.Resampling.BICUBIC) for one in eight]


def photographs(side: int) -> Pictures:
    """Squares of scikit-learn's two photographs, each half over the next."""
    found = []
    for photo in load_sample_images().images:
        grey = Image.fromarray(photo).convert("L")
        for top in range(0, grey.height - side + 1, side // 2):
            for left in range(0, grey.width - side + 1, side // 2):
                found.append(grey.crop((left, top, left + side, top + side)))
    return found


def taken(train: Pictures, test: Pictures) -> float:
    """Share of test pictures that are taken for copies of one of train."""
    own, known = signs(test), signs(train)
    near = [count_apart(own[start : start + 8], known).min(1) for start in range(0, len(own), 8)]
    return float((np.concatenate(near) <= ALIKE).mean())


def copies_found(base: Pictures) -> dict[str, float]:
    """Share of copies that are taken for copies, by kind."""
    own, copies = signs(base), dict[str, float]()
    for name, copy in COPIES.items():
        again = signs([copy(one) for one in base])
        apart = sum(np.bitwise_count(a ^ b) for a, b in zip(own.T, again.T, strict=True))
        copies[name] = float((apart <= ALIKE).mean())
    return copies


def main(*, quick: bool = False, out: str | Path = OUT) -> dict[str, Any]:
    """Measure, print and write.

    Args:
        quick: few images.
        out: JSON file.
    """
    began = time.perf_counter()
    train = torch.cat([fashion_mnist(split).images for split in ("train", "val")])
    test = fashion_mnist("test").images
    if quick:
        train, test = train[:300], test[:100]
    sides = (SIDE, 28)
    report = {
        "command": "python -m benchmarks.near_copies",
        "config": {
            "seed": 0,  # of the splits; nothing else is left to chance
            "alike": ALIKE,
            "side": SIDE,
            "train": len(train),
            "test": len(test),
        },
        "taken_for_copies": {
            f"clothes, {side}x{side}": taken(pictures_of(train, side), pictures_of(test, side))
            for side in sides
        },
        "copies_found": {
            **{f"clothes, {side}x{side}": copies_found(pictures_of(test, side)) for side in sides},
            **{f"photographs, {s}x{s}": copies_found(photographs(s)) for s in (SIDE, 3 * SIDE)},
        },
        "seconds": round(time.perf_counter() - began, 1),
        "environment": environment(),
    }
    write_json(Path(out), report)
    print(
        json.dumps({name: report[name] for name in ("taken_for_copies", "copies_found")}, indent=1)
    )
    return report


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", default=OUT)
    main(**vars(parser.parse_args()))
