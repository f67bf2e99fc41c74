"""The batches of a row: real, generated or mixed views, stored or streamed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from genviews.checks import fail
from genviews.perturb.base import Perturbation
from genviews.perturb.independent import Independent
from genviews.perturb.presets import perturbation
from genviews.represent.generate import write_views
from genviews.represent.plan import SamplePlan
from genviews.represent.real import MixedViews, RealViews
from genviews.represent.stored import StoredViews
from genviews.represent.stream import StreamStats
from genviews.represent.streamed import StreamedBatches
from genviews.represent.views import AnchorViews, LatentViews
from genviews.studies.learning.row import LearningRow
from genviews.studies.learning.setting import LearningSetting

__all__ = ["RowBatches", "latent_views"]

Progress = Callable[[int, int], None]
# They look at one view at a time, so a second one would be work for nothing.
_SINGLE_VIEW = ("inverter", "classifier")


class RowBatches:
    """Batches of a row and seed, with only the views that its objective looks at.

    Args:
        row: the row.
        setting: of the study.
        seed: of order and pixel views.
        folder: of the study; stored views are kept in its subfolder `views`.
        progress: called with (samples rendered, samples) while views are stored.

    Raises:
        ValueError: data that the setting does not have, or fewer samples than a batch.
    """

    def __init__(
        self,
        row: LearningRow,
        setting: LearningSetting,
        seed: int,
        folder: Path,
        progress: Progress | None = None,
    ) -> None:
        unique = round(row.ratio * setting.base)
        views = _views(row, setting, unique, folder, progress)
        self._single = row.objective in _SINGLE_VIEW
        self._batches = StreamedBatches(
            views,
            SamplePlan.of_ratio(row.ratio, setting.base, batch_size=setting.batch, seed=seed),
            _pixels(row, setting),
            steps=setting.updates_of(row),
            prefetch=setting.prefetch,
            pixel_seed=seed,
        )

    def batch(self, step: int) -> dict[str, Tensor | None]:
        """See `genviews.represent.batches.Batches`."""
        return self._cut(self._batches.batch(step))

    def part(self, step: int, process: int, processes: int) -> dict[str, Tensor | None]:
        """See `genviews.represent.batches.PartBatches`."""
        return self._cut(self._batches.part(step, process, processes))

    def describe(self) -> Mapping[str, Any]:
        """What the batches depend on."""
        return {**self._batches.describe(), "single_view": self._single}

    @property
    def stats(self) -> StreamStats:
        """See `StreamedBatches`."""
        return self._batches.stats

    def close(self) -> None:
        """End the thread that makes batches ahead."""
        self._batches.close()

    def _cut(self, batch: dict[str, Tensor | None]) -> dict[str, Tensor | None]:
        if not self._single:
            return batch
        per_view = ("views", "z")
        return {
            name: value[:, :1] if name in per_view and value is not None else value
            for name, value in batch.items()
        }


def latent_views(row: LearningRow, setting: LearningSetting) -> LatentViews:
    """The views of a row's generated samples, to be rendered.

    Raises:
        ValueError: no generator, or views that it cannot have.
    """
    generator, prior = setting.generator_of(row)
    found: Perturbation | None = None
    if row.views is not None:
        found = perturbation(row.views, generator, setting.statistics, setting.walks)
    if isinstance(found, Independent):
        found = prior.independent(row.views.partition("_")[2] if row.views else "all")
    return LatentViews(
        generator,
        found,
        prior,
        positives=row.positives,
        pool=row.pool or row.positives,
        seed=setting.views_seed,
        batch_size=setting.render_batch,
    )


def _pixels(row: LearningRow, setting: LearningSetting) -> Any:  # noqa: ANN401  (PixelViews | None)
    if row.pixels and setting.pixels is None:
        fail(
            f"row {row.name!r}",
            expected="pixel views in the setting",
            got="none",
            remedy="pass them, for example pixel_views('fashion32/simclr')",
        )
    return setting.pixels if row.pixels else None


def _views(
    row: LearningRow,
    setting: LearningSetting,
    unique: int,
    folder: Path,
    progress: Progress | None,
) -> AnchorViews:
    if row.data == "real":
        return _real(row, setting, unique)
    views: AnchorViews = latent_views(row, setting)
    if setting.stored:
        assert isinstance(views, LatentViews)
        views = _stored(views, max(unique, setting.base), row.positives, folder, progress)
    if row.data == "generated":
        return views
    assert row.share is not None
    return MixedViews(
        _real(row, setting, unique),
        views,
        row.share,
        unique,
        mix=row.mix,
        seed=setting.views_seed,
    )


def _real(row: LearningRow, setting: LearningSetting, unique: int) -> RealViews:
    have = 0 if setting.real is None else len(setting.real)
    if setting.real is None or unique > have:
        fail(
            f"row {row.name!r}",
            expected=f"at least {unique} real images",
            got=have,
            remedy="pass more images, or lower the base size or the ratio",
        )
    labels = setting.real.labels
    return RealViews(setting.real.images, labels, positives=row.positives)


def _stored(
    views: LatentViews, count: int, positives: int, folder: Path, progress: Progress | None
) -> StoredViews:
    text = json.dumps([views.describe(), count], sort_keys=True)
    name = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
    write_views(views, folder / "views" / name, count, keep="images", progress=progress)
    return StoredViews(folder / "views" / name, views.generator, positives=positives)
