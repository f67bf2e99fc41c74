"""From banks to rows of the table: methods, the choice of scale, the measured row.

A `Method` says which predictions are put together and how. Everything that is chosen (the scale of
a perturbation, alpha) is chosen on the calibration bank; the test bank is read once, by `evaluate`.
Accuracies and gains are shares in [0, 1]; intervals are 95 %; tests are paired over test images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from jaxtyping import Bool, Float
from torch import Tensor

from genviews.checks import fail
from genviews.data.split import check_fit
from genviews.ensemble.bank import PredictionBank
from genviews.ensemble.rule import EnsembleRule
from genviews.ensemble.significance import GainReport, gain_report, holm
from genviews.ensemble.weigh import Ensemble, alpha_grid, log_loss, merged, pixel_average
from genviews.signature import checked

__all__ = [
    "AlphaCurve",
    "Comparison",
    "Evaluation",
    "Group",
    "Method",
    "Row",
    "adjust",
    "best_on_calibration",
    "compare",
    "evaluate",
    "ranked",
    "score",
]


Group = Literal["image", "pixel", "latent", "combined"]
_RULE = EnsembleRule()


@dataclass(frozen=True, kw_only=True)
class Row(GainReport):
    """One line of the table: a method for a task, compared on test with its single image.

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
        calibration_log_loss: there, where that is what rows are chosen by.
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
    p_holm: float
    calibration_log_loss: float | None = None
    reference_gain: float | None = None
    reference_gain_interval: tuple[float, float] | None = None
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

    @staticmethod
    @checked
    def of(ensemble: Ensemble, test: PredictionBank, row: str, task: str) -> AlphaCurve:
        """That of a fitted ensemble."""
        return AlphaCurve(
            row=row,
            task=task,
            alphas=tuple(alpha_grid(ensemble.grid).tolist()),
            calibration=tuple(ensemble.curve_.tolist()),
            test=tuple(ensemble.curve(test).tolist()),
        )

    @property
    def oracle(self) -> tuple[float, float]:
        """(alpha, accuracy) of the smallest alpha that is best on test."""
        accuracy = max(self.test)
        return self.alphas[self.test.index(accuracy)], accuracy


@dataclass(frozen=True, kw_only=True)
class Comparison(GainReport):
    """A paired test on test images between two rows of a task, beyond the table's baseline.

    Args:
        task: of both rows.
        row: the method, e.g. "combined".
        against: what it is compared with, e.g. "crop".
    """

    task: str
    row: str
    against: str


@dataclass(frozen=True, kw_only=True)
class Method:
    """One way to predict from a bank, before it is measured.

    Args:
        name: of the row, e.g. "stylemix fine".
        group: "image", "pixel", "latent" or "combined".
        views: bank keys that are put together; () for the plain classifier.
        weighing: "none" takes the mean of `views` as they stand; "equal" averages them with the
            image, all with equal weight; "alpha" weighs them against the image term by equation 7.
        image_views: pixel views that join the image in the image term, for "alpha".
        image_size: members of the image term, the image first; None takes all.
    """

    name: str
    group: Group
    views: tuple[str, ...] = ()
    weighing: Literal["none", "equal", "alpha"] = "none"
    image_views: tuple[str, ...] = ()
    image_size: int | None = None

    def ensemble(self, rule: EnsembleRule = _RULE) -> Ensemble | None:
        """The unfitted ensemble, or None when there is no alpha to fit."""
        if self.weighing != "alpha":
            return None
        return Ensemble(
            self.views, image_views=self.image_views, image_size=self.image_size, rule=rule
        )

    @checked
    def fixed_proba(self, bank: PredictionBank, rule: EnsembleRule) -> Float[Tensor, "N Y"]:
        """Class probabilities of a method without alpha."""
        if self.weighing == "equal":
            return pixel_average(bank, self.views, rule.merge)
        return merged(bank, self.views or ("image",), rule.merge)

    @checked
    def count(self, bank: PredictionBank) -> int:
        """Number of predictions beside that of the image itself."""
        ensemble = self.ensemble()
        if ensemble is None:
            return sum(bank.get(key).shape[1] for key in self.views)
        return ensemble.image_pool(bank).shape[1] + ensemble.view_pool(bank).shape[1] - 1


@checked
def ranked(
    bank: PredictionBank, keys: Sequence[str], *, rule: EnsembleRule = _RULE
) -> list[Ensemble]:
    """An ensemble of each view set at its own best alpha: the best on calibration first.

    Args:
        bank: a calibration bank with all the keys.
        keys: of the view sets, the mildest first; among equals the first, that is the smaller
            scale, comes first.
        rule: how predictions become one, and what is best.

    Raises:
        ValueError: no view set, or a bank of a test split.

    Source: Chai et al. 2021, supplementary table 1 lists the scales tried.

    Differs: the reference chooses by the mean over 20 redrawn pools (`resample_members` gives it);
        here all the views are used once.
    """
    if not keys:
        fail("candidate views", expected="at least one key", got="none", remedy="name them")
    fitted = [Ensemble(key, rule=rule).fit(bank) for key in keys]
    return sorted(fitted, key=lambda ensemble: -ensemble.score_)


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A measured method.

    Args:
        method: what was measured.
        row: for the table; `p_holm` equals `p_value` until `adjust` sees the whole table.
        curve: accuracy against alpha, or None.
        proba: (N, Y) class probabilities on test.
        correct: (N,) where the method is right on test.
    """

    method: Method
    row: Row
    curve: AlphaCurve | None
    proba: Float[Tensor, "N Y"]
    correct: Bool[Tensor, " N"]

    @property
    def weighted(self) -> tuple[str, ...]:
        """The bank keys that have a weight above 0 in the prediction."""
        method, alpha = self.method, self.row.alpha
        ensemble = method.ensemble()
        if ensemble is None or alpha is None:
            alone = method.weighing == "none" and method.views
            return method.views if alone else ("image", *method.views)
        image_term = ("image", *ensemble.image_views) if alpha < 1 else ()
        return (*image_term, *(ensemble.pool_keys if alpha > 0 else ()))


@checked
def score(method: Method, bank: PredictionBank, *, rule: EnsembleRule = _RULE) -> float:
    """What the rule chooses a method by, at its own best alpha where it has one.

    Raises:
        ValueError: a bank of a test split: scores are for choosing.
    """
    check_fit(bank.split, "choose")
    ensemble = method.ensemble(rule)
    if ensemble is not None:
        return ensemble.fit(bank).score_
    proba = method.fixed_proba(bank, rule)
    if rule.by_log_loss:
        return -float(log_loss(proba, bank.known_labels()))
    return _accuracy(_correct(proba, bank))


@checked
def evaluate(
    method: Method,
    calibration: PredictionBank,
    test: PredictionBank,
    *,
    task: str,
    baseline: Bool[Tensor, " N"] | None = None,
    reference: Bool[Tensor, " N"] | None = None,
    rule: EnsembleRule = _RULE,
) -> Evaluation:
    """Fit a method on calibration, measure it on test.

    Args:
        method: what to measure.
        calibration: where alpha is chosen.
        test: where the result is measured.
        task: the name of the row's task.
        baseline: where the same task's single image is right on test; None: this is that row.
        reference: where the reference task's single image is right on test, for the rows of other
            tasks with the same labels.
        rule: how predictions become one, and what is best.

    Raises:
        ValueError: calibrating on a test split, or missing keys or labels.
    """
    chosen_by, ensemble = score(method, calibration, rule=rule), method.ensemble(rule)
    if ensemble is None:
        proba, alpha, curve = method.fixed_proba(test, rule), None, None
        fitted = _accuracy(_correct(method.fixed_proba(calibration, rule), calibration))
    else:
        proba = ensemble.fit(calibration).predict_proba(test)
        alpha, fitted = ensemble.alpha_, ensemble.accuracy_
        curve = AlphaCurve.of(ensemble, test, method.name, task)
    oracle = (None, None) if curve is None else curve.oracle
    correct = _correct(proba, test)
    gain = gain_report(correct, correct if baseline is None else baseline)
    against = None if reference is None else gain_report(correct, reference)
    row = Row(
        **vars(gain),
        name=method.name,
        task=task,
        group=method.group,
        views=(*method.image_views, *method.views),
        num_views=method.count(test),
        alpha=alpha,
        oracle_alpha=oracle[0],
        oracle_accuracy=oracle[1],
        calibration_accuracy=fitted,
        calibration_log_loss=-chosen_by if rule.by_log_loss else None,
        p_holm=gain.p_value,
        reference_gain=None if against is None else against.gain,
        reference_gain_interval=None if against is None else against.gain_interval,
        reference_p_value=None if against is None else against.p_value,
    )
    return Evaluation(method=method, row=row, curve=curve, proba=proba, correct=correct)


def compare(evaluation: Evaluation, against: Evaluation) -> Comparison:
    """A paired test of two methods of one task on the same test images."""
    report = gain_report(evaluation.correct, against.correct)
    row = evaluation.row
    return Comparison(**vars(report), task=row.task, row=row.name, against=against.row.name)


def adjust(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Fill in `p_holm` over all rows but the single-image ones, which are the baselines."""
    tested = [i for i, row in enumerate(rows) if row.group != "image"]
    adjusted = dict(zip(tested, holm([rows[i].p_value for i in tested]), strict=True))
    return tuple(replace(row, p_holm=adjusted.get(i, 1.0)) for i, row in enumerate(rows))


def best_on_calibration(rows: Sequence[Row]) -> Row:
    """The row that is best on calibration, by the rule; among equals the first, simpler one."""

    def score(row: Row) -> float:
        loss = row.calibration_log_loss
        return row.calibration_accuracy if loss is None else -loss

    return max(rows, key=score)


def _correct(proba: Tensor, bank: PredictionBank) -> Bool[Tensor, " N"]:
    return proba.argmax(-1) == bank.known_labels()


def _accuracy(correct: Tensor) -> float:
    return float(correct.double().mean())
