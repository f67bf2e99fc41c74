"""What a view of an image can be, and how its pixels come to be: perturb, render, transform.

A `ViewSet` names one way to make K views. `Plan` makes all the sets of a chunk of images, each
render once. The draws of an image come from (seed, its id, view index) alone, so neither the batch
size nor the other images change its views (law 1).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from genviews.augment import PixelViews
from genviews.checks import check_count, fail
from genviews.generators.base import Generator
from genviews.perturb import Perturbation
from genviews.render import render
from genviews.rng import Rng, Streams

__all__ = [
    "Chunk",
    "Plan",
    "ViewSet",
    "make_views",
    "pixel_view_sets",
    "plan_views",
    "streams_of_views",
]


@dataclass(frozen=True, kw_only=True)
class ViewSet:
    """One way to make views: of pixels, by the generator, or of the pixels of generated views.

    Args:
        perturbation: of the image's latent, then rendered; None leaves the generator out.
        pixels: pixel transform of the image or, with a perturbation, of each rendered view.
        num_views: K; None takes the number that `fill_bank` is called with.
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
    def group(self) -> str:
        """Where the views come from: "pixel", "latent" or "combined"."""
        if self.perturbation is None:
            return "pixel"
        return "latent" if self.pixels is None else "combined"


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Some of the images, on the device of the models; `label` for a conditional generator."""

    images: Tensor
    latents: Tensor | None
    streams: Streams
    label: Tensor | None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to make of each chunk; view sets that share a perturbation share its rendered views."""

    generator: Generator | None
    pixel_sets: tuple[ViewSet, ...]
    latent_sets: Mapping[str, tuple[ViewSet, ...]]
    num_views: int
    batch_size: int

    def views(self, chunk: Chunk) -> Iterator[tuple[str, Tensor]]:
        """Yield (key, views (b, K, C, H, W)) for the images, reconstructions and each view set."""
        yield "image", chunk.images[:, None]
        for view_set in self.pixel_sets:
            assert view_set.pixels is not None
            count, streams = self._count(view_set), chunk.streams.child("pixel")
            yield view_set.name, view_set.pixels(chunk.images, count, streams)
        if self.generator is None or chunk.latents is None:
            return
        yield "reconstruction", self._render(self.generator, chunk.latents[:, None], chunk.label)
        for view_sets in self.latent_sets.values():
            count = max(self._count_latents(view_set) for view_set in view_sets)
            perturbation = view_sets[0].perturbation
            assert perturbation is not None
            # The stream is named by kind: scales and layer ranges share draws, and so differ in
            # nothing but the scale and the layers.
            latents = perturbation(
                self.generator, chunk.latents, count, chunk.streams, label=chunk.label
            )
            rendered = self._render(self.generator, latents, chunk.label)
            for view_set in view_sets:
                yield view_set.name, self._finish(view_set, rendered, chunk)

    def _finish(self, view_set: ViewSet, rendered: Tensor, chunk: Chunk) -> Tensor:
        """The first views that this set needs, each as it is or with its pixel transforms."""
        rendered = rendered[:, : self._count_latents(view_set)]
        if view_set.pixels is None or view_set.perturbation is None:
            return rendered
        views = rendered.repeat_interleave(view_set.per_latent, 1)[:, : self._count(view_set)]
        streams = chunk.streams.child(f"pixel of {view_set.perturbation.kind}")
        return view_set.pixels.augment(views, streams)

    def _render(self, generator: Generator, latents: Tensor, label: Tensor | None) -> Tensor:
        return render(generator, latents, label=label, batch_size=self.batch_size)

    def _count(self, view_set: ViewSet) -> int:
        return self.num_views if view_set.num_views is None else view_set.num_views

    def _count_latents(self, view_set: ViewSet) -> int:
        return -(-self._count(view_set) // view_set.per_latent)  # rounded up


def make_views(
    generator: Generator | None,
    images: Float[Tensor, "N C H W"],
    ids: Sequence[str],
    latents: Float[Tensor, "N L D"] | None,
    view_sets: Sequence[ViewSet],
    *,
    num_views: int = 32,
    seed: int = 0,
    batch_size: int = 256,
    label: Int[Tensor, " N"] | None = None,
) -> dict[str, Float[Tensor, "N _ C H W"]]:
    """The very views that `fill_bank` classifies, as images to look at.

    Args:
        generator: as for `fill_bank`, like the other arguments.
        images: in [-1, 1].
        ids: of the images; they seed the views.
        latents: of the images.
        view_sets: the views to make.
        num_views: fewer than in the bank gives the first of them.
        seed: as for the bank.
        batch_size: images rendered at once.
        label: predicted classes, for a conditional generator.

    Returns:
        Key -> views, with "image" and, given a generator, "reconstruction" (K = 1).
    """
    device = images.device if generator is None else generator.device
    chunk = Chunk(
        images=images.to(device),
        latents=None if latents is None else latents.to(device),
        streams=streams_of_views(seed, ids),
        label=None if label is None else label.to(device),
    )
    return dict(plan_views(generator, view_sets, num_views, batch_size).views(chunk))


def pixel_view_sets(
    pixel_views: Sequence[PixelViews], images: Float[Tensor, "N C H W"], ids: Sequence[str]
) -> tuple[ViewSet, ...]:
    """View sets of pixel transforms; one that leaves nothing to chance (a sure flip) has one view.

    Thirty-two copies of one flip would drown the image in the equal-weight average.

    Args:
        pixel_views: the transforms.
        images: a few, on which they are tried.
        ids: of the images.

    Raises:
        ValueError: two of one name, whose predictions could not be told apart.
    """
    names = [pixels.name for pixels in pixel_views]
    if len(set(names)) != len(names):
        fail(
            "pixel views",
            expected="different names",
            got=", ".join(names),
            remedy="give one of them a name of its own: Renamed(views, 'my-crop')",
        )
    streams = Rng(0, "chance").streams(ids)
    found = []
    for pixels in pixel_views:
        views = pixels(images, 4, streams)
        fixed = bool((views == views[:, :1]).all())
        found.append(ViewSet(pixels=pixels, num_views=1 if fixed else None))
    return tuple(found)


def plan_views(
    generator: Generator | None, view_sets: Sequence[ViewSet], num_views: int, batch_size: int
) -> Plan:
    """Sort view sets by what they need; refuse names that collide.

    Raises:
        ValueError: the same name twice, or a name that the bank keeps for itself.
    """
    names = [view_set.name for view_set in view_sets]
    if len(set(names)) != len(names) or {"image", "reconstruction"} & set(names):
        fail(
            "view sets",
            expected="different names, none of them 'image' or 'reconstruction'",
            got=", ".join(names),
            remedy="give each view set once",
        )
    latent_sets: dict[str, tuple[ViewSet, ...]] = {}
    for view_set in view_sets:
        if view_set.perturbation is not None:
            key = view_set.perturbation.name
            latent_sets[key] = (*latent_sets.get(key, ()), view_set)
    return Plan(
        generator=generator,
        pixel_sets=tuple(v for v in view_sets if v.perturbation is None),
        latent_sets=latent_sets,
        num_views=num_views,
        batch_size=batch_size,
    )


def streams_of_views(seed: int, ids: Sequence[str]) -> Streams:
    """The random streams that the views of these images are drawn from."""
    return Rng(seed, "views").streams(ids)
