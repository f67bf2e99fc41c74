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
from genviews.testing.laws import Batched, close, equal, expect, leaves_no_trace, refuses, sound

__all__ = ["GENERATOR_CHECKS", "check_generator"]

BATCH = 5
EVERY = list(range(BATCH))
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
    GeneratorLaws.check(generator)


class GeneratorLaws(Batched[Generator]):
    """See the module."""

    count = BATCH
    groups = ([0], [1], [2], [3], [4], [4, 3, 2, 1, 0])

    def __init__(self, generator: Generator) -> None:
        super().__init__(generator)
        self.labels = generator.labels_in_turn(range(BATCH))

    def _z(self, seed: int = 0, rows: list[int] = EVERY) -> Tensor:
        return self.subject.sample(Rng(seed).streams(rows))

    def _latents(self, seed: int = 0, rows: list[int] = EVERY) -> Tensor:
        return self.subject.map(self._z(seed, rows), self._labels(rows))

    def _images(self, seed: int = 0, rows: list[int] = EVERY) -> Tensor:
        return self.subject.synthesize(self._latents(seed, rows), self._labels(rows))

    def _of(self, rows: list[int]) -> dict[str, Tensor]:
        return {"latents": self._latents(0, rows), "images": self._images(0, rows)}

    def shapes(self) -> None:
        """Z, latents and images have the shapes that the specs declare, on one device."""
        generator, spec = self.subject, self.subject.latent_spec
        device, shape = generator.device, (BATCH, *generator.image_spec.shape)
        sound(self._z(), "z", (BATCH, generator.z_dim), device=device)
        sound(self._latents(), "latents", (BATCH, *spec.shape), device=device)
        sound(self._images(), "images", shape, device=device)
        for layers in spec.ranges:
            spec.layers(layers.name)

    def image_range(self) -> None:
        """Sampled images lie in the declared range, but for a slight overshoot."""
        images, (low, high) = self._images(), self.subject.image_spec.range
        inside = (images >= low - OVERSHOOT) & (images <= high + OVERSHOOT)
        told = f"values from {images.min()} to {images.max()}"
        expect(inside.float().mean() >= 0.99, told)

    def streams_decide(self) -> None:
        """Equal streams give equal images, bit for bit; other ids and another seed give others."""
        images, other = self._images(), self._images(seed=1)
        equal(self._images(), images, "images of the same streams")
        for i in range(BATCH):
            expect(not torch.equal(images[i], other[i]), f"image {i} is the same for two seeds")
            alike = torch.equal(images[i], images[i - 1])
            expect(not alike, f"images {i} and {i - 1} are the same")

    def global_state_untouched(self) -> None:
        """No global random number is drawn, the weights and the grad mode stay."""
        with leaves_no_trace(self.subject):
            self._images()
            self.subject.mean_latent(num=2 * max(self.subject.num_classes, 1))

    def gradient_reaches_latent(self) -> None:
        """Every style row of a sample has a finite gradient, not zero, from its own image alone."""
        latents = self._latents().detach().requires_grad_()
        images = self.subject.synthesize(latents, self.labels)
        weights = torch.linspace(-1.0, 1.0, images[0].numel()).to(images)
        (gradient,) = torch.autograd.grad((images.flatten(1) @ weights)[1:].sum(), latents)
        expect(gradient.isfinite(), "the gradient is not finite")
        expect(gradient[0] == 0, "an image has a gradient in the latent of another")
        for row in range(self.subject.latent_spec.num_layers):
            expect(bool(gradient[1:, row].any()), f"no gradient reaches style row {row}")

    def views_equal_flat(self) -> None:
        """`synthesize_views` is flat `synthesize`, its gradients too, for each shared prefix."""
        generator, num_layers = self.subject, self.subject.latent_spec.num_layers
        cases = [(3, shared) for shared in range(num_layers + 1)] + [(1, 0), (1, num_layers)]
        for num_views, shared in cases:
            pool = torch.stack([self._latents(seed) for seed in range(num_views)], dim=1).detach()
            pool[:, :, :shared] = pool[:, :1, :shared].clone()
            latents = pool.requires_grad_()
            got = generator.synthesize_views(latents, shared, self.labels)
            each = None if self.labels is None else self.labels.repeat_interleave(num_views)
            flat = generator.synthesize(latents.flatten(0, 1), each)
            what = f"{num_views} views with {shared} shared rows"
            close(got, flat.unflatten(0, (BATCH, num_views)), what)
            a, b = (torch.autograd.grad(x.square().mean(), latents)[0] for x in (got, flat))
            # Where rows are shared only the sum over the views is defined.
            close(a.sum(1), b.sum(1), f"summed gradient of {what}")
            close(a[:, :, shared:], b[:, :, shared:], f"gradient of {what}")

    def truncation(self) -> None:
        """A psi of 1 changes nothing, 0 forgets z, 0.5 is halfway; rows from the cutoff on stay."""
        label = None if self.labels is None else torch.zeros_like(self.labels)
        mapped = partial(self.subject.map, self._z(), label)
        full, none, half = mapped(), mapped(psi=0.0), mapped(psi=0.5)
        equal(mapped(psi=1.0), full, "the latents of psi = 1, the default")
        close(none, none[:1].expand_as(none), "the latents of psi = 0")
        close(half, (full + none) / 2, "the latents of psi = 0.5")
        for cutoff in range(self.subject.latent_spec.num_layers + 1):
            cut = mapped(psi=0.5, cutoff=cutoff)
            close(cut[:, :cutoff], half[:, :cutoff], f"rows before the cutoff {cutoff}")
            equal(cut[:, cutoff:], full[:, cutoff:], f"rows from the cutoff {cutoff}")

    def labels_are_checked(self) -> None:
        """A label that is missing, superfluous or out of range is a ValueError."""
        generator, z, classes = self.subject, self._z(), self.subject.num_classes
        wrong: dict[str, Tensor | None] = {"superfluous": torch.zeros(BATCH, dtype=torch.long)}
        if self.labels is not None:
            large, negative = torch.full_like(self.labels, classes), -torch.ones_like(self.labels)
            wrong = {"missing": None, "too large": large, "negative": negative}
            moved = (self.labels + 1) % classes
            other = generator.synthesize(generator.map(z, moved), moved)
            expect(not torch.equal(other, self._images()), "the label changes nothing")
        for what, label in wrong.items():
            refuses(partial(generator.map, z, label), f"a label that is {what}")
            if generator.renders_label:
                call = partial(generator.synthesize, self._latents(), label)
                refuses(call, f"a label to render that is {what}")

    def latents_are_checked(self) -> None:
        """Latents of another number of rows or another width are a ValueError."""
        num_layers, dim = self.subject.latent_spec.shape
        for shape in ((BATCH, num_layers + 1, dim), (BATCH, num_layers, dim + 1)):
            latents = torch.zeros(shape, device=self.subject.device)
            refuses(partial(self.subject.synthesize, latents), f"latents of shape {shape}")

    def mean_latent(self) -> None:
        """`mean_latent` is the mean of mapped samples over all classes, the same each time."""
        num = 4 * max(self.subject.num_classes, 1)
        mean = self.subject.mean_latent(num)
        sound(mean, "the mean", self.subject.latent_spec.shape)
        self.subject.mean_latent(num + 1)  # so that the next is measured anew, not remembered
        equal(self.subject.mean_latent(num), mean, "the mean of another call")
        expect(not mean.requires_grad, "it carries a gradient")

    def it_is_described(self) -> None:
        """A copy has the same key for stored results and answers alike; another tensor, another."""
        super().it_is_described()
        answers = answers_of(self.subject)
        close(answers_of(copy.deepcopy(self.subject)), answers, "answers of a copy")
        expect(answers.isfinite(), "answers that are not finite")


GENERATOR_CHECKS = GeneratorLaws.checks()
