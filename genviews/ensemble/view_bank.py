"""The view bank: what every task's classifier said of the same images, reconstructions and views.

Rendering is what costs, so it is done once for all tasks, and a classifier that answers several
tasks runs once. `bank["Smiling"]` is the `PredictionBank` of one task, on which everything that
weighs, chooses and measures works.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from jaxtyping import Float, Int
from torch import Tensor

from genviews.checks import fail, lookup
from genviews.classify.task import Task, task_classifiers
from genviews.data.split import SplitName
from genviews.ensemble.bank import Plain, PredictionBank

__all__ = ["ViewBank"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ViewBank(Mapping[str, PredictionBank]):
    """The logits of all classifiers of T tasks for N images and their views, by task name.

    Args:
        tasks: T of them.
        ids: N sample ids.
        split: what the images may be used for.
        labels: (N,) class indices by the name of the column; a task whose column is missing has no
            labels.
        logits: for each of `task_classifiers(tasks)`, one tensor of images x views x logits per
            key.
        meta: plain values for the banks, such as the seed.

    Raises:
        ValueError: not one set of logits for each classifier.
    """

    tasks: tuple[Task, ...]
    ids: tuple[str, ...]
    split: SplitName
    labels: Mapping[str, Int[Tensor, " N"]]
    logits: tuple[Mapping[str, Float[Tensor, "N _ _"]], ...]
    meta: Mapping[str, Plain] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count = len(task_classifiers(self.tasks))
        if len(self.logits) != count:
            fail(
                "logits of a view bank",
                expected=f"those of {count} classifiers",
                got=len(self.logits),
                remedy="give them in the order of `task_classifiers(tasks)`",
            )

    def __getitem__(self, name: str) -> PredictionBank:
        task = lookup(name, {task.name: task for task in self.tasks}, "task")
        place = task_classifiers(self.tasks).index(task.classifier)
        return PredictionBank(
            ids=self.ids,
            labels=self.labels.get(task.labels),
            class_names=task.class_names,
            split=self.split,
            logits={key: task.answer(logits) for key, logits in self.logits[place].items()},
            meta={"task": name, **self.meta},
        )

    def __iter__(self) -> Iterator[str]:
        return iter(task.name for task in self.tasks)

    def __len__(self) -> int:
        return len(self.tasks)

    def merge(self, other: ViewBank) -> ViewBank:
        """Add the view sets that `other` has for the same images and tasks; keys known here stay.

        Raises:
            ValueError: other tasks, images or split.
        """
        mine, theirs = ((b.tasks, b.ids, b.split) for b in (self, other))
        if mine != theirs:
            fail(
                "view banks to merge",
                expected="the same tasks, ids and split",
                got="others",
                remedy="fill both for the same images and tasks",
            )
        pairs = zip(self.logits, other.logits, strict=True)
        return replace(self, logits=tuple({**mine, **theirs, **mine} for mine, theirs in pairs))
