"""Banks: what classifiers said about every image, reconstruction and view.

In the test-time arrow the bank stands between classify and weigh. Rendering and classifying are the
costly steps, so they are done once and their logits kept; every ensemble, weight, scale and error
bar is then computed from the bank in seconds. Logits are kept, not probabilities, so that both ways
of averaging (the paper's logits, the reference code's probabilities) stay possible.

A `PredictionBank` holds what one task's classifier said. A `ViewBank` holds those of all tasks over
the same views, which are rendered once; a classifier that answers several tasks runs once.
`bank["Smiling"]` is the `PredictionBank` of one task, on which everything that weighs, chooses and
measures works.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from genviews.checks import check_count, check_different, check_each, check_finite, fail, lookup
from genviews.classify.task import Task, task_classifiers
from genviews.data.images import Rows, row_numbers
from genviews.data.split import SplitName, check_split
from genviews.described import described_by
from genviews.files import load_tensors, save_tensors
from genviews.signature import checked
from genviews.types import check_classes, check_shape, check_tensor

__all__ = ["PredictionBank", "ViewBank"]

FORMAT = "genviews.PredictionBank/1"
Plain = str | int | float | bool | None


@dataclass(frozen=True, kw_only=True)
class PredictionBank:
    """The logits of one classifier for N images and their views.

    Args:
        ids: N different sample ids; a sample's random streams come from its id.
        labels: (N,) class indices, or None when the classes are not known.
        class_names: Y names; index y of a logit is class_names[y].
        split: what the images may be used for, see `genviews.data.split`; nothing is fitted on
            "test".
        logits: one (N, K, Y) tensor per key. "image" is required and has K = 1, "reconstruction"
            has K = 1, any other key is a view set such as "stylemix_fine_1.00" or
            "crop+stylemix_fine_1.00".
        meta: plain values to keep with the file, such as the seed.

    Raises:
        ValueError: a shape, id or label that does not fit, a missing "image", or a logit that is
            not finite.

    Example:
        >>> bank = PredictionBank(
        ...     ids=("a", "b"), labels=torch.tensor([0, 1]), class_names=("cat", "dog"),
        ...     split="calibration", logits={"image": torch.tensor([[[2.0, 0.0]], [[1.0, 0.0]]])},
        ... )
        >>> len(bank), bank.accuracy()
        (2, 0.5)
    """

    ids: tuple[str, ...]
    labels: Int[Tensor, " N"] | None
    class_names: tuple[str, ...]
    split: SplitName
    logits: Mapping[str, Float[Tensor, "N _ Y"]]
    meta: Mapping[str, Plain] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_split(self.split, "split of a prediction bank")
        if not self.ids:
            _refuse("ids", "at least one image", "none", "give the images to classify")
        check_different(self.ids, "prediction bank: ids", "give each image its own id")
        _check_labels(self.labels, len(self.ids), len(self.class_names))
        if "image" not in self.logits:
            remedy = "classify the images themselves too"
            _refuse("keys", "'image' among them", sorted(self.logits), remedy)
        for key, logits in self.logits.items():
            _check_logits(key, logits, self.ids, len(self.class_names))

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def view_keys(self) -> tuple[str, ...]:
        """The keys of the view sets: all but "image" and "reconstruction"."""
        return tuple(k for k in self.logits if k not in ("image", "reconstruction"))

    def get(self, key: str) -> Float[Tensor, "N K Y"]:
        """The logits of one key.

        Raises:
            ValueError: no such key; the closest ones are listed.
        """
        return lookup(key, self.logits, f"views in the {self.split!r} bank")

    def probs(self, key: str) -> Float[Tensor, "N K Y"]:
        """Softmax of the logits of one key, in float64."""
        return self.get(key).double().softmax(-1)

    def known_labels(self) -> Int[Tensor, " N"]:
        """The labels.

        Raises:
            ValueError: the bank has none.
        """
        if self.labels is None:
            remedy = "accuracy and alpha need labelled images"
            _refuse("labels", "a class for each image", "none", remedy)
        return self.labels

    def accuracy(self) -> float:
        """Accuracy of the plain classifier on the images, in [0, 1]."""
        return float(self.correct().double().mean())

    def correct(self, key: str = "image") -> Bool[Tensor, " N"]:
        """Where the first prediction of a key is the image's class."""
        return self.get(key)[:, 0].argmax(-1) == self.known_labels()

    def fewer_views(self, key: str, count: int) -> PredictionBank:
        """The bank with the first views of a key alone.

        Args:
            key: of the views.
            count: how many stay; all where there are not more.

        Raises:
            ValueError: no such key, or a count below 1.
        """
        kept = self.get(key)[:, : check_count(count, "count of views")]
        return replace(self, logits={**self.logits, key: kept})

    def select(self, indices: Rows) -> PredictionBank:
        """The bank of some of the images, in the given order.

        Args:
            indices: a slice, indices in [0, N), or a boolean mask of shape (N,).

        Raises:
            ValueError: no image, an index out of range, or one twice.
        """
        rows = row_numbers(indices, len(self))
        return replace(
            self,
            ids=tuple(self.ids[i] for i in rows.tolist()),
            labels=None if self.labels is None else self.labels[rows],
            logits={key: logits[rows] for key, logits in self.logits.items()},
        )

    @staticmethod
    @checked
    def concatenate(banks: Sequence[PredictionBank]) -> PredictionBank:
        """Join banks of different images; shards filled apart equal one bank filled at once.

        Raises:
            ValueError: no bank, or banks that differ in classes, split or keys.
        """
        if not banks:
            _refuse("banks", "at least one", "none", "fill a bank first")
        first = banks[0]
        for bank in banks[1:]:
            kinds = [(b.class_names, b.split, set(b.logits)) for b in (first, bank)]
            if kinds[0] != kinds[1]:
                expected, remedy = "the same classes, split and keys", "fill them the same way"
                _refuse("banks", expected, "others", remedy)
        labels = [bank.labels for bank in banks if bank.labels is not None]
        return replace(
            first,
            ids=tuple(i for bank in banks for i in bank.ids),
            labels=torch.cat(labels) if len(labels) == len(banks) else None,
            logits={key: torch.cat([bank.logits[key] for bank in banks]) for key in first.logits},
        )

    def save(self, path: str | Path) -> None:
        """Write one safetensors file, atomically; ids, names and meta are in its header as JSON."""
        tensors = {f"logits/{key}": logits for key, logits in self.logits.items()}
        if self.labels is not None:
            tensors["labels"] = self.labels
        header = {
            "format": FORMAT,
            "ids": json.dumps(self.ids),
            "class_names": json.dumps(self.class_names),
            "split": self.split,
            "keys": json.dumps(list(self.logits)),
            "meta": json.dumps(dict(self.meta), allow_nan=False),
        }
        save_tensors(path, tensors, header)

    @staticmethod
    def load(path: str | Path) -> PredictionBank:
        """Read what `save` wrote.

        Raises:
            ValueError: the file is not a prediction bank.
        """
        tensors, header = load_tensors(path, what="prediction bank: file")
        if header.get("format") != FORMAT:
            got = header.get("format", "a file without that mark")
            _refuse(f"file {Path(path).name}", FORMAT, got, "write it with `PredictionBank.save`")
        with described_by(f"prediction bank {Path(path).name}", "what `PredictionBank.save` wrote"):
            return PredictionBank(
                ids=tuple(json.loads(header["ids"])),
                labels=tensors.get("labels"),
                class_names=tuple(json.loads(header["class_names"])),
                split=check_split(header["split"]),
                logits={key: tensors[f"logits/{key}"] for key in json.loads(header["keys"])},
                meta=json.loads(header["meta"]),
            )


@checked
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
        notes: id -> what became of an image: of the bank's own, or of one that was left out.
        redrawn: how many views were not finite, and drawn again.

    Raises:
        ValueError: not one set of logits for each classifier.
    """

    tasks: tuple[Task, ...]
    ids: tuple[str, ...]
    split: SplitName
    labels: Mapping[str, Int[Tensor, " N"]]
    logits: tuple[Mapping[str, Float[Tensor, "N _ _"]], ...]
    meta: Mapping[str, Plain] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    redrawn: int = 0

    def __post_init__(self) -> None:
        count = len(task_classifiers(self.tasks))
        check_each(self.logits, count, "logits of a view bank", "classifier of its tasks")

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

    def of(self, tasks: Sequence[Task]) -> ViewBank:
        """The same for some of its tasks.

        Raises:
            ValueError: a task that it does not have.
        """
        known = {task.name: task for task in self.tasks}
        for task in tasks:
            lookup(task.name, known, "task")
        every = task_classifiers(self.tasks)
        places = [every.index(classifier) for classifier in task_classifiers(tasks)]
        return replace(self, tasks=tuple(tasks), logits=tuple(self.logits[i] for i in places))

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


def _refuse(what: str, expected: object, got: object, remedy: str) -> NoReturn:
    fail(f"prediction bank: {what}", expected=expected, got=got, remedy=remedy)


def _check_labels(labels: Tensor | None, num_images: int, num_classes: int) -> None:
    if labels is None:
        return
    check_tensor(labels, "prediction bank: labels")
    whole = not (labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool)
    if tuple(labels.shape) != (num_images,) or not whole:
        got = f"{labels.dtype} of shape {tuple(labels.shape)}"
        _refuse("labels", f"{num_images} integers", got, "give one class index for each image")
    check_classes(labels, num_classes, "prediction bank: labels")


def _check_logits(key: str, logits: Tensor, ids: Sequence[str], num_classes: int) -> None:
    views = 1 if key in ("image", "reconstruction") else "K"
    what = f"prediction bank: logits {key!r}"
    shape = (len(ids), views, num_classes)
    check_tensor(logits, what)
    check_shape(logits, shape, what, "images x views x classes is the order")
    check_count(logits.shape[1], f"{what}, number of views")
    check_finite(logits, what, ids, "look at these images and their latents")
