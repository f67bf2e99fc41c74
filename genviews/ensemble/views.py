"""What a view of an image can be, and how its pixels come to be: perturb, render, transform.

A `ViewSet` names one way to make K views. A `ViewPlan` says which sets are made of every image, and
makes them, each render once. The draws of an image come from (seed, its id, view index) alone, so
neither the batch size nor the other images change its views (law 1).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from genviews.augment.base import PixelViews
from genviews.checks import check_count, check_different, fail
from genviews.generators.base import Generator
from genviews.perturb.base import Perturbation
from genviews.perturb.redraw import redraw
from genviews.render import render
from genviews.rng import Rng, Streams
from genviews.signature import checked
from genviews.types import ImageSpec

__all__ = ["ViewPlan", "ViewSet"]


@checked
@dataclass(frozen=True, kw_only=True)
class ViewSet:
    """One way to make views: of pixels, by the generator, or of the pixels of generated views.

    Args:
        perturbation: of the image's latent, then rendered; None leaves the generator out.
        pixels: pixel transform of the image or, with a perturbation, of each rendered view; in the
            place of the fixed ones of the `ViewPlan`.
        num_views: K; None takes that of the `ViewPlan`, or 1 for a transform of the image's pixels
            that leaves nothing to chance: 32 copies of a sure flip would drown the image in a mean.
        per_latent: with both, how many pixel transforms each latent gets. 1 makes K different
            latents; the reference code's `tensortransform` files have 8 latents x 4 transforms
            (per_latent=4).

    Raises:
        ValueError: neither a perturbation nor pixel views, or `per_latent` without both.
    """

    perturbation: Perturbation | None = None
    pixels: PixelViews | None = None
    num_views: int | None = None
    per_latent: int = 1

    def __post_init__(self) -> None:
        if self.perturbation is None and self.pixels is None:
            fail(
                "view set",
                expected="a perturbation, pixel views or both",
                got="neither",
                remedy="e.g. ViewSet(perturbation=StyleMix('fine'))",
            )
        check_count(self.per_latent, "per_latent")
        if self.per_latent > 1 and self.group != "combined":
            fail(
                "per_latent",
                expected="1",
                got=self.per_latent,
                remedy="it counts pixel transforms of a generated view: give both kinds",
            )

    @property
    def name(self) -> str:
        """The key in the bank: "crop", "stylemix_fine_1.00" or "crop+stylemix_fine_1.00"."""
        return "+".join(part.name for part in (self.pixels, self.perturbation) if part is not None)

    @property
    def is_sure(self) -> bool:
        """Whether all its views of an image are one, as those of a sure flip."""
        return self.perturbation is None and self.pixels is not None and not self.pixels.is_random

    @property
    def group(self) -> Literal["pixel", "latent", "combined"]:
        """Where the views come from: "pixel", "latent" or "combined"."""
        if self.perturbation is None:
            return "pixel"
        return "latent" if self.pixels is None else "combined"


@checked
@dataclass(frozen=True, kw_only=True)
class ViewPlan:
    """All the views that are made of each image: of which kinds, how many, from which draws.

    Args:
        view_sets: the kinds; their names are the keys of the views.
        generator: renders latents; None when no view set perturbs them.
        num_views: K of each view set that does not say itself; 32 as in the reference code. Fewer
            are the first of more.
        seed: another seed, other views.
        batch_size: views in flight at a time (memory), no effect on them but float round-off.
        photo_transform: how the image itself is shown, such as "car/val" of
            `genviews.augment.presets.pixel_views`; None shows it as it is.
        render_transform: how a rendered image without pixel views of its own is shown, such as
            "car/gan-base".

    Raises:
        ValueError: the same name twice, a name that banks keep for themselves, or a count below 1.
    """

    view_sets: Sequence[ViewSet]
    generator: Generator | None = None
    num_views: int = 32
    seed: int = 0
    batch_size: int = field(default=256, metadata={"identity": False})
    photo_transform: PixelViews | None = None
    render_transform: PixelViews | None = None

    def __post_init__(self) -> None:
        check_count(self.batch_size, "batch_size")
        check_count(self.num_views, "num_views")
        Rng(self.seed)  # refuses what is no seed
        names = ["image", "reconstruction", *(view_set.name for view_set in self.view_sets)]
        remedy = "give each once; 'image' and 'reconstruction' are taken"
        check_different(names, "view sets", remedy)

    @checked
    def views(
        self,
        images: Float[Tensor, "N C H W"],
        ids: Sequence[str],
        latents: Float[Tensor, "N L D"] | None = None,
        label: Int[Tensor, " N"] | None = None,
    ) -> Iterator[tuple[str, Float[Tensor, "N _ C H W"]]]:
        """Yield (key, all its views), as `blocks` makes them."""
        found: dict[str, list[Tensor]] = defaultdict(list)
        for key, block in self.blocks(images, ids, latents, label):
            found[key].append(block)
        for key, blocks in found.items():
            yield key, torch.cat(blocks, 1)

    @checked
    def shown(
        self, images: Float[Tensor, "N C H W"], ids: Sequence[str], *, rendered: bool = False
    ) -> Float[Tensor, "N C h w"]:
        """Images, or what was rendered from them, as they are shown; chance is each image's own."""
        streams = Rng(self.seed, "views").streams(ids)
        if rendered:
            return _shown(images[:, None], self.render_transform, streams.child("rendered"))[:, 0]
        return _shown(images[:, None], self.photo_transform, streams.child("photo"))[:, 0]

    @checked
    def blocks(
        self,
        images: Float[Tensor, "N C H W"],
        ids: Sequence[str],
        latents: Float[Tensor, "N L D"] | None = None,
        label: Int[Tensor, " N"] | None = None,
        *,
        redrawn: Callable[[int], None] = lambda count: None,
    ) -> Iterator[tuple[str, Float[Tensor, "N _ C H W"]]]:
        """Yield (key, some views) for "image" and each set; with latents, "reconstruction" too.

        The blocks of a key come in order; none has more than `batch_size` views, or one of each
        image, where that is more.

        Args:
            images: in [-1, 1].
            ids: of the images; they seed the views.
            latents: of the images, by inversion; needed by perturbations.
            label: predicted classes, for a conditional generator.
            redrawn: called with how many views were not finite, and drawn again.

        Differs: each image's views come from its id, not from its place in the data set or batch.
        """
        device = images.device if self.generator is None else self.generator.device
        images, streams = images.to(device), Rng(self.seed, "views").streams(ids)
        most = max(1, self.batch_size // max(len(ids), 1))
        yield "image", self.shown(images, ids)[:, None]
        for view_set in self.view_sets:
            if view_set.perturbation is None and view_set.pixels is not None:
                own = streams.child("pixel")
                for first, count in _parts(self._count(view_set), most):
                    made = view_set.pixels(images, count, own.from_view(first))
                    yield view_set.name, made
        if self.generator is None or latents is None:
            return
        latents, label = latents.to(device), None if label is None else label.to(device)
        make = partial(render, self.generator, label=label, batch_size=self.batch_size)
        base = partial(_shown, transform=self.render_transform, streams=streams.child("rendered"))
        yield "reconstruction", base(make(latents[:, None]))
        for perturbation, sets in self.perturbed().values():
            each = max(1, most // max(view_set.per_latent for view_set in sets))
            for first, count in _parts(max(map(self._count_latents, sets)), each):
                # The stream is named by kind: scales and layer ranges share draws, and so differ in
                # nothing but the scale and the layers.
                own = streams.from_view(first)
                moved = perturbation(self.generator, latents, count, own, label=label)
                rendered = make(moved)
                again = partial(self._again, perturbation, latents, count, own, label)
                redrawn(redraw(moved, rendered, again)[0])  # an answer to the others is no number
                for view_set in sets:
                    left = self._count_latents(view_set) - first
                    if left <= 0:
                        continue
                    if view_set.pixels is None:
                        yield view_set.name, base(rendered[:, :left])
                        continue
                    start = first * view_set.per_latent
                    made = rendered[:, :left].repeat_interleave(view_set.per_latent, 1)
                    made = made[:, : self._count(view_set) - start]
                    own = streams.child(f"pixel of {perturbation.kind}").from_view(start)
                    yield view_set.name, view_set.pixels.augment(made, own)

    def check_shapes(self, images: ImageSpec, wanted: ImageSpec) -> None:
        """Raise ValueError unless images, renders and views have the size that a classifier takes.

        Args:
            images: and renders, as they are before their transforms.
            wanted: what the classifier takes.
        """
        shown = {"images": self.photo_transform}
        if self.generator is not None:
            shown["renders"] = self.render_transform
        shown |= {sets.name: sets.pixels for sets in self.view_sets if sets.pixels is not None}
        blank = torch.zeros(1, *images.shape)
        for what, transform in shown.items():
            made = blank if transform is None else transform(blank, 1, Rng(0).streams([0]))[:, 0]
            if tuple(made.shape[1:]) != wanted.shape:
                after = "" if transform is None else f" after {transform.name!r}"
                fail(
                    "classifier and generator",
                    expected="images of one shape",
                    got=f"{wanted.shape} and {tuple(made.shape[1:])}, those of {what}{after}",
                    remedy="bring them to its size by a photo_transform and a render_transform, "
                    "such as 'car/val' and 'car/gan-base', or let the classifier resize",
                )

    def _again(
        self,
        perturbation: Perturbation,
        latents: Tensor,
        most: int,
        streams: Streams,
        label: Tensor | None,
        rows: list[int],
        attempt: int,
    ) -> tuple[Tensor, Tensor]:
        """The views of some images, drawn again."""
        assert self.generator is not None
        own, of = streams[rows].child(f"again {attempt}"), None if label is None else label[rows]
        moved = perturbation(self.generator, latents[rows], most, own, label=of)
        return moved, render(self.generator, moved, label=of, batch_size=self.batch_size)

    @property
    def facts(self) -> dict[str, int]:
        """What banks keep of it beside their logits."""
        return {"seed": self.seed, "num_views": self.num_views}

    @property
    def settings(self) -> dict[str, object]:
        """What decides the views, by name: tensors within them are not looked at."""
        transforms = self.photo_transform, self.render_transform
        return {
            "views": {one.name: (count, one.per_latent) for one, count in self.counts()},
            "transforms": [None if one is None else one.name for one in transforms],
            "seed": self.seed,
        }

    def perturbed(self) -> dict[str, tuple[Perturbation, list[ViewSet]]]:
        """Name of a perturbation -> itself and its view sets, which share its rendered views."""
        found: dict[str, tuple[Perturbation, list[ViewSet]]] = {}
        for view_set in self.view_sets:
            if view_set.perturbation is not None:
                kind = view_set.perturbation
                found.setdefault(kind.name, (kind, []))[1].append(view_set)
        return found

    @property
    def num_rendered(self) -> int:
        """How many perturbed latents of an image are rendered."""
        sets = [sets for _, sets in self.perturbed().values()]
        return sum(max(map(self._count_latents, one)) for one in sets)

    def counts(self) -> list[tuple[ViewSet, int]]:
        """Each view set and how many views it makes of an image."""
        return [(view_set, self._count(view_set)) for view_set in self.view_sets]

    def _count(self, view_set: ViewSet) -> int:
        if view_set.num_views is not None:
            return view_set.num_views
        return 1 if view_set.is_sure else self.num_views

    def _count_latents(self, view_set: ViewSet) -> int:
        return -(-self._count(view_set) // view_set.per_latent)  # rounded up


def _parts(count: int, most: int) -> Iterator[tuple[int, int]]:
    """(first, number) of consecutive parts."""
    return ((first, min(most, count - first)) for first in range(0, count, most))


def _shown(views: Tensor, transform: PixelViews | None, streams: Streams) -> Tensor:
    return views if transform is None else transform.augment(views, streams)
