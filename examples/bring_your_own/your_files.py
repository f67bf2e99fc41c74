"""What a new user brings: a folder of pictures, a trained DCGAN and a trained CNN; made in seconds.

The pictures are coloured disks, rings and bars. In place of adversarial training, which takes
hours, the DCGAN is fitted to pictures together with a code z for each.
"""

from __future__ import annotations

from pathlib import Path

import cnn
import torch
from dcgan import DCGAN
from PIL import Image
from torch import Tensor, nn

CLASSES = ("bar", "disk", "ring")


def draw(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Pictures (N, 3, 32, 32) in [-1, 1] and their classes, in turn."""
    chance = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % len(CLASSES)
    place, size, shade = torch.rand(3, count, 3, 1, 1, generator=chance)
    axis = torch.linspace(-1, 1, 32)
    x = axis[None, None, :] - 0.6 * (place[:, 0] - 0.5)
    y = axis[None, :, None] - 0.6 * (place[:, 1] - 0.5)
    radius = (x.square() + y.square()).sqrt()
    wide = 0.35 + 0.25 * size[:, 0]
    edge = torch.stack([x.abs() - wide / 3 + 0 * y, radius - wide, (radius - wide).abs() - 0.12])
    shape = torch.sigmoid(-12 * edge[labels, torch.arange(count)])[:, None]
    return 2 * shape * (0.4 + 0.6 * shade) - 1, labels


def write_pictures(folder: Path, count: int, seed: int) -> None:
    """Write pictures as PNG files, a folder for each class."""
    images, labels = draw(count, seed)
    pixels = ((images + 1) * 127.5).round().byte().movedim(1, -1).numpy()
    for index, (picture, label) in enumerate(zip(pixels, labels.tolist(), strict=True)):
        place = folder / CLASSES[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(place / f"{index:04d}.png")


def fit_dcgan(steps: int, last: type = nn.Tanh) -> DCGAN:
    """A DCGAN fitted to pictures; with a sigmoid at the end its images are in [0, 1]."""
    torch.manual_seed(0)
    images, _ = draw(240, seed=1)
    target = images if last is nn.Tanh else (images + 1) / 2
    module, codes = DCGAN(last=last), torch.randn(len(images), 16, 1, 1).requires_grad_()
    adam = torch.optim.Adam(
        [{"params": module.parameters(), "lr": 5e-3}, {"params": [codes], "lr": 3e-2}]
    )
    for _ in range(steps):
        rows = torch.randint(len(images), (32,))
        loss = (module(codes[rows]) - target[rows]).abs().mean() + 1e-3 * codes.square().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    return module.eval()


def make(
    folder: Path,
    *,
    pictures: int,
    steps: int,
    last: type = nn.Tanh,
    order: tuple[str, ...] = CLASSES,
) -> None:
    """Write pictures/, dcgan.pt and cnn.pt into a folder.

    Args:
        folder: for the files.
        pictures: how many.
        steps: of the fit of DCGAN and CNN.
        last: last layer of the DCGAN.
        order: of the classes that the CNN was trained with.
    """
    write_pictures(folder / "pictures", pictures, seed=0)
    torch.save(fit_dcgan(steps, last).state_dict(), folder / "dcgan.pt")
    images, labels = draw(240, seed=1)
    theirs = torch.tensor([order.index(name) for name in CLASSES])[labels]
    torch.save(cnn.train(images, theirs, steps).state_dict(), folder / "cnn.pt")
