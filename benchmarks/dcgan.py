"""PyTorch's DCGAN tutorial, narrower, on Fashion-MNIST at 64x64; in ten minutes on one thread.

Command: python -m benchmarks.dcgan (--quick: a tiny one on noise, in a second)

Somebody's generator, for benchmarks: transposed convolutions, BatchNorm, ReLU, tanh, trained
against a discriminator as the tutorial does it. Two things are added. What the discriminator sees
has noise on it, or it wins at once. The biases of the first layer are held so low that every
rectifier there is shut at z = 0: the gradient is exactly 0 there, and an optimizer that starts from
the mean of z stays where it is.

Weights are kept in `runs/dcgan`, outside git, with a checkpoint from which a stopped run goes on,
and a sheet of samples.

Source: Radford et al. 2016, arXiv 1511.06434; PyTorch's DCGAN tutorial (networks, training);
Sonderby et al. 2017, arXiv 1610.04490 (noise).
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genviews.data.fashion import fashion_mnist
from genviews.files import atomic_write_bytes
from genviews.report.pictures import png_bytes, to_picture
from genviews.rng import Rng

FOLDER = Path("runs/dcgan")
SHUT = -0.05  # what the first rectifiers get at z = 0, at most


@dataclass(frozen=True, kw_only=True)
class Training:
    """How the DCGAN is trained; but for sizes and `noise` as in the tutorial.

    Args:
        width: channels before the last layer; the tutorial has 64.
        z_dim: width of z; the tutorial has 100.
        updates: of each network.
        batch: images of an update.
        lr: of Adam, with beta_1 = 0.5.
        noise: deviation of the noise on all that the discriminator sees, at first; it falls to a
            tenth. Without it the discriminator tells the two apart by their texture within 200
            updates, and ten minutes later the generator still gives noise.
        seed: of weights, z and the order of images.
    """

    width: int = 24
    z_dim: int = 64
    updates: int = 5000
    batch: int = 32
    lr: float = 2e-4
    noise: float = 0.4
    seed: int = 0


QUICK = Training(width=2, z_dim=8, updates=10, batch=8, lr=0.02)


def generator_network(z_dim: int, width: int) -> nn.Sequential:
    """The tutorial's generator: z (N, Z, 1, 1) -> images (N, 1, 64, 64) in [-1, 1]."""
    widths = [8 * width, 4 * width, 2 * width, width]
    layers: list[nn.Module] = [nn.ConvTranspose2d(z_dim, widths[0], 4, 1, 0, bias=False)]
    for before, after in zip(widths, [*widths[1:], 1], strict=True):
        layers += [nn.BatchNorm2d(before), nn.ReLU()]
        layers.append(nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False))
    return nn.Sequential(*layers, nn.Tanh()).apply(_tutorial_weights)


def discriminator_network(width: int) -> nn.Sequential:
    """The tutorial's discriminator: images (N, 1, 64, 64) -> logits (N, 1, 1, 1)."""
    layers: list[nn.Module] = [nn.Conv2d(1, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
    for before in (width, 2 * width, 4 * width):
        layers.append(nn.Conv2d(before, 2 * before, 4, 2, 1, bias=False))
        layers += [nn.BatchNorm2d(2 * before), nn.LeakyReLU(0.2)]
    last = nn.Conv2d(8 * width, 1, 4, 1, 0, bias=False)
    return nn.Sequential(*layers, last).apply(_tutorial_weights)


def _tutorial_weights(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)


@torch.no_grad()
def shut(network: nn.Sequential) -> None:
    """Lower the biases of the first layer until each of its rectifiers is shut at z = 0."""
    norm = network[1]
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    at_zero = norm.bias - norm.weight * norm.running_mean / (norm.running_var + norm.eps).sqrt()
    norm.bias -= (at_zero - SHUT).clamp(min=0)


def enlarged(images: Tensor) -> Tensor:
    """Images at 64 pixels."""
    return F.interpolate(images, size=(64, 64), mode="bilinear", align_corners=False)


class Trainer:
    """Both networks, their optimizers and the draws, at one update."""

    def __init__(self, training: Training, photos: Tensor) -> None:
        self.training, self.photos, self.updates = training, photos, 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(training.seed)
            self.generator = generator_network(training.z_dim, training.width)
            self.discriminator = discriminator_network(training.width)
        for network in (self.generator, self.discriminator):
            network.to(memory_format=torch.channels_last)  # much faster on a CPU
        self.rng = Rng(training.seed, "dcgan").torch()
        self.adams = [
            torch.optim.Adam(network.parameters(), training.lr, betas=(0.5, 0.999))
            for network in (self.discriminator, self.generator)
        ]

    def step(self) -> tuple[float, float]:
        """One update of the discriminator and one of the generator; returns their losses."""
        training = self.training
        chosen = torch.randint(len(self.photos), (training.batch,), generator=self.rng)
        z = torch.randn(training.batch, training.z_dim, 1, 1, generator=self.rng)
        made, real = self.generator(z), enlarged(self.photos[chosen])
        against = F.softplus(-self._seen(real)) + F.softplus(self._seen(made.detach()))
        self._descend(self.adams[0], against.mean())
        self.discriminator.requires_grad_(False)
        fooled = F.softplus(-self._seen(made))
        self._descend(self.adams[1], fooled.mean())
        self.discriminator.requires_grad_(True)
        shut(self.generator)
        self.updates += 1
        return against.mean().item(), fooled.mean().item()

    def _seen(self, images: Tensor) -> Tensor:
        """Logits of images with noise."""
        level = self.training.noise * max(0.1, 1 - self.updates / self.training.updates)
        noise = torch.randn(images.shape, generator=self.rng)
        logits: Tensor = self.discriminator(images + level * noise)
        return logits

    @staticmethod
    def _descend(adam: torch.optim.Adam, loss: Tensor) -> None:
        adam.zero_grad()
        loss.backward()
        adam.step()

    def state_dict(self) -> dict[str, Any]:
        """All that a run needs to go on."""
        parts = (self.generator, self.discriminator, *self.adams)
        return {
            "training": asdict(self.training),
            "updates": self.updates,
            "rng": self.rng.get_state(),
            "parts": [part.state_dict() for part in parts],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state.

        Raises:
            ValueError: it belongs to another training.
        """
        if state["training"] != asdict(self.training):
            raise ValueError("the checkpoint is of another training: remove its folder")
        self.updates = state["updates"]
        self.rng.set_state(state["rng"])
        parts = (self.generator, self.discriminator, *self.adams)
        for part, kept in zip(parts, state["parts"], strict=True):
            part.load_state_dict(kept)


def train(
    training: Training,
    photos: Callable[[], Tensor],
    folder: Path | None = None,
    say: Callable[[str], None] = print,
) -> nn.Sequential:
    """Train, or go on, or take what is there; returns the generator, in eval mode and frozen.

    Args:
        training: how.
        photos: gives (N, 1, H, W) in [-1, 1] to train on, of any size; asked only if needed.
        folder: of the checkpoint; None keeps nothing.
        say: told how it goes, every hundredth update.
    """
    trainer = Trainer(training, torch.empty(0))
    checkpoint = None if folder is None else folder / "checkpoint.pt"
    if checkpoint is not None and checkpoint.exists():
        trainer.load_state_dict(torch.load(checkpoint, weights_only=True))
    if trainer.updates < training.updates:
        trainer.photos = photos()
    while trainer.updates < training.updates:
        losses = trainer.step()
        if trainer.updates % 100 == 0 or trainer.updates == training.updates:
            say(f"update {trainer.updates}: losses {losses[0]:.3f} and {losses[1]:.3f}")
            if checkpoint is not None:
                checkpoint.parent.mkdir(parents=True, exist_ok=True)
                torch.save(trainer.state_dict(), buffer := io.BytesIO())
                atomic_write_bytes(checkpoint, buffer.getvalue())
                sheet = sample_sheet(trainer.generator, training)
                atomic_write_bytes(checkpoint.with_name("samples.png"), sheet)
    return trainer.generator.eval().requires_grad_(False)


@torch.no_grad()
def sample_sheet(network: nn.Sequential, training: Training, rows: int = 6) -> bytes:
    """A PNG of samples, always of the same z, as the network in eval mode gives them."""
    z = (
        Rng(training.seed, "sample sheet")
        .streams(range(2 * rows * rows))
        .normal(1, (training.z_dim,))
    )
    network.eval()
    images = network(z[:, 0, :, None, None])
    network.train()
    tiles = images.unflatten(0, (rows, 2 * rows)).permute(2, 0, 3, 1, 4)
    return png_bytes(to_picture(tiles.flatten(3).flatten(1, 2)))


def main() -> None:
    """Train at full size, or quickly and without a folder."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a tiny network on noise")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=FOLDER)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.quick:
        noise = Rng(0, "noise").streams(range(16)).uniform(1, (32, 32)) * 2 - 1
        train(QUICK, lambda: noise)
    else:
        train(Training(seed=options.seed), lambda: fashion_mnist("train").images, options.out)


if __name__ == "__main__":
    main()
