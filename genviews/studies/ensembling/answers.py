"""What is said of each image: a CSV file with a line an image, to compute with and to look at.

    id, label, single, ensemble, confidence, and the answer for each view

Answers are names of classes. Text that a spreadsheet would run is quoted (`report.text`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from genviews.ensemble.bank import PredictionBank

__all__ = ["ANSWERS", "answer_columns", "answer_rows", "said"]

ANSWERS = "predictions.csv"
"""The file's name in a run folder."""


def answer_columns(views: Sequence[tuple[str, int]]) -> list[str]:
    """The names of the columns.

    Args:
        views: (key, number of views) of the kinds that are shown.

    Example:
        >>> answer_columns([("reconstruction", 1), ("stylemix_fine", 2)])[-3:]
        ['reconstruction', 'stylemix_fine 1', 'stylemix_fine 2']
    """
    numbered = [
        key if count == 1 else f"{key} {view}"
        for key, count in views
        for view in range(1, count + 1)
    ]
    return ["id", "label", "single", "ensemble", "confidence", *numbered]


def said(bank: PredictionBank, keys: Sequence[str]) -> Int[Tensor, "N M"]:
    """The class that each view of some kinds is taken for, side by side."""
    if not keys:
        return torch.zeros(len(bank), 0, dtype=torch.long)
    return torch.cat([bank.get(key).argmax(-1) for key in keys], 1)


def answer_rows(
    ids: Sequence[str],
    labels: Sequence[str | None],
    single: Int[Tensor, " N"],
    proba: tuple[Int[Tensor, " N"], Float[Tensor, " N"]],
    views: Int[Tensor, "N M"],
    class_names: Sequence[str],
) -> Iterator[list[object]]:
    """A line for each image.

    Args:
        ids: of the images.
        labels: names of their classes, as far as they are known.
        single: class that the classifier gives the image alone.
        proba: class that the ensemble gives it, and its probability.
        views: class of each view.
        class_names: of all these classes.
    """
    for place, (name, label) in enumerate(zip(ids, labels, strict=True)):
        classes = [int(single[place]), int(proba[0][place]), *views[place].tolist()]
        one, all_, *others = (class_names[index] for index in classes)
        yield [name, label, one, all_, float(f"{float(proba[1][place]):.4g}"), *others]
