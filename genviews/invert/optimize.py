"""Inversion: find the latents that reproduce images, batched, each image as if it were alone.

    image -> align -> INVERT -> latent -> perturb -> render -> classify -> weigh

The encoder gives a start; Adam refines it, with a state, a step count, a best iterate and a status
for each image. An image that has converged leaves the batch and the next one takes its place, so
the batch stays full and no image waits for a slower one.

Source: Chai et al. 2021, Sec. 3.1-3.2 (encoder, then optimisation of all rows' latents).
Differs: Adam on a batch in place of L-BFGS on one image; the best iterate is kept, not the last.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from genviews.checks import check_count, fail
from genviews.generators.base import Generator
from genviews.invert.encoder import InversionEncoder
from genviews.invert.objective import Objective, Target
from genviews.render import render
from genviews.types import Inversion, Status

__all__ = ["Inverter", "invert"]

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class Inverter:
    """How to invert.

    Args:
        encoder: gives the start; None starts from the generator's mean latent.
        objective: what is minimised.
        steps: most optimisation steps for an image; 0 keeps the start.
        lr: Adam's learning rate in units of the latents; a cosine takes it to a tenth.
        betas: Adam's decay rates.
        patience: an image has converged when its best loss has not fallen by `tolerance` (as a
            fraction) within this many steps.
        tolerance: see `patience`; 0 uses every step.
    """

    encoder: InversionEncoder | None = None
    objective: Objective = field(default_factory=Objective)
    steps: int = 150
    lr: float = 0.05
    betas: tuple[float, float] = (0.9, 0.99)
    patience: int = 20
    tolerance: float = 0.005

    def __post_init__(self) -> None:
        check_count(self.steps, "steps", least=0)
        check_count(self.patience, "patience")
        if not self.lr > 0:
            fail("lr", expected="a positive number", got=self.lr, remedy="try 0.05")

    def start(
        self, generator: Generator, images: Tensor, masks: Tensor, mean: Tensor
    ) -> Float[Tensor, "B L D"]:
        """The latent each image starts from."""
        if self.encoder is None:
            return mean.expand(images.shape[0], -1, -1).clone()
        with torch.no_grad():
            start: Tensor = self.encoder(images, masks)
        generator.latent_spec.check(start, "the encoder's latents")
        return start

    def rate(self, step: Tensor) -> Tensor:
        """Learning rate of each image at its own step: cosine from `lr` to `lr / 10`."""
        phase = torch.cos(math.pi * step / max(self.steps, 1))
        return self.lr * (0.55 + 0.45 * phase)


@dataclass
class _Active:
    """The images under way; row i of every tensor belongs to image `index[i]`."""

    index: Tensor
    target: Target
    latents: Tensor
    first: Tensor
    second: Tensor
    step: Tensor
    best: Tensor
    best_loss: Tensor
    start_loss: Tensor
    mark_loss: Tensor
    mark_step: Tensor

    @classmethod
    def begin(cls, index: Tensor, target: Target) -> _Active:
        start = target.start
        zeros, unknown = torch.zeros_like(start), start.new_full((len(index),), math.inf)
        step = torch.zeros(len(index), dtype=torch.long, device=start.device)
        return cls(
            index=index,
            target=target,
            latents=start.clone(),
            first=zeros,
            second=zeros.clone(),
            step=step,
            best=start.clone(),
            best_loss=unknown,
            start_loss=unknown.clone(),
            mark_loss=unknown.clone(),
            mark_step=step.clone(),
        )

    def select(self, rows: Tensor) -> _Active:
        tensors = {k: v[rows] for k, v in vars(self).items() if isinstance(v, Tensor)}
        return _Active(target=self.target.select(rows), **tensors)

    def join(self, other: _Active) -> _Active:
        own, others = vars(self), vars(other)
        tensors = {k: torch.cat([v, others[k]]) for k, v in own.items() if isinstance(v, Tensor)}
        return _Active(target=self.target.join(other.target), **tensors)


def invert(
    generator: Generator,
    images: Float[Tensor, "B C H W"],
    masks: Float[Tensor, "B 1 H W"] | None = None,
    *,
    inverter: Inverter,
    batch_size: int = 64,
    progress: Progress | None = None,
) -> Inversion:
    """Find latents whose rendering reproduces `images`.

    Args:
        generator: frozen by this call in the sense that no gradient reaches its weights.
        images: in [-1, 1], of the generator's size.
        masks: 1 where a pixel is known, 0 where it is not; None: all known.
        inverter: start, objective and schedule.
        batch_size: images under way at once; changes speed and memory, not results.
        progress: called with ("invert", images done, images in all).

    Returns:
        An `Inversion` on the images' device; a result depends on its image alone, up to float
        round-off. An image or mask that cannot be inverted (not finite, no known pixel) has status
        FAILED and the mean latent, and never harms its neighbours.

    Raises:
        ValueError: images or masks of another shape.

    Example:
        >>> import torch
        >>> from genviews import Inverter, Rng, ToyGenerator, invert
        >>> toy = ToyGenerator()
        >>> images = toy.synthesize(toy.map(toy.sample(Rng(0).streams(range(3)))))
        >>> result = invert(toy, images, inverter=Inverter(steps=50))
        >>> bool((result.loss < result.start_loss).all())
        True
    """
    check_count(batch_size, "batch_size")
    generator.image_spec.check(images)
    if masks is None:
        masks = torch.ones_like(images[:, :1])
    if masks.shape != (images.shape[0], 1, *images.shape[2:]):
        fail(
            "masks",
            expected=f"shape ({images.shape[0]}, 1, {images.shape[2]}, {images.shape[3]})",
            got=tuple(masks.shape),
            remedy="one mask for each image, with one channel",
        )
    mean = generator.mean_latent()
    run = _Run(generator, inverter, images, masks.to(images.dtype), mean)
    trainable = [p for p in generator.parameters() if p.requires_grad]
    for p in trainable:
        p.requires_grad_(False)
    try:
        run.execute(batch_size, progress)
    finally:
        for p in trainable:
            p.requires_grad_(True)
    return run.result(batch_size)


class _Run:
    """The state of one call of `invert`."""

    def __init__(
        self, generator: Generator, inverter: Inverter, images: Tensor, masks: Tensor, mean: Tensor
    ) -> None:
        self.generator, self.inverter = generator, inverter
        self.images, self.masks, self.mean = images, masks, mean
        n, device = len(images), images.device
        self.latents = mean.to(device).expand(n, -1, -1).clone()
        self.loss = torch.full((n,), math.nan, device=device)
        self.start_loss = self.loss.clone()
        self.status = torch.full((n,), int(Status.FAILED), device=device)
        self.steps = torch.zeros(n, dtype=torch.long, device=device)
        known = torch.where(masks == 0, 0.0, images)  # not a product: an unknown pixel may be NaN
        finite = known.flatten(1).isfinite().all(1) & masks.flatten(1).isfinite().all(1)
        self.usable = finite & (masks.flatten(1).sum(1) > 0)

    def execute(self, batch_size: int, progress: Progress | None) -> None:
        queue = torch.nonzero(self.usable).flatten()
        done = len(self.images) - len(queue)
        position, active = 0, None
        # Refilling in groups keeps the encoder's and the objective's set-up batched.
        refill = max(batch_size // 4, 1)
        while position < len(queue) or active is not None:
            room = batch_size - (0 if active is None else len(active.index))
            if position < len(queue) and (active is None or room >= refill):
                new = self._begin(queue[position : position + room])
                position += len(new.index)
                active = new if active is None else active.join(new)
            assert active is not None
            finished = self._step(active)
            if bool(finished.any()):
                self._store(active.select(torch.nonzero(finished).flatten()))
                done += int(finished.sum())
                keep = torch.nonzero(~finished).flatten()
                active = active.select(keep) if len(keep) else None
                if progress is not None:
                    progress("invert", done, len(self.images))

    def _begin(self, index: Tensor) -> _Active:
        images, masks = self.images[index].clone(), self.masks[index]
        images[masks.expand_as(images) == 0] = 0.0
        start = self.inverter.start(self.generator, images, masks, self.mean)
        lost = ~start.flatten(1).isfinite().all(1)
        start[lost] = self.mean
        return _Active.begin(index, self.inverter.objective.target(images, masks, start))

    def _step(self, active: _Active) -> Tensor:
        """Evaluate every active image, update its best, move it; returns who is finished."""
        inverter = self.inverter
        latents = active.latents.detach().requires_grad_(True)
        with torch.enable_grad():
            rendered = self.generator.synthesize(latents)
            loss = inverter.objective(active.target, rendered, latents)
            (gradient,) = torch.autograd.grad(loss.sum(), latents)
        loss = loss.detach()
        first = active.step == 0
        active.start_loss[first] = loss[first]
        better = loss < active.best_loss
        active.best[better] = latents.detach()[better]
        active.best_loss[better] = loss[better]
        progress = active.best_loss < active.mark_loss * (1 - inverter.tolerance)
        active.mark_loss[progress] = active.best_loss[progress]
        active.mark_step[progress] = active.step[progress]
        stalled = (active.step - active.mark_step >= inverter.patience) & (inverter.tolerance > 0)
        broken = ~loss.isfinite() | ~gradient.flatten(1).isfinite().all(1)
        finished = stalled | broken | (active.step >= inverter.steps)
        self._adam(active, gradient)
        return finished

    def _adam(self, active: _Active, gradient: Tensor) -> None:
        b1, b2 = self.inverter.betas
        active.first = active.first.lerp(gradient, 1 - b1)
        active.second = active.second.lerp(gradient.square(), 1 - b2)
        rate = self.inverter.rate(active.step)[:, None, None]
        active.step = active.step + 1
        count = active.step[:, None, None].to(gradient.dtype)
        mean = active.first / (1 - b1**count)
        spread = (active.second / (1 - b2**count)).sqrt()
        active.latents = active.latents - rate * mean / (spread + 1e-8)

    def _store(self, ended: _Active) -> None:
        index, made = ended.index, ended.step - 1
        status = torch.where(
            made >= self.inverter.steps, int(Status.STEP_LIMIT), int(Status.CONVERGED)
        )
        unmoved = (ended.best_loss >= ended.start_loss) & (made > 0)
        status[unmoved] = int(Status.START_KEPT)
        status[~ended.best_loss.isfinite()] = int(Status.FAILED)
        good = ended.best_loss.isfinite()
        self.latents[index[good]] = ended.best[good]
        self.loss[index] = torch.where(good, ended.best_loss, torch.nan)
        self.start_loss[index] = ended.start_loss
        self.status[index] = status
        self.steps[index] = made

    def result(self, batch_size: int) -> Inversion:
        reconstructions = render(self.generator, self.latents, batch_size=batch_size)
        return Inversion(
            latents=self.latents,
            reconstructions=reconstructions,
            loss=self.loss,
            start_loss=self.start_loss,
            status=self.status,
            steps=self.steps,
        )
