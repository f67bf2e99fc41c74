"""Inversion: find the latents that reproduce images, batched, each image as if it were alone.

    image -> align -> INVERT -> latent -> perturb -> render -> classify -> weigh

A start gives latents, an optimizer refines them, each image with a state, a step count, a best
iterate and a status of its own. An image that has converged leaves the batch and the next one takes
its place, so the batch stays full and no image waits for a slower one.

Source: Chai et al. 2021, Sec. 3.1-3.2 (encoder, then optimisation of all rows' latents).
Differs: a batch in place of one image; the best iterate is kept, not the last; while it descends,
the absolute error is rounded off near 0 (`Inverter.smoothing`), without which no curvature can be
learnt there, first much and then little; losses are always those of the objective itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from genviews.checks import check_count, fail
from genviews.generators.base import Generator
from genviews.invert.batch import alike, fitting_batch
from genviews.invert.inverter import Inverter
from genviews.invert.optimizer import State
from genviews.invert.term import Target
from genviews.render import render
from genviews.types import Images, Inversion, Label, Masks, Progress, Status, silent

__all__ = ["invert"]

# A stage of the smoothing before the last ends sooner than an inversion does, since its optimum is
# not the one wanted: on this share of `patience`, with this multiple of `tolerance`. Chosen by us
# on fashion32 `val`.
EARLIER_PATIENCE = 0.5
EARLIER_TOLERANCE = 5.0


def invert(
    generator: Generator,
    images: Images,
    masks: Masks | None = None,
    *,
    inverter: Inverter,
    label: Label | None = None,
    batch_size: int | None = 64,
    rows: Sequence[int] | None = None,
    progress: Progress | None = None,
) -> Inversion:
    """Find latents whose rendering reproduces `images`.

    Args:
        generator: frozen by this call in the sense that no gradient reaches its weights.
        images: in [-1, 1], of the generator's size.
        masks: 1 where a pixel is known, 0 where it is not; None: all known.
        inverter: start, objective, optimizer and when to end.
        label: class of each image, given or predicted; needed where `generator.renders_label`, and
            not looked at elsewhere.
        batch_size: images under way at once; changes speed and memory, not results: bit for bit
            from 16 on a CPU (see `alike`), elsewhere up to round-off, which a long descent in
            float32 magnifies. None takes what fits into the memory of `fitting_batch`.
        rows: positions of the images in a larger set, for starts that know the set (`GivenStart`);
            None counts from 0.
        progress: called with ("invert", "images", done, all); of an image under way the share of
            its steps that is made counts.

    Returns:
        An `Inversion` on the images' device; a result depends on its image alone, up to float
        round-off. An image or mask that cannot be inverted (not finite, no known pixel) has status
        FAILED and the mean latent, and never harms its neighbours.

    Raises:
        ValueError: images or masks of another shape, rows of another length, or a label that is
            missing or out of range.

    Example:
        >>> import torch
        >>> from genviews import Inverter, Rng, ToyGenerator, invert
        >>> toy = ToyGenerator()
        >>> images = toy.synthesize(toy.map(toy.sample(Rng(0).streams(range(3)))))
        >>> result = invert(toy, images, inverter=Inverter(steps=50))
        >>> bool((result.loss < result.start_loss).all())
        True
    """
    generator.image_spec.check(images)
    if masks is None:
        masks = torch.ones_like(images[:, :1])
    _check(images, masks, rows)
    positions = torch.arange(len(images)) if rows is None else torch.as_tensor(list(rows))
    trainable = [p for p in generator.parameters() if p.requires_grad]
    for p in trainable:
        p.requires_grad_(False)
    try:
        if batch_size is None:
            batch_size = fitting_batch(generator, inverter.objective, images.dtype)
        label = generator.check_label(label, len(images)) if generator.renders_label else None
        run = _Run(generator, inverter, images, masks.to(images.dtype), positions, label)
        run.execute(check_count(batch_size, "batch_size"), progress or silent)
    finally:
        for p in trainable:
            p.requires_grad_(True)
    return run.result(batch_size)


def _check(images: Tensor, masks: Tensor, rows: Sequence[int] | None) -> None:
    if masks.shape != (images.shape[0], 1, *images.shape[2:]):
        fail(
            "masks",
            expected=f"shape ({images.shape[0]}, 1, {images.shape[2]}, {images.shape[3]})",
            got=tuple(masks.shape),
            remedy="one mask for each image, with one channel",
        )
    if rows is not None and len(rows) != len(images):
        fail(
            "rows",
            expected=f"{len(images)}, one for each image",
            got=len(rows),
            remedy="pass the position of each image",
        )


@dataclass
class _Active:
    """What is under way; row i of every tensor belongs to job `index[i]`."""

    index: Tensor
    target: Target
    state: State
    evaluations: Tensor
    best: Tensor
    best_loss: Tensor
    start_loss: Tensor
    mark_loss: Tensor
    mark_step: Tensor
    stage: Tensor

    def select(self, rows: Tensor) -> _Active:
        """Some of the rows."""
        tensors = {k: v[rows] for k, v in vars(self).items() if isinstance(v, Tensor)}
        return _Active(target=self.target.select(rows), state=self.state.select(rows), **tensors)

    def join(self, other: _Active) -> _Active:
        """These rows followed by others."""
        own, others = vars(self), vars(other)
        tensors = {k: torch.cat([v, others[k]]) for k, v in own.items() if isinstance(v, Tensor)}
        target, state = self.target.join(other.target), self.state.join(other.state)
        return _Active(target=target, state=state, **tensors)


class _Run:
    """The state of one call of `invert`: jobs, one for each image and candidate of its start."""

    def __init__(
        self,
        generator: Generator,
        inverter: Inverter,
        images: Tensor,
        masks: Tensor,
        rows: Tensor,
        label: Tensor | None,
    ) -> None:
        self.label = None if label is None else label.to(images.device)
        self.generator, self.inverter = generator, inverter
        self.images, self.masks, self.rows = images, masks, rows
        self.starts = inverter.start.count
        self.most = 1
        device, count = images.device, len(images) * self.starts
        self.mean = generator.mean_latent().to(images)
        self.latents = self.mean.expand(count, -1, -1).clone()
        self.snapshots = self.latents[:, None].repeat(1, len(inverter.snapshots), 1, 1)
        self.loss = torch.full((count,), math.nan, dtype=images.dtype, device=device)
        self.snapshot_loss = self.loss[:, None].repeat(1, len(inverter.snapshots))
        self.start_loss = self.loss.clone()
        self.status = torch.full((count,), int(Status.FAILED), device=device)
        self.steps = torch.zeros(count, dtype=torch.long, device=device)
        self.evaluations = self.steps.clone()
        known = torch.where(masks == 0, 0.0, images)  # not a product: an unknown pixel may be NaN
        stages = inverter.objective.stages(inverter.stages)
        self.smoothing = torch.tensor(stages, dtype=images.dtype, device=device)
        finite = known.flatten(1).isfinite().all(1) & masks.flatten(1).isfinite().all(1)
        self.usable = finite & (masks.flatten(1).sum(1) > 0)

    def execute(self, batch_size: int, progress: Progress) -> None:
        """Work through the queue with a full batch."""
        self.most = batch_size
        queue = torch.nonzero(self.usable).flatten()
        told, ended_jobs = len(self.images) - len(queue), 0
        unusable = told
        progress("invert", "images", told, len(self.images))
        position, active = 0, None
        # Refilling in groups keeps the encoder's and the objective's set-up batched. The candidates
        # of an image come together, so they need room for all.
        refill = max(batch_size // 4, min(self.starts, batch_size), 1)
        while position < len(queue) or active is not None:
            room = batch_size - (0 if active is None else len(active.index))
            if position < len(queue) and (active is None or room >= refill):
                new_images = queue[position : position + max(room // self.starts, 1)]
                position += len(new_images)
                new = self._begin(new_images)
                active = new if active is None else active.join(new)
            assert active is not None
            finished = self._evaluate(active)
            if bool(finished.any()):
                ended = active.select(torch.nonzero(finished).flatten())
                self._store(ended)
                keep = torch.nonzero(~finished).flatten()
                active = active.select(keep) if len(keep) else None
                ended_jobs += len(ended.index)
            done = unusable + int((ended_jobs + self._under_way(active)) / self.starts)
            if done > told:
                told = done
                progress("invert", "images", done, len(self.images))

    def _under_way(self, active: _Active | None) -> float:
        """Jobs that the steps of the jobs under way come to."""
        if active is None:
            return 0.0
        return float(active.state.made.clamp_min(0).sum()) / max(self.inverter.steps, 1)

    def _begin(self, image: Tensor) -> _Active:
        images, masks = self.images[image].clone(), self.masks[image]
        images[masks.expand_as(images) == 0] = 0.0
        with torch.no_grad():
            most = max(self.most // self.starts, 1)
            parts = [
                self._candidates(images[rows], masks[rows], image[rows])[:count]
                for rows, count in alike(len(image), image.device, most=most)
            ]
        start = torch.cat(parts).flatten(0, 1)
        lost = ~start.flatten(1).isfinite().all(1)
        start = torch.where(lost[:, None, None], self.mean, start)
        images, masks = (t.repeat_interleave(self.starts, 0) for t in (images, masks))
        offsets = torch.arange(self.starts, device=image.device)
        unknown = start.new_full((len(start),), math.inf)
        none = torch.zeros(len(start), dtype=torch.long, device=start.device)
        return _Active(
            index=(image[:, None] * self.starts + offsets).flatten(),
            target=self.inverter.objective.target(images, masks, start),
            state=self.inverter.optimizer.begin(start.flatten(1), self.inverter.steps),
            evaluations=none,
            best=start.clone(),
            best_loss=unknown,
            start_loss=unknown,
            mark_loss=unknown,
            mark_step=none,
            stage=none,
        )

    def _candidates(self, images: Tensor, masks: Tensor, image: Tensor) -> Tensor:
        rows = self.rows[image.cpu()]
        return self.inverter.start.candidates(self.generator, images, masks, rows)

    def _evaluate(self, active: _Active) -> Tensor:
        """Evaluate every point, note what is best, move on; returns which jobs are finished."""
        inverter, state = self.inverter, active.state
        latents = state.point.unflatten(1, self.mean.shape)
        parts = [
            tuple(
                value[:count]
                for value in self._losses(
                    active.target.select(rows),
                    latents[rows],
                    self.smoothing[active.stage[rows]],
                    None if self.label is None else self.label[active.index[rows] // self.starts],
                )
            )
            for rows, count in alike(len(latents), self.images.device, most=self.most)
        ]
        descent, loss, gradient = (torch.cat(values) for values in zip(*parts, strict=True))
        active.evaluations = active.evaluations + 1
        first = state.made < 0
        active.start_loss = torch.where(first, loss, active.start_loss)
        better = loss < active.best_loss
        active.best = torch.where(better[:, None, None], latents, active.best)
        active.best_loss = torch.where(better, loss, active.best_loss)
        before = state.made
        inverter.optimizer.advance(state, descent, gradient, inverter.steps)
        self._snapshot(active, before)
        return self._finished(active) | (first & ~loss.isfinite())

    def _losses(
        self, target: Target, latents: Tensor, smoothing: Tensor, label: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The loss to descend on, the exact one, and the gradient (B, P) of the first."""
        leaf = latents.detach().requires_grad_(True)
        with torch.enable_grad():  # the caller may have turned it off
            rendered = self.generator.synthesize(leaf, label)
            descent, loss = self.inverter.objective.smooth_and_exact(
                target, rendered, leaf, smoothing
            )
            (gradient,) = torch.autograd.grad(descent.sum(), leaf)
        return descent.detach(), loss, gradient.flatten(1)

    def _finished(self, active: _Active) -> Tensor:
        """Which jobs have ended; one that has only ended a stage is handed to the next."""
        inverter, made, mark = self.inverter, active.state.made, active.mark_loss
        last = active.stage == len(self.smoothing) - 1
        goal, sooner = (mark * (1 - k * inverter.tolerance) for k in (1, EARLIER_TOLERANCE))
        fell = active.best_loss < torch.where(last, goal, sooner)
        active.mark_loss = torch.where(fell, active.best_loss, mark)
        active.mark_step = torch.where(fell, made, active.mark_step)
        earlier = max(int(EARLIER_PATIENCE * inverter.patience), 1)
        stalled = made - active.mark_step >= torch.where(last, inverter.patience, earlier)
        onward = ~last & (stalled | active.state.stuck)
        if bool(onward.any()):
            active.stage = active.stage + onward.long()
            active.mark_loss = torch.where(onward, active.best_loss, active.mark_loss)
            active.mark_step = torch.where(onward, made, active.mark_step)
            inverter.optimizer.renew(active.state, onward)
        converged = last & stalled & (inverter.tolerance > 0)
        return converged | active.state.stuck | (made >= inverter.steps)

    def _snapshot(self, active: _Active, before: Tensor) -> None:
        for column, steps in enumerate(self.inverter.snapshots):
            reached = (active.state.made >= steps) & (before < steps)
            self.snapshots[active.index[reached], column] = active.best[reached]
            self.snapshot_loss[active.index[reached], column] = active.best_loss[reached]

    def _store(self, ended: _Active) -> None:
        index, made = ended.index, ended.state.made
        status = torch.where(
            made >= self.inverter.steps, int(Status.STEP_LIMIT), int(Status.CONVERGED)
        )
        unmoved = (ended.best_loss >= ended.start_loss) & (made > 0)
        good = ended.best_loss.isfinite()
        status[unmoved] = int(Status.START_KEPT)
        status[~good] = int(Status.FAILED)
        self.latents[index[good]] = ended.best[good]
        self.loss[index] = torch.where(good, ended.best_loss, torch.nan)
        self.start_loss[index] = ended.start_loss
        self.status[index] = status
        self.steps[index] = made
        self.evaluations[index] = ended.evaluations
        for column, steps in enumerate(self.inverter.snapshots):
            missed = good & (made < steps)
            self.snapshots[index[missed], column] = ended.best[missed]
            self.snapshot_loss[index[missed], column] = ended.best_loss[missed]

    def result(self, batch_size: int) -> Inversion:
        """The best candidate of each image, rendered."""
        jobs = self._best(self.loss[:, None])[:, 0]
        columns = torch.arange(len(self.inverter.snapshots), device=jobs.device)
        latents = self.latents[jobs]
        spent = self.evaluations.unflatten(0, (-1, self.starts)).sum(1)
        return Inversion(
            latents=latents,
            reconstructions=render(
                self.generator, latents, label=self.label, batch_size=batch_size
            ),
            label=self.label,
            loss=self.loss[jobs],
            start_loss=self.start_loss[jobs],
            status=self.status[jobs],
            steps=self.steps[jobs],
            evaluations=spent,
            snapshots=self.snapshots[self._best(self.snapshot_loss), columns]
            if self.inverter.snapshots
            else None,
        )

    def _best(self, loss: Tensor) -> Tensor:
        """(J, T) losses of all jobs -> (B, T) the job of the best candidate of each image."""
        candidates = loss.unflatten(0, (-1, self.starts)).nan_to_num(math.inf).argmin(1)
        first = torch.arange(len(candidates), device=candidates.device) * self.starts
        jobs: Tensor = first[:, None] + candidates
        return jobs
