"""An autoencoder of the encoder's size: what do unlabelled images do without a generator?

Claim: ours. Inversion repairs images because the generator knows what images look like; an
autoencoder that saw the same images, and learned to repair them, is the rival without a generator.
Command: python -m recipes.fashion32.autoencoder
Time: about 15 minutes on one core; a checkpoint every 500 steps, a re-run continues.
Split: trained on the images of `train`, without labels; measured on `val`.
Writes: runs/fashion32/autoencoder/autoencoder.safetensors, results/fashion32/autoencoder.json.

The network: that of the inversion encoder, to the last number, and a decoder of about the
generator's size. As many steps as the encoder made, of as many images, all of them real. Half of
the images have Gaussian noise of a standard deviation drawn up to `noise` (pixels span 2), a
quarter a mask, as for the encoder; what is learned is the whole, clean image.

Source: Vincent et al. 2008, "Extracting and composing robust features with denoising autoencoders".
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from genviews import Rng, load_classifier, load_generator
from genviews.classify.model import predict_logits
from genviews.data.fashion import fashion_mnist
from genviews.data.images import ImageSet
from genviews.ensemble.significance import accuracy_interval
from genviews.identity import identify
from genviews.identity.checkpoint import read_checkpoint, write_checkpoint
from genviews.invert.encoder import EncoderConfig, InversionEncoder
from genviews.invert.encoder_training import random_masks
from genviews.modes import evaluating
from genviews.robustness.corruption import corruption
from genviews.robustness.restore import Restoration
from genviews.types import Images
from genviews.weights import load_network, save_network
from recipes.fashion32 import train_encoder
from recipes.recipe import finish, folder_of, run

RESULT = Path("results/fashion32/autoencoder.json")
FOLDER = Path("runs/fashion32/autoencoder")
WIDTHS = (32, 64, 32)  # channels of the decoder at 8, 16 and 32 pixels
SHIFTS = ("gaussian_noise:2", "gaussian_noise:3@imagenet-c", "gaussian_blur:3@imagenet-c")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How it is trained; what is not said is as for the encoder."""

    steps: int = train_encoder.CONFIG.steps
    batch: int = train_encoder.CONFIG.batch
    lr: float = train_encoder.CONFIG.lr
    masked: float = train_encoder.CONFIG.masked
    noise: float = 0.5
    noisy: float = 0.5
    seed: int = 0


class Autoencoder(nn.Module):
    """(B, C, 32, 32) images to images, both in [-1, 1], through as many numbers as a latent has.

    Args:
        channels: C.
        rows: of the code.
        width: of a row.
    """

    def __init__(self, channels: int, rows: int, width: int) -> None:
        super().__init__()
        self.config = {"channels": channels, "rows": rows, "width": width}
        self.encoder = InversionEncoder(
            EncoderConfig(image_channels=channels, size=32, num_layers=rows, dim=width)
        )
        inside = WIDTHS[0]
        self.spread = nn.Linear(rows * width, inside * 16)
        layers: list[nn.Module] = []
        for out in WIDTHS:
            layers += [nn.Upsample(scale_factor=2), nn.Conv2d(inside, out, 3, 1, 1, bias=False)]
            layers += [nn.BatchNorm2d(out), nn.ReLU()]
            inside = out
        self.decoder = nn.Sequential(*layers, nn.Conv2d(inside, channels, 3, 1, 1), nn.Tanh())

    def forward(self, images: Images, masks: Tensor | None = None) -> Images:
        """The images as it knows them; `masks` is 1 where a pixel is known."""
        code = self.spread(self.encoder(images, masks).flatten(1))
        found: Images = self.decoder(code.unflatten(1, (WIDTHS[0], 4, 4)))
        return found

    def save(self, path: Path) -> None:
        """Write weights and sizes to one safetensors file."""
        save_network(path, self, type(self).__name__, self.config)

    @classmethod
    def load(cls, path: Path) -> Autoencoder:
        """Read what `save` wrote, in eval mode."""
        return load_network(path, cls.__name__, lambda given: cls(**given)).requires_grad_(False)


@dataclass(frozen=True, eq=False)
class Autoencoded(Restoration):
    """Images as an autoencoder knows them, in the place of the images.

    Args:
        network: that was trained.
    """

    network: Autoencoder
    kind: ClassVar[str] = "autoencoder"

    def change(self, values: Tensor) -> Tensor:
        """See `Restoration`; with a gradient where the images ask for one."""
        with evaluating(self.network):
            made = [self.network(part * 2 - 1) for part in values.float().split(256)]
        return (torch.cat(made).to(values) + 1) / 2


def train(images: ImageSet, settings: Settings, checkpoint: Path) -> Autoencoder:
    """Train one, from its checkpoint where that is there; (seed, step) decide all of a step."""
    latent = load_generator("fashion32").generator.latent_spec
    rng = Rng(settings.seed, "autoencoder")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(rng.child("first weights").torch().initial_seed())
        network = Autoencoder(images.image_spec.channels, latent.num_layers, latent.dim)
    network.to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(network.parameters(), lr=settings.lr, betas=(0.9, 0.99))
    identity, first = identify(settings=settings, network=network, images=images), 0
    if checkpoint.exists():
        state = read_checkpoint(checkpoint, identity)
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        first = state["step"]
    network.train()
    for step in range(first, settings.steps):
        rate = 0.5 * (1 + math.cos(math.pi * step / settings.steps))
        for group in optimiser.param_groups:
            group["lr"] = settings.lr * min(rate, (step + 1) / 100)
        seen, masks, wanted = batch_of(images, settings, rng.child(str(step)).torch())
        loss = (network(seen, masks) - wanted).abs().mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        if (step + 1) % 500 == 0 or step + 1 == settings.steps:
            print(step + 1, round(loss.item(), 4), flush=True)
            parts = {"network": network.state_dict(), "optimiser": optimiser.state_dict()}
            write_checkpoint(checkpoint, identity, {**parts, "step": step + 1})
    return network.eval().requires_grad_(False)


def batch_of(
    images: ImageSet, settings: Settings, rng: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """What is seen, which of its pixels are known, and what is to be learned."""
    count = settings.batch
    wanted = images.images[torch.randint(len(images), (count,), generator=rng)]
    deviation = settings.noise * torch.rand(count, 1, 1, 1, generator=rng)
    deviation[torch.rand(count, generator=rng) >= settings.noisy] = 0.0
    seen = (wanted + deviation * torch.randn(wanted.shape, generator=rng)).clamp(-1, 1)
    masks = random_masks(count, (wanted.shape[2], wanted.shape[3]), rng)
    masks[torch.rand(count, generator=rng) >= settings.masked] = 1.0
    return seen, masks, wanted


def measured(network: Autoencoder, images: ImageSet, shift: str) -> dict[str, object]:
    """Error, and what the kit's classifier says of images under a shift and as they are made."""
    given, labels = images.images, images.labels
    assert labels is not None
    if shift:
        given = corruption(shift)(given, Rng(0, "autoencoder measured").streams(images.ids))
    made = Autoencoded(network)(given)
    found: dict[str, object] = {"l1_to_clean": float((made - images.images).abs().mean())}
    for name, pixels in (("images", given), ("made", made)):
        right = int(
            (predict_logits(load_classifier("fashion32"), pixels).argmax(-1) == labels).sum()
        )
        interval = accuracy_interval(right, len(labels))
        found[name] = {"accuracy": right / len(labels), "interval": interval}
    return found


def main(*, out: Path = FOLDER, quick: bool = False) -> dict[str, object]:
    """Train (or continue), keep and measure; `quick` makes two steps and writes no result."""
    place, settings = folder_of(out, quick=quick), Settings()
    images, known = fashion_mnist("train"), fashion_mnist("val")
    if quick:
        settings = replace(settings, steps=2, batch=4)
        images, known = images.select(range(10)), known.select(range(10))
    network = train(replace(images, labels=None), settings, place / "autoencoder.pt")
    network.save(place / "autoencoder.safetensors")
    found = {
        "seed": settings.seed,
        "config": {"training": asdict(settings), "network": network.config, "decoder": WIDTHS},
        "parameters": sum(weight.numel() for weight in network.parameters()),
        "val": {shift or "clean": measured(network, known, shift) for shift in ("", *SHIFTS)},
    }
    return finish("autoencoder", found, None if quick else RESULT)


if __name__ == "__main__":
    run(main)
