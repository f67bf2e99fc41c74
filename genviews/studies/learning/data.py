"""The batches of a row: real, generated or mixed views, stored or streamed.

ROW -> views -> (store) -> pixel views -> batches
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from genviews.augment.base import PixelViews
from genviews.data.images import ImageSet
from genviews.data.source import ImageSource
from genviews.engine import Engine
from genviews.identity import key
from genviews.kit import GeneratorKit
from genviews.perturb.base import Perturbation
from genviews.perturb.stylemix import Independent
from genviews.represent.losses import OBJECTIVES
from genviews.represent.plan import SamplePlan
from genviews.represent.real import MixedViews, RealViews
from genviews.represent.stored import StoredViews, write_views
from genviews.represent.stream import StreamedBatches
from genviews.represent.views import AnchorViews, LatentViews, ViewBatch
from genviews.rng import Rng
from genviews.studies.learning.row import LearningRow
from genviews.studies.learning.setting import LearningSetting
from genviews.types import Progress

__all__ = ["check_row", "latent_views", "row_batches"]


def row_batches(
    row: LearningRow,
    setting: LearningSetting,
    seed: int,
    folder: str | Path,
    *,
    engine: str | Engine = "local",
    progress: Progress | None = None,
) -> StreamedBatches:
    """Return the batches of a row and seed, with only the views that its objective looks at.

    Args:
        row: the row, of any data but "none".
        setting: of the study.
        seed: of order and pixel views.
        folder: of the study; stored views are kept in its subfolder `views`.
        engine: where views are rendered.
        progress: called with ("render views", "samples", done, all) while views are stored.

    Raises:
        ValueError: data that the setting does not have, or fewer samples than a batch.

    Example:
        >>> import tempfile
        >>> from genviews import ToyGenerator
        >>> from genviews.represent.config import RepresentationTraining
        >>> from genviews.represent.schedule import StepCosine
        >>> setting = LearningSetting(
        ...     training=lambda steps: RepresentationTraining(schedule=StepCosine(steps=steps)),
        ...     updates=2,
        ...     base=8,
        ...     batch=4,
        ...     generator=ToyGenerator(),
        ... )
        >>> row = LearningRow(name="Gaussian", views="gaussian_all_0.20")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     batches = row_batches(row, setting, 0, folder)
        ...     batches.batch(0)["views"].shape
        ...     batches.close()
        torch.Size([4, 2, 1, 8, 8])
    """
    # What may be refused comes before the rendering, which may take hours.
    plan, pixels = _plan(row, setting, seed), _pixels(row, setting)
    store = partial(write_views, keep="images", engine=engine, progress=progress)
    views = _views(row, setting, Path(folder), store)
    return StreamedBatches(
        _Anchors(views) if OBJECTIVES[row.objective].single_view else views,
        plan,
        pixels,
        steps=setting.updates_of(row),
        prefetch=setting.batches_ahead,
        pixel_seed=seed,
    )


def check_row(row: LearningRow, setting: LearningSetting) -> None:
    """Raise for a row that asks for what the setting does not have; renders and trains nothing.

    A table is checked as a whole before its first row is run: the ninth row must not fail after
    the hours of eight others.

    Raises:
        ValueError: no generator, no pixel views, or too few real images; latent views that the
            generator cannot have; classes that the data do not have; views that the objective does
            not take; fewer samples than a batch; a training of another number of updates.

    Example:
        >>> from genviews import ToyGenerator
        >>> setting = LearningSetting(
        ...     training=lambda updates: None, updates=2, base=8, batch=4, generator=ToyGenerator()
        ... )
        >>> check_row(LearningRow(name="a", data="real"), setting)
        Traceback (most recent call last):
        ValueError: row 'a': expected at least 8 real images, got 0; add some (--real), lower the
        base (--samples), or choose other rows (--rows).
    """
    if row.data == "none":
        return
    if row.data != "generated":
        _check_real(row, setting)
    if row.data != "real":
        latent_views(row, setting).latents([0])  # one sample's: what a perturbation cannot do shows
    _plan(row, setting, 0)
    _pixels(row, setting)
    setting.objective_of(row)
    _check_objective(row)
    updates = setting.updates_of(row)
    steps = setting.training(updates).schedule.total_steps
    if steps != updates:
        remedy = "let `training` of the setting make a schedule of so many steps"
        row.refuse(f"a training of {updates} updates, as it was asked for", steps, remedy)


def latent_views(row: LearningRow, setting: LearningSetting) -> LatentViews:
    """The views of a row's generated samples, to be rendered.

    Raises:
        ValueError: no generator, or views that it cannot have.
    """
    generator, prior = setting.generator_of(row)
    found: Perturbation | None = None
    if row.views is not None:
        kit = GeneratorKit(generator, directions=setting.statistics, walks=setting.walks)
        found = kit.perturbation(row.views)
    if isinstance(found, Independent):  # another sample of the same prior
        found = replace(found, noise=prior.noise, psi=prior.psi, cutoff=prior.cutoff)
    return LatentViews(
        generator,
        found,
        prior,
        positives=row.positives,
        pool=row.pool or row.positives,
        seed=setting.views_seed,
        batch_size=setting.render_batch,
    )


class _Anchors(AnchorViews):
    """Views without their positives, cut off before pixel views are made of them."""

    def __init__(self, views: AnchorViews) -> None:
        self._views = views
        self.image_spec, self.seed = views.image_spec, views.seed
        self.positives, self.pool = 0, None

    @property
    def device(self) -> torch.device:
        return self._views.device

    def __describe__(self) -> Mapping[str, object]:
        return {"views": self._views}

    def __call__(self, ids: Sequence[int], visit: int = 0) -> ViewBatch:
        batch = self._views(ids, visit)
        return replace(
            batch,
            images=batch.images[:, :1],
            view_z=None if batch.view_z is None else batch.view_z[:, :1],
            latents=None if batch.latents is None else batch.latents[:, :1],
        )


def _plan(row: LearningRow, setting: LearningSetting, seed: int) -> SamplePlan:
    unique = setting.samples_of(row)
    if unique < setting.batch:
        got = f"{unique}{'' if row.ratio == 1 else f', {row.ratio:g} times the base size'}"
        remedy = "add images, raise `base` (--samples), or lower `batch` (--batch)"
        row.refuse(f"at least {setting.batch} samples, which make a batch", got, remedy)
    return SamplePlan(batch_size=setting.batch, num_unique=unique, seed=seed)


def _pixels(row: LearningRow, setting: LearningSetting) -> PixelViews | None:
    if row.pixels and setting.pixels is None:
        remedy = "pass them, for example pixel_views('fashion32/simclr')"
        row.refuse("pixel views in the setting", "none", remedy)
    return setting.pixels if row.pixels else setting.plain


def _views(
    row: LearningRow, setting: LearningSetting, folder: Path, store: Callable[..., object]
) -> AnchorViews:
    real = None if row.data == "generated" else _real(row, setting)
    if real is not None and row.data == "real":
        return real
    made: AnchorViews = latent_views(row, setting)
    count = setting.samples_of(row)
    if setting.stored:
        # Never fewer than the base size, so that smaller ratios read the same store.
        most = max(count, setting.base)
        place = folder / "views" / key(made, most)
        store(made, place, most)
        made = StoredViews(place, setting.generator_of(row)[0], positives=row.positives)
    if real is None or row.share is None:
        return made
    return MixedViews(real, made, row.share, count, mix=row.mix, seed=setting.views_seed)


def _real(row: LearningRow, setting: LearningSetting) -> RealViews:
    images = _check_real(row, setting)
    unique = setting.samples_of(row)
    if unique < len(images):
        # Not the first ones: files are often sorted by class. Smaller sets are parts of larger.
        order = Rng(setting.views_seed, "real images").numpy().permutation(len(images))
        images = images.select(order[:unique].tolist())
    return RealViews(images, positives=row.positives, device=setting.device)


def _check_real(row: LearningRow, setting: LearningSetting) -> ImageSet | ImageSource:
    unique, have = setting.samples_of(row), 0 if setting.real is None else len(setting.real)
    if setting.real is None or unique > have:
        remedy = "add some (--real), lower the base (--samples), or choose other rows (--rows)"
        row.refuse(f"at least {unique} real images", have, remedy)
    return setting.real


def _check_objective(row: LearningRow) -> None:
    """Raise where an objective would leave views out, or not know what to do with them."""
    objective = OBJECTIVES[row.objective]
    if objective.single_view and row.views is not None:
        remedy = "leave `views` out, or take a contrastive objective"
        expected = f"no latent views: {row.objective!r} looks at anchors alone"
        row.refuse(expected, repr(row.views), remedy)
    if objective.positives not in (None, row.positives):
        expected = f"positives={objective.positives}, for the objective {row.objective!r}"
        row.refuse(expected, row.positives, "take the objective 'multi-positive'")
