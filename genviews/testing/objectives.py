"""The contract of what an inversion minimises: an `Objective`, or one `Term` of it.

Each law is asked of every term by itself; a message names the term.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from genviews.generators.base import Generator
from genviews.invert.objective import L1, Objective, Target, Term
from genviews.rng import Rng
from genviews.testing.laws import (
    described_apart,
    expect,
    laws_of,
    leaves_no_trace,
    run_laws,
    same,
    with_another_weight,
)

__all__ = ["OBJECTIVE_CHECKS", "check_objective"]

COUNT = 3
KNOWN = 0.6  # share of pixels
GARBAGE = (torch.nan, torch.inf, 1e6)


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
    run_laws(OBJECTIVE_CHECKS, objective, generator)


@dataclass(frozen=True)
class _Case:
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

    def rows(self, rows: list[int]) -> _Case:
        return _Case(**{name: value[rows] for name, value in vars(self).items()})

    def with_(self, **changes: Tensor) -> _Case:
        return _Case(**{**vars(self), **changes})


def each_image_has_one_finite_loss(objective: Objective, generator: Generator) -> None:
    """Each term gives a finite number for each image, and they sum by their weights."""
    case = _case(generator)
    with leaves_no_trace():
        parts = case.parts(objective)
    expect(list(parts) == [term.name for term in objective.active], f"parts {list(parts)}")
    for name, value in parts.items():
        expect(value.shape == (COUNT,), f"{name} has shape {tuple(value.shape)}")
        expect(bool(value.isfinite().all()), f"{name} is not finite: {value.tolist()}")
        expect(bool((value >= -1e-6).all()), f"{name} is negative: {value.tolist()}")
    total = sum(term.weight * parts[term.name].double() for term in objective.active)
    got = objective(case.target(objective), case.rendered, case.latents)
    same(got, torch.as_tensor(total), "the loss and the weighted sum of its terms")


def neighbours_do_not_matter(objective: Objective, generator: Generator) -> None:
    """The loss of an image is the same alone, in another order, and as rows of a target."""
    case, order = _case(generator), [2, 0, 1]
    whole = case.parts(objective)
    target = case.target(objective)
    mixed = target.select(torch.tensor([2])).join(target.select(torch.tensor([0, 1])))
    moved = objective.parts(mixed, case.rendered[order], case.latents[order])
    for name, value in moved.items():
        same(value, whole[name][order], f"{name} of joined rows")
    for row in range(COUNT):
        for name, value in case.rows([row]).parts(objective).items():
            same(value, whole[name][[row]], f"{name} of image {row} alone")


def unknown_pixels_are_never_looked_at(objective: Objective, generator: Generator) -> None:
    """Where the mask is 0 the image may hold anything, and for an image term the rendering too."""
    case = _case(generator)
    known, wanted = case.masks.bool(), case.parts(objective)
    imaging = {term.name for term in objective.active if term.of_images}
    for garbage in GARBAGE:
        dirty = case.with_(images=torch.where(known, case.images, garbage))
        for name, value in dirty.parts(objective).items():
            expect(torch.equal(value, wanted[name]), f"{name} with {garbage} in the image")
        drawn = case.with_(rendered=torch.where(known, case.rendered, garbage))
        for name, value in drawn.parts(objective).items():
            alike = name not in imaging or torch.equal(value, wanted[name])
            expect(alike, f"{name} with {garbage} in the rendering")


def known_pixels_count(objective: Objective, generator: Generator) -> None:
    """No rendering is better than the image itself, and a changed image changes the loss."""
    case = _case(generator)
    perfect = case.with_(rendered=case.images).parts(objective)
    other = case.with_(images=case.images * 0.5).parts(objective)
    found = case.parts(objective)
    for term in objective.active:
        if term.of_images:
            name, best = term.name, perfect[term.name]
            expect(bool((best <= found[name] + 1e-6).all()), f"{name} prefers another image")
            expect(not torch.equal(other[name], found[name]), f"{name} does not see the image")


def gradients_stay_with_their_image(objective: Objective, generator: Generator) -> None:
    """Gradients are finite, of the image's own rendering and latent alone, 0 where unknown."""
    case = _case(generator)
    target = objective.target(case.images.requires_grad_(), case.masks, case.start)
    expect(not any(v.requires_grad for kept in target.kept for v in kept), "a kept gradient")
    case.images.requires_grad_(False)
    for term in objective.active:
        rendered, latents = (t.clone().requires_grad_() for t in (case.rendered, case.latents))
        value = objective.parts(target, rendered, latents)[term.name]
        if not value.requires_grad:
            raise AssertionError(f"{term.name} gives no gradient")
        found = torch.autograd.grad(value[1:].sum(), (rendered, latents), allow_unused=True)
        for gradient in (g for g in found if g is not None):
            expect(bool(gradient.isfinite().all()), f"{term.name}: a gradient is not finite")
            expect(not gradient[0].any(), f"{term.name}: a gradient from another image")
        if term.of_images:
            expect(found[0] is not None and bool(found[0].any()), f"{term.name}: no gradient")
            assert found[0] is not None
            hidden = case.masks.expand_as(found[0]) == 0
            expect(not found[0][hidden].any(), f"{term.name}: a gradient in an unknown pixel")


def gradients_are_those_of_the_numbers(objective: Objective, generator: Generator) -> None:
    """In float64, the gradient of each term equals differences of its values."""
    case = _case(generator)
    double = _Case(**{name: value.double() for name, value in vars(case).items()})
    exact = copy.deepcopy(objective)
    for module in exact.modules():
        module.double()
    target = double.target(exact)
    free = (double.rendered.requires_grad_(), double.latents.requires_grad_())
    for term in exact.active:

        def loss(rendered: Tensor, latents: Tensor, name: str = term.name) -> Tensor:
            return exact.parts(target, rendered, latents)[name]

        expect(torch.autograd.gradcheck(loss, free, fast_mode=True), f"{term.name}: it differs")


def networks_are_left_as_they_were(objective: Objective, generator: Generator) -> None:
    """Called in eval mode whatever their mode, and neither weights nor modes change."""
    case, own = _case(generator), copy.deepcopy(objective)
    wanted = case.parts(own)
    for module in own.modules():
        module.train()
    before = [{k: v.clone() for k, v in m.state_dict().items()} for m in own.modules()]
    for name, value in case.parts(own).items():
        same(value, wanted[name], f"{name} with networks in training mode")
    for module, state in zip(own.modules(), before, strict=True):
        name = type(module).__name__
        expect(module.training, f"{name} was left in eval mode")
        for key, value in module.state_dict().items():
            expect(torch.equal(value, state[key]), f"{key} of {name} was changed")


def it_is_described(objective: Objective, generator: Generator) -> None:
    """A copy has the same key for stored results, another weight or network has another."""
    heavier = tuple(replace(term, weight=term.weight + 1) for term in objective.terms)
    others: dict[str, object] = {"weight of a term": Objective(heavier)}
    changed = with_another_weight(objective, Objective.modules)
    described_apart(objective, **others, **({} if changed is None else {"network": changed}))


OBJECTIVE_CHECKS = laws_of(globals())


@torch.no_grad()
def _case(generator: Generator) -> _Case:
    rows = range(3 * COUNT)
    streams, labels = Rng(11, "objective contract").streams(rows), generator.labels_in_turn(rows)
    found, latents, start = generator.map(generator.sample(streams), labels).split(COUNT)
    images, rendered = (
        generator.synthesize(w, generator.labels_in_turn(part))
        for w, part in ((found, rows[:COUNT]), (latents, rows[COUNT : 2 * COUNT]))
    )
    drawn = streams[:COUNT].child("mask").uniform(1, (1, *images.shape[2:]))[:, 0]
    masks = (drawn < KNOWN).to(images)
    return _Case(images=images, masks=masks, rendered=rendered, latents=latents, start=start)
