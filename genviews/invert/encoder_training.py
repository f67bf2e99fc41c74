"""Training an inversion encoder for any generator: on its own samples, and on real images.

    min_E  E_{x, m} |m (x - G(E(x, m)))|_1 + lambda E_w |w - E(G(w), m)|^2

where x is a sample G(w), or a real image. Real images need no labels; nobody knows their latents,
so they have the pixel term alone. An encoder that saw them answers real images far better than one
that saw samples alone, as real images are never quite samples.

Samples that the generator does not draw in finite numbers are left out, and a step whose loss is
not finite is not made, so that a few of them spoil nothing.

Exact resume: every random number comes from (seed, step), so a checkpoint holds weights, optimiser
and step.

Source: Chai et al. 2021, Eq. 2-3; masks after the latent-composition code (uniform 6x6 noise,
thresholded). Real images: Zhu et al. 2020, In-Domain GAN Inversion, arXiv:2004.00049, Eq. 4.

Differs: Zhu et al. train on real images alone, with features of a VGG and a discriminator; here
samples and their latents take that place, so that no other network is wanted.
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
from genviews.data.images import ImageSet
from genviews.data.source import ImageSource, as_source
from genviews.generators.base import Generator, check_is_generator
from genviews.identity import Identity, identify
from genviews.identity.checkpoint import read_checkpoint, write_checkpoint
from genviews.invert.encoder import EncoderConfig, InversionEncoder
from genviews.modes import evaluating, frozen, gradients, ordinary
from genviews.rng import Rng
from genviews.types import Masks, check_classes

__all__ = ["EncoderTraining", "random_masks", "train_encoder"]

Report = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True, kw_only=True)
class EncoderTraining:
    """How to train.

    Args:
        steps: optimisation steps.
        batch: images a step.
        real_fraction: share of the images of a step that are real; used with real images only.
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
    real_fraction: float = 0.5
    lr: float = 1e-3
    latent_weight: float = 0.1
    mixing: float = 0.5
    masked: float = 0.25
    seed: int = 0

    def __post_init__(self) -> None:
        check_count(self.steps, "steps of the training")
        check_count(self.batch, "batch of the training")
        check_fraction(self.real_fraction, "real_fraction")
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


@dataclass(frozen=True, kw_only=True, eq=False)
class _Batch:
    """What one step sees: samples with their latents first, then real images.

    Args:
        images: (B, C, H, W).
        masks: (B, 1, H, W), 1 where a pixel is known.
        latents: (n, L, D) of the n samples.
        label: class of each image; None where the latents carry it.
    """

    images: Tensor
    masks: Tensor
    latents: Tensor
    label: Tensor | None

    def followed_by(self, other: _Batch) -> _Batch:
        """Both, of which the other has no latents."""
        label = None
        if self.label is not None and other.label is not None:
            label = torch.cat([self.label, other.label])
        return _Batch(
            images=torch.cat([self.images, other.images]),
            masks=torch.cat([self.masks, other.masks]),
            latents=self.latents,
            label=label,
        )


def _masks_of(images: Tensor, config: EncoderTraining, rng: torch.Generator) -> Masks:
    """A random mask for some of the images; the rest are seen whole."""
    masks = random_masks(len(images), (images.shape[2], images.shape[3]), rng)
    masks[torch.rand(len(images), generator=rng, device="cpu") >= config.masked] = 1.0
    return masks.to(images)


@torch.no_grad()
def _samples(generator: Generator, config: EncoderTraining, batch: int, step: int) -> _Batch:
    """Samples of one step, from (seed, step) alone; finite ones.

    Some latents have rows from two samples of one class.
    """
    rng = Rng(config.seed, "encoder").child(str(step)).torch()
    rows, device = generator.latent_spec.num_layers, generator.device
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
    masks = _masks_of(images, config, rng)
    good = finite_rows(latents) & finite_rows(images)
    return _Batch(
        images=images[good],
        masks=masks[good],
        latents=latents[good],
        label=None if label is None else label[good],
    )


def _real(
    source: ImageSource, generator: Generator, config: EncoderTraining, batch: int, step: int
) -> _Batch | None:
    """Different real images of one step, from (seed, step) alone; None where none can be read."""
    rng = Rng(config.seed, "encoder").child(f"real {step}").torch()
    rows = torch.randperm(len(source), generator=rng, device="cpu")[:batch].tolist()
    found = source.read(rows)
    if not len(found):
        return None
    images = found.images.to(generator.device)
    masks = _masks_of(images, config, rng)
    if found.masks is not None:
        masks = masks * found.masks.to(masks)
    label = None
    if generator.renders_label and source.labels is not None:
        label = source.labels[source.rows_of(found.ids, rows)].to(images.device)
    return _Batch(images=images, masks=masks, latents=images[:0], label=label)


def _batch(
    generator: Generator, real: ImageSource | None, config: EncoderTraining, step: int
) -> _Batch:
    """All that a step sees, one sample at least."""
    count = 0 if real is None else round(config.real_fraction * config.batch)
    count = min(count, config.batch - 1)
    samples = _samples(generator, config, config.batch - count, step)
    images = _real(real, generator, config, count, step) if real is not None and count else None
    return samples if images is None else samples.followed_by(images)


def _rate(step: int, steps: int) -> float:
    """Cosine to 0 with a warm-up of 100 steps."""
    return min(0.5 * (1 + math.cos(math.pi * step / steps)), (step + 1) / 100)


@gradients()
def train_encoder(
    generator: Generator,
    architecture: EncoderConfig,
    config: EncoderTraining,
    *,
    real: ImageSet | ImageSource | None = None,
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
        real: real images like those to be inverted, without labels (but for a generator that
            renders the class, see `Generator.renders_label`), of which `config.real_fraction` of
            each step are. Leave out whatever results are reported on.
        checkpoint: file written every `checkpoint_every` steps, atomically.
        checkpoint_every: in steps.
        report: called after every step with (step, losses).

    Returns:
        The trained encoder in eval mode, frozen.

    Raises:
        ValueError: the checkpoint is of another generator, architecture, training or real images;
            an architecture or real images that do not fit the generator; or a generator that gives
            no gradient, or no finite images.
    """
    check_is_generator(generator)
    check_count(checkpoint_every, "checkpoint_every")
    generator.check_differentiable("the training of an encoder")
    _check_fits(architecture, generator)
    source = None if real is None else _fitting(as_source(real), generator)
    generator = ordinary(generator, [generator])
    with evaluating(generator), frozen(generator):
        identity = None
        if checkpoint is not None:
            identity = identify(
                generator=generator, architecture=architecture, training=config, real=source
            )
        found = _train(
            generator, architecture, config, source, checkpoint, identity, checkpoint_every, report
        )
    return found.eval().requires_grad_(False)


def _train(
    generator: Generator,
    architecture: EncoderConfig,
    config: EncoderTraining,
    real: ImageSource | None,
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
        seen = _batch(generator, real, config, step)
        if not len(seen.images):
            continue
        estimate = encoder(seen.images, seen.masks)
        error = (generator.images_of(estimate, seen.label) - seen.images).abs() * seen.masks
        pixel = error.sum() / (seen.masks.sum() * seen.images.shape[1])
        wrong = (estimate[: len(seen.latents)] - seen.latents).square()
        latent = wrong.sum() / max(wrong.numel(), 1) / spread
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


def _fitting(source: ImageSource, generator: Generator) -> ImageSource:
    """Real images that this generator can be asked for."""
    shape, wanted = source.image_spec.shape, generator.image_spec.shape
    if shape != wanted:
        remedy = "load them with `load_images(where, generator.image_spec)`"
        fail("real images", expected=f"{wanted}, as the generator has", got=shape, remedy=remedy)
    labels = source.labels
    if generator.renders_label:
        remedy = "give labels, or train on samples alone"
        if labels is None:
            expected = "the class of each, as the generator renders it"
            fail("real images", expected=expected, got="no labels", remedy=remedy)
        check_classes(labels, generator.num_classes, "labels of the real images", remedy)
    return source


@torch.no_grad()
def _spread(generator: Generator, seed: int) -> Tensor:
    """The mean variance of a latent's numbers over the prior, classes included."""
    z = generator.sample(Rng(seed, "spread").streams(range(2048)))
    first = generator.latents_of(z, generator.labels_in_turn(range(len(z))))[:, 0]
    return first[finite_rows(first)].var(0).mean()
