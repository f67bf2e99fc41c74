"""Fill prediction banks: render every view once, show it to every classifier, keep the logits.

In the test-time arrow this is perturb, render and classify in one pass over the images, batched across
images and views. The draws of an image come from (seed, its id, view index) alone, so neither the batch
size nor the other images change its views (law 1).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from genviews.augment import PixelViews
from genviews.checks import check_count, fail
from genviews.classify import Classifier, predict_logits
from genviews.ensemble.bank import PredictionBank
from genviews.generators.base import Generator
from genviews.perturb import Perturbation
from genviews.render import render
from genviews.rng import Rng, Streams

__all__ = ["Progress", "ViewSet", "fill_bank", "make_views"]

PURPOSE = "views"  # of the random streams


Progress = Callable[[str, int, int], None]
"""Called as the work goes on: `progress("views of test", 64, 1000)`, 64 of 1000 images done."""


@dataclass(frozen=True, kw_only=True)
class ViewSet:
    """One way to make views of an image: pixel views, generated views, or pixel views of generated ones.

    Args:
        perturbation: of the image's latent, then rendered; None leaves the generator out.
        pixels: pixel transform of the image or, with a perturbation, of each rendered view.
        num_views: K; None takes the number that `fill_bank` is called with.
        per_latent: with both, how many pixel transforms each latent gets. 1 makes K different latents;
            the reference code's `tensortransform` files have 8 latents x 4 transforms (per_latent=4).

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

    def perturbed(self, generator: Generator, chunk: _Chunk, count: int) -> Float[Tensor, "B K L D"]:
        """Latents of the first `count` views."""
        assert self.perturbation is not None
        assert chunk.latents is not None
        # Scales and layer ranges of one kind share draws (the stream is named by kind), so that they
        # differ in nothing but the scale and the layers.
        return self.perturbation(
            generator, chunk.latents, count, chunk.streams, labels=chunk.conditions
        )


@dataclass(frozen=True, kw_only=True)
class _Chunk:
    """Some of the images, on the device of the models; `conditions` for a conditional generator."""

    images: Tensor
    latents: Tensor | None
    streams: Streams
    conditions: Tensor | None


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """What to make of each chunk; view sets that share a perturbation share its rendered views."""

    generator: Generator | None
    pixel_sets: tuple[ViewSet, ...]
    latent_sets: Mapping[str, tuple[ViewSet, ...]]
    num_views: int
    batch_size: int

    def views(self, chunk: _Chunk) -> Iterator[tuple[str, Tensor]]:
        """Yield (key, views (b, K, C, H, W)) for the images, reconstructions and each view set."""
        yield "image", chunk.images[:, None]
        for view_set in self.pixel_sets:
            assert view_set.pixels is not None
            count, streams = self._count(view_set), chunk.streams.child("pixel")
            yield view_set.name, view_set.pixels(chunk.images, count, streams)
        if self.generator is None or chunk.latents is None:
            return
        yield "reconstruction", self._render(self.generator, chunk.latents[:, None])
        for view_sets in self.latent_sets.values():
            count = max(self._count_latents(view_set) for view_set in view_sets)
            perturbed = view_sets[0].perturbed(self.generator, chunk, count)
            rendered = self._render(self.generator, perturbed)
            for view_set in view_sets:
                yield view_set.name, self._finish(view_set, rendered, chunk)

    def _finish(self, view_set: ViewSet, rendered: Tensor, chunk: _Chunk) -> Tensor:
        """The first views that this set needs, each as it is or with its pixel transforms."""
        rendered = rendered[:, : self._count_latents(view_set)]
        if view_set.pixels is None or view_set.perturbation is None:
            return rendered
        views = rendered.repeat_interleave(view_set.per_latent, 1)[:, : self._count(view_set)]
        streams = chunk.streams.child(f"pixel of {view_set.perturbation.kind}")
        return view_set.pixels.augment(views, streams)

    def _render(self, generator: Generator, latents: Tensor) -> Tensor:
        return render(generator, latents, batch_size=self.batch_size)

    def _count(self, view_set: ViewSet) -> int:
        return self.num_views if view_set.num_views is None else view_set.num_views

    def _count_latents(self, view_set: ViewSet) -> int:
        return -(-self._count(view_set) // view_set.per_latent)  # rounded up


def fill_bank(
    classifiers: Mapping[str, Classifier],
    generator: Generator | None,
    images: Float[Tensor, "N C H W"],
    ids: Sequence[str],
    labels: Int[Tensor, " N"] | None,
    latents: Float[Tensor, "N L D"] | None,
    view_sets: Sequence[ViewSet],
    *,
    split: str,
    num_views: int = 32,
    seed: int = 0,
    batch_size: int = 256,
    progress: Progress | None = None,
) -> dict[str, PredictionBank]:
    """Make the views of every image once, classify them with every classifier, return a bank for each.

    A conditional generator mixes styles of the class that the first classifier predicts for the image.

    Args:
        classifiers: name -> classifier; all for the same images and classes.
        generator: renders the latents; None when no view set perturbs latents.
        images: in [-1, 1].
        ids: N different sample ids; they seed the views.
        labels: class indices, or None.
        latents: of the images, by inversion; None together with `generator`.
        view_sets: the views to make; their names become the keys of the banks.
        split: which data this is; recorded, and "test" is refused by everything that fits.
        num_views: K of each view set that does not say itself; 32 as in the reference code.
        seed: another seed, other views.
        batch_size: views in flight at a time (memory), no effect on the result but float round-off.
        progress: called with ("views of SPLIT", images done, N).

    Returns:
        Classifier name -> bank, with logits for "image", "reconstruction" (given a generator) and each
        view set, on the CPU.

    Raises:
        ValueError: shapes, ids or names that do not fit, or pixels or latents that are not finite.

    Source: Chai et al. 2021, section 3.2; its code's `eval_ensemble` scripts.

    Differs: each image's views come from its id, not from its place in the data set or in the batch;
        images are batched; logits are stored.
    """
    check_count(batch_size, "batch_size")
    check_count(num_views, "num_views")
    plan = _plan(generator, view_sets, num_views, batch_size)
    _check_inputs(classifiers, plan, images, ids, latents)
    streams = Rng(seed, PURPOSE).streams(ids)
    device = images.device if generator is None else generator.device
    stage, step = f"views of {split}", max(1, batch_size // num_views)
    logits: dict[str, dict[str, list[Tensor]]] = {name: defaultdict(list) for name in classifiers}
    for start in range(0, len(ids), step):
        rows = slice(start, start + step)
        part = images[rows].to(device)
        chunk = _Chunk(
            images=part,
            latents=None if latents is None else latents[rows].to(device),
            streams=streams[rows],
            conditions=_predicted(classifiers, generator, part),
        )
        for key, views in plan.views(chunk):
            for name, classifier in classifiers.items():
                found = predict_logits(classifier, views, batch_size=batch_size)
                logits[name][key].append(found.cpu())
        if progress is not None:
            progress(stage, min(start + step, len(ids)), len(ids))
    return {
        name: PredictionBank(
            ids=tuple(ids),
            labels=None if labels is None else labels.cpu(),
            class_names=tuple(classifier.class_names),
            split=split,
            logits={key: torch.cat(parts) for key, parts in logits[name].items()},
            meta={"classifier": name, "seed": seed, "num_views": num_views},
        )
        for name, classifier in classifiers.items()
    }


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
    conditions: Int[Tensor, " N"] | None = None,
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
        conditions: predicted classes, for a conditional generator.

    Returns:
        Key -> views, with "image" and, given a generator, "reconstruction" (K = 1).
    """
    device = images.device if generator is None else generator.device
    chunk = _Chunk(
        images=images.to(device),
        latents=None if latents is None else latents.to(device),
        streams=Rng(seed, PURPOSE).streams(ids),
        conditions=None if conditions is None else conditions.to(device),
    )
    return dict(_plan(generator, view_sets, num_views, batch_size).views(chunk))


def _predicted(
    classifiers: Mapping[str, Classifier], generator: Generator | None, images: Tensor
) -> Tensor | None:
    """The classes that a conditional generator renders: never the true ones, they are not known."""
    if generator is None or generator.num_classes == 0:
        return None
    first = next(iter(classifiers.values()))
    return predict_logits(first, images, batch_size=len(images)).argmax(-1)


def _plan(
    generator: Generator | None, view_sets: Sequence[ViewSet], num_views: int, batch_size: int
) -> _Plan:
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
    return _Plan(
        generator=generator,
        pixel_sets=tuple(v for v in view_sets if v.perturbation is None),
        latent_sets=latent_sets,
        num_views=num_views,
        batch_size=batch_size,
    )


def _check_inputs(
    classifiers: Mapping[str, Classifier],
    plan: _Plan,
    images: Tensor,
    ids: Sequence[str],
    latents: Tensor | None,
) -> None:
    if not classifiers:
        fail("classifiers", expected="at least one", got="none", remedy="e.g. {'images': classifier}")
    if (plan.generator is None) != (latents is None) or (plan.latent_sets and latents is None):
        fail(
            "generator and latents",
            expected="both, or neither and no perturbation among the view sets",
            got=f"{'no' if plan.generator is None else 'a'} generator, "
            f"{'no' if latents is None else 'given'} latents, "
            f"{len(plan.latent_sets)} perturbations",
            remedy="invert the images with this generator first",
        )
    for what, tensor in (("images", images), ("latents", latents)):
        if tensor is None:
            continue
        if len(tensor) != len(ids):
            fail(what, expected=f"{len(ids)}, one for each id", got=len(tensor), remedy="align them")
        # Found now, not after hours of rendering when the bank refuses logits that are not finite.
        bad = torch.nonzero(~torch.isfinite(tensor).flatten(1).all(1)).flatten().tolist()
        if bad:
            got = f"others in {', '.join(ids[i] for i in bad[:5])}"
            fail(what, expected="finite numbers", got=got, remedy="leave these images out")
