"""Somebody's DCGAN, as in every tutorial: z is (N, Z, 1, 1), images are in [-1, 1].

It is used as it is. genviews finds out how it takes z, in which range its images are and whether a
gradient reaches z, and says so:

    genviews ensemble --generator dcgan:load_tanh --classifier cnn:load --images pictures/ ...

Run: python examples/bring_your_own/dcgan.py
"""

from __future__ import annotations

import os

import torch
from torch import Tensor, nn

from genviews import CallableGenerator, Rng


class DCGAN(nn.Module):
    """The tutorial's generator, for 32 x 32 pictures."""

    def __init__(self, nz: int = 16, ngf: int = 8, nc: int = 3, last: type = nn.Tanh) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.ConvTranspose2d(nz, ngf * 4, 4, 1, 0, bias=False),
            nn.BatchNorm2d(ngf * 4),
            nn.ReLU(True),
            nn.ConvTranspose2d(ngf * 4, ngf * 2, 4, 2, 1, bias=False),
            nn.BatchNorm2d(ngf * 2),
            nn.ReLU(True),
            nn.ConvTranspose2d(ngf * 2, ngf, 4, 2, 1, bias=False),
            nn.BatchNorm2d(ngf),
            nn.ReLU(True),
            nn.ConvTranspose2d(ngf, nc, 4, 2, 1, bias=False),
            last(),
        )

    def forward(self, z: Tensor) -> Tensor:
        """(N, Z, 1, 1) to (N, C, 32, 32)."""
        return self.main(z)


def load(last: type = nn.Tanh) -> DCGAN:
    """Build the module and read its weights."""
    module = DCGAN(last=last)
    module.load_state_dict(torch.load(os.environ["DCGAN_WEIGHTS"], weights_only=True))
    return module


def load_tanh() -> DCGAN:
    """What --generator dcgan:load_tanh names: it makes a module that gives [-1, 1]."""
    return load()


def load_sigmoid() -> DCGAN:
    """What --generator dcgan:load_sigmoid names: it makes a module that gives [0, 1]."""
    return load(nn.Sigmoid)


def main() -> list[str]:
    """Wrap a DCGAN with either last layer; return what genviews says of them."""
    notes: list[str] = []
    for last in (nn.Tanh, nn.Sigmoid):
        generator = CallableGenerator(DCGAN(last=last).eval())
        z = generator.sample(Rng(0).streams(range(4)))
        images = generator.synthesize(generator.map(z))
        print(f"{last.__name__}: {tuple(images.shape)}, {images.min():.2f} to {images.max():.2f}")
        notes += generator.notes
    print(*notes, sep="\n")
    return notes


if __name__ == "__main__":
    main()
