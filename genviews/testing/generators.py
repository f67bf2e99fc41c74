"""The generator contract: the laws that each `Generator` keeps, as checks that anyone can run.

A check takes a generator and raises AssertionError with the law it breaks. `GENERATOR_CHECKS` is
the table of them; a test runs each on each implementation. A few hundred images are rendered.
"""

from __future__ import annotations

import copy
from functools import partial

import torch
from torch import Tensor

from genviews.generators.base import Generator
from genviews.identity.answers import answers_of
from genviews.rng import Rng
from genviews.testing.laws import (
    described_apart,
    expect,
    laws_of,
    refuses,
    run_laws,
    same,
    with_another_weight,
)

__all__ = ["GENERATOR_CHECKS", "check_generator"]

BATCH = 5
# A generator is not clamped; a picture may leave its range by a quarter of its width.
OVERSHOOT = 0.5


def check_generator(generator: Generator) -> None:
    """Run every check of the contract on one generator.

    Args:
        generator: in eval mode, on any device; left as it was.

    Raises:
        AssertionError: a law is broken; the message says which.

    Example:
        >>> from genviews import ToyGenerator
        >>> check_generator(ToyGenerator())
    """
    run_laws(GENERATOR_CHECKS, generator)


def shapes(generator: Generator) -> None:
    """Z, latents and images have the shapes that the specs declare, on the generator's device."""
    z = generator.sample(Rng(0).streams(range(BATCH)))
    expect(z.shape == (BATCH, generator.z_dim), f"z has shape {tuple(z.shape)}")
    latents = generator.map(z, _labels(generator))
    expect(
        latents.shape == (BATCH, *generator.latent_spec.shape), f"latents {tuple(latents.shape)}"
    )
    images = generator.synthesize(latents, _labels(generator))
    expect(images.shape == (BATCH, *generator.image_spec.shape), f"images {tuple(images.shape)}")
    for what, tensor in (("z", z), ("latents", latents), ("images", images)):
        expect(tensor.device.type == generator.device.type, f"{what} are on {tensor.device}")
        expect(bool(tensor.isfinite().all()), f"{what} are not finite")
    for layers in generator.latent_spec.ranges:
        generator.latent_spec.layers(layers.name)


def image_range(generator: Generator) -> None:
    """Sampled images lie in the declared range, but for a slight overshoot."""
    images = _images(generator)
    low, high = generator.image_spec.range
    inside = (images >= low - OVERSHOOT) & (images <= high + OVERSHOOT)
    expect(float(inside.float().mean()) >= 0.99, f"values from {images.min()} to {images.max()}")


def streams_decide(generator: Generator) -> None:
    """Equal streams give equal images, bit for bit; other ids and another seed give others."""
    images, again = _images(generator), _images(generator)
    expect(torch.equal(images, again), "the same streams gave two different images")
    other = _images(generator, seed=1)
    for i in range(BATCH):
        expect(not torch.equal(images[i], other[i]), f"image {i} is the same for two seeds")
        expect(not torch.equal(images[i], images[i - 1]), f"images {i} and {i - 1} are the same")


def global_state_untouched(generator: Generator) -> None:
    """No global random number is drawn, the weights and the grad mode stay."""
    state = torch.get_rng_state()
    before = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    _images(generator)
    generator.mean_latent(num=2 * max(generator.num_classes, 1))
    expect(torch.equal(torch.get_rng_state(), state), "a global random number was drawn")
    expect(torch.is_grad_enabled(), "gradients were turned off")
    for name, tensor in generator.state_dict().items():
        expect(torch.equal(tensor, before[name]), f"{name} was changed")


def neighbours_do_not_matter(generator: Generator) -> None:
    """A sample alone, in a batch or in another order gives the same latent and image."""
    latents = _latents(generator)
    images = generator.synthesize(latents, _labels(generator))
    order = list(reversed(range(BATCH)))
    z = generator.sample(Rng(0).streams(range(BATCH))[order])
    labels = _labels(generator)
    mapped = generator.map(z, None if labels is None else labels[order])
    same(mapped, latents[order], "latents in another order")
    turned = None if labels is None else labels[order]
    same(generator.synthesize(mapped, turned), images[order], "images in another order")
    for i in range(BATCH):
        z = generator.sample(Rng(0).streams([i]))
        one = None if labels is None else labels[i : i + 1]
        alone = generator.map(z, one)
        same(alone, latents[i : i + 1], f"latent {i} alone")
        same(generator.synthesize(alone, one), images[i : i + 1], f"image {i} alone")


def gradient_reaches_latent(generator: Generator) -> None:
    """Every style row of a sample has a finite gradient, not zero, from its own image alone."""
    latents = _latents(generator).detach().requires_grad_()
    images = generator.synthesize(latents, _labels(generator))
    weights = torch.linspace(-1.0, 1.0, images[0].numel()).to(images)
    (gradient,) = torch.autograd.grad((images.flatten(1) @ weights)[1:].sum(), latents)
    expect(bool(gradient.isfinite().all()), "the gradient is not finite")
    expect(not gradient[0].any(), "an image has a gradient in the latent of another")
    for row in range(generator.latent_spec.num_layers):
        expect(bool(gradient[1:, row].any()), f"no gradient reaches style row {row}")


def views_equal_flat(generator: Generator) -> None:
    """`synthesize_views` is flat `synthesize` in images and gradients, for each shared prefix."""
    num_layers = generator.latent_spec.num_layers
    cases = [(3, shared) for shared in range(num_layers + 1)] + [(1, 0), (1, num_layers)]
    for num_views, shared in cases:
        latents = _views(generator, num_views, shared).requires_grad_()
        label = _labels(generator)
        got = generator.synthesize_views(latents, shared, label)
        each = None if label is None else label.repeat_interleave(num_views)
        flat = generator.synthesize(latents.flatten(0, 1), each).reshape(got.shape)
        what = f"{num_views} views with {shared} shared rows"
        expect(got.shape == (BATCH, num_views, *generator.image_spec.shape), f"{what}: shape")
        same(got, flat, what)
        a, b = (torch.autograd.grad(x.square().mean(), latents)[0] for x in (got, flat))
        # Where rows are shared only the sum over the views is defined.
        same(a.sum(1), b.sum(1), f"summed gradient of {what}")
        same(a[:, :, shared:], b[:, :, shared:], f"gradient of {what}")


def truncation(generator: Generator) -> None:
    """A psi of 1 changes nothing, 0 forgets z, 0.5 is halfway; rows from the cutoff on stay."""
    z = generator.sample(Rng(0).streams(range(BATCH)))
    label = _labels(generator)
    label = None if label is None else torch.zeros_like(label)
    full = generator.map(z, label)
    none, half = generator.map(z, label, psi=0.0), generator.map(z, label, psi=0.5)
    expect(torch.equal(generator.map(z, label, psi=1.0), full), "psi = 1 is not the default")
    same(none, none[:1].expand_as(none), "the latents of psi = 0")
    same(half, (full + none) / 2, "the latents of psi = 0.5")
    for cutoff in range(generator.latent_spec.num_layers + 1):
        cut = generator.map(z, label, psi=0.5, cutoff=cutoff)
        same(cut[:, :cutoff], half[:, :cutoff], f"rows before the cutoff {cutoff}")
        expect(torch.equal(cut[:, cutoff:], full[:, cutoff:]), f"rows from the cutoff {cutoff}")


def labels_are_checked(generator: Generator) -> None:
    """A label that is missing, superfluous, out of range or of another batch is a ValueError."""
    z = generator.sample(Rng(0).streams(range(BATCH)))
    classes = generator.num_classes
    wrong: dict[str, Tensor | None] = {"superfluous": torch.zeros(BATCH, dtype=torch.long)}
    if classes:
        wrong = {
            "missing": None,
            "too large": torch.full((BATCH,), classes),
            "negative": torch.full((BATCH,), -1),
        }
        label = _labels(generator)
        assert label is not None
        moved = _image(generator, z, (label + 1) % classes)
        expect(not torch.equal(moved, _image(generator, z, label)), "the label changes nothing")
    for what, label in wrong.items():
        refuses(partial(generator.map, z, label), f"a label that is {what}")
        if generator.renders_label:
            latents = generator.map(z, _labels(generator))
            told = f"a label to render that is {what}"
            refuses(partial(generator.synthesize, latents, label), told)


def latents_are_checked(generator: Generator) -> None:
    """Latents of another number of rows or another width are a ValueError."""
    num_layers, dim = generator.latent_spec.shape
    for shape in ((BATCH, num_layers + 1, dim), (BATCH, num_layers, dim + 1)):
        latents = torch.zeros(shape, device=generator.device)
        refuses(partial(generator.synthesize, latents), f"latents of shape {shape}")


def mean_latent(generator: Generator) -> None:
    """`mean_latent` is the mean of mapped samples over all classes, the same each time."""
    num = 4 * max(generator.num_classes, 1)
    mean = generator.mean_latent(num)
    expect(mean.shape == generator.latent_spec.shape, f"its shape is {tuple(mean.shape)}")
    generator.mean_latent(num + 1)  # so that the next is measured anew, not remembered
    expect(torch.equal(mean, generator.mean_latent(num)), "it differs from call to call")
    expect(not mean.requires_grad, "it carries a gradient")


def it_is_described(generator: Generator) -> None:
    """A copy has the same key for stored results and answers alike; another tensor, another key."""
    changed = with_another_weight(generator, lambda one: [one])
    described_apart(generator, **({} if changed is None else {"tensor": changed}))
    answers = answers_of(generator)
    same(answers_of(copy.deepcopy(generator)), answers, "answers of a copy")
    expect(bool(answers.isfinite().all()), "answers that are not finite")


GENERATOR_CHECKS = laws_of(globals())


def _labels(generator: Generator) -> Tensor | None:
    return generator.labels_in_turn(range(BATCH))


def _latents(generator: Generator, seed: int = 0) -> Tensor:
    z = generator.sample(Rng(seed).streams(range(BATCH)))
    return generator.map(z, _labels(generator))


def _images(generator: Generator, seed: int = 0) -> Tensor:
    return generator.synthesize(_latents(generator, seed), _labels(generator))


def _image(generator: Generator, z: Tensor, label: Tensor) -> Tensor:
    return generator.synthesize(generator.map(z, label), label)


def _views(generator: Generator, num_views: int, shared: int) -> Tensor:
    """(B, K, L, D) with rows [0, shared) equal over the views and the others all different."""
    pool = torch.stack([_latents(generator, seed) for seed in range(num_views)], dim=1).detach()
    pool[:, :, :shared] = pool[:, :1, :shared]
    return pool.clone()
