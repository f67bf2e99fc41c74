"""What a test-time study chooses on calibration: a scale for each row, and what is combined.

Chosen per task where asked, else by the reference task for all. Views are made once for all tasks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from genviews.checks import lookup
from genviews.classify.task import Task
from genviews.ensemble.bank import ViewBank
from genviews.ensemble.choose import Chosen, choose_combined
from genviews.ensemble.combine import ranked
from genviews.ensemble.rule import EnsembleRule
from genviews.ensemble.views import ViewSet
from genviews.perturb.base import Perturbation
from genviews.studies.base import Options
from genviews.studies.bench import Bench

__all__ = ["Choice", "Choices", "Fitted", "Viewed", "choose"]


@dataclass(frozen=True, kw_only=True)
class Fitted(EnsembleRule, Options):
    """By what ensembles are fitted: the options of `EnsembleRule`."""


@dataclass(frozen=True, kw_only=True)
class Viewed(Fitted):
    """How many views are made and by what ensembles of them are fitted.

    Args:
        num_views: Views of each kind, K; 32 as in the reference code.
    """

    num_views: int = 32


@dataclass(frozen=True, kw_only=True)
class Choices(Viewed):
    """How views are chosen on the calibration images.

    Args:
        scale_views: Views with which candidate scales compete; 8 are enough to rank them (chosen by
            us).
        scale_images: Calibration images on which they compete. Without it: all.
        reference: Task that chooses scales and that others with the same labels are compared with.
            Without it: the first.
        scale_per_task: Let each task choose its own scales, as in the paper; more views to make.
        per_latent: Pixel transforms of each latent view in the combined row; the reference's
            `tensortransform` files have 4.
    """

    scale_views: int = 8
    scale_images: int | None = None
    reference: str | None = None
    scale_per_task: bool = False
    per_latent: int = 1

    def quick(self) -> Choices:
        """Few views."""
        return replace(self, num_views=4, scale_views=2)

    def reference_task(self, tasks: Sequence[Task]) -> Task:
        """The task that chooses for all.

        Raises:
            ValueError: no task of that name.
        """
        named = {task.name: task for task in tasks}
        return tasks[0] if self.reference is None else lookup(self.reference, named, "task")

    def choosers(self, tasks: Sequence[Task]) -> tuple[Task, ...]:
        """The tasks that choose."""
        return tuple(tasks) if self.scale_per_task else (self.reference_task(tasks),)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What was chosen.

    Args:
        chosen: task -> the view sets of its rows.
        bank: calibration predictions that hold them all.
        scores: task -> candidate -> calibration accuracy, for candidates that competed.
    """

    chosen: Mapping[str, Chosen]
    bank: ViewBank
    scores: Mapping[str, Mapping[str, float]]

    @property
    def view_sets(self) -> list[ViewSet]:
        """The view sets of all tasks, each once."""
        return _union(self.chosen)


def choose(bench: Bench, options: Choices, groups: Mapping[str, Sequence[Perturbation]]) -> Choice:
    """Choose scales, then what is combined, on calibration.

    Args:
        bench: tasks, generator and images.
        options: how.
        groups: row name -> candidates, the mildest first.
    """
    pixels = tuple(ViewSet(pixels=views) for views in bench.pixel_views)
    choosers = options.choosers(bench.tasks)
    latents, scores = _scales(bench, options, groups)
    chosen = {name: Chosen(pixels=pixels, latents=own) for name, own in latents.items()}
    bank = bench.bank("calibration", _union(chosen), num_views=options.num_views)
    both = {
        task.name: choose_combined(
            chosen[task.name],
            bank[task.name],
            rule=options.rule,
            per_latent=options.per_latent,
        )
        for task in choosers
    }
    shared = both[options.reference_task(bench.tasks).name]
    more = {own.generated.name: own.generated for own in both.values() if own is not None}
    if more:
        added = bench.bank(
            "calibration",
            list(more.values()),
            num_views=options.num_views,
            stage="combined views of calibration",
        )
        bank = bank.merge(added)
    return Choice(
        chosen={n: replace(own, combined=both.get(n, shared)) for n, own in chosen.items()},
        bank=bank,
        scores=scores,
    )


def _scales(
    bench: Bench, options: Choices, groups: Mapping[str, Sequence[Perturbation]]
) -> tuple[dict[str, dict[str, ViewSet]], dict[str, dict[str, float]]]:
    """Task -> row -> its view set, and task -> candidate -> calibration accuracy.

    Rows with one candidate need no choice, and no views are made for them here.
    """
    only = {row: ViewSet(perturbation=group[0]) for row, group in groups.items()}
    contested = {row: group for row, group in groups.items() if len(group) > 1}
    latents = {task.name: dict(only) for task in bench.tasks}
    if not contested:
        return latents, {}
    bank = bench.bank(
        "calibration",
        [ViewSet(perturbation=p) for group in contested.values() for p in group],
        num_views=options.scale_views,
        tasks=options.choosers(bench.tasks),
        count=options.scale_images,
        stage="strengths tried on calibration",
    )
    tried = {p.name: p for group in contested.values() for p in group}
    choices = {
        name: {
            row: ranked(bank[name], [p.name for p in group], rule=options.rule)
            for row, group in contested.items()
        }
        for name in bank
    }
    shared = choices[options.reference_task(bench.tasks).name]
    for name, own in latents.items():
        for row, (best, *_) in choices.get(name, shared).items():
            own[row] = ViewSet(perturbation=tried[best.views[0]])
    scores = {}
    for name, found in choices.items():
        reached = {e.views[0]: e.accuracy_ for group in found.values() for e in group}
        scores[name] = {key: reached[key] for key in tried}
    return latents, scores


def _union(chosen: Mapping[str, Chosen]) -> list[ViewSet]:
    return list({v.name: v for own in chosen.values() for v in own.view_sets}.values())
