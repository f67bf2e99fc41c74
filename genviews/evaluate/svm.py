"""One linear SVM for each class, on the row-normalised features of a multi-label data set.

    min_w,b  (|w|^2 + b^2) / 2 + C sum_i c_i max(0, 1 - s_i (w h_i + b))^2,   s_i = +-1

with c_i = 2 for positives and 1 for negatives. C is chosen for each class by the mean average
precision of three folds of the training split, and the SVM fitted again to all of it.

Source: Jahanian et al. 2022, arXiv:2106.05258, transfer_classification, after Goyal et al. 2019,
arXiv:1905.01235.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from genviews.checks import check_count, check_number, check_words, fail
from genviews.data.split import check_fit
from genviews.evaluate.extractor import check_features, l2_normalise
from genviews.evaluate.precision import AveragePrecision, average_precision
from genviews.signature import checked
from genviews.types import Progress, check_shape, silent

__all__ = ["SVM_COSTS", "MultiLabelScore", "MultiLabelSVM", "counted"]

# Ten decades, and sixteen halvings: the authors' list, in their order.
SVM_COSTS = (*(10.0**e for e in range(-7, 3)), *(0.5**n for n in range(4, 20)))

Difficult = Literal["positive", "ignore", "negative"]


@dataclass(frozen=True, kw_only=True)
class MultiLabelScore:
    """Average precision of each class.

    Args:
        mean: over the classes, in [0, 1].
        per_class: in the order of the classes.
        costs: the C of each class.
        method: see `average_precision`.
        difficult: how images were taken whose objects of the class are all difficult.
        unconverged: classes whose final fit did not reach the solver's tolerance.
        splits: which split was used to "fit" and "score".
    """

    mean: float
    per_class: tuple[float, ...]
    costs: tuple[float, ...]
    method: str
    difficult: str
    unconverged: tuple[int, ...]
    splits: dict[str, str]


@dataclass(eq=False)
class MultiLabelSVM:
    """A linear SVM for each class.

    Args:
        costs: candidates of C; a tie takes the first. The authors' 26 by default.
        folds: of the cross-validation within the training split.
        normalise: scale rows of the features to unit length, h / (|h| + 1e-5).
        difficult: take an image whose objects of the class are all difficult as "positive" (the
            authors), "negative", or "ignore" it (the rule of the VOC challenge).
        dual: solve the dual problem by random coordinate descent, as the authors do. The default
            solves the primal by Newton steps: the same optimum without random order, and for large
            C in a fraction of the time.
        max_iter: of the solver.
        tolerance: of the solver.
        seed: of the order of coordinates, with `dual`.

    Attributes:
        costs_: the C of each class.
        fold_precision_: for each class the mean average precision of the folds, for each cost.
        unconverged_: classes whose final fit did not reach the tolerance.

    Raises:
        ValueError: no cost or one not above 0, fewer than two folds, an unknown `difficult`.

    Source: see the module's docstring.
    Differs: keyed by the number C, not by its decimal text, in which the authors lose 0.5^18 and
        0.5^19; the primal solver.
    """

    costs: Sequence[float] = SVM_COSTS
    _: KW_ONLY
    folds: int = 3
    normalise: bool = True
    difficult: Difficult = "positive"
    dual: bool = False
    max_iter: int = 2000
    tolerance: float = 1e-4
    seed: int = 0

    def __post_init__(self) -> None:
        check_number(min(self.costs, default=0.0), "smallest cost", above=0, remedy="use SVM_COSTS")
        check_words(self)
        check_count(self.folds, "folds", least=2)
        check_count(self.max_iter, "max_iter")
        self._models: list[Any] = []

    @checked
    def check_labels(self, labels: Int[Tensor, "N Y"]) -> None:
        """Raise ValueError if a class has fewer positives or negatives than there are folds."""
        for index, column in enumerate(labels.cpu().T):
            keep, positive = counted(column, self.difficult)
            self._check_folds(index, positive[keep].numpy())

    @checked
    def fit(
        self,
        h: Float[Tensor, "N E"],
        labels: Int[Tensor, "N Y"],
        *,
        split: str = "train",
        progress: Progress | None = None,
    ) -> MultiLabelSVM:
        """Choose C and fit an SVM for each class.

        Args:
            h: features.
            labels: 1 where the class is there, -1 where not, 0 where all of it is difficult.
            split: the name of the data's split; not a test split.
            progress: called with ("svm", "classes", done, all), after each class.

        Returns:
            The SVMs themselves.

        Raises:
            ValueError: a test split, labels of another shape, or a class with fewer positives or
                negatives than folds.
        """
        check_fit(split, "fit")
        check_features(h, "features to fit")
        self._check(h, labels)
        x = self._rows(h)
        self.split_ = split
        self.costs_: list[float] = []
        self.fold_precision_: list[tuple[float, ...]] = []
        self.unconverged_: list[int] = []
        self._models = []
        tell = partial(progress or silent, "svm", "classes")
        tell(0, labels.shape[1])
        for index in range(labels.shape[1]):
            self._fit_class(index, x, labels[:, index])
            tell(index + 1, labels.shape[1])
        return self

    @checked
    def decision(self, h: Float[Tensor, "N E"]) -> Float[Tensor, "N Y"]:
        """Return w h + b of each class, float64.

        Raises:
            ValueError: not fitted.
        """
        if not self._models:
            fail("SVMs", expected="fitted ones", got="none yet", remedy="call `fit` first")
        check_features(h, "features to decide on")
        remedy = "take features of the network that it was fitted on"
        check_shape(h, ("N", self._models[0].n_features_in_), "features to decide on", remedy)
        x = self._rows(h)
        return torch.from_numpy(np.stack([m.decision_function(x) for m in self._models], 1))

    @checked
    def score(
        self,
        h: Float[Tensor, "N E"],
        labels: Int[Tensor, "N Y"],
        *,
        split: str = "test",
        method: AveragePrecision = "area",
    ) -> MultiLabelScore:
        """Return the average precision of each class and their mean.

        Args:
            h: features.
            labels: as in `fit`.
            split: the name of the data's split, for the record.
            method: see `average_precision`.

        Raises:
            ValueError: not fitted, another number of classes, or a class without positives.
        """
        scores = self.decision(h)
        self._check(h, labels, len(self._models))
        found = []
        for column, truth in zip(scores.T, labels.cpu().T, strict=True):
            keep, positive = counted(truth, self.difficult)
            found.append(average_precision(column[keep], positive[keep], method))
        return MultiLabelScore(
            mean=sum(found) / len(found),
            per_class=tuple(found),
            costs=tuple(self.costs_),
            method=method,
            difficult=self.difficult,
            unconverged=tuple(self.unconverged_),
            splits={"fit": self.split_, "select": f"{self.folds} folds of {self.split_}"}
            | {"score": split},
        )

    def _fit_class(self, index: int, x: np.ndarray, labels: Tensor) -> None:
        keep, positive = counted(labels.cpu(), self.difficult)
        rows, target = x[keep.numpy()], positive[keep].numpy()
        self._check_folds(index, target)
        means = [self._cross_validate(rows, target, cost) for cost in self.costs]
        best = max(range(len(means)), key=lambda i: means[i])
        model, converged = self._solve(rows, target, self.costs[best])
        self._models.append(model)
        self.costs_.append(self.costs[best])
        self.fold_precision_.append(tuple(means))
        self.unconverged_ += [] if converged else [index]

    def _cross_validate(self, x: np.ndarray, target: np.ndarray, cost: float) -> float:
        """Mean AP of the folds, as scikit-learn's cross_val_score cuts and scores them."""
        from sklearn.model_selection import StratifiedKFold

        found = []
        for fit, held in StratifiedKFold(self.folds).split(x, target):
            model, _ = self._solve(x[fit], target[fit], cost)
            scores = torch.from_numpy(model.decision_function(x[held]))
            found.append(average_precision(scores, torch.from_numpy(target[held]), "step"))
        return float(np.mean(found))

    def _solve(self, x: np.ndarray, target: np.ndarray, cost: float) -> tuple[Any, bool]:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.svm import LinearSVC

        model = LinearSVC(
            C=cost,
            class_weight={True: 2, False: 1},
            dual=self.dual,
            tol=self.tolerance,
            max_iter=self.max_iter,
            random_state=self.seed,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # told by `unconverged`
            model.fit(x, target)
        return model, model.n_iter_ < self.max_iter

    def _rows(self, h: Tensor) -> np.ndarray:
        x = h.detach().double().cpu()
        rows: np.ndarray = (l2_normalise(x) if self.normalise else x).numpy()
        return rows

    def _check(self, h: Tensor, labels: Tensor, classes: int | None = None) -> None:
        wanted = labels.shape[1] if classes is None and labels.ndim == 2 else classes
        values = bool(((labels >= -1) & (labels <= 1)).all())
        if labels.ndim != 2 or labels.shape != (len(h), wanted) or not values:
            fail(
                "multi-label classes",
                expected=f"-1, 0 or 1, shape ({len(h)}, {wanted or 'Y'})",
                got=f"shape {tuple(labels.shape)}",
                remedy="read them with `read_voc`",
            )

    def _check_folds(self, index: int, target: np.ndarray) -> None:
        fewest = min(int(target.sum()), int((~target).sum()))
        what = f"number of images with class {index}, and of those without it"
        check_count(fewest, what, least=self.folds, remedy="give more images, or fewer folds")


@checked
def counted(
    labels: Int[Tensor, " N"], difficult: str
) -> tuple[Bool[Tensor, " N"], Bool[Tensor, " N"]]:
    """Return which images of a class count, and which of all are positive.

    Args:
        labels: 1 where the class is there, -1 where not, 0 where all of it is difficult.
        difficult: see `MultiLabelSVM`.
    """
    if difficult == "ignore":
        return labels != 0, labels == 1
    floor = 0 if difficult == "positive" else 1
    return torch.ones_like(labels, dtype=torch.bool), labels >= floor
