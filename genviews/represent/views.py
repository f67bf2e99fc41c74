"""Views of anchors: each sample of a generator with its positives, rendered.

    prior -> sample -> latents -> PERTURB -> RENDER -> augment -> encode -> representation

`AnchorViews` is what training reads: sample ids in, anchors and positives out. `LatentViews`
renders them when asked; `genviews.represent.stored.StoredViews` reads those that were made before.
Both give the same views for the same ids, because all that is drawn for a sample comes from
(seed, id, view index).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from genviews.checks import check_count, fail
from genviews.generators.base import Generator
from genviews.perturb.base import Perturbation
from genviews.perturb.redraw import check_most_finite, finite_views, redraw
from genviews.perturb.stylemix import Independent
from genviews.render import render
from genviews.represent.prior import Anchors, Prior, check_ids
from genviews.rng import Rng, Streams
from genviews.signature import checked
from genviews.types import ImageSpec

__all__ = ["AnchorViews", "LatentViews", "ViewBatch"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ViewBatch:
    """Anchors and their positives; view 0 is the anchor.

    Args:
        ids: B sample ids.
        visits: how often each had been visited before.
        images: (B, 1+K, C, H, W) in [-1, 1].
        z: (B, Z) prior latents of the anchors.
        view_z: (B, 1+K, Z) prior latent of each view: what an inverter is to find. None where
            positives have none, because they were perturbed after the mapping.
        latents: (B, 1+K, L, D); None where only images were stored.
        labels: (B,) class condition; None for an unconditional generator.
        pseudo_labels: (B,) shard of an unconditional generator's samples; None where it has none.
        redrawn: how many views were not finite, and drawn again.
    """

    ids: tuple[int, ...]
    visits: tuple[int, ...]
    images: Float[Tensor, "B V C H W"]
    z: Float[Tensor, "B Z"]
    view_z: Float[Tensor, "B V Z"] | None = None
    latents: Float[Tensor, "B V L D"] | None = None
    labels: Int[Tensor, " B"] | None = None
    pseudo_labels: Int[Tensor, " B"] | None = None
    redrawn: int = 0

    def __len__(self) -> int:
        return len(self.ids)

    def tensors(self) -> dict[str, Tensor]:
        """The tensors that are there, by name."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Tensor)}

    def to(self, device: torch.device | str) -> ViewBatch:
        """The same on a device."""
        moved: dict[str, Any] = {name: value.to(device) for name, value in self.tensors().items()}
        return replace(self, **moved)


class AnchorViews(ABC):
    """Abstract source of views: sample ids to anchors and positives.

    Attributes:
        image_spec: of one image.
        positives: K, positives of each anchor.
        pool: P, how many different positives an anchor has; None: each visit has fresh ones.
        seed: of all that is drawn.
    """

    image_spec: ImageSpec
    positives: int
    pool: int | None
    seed: int

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where the views are made."""

    @abstractmethod
    def __describe__(self) -> Mapping[str, object]:
        """All that the views depend on."""

    @abstractmethod
    def __call__(self, ids: Sequence[int], visit: int = 0) -> ViewBatch:
        """Return the views of samples.

        Args:
            ids: sample ids, integers from 0.
            visit: how often these samples were visited before. The anchor stays. With a pool, K of
                its P positives are drawn anew, different ones; without, K new ones are made.
        """

    def choose(self, ids: Sequence[int], visit: int) -> Int[Tensor, "B K"]:
        """Which of the P positives of a pool a visit shows, from (seed, id, visit) alone."""
        assert self.pool is not None
        if self.pool == self.positives:
            return torch.arange(self.pool, device="cpu").expand(len(ids), -1)
        streams = Rng(self.seed, "pool of positives").streams(ids).from_view(visit)
        return streams.uniform(1, (self.pool,))[:, 0].argsort(dim=1)[:, : self.positives]


class LatentViews(AnchorViews):
    """Anchors sampled from a prior, with K perturbed neighbours each, rendered.

        anchor  w ~ prior,  x_0 = G(w)        positives  x_k = G(perturb_k(w)),  k = 1 .. K

    Images are clamped to [-1, 1], as they are when stored. Samples and positives of which the
    generator makes NaN or inf are drawn again (`genviews.perturb.redraw`).

    Args:
        generator: any; used as it is. `z_space(generator)` perturbs before the mapping.
        perturbation: makes the positives, any of `genviews.perturb`; None: they are the anchor
            itself (pixel views alone tell them apart), rendered once.
        prior: of the anchors; None is `Prior()`.
        positives: K, at least 1; the paper's 1.
        pool: P >= K, the number of positives that each anchor has for good, of which a visit shows
            K; the paper's 1 for all its tables, 20 in its code. None makes new ones at each visit.
        seed: another seed, other samples.
        batch_size: images rendered at once; memory and round-off only.

    Raises:
        ValueError: a count out of range, rows or classes that the generator does not have, or
            independent positives of another prior than the anchors'.

    Source:
        Jahanian et al. 2022, arXiv:2106.05258, section 3.3; several positives: Tian et al.,
        "StableRep", NeurIPS 2023, arXiv:2306.00984.

    Differs:
        The authors' code seeds the neighbours of class c by c + 1000 + k, so that classes share
        noise; its online variant draws unseeded classes.

    Example:
        >>> from genviews import ToyGenerator
        >>> from genviews.perturb.noise import Gaussian
        >>> views = LatentViews(ToyGenerator(), Gaussian("all", 0.2), positives=3)
        >>> views([7, 8]).images.shape
        torch.Size([2, 4, 1, 8, 8])
        >>> bool((views([8]).latents == views([7, 8]).latents[1:]).all())
        True
    """

    @checked
    def __init__(
        self,
        generator: Generator,
        perturbation: Perturbation | None = None,
        prior: Prior | None = None,
        *,
        positives: int = 1,
        pool: int | None = None,
        seed: int = 0,
        batch_size: int = 64,
    ) -> None:
        self.generator, self.perturbation = generator, perturbation
        self.prior = Prior() if prior is None else prior
        self.positives = check_count(positives, "positives")
        self.pool = None if pool is None else check_count(pool, "pool", least=positives)
        self.seed, self.batch_size = seed, check_count(batch_size, "batch_size")
        self.image_spec = generator.image_spec
        self.prior.check(generator)
        if perturbation is not None:
            perturbation.check(generator)
            self._check_independent(perturbation)

    @property
    def device(self) -> torch.device:
        """The generator's."""
        return self.generator.device

    def __describe__(self) -> dict[str, object]:
        """The configuration; how many are rendered at once changes round-off alone."""
        names = ("prior", "perturbation", "positives", "pool", "seed")
        rest = {name: getattr(self, name) for name in names}
        return {"generator": self.generator, "image": self.image_spec, **rest}

    def __call__(self, ids: Sequence[int], visit: int = 0) -> ViewBatch:
        """Return the views of samples, on the generator's device, without gradients."""
        anchors, latents, images, redrawn = self.rendered(ids, visit)
        return ViewBatch(
            ids=check_ids(ids),
            visits=(visit,) * len(ids),
            images=images,
            z=anchors.z,
            view_z=self.view_z(anchors.z, latents),
            latents=latents,
            labels=anchors.labels,
            pseudo_labels=anchors.pseudo_labels,
            redrawn=redrawn,
        )

    def rendered(
        self, ids: Sequence[int], visit: int = 0
    ) -> tuple[Anchors, Float[Tensor, "B V L D"], Float[Tensor, "B V C H W"], int]:
        """Return the anchors, latents and images of all views, and how many were drawn again.

        Raises:
            ValueError: most are not finite, or some still after many attempts.
        """
        anchors, latents = self.latents(ids, visit)
        images = self._render(latents, anchors.labels)
        if not bool(finite_views(images).all()):
            return self._mended(check_ids(ids), visit, anchors, latents.contiguous(), images)
        return anchors, latents, images.clamp_(-1.0, 1.0), 0

    def _mended(
        self, ids: tuple[int, ...], visit: int, anchors: Anchors, latents: Tensor, images: Tensor
    ) -> tuple[Anchors, Tensor, Tensor, int]:
        """The same with what is not finite drawn again: anchors first, whatever the visit."""
        streams, z, total = self._streams(ids), anchors.z.clone(), images.shape[0] * images.shape[1]
        broken = int((~finite_views(images)).sum())

        def label_of(rows: list[int]) -> Tensor | None:
            return None if anchors.labels is None else anchors.labels[rows]

        def anchor(rows: list[int], attempt: int) -> tuple[Tensor, Tensor]:
            again = streams[rows].child(f"again {attempt}")
            drawn = self.prior.sample(self.generator, again, label_of(rows))
            found = self._render(drawn.latents[:, None], label_of(rows))
            z[rows] = drawn.z  # of a row that is drawn again once more, z is too
            return drawn.latents[:, None], found

        def positives(rows: list[int], attempt: int) -> tuple[Tensor, Tensor]:
            own = streams[rows].child(f"again {attempt}") if attempt else streams[rows]
            moved = self._positives(latents[rows, 0], label_of(rows), own, visit)
            return moved, self._render(moved, label_of(rows))

        moved = (~finite_views(images[:, :1]))[:, 0].nonzero().flatten().tolist()
        _, left = redraw(latents[:, :1], images[:, :1], anchor)
        check_most_finite(broken, int(left.sum()), total)
        if moved:
            latents[moved, 1:], images[moved, 1:] = positives(moved, 0)
        _, left = redraw(latents[:, 1:], images[:, 1:], positives)
        check_most_finite(broken, int(left.sum()), total)
        return (
            replace(anchors, z=z, latents=latents[:, 0]),
            latents,
            images.clamp_(-1.0, 1.0),
            broken,
        )

    def latents(
        self, ids: Sequence[int], visit: int = 0
    ) -> tuple[Anchors, Float[Tensor, "B V L D"]]:
        """Return the anchors, and the latents of all views, not rendered."""
        streams = self._streams(check_ids(ids))
        check_count(visit, "visit", least=0)
        anchors = self.prior.sample(self.generator, streams)
        moved = self._positives(anchors.latents, anchors.labels, streams, visit)
        return anchors, torch.cat([anchors.latents[:, None], moved], dim=1)

    @checked
    def view_z(
        self, z: Float[Tensor, "B Z"], latents: Float[Tensor, "B V L D"]
    ) -> Float[Tensor, "B V Z"] | None:
        """Prior latents of all views; None where the positives have none."""
        if self.perturbation is None:
            return z[:, None].expand(-1, latents.shape[1], -1)
        if self.generator.latent_spec.space == "z":
            return latents[:, :, 0]
        return None

    def _render(self, latents: Float[Tensor, "B V L D"], label: Tensor | None) -> Tensor:
        """Images of the views' latents, of the class of their anchors, float32 as stored ones."""
        return render(self.generator, latents, label=label, batch_size=self.batch_size).float()

    def _streams(self, ids: Sequence[int]) -> Streams:
        return Rng(self.seed, "latent views").streams(ids)

    def _check_independent(self, perturbation: Perturbation) -> None:
        names = ("noise", "psi", "cutoff")
        if isinstance(perturbation, Independent) and any(
            getattr(perturbation, name) != getattr(self.prior, name) for name in names
        ):
            fail(
                "independent views",
                expected=f"the prior of the anchors: {self.prior}",
                got=perturbation,
                remedy="make them with `prior.independent()`",
            )

    def _positives(
        self, latents: Tensor, labels: Tensor | None, streams: Streams, visit: int
    ) -> Tensor:
        """(B, K, L, D)."""
        if self.perturbation is None:
            return latents[:, None].expand(-1, self.positives, -1, -1)
        count, first = self.positives, visit * self.positives
        if self.pool is not None:
            count, first = self.pool, 0
        with torch.no_grad():
            moved = self.perturbation(
                self.generator, latents, count, streams.from_view(first), labels
            )
        if self.pool is None or self.pool == self.positives:
            return moved
        chosen = self.choose([int(i) for i in streams.ids], visit).to(moved.device)
        return moved[torch.arange(len(chosen), device=moved.device)[:, None], chosen]
