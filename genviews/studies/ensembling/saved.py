"""A fitted ensemble as a run folder keeps it, and back at work.

    genviews ensemble -> results.json ("ensemble": settings and alpha), identity -> genviews predict

Nothing else is kept: the networks are loaded again from where the run had them, and compared with
the identity in the folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from genviews.augment.base import PixelViews
from genviews.augment.presets import for_renders
from genviews.checks import check_fraction, lookup
from genviews.ensemble.rule import EnsembleRule
from genviews.gates.gate import Gate
from genviews.kit import GeneratorKit
from genviews.pipeline import GenerativeTTA
from genviews.studies.bench import Bench
from genviews.studies.options import Options

__all__ = ["SavedEnsemble"]


@dataclass(frozen=True, kw_only=True)
class SavedEnsemble(EnsembleRule, Options):
    """A fitted ensemble, as `results.json` of a run keeps it under "ensemble".

    Args:
        task: whose classifier it is.
        class_names: of its logits, in order.
        row: of the table that it is.
        perturbation: name of what makes its views; "reconstruction" for none but that.
        pixels: name of the pixel views of the image and of its generated views; "" for none.
        alpha: weight of the views.
        num_views: generated ones.
        num_pixel_views: pixel views of the image itself.
        per_latent: pixel views of each latent view.
        seed: of the views.
        doubts: gates that did not hold where it was fitted; its answers mean no more than its
            verdict did.
        chosen_on: hashes of the images that chose the weight, whose labels it knows.
    """

    task: str = "images"
    class_names: tuple[str, ...] = ()
    row: str = ""
    perturbation: str = "reconstruction"
    pixels: str = ""
    alpha: float = 0.0
    num_views: int = 32
    num_pixel_views: int = 32
    per_latent: int = 1
    seed: int = 0
    doubts: tuple[Gate, ...] = ()
    chosen_on: tuple[str, ...] = field(default=(), metadata={"identity": False})

    def check(self) -> None:
        """Raise ValueError for a weight that is none; a seed may be any number."""
        check_fraction(self.alpha, "alpha of the ensemble")

    def views(self, kit: GeneratorKit, pixel_views: Sequence[PixelViews]) -> dict[str, Any]:
        """What makes its views, by the name of the study's input that it was one of."""
        found: dict[str, Any] = {}
        if self.perturbation != "reconstruction":
            found["perturbations"] = kit.perturbation(self.perturbation)
        if self.pixels:
            named = {views.name: views for views in pixel_views}
            found["pixel_views"] = lookup(self.pixels, named, "pixel views")
        return found

    def tta(self, bench: Bench) -> GenerativeTTA:
        """The ensemble at work."""
        views = self.views(bench.kit, bench.pixel_views)
        pixels, moved = views.get("pixel_views"), views.get("perturbations", "reconstruction")
        image_views = pixels if self.num_pixel_views else None
        return GenerativeTTA(
            bench.tasks[0].classifier,
            bench.kit,
            perturbation=moved,
            pixel_views=image_views,
            render_views=None if pixels is None else for_renders(pixels),
            photo_transform=bench.inputs.photo_transform,
            render_transform=bench.inputs.render_transform,
            num_views=self.num_views,
            num_pixel_views=self.num_pixel_views if image_views else None,
            per_latent=self.per_latent,
            merge=self.merge,
            choose_by=self.choose_by,
            alpha=self.alpha,
            seed=self.seed,
            batch_size=bench.batch_size,
        )
