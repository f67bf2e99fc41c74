"""Linear probe by L-BFGS on cached features: multinomial logistic regression with an L2 penalty.

    min_W,b  mean_i CE(W h_i + b, y_i) + |W|^2 / (2 C N)

The objective is convex, so the answer depends on no seed, order or learning rate. `SGDProbe` is the
probe of the papers; the two agree within their intervals.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from genviews.checks import check_count, check_number
from genviews.data.split import check_fit
from genviews.evaluate.probe import Probe, ProbeScore
from genviews.signature import checked

__all__ = ["COSTS", "LinearProbe", "linear_predict", "stratified_folds"]

COSTS = tuple(10.0**e for e in range(-4, 5))  # decades: with standardised features wide enough
_ROWS = 8192  # converted to float64 at once
_KEPT = 2**26  # elements that are converted once and kept, half a gigabyte
_FLOOR = 1e-12  # added to the curvature, in units of the largest; it moves steps, not the answer


class LinearProbe(Probe):
    """Logistic regression on features, the cost C chosen on a named validation split.

    Args:
        costs: candidates of C, the inverse strength of the penalty (scikit-learn's convention); a
            tie takes the smallest. Nine decades by default (chosen by us).
        standardise: scale each feature to mean 0 and deviation 1 over the fitted split, so that the
            grid of C means the same for every encoder. False leaves features as they are.
        max_iter: L-BFGS steps for each C; each C starts from the solution of the next smaller.
        tolerance: L-BFGS ends where no element of the gradient is larger, taken with respect to
            weights scaled by the root of the curvature.

    Attributes:
        converged_: whether each C reached the tolerance, in the order of `settings_`; a score of
            one that did not is warned of.

    Raises:
        ValueError: no cost, or one that is not above 0.

    Source: Kornblith et al. 2019, arXiv:1805.08974, App. A (L-BFGS, C on validation).
    Differs: nine costs in place of 45; standardised features; no refit on train + val.

    Example:
        >>> h = torch.linspace(-1, 1, 40)[:, None]
        >>> y = (h[:, 0] > 0).long()
        >>> probe = LinearProbe().fit(h, y, split="train").select(h, y, split="val")
        >>> probe.score(h, y, split="test").accuracy
        1.0
    """

    converged_: tuple[bool, ...]

    def __init__(
        self,
        costs: Sequence[float] = COSTS,
        *,
        standardise: bool = True,
        max_iter: int = 1000,
        tolerance: float = 1e-5,
    ) -> None:
        check_number(min(costs, default=0.0), "smallest cost", above=0, remedy="use COSTS")
        self.costs = tuple(sorted(costs))
        self.standardise, self.tolerance = standardise, tolerance
        self.max_iter = check_count(max_iter, "max_iter")

    @checked
    def select_by_folds(
        self,
        h: Float[Tensor, "N E"],
        y: Int[Tensor, " N"],
        *,
        folds: int = 3,
        split: str = "train",
    ) -> LinearProbe:
        """Choose C by cross-validation within the training split, then fit that C to all of it.

        Args:
            h: features.
            y: class of each row.
            folds: see `stratified_folds`.
            split: the name of the data's split; not a test split.

        Returns:
            The probe itself, fitted.

        Raises:
            ValueError: as `fit`.

        Source: the authors' transfer_classification (3 folds, mean accuracy of the folds).
        """
        check_fit(split, "select")
        curves = []
        for held in stratified_folds(y, folds):
            self.fit(h[~held], y[~held], split=split).select(h[held], y[held], split=split)
            curves.append(self.curve_)
        means = [sum(column) / folds for column in zip(*curves, strict=True)]
        best = max(range(len(means)), key=lambda i: means[i])
        costs, self.costs = self.costs, (self.costs[best],)
        try:
            self.fit(h, y, split=split)
        finally:
            self.costs = costs
        self.curve_, self.splits_["select"] = (means[best],), f"{folds} folds of {split}"
        return self

    def _fit(self, h: Tensor, targets: Tensor) -> Sequence[Mapping[str, float]]:
        # The steps are made on standardised features in either case; the penalty is on the weights
        # of the features as the caller wants them.
        self._shift, self._scale = _moments(h)
        self._units = torch.ones_like(self._scale) if self.standardise else self._scale
        rows = _Rows(h, self._shift, self._scale)
        start = h.new_zeros(len(self.classes_), h.shape[1] + 1, dtype=torch.float64)
        self.candidates_: list[Tensor] = []
        converged = []
        for cost in self.costs:
            start, done = self._minimise(rows, targets, cost, start)
            self.candidates_.append(start)
            converged.append(done)
        self.converged_ = tuple(converged)
        return [{"cost": cost} for cost in self.costs]

    def _minimise(
        self, rows: _Rows, targets: Tensor, cost: float, start: Tensor
    ) -> tuple[Tensor, bool]:
        from scipy.optimize import minimize

        root = self._curvature_root(rows, cost)

        def weights_of(flat: object) -> Tensor:
            moved = torch.as_tensor(flat, dtype=torch.float64).view_as(start).to(start.device)
            plain: Tensor = torch.linalg.solve_triangular(root, moved, upper=False, left=False)
            return plain

        def objective(flat: object) -> tuple[float, object]:
            value, gradient = self._objective(rows, targets, cost, weights_of(flat))
            moved = torch.linalg.solve_triangular(root.T, gradient, upper=True, left=False)
            # A copy, because scipy changes it in place in some versions.
            return value, moved.flatten().cpu().numpy().copy()

        found = minimize(
            objective,
            (start @ root).flatten().cpu().numpy(),
            jac=True,
            method="L-BFGS-B",
            # scipy's own relative stop on the value, 2e-9, would come before the gradient's.
            options={"maxiter": self.max_iter, "gtol": self.tolerance, "ftol": 1e-15, "maxls": 50},
        )
        small = bool(abs(found.jac).max() <= self.tolerance * 10)
        return weights_of(found.x), bool(found.success) or small

    def _curvature_root(self, rows: _Rows, cost: float) -> Tensor:
        """Lower R, (E + 1, E + 1), with R R' near the curvature of the objective for one class.

            R R' = (Y - 1) / Y^2 mean(x x') + diag(1 / units^2) / (C N),    bias apart

        In the variable W R, in which the steps are made, the curvature is near 1 in all directions,
        and L-BFGS needs a fraction of the steps (on features of an untrained encoder a fifth).
        """
        classes = len(self.classes_)
        share = (classes - 1) / classes**2  # p (1 - p) of equally likely classes
        curvature = share * rows.covariance
        curvature.diagonal().add_(1 / (self._units.square() * cost * rows.total))
        # It has a root even where features repeat each other and the penalty is next to nothing.
        curvature.diagonal().add_(_FLOOR * curvature.diagonal().max())
        root = torch.zeros(len(curvature) + 1, len(curvature) + 1).to(curvature)
        root[:-1, :-1] = torch.linalg.cholesky(curvature)
        root[-1, -1] = share**0.5
        return root

    def _objective(
        self, rows: _Rows, targets: Tensor, cost: float, weights: Tensor
    ) -> tuple[float, Tensor]:
        """The objective of the module's docstring and its gradient, in float64."""
        gradient = torch.zeros_like(weights)
        value = 0.0
        for x, labels in zip(rows.parts(), targets.split(_ROWS), strict=True):
            log_probs = F.log_softmax(x @ weights[:, :-1].T + weights[:, -1], 1)
            value -= float(log_probs.gather(1, labels[:, None]).sum()) / rows.total
            error = log_probs.exp()
            error[torch.arange(len(labels), device=x.device), labels] -= 1
            gradient[:, :-1] += error.T @ x / rows.total
            gradient[:, -1] += error.sum(0) / rows.total
        inner = weights[:, :-1] / self._units
        gradient[:, :-1] += inner / self._units / (cost * rows.total)
        return value + float(inner.square().sum()) / (2 * cost * rows.total), gradient

    def _predict(self, h: Tensor, which: Sequence[int]) -> Tensor:
        x = (h.double() - self._shift.to(h.device)) / self._scale.to(h.device)
        return linear_predict(x, [self.candidates_[i] for i in which])

    def _score(self, index: int, h: Tensor, y: Tensor, split: str) -> ProbeScore:
        if not self.converged_[index]:
            warnings.warn(
                f"the linear probe with cost {self.costs[index]:g} did not reach its tolerance in "
                f"{self.max_iter} steps",
                RuntimeWarning,
                stacklevel=3,
            )
        return super()._score(index, h, y, split)


class _Rows:
    """Standardised features in float64, a part at a time; kept where they are few."""

    def __init__(self, h: Tensor, shift: Tensor, scale: Tensor) -> None:
        self.total = len(h)
        self._h, self._shift, self._scale = h, shift, scale
        self._kept = list(self._convert()) if h.numel() <= _KEPT else None

    def parts(self) -> Iterable[Tensor]:
        """Parts of `_ROWS` rows."""
        return self._convert() if self._kept is None else self._kept

    @cached_property
    def covariance(self) -> Float[Tensor, "E E"]:
        """Mean of x x'."""
        total = self._scale.new_zeros(len(self._scale), len(self._scale))
        for x in self.parts():
            total += x.T @ x
        return total / self.total

    def _convert(self) -> Iterator[Tensor]:
        for rows in self._h.split(_ROWS):
            yield (rows.double() - self._shift) / self._scale


@checked
def linear_predict(x: Float[Tensor, "n E"], candidates: Sequence[Tensor]) -> Int[Tensor, "S n"]:
    """Return the class positions by several linear maps, each (Y, E + 1) with the bias last."""
    answers = []
    for weights in candidates:
        w = weights.to(x)
        answers.append((x @ w[:, :-1].T + w[:, -1]).argmax(1))
    return torch.stack(answers)


@checked
def stratified_folds(y: Int[Tensor, " N"], folds: int = 3) -> list[Tensor]:
    """Return, for each fold, the mask of the rows that are held out; each class is spread evenly.

    The rows of a class go to the folds in turn, so no random number is needed.

    Args:
        y: class of each row.
        folds: at least 2, and at most as many as the smallest class has rows.

    Raises:
        ValueError: too few rows of a class.
    """
    check_count(folds, "folds", least=2)
    place = torch.empty_like(y, dtype=torch.long)
    for label in y.unique():
        rows = torch.nonzero(y == label).flatten()
        what = f"number of rows of class {int(label)}"
        check_count(len(rows), what, least=folds, remedy="use fewer folds")
        place[rows] = torch.arange(len(rows), device=y.device) % folds
    return [place == fold for fold in range(folds)]


def _moments(h: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each feature; 1 for a feature that never changes."""
    none = h.new_zeros(h.shape[1], dtype=torch.float64)
    mean = sum((part.double().sum(0) for part in h.split(_ROWS)), none) / len(h)
    squares = sum(((part.double() - mean).square().sum(0) for part in h.split(_ROWS)), none)
    deviation = (squares / len(h)).sqrt()
    floor = 1e-7 * deviation.max()
    return mean, torch.where(deviation > floor, deviation, 1.0)
