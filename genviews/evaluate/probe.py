"""What probes share: fit on one split, select a setting on another, score on a third.

    encoder -> h -> PROBE -> accuracy with its interval

    probe = LinearProbe().fit(h, y, split="train").select(h_val, y_val, split="val")
    probe.score(h_test, y_test, split="test").accuracy

Neither `fit` nor `select` takes a split that is called test (law 4).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from genviews.checks import check_count, check_number, fail
from genviews.data.split import check_fit
from genviews.ensemble.significance import accuracy_interval
from genviews.evaluate.extractor import check_features
from genviews.signature import checked

__all__ = [
    "KNNProbe",
    "Probe",
    "ProbeScore",
    "mean_class_accuracy",
]

_ELEMENTS = 2**24  # of the largest intermediate matrix


@dataclass(frozen=True, kw_only=True)
class ProbeScore:
    """How well a probe reads the class from features.

    Args:
        accuracy: share of right answers, in [0, 1].
        interval: its 95 % Wilson interval.
        hits: number of right answers.
        total: number of samples.
        mean_class_accuracy: mean over classes of the accuracy within the class.
        setting: the probe's setting, such as {"cost": 1.0}.
        splits: which split was used to "fit", "select" and "score".
    """

    accuracy: float
    interval: tuple[float, float]
    hits: int
    total: int
    mean_class_accuracy: float
    setting: Mapping[str, float]
    splits: Mapping[str, str]


class Probe(ABC):
    """A classifier of features that never changes the encoder; subclasses say which.

    Attributes:
        classes_: the labels seen by `fit`, ascending.
        settings_: the candidate settings, simplest first.
        curve_: accuracy of each setting on the split of `select`, NaN before.
        splits_: the names of the splits seen.
    """

    classes_: Tensor
    settings_: tuple[Mapping[str, float], ...]
    curve_: tuple[float, ...]
    splits_: dict[str, str]

    _fitted = False
    _chosen: int | None = None
    _width: int

    @abstractmethod
    def _fit(self, h: Tensor, targets: Tensor) -> Sequence[Mapping[str, float]]:
        """Fit every candidate to targets in [0, number of classes); return their settings."""

    @abstractmethod
    def _predict(self, h: Tensor, which: Sequence[int]) -> Tensor:
        """Class positions (S, n) by the S candidates `which`."""

    @checked
    def fit(self, h: Float[Tensor, "N E"], y: Int[Tensor, " N"], *, split: str = "train") -> Probe:
        """Fit every candidate setting.

        Args:
            h: features.
            y: class of each row.
            split: the name of the data's split; not a test split.

        Returns:
            The probe itself.

        Raises:
            ValueError: a test split; other numbers of labels than rows; fewer than two classes;
                features that are not finite or all the same.
        """
        self._begin(h, y, split)
        self._end(self._fit(h.detach(), torch.searchsorted(self.classes_, y)))
        return self

    @checked
    def select(self, h: Float[Tensor, "N E"], y: Int[Tensor, " N"], *, split: str = "val") -> Probe:
        """Choose the setting that does best on a named validation split; the first of equals.

        Args:
            h: features.
            y: class of each row.
            split: the name of the data's split; not a test split.

        Returns:
            The probe itself.

        Raises:
            ValueError: a test split, or a probe that was not fitted.
        """
        check_fit(split, "select")
        self._check(h, y)
        found = self._chunked(h, range(len(self.settings_)))
        self.curve_ = tuple((found == y).double().mean(1).tolist())
        self._chosen = max(range(len(self.curve_)), key=lambda i: self.curve_[i])
        self.splits_["select"] = split
        return self

    @checked
    def predict(self, h: Float[Tensor, "N E"]) -> Int[Tensor, " N"]:
        """Return the class of each row, by the selected setting.

        Raises:
            ValueError: not fitted, or several settings and none selected.
        """
        return self._chunked(h, [self._selected()])[0]

    @checked
    def score(
        self, h: Float[Tensor, "N E"], y: Int[Tensor, " N"], *, split: str = "test"
    ) -> ProbeScore:
        """Return the accuracy of the selected setting, with its interval.

        Args:
            h: features.
            y: class of each row; a class that `fit` did not see counts as wrong.
            split: the name of the data's split, for the record.

        Raises:
            ValueError: not fitted, or several settings and none selected.
        """
        return self._score(self._selected(), h, y, split)

    @property
    def setting(self) -> Mapping[str, float]:
        """The selected setting."""
        return self.settings_[self._selected()]

    def _begin(self, h: Tensor, y: Tensor, split: str) -> None:
        check_fit(split, "fit")
        check_count(len(y), "labelled rows")
        check_features(h, "features to fit")
        self.classes_ = y.unique()
        check_count(len(self.classes_), "number of different labels", least=2)
        self.splits_, self._width = {"fit": split}, h.shape[1]

    def _end(self, settings: Sequence[Mapping[str, float]]) -> None:
        self.settings_ = tuple(settings)
        self.curve_ = (float("nan"),) * len(self.settings_)
        self._chosen = 0 if len(self.settings_) == 1 else None
        self._fitted = True

    def _score(self, index: int, h: Tensor, y: Tensor, split: str) -> ProbeScore:
        self._check(h, y)
        found = self._chunked(h, [index])[0]
        hits, total = int((found == y).sum()), len(y)
        return ProbeScore(
            accuracy=hits / total,
            interval=accuracy_interval(hits, total),
            hits=hits,
            total=total,
            mean_class_accuracy=mean_class_accuracy(found, y),
            setting=dict(self.settings_[index]),
            splits={**self.splits_, "score": split},
        )

    def _chunked(self, h: Tensor, which: Sequence[int]) -> Tensor:
        self._check(h)
        size = max(1, _ELEMENTS // self._cost_per_row())
        parts = [self._predict(chunk.detach(), which) for chunk in h.split(size)]
        return self.classes_[torch.cat(parts, 1).to(self.classes_.device)].to(h.device)

    def _cost_per_row(self) -> int:
        return max(self._width, len(self.classes_))

    def _selected(self) -> int:
        self._check_fitted()
        if self._chosen is None:
            fail(
                "probe",
                expected="one setting",
                got=f"{len(self.settings_)} and none selected",
                remedy="call `select` with a validation split, or give a single setting",
            )
        return self._chosen

    def _check_fitted(self) -> None:
        if not self._fitted:
            fail("probe", expected="a fitted one", got="none yet", remedy="call `fit` first")

    def _check(self, h: Tensor, y: Tensor | None = None) -> None:
        self._check_fitted()
        if y is not None:
            check_count(len(y), "labelled rows")
        if h.shape[1] != self._width or not bool(h.isfinite().all()):
            fail(
                "features",
                expected=f"finite, shape (N, {self._width}) as `fit` saw",
                got=f"shape {tuple(h.shape)}",
                remedy="use the same encoder for every split",
            )


class KNNProbe(Probe):
    """Weighted k-nearest-neighbour classifier of features, without training.

        score_c(x) = sum over the k nearest i of class c of exp(cos(h_x, h_i) / t)

    Args:
        neighbours: candidates of k; several need `select` on a validation split.
        temperature: t; 0.07 is what Wu et al. use.

    Raises:
        ValueError: no k or one below 1, a temperature that is not above 0; in `fit`, more
            neighbours than rows.

    Source: Wu et al. 2018, arXiv:1805.01978, Sec. 3.4 (k = 200, t = 0.07).

    Example:
        >>> h = torch.linspace(-1, 1, 40)[:, None]
        >>> y = (h[:, 0] > 0).long()
        >>> KNNProbe((5,)).fit(h, y, split="train").score(h, y, split="test").accuracy
        1.0
    """

    def __init__(
        self, neighbours: Sequence[int] = (20, 50, 100, 200), *, temperature: float = 0.07
    ) -> None:
        check_count(len(neighbours), "number of candidates of k")
        self.neighbours = tuple(sorted(check_count(k, "neighbours") for k in neighbours))
        self.temperature = check_number(temperature, "temperature", above=0, remedy="try 0.07")

    def _fit(self, h: Tensor, targets: Tensor) -> Sequence[Mapping[str, float]]:
        remedy = "give fewer neighbours, or more rows"
        check_count(self.neighbours[-1], "neighbours", most=len(h), remedy=remedy)
        self._bank, self._targets = _unit_rows(h), targets
        return [{"neighbours": float(k)} for k in self.neighbours]

    def _cost_per_row(self) -> int:
        return max(len(self._bank), super()._cost_per_row())

    def _predict(self, h: Tensor, which: Sequence[int]) -> Tensor:
        wanted = [self.neighbours[i] for i in which]
        cosines = _unit_rows(h.to(self._bank)) @ self._bank.T
        near, rows = cosines.topk(max(wanted), dim=1)
        # The largest weight is 1, whatever the temperature, so that none overflows.
        weights = ((near - near[:, :1]) / self.temperature).exp()
        labels = self._targets[rows]
        votes = [
            h.new_zeros(len(h), len(self.classes_), dtype=weights.dtype)
            .to(weights.device)
            .scatter_add_(1, labels[:, :k], weights[:, :k])
            for k in wanted
        ]
        return torch.stack([vote.argmax(1) for vote in votes])


def _unit_rows(h: Tensor) -> Tensor:
    """Rows of length 1, those of zeros apart; of extreme rows the squares are beyond float32."""
    largest = h.abs().amax(1, keepdim=True)
    extreme = (largest > 0) & ((largest < 1e-9) | (largest > 1e9))
    return F.normalize(h / torch.where(extreme, largest, 1.0) if bool(extreme.any()) else h, dim=1)


@checked
def mean_class_accuracy(found: Int[Tensor, " N"], y: Int[Tensor, " N"]) -> float:
    """Mean over the classes in `y` of the share of the class that was found, in [0, 1].

    Example:
        >>> mean_class_accuracy(torch.tensor([0, 0, 0, 0]), torch.tensor([0, 0, 0, 1]))
        0.5
    """
    check_count(len(y), "number of labels")
    shares = [(found[y == c] == c).double().mean() for c in y.unique()]
    return float(torch.stack(shares).mean())
