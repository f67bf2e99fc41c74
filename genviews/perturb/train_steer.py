"""Learn the walks of a generator: all edits jointly, from its own samples alone.

    min_d  E_{z, c}  | m (G(z + sum_j c_j d_j) - edit(G(z), c)) |^2 / |m|

with steps c, edit and mask m of `genviews.perturb.warps`. Every number drawn for sample i comes
from (seed, i), so a run that was stopped goes on as if it had not been.

Source: Jahanian et al. 2022, arXiv:2106.05258, section 3.3.2 and appendix B; its code
(`biggan_steer_train.py`): walks start from N(0, 0.1), Adam with 1e-3, 160,000 samples in batches of
32, z from a normal truncated at 2, one class drawn for each.

Differs: see `genviews.perturb.warps`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from genviews.checks import check_count, check_number, fail, lookup
from genviews.generators.base import Generator
from genviews.identity import identify
from genviews.identity.checkpoint import read_checkpoint, write_checkpoint
from genviews.modes import gradients, ordinary
from genviews.perturb.base import identity_of
from genviews.perturb.noise import Normal
from genviews.perturb.redraw import finite_views
from genviews.perturb.walks import Walks
from genviews.perturb.warps import (
    EDITS,
    Masking,
    StepRanges,
    directions_of,
    steering_loss,
    warp,
)
from genviews.represent.prior import Prior  # up: walks are learnt where latents are drawn
from genviews.rng import Rng, Streams
from genviews.signature import checked
from genviews.style_rows import Layers, plain_layers

__all__ = ["SteerTraining", "measure_walks", "train_walks"]

Report = Callable[[int, dict[str, float]], None]

_MEND = (
    "lower the rate, or mend the generator where it makes no picture; the checkpoint before it is "
    "still good"
)


@dataclass(frozen=True, kw_only=True)
class SteerTraining:
    """How to learn walks.

    Args:
        samples: samples seen; the published 160,000 are 5,000 steps.
        batch: samples a step.
        lr: rate of Adam.
        start: standard deviation of the walks' start.
        edits: which edits get a walk.
        layers: rows that the walks move; the rest of their vectors is zero.
        tied: one vector for all rows, as in the mapped space W; False learns one for each row.
        ranges: of the steps.
        masking: "intersection", or "published" as in the reference, see `warp`.
        prior: of the samples.
        seed: of samples, steps and start.

    Raises:
        ValueError: a value out of range, or an unknown edit.
    """

    samples: int = 160_000
    batch: int = 32
    lr: float = 1e-3
    start: float = 0.1
    edits: tuple[str, ...] = EDITS
    layers: Layers = "all"
    tied: bool = True
    ranges: StepRanges = field(default_factory=StepRanges)
    masking: Masking = "intersection"
    prior: Prior = field(default_factory=lambda: Prior(noise=Normal.fixed_bound(2.0)))
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", plain_layers(self.layers))
        check_count(self.samples, "samples of walks")
        check_count(self.batch, "batch of walks")
        directions_of(1, self.edits)
        lookup(self.masking, {"intersection": 1, "published": 1}, "masking")
        check_count(len(self.edits), "number of edits")
        check_number(self.lr, "lr of walks", above=0)
        check_number(self.start, "start of walks", least=0)

    @property
    def num_steps(self) -> int:
        """Steps of the optimiser; the last batch may be smaller."""
        return math.ceil(self.samples / self.batch)


@gradients()
@checked
def train_walks(
    generator: Generator,
    config: SteerTraining | None = None,
    *,
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 1000,
    report: Report | None = None,
) -> Walks:
    """Learn the walks of a generator.

    Args:
        generator: any differentiable one, in z, w or w+ space, in eval mode; left as it is. Its
            latents say where the walks live: `genviews.generators.callable.z_space` takes a
            style-based generator to z.
        config: how; None is the published training.
        checkpoint: file that a stopped run resumes from, bit for bit; written atomically. A run
            with more `samples` goes on from where a shorter one ended.
        checkpoint_every: in steps.
        report: called after every step with (step, {"loss": ...}).

    Returns:
        The walks on the CPU, with their card.

    Raises:
        ValueError: the generator gives no gradient, the loss is no number, or the checkpoint is of
            another run.

    Example:
        >>> from genviews import ToyGenerator
        >>> train_walks(ToyGenerator(), SteerTraining(samples=64, edits=("shiftx", "zoom")))
        Walks(shiftx, zoom; shape=(2, 4, 4))
    """
    generator.check_differentiable("walks")
    config = SteerTraining() if config is None else config
    run = _Run(ordinary(generator, [generator]), config)
    first = 0 if checkpoint is None else run.resume(Path(checkpoint))
    loss = math.nan
    for step in range(first, config.num_steps):
        loss = run.step(step)
        if report is not None:
            report(step + 1, {"loss": loss})
        done = step + 1
        if checkpoint is not None and (done % checkpoint_every == 0 or done == config.num_steps):
            run.save(Path(checkpoint), done)
    return run.walks()


class _Run:
    """The state of a training: the walks' parameters and their Adam."""

    def __init__(self, generator: Generator, config: SteerTraining) -> None:
        self.generator = generator
        self.config = config
        self.rng = Rng(config.seed, "steer")
        self.channels = generator.image_spec.channels
        self.names = directions_of(self.channels, config.edits)
        self.rows = generator.latent_spec.layers(config.layers)
        shape = (1 if config.tied else len(self.rows), generator.latent_spec.dim)
        # A stream for each name: a walk starts alike whatever other edits are learnt with it.
        drawn = self.rng.child("start").streams(self.names).normal(1, shape)[:, 0]
        self.vectors = (config.start * drawn).to(generator.device).requires_grad_()
        self.adam = torch.optim.Adam([self.vectors], lr=config.lr)
        # A run with more samples goes on from where a shorter one ended.
        self.identity = identify(generator=generator, config=replace(config, samples=1))

    def walks(self) -> Walks:
        """The walks as they are now."""
        c = self.config
        card = {
            "generator_type": type(self.generator).__name__,
            "space": self.generator.latent_spec.space,
            "layers": self.rows.name,
            "rows": list(self.rows.indices),
            "image": list(self.generator.image_spec.shape),
            **{k: getattr(c, k) for k in ("tied", "masking", "samples", "batch", "lr", "start")},
            "prior": repr(c.prior),
            "seed": c.seed,
        }
        directions = self._directions().detach().cpu().clone()
        return Walks(
            directions=directions,
            names=self.names,
            ranges=c.ranges,
            card=card,
            generator=identity_of(self.generator),
        )

    def _directions(self) -> Float[Tensor, "J L D"]:
        found = self.vectors.new_zeros(len(self.names), *self.generator.latent_spec.shape)
        found[:, self.rows.rows] = self.vectors.expand(-1, len(self.rows), -1)
        return found

    def step(self, step: int) -> float:
        """One step of Adam; returns the loss before it."""
        c = self.config
        stop = min((step + 1) * c.batch, c.samples)
        streams = self.rng.streams(range(step * c.batch, stop))
        walks = Walks(directions=self._directions(), names=self.names, ranges=c.ranges)
        steps = c.ranges.draw(streams.child("steps"), 1, self.channels)[:, 0]
        loss = _loss(self.generator, walks, steps, c, streams)
        if not loss.requires_grad:
            fail(
                "generator",
                expected="one whose images have a gradient in the latent",
                got=f"{self.generator!r}, which gives none",
                remedy="walks cannot be learnt for it: use Gaussian views",
            )
        value = loss.item()
        check_number(value, f"loss of step {step + 1}", remedy=_MEND)
        (self.vectors.grad,) = torch.autograd.grad(loss, self.vectors)
        self.adam.step()
        return value

    def save(self, path: Path, done: int) -> None:
        """Write the state after `done` steps."""
        state = {"vectors": self.vectors.detach(), "adam": self.adam.state_dict(), "done": done}
        write_checkpoint(path, self.identity, state)

    def resume(self, path: Path) -> int:
        """Take over the state of a checkpoint, if there is one; returns the steps done."""
        if not path.exists():
            return 0
        state = read_checkpoint(path, self.identity, self.generator.device)
        done: int = state["done"]
        what, remedy = f"steps of checkpoint {path}", "name another file, or delete this one"
        check_number(done, what, most=self.config.num_steps, remedy=remedy)
        with torch.no_grad():
            self.vectors.copy_(state["vectors"])
        self.adam.load_state_dict(state["adam"])
        return done


def _loss(
    generator: Generator,
    walks: Walks,
    steps: Float[Tensor, "B M"],
    config: SteerTraining,
    streams: Streams,
) -> Tensor:
    """The loss of samples moved by steps along all directions; those without a walk stay at 0."""
    channels = generator.image_spec.channels
    used = torch.tensor([name in walks.names for name in directions_of(channels)], device="cpu")
    steps = (steps * used).to(generator.device)
    with torch.no_grad():
        anchors = config.prior.sample(generator, streams)
        latents, label = anchors.latents, anchors.labels
        images = generator.images_of(latents, label)
        target, mask = warp(images, steps, config.ranges, config.masking)
    moved = walks.move(latents, walks.of_all(steps, channels))
    made = generator.images_of(moved, label)
    good = finite_views(torch.stack([images, made.detach()], 1)).all(1)
    if not bool(good.all()):  # one that is not would spoil the gradient of all
        made = generator.images_of(moved[good], None if label is None else label[good])
        target, mask = target[good], mask[good]
        check_number(len(made), "finite pictures of a step", least=1, remedy=_MEND)
    return steering_loss(made, target, mask)


@checked
def measure_walks(
    generator: Generator, walks: Walks, config: SteerTraining | None = None, samples: int = 256
) -> dict[str, dict[str, float]]:
    """How well each walk does alone: its loss, and that of not moving, on samples of its own.

    Args:
        generator: of the walks.
        walks: to measure.
        config: its prior, masking, batch and seed are used; None is the published training.
        samples: how many; none of them is one of the training's.

    Returns:
        Direction -> {"loss": ..., "unmoved": ...}. A walk that does nothing has both alike.

    Raises:
        ValueError: walks of another generator.
    """
    config = replace(SteerTraining() if config is None else config, ranges=walks.ranges)
    walks.check(generator)
    still = replace(walks, directions=torch.zeros_like(walks.directions))
    channels = generator.image_spec.channels
    every = directions_of(channels)
    streams = Rng(config.seed, "steer measured").streams(range(check_count(samples, "samples")))
    drawn = walks.ranges.draw(streams.child("steps"), 1, channels)[:, 0]
    found = {}
    with torch.no_grad():
        for name in walks.names:
            alone = drawn * torch.tensor([name == other for other in every], device="cpu")
            found[name] = {
                key: _loss(generator, which, alone, config, streams).item()
                for key, which in (("loss", walks), ("unmoved", still))
            }
    return found
