"""The contracts of inversion: what `invert` does with an `Inverter`, and what it minimises.

An inverter is checked whatever start, objective and optimizer it has; a start or an optimizer of
one's own is checked inside one. Use float64, in which a long descent does not magnify round-off:
`generator.double()` and an encoder in float64. An `Objective`, or one `Term` of it, is checked by
itself: each law is asked of every term, and a message names the term.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from genviews.generators.base import Generator
from genviews.invert.inverter import Inverter
from genviews.invert.objective import L1, Objective, Target, Term
from genviews.invert.optimize import invert
from genviews.invert.optimizer import PerImage
from genviews.rng import Rng
from genviews.testing.laws import Batched, close, equal, expect, leaves_no_trace, sound
from genviews.types import Inversion, Status

__all__ = [
    "INVERTER_CHECKS",
    "OBJECTIVE_CHECKS",
    "check_inverter",
    "check_objective",
    "images_to_invert",
]

COUNT = 5  # images to invert
FEW = 5  # steps of the checks that need no good result
FALLS_TO = 0.6  # the largest part of the loss at the start that may be left
CLOSE = 1e-6
KNOWN = 0.6  # share of the pixels that an objective sees
GARBAGE = (torch.nan, torch.inf, 1e6)


def check_inverter(inverter: Inverter, generator: Generator) -> None:
    """Run every check of the contract on one inverter.

    Args:
        inverter: with steps enough to come near an image of the generator, say 40. A start that
            knows its images (`GivenStart`) gets those of `images_to_invert`.
        generator: in eval mode, in float64; left as it was.

    Raises:
        AssertionError: a law is broken; the message says which.

    Example:
        >>> from genviews import Inverter, ToyGenerator
        >>> check_inverter(Inverter(steps=30), ToyGenerator().double())
    """
    InverterLaws.check(inverter, generator)


@torch.no_grad()
def images_to_invert(generator: Generator) -> tuple[Tensor, Tensor]:
    """The five latents (B, L, D) that the checks invert images of, and these images."""
    dtype = next(t.dtype for t in generator.state_dict().values() if t.is_floating_point())
    z = generator.sample(Rng(3, "inverter contract").streams(range(COUNT)))
    latents = generator.map(z.to(dtype), generator.labels_in_turn(range(COUNT)))
    return latents, generator.synthesize(latents)


def check_objective(objective: Objective | Term, generator: Generator) -> None:
    """Run every check of the contract on an objective, or on one term.

    Args:
        objective: a term is put into an objective, beside L1 where it compares no images.
        generator: in eval mode, of images that the terms take; left as it was.

    Raises:
        AssertionError: a law is broken; the message says which, and by which term.

    Example:
        >>> from genviews import ToyGenerator
        >>> check_objective(L1(smoothing=0.01), ToyGenerator())
    """
    if isinstance(objective, Term):
        objective = Objective((objective,) if objective.of_images else (L1(), objective))
    ObjectiveLaws.check(objective, generator)


class InverterLaws(Batched[Inverter]):
    """Images of the generator, of which the right third is unknown where a law has masks."""

    count = COUNT
    groups = ([3], [4, 1])
    tolerance = CLOSE

    def __init__(self, inverter: Inverter, generator: Generator) -> None:
        super().__init__(inverter)
        few = replace(inverter, steps=min(inverter.steps, FEW))
        self.generator, self.few = generator, partial(invert, generator, inverter=few)
        _, self.images = images_to_invert(generator)
        self.masks = torch.ones_like(self.images[:, :1])
        self.masks[..., 2 * self.images.shape[-1] // 3 :] = 0
        self.masks[0, 0, 0, 0] = 0

    def _of(self, rows: list[int]) -> dict[str, Tensor]:
        return _told(self.few(self.images[rows], self.masks[rows], rows=rows))

    def _others(self) -> dict[str, object]:
        return {"number of steps": replace(self.subject, steps=self.subject.steps + 1)}

    def _networks(self, subject: Inverter) -> Sequence[nn.Module]:
        return subject.modules()

    def it_reproduces_images_of_the_generator(self) -> None:
        """With all its steps, the loss of each image falls well below that of its start."""
        result = invert(self.generator, self.images, inverter=self.subject)
        left = float((result.loss / result.start_loss).max())
        expect(left < FALLS_TO, f"{left:.2f} of the loss at the start is left, not {FALLS_TO}")

    def it_never_ends_worse_than_it_began(self) -> None:
        """No loss is above that of the start, and each is that of the latents returned."""
        none = replace(self.subject, steps=0)
        before, after = invert(self.generator, self.images, inverter=none), self.few(self.images)
        expect(after.loss <= before.loss + 1e-12, "more steps gave a larger loss")
        expect(after.loss <= after.start_loss, "a loss is above that of its start")
        with torch.no_grad():
            rendered, masks = self.generator.synthesize(after.latents), torch.ones_like(self.masks)
            target = self.subject.objective.target(self.images, masks, before.latents)
            close(after.reconstructions, rendered, "reconstructions and renderings", CLOSE)
            wanted = self.subject.objective(target, rendered, after.latents)
            close(after.loss, wanted, "losses", CLOSE)

    def unknown_pixels_are_never_looked_at(self) -> None:
        """Where the mask is 0 anything may stand, NaN too; a mask makes a difference."""
        clean = self.few(self.images, self.masks)
        garbage = torch.full_like(self.images, torch.nan)
        garbage[:, :, ::2] = 1e6
        damaged = torch.where(self.masks == 0, garbage, self.images)
        equal(_told(self.few(damaged, self.masks)), _told(clean), "images with garbage")
        whole = self.few(self.images)
        expect(not torch.allclose(whole.latents, clean.latents), "the mask changes nothing")

    def neighbours_do_not_matter(self) -> None:
        """An image alone, in another order or in a smaller batch ends at the same place."""
        super().neighbours_do_not_matter()
        pairs = self.few(self.images, self.masks, batch_size=2)
        close(_told(pairs), self._of([*range(COUNT)]), "pairs", CLOSE)

    def a_bad_image_harms_nobody(self) -> None:
        """Pixels that are not finite, or none known: FAILED, the mean latent, the rest goes on."""
        good, whole = [0, 1, 3], self._of([*range(COUNT)])
        self.images[2] = torch.nan
        self.masks[4] = 0
        result = self.few(self.images, self.masks)
        expect(result.failed() == [2, 4], f"images 2 and 4 are bad, but {result.failed()} failed")
        mean = self.generator.mean_latent().to(self.images).expand(2, -1, -1)
        close(result.latents[[2, 4]], mean, "latents of failed images", CLOSE)
        found, wanted = ({k: v[good] for k, v in one.items()} for one in (_told(result), whole))
        close(found, wanted, f"the images {good}", CLOSE)

    def steps_and_status_agree(self) -> None:
        """No image takes more steps than allowed; one that took fewer says why it ended."""
        result, most = self.few(self.images), min(self.subject.steps, FEW)
        expect(result.steps <= most, f"{result.steps.tolist()} steps were made")
        limit = result.status == Status.STEP_LIMIT
        expect(~limit[result.steps < most], "STEP_LIMIT before the limit")
        enough = result.evaluations >= result.steps + self.subject.start.count
        expect(enough, "steps without an evaluation")

    def nothing_else_changes(self) -> None:
        """Weights, images and global state stay, the grad mode of the caller does not matter."""
        with leaves_no_trace(self.images, self.generator, *self.subject.modules()):
            result = self.few(self.images)
        with torch.no_grad(), leaves_no_trace(self.images):
            equal(_told(self.few(self.images)), _told(result), "images without gradients")
        expect(not result.latents.requires_grad, "the latents carry a gradient")


def _told(result: Inversion) -> dict[str, Tensor]:
    """All that an inversion says."""
    return {name: value for name, value in vars(result).items() if value is not None}


@dataclass(frozen=True)
class _Case(PerImage):
    """Images with masks, other renderings, their latents, and other starts."""

    images: Tensor
    masks: Tensor
    rendered: Tensor
    latents: Tensor
    start: Tensor

    def target(self, objective: Objective) -> Target:
        return objective.target(self.images, self.masks, self.start)

    def parts(self, objective: Objective) -> dict[str, Tensor]:
        return objective.parts(self.target(objective), self.rendered, self.latents)


class ObjectiveLaws(Batched[Objective]):
    """Three images of the generator with masks, and three renderings of others."""

    count = 3
    groups = ([0], [1], [2], [2, 0, 1])

    @torch.no_grad()
    def __init__(self, objective: Objective, generator: Generator) -> None:
        super().__init__(objective)
        streams = Rng(11, "objective contract").streams(range(9))
        labels = generator.labels_in_turn(range(9))
        latents = generator.map(generator.sample(streams), labels)
        drawn = generator.synthesize(latents[:6], generator.labels_in_turn(range(6)))
        known = streams[:3].child("mask").uniform(1, (1, *drawn.shape[2:]))[:, 0] < KNOWN
        self.case = _Case(drawn[:3], known.to(drawn), drawn[3:], latents[3:6], latents[6:])

    def _of(self, rows: list[int]) -> dict[str, Tensor]:
        return self.case.select(torch.tensor(rows)).parts(self.subject)

    def _others(self) -> dict[str, object]:
        heavier = tuple(replace(term, weight=term.weight + 1) for term in self.subject.terms)
        return {"weight of a term": Objective(heavier)}

    def _networks(self, subject: Objective) -> Sequence[nn.Module]:
        return subject.modules()

    def each_image_has_one_finite_loss(self) -> None:
        """Each term gives a finite number for each image, and they sum by their weights."""
        case, terms = self.case, self.subject.active
        with leaves_no_trace():
            parts = case.parts(self.subject)
        expect(list(parts) == [term.name for term in terms], f"parts {list(parts)}")
        for name, value in parts.items():
            sound(value, name, (self.count,))
            expect(value >= -1e-6, f"{name} is negative: {value.tolist()}")
        total = sum(term.weight * parts[term.name].double() for term in terms)
        got = self.subject(case.target(self.subject), case.rendered, case.latents)
        close(got, torch.as_tensor(total), "the loss and the weighted sum of its terms")

    def neighbours_do_not_matter(self) -> None:
        """The loss of an image is the same alone, in another order, and as rows of a target."""
        super().neighbours_do_not_matter()
        order, target = [2, 0, 1], self.case.target(self.subject)
        mixed = target.select(torch.tensor([2])).join(target.select(torch.tensor([0, 1])))
        moved = self.subject.parts(mixed, self.case.rendered[order], self.case.latents[order])
        close(moved, self._of(order), "joined rows")

    def unknown_pixels_are_never_looked_at(self) -> None:
        """Where the mask is 0 the image may hold anything, and for an image term the rendering."""
        case, wanted = self.case, self.case.parts(self.subject)
        imaging = [term.name for term in self.subject.active if term.of_images]
        for garbage in GARBAGE:
            images, rendered = (
                torch.where(case.masks.bool(), pixels, garbage)
                for pixels in (case.images, case.rendered)
            )
            dirty = replace(case, images=images).parts(self.subject)
            equal(dirty, wanted, f"an image with {garbage}")
            drawn = replace(case, rendered=rendered).parts(self.subject)
            for name in imaging:
                equal(drawn[name], wanted[name], f"{name} of a rendering with {garbage}")

    def known_pixels_count(self) -> None:
        """No rendering is better than the image itself, and a changed image changes the loss."""
        case, found = self.case, self.case.parts(self.subject)
        perfect = replace(case, rendered=case.images).parts(self.subject)
        other = replace(case, images=case.images * 0.5).parts(self.subject)
        for name in (term.name for term in self.subject.active if term.of_images):
            expect(perfect[name] <= found[name] + 1e-6, f"{name} prefers another image")
            expect(not torch.equal(other[name], found[name]), f"{name} does not see the image")

    def gradients_stay_with_their_image(self) -> None:
        """Gradients are finite, of the image's own rendering and latent alone, 0 where unknown."""
        case = self.case
        target = self.subject.target(case.images.clone().requires_grad_(), case.masks, case.start)
        expect(not any(v.requires_grad for kept in target.kept for v in kept), "a kept gradient")
        for term in self.subject.active:
            free = [t.clone().requires_grad_() for t in (case.rendered, case.latents)]
            value = self.subject.parts(target, *free)[term.name]
            expect(value.requires_grad, f"{term.name} gives no gradient")
            found = torch.autograd.grad(value[1:].sum(), free, allow_unused=True)
            for gradient in (g for g in found if g is not None):
                expect(gradient.isfinite(), f"{term.name}: a gradient is not finite")
                expect(gradient[0] == 0, f"{term.name}: a gradient from another image")
            if term.of_images:
                pixels = torch.zeros_like(case.rendered) if found[0] is None else found[0]
                expect(bool(pixels.any()), f"{term.name}: no gradient")
                hidden = case.masks.expand_as(pixels) == 0
                expect(pixels[hidden] == 0, f"{term.name}: a gradient in an unknown pixel")

    def gradients_are_those_of_the_numbers(self) -> None:
        """In float64, the gradient of each term equals differences of its values."""
        double = _Case(**{name: value.double() for name, value in vars(self.case).items()})
        exact = copy.deepcopy(self.subject)
        for module in exact.modules():
            module.double()
        target = double.target(exact)
        free = (double.rendered.requires_grad_(), double.latents.requires_grad_())
        for name in (term.name for term in exact.active):

            def loss(rendered: Tensor, latents: Tensor, name: str = name) -> Tensor:
                return exact.parts(target, rendered, latents)[name]

            expect(torch.autograd.gradcheck(loss, free, fast_mode=True), f"{name}: it differs")

    def networks_are_left_as_they_were(self) -> None:
        """Called in eval mode whatever their mode, and neither weights nor modes change."""
        own = copy.deepcopy(self.subject)
        wanted = self.case.parts(own)
        for module in own.modules():
            module.train()
        with leaves_no_trace(*own.modules()):
            parts = self.case.parts(own)
        close(parts, wanted, "networks in training mode")


INVERTER_CHECKS = InverterLaws.checks()
OBJECTIVE_CHECKS = ObjectiveLaws.checks()
