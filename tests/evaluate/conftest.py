"""Features with classes in them, and folders of photos."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image


@pytest.fixture
def make_features():
    """(h, y): Gaussian classes, apart by `gap` deviations, in features of different scale."""

    def make(
        seed: int,
        num: int,
        classes: int = 4,
        width: int = 10,
        gap: float = 1.0,
        spread: float = 0.5,
    ):
        centres = torch.randn(classes, width, generator=torch.Generator().manual_seed(99))
        draw = torch.Generator().manual_seed(seed)
        y = torch.randint(classes, (num,), generator=draw)
        h = gap * centres[y] + torch.randn(num, width, generator=draw)
        return h * torch.logspace(-0.5, 0.5, width) + 0.3, y

    return make


@pytest.fixture
def write_photo():
    """Write one colour photo: `tint` says how red it is, in [0, 255]."""

    def write(path, tint: int, size=(40, 30), seed: int = 0) -> None:
        pixels = np.random.default_rng(seed).integers(0, 60, (size[1], size[0], 3))
        pixels[..., 0] = np.clip(pixels[..., 0] + tint, 0, 255)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(path)

    return write
