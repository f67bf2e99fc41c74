"""Train the inversion encoder of fashion32 on samples and on real images, and ship it.

Claim: an encoder gives the optimisation a start far better than the mean latent (Chai et al. 2021,
Sec. 3.1); one that saw real images as well needs hardly any optimisation (Zhu et al. 2020).
Command: python -m recipes.fashion32.train_encoder
Time: about 25 minutes on one core; a checkpoint every 500 steps, a re-run continues.
Split: trained on generator samples and on the images of `train`, without labels; its error on real
images is measured on `val`.
Writes: genviews/zoo/fashion32/encoder.safetensors and results/fashion32/encoder.json.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import Tensor

from genviews import load_generator
from genviews.data.fashion import fashion_mnist
from genviews.data.images import ImageSet
from genviews.generators.base import Generator
from genviews.generators.toy import ToyGenerator
from genviews.invert.encoder import EncoderConfig, InversionEncoder
from genviews.invert.encoder_training import EncoderTraining, train_encoder
from genviews.render import render
from genviews.rng import Rng
from genviews.zoo.card import ENTRIES, record_file
from recipes.recipe import finish, folder_of, run

CONFIG = EncoderTraining(
    steps=9000, batch=64, real_fraction=0.5, lr=1.5e-3, latent_weight=0.1, seed=0
)
ENTRY = ENTRIES / "fashion32"
RESULT = Path("results/fashion32/encoder.json")


def l1(generator: Generator, encoder: InversionEncoder | None, images: Tensor) -> float:
    """Mean absolute error, in [-1, 1] units, of encode and render; None encodes to the mean."""
    with torch.no_grad():
        if encoder is None:
            latents = generator.mean_latent().expand(len(images), -1, -1)
        else:
            latents = torch.cat([encoder(part) for part in images.split(256)])
    return float((render(generator, latents.contiguous()) - images).abs().mean())


def _drawn(generator: Generator, count: int = 20) -> ImageSet:
    """Samples that no training sees."""
    fresh = generator.sample(Rng(CONFIG.seed, "held out").streams(range(count)))
    images = render(generator, generator.map(fresh)).clamp(-1, 1)
    return ImageSet(images=images, ids=tuple(map(str, range(count))))


def main(*, out: Path = Path("runs/encoder"), quick: bool = False) -> dict[str, object]:
    """Train (or continue), ship and measure; `quick` trains briefly for the toy, ships nothing."""
    place = folder_of(out, quick=quick)
    generator = ToyGenerator() if quick else load_generator("fashion32").generator
    config = EncoderTraining(steps=30, batch=16) if quick else CONFIG
    architecture = EncoderConfig.for_generator(generator)
    real = _drawn(generator) if quick else replace(fashion_mnist("train"), labels=None)

    def report(step: int, losses: dict[str, float]) -> None:
        if step % 100 == 0:
            print(step, {name: round(value, 4) for name, value in losses.items()}, flush=True)

    encoder = train_encoder(
        generator,
        architecture,
        config,
        real=real,
        checkpoint=place / "checkpoint.pt",
        report=report,
    )
    encoder.save(place / "encoder.safetensors")
    measured_on = {"generator_samples": _drawn(generator, 1024).images}
    if not quick:
        measured_on["val"] = fashion_mnist("val").images
        encoder.save(ENTRY / "encoder.safetensors")
        what = "InversionEncoder: image and mask -> latents of every row"
        record_file(ENTRY, "encoder.safetensors", what=what, made_with=("generator.safetensors",))
    found = {
        "seed": config.seed,
        "config": {"training": asdict(config), "architecture": asdict(architecture)},
        "l1": {
            name: {
                "mean_latent": l1(generator, None, images),
                "encoder": l1(generator, encoder, images),
            }
            for name, images in measured_on.items()
        },
    }
    return finish("train_encoder", found, None if quick else RESULT)


if __name__ == "__main__":
    run(main)
