"""The user's own module and images, as every scenario finds them."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from PIL import Image

GENERATOR = """
import functools
import torch

def render(z, sign):
    row = torch.stack([(z * (k + 1)).cumsum(1)[:, -1] for k in range({size} ** 2)], 1)
    return (sign * (row + z.repeat(1, {size} ** 2 // 4))).tanh().reshape(-1, 1, {size}, {size})

def one(z):
    return render(z, {sign})

def two(z):
    return render(z, -1.0)

def made(sign):
    return lambda z: render(z, sign)

class Model:
    def __init__(self, sign):
        self.sign = sign

    def sample(self, z):
        return render(z, self.sign)

closure = made({sign})
anonymous = lambda z: render(z, {sign})
bound = Model({sign}).sample
part = functools.partial(render, sign={sign})

class Net(torch.nn.Module):
    def forward(self, images):
        mean = {sign} * images.mean((1, 2, 3))
        return torch.stack([-mean, mean], 1)

def network():
    return Net()
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """A function (sign, size) that writes the module `mine` as a fresh process would find it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def written(sign: float = 1.0, size: int = 4) -> None:
        text = GENERATOR.replace("{sign}", str(sign)).replace("{size}", str(size))
        (tmp_path / "mine.py").write_text(text)
        sys.modules.pop("mine", None)

    yield written
    sys.modules.pop("mine", None)


@pytest.fixture
def images(tmp_path):
    """Eight grey images in two classes."""
    for i in range(8):
        pixels = np.random.default_rng(i).integers(0, 90, (4, 4)) + 150 * (i % 2)
        place = tmp_path / "images" / ("dark", "light")[i % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(place / f"{i}.png")
    return tmp_path / "images"
