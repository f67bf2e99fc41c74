"""Train the inversion encoder of fashion32 on samples of its generator, and ship it.

Claim: an encoder that never saw a real image gives the optimisation a start far better than the
mean latent (Chai et al. 2021, Sec. 3.1).
Command: python -m recipes.fashion32.train_encoder
Time: about 25 minutes on one core; a checkpoint every 500 steps, a re-run continues.
Split: trained on generator samples alone; its error on real images is measured on `val`.
Writes: genviews/zoo/fashion32/encoder.safetensors and results/fashion32/encoder.json.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from genviews import load_generator
from genviews.data import fashion_mnist
from genviews.environment import environment
from genviews.files import write_json
from genviews.generators import Generator, ToyGenerator
from genviews.invert import EncoderConfig, EncoderTraining, InversionEncoder, train_encoder
from genviews.memory import keep_freed_memory
from genviews.render import render
from genviews.rng import Rng
from genviews.zoo.card import ENTRIES, record_file

CONFIG = EncoderTraining(steps=2600, batch=64, lr=1.5e-3, latent_weight=0.1, seed=0)
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


def main(*, out: Path = Path("runs/encoder"), quick: bool = False) -> dict[str, object]:
    """Train (or continue), ship and measure; `quick` trains briefly for the toy, ships nothing."""
    out = out.with_name(f"{out.name}-quick") if quick else out
    out.mkdir(parents=True, exist_ok=True)
    generator = ToyGenerator() if quick else load_generator("fashion32").generator
    config = EncoderTraining(steps=30, batch=16) if quick else CONFIG
    architecture = EncoderConfig.for_generator(generator)

    def report(step: int, losses: dict[str, float]) -> None:
        if step % 100 == 0:
            print(step, {name: round(value, 4) for name, value in losses.items()}, flush=True)

    encoder = train_encoder(
        generator, architecture, config, checkpoint=out / "checkpoint.pt", report=report
    )
    encoder.save(out / "encoder.safetensors")
    fresh = generator.sample(Rng(config.seed, "held out").streams(range(1024)))
    samples = render(generator, generator.map(fresh))
    result: dict[str, object] = {
        "recipe": "recipes.fashion32.train_encoder",
        "config": {"training": asdict(config), "architecture": asdict(architecture)},
        "l1": {
            "generator_samples": {
                "mean_latent": l1(generator, None, samples),
                "encoder": l1(generator, encoder, samples),
            }
        },
        "environment": environment(),
    }
    if not quick:
        images = fashion_mnist("val").images
        assert isinstance(result["l1"], dict)
        result["l1"]["val"] = {
            "mean_latent": l1(generator, None, images),
            "encoder": l1(generator, encoder, images),
        }
        encoder.save(ENTRY / "encoder.safetensors")
        what = "InversionEncoder: image and mask -> latents of every row"
        record_file(ENTRY, "encoder.safetensors", what=what, made_with=("generator.safetensors",))
        write_json(RESULT, result)
    return result


if __name__ == "__main__":
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=Path("runs/encoder"))
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    print(main(out=given.out, quick=given.quick))
