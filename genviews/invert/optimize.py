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

import torch
from torch import Tensor

from genviews.checks import check_count, check_each, check_pixels, check_type, finite_rows
from genviews.generators.base import Generator, check_is_generator
from genviews.invert.batch import fitting_batch, in_parts, rows_alike
from genviews.invert.descent import Active, Found
from genviews.invert.inverter import Inverter
from genviews.invert.objective import blank
from genviews.invert.start import ToInvert
from genviews.modes import frozen, gradients, ordinary
from genviews.render import render
from genviews.types import (
    Images,
    Inversion,
    Label,
    Masks,
    Progress,
    Status,
    check_masks,
    check_shape,
    silent,
)

__all__ = ["invert"]


@gradients()
def invert(
    generator: Generator,
    images: Images,
    masks: Masks | None = None,
    *,
    inverter: Inverter,
    label: Label | None = None,
    batch_size: int | None = 64,
    strictly: bool = False,
    unroll: int | None = None,
    rows: Sequence[int] | None = None,
    progress: Progress | None = None,
) -> Inversion:
    """Find latents whose rendering reproduces `images`.

    Args:
        generator: frozen by this call in the sense that no gradient reaches its weights.
        images: in [-1, 1], of the generator's size; they and the masks are moved to its device, and
            to the float type of its parameters. The inverter's networks follow it, too.
        masks: 1 where a pixel is known, 0 where it is not, between them a weight; None: all known.
        inverter: start, objective, optimizer and when to end.
        label: class of each image, given or predicted; needed where `generator.renders_label`, and
            not looked at elsewhere.
        batch_size: images under way at once; changes speed and memory, not results: bit for bit
            on a CPU, where parts of 8 or 16 rows are computed alike, unless 8 images do not fit
            into the memory of `fitting_batch`; elsewhere up to round-off, which a long descent in
            float32 magnifies. None takes what fits.
        strictly: never compute more rows at once than `batch_size`, not on a CPU either: results of
            batches of less than 16 then differ in round-off.
        unroll: what attacks ask for (`genviews.robustness.adaptive`): the latents carry a gradient
            to the images, through the start and this many steps of each image. It is exact but for
            the lengths that a line search found and the choice of the best iterate, which are held
            fixed; so is the slope that a later step follows. 0: through the start alone. Memory
            grows with the steps. None: no gradient.
        rows: positions of the images in a larger set, for starts that know the set (`GivenStart`);
            None counts from 0.
        progress: called with ("invert", "images", done, all); of an image under way the share of
            its steps that is made counts.

    Returns:
        An `Inversion` on the generator's device; a result depends on its image alone, up to float
        round-off. An image or mask that cannot be inverted (not finite, no known pixel) has status
        FAILED and the mean latent, and never harms its neighbours.

    Raises:
        TypeError: no generator or inverter, or images or masks that are no tensors.
        ValueError: images or masks of another shape, images plainly not in [-1, 1], masks outside
            [0, 1], rows of another length, a label that is missing or out of range, or a generator
            through which no gradient goes.

    Example:
        >>> import torch
        >>> from genviews import Inverter, Rng, ToyGenerator, invert
        >>> toy = ToyGenerator()
        >>> images = toy.synthesize(toy.map(toy.sample(Rng(0).streams(range(3)))))
        >>> result = invert(toy, images, inverter=Inverter(steps=50))
        >>> bool((result.loss < result.start_loss).all())
        True
    """
    check_is_generator(generator)
    check_type(
        inverter, Inverter, "inverter", "an Inverter", "write Inverter(start=..., steps=...)"
    )
    generator.image_spec.check(images)
    check_shape(images, ("B", "C", "H", "W"), "images", "add the axis of the batch: images[None]")
    masks = torch.ones_like(images[:, :1]) if masks is None else masks
    check_masks(masks, len(images), images.shape[2:])
    check_pixels(blank(images, masks.to(images.device)), "images")
    inverter.check(generator)
    networks = (generator, *inverter.modules())
    generator, inverter = ordinary((generator, inverter), networks)
    inverter.follow(generator)
    images = generator.place(images)
    images = images.clone() if images.is_inference() else images
    images = images.detach() if unroll is None else images
    masks = generator.place(masks.float())
    places = range(len(images)) if rows is None else rows
    check_each(places, len(images), "rows", remedy="pass the position of each image")
    with frozen(generator):
        if batch_size is None:
            batch_size = fitting_batch(generator, inverter.objective, images.dtype)
        check_count(batch_size, "batch_size")
        label = generator.check_label(label, len(images)) if generator.renders_label else None
        given = (images, masks.to(images.dtype), torch.as_tensor(list(places)), label)
        part = rows_alike(generator, inverter.objective, images, batch_size, strictly=strictly)
        run = _Run(generator, inverter, batch_size, part, unroll, *given)
        run.execute(progress or silent)
    return run.result()


class _Run:
    """One call of `invert`: a queue of descents, one for each candidate of each image."""

    def __init__(
        self,
        generator: Generator,
        inverter: Inverter,
        batch_size: int,
        part: int,
        unroll: int | None,
        images: Tensor,
        masks: Tensor,
        rows: Tensor,
        label: Tensor | None,
    ) -> None:
        self.label = None if label is None else label.to(images.device)
        self.generator, self.inverter, self.most = generator, inverter, batch_size
        self.part, self.unroll = part, unroll
        self.images, self.masks, self.rows = images, masks, rows
        self.start, self.starts = inverter.start, inverter.start.count
        self.schedule = rows.new_tensor(inverter.start.schedule).to(images.device)
        self.mean = generator.mean_latent().to(images)
        self.found = self._nothing(len(images) * self.starts)
        self.smoothing = images.new_tensor(inverter.objective.stages(inverter.stages))
        finite = finite_rows(blank(images, masks))
        finite &= finite_rows(masks)
        self.usable = finite & (masks.flatten(1).sum(1) > 0)

    def _nothing(self, count: int) -> Found:
        return Found.nothing(self.mean, count, len(self.inverter.snapshots))

    def execute(self, progress: Progress) -> None:
        """Work through the queue with a full batch."""
        queue = torch.nonzero(self.usable).flatten()
        unusable = told = len(self.images) - len(queue)
        progress("invert", "images", told, len(self.images))
        if len(queue):
            with torch.no_grad():
                every = ToInvert(
                    generator=self.generator,
                    images=self.images,
                    masks=self.masks,
                    rows=self.rows,
                    label=self.label,
                    size=self.part,
                )
                self.start = self.inverter.start.for_images(every)
        position, active = 0, None
        # Refilling in groups keeps the encoder's and the objective's set-up batched. The candidates
        # of an image come together, so they need room for all.
        refill = max(self.most // 4, min(self.starts, self.most), 1)
        while position < len(queue) or active is not None:
            room = self.most - (0 if active is None else len(active.index))
            if position < len(queue) and (active is None or room >= refill):
                new_images = queue[position : position + max(room // self.starts, 1)]
                position += len(new_images)
                new = self._begin(new_images)
                active = new if active is None else active.join(new)
            assert active is not None
            finished = self._evaluate(active)
            if bool(finished.any()):
                self._store(active.select(torch.nonzero(finished).flatten()))
                keep = torch.nonzero(~finished).flatten()
                active = active.select(keep) if len(keep) else None
            if progress is silent:
                continue
            done = unusable + int(position - (0 if active is None else self._to_do(active)))
            if done > told:
                told = done
                progress("invert", "images", done, len(self.images))

    def _to_do(self, active: Active) -> float:
        """What is left of the images under way, as a number of images."""
        _, place, descents = (active.index // self.starts).unique(
            return_inverse=True, return_counts=True
        )
        left = 1 - active.state.made.clamp_min(0) / max(self.inverter.steps, 1)
        return float((left / descents[place]).sum())

    def _begin(self, image: Tensor) -> Active:
        images, masks = self.images[image].clone(), self.masks[image]
        images[masks.expand_as(images) == 0] = 0.0
        device, inverter = image.device, self.inverter

        def candidates(part: Tensor) -> tuple[Tensor]:
            some = ToInvert(
                generator=self.generator,
                images=images[part],
                masks=masks[part],
                rows=image[part].cpu(),
                label=None if self.label is None else self.label[image[part]],
            )
            return (self.start.candidates(some),)

        graded = self.unroll is not None
        with torch.set_grad_enabled(graded):
            start = in_parts(candidates, len(image), device, self.part)[0].flatten(0, 1)
        lost = ~finite_rows(start)
        start = torch.where(lost[:, None, None], self.mean, start)
        images, masks = (t.repeat_interleave(self.starts, 0) for t in (images, masks))
        index = image[:, None] * self.starts + torch.arange(self.starts, device=device)
        found = self._nothing(len(start))
        found.latents, found.loss = start.clone(), torch.full_like(found.loss, math.inf)
        return Active(
            index=index.flatten(),
            target=inverter.objective.target(images, masks, start, graded=graded),
            state=inverter.optimizer.begin(start.flatten(1), inverter.steps),
            found=found,
            mark_loss=found.loss,
            mark_step=found.steps,
            stage=found.steps,
        )

    def _evaluate(self, active: Active) -> Tensor:
        """Evaluate every point, note what is best, move on; returns which descents are finished."""
        inverter, state, found = self.inverter, active.state, active.found
        latents = state.point.unflatten(1, self.mean.shape)

        def losses(part: Tensor) -> tuple[Tensor, ...]:
            """The loss to descend on, the exact one, and the gradient (B, P) of the first."""
            smoothing, image = self.smoothing[active.stage[part]], active.index[part] // self.starts
            label = None if self.label is None else self.label[image]
            point, onward = latents[part], state.made[part] + 1 < (self.unroll or 0)
            follow = bool(onward.any())  # the slope's own derivative is wanted
            leaf = point if follow and point.requires_grad else point.detach().requires_grad_(True)
            with torch.enable_grad():  # the caller may have turned it off
                made = self.generator.images_of(leaf, label)
                descent, loss = inverter.objective.smooth_and_exact(
                    active.target.select(part), made, leaf, smoothing
                )
                total = descent.sum()
                gradient = torch.zeros_like(leaf)  # of what gives none, where no step is asked for
                if total.requires_grad:
                    (gradient,) = torch.autograd.grad(
                        total, leaf, create_graph=follow, materialize_grads=True
                    )
            if follow:
                gradient = torch.where(onward[:, None, None], gradient, gradient.detach())
            return descent.detach(), loss, gradient.flatten(1)

        descent, loss, gradient = in_parts(losses, len(latents), latents.device, self.part)
        found.evaluations = found.evaluations + 1
        before = state.made
        first, better = before < 0, loss < found.loss
        found.start_loss = torch.where(first, loss, found.start_loss)
        found.latents = torch.where(better[:, None, None], latents, found.latents)
        found.loss = torch.where(better, loss, found.loss)
        inverter.optimizer.advance(state, descent, gradient, inverter.steps)
        for column, steps in enumerate(inverter.snapshots):
            found.take_snapshot(column, (state.made >= steps) & (before < steps))
        hopeless = first & ~(loss.isfinite() & gradient.any(1))  # at a slope of 0 no method moves
        finished = active.ended(inverter, len(self.smoothing)) | hopeless
        return finished | self._outdone(active, finished)

    def _outdone(self, active: Active, finished: Tensor) -> Tensor:
        """Which descents end as more others of their image than may go on have a lower loss."""
        last = len(self.schedule) - 1
        most = self.schedule[(active.found.evaluations - 1).clamp(max=last)]
        if bool((most >= self.starts).all()):
            return finished
        images, place = (active.index // self.starts).unique(return_inverse=True)
        column = active.index % self.starts
        # Those that ended before count, but for what never moved; NaN are those that go on.
        ended = torch.where(self.found.steps > 0, self.found.loss, math.inf)
        standing = ended.unflatten(0, (-1, self.starts))[images].nan_to_num(math.inf)
        here = active.found.loss
        standing[place, column] = torch.where(finished & (active.state.made == 0), math.inf, here)
        rank = standing.argsort(dim=1, stable=True).argsort(1)
        outdone: Tensor = rank[place, column] >= most
        return outdone

    def _store(self, ended: Active) -> None:
        found, made, steps = ended.found, ended.state.made, self.inverter.steps
        good = found.loss.isfinite()
        for column, after in enumerate(self.inverter.snapshots):
            found.take_snapshot(column, good & (made < after))
        status = torch.where(made >= steps, int(Status.STEP_LIMIT), int(Status.CONVERGED))
        if steps > 0:
            status[found.loss >= found.start_loss] = int(Status.START_KEPT)
        status[~good] = int(Status.FAILED)
        found.latents = torch.where(good[:, None, None], found.latents, self.mean)
        found.loss = torch.where(good, found.loss, torch.nan)
        found.status, found.steps = status, made
        for name, value in vars(self.found).items():
            value[ended.index] = vars(found)[name]

    def result(self) -> Inversion:
        """The best candidate of each image, rendered."""
        best, snapshots = self.found.select(self._best(self.found.loss[:, None])[:, 0]), None
        if self.inverter.snapshots:
            columns = torch.arange(len(self.inverter.snapshots), device=best.loss.device)
            snapshots = self.found.snapshots[self._best(self.found.snapshot_loss), columns]
        return Inversion(
            latents=best.latents,
            reconstructions=render(
                self.generator, best.latents, label=self.label, batch_size=self.most
            ),
            loss=best.loss,
            start_loss=best.start_loss,
            status=best.status,
            steps=best.steps,
            evaluations=self.found.evaluations.unflatten(0, (-1, self.starts)).sum(1),
            snapshots=snapshots,
            label=self.label,
        )

    def _best(self, loss: Tensor) -> Tensor:
        """(J, T) losses of all descents -> (B, T) that of the best candidate of each image."""
        candidates = loss.unflatten(0, (-1, self.starts)).nan_to_num(math.inf).argmin(1)
        first = torch.arange(len(candidates), device=candidates.device) * self.starts
        descents: Tensor = first[:, None] + candidates
        return descents
