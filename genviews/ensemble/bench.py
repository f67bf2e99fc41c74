"""The stages of the test-time study, over one set of tasks and one generator.

`study.run_study` reads as the list of stages; here is what each does. Scales and combinations are
chosen per task where asked, else by the reference task for all. View sets are made once for all
tasks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from genviews.augment import PixelViews
from genviews.classify.task import Task
from genviews.data.images import ImageSet
from genviews.data.source import MemorySource
from genviews.data.split import SplitName
from genviews.engine import Engine
from genviews.ensemble.bank import PredictionBank
from genviews.ensemble.choose import Chosen, choose_combined, choose_scales, methods
from genviews.ensemble.combine import Evaluation, evaluate
from genviews.ensemble.fill import conditioning_task
from genviews.ensemble.gallery import make_gallery, pick
from genviews.ensemble.result import Comparison, Gallery
from genviews.ensemble.resume import fill_from_source
from genviews.ensemble.settings import StudySettings
from genviews.ensemble.significance import gain_report
from genviews.ensemble.verdict import best_on_calibration
from genviews.ensemble.view_bank import ViewBank
from genviews.ensemble.views import ViewSet
from genviews.generators.base import Generator
from genviews.perturb import Perturbation
from genviews.rng import Rng
from genviews.types import Inversion, Progress, Status

__all__ = ["Bench", "Split", "pixel_sets", "reconstruction_measures"]

Banks = Mapping[str, PredictionBank]
Groups = Mapping[str, Sequence[Perturbation]]


@dataclass(frozen=True, kw_only=True)
class Split:
    """Images with their inversions, and which split they are."""

    name: SplitName
    images: ImageSet
    inversion: Inversion

    @property
    def labels(self) -> dict[str, Int[Tensor, " N"]]:
        """The columns of labels by name: "label" of an `ImageSet` that has labels."""
        return {} if self.images.labels is None else {"label": self.images.labels}


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Tasks, generator and settings that every stage needs."""

    tasks: tuple[Task, ...]
    generator: Generator
    settings: StudySettings
    reference: str
    progress: Progress
    keep: Path | None = None
    engine: str | Engine = "local"

    def fill(self, split: Split, view_sets: Sequence[ViewSet]) -> ViewBank:
        """A bank for each task, of all images of a split."""
        every = torch.arange(len(split.images))
        return self._fill(split, every, view_sets, self.tasks, self.settings.num_views)

    def choose_latents(
        self, calibration: Split, groups: Groups
    ) -> tuple[dict[str, dict[str, ViewSet]], dict[str, dict[str, float]]]:
        """Task -> row -> its view set, and task -> candidate -> calibration accuracy.

        Rows with one candidate need no choice, and no views are made for them here.
        """
        only = {row: ViewSet(perturbation=group[0]) for row, group in groups.items()}
        contested = {row: group for row, group in groups.items() if len(group) > 1}
        latents = {task.name: dict(only) for task in self.tasks}
        if not contested:
            return latents, {}
        every = self.settings.scale_per_task
        choosers = tuple(t for t in self.tasks if every or t.name == self.reference)
        view_sets = [ViewSet(perturbation=p) for group in contested.values() for p in group]
        rows = self._scale_rows(calibration.images)
        banks = self._fill(calibration, rows, view_sets, choosers, self.settings.scale_views)
        choices = {
            name: choose_scales(contested, bank, average=self.settings.average)
            for name, bank in banks.items()
        }
        for name, own in latents.items():
            for row, (perturbation, _) in choices.get(name, choices[self.reference]).items():
                own[row] = ViewSet(perturbation=perturbation)
        scores = {
            name: {key: accuracy for _, choice in found.values() for key, accuracy in choice.scores}
            for name, found in choices.items()
        }
        return latents, scores

    def choose_combined(
        self,
        calibration: Split,
        latents: Mapping[str, Mapping[str, ViewSet]],
        pixels: tuple[ViewSet, ...],
    ) -> tuple[dict[str, Chosen], ViewBank]:
        """What every task's rows need, and the calibration banks that hold it."""
        chosen = {name: Chosen(pixels=pixels, latents=own) for name, own in latents.items()}
        banks = self.fill(calibration, self.union(chosen))
        both = {
            name: choose_combined(
                own,
                banks[name if self.settings.scale_per_task else self.reference],
                average=self.settings.average,
                per_latent=self.settings.per_latent,
            )
            for name, own in chosen.items()
        }
        more = {pair[1].name: pair[1] for pair in both.values() if pair is not None}
        if more:
            added = self.fill(calibration, list(more.values()))
            banks = banks.merge(added)
        return {name: replace(own, combined=both[name]) for name, own in chosen.items()}, banks

    def union(self, chosen: Mapping[str, Chosen]) -> list[ViewSet]:
        """The view sets of all tasks, each once."""
        found = {v.name: v for own in chosen.values() for v in own.view_sets}
        return list(found.values())

    def evaluate(
        self, chosen: Mapping[str, Chosen], calibration: Banks, test: Banks
    ) -> dict[str, list[Evaluation]]:
        """Every row of every task, the single image first."""
        todo = {name: methods(own) for name, own in chosen.items()}
        total, done = sum(len(rows) for rows in todo.values()), 0
        self.progress("evaluate", "rows", done, total)
        columns = {task.name: task.labels for task in self.tasks}
        labels = test[self.reference].known_labels()
        reference = test[self.reference].get("image")[:, 0].argmax(-1) == labels
        found: dict[str, list[Evaluation]] = {name: [] for name in chosen}
        for name, rows in todo.items():
            first, last = calibration[name], test[name]
            # Accuracies at different questions are not compared.
            other = name != self.reference and columns[name] == columns[self.reference]
            for method in rows:
                evaluation = evaluate(
                    method,
                    first,
                    last,
                    classifier=name,
                    baseline=found[name][0].correct if found[name] else None,
                    reference=reference if other else None,
                    average=self.settings.average,
                    seed=self.settings.seed,
                )
                found[name].append(evaluation)
                done += 1
                self.progress("evaluate", "rows", done, total)
        return found

    def compare(
        self, chosen: Mapping[str, Chosen], found: Mapping[str, Sequence[Evaluation]]
    ) -> tuple[Comparison, ...]:
        """For each task: do generated views add anything to its pixel views?"""
        comparisons = []
        for name, own in chosen.items():
            if own.combined is None:
                continue
            rows = {e.row.name: e for e in found[name]}
            combined, pixels = rows["combined"], rows[own.combined[0].name]
            report = gain_report(combined.correct, pixels.correct, seed=self.settings.seed)
            comparisons.append(
                Comparison(
                    classifier=name,
                    row=combined.row.name,
                    against=pixels.row.name,
                    gain=report.gain,
                    interval=report.gain_interval,
                    fixed=report.fixed,
                    broke=report.broke,
                    p_value=report.p_value,
                )
            )
        return tuple(comparisons)

    def gallery(
        self, test: Split, chosen: Chosen, found: Sequence[Evaluation], banks: Banks
    ) -> Gallery | None:
        """Pictures for the reference task's best ensemble; None if not wanted."""
        candidates = [e for e in found if e.row.alpha is not None]
        if self.settings.gallery_images == 0:
            return None
        best = best_on_calibration([e.row for e in candidates])
        ensemble = next(e for e in candidates if e.row is best)
        asked = conditioning_task(self.tasks, self.generator)
        return make_gallery(
            pick(found[0], ensemble, test.inversion.loss, self.settings.gallery_images),
            bank=banks[self.reference],
            ensemble=ensemble,
            generator=self.generator,
            images=test.images.images,
            latents=test.inversion.latents,
            loss=test.inversion.loss,
            view_sets=chosen.view_sets,
            num_views=min(self.settings.gallery_views, self.settings.num_views),
            seed=self.settings.seed,
            conditions=banks[asked.name].get("image")[:, 0].argmax(-1) if asked else None,
        )

    def _fill(
        self,
        split: Split,
        rows: Tensor,
        view_sets: Sequence[ViewSet],
        tasks: Sequence[Task],
        num_views: int,
    ) -> ViewBank:
        return fill_from_source(
            tasks,
            self.generator,
            MemorySource(split.images),
            split.inversion.latents,
            split.labels,
            view_sets,
            split=split.name,
            rows=rows.tolist(),
            folder=self.keep,
            num_views=num_views,
            seed=self.settings.seed,
            batch_size=self.settings.batch_size,
            engine=self.engine,
            progress=self.progress,
        )

    def _scale_rows(self, images: ImageSet) -> Tensor:
        """The images on which scales compete: drawn by id, whatever the order of the set."""
        every = torch.arange(len(images))
        count = self.settings.scale_images
        if count is None or count >= len(images):
            return every
        draws = Rng(self.settings.seed, "scale images").streams(images.ids).uniform(1, (1,))
        return draws.flatten().argsort(stable=True)[:count].sort().values


def pixel_sets(pixel_views: Sequence[PixelViews], images: ImageSet) -> tuple[ViewSet, ...]:
    """View sets of pixel transforms; one that leaves nothing to chance (a sure flip) has one view.

    Thirty-two copies of one flip would drown the image in the equal-weight average.
    """
    few = images.select(slice(0, 8))
    streams = Rng(0, "chance").streams(few.ids)
    found = []
    for pixels in pixel_views:
        views = pixels(few.images, 4, streams)
        fixed = bool((views == views[:, :1]).all())
        found.append(ViewSet(pixels=pixels, num_views=1 if fixed else None))
    return tuple(found)


def reconstruction_measures(test: Split, bank: PredictionBank) -> dict[str, float]:
    """How good the test inversions are, and what the classifier makes of them.

    Returns:
        "l1", mean absolute pixel difference (images span -1 to 1); "loss" and "start_loss", mean
        objective where it is finite; "failed", number of images without an inversion;
        "accuracy_on_images" and "accuracy_on_reconstructions".
    """
    found, images = test.inversion, test.images.images
    labels = bank.known_labels()
    on_reconstructions = bank.get("reconstruction")[:, 0].argmax(-1) == labels
    return {
        "l1": float((found.reconstructions.to(images.device) - images).abs().mean()),
        "loss": _finite_mean(found.loss),
        "start_loss": _finite_mean(found.start_loss),
        "failed": float((found.status == Status.FAILED).sum()),
        "accuracy_on_images": bank.accuracy(),
        "accuracy_on_reconstructions": float(on_reconstructions.double().mean()),
    }


def _finite_mean(values: Float[Tensor, " N"]) -> float:
    finite = values[torch.isfinite(values)]
    return float(finite.double().mean()) if len(finite) else 0.0
