"""The perturbation contract: the laws that each `Perturbation` keeps on each generator.

Round-off is allowed where only a network can cause it; zero strength and rows outside the range
are compared bit for bit.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from genviews.generators.base import Generator
from genviews.perturb.base import Perturbation
from genviews.rng import Rng, Streams
from genviews.testing.laws import (
    described_apart,
    expect,
    laws_of,
    leaves_no_trace,
    refuses,
    run_laws,
    same,
)

__all__ = ["PERTURBATION_CHECKS", "check_perturbation"]

IDS: tuple[int | str, ...] = ("a.png", 3, "b.png", 2**40)
SAME_WAY = 0.5  # least cosine between the steps of two strengths


def check_perturbation(perturbation: Perturbation, generator: Generator) -> None:
    """Run every check of the contract on one perturbation.

    Args:
        perturbation: with a strength above 0, on any rows of the generator.
        generator: in eval mode; left as it was.

    Raises:
        AssertionError: a law is broken; the message says which.

    Example:
        >>> from genviews import Isotropic, ToyGenerator
        >>> check_perturbation(Isotropic("fine", 0.3), ToyGenerator())
    """
    run_laws(PERTURBATION_CHECKS, perturbation, generator)


def zero_strength_is_the_identity(perturbation: Perturbation, generator: Generator) -> None:
    """At strength 0 each view is the latent itself, bit for bit, whatever the rows."""
    latents, streams, labels = _start(generator)
    for layers in _ranges(generator):
        zero = replace(perturbation.scaled(0.0), layers=layers)
        views = zero(generator, latents, 2, streams, labels)
        expect(torch.equal(views, _each(latents, 2)), f"rows {layers} moved")


def rows_outside_stay_and_inside_move(perturbation: Perturbation, generator: Generator) -> None:
    """Rows outside the range stay, bit for bit; each row inside moves in each view."""
    latents, streams, labels = _start(generator)
    for layers in _ranges(generator):
        views = replace(perturbation, layers=layers)(generator, latents, 2, streams, labels)
        inside = torch.zeros(generator.latent_spec.num_layers, dtype=torch.bool)
        inside[generator.latent_spec.layers(layers).rows] = True
        stayed = (views == _each(latents, 2)).all(-1)
        expect(bool(stayed[:, :, ~inside].all()), f"layers {layers}: a row outside moved")
        expect(not stayed[:, :, inside].any(), f"layers {layers}: a row inside stayed")


def the_input_is_not_written_to(perturbation: Perturbation, generator: Generator) -> None:
    """Neither the call nor writing to the views changes the latents."""
    latents, streams, labels = _start(generator)
    before = latents.clone()
    perturbation(generator, latents, 2, streams, labels).zero_()
    expect(torch.equal(latents, before), "the latents were changed")


def neighbours_do_not_matter(perturbation: Perturbation, generator: Generator) -> None:
    """An image alone, in another order or twice in a batch gets the same views."""
    latents, streams, labels = _start(generator)
    whole = perturbation(generator, latents, 2, streams, labels)
    for rows in ([1], [3, 0, 2], [2, 2]):
        some = None if labels is None else labels[rows]
        part = perturbation(generator, latents[rows], 2, streams[rows], some)
        same(part, whole[rows], f"views of the images {rows}")


def the_number_of_views_does_not_matter(perturbation: Perturbation, generator: Generator) -> None:
    """View k is the same whatever K is, and when views from k on are made later."""
    latents, streams, labels = _start(generator)
    whole = perturbation(generator, latents, 5, streams, labels)
    same(perturbation(generator, latents, 2, streams, labels), whole[:, :2], "the first 2 of 5")
    late = perturbation(generator, latents, 2, streams.from_view(3), labels)
    same(late, whole[:, 3:], "views from the fourth on")


def streams_decide(perturbation: Perturbation, generator: Generator) -> None:
    """Equal streams give equal views, bit for bit; other ids, views and seeds give others."""
    latents, streams, labels = _start(generator)
    latents = latents[:1].repeat(len(IDS), 1, 1)
    labels = None if labels is None else labels[:1].repeat(len(IDS))
    with leaves_no_trace():
        views = perturbation(generator, latents, 2, streams, labels)
    again = perturbation(generator, latents, 2, streams, labels)
    expect(torch.equal(views, again), "the same streams gave two different views")
    expect(not views.requires_grad, "the views carry a gradient that nobody asked for")
    other = perturbation(generator, latents, 2, Rng(2).streams(IDS), labels)
    found = len(torch.cat([views, other]).flatten(0, 1).unique(dim=0))
    expect(found == 4 * len(IDS), f"{found} of {4 * len(IDS)} views differ")


def strengths_share_their_draws(perturbation: Perturbation, generator: Generator) -> None:
    """A view of half the strength went the same way, less far: scales are compared alike."""
    latents, streams, labels = _start(generator)
    full, half = (
        (p(generator, latents, 2, streams, labels) - latents[:, None]).flatten(2)
        for p in (perturbation, perturbation.scaled(0.5))
    )
    shorter = half.norm(dim=-1) <= full.norm(dim=-1) * (1 + 1e-5)
    expect(bool(shorter.all()), "half the strength went further")
    cosine = float(torch.cosine_similarity(half, full, dim=-1).min())
    expect(cosine >= SAME_WAY, f"half the strength went another way, cosine {cosine:.2f}")


def views_have_the_dtype_of_the_latents(perturbation: Perturbation, generator: Generator) -> None:
    """Latents in float64 and float16 give views of that type, and the same but for rounding."""
    latents, streams, labels = _start(generator)
    exact = perturbation(generator, latents, 2, streams, labels)
    for dtype in (torch.float64, torch.float16):
        views = perturbation(generator, latents.to(dtype), 2, streams, labels)
        expect(views.dtype == dtype, f"{dtype} became {views.dtype}")
        same(views, exact, f"views in {dtype}", tolerance=2e-2)


def gradients_are_those_of_the_views(perturbation: Perturbation, generator: Generator) -> None:
    """The derivative is that of the numbers, and none reaches the latent of another image."""
    latents, streams, labels = _start(generator)
    leaf = latents.double().requires_grad_()

    def views(x: Tensor) -> Tensor:
        return perturbation(generator, x, 2, streams, labels)

    (gradient,) = torch.autograd.grad(views(leaf)[1:].sum(), leaf)
    expect(not gradient[0].any(), "a view has a gradient in the latent of another image")
    expect(torch.autograd.gradcheck(views, (leaf,), fast_mode=True), "the gradient is another")


def an_empty_batch_is_no_error(perturbation: Perturbation, generator: Generator) -> None:
    """No image gives no view."""
    latents, _, labels = _start(generator)
    none = None if labels is None else labels[:0]
    views = perturbation(generator, latents[:0], 3, Rng(0).streams([]), none)
    expect(views.shape == (0, 3, *generator.latent_spec.shape), f"its shape is {views.shape}")


def the_name_tells_it_apart(perturbation: Perturbation, generator: Generator) -> None:
    """Equal perturbations have one name and one hash; other strengths and rows have others."""
    name, twin, weaker = perturbation.name, perturbation.scaled(1.0), perturbation.scaled(0.5)
    expect(name.startswith(perturbation.kind), f"{name!r} does not begin with its kind")
    expect(twin == perturbation, "it does not equal another one of the same settings")
    expect(twin.name == name and hash(twin) == hash(perturbation), "two equal ones differ")
    expect(weaker.name != name, f"two strengths are called {name!r}")
    expect(_elsewhere(perturbation).name != name, f"two ranges are called {name!r}")


def it_is_described(perturbation: Perturbation, generator: Generator) -> None:
    """A copy has the same key for stored results, another strength or range has another."""
    others = {"strength": perturbation.scaled(0.5), "range": _elsewhere(perturbation)}
    described_apart(perturbation, **others)


def misuse_is_refused(perturbation: Perturbation, generator: Generator) -> None:
    """No view, a stream too few, unknown rows, another shape and a wrong label are errors."""
    latents, streams, labels = _start(generator)
    taller = torch.cat([latents, latents], dim=1)
    wrong = torch.full((len(IDS),), generator.num_classes)
    unknown = replace(perturbation, layers="no such rows")
    refuses(lambda: perturbation(generator, latents, 0, streams, labels), "num_views of 0")
    refuses(lambda: perturbation(generator, latents, 1, streams[:2], labels), "a stream too few")
    refuses(lambda: perturbation(generator, taller, 1, streams, labels), "latents of more rows")
    refuses(lambda: perturbation(generator, latents, 1, streams, wrong), "a label out of range")
    refuses(lambda: unknown(generator, latents, 1, streams, labels), "an unknown layer range")


PERTURBATION_CHECKS = laws_of(globals())


def _start(generator: Generator) -> tuple[Tensor, Streams, Tensor | None]:
    """Latents that differ in every row, streams, and labels where the generator needs them."""
    streams, labels = Rng(5, "start").streams(IDS), generator.labels_in_turn(range(len(IDS)))
    with torch.no_grad():
        latents = generator.map(generator.sample(streams), labels)
    rows = streams.child("rows").normal(1, generator.latent_spec.shape)[:, 0]
    return latents + rows.to(latents), Rng(1).streams(IDS), labels


def _ranges(generator: Generator) -> list[str]:
    """All rows, the first and the last alone, and the ranges with a name."""
    spec = generator.latent_spec
    named = (found.name for found in spec.ranges)
    return list(dict.fromkeys(["all", "0", str(spec.num_layers - 1), *named]))


def _elsewhere(perturbation: Perturbation) -> Perturbation:
    return replace(perturbation, layers="0" if perturbation.layers_name != "0" else "all")


def _each(latents: Tensor, num_views: int) -> Tensor:
    return latents[:, None].expand(-1, num_views, -1, -1)
