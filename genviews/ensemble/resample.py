"""The reference's error bars and its size study: draw the members of an ensemble anew, images stay.

Two uses. `resample_members` redraws the pool 20 times, chooses alpha anew each time, and reports
mean and standard error: how much the result owes to which views were drawn. `ensemble_size_study`
asks how many views are worth making. Neither says anything about other test images; for that see
`significance`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from genviews.checks import check_count
from genviews.data.split import check_fit
from genviews.ensemble.bank import PredictionBank
from genviews.ensemble.merge import find_merge
from genviews.ensemble.rule import MergeName
from genviews.ensemble.weigh import Ensemble, alpha_grid, grid_accuracies, mix, pool
from genviews.signature import checked

__all__ = [
    "SIZES",
    "Resampled",
    "ensemble_size_study",
    "pixel_size_study",
    "resample_members",
    "resample_pixels",
]

SIZES = (0, 2, 4, 8, 12, 16, 20, 24, 28, 30, 31)  # of the paper's figure 6


@dataclass(frozen=True, kw_only=True)
class Resampled:
    """Results of the redrawn ensembles, one entry a draw; accuracies in [0, 1].

    Args:
        size: members drawn each time; 0 is the image term alone.
        accuracies: on the test bank.
        calibration: on the calibration bank, at the alpha chosen there; empty where no alpha is
            chosen.
        alphas: as chosen; empty where none is.
    """

    size: int
    accuracies: tuple[float, ...]
    calibration: tuple[float, ...] = ()
    alphas: tuple[float, ...] = ()

    @property
    def mean(self) -> float:
        """Mean test accuracy."""
        return float(np.mean(self.accuracies))

    @property
    def stderr(self) -> float:
        """Standard error of the mean: population standard deviation / sqrt(number of draws)."""
        return float(np.std(self.accuracies)) / math.sqrt(len(self.accuracies))

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval of the mean, Student's t over the draws, within [0, 1].

        None where draws cannot say: a single one, or several that came to the same number.
        """
        if len(set(self.accuracies)) < 2:
            return None
        found = stats.t.interval(
            0.95, len(self.accuracies) - 1, self.mean, stats.sem(self.accuracies)
        )
        return max(0.0, float(found[0])), min(1.0, float(found[1]))

    @property
    def calibration_mean(self) -> float:
        """Mean calibration accuracy, by which the reference code chooses the scale."""
        return float(np.mean(self.calibration))


@checked
def resample_members(
    ensemble: Ensemble,
    calibration: PredictionBank,
    test: PredictionBank,
    *,
    size: int = 31,
    image_size: int = 16,
    times: int = 20,
    seed: int = 0,
) -> Resampled:
    """Redraw the views, choose alpha on calibration and evaluate on test, `times` times.

    Draw s uses `RandomState(s)`, and the same members for every image of both banks.

    Args:
        ensemble: says what is pooled; it need not be fitted and is not changed.
        calibration: where each draw chooses its alpha.
        test: where it is evaluated.
        size: views drawn from the pool; 31 for faces, cats and CIFAR10, 16 for cars.
        image_size: members drawn for the image term where it has pixel views; 16 for cars.
        times: number of draws.
        seed: another seed, other draws; 0 are the published ones.

    Raises:
        ValueError: calibrating on a test split, or banks without labels.

    Source: Chai et al. 2021, its plotting notebooks (20 draws, standard deviation / sqrt(20)).

    Differs: where both pools are drawn, the views come first from one `RandomState(s)`; the order
        of the notebook's two draws is not known. Ties take the smallest alpha.
    """
    check_fit(calibration.split, "choose")
    check_count(size, "size")
    check_count(image_size, "image_size")
    alphas = alpha_grid(ensemble.grid)
    banks = (calibration, test)
    pools = [(ensemble.image_pool(bank), ensemble.view_pool(bank)) for bank in banks]
    join = find_merge(ensemble.rule.merge).join
    draws = []
    for rng in _states(times, seed):
        views = _draw(rng, pools[0][1], size)
        image = _draw(rng, pools[0][0], image_size) if ensemble.image_views else [0]
        terms = [
            (join(i[:, image]), join(v[:, views]), bank.known_labels())
            for bank, (i, v) in zip(banks, pools, strict=True)
        ]
        best = alphas[ensemble.scores(*terms[0]).argmax()][None]
        found = [grid_accuracies(*own, best) for own in terms]
        draws.append([float(value) for value in (*found, best)])
    fitted, accuracies, chosen = zip(*draws, strict=True)
    return Resampled(size=size, accuracies=accuracies, calibration=fitted, alphas=chosen)


@checked
def resample_pixels(
    bank: PredictionBank,
    keys: Sequence[str],
    *,
    merge: MergeName = "mean",
    size: int = 32,
    times: int = 20,
    seed: int = 0,
) -> Resampled:
    """Redraw the members of an image-only ensemble (the image and its pixel views), equal weights.

    Args:
        bank: labelled predictions.
        keys: the pixel view sets beside the image.
        merge: how predictions become one, see `genviews.ensemble.merge`.
        size: members drawn; 32 = original + 31 views in the paper.
        times: number of draws.
        seed: another seed, other draws.

    Source: Chai et al. 2021, the colour and crop baselines of its plotting notebooks.
    """
    members, sizes = pool(bank, ("image", *keys), merge), (check_count(size, "size"),)
    return _by_size(members[:, 0], members, bank, sizes, times, seed, find_merge(merge).join)[0]


@checked
def ensemble_size_study(
    ensemble: Ensemble,
    calibration: PredictionBank,
    test: PredictionBank,
    *,
    sizes: Sequence[int] = SIZES,
    members: int = 31,
    times: int = 16,
    seed: int = 0,
) -> tuple[Resampled, ...]:
    """Test accuracy against the number of views in the ensemble.

    Alpha is chosen once, on calibration with the first `members` of the pool; each size then draws
    that many members with replacement, `times` times (draw s with `RandomState(s)`), at this alpha.

    Args:
        ensemble: says what is pooled; it need not be fitted and is not changed.
        calibration: where alpha is chosen.
        test: where accuracy is measured.
        sizes: numbers of views; 0 is the image term alone.
        members: pool members that choose alpha; 31 in the paper.
        times: draws per size; 16 in the paper.
        seed: another seed, other draws.

    Source: Chai et al. 2021, figures 6 and 18.
    """
    check_fit(calibration.split, "choose")
    alphas = alpha_grid(ensemble.grid)
    join = find_merge(ensemble.rule.merge).join
    first = join(ensemble.view_pool(calibration)[:, : check_count(members, "members")])
    fitted_on = (ensemble.terms(calibration)[0], first, calibration.known_labels())
    alpha = float(alphas[ensemble.scores(*fitted_on).argmax()])
    image, views = ensemble.terms(test)[0], ensemble.view_pool(test)

    def weighed(drawn: Tensor) -> Tensor:
        return mix(image, join(drawn), alpha)

    return _by_size(image, views, test, sizes, times, seed, weighed)


@checked
def pixel_size_study(
    bank: PredictionBank,
    keys: Sequence[str],
    *,
    sizes: Sequence[int] = SIZES,
    times: int = 16,
    merge: MergeName = "mean",
    seed: int = 0,
) -> tuple[Resampled, ...]:
    """Accuracy of ordinary test-time augmentation against the number of views.

    Each size draws that many pixel views with replacement, `times` times, and averages them with
    the image, all with equal weight: the baseline beside `ensemble_size_study`.

    Args:
        bank: labelled predictions.
        keys: the pixel view sets.
        sizes: numbers of views; 0 is the image alone.
        times: draws per size.
        seed: another seed, other draws.
        merge: how predictions become one, see `genviews.ensemble.merge`.
    """
    image, views = pool(bank, ("image",), merge), pool(bank, tuple(keys), merge)
    join = find_merge(merge).join

    def equal(drawn: Tensor) -> Tensor:
        # A sure flip has one view: copies of it would drown the image.
        return join(torch.cat([image, drawn if views.shape[1] > 1 else drawn[:, :1]], 1))

    return _by_size(image[:, 0], views, bank, sizes, times, seed, equal)


def _by_size(
    image: Tensor,
    members: Tensor,
    bank: PredictionBank,
    sizes: Sequence[int],
    times: int,
    seed: int,
    score: Callable[[Tensor], Tensor],
) -> tuple[Resampled, ...]:
    """Ensembles of each size, `times` draws of their members; of size 0 the image alone."""
    labels, points = bank.known_labels(), []
    for size in sizes:
        found = [image]
        if check_count(size, "size", least=0) > 0:
            draws = (_draw(rng, members, size) for rng in _states(times, seed))
            found = [score(members[:, draw]) for draw in draws]
        accuracies = tuple(_accuracy(one, labels) for one in found)
        points.append(Resampled(size=size, accuracies=accuracies))
    return tuple(points)


def _states(times: int, seed: int) -> list[np.random.RandomState]:
    """A source of draws each: of seed 0 those of the reference code, 0, 1, 2, ..."""
    places = range(check_count(times, "times"))
    return [np.random.RandomState([seed, s] if seed else s) for s in places]


def _draw(rng: np.random.RandomState, members: Tensor, size: int) -> list[int]:
    """One index vector for all images, with replacement, as the reference code draws it."""
    indices: list[int] = rng.choice(members.shape[1], size).tolist()
    return indices


def _accuracy(scores: Tensor, labels: Tensor) -> float:
    return float((scores.argmax(-1) == labels).double().mean())
