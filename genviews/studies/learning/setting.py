"""What all rows of a study share: generator, real images, pixel views, training, encoder, probe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import torch

from genviews.augment.base import PixelViews
from genviews.checks import check_count, fail
from genviews.data.images import ImageSet
from genviews.data.leakage import check_leakage
from genviews.data.source import ImageSource, as_source
from genviews.evaluate.encoders import ProbeData
from genviews.generators.base import Generator
from genviews.generators.callable import z_space
from genviews.identity import Identity, describe, identify
from genviews.perturb.pca import PCAStatistics
from genviews.perturb.walks import Walks
from genviews.represent.config import RepresentationTraining
from genviews.represent.encoder import RepresentationConfig
from genviews.represent.losses import OBJECTIVES, choose_objective
from genviews.represent.losses.base import Objective
from genviews.represent.monitor import OnlineKNN
from genviews.represent.prior import Prior
from genviews.rng import Rng
from genviews.studies.learning.row import LearningRow
from genviews.types import ImageSpec

__all__ = ["LearningSetting"]


@dataclass(frozen=True, kw_only=True, eq=False)
class LearningSetting:
    """The setting of a study; a row changes one thing of it.

    Args:
        training: number of updates -> how to train for so long.
        updates: of a row whose `updates` is 1; all rows of a table have the same number.
        base: unique samples of a row whose `ratio` is 1, usually the number of real images.
        generator: None where all rows are of real data.
        real: images to train on, labelled for "supcon" and "classifier" rows; None for none.
        pixels: T_x, the pixel views of rows that ask for them.
        plain: what the other rows see of a view, such as its middle; None for all of it.
        encoder: its architecture; the objective of a row sets its head.
        probe: labelled splits that every encoder is judged on; None trains without judging.
        prior: of anchors.
        batch: anchors an update.
        walks: for "steer" views.
        statistics: for "pca" views.
        stored: render the views of a row once, into the study's folder, and let every seed read
            them; False renders them while training. The views are the same, but for the rounding
            to 8 bits of stored ones.
        views_seed: of the samples of the generator; seeds of a study differ in first weights,
            order and pixel views.
        render_batch: images rendered at once.
        prefetch: batches made ahead, see `StreamedBatches`; 0 makes them in the training's thread.
            None is 2 on a GPU and 0 on a processor, where a thread would take the encoder's time.
        place: device of the encoders where there is no generator, which says it else.
        monitor: what a training looks at beside its loss; it changes no result.

    Raises:
        ValueError: neither generator nor real images, images of different shapes, or one to train
            on that encoders are judged on.
    """

    training: Callable[[int], RepresentationTraining]
    updates: int
    base: int
    generator: Generator | None = None
    real: ImageSet | ImageSource | None = None
    pixels: PixelViews | None = None
    plain: PixelViews | None = None
    encoder: RepresentationConfig = field(default_factory=RepresentationConfig)
    probe: ProbeData | None = None
    prior: Prior = field(default_factory=Prior)
    batch: int = 256
    walks: Walks | None = None
    statistics: PCAStatistics | None = None
    stored: bool = True
    views_seed: int = 0
    render_batch: int = 64
    prefetch: int | None = None
    place: str = "cpu"
    monitor: OnlineKNN | None = None

    def __post_init__(self) -> None:
        for name in ("updates", "base", "batch", "render_batch"):
            check_count(getattr(self, name), name)
        if self.prefetch is not None:
            check_count(self.prefetch, "prefetch", least=0)
        shapes = {images.image_spec.shape for images in self._images()}
        if self.generator is not None:
            shapes.add(self.generator.image_spec.shape)
        if len(shapes) != 1:
            fail(
                "images of the study",
                expected="one shape (C, H, W), of the generator, the real images and the probe",
                got=sorted(shapes) or "neither generator nor images",
                remedy="resize or convert the images to what the generator makes",
            )
        if self.real is not None and self.probe is not None:
            seen = {"real": self.real, "val": self.probe.val, "test": self.probe.test}
            check_leakage({name: as_source(images) for name, images in seen.items()})

    def _images(self) -> list[ImageSet | ImageSource]:
        found = [] if self.real is None else [self.real]
        return found if self.probe is None else [*found, *self.probe.splits().values()]

    @property
    def image_spec(self) -> ImageSpec:
        """Of all images."""
        if self.generator is not None:
            return self.generator.image_spec
        return self._images()[0].image_spec

    @property
    def device(self) -> torch.device:
        """Where encoders are trained: where the generator is, or else where `place` says."""
        return torch.device(self.place) if self.generator is None else self.generator.device

    @property
    def batches_ahead(self) -> int:
        """Batches that a thread makes ahead of training."""
        if self.prefetch is not None:
            return self.prefetch
        return 0 if self.device.type == "cpu" else 2  # measured by benchmarks/learn.py

    @property
    def input_size(self) -> int | None:
        """Side of the central square of an image that probes show an encoder; None for all of it.

        It is that of rows without T_x.
        """
        if self.plain is None:
            return None
        blank = torch.zeros(1, *self.image_spec.shape)
        return min(self.plain(blank, 1, Rng(0).streams(["blank"])).shape[-2:])

    def generator_of(self, row: LearningRow) -> tuple[Generator, Prior]:
        """The generator in the space where a row's views are made, and the prior there.

        Raises:
            ValueError: no generator.
        """
        if self.generator is None:
            remedy = "add one (--generator), or choose other rows (--rows)"
            row.refuse("a generator", "none", remedy)
        if row.space == "own" or self.generator.latent_spec.space == "z":
            return self.generator, self.prior
        moved = z_space(self.generator, psi=self.prior.psi, cutoff=self.prior.cutoff)
        return moved, replace(self.prior, psi=1.0, cutoff=None)

    def num_classes(self, row: LearningRow) -> int:
        """Number of classes of a row's data; 0 where it has none.

        Raises:
            ValueError: labels are mixed with conditions of another number of classes.
        """
        real = 0
        if self.real is not None and self.real.labels is not None:
            real = len(self.real.class_names)
        made = 0 if self.generator is None else self.generator.num_classes
        if row.data == "mixed" and OBJECTIVES[row.objective].classes and real != made:
            expected = "labelled real images and a generator of the same classes"
            remedy = "mix without labels, by the objective nt-xent"
            row.refuse(expected, f"{real} and {made} classes", remedy)
        return real if row.data == "real" else made

    def objective_of(self, row: LearningRow) -> tuple[Objective, dict[str, Any]]:
        """The objective of a row, and what it asks of the encoder's config.

        Raises:
            ValueError: it needs classes or latents that the row's data do not have.
        """
        known = self.generator if row.data == "generated" else None  # whose latents are known
        z_dim = 0 if known is None else known.z_dim
        return choose_objective(row.objective, z_dim=z_dim, num_classes=self.num_classes(row))

    @cached_property
    def parts(self) -> Identity:
        """Of what rows may use."""
        return identify(
            generator=self.generator,
            real=self.real,
            pixels=self.pixels,
            plain=self.plain,
            probe=self.probe,
            prior=self.prior,
            walks=self.walks,
            statistics=self.statistics,
        )

    def identity(self, row: LearningRow, seed: int) -> Identity:
        """Of all that the result of a row and seed depends on.

        What a row does not use is left out, so that tables of one folder can share rows.
        """
        made, views = row.data in ("generated", "mixed"), row.views or ""
        used = {
            "generator": made,
            "prior": made,
            "real": row.data in ("real", "mixed"),
            "pixels": row.pixels,
            "plain": self.plain is not None,  # judges see images as rows without T_x do
            "walks": views.startswith("steer"),
            "statistics": views.startswith("pca"),
            "probe": True,
        }
        own = identify(
            row=row.fields,
            seed=seed,
            training=replace(self.training(self.updates_of(row)), seed=seed),
            encoder=self.encoder,
            base=self.base,
            batch=self.batch,
            stored=self.stored if made else None,
            views_seed=self.views_seed if made else None,
        )
        parts = self.parts.part(name for name, needed in used.items() if needed)
        return Identity({**own.exact, **parts.exact}, parts.answers)

    def facts(self, seed: int = 0) -> dict[str, Any]:
        """How encoders are trained, the one of a seed, as JSON values for a record."""
        return {
            "updates": self.updates,
            "batch": self.batch,
            "base": self.base,
            "encoder": asdict(self.encoder),
            "training": describe(replace(self.training(self.updates), seed=seed)),
            "pixels": repr(self.pixels),
            "plain": repr(self.plain),
            "zoom_law": None if self.walks is None else self.walks.ranges.zoom_law,
        }

    def updates_of(self, row: LearningRow) -> int:
        """Updates of a row."""
        return max(1, round(row.updates * self.updates))

    def samples_of(self, row: LearningRow) -> int:
        """Unique samples of a row."""
        return round(row.ratio * self.base)
