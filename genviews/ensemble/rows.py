"""What is measured of a way to predict: a row of the table, its curve over alpha, a comparison.

Accuracies and gains are shares in [0, 1]; intervals are 95 %; tests are paired over test images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["AlphaCurve", "Comparison", "Group", "Row", "best_on_calibration"]

Group = Literal["image", "pixel", "latent", "combined"]
Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table: a method for a task.

    Args:
        name: e.g. "single image", "crop", "reconstruction only", "stylemix fine", "combined".
        task: whose classifier predicts.
        group: where the views come from.
        views: bank keys used; () for the single image.
        num_views: predictions used beside that of the image.
        alpha: weight of the views, chosen on calibration; None where nothing is chosen.
        oracle_alpha: the best alpha on test; reported beside, never used.
        oracle_accuracy: test accuracy at that alpha.
        calibration_accuracy: accuracy on calibration; at `alpha`, so slightly optimistic.
        accuracy: accuracy on test.
        interval: its 95 % Wilson interval.
        gain: test accuracy minus that of the same task's single image.
        gain_interval: 95 %, paired bootstrap over test images.
        fixed: test images that this row gets right and the single image wrong.
        broke: the reverse.
        p_value: exact McNemar test, two-sided.
        p_holm: adjusted for all rows of the table that are compared with a baseline.
        reference_gain: test accuracy minus that of the reference task's single image; None for the
            reference task itself and for tasks with other labels.
        reference_gain_interval: its 95 % interval.
        reference_p_value: its exact McNemar test.
    """

    name: str
    task: str
    group: Group
    views: tuple[str, ...]
    num_views: int
    alpha: float | None
    oracle_alpha: float | None
    oracle_accuracy: float | None
    calibration_accuracy: float
    accuracy: float
    interval: Interval
    gain: float
    gain_interval: Interval
    fixed: int
    broke: int
    p_value: float
    p_holm: float
    reference_gain: float | None = None
    reference_gain_interval: Interval | None = None
    reference_p_value: float | None = None

    @property
    def is_generated(self) -> bool:
        """Whether it weighs perturbed views of a generator; its reconstruction alone is none."""
        return self.alpha is not None and self.views != ("reconstruction",)


@dataclass(frozen=True, kw_only=True)
class AlphaCurve:
    """Accuracy against alpha on both splits, for one row.

    Args:
        row: name of the row.
        task: of the row.
        alphas: the grid.
        calibration: accuracy at each alpha on calibration, where alpha is chosen.
        test: the same on test, to look at only.
    """

    row: str
    task: str
    alphas: tuple[float, ...]
    calibration: tuple[float, ...]
    test: tuple[float, ...]

    @property
    def oracle(self) -> tuple[float, float]:
        """(alpha, accuracy) of the smallest alpha that is best on test."""
        accuracy = max(self.test)
        return self.alphas[self.test.index(accuracy)], accuracy


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A paired test between two rows of the same task, beyond the table's baseline.

    Args:
        task: of both rows.
        row: the method, e.g. "combined".
        against: what it is compared with, e.g. "crop".
        gain: test accuracy of `row` minus that of `against`.
        gain_interval: 95 %, paired bootstrap.
        fixed: test images right with `row` and wrong with `against`.
        broke: the reverse.
        p_value: exact McNemar test, two-sided.
    """

    task: str
    row: str
    against: str
    gain: float
    gain_interval: Interval
    fixed: int
    broke: int
    p_value: float


def best_on_calibration(rows: Sequence[Row]) -> Row:
    """The row with the highest calibration accuracy; among equals the first, simpler one."""
    return max(rows, key=lambda row: row.calibration_accuracy)
