"""Training an inversion encoder for any generator, on the generator's own samples alone.

    min_E  E_{w, m} |m (x - G(E(x, m)))|_1 + lambda |w - E(x, m)|^2,   x = G(w)

Samples that the generator does not draw in finite numbers are left out, and a step whose loss is
not finite is not made, so that a few of them spoil nothing.

Exact resume: every random number comes from (seed, step), so a checkpoint holds weights, optimiser
and step.

Source: Chai et al. 2021, Eq. 2-3; masks after the latent-composition code (uniform 6x6 noise,
thresholded).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from genviews.checks import check_count, check_fraction, check_number, fail, finite_rows
from genviews.generators.base import Generator, check_is_generator
from genviews.identity import Identity, identify
from genviews.identity.checkpoint import read_checkpoint, write_checkpoint
from genviews.invert.encoder import EncoderConfig, InversionEncoder
from genviews.modes import evaluating, frozen, gradients, ordinary
from genviews.rng import Rng
from genviews.types import Masks

__all__ = ["EncoderTraining", "random_masks", "train_encoder"]

Report = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True, kw_only=True)
class EncoderTraining:
    """How to train.

    Args:
        steps: optimisation steps.
        batch: generator samples a step.
        lr: Adam learning rate, cosine to 0.
        latent_weight: lambda, on the latent error in units of the latents' variance.
        mixing: fraction of samples whose rows come from two latents, so that the encoder learns
            that rows may differ: the latents of real images lie in W+, not in W.
        masked: fraction of samples with a random mask; the rest are seen whole.
        seed: of samples, masks and initial weights.

    Raises:
        ValueError: a count below 1, a share outside [0, 1], or a rate or weight below 0.
    """

    steps: int
    batch: int = 64
    lr: float = 1e-3
    latent_weight: float = 0.1
    mixing: float = 0.5
    masked: float = 0.25
    seed: int = 0

    def __post_init__(self) -> None:
        check_count(self.steps, "steps of the training")
        check_count(self.batch, "batch of the training")
        check_number(self.lr, "lr", above=0, remedy="try 0.001")
        check_number(self.latent_weight, "latent_weight", least=0, remedy="try 0.1")
        check_fraction(self.mixing, "mixing")
        check_fraction(self.masked, "masked")


def random_masks(batch: int, size: tuple[int, int], rng: torch.Generator) -> Masks:
    """Smooth random masks: 1 (known) where bilinear 6x6 uniform noise < c, with c ~ U(0.3, 1)."""
    noise = torch.rand(batch, 1, 6, 6, generator=rng, device="cpu")
    cut = torch.empty(batch, 1, 1, 1, device="cpu").uniform_(0.3, 1.0, generator=rng)
    smooth = F.interpolate(noise, size=size, mode="bilinear", align_corners=False)
    return (smooth < cut).float()


@torch.no_grad()
def _batch(
    generator: Generator, config: EncoderTraining, step: int
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Latents, images, masks and classes of one step, from (seed, step) alone; finite ones.

    The classes are None where the latents carry them. Some latents have rows from two samples of
    one class.
    """
    rng = Rng(config.seed, "encoder").child(str(step)).torch()
    batch, rows, device = config.batch, generator.latent_spec.num_layers, generator.device
    label = None
    if generator.num_classes:
        label = torch.randint(generator.num_classes, (batch,), generator=rng, device="cpu").to(
            device
        )
    z = torch.randn(2, batch, generator.z_dim, generator=rng, device="cpu").to(device)
    first, second = generator.latents_of(z[0], label), generator.latents_of(z[1], label)
    cross = torch.randint(1, max(rows, 2), (batch,), generator=rng, device="cpu")
    mixed = torch.rand(batch, generator=rng, device="cpu") < config.mixing
    take_second = mixed[:, None] & (torch.arange(rows, device="cpu")[None] >= cross[:, None])
    latents = torch.where(take_second[:, :, None].to(first.device), second, first)
    label = label if generator.renders_label else None
    images = generator.images_of(latents, label)
    masks = random_masks(batch, (images.shape[2], images.shape[3]), rng)
    masks[torch.rand(batch, generator=rng, device="cpu") >= config.masked] = 1.0
    good = finite_rows(latents) & finite_rows(images)
    latents, images, masks = latents[good], images[good], masks.to(images)[good]
    return latents, images, masks, None if label is None else label[good]


def _rate(step: int, steps: int) -> float:
    """Cosine to 0 with a warm-up of 100 steps."""
    return min(0.5 * (1 + math.cos(math.pi * step / steps)), (step + 1) / 100)


@gradients()
def train_encoder(
    generator: Generator,
    architecture: EncoderConfig,
    config: EncoderTraining,
    *,
    checkpoint: Path | None = None,
    checkpoint_every: int = 500,
    report: Report | None = None,
) -> InversionEncoder:
    """Train an encoder; resumes from `checkpoint` if that file exists.

    Args:
        generator: in eval mode and frozen while this lasts, then as it was; moved nowhere, the
            encoder is built on its device. The encoder of a conditional one sees the class in the
            image alone.
        architecture: see `EncoderConfig.for_generator`.
        config: how to train.
        checkpoint: file written every `checkpoint_every` steps, atomically.
        checkpoint_every: in steps.
        report: called after every step with (step, losses).

    Returns:
        The trained encoder in eval mode, frozen.

    Raises:
        ValueError: the checkpoint is of another generator, architecture or training; an
            architecture that does not fit the generator; or a generator that gives no gradient, or
            no finite images.
    """
    check_is_generator(generator)
    check_count(checkpoint_every, "checkpoint_every")
    generator.check_differentiable("the training of an encoder")
    _check_fits(architecture, generator)
    generator = ordinary(generator, [generator])
    with evaluating(generator), frozen(generator):
        identity = None
        if checkpoint is not None:
            identity = identify(generator=generator, architecture=architecture, training=config)
        found = _train(
            generator, architecture, config, checkpoint, identity, checkpoint_every, report
        )
    return found.eval().requires_grad_(False)


def _train(
    generator: Generator,
    architecture: EncoderConfig,
    config: EncoderTraining,
    checkpoint: Path | None,
    identity: Identity | None,
    checkpoint_every: int,
    report: Report | None,
) -> InversionEncoder:
    torch_seed = Rng(config.seed, "encoder/init").torch().initial_seed()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_seed)
        encoder = InversionEncoder(architecture, generator.mean_latent())
    encoder.to(generator.device).to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(encoder.parameters(), lr=config.lr, betas=(0.9, 0.99))
    first = 0
    if checkpoint is not None and identity is not None and checkpoint.exists():
        state = read_checkpoint(checkpoint, identity, generator.device)
        encoder.load_state_dict(state["encoder"])
        optimiser.load_state_dict(state["optimiser"])
        first = state["step"]
    spread, made = _spread(generator, config.seed), first
    for step in range(first, config.steps):
        encoder.train()
        for group in optimiser.param_groups:
            group["lr"] = config.lr * _rate(step, config.steps)
        latents, images, masks, label = _batch(generator, config, step)
        if not len(images):
            continue
        estimate = encoder(images, masks)
        pixel = ((generator.images_of(estimate, label) - images).abs() * masks).sum()
        pixel = pixel / (masks.sum() * images.shape[1])
        latent = F.mse_loss(estimate, latents) / spread
        loss = pixel + config.latent_weight * latent
        if bool(loss.isfinite()):
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            made += 1
        if report is not None:
            report(step + 1, {"pixel": pixel.item(), "latent": latent.item()})
        if checkpoint and identity and (step + 1) % checkpoint_every == 0:
            parts = {"encoder": encoder.state_dict(), "optimiser": optimiser.state_dict()}
            write_checkpoint(checkpoint, identity, {**parts, "step": step + 1})
    if not made:
        fail(
            "generator of the training",
            expected="finite images of some samples",
            got=f"none in {config.steps:,} batches of {config.batch:,}",
            remedy="load its weights again, or run it in float32",
        )
    return encoder


def _check_fits(architecture: EncoderConfig, generator: Generator) -> None:
    given = (architecture.image_channels, architecture.num_layers, architecture.dim)
    wanted = (generator.image_spec.channels, *generator.latent_spec.shape)
    if given != wanted:
        what, names = "encoder config", "(image_channels, num_layers, dim)"
        remedy = "make it with EncoderConfig.for_generator(generator)"
        fail(what, expected=f"{names} {wanted}, as the generator has", got=given, remedy=remedy)


@torch.no_grad()
def _spread(generator: Generator, seed: int) -> Tensor:
    """The mean variance of a latent's numbers over the prior, classes included."""
    z = generator.sample(Rng(seed, "spread").streams(range(2048)))
    first = generator.latents_of(z, generator.labels_in_turn(range(len(z))))[:, 0]
    return first[finite_rows(first)].var(0).mean()
