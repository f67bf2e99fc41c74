"""The contracts of what makes views: each `Perturbation`, `PixelViews` and `AnchorViews`.

Round-off is allowed where only a network can cause it; zero strength and rows outside the range
are compared bit for bit.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor

from genviews.augment.base import PixelViews
from genviews.generators.base import Generator
from genviews.perturb.base import Perturbation
from genviews.represent.views import AnchorViews
from genviews.rng import Rng, Streams
from genviews.testing.laws import Batched, close, equal, expect, leaves_no_trace, refuses, sound
from genviews.types import ImageSpec

__all__ = [
    "ANCHOR_VIEWS_CHECKS",
    "PERTURBATION_CHECKS",
    "PIXEL_VIEWS_CHECKS",
    "check_anchor_views",
    "check_perturbation",
    "check_pixel_views",
]

T = TypeVar("T")

IDS: tuple[int | str, ...] = ("a.png", 3, "b.png", 2**40)
ANCHORS = (5, 0, 3, 6)
ALL = slice(None)
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
    PerturbationLaws.check(perturbation, generator)


def check_pixel_views(pixel_views: PixelViews, image_spec: ImageSpec) -> None:
    """Run every check of the contract on one transform.

    Args:
        pixel_views: called on four noise images of the spec.
        image_spec: of images that it takes; small ones are quick.

    Raises:
        AssertionError: a law is broken; the message says which.

    Example:
        >>> from genviews.augment.geometry import HorizontalFlip
        >>> check_pixel_views(HorizontalFlip(), ImageSpec(channels=3, height=8, width=6))
    """
    PixelViewsLaws.check(pixel_views, image_spec)


def check_anchor_views(views: AnchorViews) -> None:
    """Run every check of the contract on one source of views.

    Args:
        views: with the samples 0 to 6 at least.

    Raises:
        AssertionError: a law is broken; the message says which.

    Example:
        >>> from genviews import Isotropic, ToyGenerator
        >>> from genviews.represent.views import LatentViews
        >>> check_anchor_views(LatentViews(ToyGenerator(), Isotropic("fine", 0.3)))
    """
    AnchorViewsLaws.check(views)


class Viewed(Batched[T]):
    """What gives K views of each sample, drawn from its stream; a law may change what is given."""

    samples: Tensor
    streams: Streams

    @abstractmethod
    def _views(self, num_views: int = 2, rows: list[int] | slice = ALL) -> Tensor:
        """Views of some of the samples."""

    def _of(self, rows: list[int]) -> dict[str, Tensor]:
        return {"views": self._views(3, rows)}

    def the_number_of_views_does_not_matter(self) -> None:
        """View k is the same whatever K is, and when views from k on are made later."""
        whole = self._views(5)
        close(self._views(1), whole[:, :1], "the first view alone")
        close(self._views(2), whole[:, :2], "the first 2 of 5 views")
        self.streams = self.streams.from_view(3)
        close(self._views(2), whole[:, 3:], "views from the fourth on")

    def streams_decide(self) -> None:
        """Equal streams give equal views, bit for bit, and no global random number is drawn."""
        with leaves_no_trace():
            views = self._views()
        equal(self._views(), views, "views of the same streams")
        expect(not views.requires_grad, "the views carry a gradient that nobody asked for")

    def the_input_is_not_written_to(self) -> None:
        """The samples stay as they were."""
        with leaves_no_trace(self.samples):
            self._views()

    def misuse_is_refused(self) -> None:
        """No view and a stream too few are errors."""
        refuses(lambda: self._views(0), "num_views of 0")
        streams, self.streams = self.streams, self.streams[:2]
        refuses(self._views, "a stream too few")
        self.streams = streams


class PerturbationLaws(Viewed[Perturbation]):
    """Latents that differ in every row, and labels where the generator needs them."""

    def __init__(self, perturbation: Perturbation, generator: Generator) -> None:
        super().__init__(perturbation)
        self.generator, self.labels = generator, generator.labels_in_turn(range(len(IDS)))
        streams = Rng(5, "start").streams(IDS)
        with torch.no_grad():
            latents = generator.map(generator.sample(streams), self.labels)
        rows = streams.child("rows").normal(1, generator.latent_spec.shape)[:, 0]
        self.samples, self.streams = latents + rows.to(latents), Rng(1).streams(IDS)
        other = "0" if perturbation.layers_name != "0" else "all"
        self.elsewhere = replace(perturbation, layers=other)

    def _views_of(self, perturbation: Perturbation) -> Tensor:
        """Two views of each latent by another perturbation."""
        return PerturbationLaws(perturbation, self.generator)._views()

    def _views(self, num_views: int = 2, rows: list[int] | slice = ALL) -> Tensor:
        latents, streams, labels = self.samples[rows], self.streams[rows], self._labels(rows)
        return self.subject(self.generator, latents, num_views, streams, labels)

    def _others(self) -> dict[str, object]:
        return {"strength": self.subject.scaled(0.5), "range": self.elsewhere}

    def _ranges(self) -> list[str]:
        """All rows, the first and the last alone, and the ranges with a name."""
        spec = self.generator.latent_spec
        named = (found.name for found in spec.ranges)
        last = spec.num_layers - 1
        apart = [f"0,{last}"] if last > 1 else []  # rows need not adjoin
        return list(dict.fromkeys(["all", "0", str(last), *apart, *named]))

    def zero_strength_is_the_identity(self) -> None:
        """At strength 0 each view is the latent itself, bit for bit, whatever the rows."""
        wanted = self.samples[:, None].repeat(1, 2, 1, 1)
        for layers in self._ranges():
            zero = replace(self.subject.scaled(0.0), layers=layers)
            equal(self._views_of(zero), wanted, f"rows {layers}")

    def rows_outside_stay_and_inside_move(self) -> None:
        """Rows outside the range stay, bit for bit; each row inside moves in each view."""
        spec = self.generator.latent_spec
        for layers in self._ranges():
            views = self._views_of(replace(self.subject, layers=layers))
            inside = torch.zeros(spec.num_layers, dtype=torch.bool)
            inside[spec.layers(layers).rows] = True
            stayed = (views == self.samples[:, None]).all(-1)
            expect(stayed[:, :, ~inside], f"layers {layers}: a row outside moved")
            expect(~stayed[:, :, inside], f"layers {layers}: a row inside stayed")

    def the_input_is_not_written_to(self) -> None:
        """Neither the call nor writing to the views changes the latents."""
        with leaves_no_trace(self.samples):
            self._views().zero_()

    def streams_decide(self) -> None:
        """Equal streams give equal views, bit for bit; other ids, views and seeds give others."""
        super().streams_decide()
        alike = [0] * len(IDS)
        self.samples, self.labels = self.samples[alike], self._labels(alike)
        views, self.streams = self._views(), Rng(2).streams(IDS)
        both = torch.cat([views, self._views()]).flatten(0, 1)
        found = len(both.unique(dim=0))
        expect(found == len(both), f"{found} of {len(both)} views differ")

    def strengths_share_their_draws(self) -> None:
        """A view of half the strength went the same way, less far: scales are compared alike."""
        full, half = (
            (self._views_of(by) - self.samples[:, None]).flatten(2)
            for by in (self.subject, self.subject.scaled(0.5))
        )
        shorter = half.norm(dim=-1) <= full.norm(dim=-1) * (1 + 1e-5)
        expect(shorter, "half the strength went further")
        cosine = float(torch.cosine_similarity(half, full, dim=-1).min())
        expect(cosine >= SAME_WAY, f"half the strength went another way, cosine {cosine:.2f}")

    def views_have_the_dtype_of_the_latents(self) -> None:
        """Latents in float64 and float16 give views of that type, the same but for rounding."""
        exact, latents = self._views(), self.samples
        for dtype in (torch.float64, torch.float16):
            self.samples = latents.to(dtype)
            views = self._views()
            expect(views.dtype == dtype, f"{dtype} became {views.dtype}")
            close(views, exact, f"views in {dtype}", tolerance=2e-2)

    def gradients_are_those_of_the_views(self) -> None:
        """The derivative is that of the numbers, and none reaches the latent of another image."""

        def views(latents: Tensor) -> Tensor:
            self.samples = latents
            return self._views()

        leaf = self.samples.double().requires_grad_()
        (gradient,) = torch.autograd.grad(views(leaf)[1:].sum(), leaf)
        expect(gradient[0] == 0, "a view has a gradient in the latent of another image")
        right = torch.autograd.gradcheck(views, (leaf,), fast_mode=True)
        expect(right, "the gradient is another")

    def an_empty_batch_is_no_error(self) -> None:
        """No image gives no view."""
        shape = (0, 3, *self.generator.latent_spec.shape)
        sound(self._views(3, []), "views of no image", shape)

    def the_name_tells_it_apart(self) -> None:
        """Equal perturbations have one name and one hash; other strengths and rows have others."""
        one, twin, weaker = self.subject, self.subject.scaled(1.0), self.subject.scaled(0.5)
        expect(one.name.startswith(one.kind), f"{one.name!r} does not begin with its kind")
        expect(twin == one, "it does not equal another one of the same settings")
        expect(twin.name == one.name and hash(twin) == hash(one), "two equal ones differ")
        expect(weaker.name != one.name, f"two strengths are called {one.name!r}")
        expect(self.elsewhere.name != one.name, f"two ranges are called {one.name!r}")

    def misuse_is_refused(self) -> None:
        """No view, a stream too few, unknown rows, another shape and a wrong label are errors."""
        super().misuse_is_refused()
        unknown = replace(self.subject, layers="no such rows")
        refuses(lambda: self._views_of(unknown), "an unknown layer range")
        right, self.labels = self.labels, torch.full((len(IDS),), self.generator.num_classes)
        refuses(self._views, "a label out of range")
        self.samples, self.labels = self.samples.repeat(1, 2, 1), right
        refuses(self._views, "latents of more rows")


class PixelViewsLaws(Viewed[PixelViews]):
    """Noise, one image of it grey."""

    def __init__(self, pixel_views: PixelViews, image_spec: ImageSpec) -> None:
        super().__init__(pixel_views)
        noise = Rng(1, "pixel views contract").streams(IDS).uniform(1, image_spec.shape)[:, 0]
        self.samples, self.streams = noise * 2 - 1, Rng(3).streams(IDS)
        self.samples[1] = self.samples[1, :1]

    def _views(self, num_views: int = 2, rows: list[int] | slice = ALL) -> Tensor:
        return self.subject(self.samples[rows], num_views, self.streams[rows])

    def views_have_one_shape(self) -> None:
        """(B, K, C, H2, W2) in the dtype of the images, for no image too; the name is one word."""
        views, none, name = self._views(), self._views(2, []), self.subject.name
        shape = (2, self.samples.shape[1], *views.shape[-2:])
        sound(views, "views", (len(IDS), *shape), dtype=self.samples.dtype)
        sound(none, "views of no image", (0, *shape))
        expect(name.split() == [name], f"{name!r} is no key of a bank")

    def the_range_is_kept(self) -> None:
        """Finite images in [-1, 1], black and white too, give finite views in [-1, 1]."""
        for what, images in (("noise", self.samples), ("black and white", self.samples.sign())):
            self.samples = images
            views = self._views(3)
            sound(views, f"views of {what}", views.shape, most=1 + 1e-4)

    def views_that_exist_are_changed_alike(self) -> None:
        """`augment` of K copies is the call for K views; each view is changed by its own draw."""
        views, copies = self._views(3), self.samples[:, None].repeat(1, 3, 1, 1, 1)
        close(self.subject.augment(copies, self.streams), views, "views of copies")
        copies[:, 1] = 1.0
        changed = self.subject.augment(copies, self.streams)
        close(changed[:, [0, 2]], views[:, [0, 2]], "views beside a white one")

    def chance_is_said(self) -> None:
        """Views of an image differ only where `is_random` says so."""
        views = self._views(6)
        if not self.subject.is_random:
            equal(
                {"views": views}, {"views": views[:, :1].expand_as(views)}, "views without chance"
            )


class AnchorViewsLaws(Batched[AnchorViews]):
    """Four samples, in no order."""

    groups = ([1], [3, 0, 2])

    def _of(self, rows: list[int]) -> dict[str, Tensor]:
        return self.subject([ANCHORS[row] for row in rows], visit=2).tensors()

    def images_are_what_the_spec_says(self) -> None:
        """(B, 1+K, C, H, W) in [-1, 1], finite, a row of everything for each id; no gradient."""
        views = self.subject
        with leaves_no_trace():
            batch = views(ANCHORS)
        expect(batch.images.abs() <= 1, "values outside [-1, 1]")
        expect(batch.ids == ANCHORS, f"ids {batch.ids}")
        expect(batch.visits == (0,) * len(ANCHORS), f"visits {batch.visits}")
        shapes = {"images": (len(ANCHORS), 1 + views.positives, *views.image_spec.shape)}
        for name, value in batch.tensors().items():
            shape = shapes.get(name, (len(ANCHORS), *value.shape[1:]))
            sound(value, name, shape, device=views.device)
            expect(not value.requires_grad, f"{name} carry a gradient")

    def ids_and_visits_decide(self) -> None:
        """Equal ids at equal visits give equal views, bit for bit; other ids other images."""
        first = self.subject(ANCHORS, visit=1)
        equal(self.subject(ANCHORS, visit=1).tensors(), first.tensors(), "another call")
        anchors = first.images[:, 0].flatten(1)
        expect(len(anchors.unique(dim=0)) == len(ANCHORS), "two samples have one image")

    def the_anchor_stays(self) -> None:
        """At another visit the anchor and its label are the same; with a whole pool, all is."""
        first, later = self.subject(ANCHORS), self.subject(ANCHORS, visit=3)
        expect(later.visits == (3,) * len(ANCHORS), f"visits {later.visits}")
        close(later.images[:, 0], first.images[:, 0], "anchors")
        close(later.z, first.z, "z of the anchors")
        if first.labels is not None and later.labels is not None:
            equal(later.labels, first.labels, "labels")
        if self.subject.pool == self.subject.positives:
            close(later.images, first.images, "a whole pool")

    def wrong_ids_are_refused(self) -> None:
        """An id below 0 is an error."""
        refuses(lambda: self.subject([0, -1]), "the id -1")


PERTURBATION_CHECKS = PerturbationLaws.checks()
PIXEL_VIEWS_CHECKS = PixelViewsLaws.checks()
ANCHOR_VIEWS_CHECKS = AnchorViewsLaws.checks()
